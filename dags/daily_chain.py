"""# Daily chain

One day from the inbox to the report: load, analyse, evaluate the reviewer, report. Runs at 05:00
(Europe/Paris) for the day before; its partition key is that day.

* **Reads** the inbox and the ledger. **Writes** what `load_contributions` and `contribution_analysis`
  write, `evaluation`, `report`, and the report's two files. **Announces** the day on the asset
  `analysed` once it is settled; what it loaded is left to `load_contributions` to announce.
* **Judges again** what lacks a result for the current rubric, and nothing else. What another run holds
  is left to it.
* **Safe to run again**: backfill it over any range, in any order, twice, or over a live run: one
  effective result each.
  Backfill by the UI, the CLI or `POST /api/v2/backfills`; one day by a run with that partition key.
* **Stops at the first failure**; ten minutes in all, so retries are two, 20 s apart. A run cut off by
  the time limit is reconciled by its failure callback and by the next run.

*evaluate_reviewer* scores the engine on the labelled sample and stops the run below the gate; it is
not the per-contribution step `evaluate`. **When it is red**: open the first red task; `reconcile` and
`publish` say which figures differ.
"""

from datetime import date, datetime, timedelta
from typing import Any

from airflow.sdk import CronPartitionTimetable, TriggerRule, dag
from airflow.sdk.types import DagRunProtocol

from participation import contribution_tasks, days
from participation.callbacks import reconcile_cut_off
from participation.defaults import ANALYSED, DAILY_DEFAULTS, late_after
from participation.operators.report import PublishReportOperator
from participation.steps import Visit, step_task

CHAIN_TIMEOUT = timedelta(seconds=600)


@dag(
    schedule=CronPartitionTimetable(
        "0 5 * * *", timezone="Europe/Paris", run_offset=-1, key_format="%Y-%m-%d"
    ),
    start_date=datetime(2020, 1, 1),  # noqa: DTZ001 - the timetable has the zone
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=CHAIN_TIMEOUT,
    default_args=DAILY_DEFAULTS,
    deadline=late_after(15),
    on_failure_callback=reconcile_cut_off,
    doc_md=__doc__,
    tags=["participation", "contributions", "daily"],
    dag_display_name="Daily chain",
)
def daily_chain() -> None:
    @step_task(execution_timeout=timedelta(seconds=120))
    def load(*, visit: Visit) -> dict[str, Any]:
        """Read every new or changed file of the inbox into the ledger."""
        return contribution_tasks.load_inbox(visit)

    # An inbox without files is no reason not to judge what waits.
    @step_task(trigger_rule=TriggerRule.NONE_FAILED, execution_timeout=timedelta(seconds=40))
    def split(*, visit: Visit, dag_run: DagRunProtocol) -> list[int]:
        """Claim what the day still lacks and cut it into chunks; skipped when there is nothing."""
        return contribution_tasks.split_work(visit, chain_day(dag_run))

    @step_task(
        trigger_rule=TriggerRule.ALL_DONE,
        outlets=[ANALYSED],
        execution_timeout=timedelta(seconds=50),
    )
    def settle(*, visit: Visit, outlet_events: Any = None) -> dict[str, Any]:
        """Give each judged contribution its state; open a review case for each doubtful one.

        Adds the day to the asset `analysed`.
        """
        return contribution_tasks.settle_states(visit, outlet_events)

    @step_task(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=timedelta(seconds=30))
    def reconcile(*, visit: Visit, dag_run: DagRunProtocol) -> dict[str, Any]:
        """Balance the day's books; red when a task before failed or a sum is off."""
        return contribution_tasks.reconcile_run(visit, chain_day(dag_run))

    @step_task(execution_timeout=timedelta(seconds=40))
    def evaluate_reviewer(*, visit: Visit, dag_run: DagRunProtocol) -> dict[str, Any]:
        """Score the reviewer on the labelled sample; stops the chain below the gate."""
        return contribution_tasks.score_engine(visit, chain_day(dag_run))

    publish = PublishReportOperator(
        task_id="publish",
        day="{{ dag_run.partition_key or '' }}",
        execution_timeout=timedelta(seconds=40),
        doc_md="Write the day's report (HTML and Markdown) after an independent recount. "
        "The task's **Details** link to it.",
    )

    def chain_day(dag_run: DagRunProtocol) -> date:
        return days.run_day(dag_run.partition_key) or days.yesterday()

    claimed = split()
    load() >> claimed
    judged = contribution_tasks.judge_chunks(claimed, execution_timeout=timedelta(seconds=70))
    judged >> settle() >> reconcile() >> evaluate_reviewer() >> publish


daily_chain()
