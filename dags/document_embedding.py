"""# Document embedding

Gives each child chunk its vector: a sparse one of the embedded BM25 engine, and a dense one where the
connection `participation_embeddings` names an endpoint. The same words are never computed twice.

* **Reads** `chunk`. **Writes** `embedding`, `document_embedding`, and an event per document that has
  all its vectors, which the asset `embeddings` announces.
* **Safe to run again**, late, twice or out of order: an event only wakes it, the ledger says which
  texts lack a vector; what was stored before a death is not computed again.

Woken by the asset `chunks`, and at 3:10 for what no event tells of. **When it is red**: `reconcile` names
what failed; a provider that refuses says why, and the embedded engine's vectors are stored all the same.
"""

import os
from typing import Any

from airflow.sdk import TriggerRule, dag

from participation import embed_tasks
from participation.defaults import CHUNKS, DAG_DEFAULTS, late_after, woken_by
from participation.progress import WORKER_NAME
from participation.steps import Visit, step_task


@dag(
    schedule=woken_by(CHUNKS, net="10 3 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=DAG_DEFAULTS,
    deadline=late_after(60),
    doc_md=__doc__,
    tags=["participation", "documents"],
    dag_display_name="Documents 3: embedding",
)
def document_embedding() -> None:
    @step_task(inlets=[CHUNKS])
    def plan(*, visit: Visit) -> list[int]:
        """Number the workers, at most one per core; skipped when every chunk has its vectors."""
        return embed_tasks.plan_embedding(visit, os.cpu_count() or 1)

    @step_task(step="embed", inlets=[CHUNKS], map_index_template=WORKER_NAME)
    def work(worker: int, *, visit: Visit) -> dict[str, Any]:
        """Compute and store vectors document by document, a batch at a time."""
        visit.item = f"worker {worker}"
        return embed_tasks.embed(visit)

    @step_task(trigger_rule=TriggerRule.ALL_DONE)
    def reconcile(*, visit: Visit) -> dict[str, Any]:
        """Balance documents and pages, and say what lacks vectors; red when a worker failed."""
        return embed_tasks.reconcile_embedding(visit)

    work.expand(worker=plan()) >> reconcile()


document_embedding()
