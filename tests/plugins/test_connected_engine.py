"""A connected embedding engine beside the embedded one, through the tasks, on a real ledger."""

import json
import zlib

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowSkipException

from include.documents.embedding import bm25
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine
from include.documents.model import Media, Page, ParsedDocument
from include.errors import (
    ConfigurationError,
    PermanentError,
    ProviderRefusedError,
    ProviderUnavailableError,
    TransientError,
)
from participation import chunk_tasks, embed_tasks, index_tasks
from participation.hooks import embeddings
from participation.ledger.attempt import Attempt
from participation.ledger.documents import LedgerDocuments
from participation.search import ask
from participation.settings import Settings
from participation.steps import Visit
from tests.integration.document_steps import TOWN, kept, received
from tests.plugins.conftest import Instance
from tests.stub_provider import Provider, data, entries, send, status

pytestmark = pytest.mark.postgres

PAPERS = {
    "port": "La pêche à pied est interdite dans le port. La criée ouvre à six heures.",
    "market": "Le marché du samedi se tient sur la place. Les halles restent fermées.",
    "school": "La cantine de l'école ouvre mardi. Les tarifs suivent le quotient familial.",
}
DENSE = "127.0.0.1/model-1/64"


def by_words(text):
    """A dense vector that texts of the same words share."""
    vector = [0.01] * 64
    for term in bm25.terms(text):
        vector[zlib.crc32(term.encode()) % 64] += 1.0
    return vector


@pytest.fixture
def provider(nearby):
    stub = Provider(by_words)
    yield stub
    stub.close()


@pytest.fixture
def connect_to(monkeypatch):
    """Set the Airflow connection as an operator would, with other extras each time."""

    def connect_to(provider, **extra):
        given = {"model": "model-1", "dimensions": 64, "deadline_s": 5, "batch_size": 2} | extra
        monkeypatch.setattr(BaseHook, "get_connection", lambda _: found)
        found = embeddings_connection(provider.url, given)

    return connect_to


def embeddings_connection(url, extra):
    from airflow.sdk import Connection  # noqa: PLC0415 - absent where there is no Airflow

    return Connection(
        conn_id="participation_embeddings",
        conn_type="http",
        host=url,
        password="sk-secret",
        extra=json.dumps(extra),
    )


@pytest.fixture
def visit(ledger, tmp_path):
    """Be a task attempt in a town whose papers are read."""
    documents = LedgerDocuments(ledger, TOWN)
    for name, text in PAPERS.items():
        add(documents, name, text)
    settings = Settings(municipality=TOWN, datasets=str(tmp_path))
    attempt = Attempt("document_embedding", "run-1", "work", 0, 1)
    return Visit(ledger, attempt, settings, {"ti": Instance(states={}, max_tries=2)})


def add(documents, name, text):
    documents.keep_origin(received(f"{name}.pdf", name))
    parsed = ParsedDocument((Page(1, text, "text"),))
    documents.add_document(kept(name), Media.PDF, parsed, "1")


def cut(visit):
    try:
        chunk_tasks.plan_chunking(visit, 2)
        chunk_tasks.cut(visit)
    except AirflowSkipException:
        pass


def embed(visit):
    embed_tasks.plan_embedding(visit, 2)
    return embed_tasks.embed(visit)


def build(visit):
    """Build every index that lacks something; the engines that went live."""
    return [
        index_tasks.build_index(visit, engine)["engine"]
        for engine in index_tasks.plan_indexing(visit)
    ]


def live(visit):
    rows = visit.connection.execute(
        "SELECT engine, document_count FROM index_version WHERE state = 'live'"
    ).fetchall()
    return dict(rows)


def vectors(visit):
    rows = visit.connection.execute("SELECT engine, count(*) FROM embedding GROUP BY 1").fetchall()
    return dict(rows)


def answers(visit, question, **options):
    """Ask as `make search` does; the papers found, and what was warned of."""
    warned = []
    hits = ask(
        visit.connection,
        TOWN,
        question,
        connected=embeddings.connected(),
        warn=warned.append,
        **options,
    )
    return [hit.uri.removesuffix(".pdf") for hit in hits], warned


