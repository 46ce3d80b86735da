"""Law 2, nothing is lost: a run with work left is red, whatever its books say."""

from datetime import date

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.execution_time.context import OutletEventAccessors

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
