"""# Contribution review

Asks a person about every contribution that the machine did not settle, and puts each answer on record as
it comes. The questions stand in **Browse → Required Actions**; how to answer them is told in French in
`docs/moderation.md`, how to run this in `docs/review.md`.

* **Reads** `review_case`, `appeal`, `contribution`, `step_result`. **Writes** `review_question`,
  `decision`, `labelled_sample`; a decision moves the contribution's state by itself.
* **At most** 20 questions a run and 200 open at once, over all runs: first an answer that did not count
  and an appeal, then the oldest, whatever they speak of. Several runs may wait at once; nobody is asked
  the same thing twice.
* **An answer that cannot count** (a refusal without a reason, the wrong person, a sentence that is too
  long) is recorded nowhere. The case is asked again within seconds, with the reason.
* **Nothing is answered by default**: a question waits until somebody answers it.
* **Safe to run again**: an answer is one decision, whatever is cleared or repeated; a question whose run
  was deleted or failed is asked again. What was decided is decided again only by another person, on an
  appeal or when the first one passed it on.

Woken by the asset `review_due`: after the daily report, an appeal, an answer that did not count or that
passed the case on; and at 7:40, 10:40, 13:40, 16:40 and 19:40 for what is left. **By hand**: the form.
**When it is red**: `reconcile` names questions that were answered and not recorded; clear their `record`.
"""

from typing import Any

from airflow.sdk import Param, TriggerRule, dag, task_group

from participation import days, review_tasks
from participation.defaults import DAG_DEFAULTS, REVIEW_DUE, late_after, woken_by
from participation.ledger.review import MAX_OPEN, MAX_PER_RUN
from participation.operators.ask import AskPersonOperator
from participation.steps import Visit, step_task

LATE_MINUTES = 7 * 24 * 60
"""A week: then somebody should see that nobody answers. It notifies and ends nothing."""


@dag(
    schedule=woken_by(REVIEW_DUE, net="40 7-19/3 * * *"),
    catchup=False,
    # As many as there may be open questions: a run lives as long as one of its own waits.
    max_active_runs=MAX_OPEN,
    params={
        "limit": Param(
            MAX_PER_RUN,
            type="integer",
            minimum=1,
            maximum=MAX_PER_RUN,
            title="Questions",
            description="Ask at most so many in this run.",
        ),
        "only_day": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Only this day",
            description="Ask only about contributions received on this day.",
        ),
        "only_reason": Param(
            None,
            type=["null", "string"],
            maxLength=100,
            title="Only this reason",
            description="Ask only about cases opened for this reason, e.g. mention_de_groupe,"
            " refusal_proposed; appeal for contested refusals.",
        ),
    },
    default_args={**DAG_DEFAULTS, "priority_weight": 1, "weight_rule": "absolute"},
    deadline=late_after(LATE_MINUTES),
    doc_md=__doc__,
    tags=["participation", "contributions", "review"],
    dag_display_name="Contribution review",
)
def contribution_review() -> None:
    @step_task(step="select", inlets=[REVIEW_DUE])
    def select(*, visit: Visit, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Claim the cases that have waited longest; skipped when there is nothing to ask.

        First looks after other runs' questions: one whose task is gone is given back.
        """
        asked = params or {}
        return review_tasks.select_questions(
            visit,
            int(asked["limit"]),
            days.run_day(None, asked.get("only_day")),
            asked.get("only_reason"),
        )

    @task_group(
        prefix_group_id=False,
        tooltip="One instance per question; each is recorded as it is answered.",
    )
    def ask_and_record(question: int, subject: str) -> None:
        ask = AskPersonOperator(
            task_id=review_tasks.ASK,
            question=question,
            subject=subject,
            map_index_template="n° {{ task.question }}",
            doc_md="Wait for a person's answer, as long as it takes, and check it.\n\n"
            "An answer that cannot count is not kept; the case is asked again and says why.",
        )

        @step_task(step="record")
        def record(taken: dict[str, Any], *, visit: Visit) -> dict[str, Any]:
            """Put the answer on record as a decision with its statement of reasons.

            Skipped for an answer that did not count. Safe to repeat: an answer is one decision.
            """
            return review_tasks.record_answer(visit, taken)

        record(ask.output)

    @step_task(trigger_rule=TriggerRule.ALL_DONE)
    def reconcile(*, visit: Visit) -> dict[str, Any]:
        """Hold the answers against the decisions, and give back questions that died.

        Fails loudly when an answered question has no decision or a task failed.
        """
        return review_tasks.reconcile_review(visit)

    ask_and_record.expand_kwargs(select()) >> reconcile()


contribution_review()
