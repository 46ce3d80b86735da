"""# Contribution analysis

Holds each open contribution of a day against the charter, names its subject, says how far both answers
can be relied on, and gives it its state: *accepted*, *review* or *refusal proposed*. Only a person
refuses.

* **Reads** `contribution`. **Writes** `step_result`, `review_case`, `quarantine`, the contribution's
  state and its log `state_change`; a run over `text` stores that text first, as a `contribution` with
  its `receipt`. **Announces** each settled day on the asset `analysed`.
* **Doubtful answers** become review cases; the run does not wait for a person.
* **Safe to run again**, twice at once, or over a backfill: a contribution is claimed by one chunk, a
  chunk is written by one attempt, and a result is stored once per text and rubric. A person's decision
  is never touched.

Started for each day that `load_contributions` or `contribution_router` announces. **By hand or by
REST**: a partition key (a day), or one of `day`, `ids`, `text` in the form. **When it is red**:
`reconcile` says which task or chunk is missing; clear what failed, the rest is not done again.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, PartitionedAssetTimetable, TriggerRule, dag

from participation import contribution_tasks, days
from participation.defaults import ANALYSED, CONTRIBUTIONS, DAG_DEFAULTS, late_after
from participation.steps import Visit, step_task


@dag(
    schedule=PartitionedAssetTimetable(assets=CONTRIBUTIONS),
    catchup=False,
    max_active_runs=8,
    params={
        "day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day",
            description="Judge what was received on this day and lacks a judgement."
            " Fill in one of day, ids and text.",
        ),
        "ids": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "minLength": 1, "maxLength": 500},
            maxItems=1000,
            title="Contribution ids",
            description="Judge these, e.g. formulaire-site:form-020; at most 1,000.",
        ),
        "text": Param(
            None,
            type=["null", "string"],
            format="multiline",
            maxLength=60_000,
            title="One text",
            description="Store and judge this text; the run's last task carries its whole result.",
        ),
        "chunk_size": Param(
            2000,
            type="integer",
            minimum=500,
            maximum=2000,
            title="Chunk size",
            description="Contributions per task instance; a retry repeats at most one chunk's batch.",
            section="How",
        ),
    },
    default_args=DAG_DEFAULTS,
    deadline=late_after(60),
    doc_md=__doc__,
    tags=["participation", "contributions"],
    dag_display_name="Contribution analysis",
)
def contribution_analysis() -> None:
    @step_task(execution_timeout=timedelta(minutes=10))
    def split(
        *, visit: Visit, params: dict[str, Any] | None = None, dag_run: Any = None
    ) -> list[int]:
        """Claim what lacks a judgement and cut it into chunks; skipped when there is nothing to do."""
        asked = params or {}
        return contribution_tasks.split_work(
            visit,
            days.run_day(dag_run.partition_key, asked.get("day")),
            asked.get("ids"),
            asked.get("text"),
            asked["chunk_size"],
        )

    @step_task(trigger_rule=TriggerRule.ALL_DONE, outlets=[ANALYSED])
    def settle(*, visit: Visit, outlet_events: Any = None) -> dict[str, Any]:
        """Give each judged contribution its state; open a review case for each doubtful one.

        Adds one partition to the asset `analysed` for each day that was settled.
        """
        return contribution_tasks.settle_states(visit, outlet_events)

    @step_task(trigger_rule=TriggerRule.ALL_DONE)
    def reconcile(
        *, visit: Visit, params: dict[str, Any] | None = None, dag_run: Any = None
    ) -> dict[str, Any]:
        """Balance the books: six states add up to what was submitted, and no chunk is missing.

        Fails loudly otherwise. For a single text it carries the whole result.
        """
        asked = params or {}
        day = days.run_day(dag_run.partition_key, asked.get("day"))
        books = contribution_tasks.reconcile_run(visit, day)
        single = contribution_tasks.report_single(visit, asked.get("text"), asked.get("ids"))
        return contribution_tasks.with_single(books, single)

    judged = contribution_tasks.judge_chunks(split())
    judged >> settle() >> reconcile()


contribution_analysis()
