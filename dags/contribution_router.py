"""# Contribution router

Announces the days of contributions that another service inserted into the ledger: their rows leave
events in the outbox, a watcher turns those into an asset event, and this DAG adds one partition per
day to the asset `contributions` (a watcher's event carries no key, so a router is needed).

* **Reads** `outbox`. **Writes** `outbox.announced_at`.
* **Safe to run again**: an unconfirmed announcement is repeated; a day announced twice is judged once.

**When it fails**: nothing is lost, the rows stay unannounced; clear the task. **When it never runs**:
look at the triggerer's log, it waits for the ledger.
"""

from typing import Any

from airflow.sdk import dag

from participation import contribution_tasks
from participation.defaults import CONTRIBUTIONS, CONTRIBUTIONS_OUTBOX, DAG_DEFAULTS, late_after
from participation.steps import Visit, step_task


@dag(
    schedule=[CONTRIBUTIONS_OUTBOX],
    catchup=False,
    max_active_runs=1,
    default_args=DAG_DEFAULTS,
    deadline=late_after(30),
    doc_md=__doc__,
    tags=["participation", "contributions"],
    dag_display_name="Contribution router",
)
def contribution_router() -> None:
    @step_task(outlets=[CONTRIBUTIONS])
    def announce(*, visit: Visit, outlet_events: Any = None) -> dict[str, Any]:
        """Add one partition to the asset `contributions` for each day that another service filled."""
        return contribution_tasks.announce_days(visit, None, outlet_events)

    @step_task
    def confirm(announced: dict[str, Any], *, visit: Visit) -> dict[str, Any]:
        """Mark the announced rows, so that they are not announced again."""
        return contribution_tasks.confirm_announced(visit, announced)

    confirm(announce())


contribution_router()
