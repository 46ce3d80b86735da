"""Embedding engines keep the port's promises, and a provider's faults become sorted errors."""

import math
import time
import traceback
from collections import Counter

import pytest

from include import exchange
from include.anonymisation import VERSION
from include.documents.chat import ChatModel
from include.documents.embedding import bm25, openai_compatible
from include.documents.embedding.engine import Bm25Engine, CollectionCounts
from include.documents.embedding.openai_compatible import (
    OpenAICompatibleEngine,
    connected_engine,
)
from include.documents.opik import OpikSite
from include.errors import (
    ConfigurationError,
    ProviderRefusedError,
    ProviderUnavailableError,
    UnreadableAnswerError,
    cause_chain,
)
from tests.stub_provider import DIMENSIONS, data, status
from tests.stub_provider import vector as given_vector

KEY = "sk-a-very-secret-key"


def unit(text):
    """What the engine makes of the stub's vector: the same direction, of length 1."""
    norm = math.hypot(*given_vector(text))
    return tuple(number / norm for number in given_vector(text))


def _engine(stub, **options):
    given = {"deadline_s": 8.0, "api_key": KEY} | options
    return OpenAICompatibleEngine(stub.url, "model-1", DIMENSIONS, **given)


def test_one_vector_per_text_in_the_order_given(provider):
    """Batches by number, each asked once, joined in order."""
    texts = [letter * (position + 1) for position, letter in enumerate("abcdefg")]

    vectors = _engine(provider, batch_size=3).embed_documents(texts)

    assert vectors == [unit(text) for text in texts]
    assert all(math.isclose(math.hypot(*vector), 1.0) for vector in vectors)
    assert [len(request["input"]) for request in provider.requests] == [3, 3, 1]
    assert provider.requests[0]["model"] == "model-1"
    assert set(provider.paths) == {"/v1/embeddings"}
    assert set(provider.authorizations) == {f"Bearer {KEY}"}


def test_long_texts_make_smaller_batches(provider):
    """A request stays below what providers take, whatever the number of texts."""
    _engine(provider).embed_documents(["x" * 60_000, "y" * 60_000])

    assert [len(request["input"]) for request in provider.requests] == [1, 1]


def test_no_text_asks_nothing(provider):
    """An empty batch costs no request."""
    assert _engine(provider).embed_documents([]) == []
    assert provider.requests == []


def test_a_shuffled_answer_is_put_in_order(provider):
    """The index counts, not the place in the answer."""
    provider.faults = [data(lambda entries: entries[::-1])]

    assert _engine(provider).embed_documents(["aa", "b"]) == [
        unit("aa"),
        unit("b"),
    ]


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(500), id="server_error"),
        pytest.param(status(503, b"<html>busy"), id="unavailable"),
        pytest.param(status(200, b'{"data": [{"index": 0, "embe'), id="truncated_json"),
        pytest.param(data(lambda e: [e[0] | {"embedding": [1, 2, 3, float("nan")]}]), id="nan"),
        pytest.param(data(lambda e: [e[0] | {"embedding": [1, 2, 3, 1e300]}]), id="too_large"),
        pytest.param(status(200, b'{"data":[{"index":0,"embedding":[1,2,3,1e999]}]}'), id="inf"),
        pytest.param(data(lambda e: [e[0] | {"embedding": [1, 2, 3, True]}]), id="no_number"),
        pytest.param(data(lambda e: [e[0] | {"embedding": [0, 0, 0, 0]}]), id="zeros"),
        pytest.param(data(lambda e: [{"embedding": e[0]["embedding"]}]), id="missing_index"),
        pytest.param(data(lambda e: [e[0] | {"index": 7}]), id="wrong_index"),
        pytest.param(data(lambda e: []), id="too_few"),
        pytest.param(data(lambda e: [*e, *e]), id="too_many"),
        pytest.param(status(200, b"[" * 100_000), id="nested_without_end"),
        pytest.param(status(200, b"null"), id="null"),
        pytest.param(status(200, b"{}", Content_Encoding="gzip"), id="packed"),
    ],
)
def test_a_passing_fault_is_tried_again(provider, fault):
    """One bad answer of any sort costs a second request and nothing else."""
    provider.faults = [fault]

    assert _engine(provider).embed_documents(["aa"]) == [unit("aa")]
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param(status(500), ProviderUnavailableError, id="server_error"),
        pytest.param(status(200, b'{"data": [{"in'), UnreadableAnswerError, id="truncated"),
    ],
)
def test_a_lasting_fault_is_a_transient_error(provider, fault, error):
    """After three attempts the task hears that a later one may succeed."""
    provider.faults = [fault] * 5

    with pytest.raises(error):
        _engine(provider).embed_documents(["aa"])
    assert len(provider.requests) == 3


def test_retry_after_is_honoured(provider):
    """A provider that says when to come back is asked again then, not before."""
    provider.faults = [status(429, Retry_After="1")]

    _engine(provider).embed_documents(["aa"])

    first, second = provider.arrived_at
    assert second - first >= 1.0


