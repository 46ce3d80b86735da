"""# Load contributions

Reads every readable file of the inbox and stores what is new: the same text twice is one contribution
with two receipts, a broken record is set aside with file, line and reason, a half-written file waits.

* **Reads** the inbox (`PARTICIPATION_INBOX`). **Writes** `contribution`, `receipt`, `quarantine`,
  `source_file`, `load`. An empty inbox is skipped, not failed.
* **Announces** each day with new contributions as a partition of the asset `contributions`, which
  starts `contribution_analysis` for that day. No other DAG announces what was loaded here.
* **Safe to run again**: a file that was read is recognised by its bytes; an announcement that was not
  confirmed is repeated, and a day announced twice is judged once.

Hourly from 6 to 23 h (Europe/Paris), and by hand. **When it fails**: the error names the file and the
way out; mend it and clear the task, or wait for the next hour.
"""

from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, TriggerRule, dag

from participation import contribution_tasks
from participation.defaults import CONTRIBUTIONS, DAG_DEFAULTS, late_after
from participation.ledger.loading import EMITTER
from participation.steps import Visit, step_task


@dag(
    schedule=CronTriggerTimetable("0 6-23 * * *", timezone="Europe/Paris"),
    catchup=False,
    max_active_runs=1,
    params={
        "folder": Param(
            None,
            type=["null", "string"],
            maxLength=500,
            title="Folder inside the inbox",
            description="Load only this folder or file of the inbox, e.g. `2026-01`. Empty: everything.",
        )
    },
    default_args=DAG_DEFAULTS,
    deadline=late_after(30),
    doc_md=__doc__,
    tags=["participation", "contributions"],
    dag_display_name="Load contributions",
)
def load_contributions() -> None:
    @step_task
    def load(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read every new or changed file of the inbox into the ledger, one transaction a file."""
        return contribution_tasks.load_inbox(visit, (params or {}).get("folder"))

    # Runs after an empty inbox too: an earlier announcement may still be unconfirmed.
    @step_task(outlets=[CONTRIBUTIONS], trigger_rule=TriggerRule.NONE_FAILED)
    def announce(*, visit: Visit, outlet_events: Any = None) -> dict[str, Any]:
        """Add one partition to the asset `contributions` for each day that has new rows."""
        return contribution_tasks.announce_days(visit, EMITTER, outlet_events)

    @step_task
    def confirm(announced: dict[str, Any], *, visit: Visit) -> dict[str, Any]:
        """Mark the announced rows, so that they are not announced again."""
        return contribution_tasks.confirm_announced(visit, announced)

    announced = announce()
    load() >> announced
    confirm(announced)


load_contributions()
