"""# Document indexing

Builds the next version of the index beside the one that answers, checks that it is whole, and switches
in one transaction: a question never sees half an index.

* **Reads** `document`, `document_origin`, `document_embedding`, `embedding`, `chunk`. **Writes**
  `index_version`, `index_document`, `index_entry`, `index_term`, and an event per switch, which the
  asset `index` announces.
* **Safe to run again**, late, twice or out of order: an event only wakes it, the ledger says how the
  live version differs from what it should hold; a build that died is gone on with or replaced.
* **One worker per engine**: a version is built under one lock, so more would wait for each other.

Woken by the asset `embeddings`, and at 3:20 for what no event tells of. **When it is red**: the old
version goes on answering; `reconcile` names what failed, and the error of `work` says which counts
differ.
"""

from typing import Any

from airflow.sdk import TriggerRule, dag

from participation import index_tasks
from participation.defaults import DAG_DEFAULTS, EMBEDDINGS, late_after, woken_by
from participation.steps import Visit, step_task


@dag(
    schedule=woken_by(EMBEDDINGS, net="20 3 * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=DAG_DEFAULTS,
    deadline=late_after(60),
    doc_md=__doc__,
    tags=["participation", "documents"],
    dag_display_name="Documents 4: indexing",
)
def document_indexing() -> None:
    @step_task(inlets=[EMBEDDINGS])
    def plan(*, visit: Visit) -> list[str]:
        """Name the engines whose index lacks something; skipped when none does."""
        return index_tasks.plan_indexing(visit)

    @step_task(step="index", inlets=[EMBEDDINGS])
    def work(engine: str, *, visit: Visit) -> dict[str, Any]:
        """Build the next version of one engine's index, check it and let it answer."""
        return index_tasks.build_index(visit, engine)

    @step_task(trigger_rule=TriggerRule.ALL_DONE)
    def reconcile(*, visit: Visit) -> dict[str, Any]:
        """Balance documents and pages, and say which version answers; red when a build failed."""
        return index_tasks.reconcile_indexing(visit)

    work.expand(engine=plan()) >> reconcile()


document_indexing()
