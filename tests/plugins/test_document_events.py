"""Whoever announces a document, however often, late or out of order: the ledger ends the same."""

import asyncio
import json
from contextlib import suppress
from itertools import pairwise

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException

from include.dockets import MAX_DOCKET_BYTES
from include.documents.model import Media, Page, ParsedDocument
from participation import chunk_tasks, dataset_tasks, embed_tasks, index_tasks
from participation.ledger.attempt import Attempt
from participation.ledger.documents import LedgerDocuments
from participation.ledger.outbox import DOCUMENT_PARSED
from participation.settings import Settings
from participation.steps import Visit
from participation.triggers.outbox import BATCH, PostgresOutboxTrigger
from tests.integration.document_steps import TOWN, kept, received, sha
from tests.plugins.conftest import Instance

pytestmark = pytest.mark.postgres

STEPS = ("chunk", "embed", "index", "dataset")
TEXTS = {
    "a": "Le phare de la baie éclaire le port.",
    "b": "La criée ouvre à six heures, le marché le samedi.",
    "c": "Le phare de la baie éclaire le port.",
}


@pytest.fixture
def visit(ledger, tmp_path, monkeypatch):
    """Be a task attempt whose datasets are the test's own."""
    monkeypatch.setattr(embed_tasks, "connected", lambda: None)
    settings = Settings(municipality=TOWN, datasets=str(tmp_path))
    attempt = Attempt("document_chunking", "run-1", "work", 0, 1)
    return Visit(ledger, attempt, settings, {"ti": Instance(states={}, max_tries=2)})


def take_in(visit, name):
    """Read a paper, as another service could: its rows and their event in one transaction."""
    documents = LedgerDocuments(visit.connection, TOWN)
    documents.keep_origin(received(f"{name}.txt", name))
    parsed = ParsedDocument((Page(1, TEXTS[name], "text"),))
    documents.add_document(kept(name), Media.TEXT, parsed, "1")


def shared(visit, workers, work):
    for worker in workers:
        with suppress(AirflowSkipException):  # the others may have left nothing
            work(visit, worker)


def cut(visit):
    shared(visit, chunk_tasks.plan_chunking(visit, 2), lambda v, _: chunk_tasks.cut(v))


def embed(visit):
    shared(visit, embed_tasks.plan_embedding(visit, 2), lambda v, _: embed_tasks.embed(v))


def index(visit):
    shared(visit, index_tasks.plan_indexing(visit), index_tasks.build_index)


def gather(visit):
    shared(visit, dataset_tasks.plan_dataset(visit), lambda v, _: dataset_tasks.find_themes(v))
    with suppress(AirflowSkipException):
        dataset_tasks.build_dataset(visit)
    dataset_tasks.reconcile_dataset(visit)


RUNS = dict(zip(STEPS, (cut, embed, index, gather), strict=True))


def run(visit, step):
    """Do what an event of the step before starts; False when its plan is skipped."""
    try:
        RUNS[step](visit)
    except AirflowSkipException:
        return False
    return True


def rows(visit, query):
    return sorted(map(str, visit.connection.execute(query).fetchall()))


def state(visit):
    """Everything that a reader could see, without the numbers that rows were given."""
    return {
        "chunks": rows(visit, "SELECT document_id, is_parent, position, content_hash FROM chunk"),
        "vectors": rows(visit, "SELECT engine, content_hash, sparse::text FROM embedding"),
        "embedded": rows(visit, "SELECT document_id, engine FROM document_embedding"),
        "answers": rows(
            visit,
            "SELECT e.document_id, c.position FROM index_version v JOIN index_entry e"
            " ON e.base_id = v.base_id AND e.removed_in IS NULL JOIN chunk c USING (chunk_id)"
            " WHERE v.state = 'live'",
        ),
        "counts": rows(
            visit, "SELECT document_count, chunk_count FROM index_version WHERE state = 'live'"
        ),
        "themes": rows(visit, "SELECT document_id, label, weight FROM theme"),
        "events": rows(
            visit,
            "SELECT topic, payload ->> 'document_id' FROM outbox WHERE topic IN"
            " ('document_parsed', 'document_chunked', 'chunks_embedded')",
        ),
    }


def empty(visit):
    with visit.connection.transaction():
        visit.connection.execute("SET LOCAL session_replication_role = replica")
        visit.connection.execute(
            "TRUNCATE document, document_origin, outbox, embedding, index_version, dataset CASCADE"
        )


EVENTS = [*(("take_in", name) for name in TEXTS), *(("run", step) for step in STEPS)]


@settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=st.lists(st.sampled_from(EVENTS), max_size=12), last=st.permutations(list(TEXTS)))
def test_repeated_late_and_reordered_events_end_in_the_same_state(visit, events, last):
    """Steps are started in any order and number before all papers are in; then each step once."""
    empty(visit)
    for name in TEXTS:
        take_in(visit, name)
    for step in STEPS:
        run(visit, step)
    expected = state(visit)

    empty(visit)
    for what, which in events:
        if what == "take_in":
            take_in(visit, which)
        else:
            run(visit, which)
    for name in last:
        take_in(visit, name)
    for step in STEPS:
        run(visit, step)

    assert state(visit) == expected
    assert not any(run(visit, step) for step in reversed(STEPS))