def test_a_wait_beyond_the_deadline_is_handed_to_the_task(provider):
    """Nobody sleeps for a minute inside a call; the error carries the minute."""
    provider.faults = [status(429, Retry_After="60")]

    began = time.monotonic()
    with pytest.raises(ProviderUnavailableError) as caught:
        _engine(provider).embed_documents(["aa"])

    assert caught.value.retry_after_s == 60
    assert time.monotonic() - began < 20
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(status(400), id="bad_request"),
        pytest.param(status(401, KEY.encode()), id="key_refused_and_repeated"),
        pytest.param(status(403, b"x" * 290 + KEY.encode()), id="key_where_the_message_is_cut"),
        pytest.param(status(402), id="unpaid"),
        pytest.param(status(429, b'{"error": {"code": "insufficient_quota"}}'), id="quota"),
        pytest.param(status(307, Location="http://127.0.0.1:1/"), id="redirected"),
    ],
)
def test_a_refusal_stops_at_once(provider, fault):
    """What cannot pass with time is asked once, and the message does not show the key."""
    provider.faults = [fault] * 3

    with pytest.raises(ProviderRefusedError) as caught:
        _engine(provider).embed_documents(["aa"])

    assert len(provider.requests) == 1
    assert KEY[:6] not in str(caught.value)
    assert "HTTP" in str(caught.value)


def test_another_dimension_is_a_matter_of_configuration(provider):
    """A model that gives other vectors never fills an index of this engine."""
    provider.faults = [data(lambda e: [e[0] | {"embedding": [1.0, 2.0]}])]

    with pytest.raises(ConfigurationError, match="2 dimensions"):
        _engine(provider).embed_documents(["aa"])
    assert len(provider.requests) == 1


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_slow_drip_ends_at_the_deadline(provider, part):
    """A byte now and then never lets a timeout between bytes strike; the deadline still holds."""

    def drip(handler, _texts):
        if part == "body":
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        try:
            while not provider.leave.wait(0.1):
                handler.wfile.write(b" ")
        except OSError:
            pass

    provider.faults = [drip] * 3

    began = time.monotonic()
    with pytest.raises(ProviderUnavailableError, match="deadline"):
        _engine(provider, deadline_s=1.0).embed_documents(["aa"])

    assert 0.9 < time.monotonic() - began < 20


def test_an_answer_without_end_is_not_read(provider):
    """The body is read up to what the question can be worth, never 200 MB."""
    sent = Counter()

    def pour(handler, _texts):
        handler.send_response(200)
        handler.send_header("Content-Length", str(200 * 1024 * 1024))
        handler.end_headers()
        try:
            for _ in range(200):
                sent["bytes"] += handler.wfile.write(b" " * 1024 * 1024)
        except OSError:
            pass

    provider.faults = [pour]

    assert _engine(provider).embed_documents(["aa"]) == [unit("aa")]
    assert sent["bytes"] < 20 * 1024 * 1024


def test_a_closed_door_is_unavailable(provider):
    """No server at the address: transient, with the address in the message."""
    url = provider.url.replace(str(provider.server.server_port), "9")

    with pytest.raises(ProviderUnavailableError, match=r"127\.0\.0\.1"):
        OpenAICompatibleEngine(url, "m", DIMENSIONS, deadline_s=3).embed_query("aa")


