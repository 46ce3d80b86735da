"""Overhead analysis.

The tasks of `contribution_analysis` with a simulated reviewer, for `bench/overhead.py`: what Airflow
adds to the ledger's own path. Not part of the product.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import dag, task_group

from bench.peers.own import TOWN, load
from bench.simulated import DAY, PreparingStore, SimulatedReviewer
from include.contributions.analysis import judge_chunk
from include.contributions.processors import contribution_workflow
from participation.defaults import DAG_DEFAULTS
from participation.ledger import books
from participation.ledger.analysis import LedgerAnalysis
from participation.ledger.claims import Selection
from participation.steps import Visit, step_task


def of_bench(visit: Visit) -> LedgerAnalysis:
    """Return the ledger's analysis side for the bench's own municipality."""
    return LedgerAnalysis(visit.connection, TOWN, visit.attempt)


def one_step(visit: Visit, chunk_id: int, name: str) -> dict[str, Any]:
    """Run one step over a chunk, the reviewer thinking about a batch at once."""
    reviewer = SimulatedReviewer()
    steps = {each.name: each for each in contribution_workflow(reviewer).steps}
    store = PreparingStore(of_bench(visit), reviewer)
    counts = judge_chunk(chunk_id, steps[name], store, reviewer.rubric_version)
    visit.input_size, visit.output_size = counts.taken, counts.stored
    return {"taken": counts.taken, "stored": counts.stored}


@dag(
    schedule=None,
    params={"first": 0, "end": 0, "chunk_size": 2000},
    default_args={**DAG_DEFAULTS, "retries": 0},
    doc_md=__doc__,
    tags=["participation"],
)
def overhead_analysis() -> None:
    """Fill, split, judge, settle, reconcile."""

    @step_task
    def fill(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Store the items."""
        asked = params or {}
        day = DAY + timedelta(days=asked["first"])
        return {"added": load(visit.connection, range(asked["first"], asked["end"]), day)}

    @step_task
    def split(*, visit: Visit, params: dict[str, Any] | None = None) -> list[int]:
        """Claim the items, chunk by chunk."""
        asked = params or {}
        day = DAY + timedelta(days=asked["first"])
        chunks = of_bench(visit).split(
            Selection(day=day), SimulatedReviewer().rubric_version, asked["chunk_size"]
        )
        return [chunk["chunk_id"] for chunk in chunks]

    @task_group
    def judge(chunk_id: int) -> None:
        @step_task
        def validate(chunk_id: int, *, visit: Visit) -> dict[str, Any]:
            """Ask the slow reviewer."""
            return one_step(visit, chunk_id, "validate")

        @step_task
        def classify(chunk_id: int, *, visit: Visit) -> dict[str, Any]:
            """Name the category."""
            return one_step(visit, chunk_id, "classify")

        @step_task
        def evaluate(chunk_id: int, *, visit: Visit) -> dict[str, Any]:
            """Weigh both answers."""
            return one_step(visit, chunk_id, "evaluate")

        validate(chunk_id) >> classify(chunk_id) >> evaluate(chunk_id)

    @step_task
    def settle(*, visit: Visit) -> dict[str, Any]:
        """Give each item its state."""
        return {"states": of_bench(visit).settle("bench")}

    @step_task
    def reconcile(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Balance the books."""
        day = DAY + timedelta(days=(params or {})["first"])
        return books.reconcile(visit.connection, TOWN, day)

    chunks = split()
    fill() >> chunks
    judge.expand(chunk_id=chunks) >> settle() >> reconcile()


overhead_analysis()