def test_each_engine_has_its_vectors_and_its_index(visit, provider, connect_to):
    """Both answer; the second run computes and asks nothing."""
    connect_to(provider)
    cut(visit)

    assert embed(visit)["documents"] == {bm25.ENGINE: 3, DENSE: 3}
    assert vectors(visit) == {bm25.ENGINE: 3, DENSE: 3}
    assert build(visit) == [bm25.ENGINE, DENSE]
    assert live(visit) == {bm25.ENGINE: 3, DENSE: 3}
    asked = len(provider.requests)
    found, warned = answers(visit, "Quand ouvre la cantine ?")
    assert (found[0], warned) == ("school", [])
    assert len(provider.requests) == asked + 1

    with pytest.raises(AirflowSkipException):
        embed_tasks.plan_embedding(visit, 2)
    with pytest.raises(AirflowSkipException):
        index_tasks.plan_indexing(visit)
    assert len(provider.requests) == asked + 1


def test_the_same_words_are_paid_for_once(visit, provider, connect_to):
    """In a second document, and after a cut that gives the same chunk."""
    add(LedgerDocuments(visit.connection, TOWN), "copy", PAPERS["port"])
    connect_to(provider)
    cut(visit)

    embed(visit)

    sent = [text for request in provider.requests for text in request["input"]]
    assert sorted(sent) == sorted(PAPERS.values())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(status(500), ProviderUnavailableError, id="server_error"),
        pytest.param(status(429, Retry_After="60"), ProviderUnavailableError, id="asks_to_wait"),
        pytest.param(status(429, Retry_After="7200"), PermanentError, id="rests_for_hours"),
        pytest.param(status(401), ProviderRefusedError, id="wrong_key"),
        pytest.param(
            data(lambda e: [one | {"embedding": [1.0, 2.0]} for one in e]),
            ConfigurationError,
            id="another_dimension",
        ),
        pytest.param(data(lambda e: e[:-1]), TransientError, id="short_answer"),
        pytest.param(
            lambda handler, _texts: handler.server.leave.wait(30),
            ProviderUnavailableError,
            id="no_answer_in_time",
        ),
    ],
)
def test_a_provider_that_is_down_takes_nothing_from_the_embedded_engine(
    visit, provider, connect_to, fault, error
):
    """The task is red with the reason, BM25 goes live all the same and answers with a warning."""
    connect_to(provider, deadline_s=0.5)
    provider.server.leave = provider.leave
    provider.lasting = fault
    cut(visit)

    with pytest.raises(error) as caught:
        embed(visit)

    assert "127.0.0.1" in str(caught.value)
    assert len(provider.requests) <= 9
    assert vectors(visit) == {bm25.ENGINE: 3}
    assert build(visit) == [bm25.ENGINE]
    found, warned = answers(visit, "Où se tient le marché ?")
    assert found[0] == "market"
    assert len(warned) == 1
    assert DENSE in warned[0]

    provider.lasting = None
    embed(visit)
    assert build(visit) == [DENSE]
    assert answers(visit, "Où se tient le marché ?")[1] == []


def test_a_provider_that_falls_silent_leaves_search_answering(visit, provider, connect_to):
    """Both indexes are whole; the question cannot be embedded, and the reader is told so."""
    connect_to(provider)
    cut(visit)
    embed(visit)
    build(visit)
    provider.lasting = status(503)

    found, warned = answers(visit, "Où se tient le marché ?")

    assert found[0] == "market"
    assert "503" in warned[0]


def test_what_was_paid_for_before_a_fault_is_kept(visit, provider, connect_to):
    """Each answer is stored before the next request; the next attempt sends the rest."""
    connect_to(provider)
    cut(visit)
    provider.faults = [None, status(401)]

    with pytest.raises(ProviderRefusedError):
        embed(visit)
    assert vectors(visit)[DENSE] == 1
    embed(visit)

    del provider.requests[1]
    sent = [text for request in provider.requests for text in request["input"]]
    assert sorted(sent) == sorted(PAPERS.values())


def test_an_engine_that_is_disconnected_meanwhile_is_skipped_and_no_other_built(
    visit, provider, connect_to, monkeypatch
):
    """What was planned for one engine is never done for another."""
    connect_to(provider)
    cut(visit)
    embed(visit)
    planned = index_tasks.plan_indexing(visit)
    monkeypatch.setattr(embed_tasks, "connected", lambda: None)

    with pytest.raises(AirflowSkipException, match="connected no more"):
        index_tasks.build_index(visit, planned[1])

    assert (planned, live(visit)) == ([bm25.ENGINE, DENSE], {})


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_text_that_the_provider_refuses_costs_its_document_alone(
    visit, provider, connect_to, code
):
    """The others get their vectors; the task is red, and no attempt follows by itself."""
    connect_to(provider)
    cut(visit)

    def refuse(handler, texts):
        if any("port" in text for text in texts):
            status(code)(handler, texts)
        else:
            send(handler, {"data": entries(texts, by_words)})

    provider.lasting = refuse

    with pytest.raises(PermanentError, match=f"1 documents failed.*HTTP {code}"):
        embed(visit)

    assert vectors(visit) == {bm25.ENGINE: 3, DENSE: 2}
    assert len(provider.requests) == 3


