"""A task that runs out of time inside a query, and a folder that cannot be one."""

import signal
import time

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowTaskTimeout

from include.errors import ConfigurationError
from participation import steps
from participation.ledger import connect
from participation.ledger.locks import item_lock
from participation.settings import Settings


@pytest.fixture
def alarm():
    """Interrupt the test after half a second, as Airflow interrupts a task."""

    def ring(*_):
        raise AirflowTaskTimeout("Timeout")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 0.5)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.postgres
@pytest.mark.usefixtures("alarm")
def test_a_time_out_inside_a_query_is_a_time_out(ledger, instance, metrics_of):
    """It is on record as what it is, the next attempt knows, and waits for no query of before."""
    with (
        pytest.raises(AirflowTaskTimeout),
        steps.visit("split") as here,
        here.connection.transaction(),
    ):
        here.connection.execute("SELECT pg_sleep(30)")

    assert metrics_of(ledger) == [("split", "timeout", "Timeout")]
    instance.try_number, start = 2, time.monotonic()
    with steps.visit("split") as here:
        assert here.follows_death
    assert time.monotonic() - start < 5


@pytest.mark.postgres
@pytest.mark.usefixtures("alarm")
def test_a_time_out_while_an_item_is_held_is_a_time_out(ledger, ledger_dsn, instance, metrics_of):
    """Giving the item back fails inside a query; the next session has it all the same."""
    with (
        pytest.raises(AirflowTaskTimeout),
        steps.visit("parse") as here,
        item_lock(here.connection, "parse", "a"),
    ):
        here.connection.execute("SELECT pg_sleep(30)")

    assert metrics_of(ledger) == [("parse", "timeout", "Timeout")]
    with connect(ledger_dsn) as other, item_lock(other, "parse", "a") as taken:
        assert taken


@pytest.mark.postgres
@pytest.mark.parametrize("odd", ["\x00", "\ud800"], ids=["nul", "lone_surrogate"])
def test_an_error_that_no_database_takes_is_on_record_all_the_same(
    ledger, instance, metrics_of, odd
):
    """Its words are cleaned; the error itself is the one that goes up."""
    with pytest.raises(Exception, match="bad"), steps.visit("split"):
        raise ValueError(f"bad {odd} answer")

    ((_, status, message),) = metrics_of(ledger)
    assert status == "failed"
    assert "bad \ufffd answer" in message


@pytest.mark.parametrize("folder", ["a\x00b", "n" * 300, "loop"])
def test_a_folder_that_is_no_path_fails_for_good(tmp_path, folder):
    """Another attempt would meet the same name, so none is made."""
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(ConfigurationError, match="name a folder inside it"):
        Settings(inbox=tmp_path).inside_inbox(folder)
