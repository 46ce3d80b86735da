"""# Load contributions

Reads every readable file of the inbox and stores what is new: the same text twice is one contribution
with two receipts, a broken record is set aside with file, line and reason, a half-written file waits.

* **Reads** the inbox (`PARTICIPATION_INBOX`: forms, mails, a Facebook export), and the issues and
  discussions of GitHub repositories where the connection `participation_github` names some. **Writes**
  `contribution`, `receipt`, `quarantine`, `source_file`, `load`, `web_source`. An empty inbox, or one of
  papers alone, is skipped, not failed.
* **GitHub** is an HTTP connection: host `api.github.com`, password a token that may read issues and
  discussions, extra `{"repository": "owner/name", "kinds": ["issues", "discussions"]}` (`repository`
  may be a list). An unchanged repository costs one request. Its task stands beside the inbox and never
  holds it up; a longer wait that GitHub asks for is left to a later load.
* **Announces** each day with new contributions as a partition of the asset `contributions`, which
  starts `contribution_analysis` for that day. No other DAG announces what was loaded here.
* **Safe to run again**: a file that was read is recognised by its bytes; an announcement that was not
  confirmed is repeated, and a day announced twice is judged once.

Hourly from 6 to 23 h (Europe/Paris), and by hand. **When it fails**: the error names the file and the
way out; mend it and clear the task, or wait for the next hour.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, TriggerRule, dag

from participation import contribution_tasks, github_tasks
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
            description="Load only this folder or file of the inbox, e.g. 2026-01. Empty: everything.",
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

    # All tries together end before the next hour's load wants to begin.
    @step_task(
        retries=2,
        max_retry_delay=timedelta(seconds=github_tasks.LONGEST_WAIT_S),
        execution_timeout=timedelta(minutes=5),
    )
    def load_github(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Read changed issues and discussions of GitHub; skipped without `participation_github`."""
        return github_tasks.load_github(visit, (params or {}).get("folder"))

    @step_task(outlets=[CONTRIBUTIONS])
    def announce_github(*, visit: Visit, outlet_events: Any = None) -> dict[str, Any]:
        """Announce the days that GitHub brought; what is missed here the next `announce` repeats."""
        return contribution_tasks.announce_days(visit, EMITTER, outlet_events)

    @step_task(step="confirm")
    def confirm_github(announced: dict[str, Any], *, visit: Visit) -> dict[str, Any]:
        """Mark the rows that `announce_github` announced."""
        return contribution_tasks.confirm_announced(visit, announced)

    announced = announce()
    load() >> announced
    confirm(announced)

    announced_github = announce_github()
    load_github() >> announced_github
    confirm_github(announced_github)


load_contributions()