def test_a_netrc_file_sends_no_password(provider, tmp_path, monkeypatch):
    """Without a key nothing is sent, whatever the machine's files hold for that host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))

    _engine(provider, api_key="").embed_query("aa")

    assert provider.authorizations == [None]


def test_blank_text_is_refused_before_it_is_sent(provider):
    """Providers refuse a blank text, and with it the whole batch."""
    with pytest.raises(ConfigurationError, match="blank"):
        _engine(provider).embed_documents(["aa", " \n"])
    assert provider.requests == []


def test_the_name_tells_vectors_apart_and_the_key_is_not_shown(provider):
    """Provider, model and dimensions name the engine; a log line never holds the key."""
    engine = _engine(provider, provider="albert")

    assert engine.name == "albert/model-1/4"
    assert KEY not in repr(engine)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"base_url": "ftp://x", "model": "m", "dimensions": 3}, id="scheme"),
        pytest.param({"base_url": "http://x", "model": "m", "dimensions": 0}, id="dimensions"),
        pytest.param({"base_url": "http://x", "model": "m", "dimensions": "3"}, id="text"),
        pytest.param({"base_url": "http://x", "model": "m"}, id="missing"),
        pytest.param({"base_url": "http://x", "model": "m", "dimensions": 3, "n": 1}, id="unknown"),
    ],
)
def test_a_wrong_connection_is_said_when_it_is_built(options):
    """Nothing is sent to an address or for a size that cannot work."""
    with pytest.raises(ConfigurationError):
        connected_engine(options)


def _made(url, key):
    """Everything that takes an address and a key."""
    return (
        lambda: OpenAICompatibleEngine(url, "m", DIMENSIONS, api_key=key),
        lambda: ChatModel(url, "m", api_key=key),
        lambda: OpikSite(url, key),
    )


def test_a_key_loses_the_line_end_that_came_with_it(provider):
    """What was pasted with its line end is the key all the same."""
    _engine(provider, api_key=f"{KEY}\r\n").embed_query("aa")

    assert provider.authorizations == [f"Bearer {KEY}"]
    assert [make().api_key for make in _made(provider.url, f" {KEY}\n")] == [KEY] * 3


@pytest.mark.parametrize("key", [f"{KEY}\nX-More: 1", f"{KEY}\x00", f"{KEY}é"])
@pytest.mark.parametrize("what", range(3))
def test_an_impossible_key_is_refused_and_not_repeated(key, what):
    """No library meets it, which would name it in its error."""
    with pytest.raises(ConfigurationError, match="character no header") as caught:
        _made("https://provider.example/v1", key)[what]()

    assert KEY not in cause_chain(caught.value)


@pytest.mark.parametrize("url", [f"http://u:{KEY}@x.fr", f"u:{KEY}@x.fr", f"http://x.fr?k={KEY}"])
@pytest.mark.parametrize("what", range(3))
def test_an_address_with_a_password_is_refused_and_not_repeated(url, what):
    """An address is written into errors, logs and the ledger."""
    with pytest.raises(ConfigurationError) as caught:
        _made(url, "")[what]()

    assert KEY not in cause_chain(caught.value)


def test_a_request_that_cannot_be_made_is_not_repeated(provider):
    """Whatever reaches the library unchecked stays out of the error, and is not tried again."""

    def sign(request):
        request.headers["Authorization"] = f"Bearer {KEY}\n"
        return request

    deadline = time.monotonic() + 8
    with pytest.raises(ConfigurationError) as caught:
        exchange.send_json("PUT", provider.url, {}, auth=sign, deadline=deadline, max_bytes=10)

    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert provider.requests == []


@pytest.mark.parametrize("location", ["http://[::1/x", "http://127.0.0.1:1/"])
def test_a_redirection_is_not_read(provider, location):
    """Neither where to nor a body without end, which the library would take in whole."""
    sent = Counter()

    def pour(handler, _texts):
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.end_headers()
        try:
            for _ in range(200):
                sent["bytes"] += handler.wfile.write(b" " * 1024 * 1024)
        except OSError:
            pass

    provider.lasting = pour

    with pytest.raises(UnreadableAnswerError, match="longer than"):
        _engine(provider).embed_query("aa")
    assert sent["bytes"] < 60 * 1024 * 1024


def test_bm25_asks_the_collection_once_per_question():
    """The embedded engine keeps the port: documents alone, questions with the live counts."""
    asked = []

    def count_terms(indices):
        asked.append(set(indices))
        return CollectionCounts(10, dict.fromkeys(indices, 2))

    engine = Bm25Engine(count_terms)

    documents = engine.embed_documents(["un banc", "une fontaine"])
    assert asked == []
    question = engine.embed_query("Où est le banc ?")

    assert asked == [{bm25.index_of("banc")}]
    assert question.indices == (bm25.index_of("banc"),)
    assert {vector.dimensions for vector in (*documents, question)} == {engine.dimensions}
    assert engine.name == bm25.ENGINE


def test_an_endpoint_outside_the_house_sees_no_name_and_no_number(monkeypatch):
    """What is sent is anonymised, the engine is another one by name, and a failure stops the call."""
    sent = []

    def post(_url, question, **_options):
        sent.extend(question["input"])
        raise UnreadableAnswerError("enough seen")

    monkeypatch.setattr(openai_compatible, "post_json", post)
    engine = OpenAICompatibleEngine("https://provider.example/v1", "m", DIMENSIONS, deadline_s=0.1)
    text = "Contact : Mme Marie Le Goff, 06 12 34 56 78, marie@example.org."

    with pytest.raises(UnreadableAnswerError):
        engine.embed_query(text)
    assert sent
    for each in sent:
        assert "Goff" not in each
        assert "06 12" not in each
        assert "marie@" not in each
    assert engine.name.endswith(f"/{VERSION}")

    def broken(_text):
        raise ValueError("no rules")

    sent.clear()
    monkeypatch.setattr(openai_compatible, "anonymised", broken)
    with pytest.raises(ValueError, match="no rules"):
        engine.embed_query(text)
    assert sent == []


@pytest.mark.parametrize(
    ("url", "is_local"),
    [
        ("http://127.0.0.1:8080/v1", True),
        ("http://localhost/v1", True),
        ("http://192.168.1.4/v1", True),
        ("https://provider.example/v1", False),
        ("https://8.8.8.8/v1", False),
    ],
)
def test_who_is_in_the_house(url, is_local):
    """By its address; the connection may say otherwise of a name."""
    assert OpenAICompatibleEngine(url, "m", DIMENSIONS).is_local is is_local
    assert OpenAICompatibleEngine(url, "m", DIMENSIONS, is_local=True).is_local
