"""Laws 2, 8, 9 and 10 around a task: locked doors, red runs, skips with a reason, the day of Paris."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout
from airflow.sdk.execution_time.context import OutletEventAccessors
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from include.contributions.model import Contribution, Record
from include.errors import (
    ConfigurationError,
    PermanentError,
    ProcessingError,
    ReconciliationError,
    is_transient,
)
from include.ports import SourceFile
from participation import contribution_tasks, steps
from participation.api.app import app
from participation.defaults import ANALYSED
from participation.ledger import metrics
from participation.ledger.loading import LedgerLoading

DAY = date(2026, 1, 12)


class Instance(SimpleNamespace):
    """What a task asks of Airflow about itself and its siblings."""

    def get_task_states(self, *, dag_id, run_ids):
        return {run_ids[0]: self.states}


@pytest.fixture
def instance(ledger_dsn, monkeypatch):
    """Be a task attempt of a run, with the module's ledger behind the connection."""
    here = Instance(
        dag_id="contribution_analysis",
        run_id="run-1",
        task_id="split",
        map_index=-1,
        try_number=1,
        max_tries=2,
        states={},
    )
    monkeypatch.setattr(steps, "get_current_context", lambda: {"ti": here})
    monkeypatch.setattr(steps, "ledger_dsn", lambda: ledger_dsn)
    monkeypatch.setattr("participation.fence.die_with_parent", lambda: None)
    return here


def fill(connection, count=3, day=DAY, name="a"):
    store = LedgerLoading(connection, "audierne-esquibien")
    source = SourceFile(name, name, name * 64, 1, "jsonl", "utf-8")
    records = [
        Record(
            name,
            str(n),
            f"Le banc {name}{n} du quai d'Audierne est cassé.",
            "",
            None,
            day,
            f"l {n}",
        )
        for n in range(count)
    ]
    store.add_file(store.begin_load("inbox"), source, records)


def metrics_of(connection):
    return connection.execute(
        "SELECT step, status, error_message FROM step_metric ORDER BY metric_id"
    ).fetchall()


# Law 8


def routes(application):
    return [route for route in application.routes if isinstance(route, APIRoute)]


def guards(dependant):
    found = {
        getattr(each.call, "__qualname__", repr(each.call)).split(".")[0]
        for each in dependant.dependencies
    }
    return found.union(*(guards(each) for each in dependant.dependencies))


def test_the_application_shows_nothing_by_itself():
    """No schema, no generated pages, no mounted folder: every route is one of ours."""
    assert {type(route).__name__ for route in app.routes} == {"APIRoute"}
    assert routes(app)


@pytest.mark.parametrize("route", routes(app), ids=lambda route: route.path)
def test_every_route_asks_who_and_whether_they_may(route):
    """Both questions stand on each route; one added without them fails here."""
    assert {"requires_authenticated", "requires_access_dag"} <= guards(route.dependant)
    assert route.methods <= {"GET", "HEAD"}, "what changes something needs more than a cookie"


@pytest.mark.parametrize("route", routes(app), ids=lambda route: route.path)
def test_nobody_gets_in_without_a_login(route):
    """Anonymous is 401 on every route, before anything of it runs."""
    path = route.path.replace("{day}", "2026-01-12") + "?run_id=x"

    answer = TestClient(app, raise_server_exceptions=False).get(path, follow_redirects=False)

    assert answer.status_code == 401


# Law 9


@pytest.mark.postgres
def test_a_split_with_nothing_to_do_is_skipped_with_its_reason(ledger, instance):
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
def test_a_split_whose_work_another_run_holds_says_which(ledger, instance):
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
def test_a_run_that_was_told_nothing_fails_at_once_and_says_what_to_do(ledger, instance):
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
def test_every_end_of_an_attempt_is_on_record(ledger, instance, end, status):
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
def test_an_attempt_that_is_lost_still_counts_for_its_day(ledger, instance, known_by, monkeypatch):
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


# What is announced


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
def test_a_run_over_ids_announces_the_days_it_settled(ledger, instance):
    """Whoever waits for a day hears of it, however the run was started."""
    fill(ledger)
    fill(ledger, 2, day=date(2026, 1, 14), name="b")
    judge_everything(instance, ids=["a:0", "b:1"])

    assert settled(instance) == {"2026-01-12", "2026-01-14"}
    # A repeated attempt, its first one lost before Airflow heard of the event, says it again.
    assert settled(instance) == {"2026-01-12", "2026-01-14"}


@pytest.mark.postgres
def test_a_run_that_judged_nothing_announces_nothing(ledger, instance):
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


# Law 2


@pytest.mark.postgres
def test_a_run_with_work_left_ends_red_and_gives_it_back(ledger, instance):
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
def test_settling_is_red_while_a_chunk_lacks_results(ledger, instance):
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


# Law 10


def test_yesterday_is_the_day_before_today_in_paris(monkeypatch):
    """Half past eleven in the evening by UTC is already tomorrow in Audierne."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 11, 23, 30, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr(contribution_tasks, "datetime", Clock)

    assert contribution_tasks.yesterday() == date(2026, 1, 11)
