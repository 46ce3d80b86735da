"""Law 2, nothing is lost: a run with work left is red, whatever its books say."""

from datetime import date, timedelta

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors

from include.dockets import docket
from include.errors import ProcessingError, ReconciliationError
from participation import contribution_tasks, steps

DAY = date(2026, 1, 12)


@pytest.mark.postgres
def test_a_run_with_work_left_ends_red_and_gives_it_back(ledger, instance, fill):
    """Books that balance are not enough: a chunk without its results fails the run."""
    fill(ledger)
    with steps.visit("split") as here:
        (chunk_id,) = contribution_tasks.split_work(here, DAY)
    instance.task_id = "reconcile"

    with (
        pytest.raises(ProcessingError, match=rf"\({chunk_id}, 3\)") as caught,
        steps.visit("reconcile") as here,
    ):
        contribution_tasks.reconcile_run(here, DAY)

    assert isinstance(caught.value.cause, ReconciliationError)
    instance.run_id, instance.task_id = "run-2", "split"
    with steps.visit("split") as here:
        assert contribution_tasks.split_work(here, DAY)


@pytest.mark.postgres
def test_settling_is_red_while_a_chunk_lacks_results(ledger, instance, fill):
    """Otherwise a clear of what failed would pass settling by and reconcile too early."""
    fill(ledger)
    with steps.visit("split") as here:
        contribution_tasks.split_work(here, DAY)
    instance.task_id = "settle"

    with pytest.raises(ProcessingError, match="chunks lack results"), steps.visit("settle") as here:
        contribution_tasks.settle_states(here, OutletEventAccessors())


@pytest.mark.postgres
@pytest.mark.parametrize("state", ["failed", "upstream_failed"])
def test_a_failed_task_makes_its_run_red(ledger, instance, state):
    """The tasks after it may go on, but the last one says so."""
    instance.task_id = "reconcile"
    instance.states = {"judge.validate_0": state, "split": "success", "settle": "skipped"}

    with (
        pytest.raises(ProcessingError, match=r"judge\.validate_0"),
        steps.visit("reconcile") as here,
    ):
        contribution_tasks.reconcile_run(here, DAY)


@pytest.mark.postgres
def test_the_books_of_many_days_fit_a_docket(ledger, instance, fill):
    """A run over ids may touch any number of days; the totals are those of all of them."""
    days = [DAY - timedelta(n) for n in range(70)]
    for n, day in enumerate(days):
        fill(ledger, count=1, day=day, name=f"a{n}")
    ids = [each for (each,) in ledger.execute("SELECT contribution_id FROM contribution")]
    with steps.visit("split") as here:
        chunk_ids = contribution_tasks.split_work(here, None, ids)
    for step in ("validate", "classify", "evaluate"):
        instance.task_id = step
        with steps.visit(step) as here:
            for chunk_id in chunk_ids:
                contribution_tasks.judge(here, chunk_id, step)
    instance.task_id = "settle"
    with steps.visit("settle") as here:
        contribution_tasks.settle_states(here, OutletEventAccessors())
    instance.task_id = "reconcile"

    with steps.visit("reconcile") as here:
        books = docket(**contribution_tasks.reconcile_run(here, None))

    assert (books["day_count"], len(books["books"])) == (70, contribution_tasks.MAX_BOOKS)
    assert books["totals"]["submitted"] == 70
    assert str(days[-1]) in books["books"]


@pytest.mark.postgres
def test_a_cleared_task_of_a_green_run_is_skipped_with_its_reason(ledger, instance, fill):
    """Nothing is left to do: the run stays green, and its books still balance."""
    fill(ledger)
    with steps.visit("split") as here:
        (chunk_id,) = contribution_tasks.split_work(here, DAY)
    for step in ("validate", "classify", "evaluate"):
        instance.task_id = step
        with steps.visit(step) as here:
            contribution_tasks.judge(here, chunk_id, step)
    instance.task_id = "settle"
    with steps.visit("settle") as here:
        contribution_tasks.settle_states(here, OutletEventAccessors())
    instance.task_id, instance.try_number = "validate", 2

    with (
        pytest.raises(AirflowSkipException, match=f"chunk {chunk_id} is settled already"),
        steps.visit("validate") as here,
    ):
        contribution_tasks.judge(here, chunk_id, "validate")

    instance.task_id = "settle"
    with steps.visit("settle") as here:
        assert contribution_tasks.settle_states(here, OutletEventAccessors())["day_count"] == 1
    instance.task_id = "reconcile"
    with steps.visit("reconcile") as here:
        assert contribution_tasks.reconcile_run(here, DAY)["totals"]["submitted"] == 3
