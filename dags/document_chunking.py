"""# Document chunking

Cuts every document that was read into *parents*, which readers and models are given, and inside them
*children*, which are indexed; each knows its characters and its pages.

* **Reads** `document`, `page`, `chunking_choice`. **Writes** `chunk`, `document_chunking`, and an event
  per document, which the asset `chunks` announces.
* **Sizes** are those a run of `document_intake` gave last (15,000 with 500 overlap at first; children
  1,500 with 200).
* **Safe to run again**, late, twice or out of order: an event only wakes it, the ledger says which
  texts are not cut so; a text is cut whole or not at all.

Woken by the asset `documents`, and at 3:00 for what no event tells of. **When it is red**: `reconcile`
names what failed; clear it.
"""

import os
from typing import Any

from airflow.sdk import TriggerRule, dag

from participation import chunk_tasks
from participation.defaults import DAG_DEFAULTS, DOCUMENTS, late_after, woken_by
from participation.progress import WORKER_NAME
from participation.steps import Visit, step_task


@dag(
    schedule=woken_by(DOCUMENTS, net="0 3 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=DAG_DEFAULTS,
    deadline=late_after(60),
    doc_md=__doc__,
    tags=["participation", "documents"],
    dag_display_name="Documents 2: chunking",
)
def document_chunking() -> None:
    @step_task(inlets=[DOCUMENTS])
    def plan(*, visit: Visit) -> list[int]:
        """Number the workers, at most one per core; skipped when every document is cut."""
        return chunk_tasks.plan_chunking(visit, os.cpu_count() or 1)

    @step_task(step="chunk", inlets=[DOCUMENTS], map_index_template=WORKER_NAME)
    def work(worker: int, *, visit: Visit) -> dict[str, Any]:
        """Cut documents one after the other, each with its event in one transaction."""
        visit.item = f"worker {worker}"
        return chunk_tasks.cut(visit)

    @step_task(trigger_rule=TriggerRule.ALL_DONE)
    def reconcile(*, visit: Visit) -> dict[str, Any]:
        """Balance documents and pages, and say what is not cut yet; red when a worker failed."""
        return chunk_tasks.reconcile_chunking(visit)

    work.expand(worker=plan()) >> reconcile()


document_chunking()