@pytest.fixture
def watch(ledger_dsn, monkeypatch):
    """Return the events that the watcher of a topic fires for what waits."""

    async def anywhere(_):
        return None

    monkeypatch.setattr("participation.triggers.outbox.BaseHook.aget_connection", anywhere)
    monkeypatch.setattr("participation.triggers.outbox.ledger_dsn", lambda _: ledger_dsn)

    async def all_of(topic):
        events, found = PostgresOutboxTrigger(topic, poll_interval_s=0.1).run(), []
        try:
            while True:
                found.append((await asyncio.wait_for(anext(events), 2)).payload)
        except TimeoutError:
            return found

    return lambda topic: asyncio.run(all_of(topic))


INSERT = "INSERT INTO participation.outbox (topic, payload) VALUES (%s, %s)"


@pytest.fixture
def stranger(ledger, ledger_dsn):
    """Be another service: a role that may add to the outbox and nothing else."""
    ledger.execute("DROP ROLE IF EXISTS another_service")
    ledger.execute("CREATE ROLE another_service LOGIN PASSWORD 'x'")
    ledger.execute("GRANT USAGE ON SCHEMA participation TO another_service")
    ledger.execute("GRANT INSERT (topic, payload) ON participation.outbox TO another_service")
    with psycopg.connect(ledger_dsn, autocommit=True) as connection:
        connection.execute("SET SESSION AUTHORIZATION another_service")
        yield connection
    ledger.execute("DROP OWNED BY another_service")
    ledger.execute("DROP ROLE another_service")


def test_another_service_announces_by_inserting_a_row(visit, stranger, watch):
    """It may write the row and nothing else; the event wakes the step, which asks the ledger."""
    with visit.connection.transaction():
        take_in(visit, "a")
        visit.connection.execute("DELETE FROM outbox")
    assert watch(DOCUMENT_PARSED) == []

    stranger.execute(INSERT, (DOCUMENT_PARSED, json.dumps({"document_id": sha("a")})))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stranger.execute("SELECT FROM participation.chunk")

    (event,) = watch(DOCUMENT_PARSED)
    assert event["rows"] == [{"document_id": sha("a")}]
    assert [run(visit, step) for step in STEPS] == [True] * 4
    assert state(visit)["answers"] == [str((sha("a"), 0))]


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param({"document_id": "0" * 64}, id="an_unknown_document"),
        pytest.param({"municipality": "quimper"}, id="another_town"),
        pytest.param(["not", "an", "object"], id="no_object"),
        pytest.param(None, id="null"),
    ],
)
def test_an_event_about_nothing_changes_nothing(visit, watch, payload):
    """What an event says is never believed; every step is skipped."""
    take_in(visit, "a")
    for step in STEPS:
        run(visit, step)
    before = state(visit)
    visit.connection.execute("DELETE FROM outbox")
    visit.connection.execute(INSERT, (DOCUMENT_PARSED, json.dumps(payload)))

    assert len(watch(DOCUMENT_PARSED)) == 1
    assert not any(run(visit, step) for step in STEPS)

    assert {**state(visit), "events": None} == {**before, "events": None}


def test_a_night_without_news_reads_no_document(visit, monkeypatch):
    """An empty town, and one whose next index says what the dataset says already."""
    assert not any(run(visit, step) for step in STEPS)
    take_in(visit, "a")
    for step in STEPS:
        run(visit, step)
    LedgerDocuments(visit.connection, TOWN).keep_origin(received("a again.txt", "b"))
    visit.connection.execute("UPDATE index_version SET state = 'retired' WHERE state = 'live'")
    assert run(visit, "index")

    assert run(visit, "dataset")
    monkeypatch.delattr(dataset_tasks.near_duplicates, "find")
    assert not any(run(visit, step) for step in STEPS)
    assert rows(visit, "SELECT version FROM dataset") == ["(1,)"]


def test_many_rows_are_few_small_events_and_one_run(visit, watch):
    """A folder of a thousand papers wakes the next step a few times, each event a docket."""
    with visit.connection.transaction():
        for name in TEXTS:
            take_in(visit, name)
        visit.connection.execute("DELETE FROM outbox")
        visit.connection.execute(
            "INSERT INTO outbox (topic, payload) SELECT %s, jsonb_build_object('document_id',"
            " md5(n::text)) FROM generate_series(1, 1200) n",
            (DOCUMENT_PARSED,),
        )
        visit.connection.execute(INSERT, (DOCUMENT_PARSED, json.dumps({"x": "é" * 1_000_000})))

    events = watch(DOCUMENT_PARSED)

    assert [event["row_count"] for event in events] == [BATCH, BATCH, 201]
    assert all(len(json.dumps(event).encode()) <= MAX_DOCKET_BYTES for event in events)
    assert all(one["outbox_ids"][-1] < two["outbox_ids"][0] for one, two in pairwise(events))
    assert run(visit, "chunk")
    assert len(rows(visit, "SELECT document_id FROM document_chunking")) == len(TEXTS)
    assert not run(visit, "chunk")
