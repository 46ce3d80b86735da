"""Laws 2, 8, 9 and 10 around a task: locked doors, red runs, skips with a reason, the day of Paris."""

from datetime import UTC, date, datetime
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient

from include.contributions.model import Record
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
from participation.ledger import connect
from participation.ledger.loading import LedgerLoading

DAY = date(2026, 1, 12)


class Instance(SimpleNamespace):
    """What a task asks of Airflow about itself and its siblings."""

    def get_task_states(self, *, dag_id, run_ids):
        return {run_ids[0]: self.states}


@pytest.fixture
def ledger(ledger_dsn):
    """Open the module's ledger, emptied."""
    with connect(ledger_dsn) as connection:
        connection.execute("SET session_replication_role = replica")
        (tables,) = connection.execute(
            "SELECT string_agg(tablename, ', ') FROM pg_tables"
            " WHERE schemaname = 'participation' AND tablename <> 'migration'"
        ).fetchone()
        connection.execute(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
        connection.execute("SET session_replication_role = DEFAULT")
        yield connection


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


def fill(connection, count=3):
    store = LedgerLoading(connection, "audierne-esquibien")
    source = SourceFile("a", "a.jsonl", "0" * 64, 1, "jsonl", "utf-8")
    records = [
        Record("law", str(n), f"Le banc {n} du quai d'Audierne est cassé.", "", None, DAY, f"l {n}")
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
        contribution_tasks.settle_states(here)


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
