"""What a run announces and hands back is what it did itself."""

from datetime import date

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors

from include.contributions.model import Contribution
from participation import contribution_tasks, steps
from participation.defaults import ANALYSED
from participation.ledger.loading import LedgerLoading

DAY = date(2026, 1, 12)


def judge_everything(instance, **selection):
    with steps.visit("split") as here:
        chunks = contribution_tasks.split_work(here, selection.get("day"), selection.get("ids"))
    for step in ("validate", "classify", "evaluate"):
        instance.task_id = f"judge.{step}"
        with steps.visit(step) as here:
            for chunk_id in chunks:
                contribution_tasks.judge(here, chunk_id, step)


def settled(instance):
    """Settle as the task does, and return the partitions of ``analysed`` that it announced."""
    instance.task_id = "settle"
    events = OutletEventAccessors()
    with steps.visit("settle") as here:
        contribution_tasks.settle_states(here, events)
    return events[ANALYSED].partition_keys


@pytest.mark.postgres
def test_a_run_over_ids_announces_the_days_it_settled(ledger, instance, fill):
    """Whoever waits for a day hears of it, however the run was started."""
    fill(ledger)
    fill(ledger, 2, day=date(2026, 1, 14), name="b")
    judge_everything(instance, ids=["a:0", "b:1"])

    assert settled(instance) == {"2026-01-12", "2026-01-14"}
    # A repeated attempt, its first one lost before Airflow heard of the event, says it again.
    assert settled(instance) == {"2026-01-12", "2026-01-14"}


@pytest.mark.postgres
def test_a_run_that_judged_nothing_announces_nothing(ledger, instance, fill):
    """It is skipped, so Airflow records no event; neither for a run whose work another took over."""
    fill(ledger)
    with pytest.raises(AirflowSkipException, match="judged nothing"):
        settled(instance)
    instance.task_id = "split"
    with steps.visit("split") as here:
        contribution_tasks.split_work(here, DAY)
    ledger.execute("UPDATE work_chunk SET claimed_until = now() - interval '1 minute'")
    instance.run_id, instance.task_id = "run-2", "split"
    judge_everything(instance, day=DAY)

    assert settled(instance) == {"2026-01-12"}
    instance.run_id = "run-1"
    with pytest.raises(AirflowSkipException, match="judged nothing"):
        settled(instance)


@pytest.mark.postgres
def test_the_result_of_a_text_is_that_of_its_own_run(ledger, instance):
    """Two DAGs may have runs of one name, and two towns too."""
    with steps.visit("split") as here:
        contribution_tasks.split_work(here, None, text="Le banc du quai d'Audierne est cassé.")
        for town, dag in (("audierne-esquibien", "another_dag"), ("quimper", instance.dag_id)):
            text = Contribution(f"other:{town}", f"Un autre texte, de {town}.")
            LedgerLoading(ledger, town).submit(text, dag)
            ledger.execute(
                "UPDATE receipt SET external_id = %s WHERE contribution_id = %s",
                (instance.run_id, text.contribution_id),
            )
        found = contribution_tasks.report_single(here, "Le banc ...", None)

    assert found["contribution_id"] == "rest:run-1"


@pytest.mark.postgres
def test_a_chunk_knows_whether_a_step_succeeded_in_it(ledger, instance, fill):
    """Of an earlier attempt too, and of that step alone."""
    fill(ledger)
    with steps.visit("split") as here:
        (chunk_id,) = contribution_tasks.split_work(here, DAY)
        before = here.analysis.has_results(here.analysis.take_lease(chunk_id), "validate")
        contribution_tasks.judge(here, chunk_id, "validate")
        lease = here.analysis.take_lease(chunk_id)

        assert not before
        assert here.analysis.has_results(lease, "validate")
        assert not here.analysis.has_results(lease, "classify")
