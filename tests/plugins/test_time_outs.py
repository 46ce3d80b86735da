"""A task that runs out of time inside a query, and a folder that cannot be one."""

import signal
import time

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowTaskTimeout

from include.documents.embedding import bm25
from include.errors import ConfigurationError
from participation import chunk_tasks, embed_tasks, steps
from participation.ledger.locks import item_lock
from participation.settings import Settings
from tests.integration.document_steps import Steps


@pytest.fixture
def oversleep():
    """Ask the ledger for half a minute, and be interrupted soon, as Airflow interrupts a task."""

    def ring(*_):
        raise AirflowTaskTimeout("Timeout")

    before = signal.signal(signal.SIGALRM, ring)

    def oversleep(connection):
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        connection.execute("SELECT pg_sleep(30)")

    yield oversleep
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.postgres
def test_a_time_out_inside_a_query_is_a_time_out(ledger, instance, metrics_of, oversleep):
    """It is on record as what it is, the next attempt knows, and waits for no query of before."""
    with (
        pytest.raises(AirflowTaskTimeout),
        steps.visit("split") as here,
        here.connection.transaction(),
    ):
        oversleep(here.connection)

    assert metrics_of(ledger) == [("split", "timeout", "Timeout")]
    instance.try_number, start = 2, time.monotonic()
    with steps.visit("split") as here:
        assert here.follows_death
    assert time.monotonic() - start < 5


@pytest.mark.postgres
def test_a_time_out_over_a_document_is_a_time_out(ledger, instance, metrics_of, oversleep):
    """Giving a document back must not hide why: the session is in the middle of a query."""
    with (
        pytest.raises(AirflowTaskTimeout),
        steps.visit("parse") as here,
        item_lock(here.connection, "parse", "a document"),
    ):
        oversleep(here.connection)

    assert metrics_of(ledger) == [("parse", "timeout", "Timeout")]
    with steps.visit("parse") as here, item_lock(here.connection, "parse", "a document") as taken:
        assert taken


@pytest.mark.postgres
def test_a_time_out_while_vectors_are_made_is_a_time_out(
    ledger, instance, metrics_of, monkeypatch, oversleep
):
    """What is complete is announced by who completes it, not by who is interrupted."""
    town = Steps(ledger)
    town.keep("a.pdf", "a")
    town.parse("a", "Le port est ouvert.")
    with steps.visit("chunk") as here:
        chunk_tasks.cut(here)

    class Slow:
        name, kind, dimensions = bm25.ENGINE, "sparse", bm25.DIMENSIONS

        def embed_documents(self, texts):
            oversleep(here.connection)

    monkeypatch.setattr(embed_tasks, "_engines", lambda: [Slow()])
    instance.task_id = "work"
    with pytest.raises(AirflowTaskTimeout), steps.visit("embed") as here:
        embed_tasks.embed(here)

    assert metrics_of(ledger)[-1] == ("embed", "timeout", "Timeout")


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