def test_a_document_that_the_embedded_engine_fails_on_leaves_the_connected_one_its_turn(
    visit, provider, connect_to, monkeypatch
):
    """One engine's trouble is not another's."""
    connect_to(provider)
    cut(visit)
    monkeypatch.setattr(bm25, "document_vector", by_words)

    with pytest.raises((ConfigurationError, TransientError, PermanentError)):
        embed(visit)

    assert vectors(visit) == {DENSE: 3}


def test_a_wrong_connection_stops_nothing_and_is_said(visit, provider, connect_to):
    """The embedded engine goes its way; the last task of embedding is red until it is put right."""
    connect_to(provider, modle="typo")
    cut(visit)

    assert embed(visit)["documents"] == {bm25.ENGINE: 3}
    with pytest.raises(ConfigurationError, match="modle"):
        embed_tasks.reconcile_embedding(visit)
    assert build(visit) == [bm25.ENGINE]
    assert "live" in index_tasks.reconcile_indexing(visit)


def test_another_dimension_is_another_engine_and_the_old_one_answers_until_then(
    visit, provider, connect_to
):
    """Vectors of two lengths are never compared; the question goes to the former model meanwhile."""
    connect_to(provider)
    cut(visit)
    embed(visit)
    build(visit)
    connect_to(provider, model="model-2", dimensions=8)
    found, warned = answers(visit, "Quand ouvre la cantine ?")
    assert (found[0], warned) == ("school", [])
    assert provider.requests[-1]["model"] == "model-1"

    provider.vector_of = lambda text: by_words(text)[:8]
    embed(visit)
    assert provider.requests[-1]["model"] == "model-2"
    build(visit)

    assert live(visit) == dict.fromkeys((bm25.ENGINE, DENSE, "127.0.0.1/model-2/8"), 3)
    answers(visit, "Quand ouvre la cantine ?")
    assert provider.requests[-1]["model"] == "model-2"


def test_an_index_that_lacks_a_document_does_not_answer_alone(visit, provider, connect_to):
    """A paper that only the embedded index holds yet is found all the same."""
    connect_to(provider)
    cut(visit)
    embed(visit)
    build(visit)
    add(LedgerDocuments(visit.connection, TOWN), "beach", "Les chiens sont interdits à Trescadec.")
    cut(visit)
    provider.lasting = status(503)
    with pytest.raises(ProviderUnavailableError):
        embed(visit)
    build(visit)
    provider.lasting = None

    found, warned = answers(visit, "Trescadec")

    assert found == ["beach"]
    assert "does not hold every document" in warned[0]


def test_joined_rankings_hold_each_place_once(visit, provider, connect_to):
    """Where the connection says so; a place that both engines found stands before the others."""
    connect_to(provider, is_fused=True)
    cut(visit)
    embed(visit)
    build(visit)

    found, warned = answers(visit, "la criée du port")

    assert warned == []
    assert found[0] == "port"
    assert sorted(found) == sorted(PAPERS)


def test_one_chunk_over_two_pages_is_one_place_in_both_rankings(visit, provider, connect_to):
    """Both engines choose the quote, hence the page, by the same weights of the words."""
    documents = LedgerDocuments(visit.connection, TOWN)
    documents.keep_origin(received("long.pdf", "long"))
    first = "Le port et le marché et la cantine sont ouverts. " + "Rien d'autre ici. " * 12
    second = "Le sémaphore est vendu. " + "Rien de plus là. " * 12
    parsed = ParsedDocument((Page(1, first, "text"), Page(2, second, "text")))
    documents.add_document(kept("long"), Media.PDF, parsed, "1")
    connect_to(provider, is_fused=True)
    cut(visit)
    embed(visit)
    build(visit)

    hits = ask(
        visit.connection, TOWN, "le port, le marché, le sémaphore", connected=embeddings.connected()
    )

    assert [hit.uri for hit in hits].count("long.pdf") == 1


def test_the_name_of_another_provider_is_not_asked():
    """An engine of another host is no former model of this one."""
    engine = OpenAICompatibleEngine("https://provider.example/v1", "m", 4)

    assert engine.named("elsewhere.example/m/4") is None
    assert engine.named(bm25.ENGINE) is None
