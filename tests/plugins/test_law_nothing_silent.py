"""Law 9, nothing silent: a skip has its reason, every end of an attempt is on record."""

from datetime import date
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout

from include.errors import ConfigurationError, PermanentError, ProcessingError, is_transient
from participation import contribution_tasks, steps
from participation.ledger import metrics

DAY = date(2026, 1, 12)


@pytest.mark.postgres
def test_a_split_with_nothing_to_do_is_skipped_with_its_reason(ledger, instance, metrics_of):
    """Never a green task that did nothing; the metric says skipped, and why."""
    with (
        pytest.raises(AirflowSkipException, match="everything selected is judged"),
        steps.visit("split") as here,
    ):
        contribution_tasks.split_work(here, DAY)

    ((step, status, reason),) = metrics_of(ledger)
    assert (step, status) == ("split", "skipped")
    assert "nothing to do" in reason


@pytest.mark.postgres
def test_a_split_whose_work_another_run_holds_says_which(ledger, instance, fill, metrics_of):
    """The other one finds nothing to do and says so."""
    fill(ledger)
    with steps.visit("split") as here:
        assert len(contribution_tasks.split_work(here, DAY)) == 1
    instance.run_id = "run-2"

    with (
        pytest.raises(AirflowSkipException, match="contribution_analysis/run-1"),
        steps.visit("split") as here,
    ):
        contribution_tasks.split_work(here, DAY)

    assert [status for _, status, _ in metrics_of(ledger)] == ["success", "skipped"]


@pytest.mark.postgres
def test_a_run_that_was_told_nothing_fails_at_once_and_says_what_to_do(
    ledger, instance, metrics_of
):
    """A permanent error with the way out, not a run over nothing or over everything."""
    with (
        pytest.raises(ProcessingError, match="fill in one of day, ids and text") as caught,
        steps.visit("split") as here,
    ):
        contribution_tasks.split_work(here, None)

    assert isinstance(caught.value.cause, ConfigurationError)
    assert not is_transient(caught.value)
    assert (caught.value.step, caught.value.attempt) == ("split", 1)
    assert [status for _, status, _ in metrics_of(ledger)] == ["failed"]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("end", "status"),
    [
        pytest.param(AirflowTaskTimeout("over"), "timeout", id="timeout"),
        pytest.param(AirflowSkipException("no need"), "skipped", id="skipped"),
        pytest.param(PermanentError("no"), "failed", id="failed"),
    ],
)
def test_every_end_of_an_attempt_is_on_record(ledger, instance, end, status, metrics_of):
    """Opened as running, closed with what happened and why."""

    def attempt():
        with steps.visit("validate"):
            assert metrics_of(ledger) == [("validate", "running", None)]
            raise end

    # A time-out of Airflow is no Exception, so that no task swallows it.
    with pytest.raises(BaseException, match=str(end)):
        attempt()

    ((_, closed_as, reason),) = metrics_of(ledger)
    assert closed_as == status
    assert str(end) in reason


@pytest.mark.postgres
@pytest.mark.parametrize("known_by", ["partition_key", "params", "chunk"])
def test_an_attempt_that_is_lost_still_counts_for_its_day(
    ledger, instance, known_by, monkeypatch, fill
):
    """The day is on record while the attempt works, not only when it comes to its end."""
    if known_by == "chunk":
        fill(ledger)
        with steps.visit("split") as here:
            (chunk_id,) = contribution_tasks.split_work(here, DAY)
        ledger.execute("DELETE FROM step_metric")
        work = lambda here: here.works_on(here.analysis.day_of_chunk(chunk_id))  # noqa: E731 - one of three
        context = {}
    else:
        work = lambda here: None  # noqa: E731 - the same
        run = SimpleNamespace(
            partition_key=DAY.isoformat() if known_by == "partition_key" else None
        )
        context = {"dag_run": run, "params": {"day": None if run.partition_key else str(DAY)}}
    monkeypatch.setattr(steps, "get_current_context", lambda: {"ti": instance, **context})

    with steps.visit("validate") as here:
        work(here)
        metrics.close_lost(ledger, instance.dag_id, instance.run_id)
        lost = ledger.execute("SELECT status, received_on FROM step_metric").fetchall()

    assert lost == [("failed", DAY)]


@pytest.mark.postgres
@pytest.mark.parametrize(("end", "follows"), [("killed", True), ("failed", False)])
def test_an_attempt_knows_that_the_one_before_died(ledger, instance, end, follows):
    """Then the contributions it may have been at are judged one by one; after an error they are not."""
    if end == "killed":
        metrics.open_metric(ledger, "audierne-esquibien", steps.attempt_of(instance), "validate")
    else:
        with pytest.raises(ProcessingError), steps.visit("validate"):
            raise PermanentError("no")
    instance.try_number = 2

    with steps.visit("validate") as here:
        assert here.follows_death is follows


@pytest.mark.postgres
def test_what_a_task_hands_on_is_on_record(ledger, instance):
    """A run's page shows it; a list or a number is only handed to the next task."""
    undecorated = steps.step_task(decorator=lambda **_arguments: lambda run: run)

    def count(*, visit):
        """Count."""
        return {"new": 3, "left": {"bm25": 0}}

    def number(*, visit):
        """Number."""
        return [0, 1]

    assert undecorated(count)() == {"new": 3, "left": {"bm25": 0}}
    instance.task_id = "plan"
    assert undecorated(number)() == [0, 1]

    stored = ledger.execute("SELECT step, docket FROM step_metric ORDER BY metric_id").fetchall()
    assert stored == [("count", {"new": 3, "left": {"bm25": 0}}), ("number", None)]
