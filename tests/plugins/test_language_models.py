"""A chain of providers on this machine, with every fault: deadline, cap, breaker, budget, typed errors."""

import asyncio
import importlib
import json
import logging
import subprocess
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException

from include.contributions.model_prompts import judging_prompt
from include.errors import (
    BudgetSpentError,
    CircuitOpenError,
    ConfigurationError,
    LedgerUnavailableError,
    ParticipationError,
    ProbeUnderwayError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RequestRefusedError,
    UnreadableAnswerError,
    is_transient,
)
from include.ports import AnswerKey, Question, Reply
from participation.defaults import ParticipationRetryPolicy
from participation.hooks.language_models import (
    ConnectedModel,
    connected_chain,
    most_charged,
    provider_of,
)
from participation.ledger import connect
from participation.ledger.model_calls import Charge, Limits, ModelCalls
from tests.model_doubles import TOWN
from tests.stub_provider import (
    Huge,
    Provider,
    breaking_off,
    completion,
    dripping,
    opinion,
    reset,
    says,
    send,
    status,
)

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[2]
KEY = "sk-a-very-secret-key"
NAMING = "Le banc de Gaëlle est cassé, près d'ici."
LOADED = """
import sys, participation.contribution_tasks, participation.preloaded
print([name for name in ("pydantic_ai", "openai", "httpx2") if name in sys.modules])
"""
PROMPT = judging_prompt(TOWN, anonymised=False)


def question(text="Réparer le banc du quai, près de la criée d'Audierne."):
    key = AnswerKey(f"hash of {text}", PROMPT.hash, "m", "r")
    return Question(key, "judge", PROMPT.instructions, {"id": "t", "texte": text}, PROMPT.form)


def connection(url, conn_id="participation_llm", **extra):
    return Connection(
        conn_id=conn_id,
        conn_type="pydanticai",
        host=url,
        password=KEY,
        extra=json.dumps({"model": "openai-chat:small", "deadline_s": 5, **extra}),
    )


@pytest.fixture
def second(provider):
    stub = Provider()
    yield stub
    stub.close()


@pytest.fixture
def calls(ledger_dsn, ledger):
    made = ModelCalls(lambda: connect(ledger_dsn), "dag", "run")
    yield made
    made.close()


@pytest.fixture
def ask(calls):
    """Ask a chain of connections once."""

    def ask(*connections, asked=None):
        async def once():
            model = ConnectedModel([provider_of(each) for each in connections], calls)
            try:
                return await model.ask(asked or question())
            finally:
                await model.close()

        return asyncio.run(once())

    return ask


def recorded(ledger, columns="status, charged_tokens, charged_eur::float8, error"):
    return ledger.execute(f"SELECT {columns} FROM provider_call ORDER BY call_id").fetchall()


@pytest.mark.parametrize("output", ["native", "tool", "prompted"])
def test_a_question_goes_out_as_data_and_its_answer_comes_back_with_its_origin(
    provider, ask, ledger, output
):
    reply = ask(
        connection(provider.url, output=output, input_eur_per_million=1, output_eur_per_million=2)
    )

    assert json.loads(reply.content) == opinion({"id": "t", "texte": question().data["texte"]})
    assert (reply.model, reply.ending) == ("small-2026", "answered")
    assert reply.provider.startswith("participation_llm (127.0.0.1:")
    assert (reply.input_tokens, reply.output_tokens) == (100, 20)
    assert reply.cost_eur == pytest.approx(0.00014)
    (sent,) = provider.requests
    *systems, user = sent["messages"]
    assert {each["role"] for each in systems} == {"system"}
    assert user["role"] == "user"
    assert not any("banc" in each["content"] for each in systems)
    assert json.loads(user["content"]) == question().data
    assert (sent["model"], sent["max_tokens"], sent["temperature"]) == ("small", 1500, 0)
    assert provider.authorizations == [f"Bearer {KEY}"]
    assert recorded(ledger) == [("answered", 120, pytest.approx(0.00014), None)]


def garbage(body, **headers):
    return lambda handler, _asked: send(handler, body, **headers)


REFUSED = b'{"error": {"message": "wrong key sk-a-very-secret-key", "code": "invalid_api_key"}}'
QUOTA = b'{"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}'


@pytest.mark.parametrize(
    ("fault", "error", "times"),
    [
        pytest.param(status(500), ProviderUnavailableError, 3, id="500"),
        pytest.param(status(503), ProviderUnavailableError, 3, id="503"),
        pytest.param(status(429), ProviderUnavailableError, 3, id="429"),
        pytest.param(reset, ProviderUnavailableError, 3, id="reset"),
        pytest.param(breaking_off, ProviderUnavailableError, 3, id="broken_off"),
        pytest.param(status(401, REFUSED), ProviderRefusedError, 1, id="401"),
        pytest.param(status(402), ProviderRefusedError, 1, id="402"),
        pytest.param(status(403), ProviderRefusedError, 1, id="403"),
        pytest.param(status(404), ProviderRefusedError, 1, id="404"),
        pytest.param(status(429, QUOTA), ProviderRefusedError, 1, id="quota_gone"),
        pytest.param(status(400), RequestRefusedError, 1, id="400"),
        pytest.param(status(413), RequestRefusedError, 1, id="413"),
        pytest.param(status(422), RequestRefusedError, 1, id="422"),
        pytest.param(
            garbage(b"hello", Content_Type="text/plain"), UnreadableAnswerError, 2, id="text"
        ),
        pytest.param(garbage({}), UnreadableAnswerError, 2, id="empty_object"),
        pytest.param(garbage(b"{"), UnreadableAnswerError, 2, id="not_json"),
        pytest.param(garbage(b"\xff\xfe"), UnreadableAnswerError, 2, id="not_utf8"),
        pytest.param(garbage({"choices": []}), UnreadableAnswerError, 2, id="no_choice"),
        pytest.param(
            garbage(b"xx", Content_Encoding="gzip"), UnreadableAnswerError, 2, id="packed"
        ),
        pytest.param(
            says(opinion, usage=(10**9, 1)), ProviderRefusedError, 1, id="takes_too_many_tokens"
        ),
    ],
)
def test_a_fault_is_one_kind_of_error_and_is_tried_again_where_that_helps(
    provider, ask, ledger, fault, error, times
):
    provider.lasting = fault

    with pytest.raises(error) as caught:
        ask(connection(provider.url))

    assert len(provider.requests) == times
    assert is_transient(caught.value) == issubclass(
        error, ProviderUnavailableError | UnreadableAnswerError
    )
    assert KEY not in repr(caught.value)
    assert KEY not in str(recorded(ledger))
    assert all(row[0] != "open" for row in recorded(ledger))


@pytest.mark.parametrize("burst", [1, 2])
def test_a_burst_of_errors_is_outlasted(provider, ask, ledger, burst):
    provider.faults = [status(500)] * burst

    assert ask(connection(provider.url)).ending == "answered"
    assert [row[0] for row in recorded(ledger)] == ["failed"] * burst + ["answered"]
    assert ledger.execute("SELECT count(*) FROM provider_state").fetchone() == (0,)


def test_a_provider_that_says_when_to_come_back_is_left_alone_until_then(provider, ask):
    provider.faults = [status(429, Retry_After="1")]

    ask(connection(provider.url))

    assert provider.arrived_at[1] - provider.arrived_at[0] >= 1.0


def test_a_longer_wait_is_the_tasks_and_everybodys(provider, ask):
    """The retry policy gets the provider's own figure, and no other worker asks meanwhile."""
    provider.lasting = status(429, Retry_After="40")

    with pytest.raises(CircuitOpenError) as caught:
        ask(connection(provider.url))
    with pytest.raises(CircuitOpenError):
        ask(connection(provider.url))

    assert len(provider.requests) == 1
    assert 38 < caught.value.retry_after_s <= 40
    decision = ParticipationRetryPolicy().evaluate(caught.value, 1, 5)
    assert decision.retry_delay.total_seconds() == pytest.approx(caught.value.retry_after_s)


def test_a_slow_drip_ends_at_the_deadline(provider, ask, ledger):
    """A byte now and then resets the timeout of a library; it does not move the deadline."""
    importlib.import_module("participation.hooks.pydantic_models")  # not part of the time
    provider.lasting = dripping(provider)
    start = time.monotonic()

    with pytest.raises(ProviderUnavailableError, match="before the deadline"):
        ask(connection(provider.url, deadline_s=0.6))

    assert time.monotonic() - start < 15
    ((status_, charged, _, _),) = recorded(ledger)
    assert (status_, charged > 1500) == ("unknown", True), "it may have been answered and be billed"


def test_a_body_without_end_is_not_read(provider, ask):
    provider.lasting = huge = Huge()

    with pytest.raises(UnreadableAnswerError, match="longer than"):
        ask(connection(provider.url))

    assert huge.sent < 20_000_000


def test_a_redirection_does_not_take_the_key_along(provider, second, ask):
    provider.lasting = status(307, Location=f"{second.url}/chat/completions")

    with pytest.raises(ProviderRefusedError, match="redirects"):
        ask(connection(provider.url))

    assert second.requests == []


def repeating(code, *, as_json=True):
    """Refuse a question and say it all again, the key as well."""

    def fault(handler, asked):
        said = f"no answer to {asked['texte']} for Bearer {KEY}"
        body = {"error": {"message": said, "code": "refused"}} if as_json else said.encode()
        send(handler, body, code)

    return fault


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "plain"])
@pytest.mark.parametrize("code", [400, 401, 404, 429, 500])
def test_a_refusal_that_repeats_the_text_is_told_without_it(
    provider, ask, ledger, caplog, code, as_json
):
    """Neither the citizen's words nor the key stand in an error, what caused it, a log or a row."""
    provider.lasting = repeating(code, as_json=as_json)

    with pytest.raises(ParticipationError) as caught:
        ask(connection(provider.url), asked=question(NAMING))

    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    rows = ledger.execute("SELECT error FROM provider_call UNION SELECT reason FROM provider_state")
    stored = str(rows.fetchall())
    assert f"HTTP {code}" in stored
    for secret in ("Gaëlle", "Ga\\u00eblle", KEY):
        assert secret not in told + stored
    assert f"HTTP {code}" in str(caught.value)


def test_a_provider_in_the_house_is_not_asked_through_a_proxy(provider, second, ask, monkeypatch):
    """A proxy of the environment stands outside, and texts for the house are not anonymised."""
    monkeypatch.delenv("NO_PROXY")
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, second.url.removesuffix("/v1"))

    assert ask(connection(provider.url)).ending == "answered"
    assert not second.requests


@pytest.mark.parametrize(
    ("fault", "ending"),
    [
        pytest.param(says('{"id": "t"', finish="length"), "cut_off", id="truncated"),
        pytest.param(says(None, refusal="I will not"), "declined", id="refusal"),
        pytest.param(says(None, finish="content_filter"), "declined", id="content_filter"),
        pytest.param(says("```json\n{}\n```"), "answered", id="fenced"),
        pytest.param(says('{"confidence": NaN}'), "answered", id="nan"),
        pytest.param(says(None), "answered", id="no_words"),
    ],
)
def test_what_a_model_says_is_handed_on_as_it_is(provider, ask, fault, ending):
    """Reading it is the domain's affair, and a refusal is not taken to the next model."""
    provider.lasting = fault

    reply = ask(connection(provider.url))

    assert reply.ending == ending


def test_who_counts_no_tokens_is_charged_the_most(provider, ask, ledger):
    provider.lasting = says(opinion, usage=None)
    most = most_charged(provider_of(connection(provider.url)), question())

    ask(connection(provider.url))

    assert recorded(ledger)[0][1] == most.tokens


def test_the_next_provider_answers_where_the_first_does_not(provider, second, ask, ledger):
    provider.lasting = status(500)

    reply = ask(connection(provider.url), connection(second.url, "llm_second"))

    assert reply.provider.startswith("llm_second")
    assert [row[0] for row in recorded(ledger)] == ["failed"] * 3 + ["answered"]
    names = [name for (name,) in recorded(ledger, "conn_id")]
    assert names == ["participation_llm"] * 3 + ["llm_second"]


def test_a_group_of_errors_is_one_error_of_ours(provider, second, ask):
    """The one that passes soonest speaks, so that the retry policy knows what to do."""
    provider.lasting, second.lasting = status(401), status(503)

    with pytest.raises(ProviderUnavailableError, match=r"HTTP 503.*HTTP 401"):
        ask(connection(provider.url), connection(second.url, "llm_second"))


def test_a_breaker_opens_for_all_workers_and_one_tries_again(provider, ask, ledger, ledger_dsn):
    """Five failures in a row; then nobody asks until the ledger's clock says so, and then one does."""
    provider.lasting = status(500)
    options = {"breaker_failures": 5, "breaker_open_s": 60}
    failing = connection(provider.url, **options)
    with pytest.raises(ProviderUnavailableError):
        ask(failing)
    with pytest.raises(CircuitOpenError):
        ask(failing)
    asked = len(provider.requests)
    assert asked == 5

    other = ModelCalls(lambda: connect(ledger_dsn))
    with pytest.raises(CircuitOpenError, match="HTTP 500"):
        other.check(provider_of(failing).limits, Charge(1, Decimal(0)))
    with pytest.raises(CircuitOpenError):
        ask(failing)
    assert len(provider.requests) == asked

    ledger.execute("UPDATE provider_state SET open_until = now() - interval '1 second'")
    limits = provider_of(failing).limits
    names = {"provider": "p", "model": "m", "purpose": "judge", "text_hash": "h"}
    other.begin(limits, Charge(1, Decimal(0)), **names)
    with pytest.raises(ProbeUnderwayError):
        other.begin(limits, Charge(1, Decimal(0)), **names)
    other.close()

    # The one who tried never came back; after a while somebody else tries.
    ledger.execute("UPDATE provider_state SET probed_until = now() - interval '1 second'")
    provider.lasting = None
    assert ask(failing).ending == "answered"
    assert ledger.execute("SELECT count(*) FROM provider_state").fetchone() == (0,)


def test_a_refused_key_stops_all_asking_with_one_message(provider, ask, caplog):
    provider.lasting = status(401, REFUSED)

    with caplog.at_level(logging.ERROR), pytest.raises(ProviderRefusedError):
        ask(connection(provider.url))
    for _ in range(3):
        with pytest.raises(CircuitOpenError, match="HTTP 401"):
            ask(connection(provider.url))

    assert len(provider.requests) == 1
    assert len(caplog.records) == 1
    assert KEY not in caplog.text


def test_a_budget_ends_before_it_is_passed(provider, ask, ledger):
    """The most that the next call may take is reserved first; what it took is charged after."""
    most = most_charged(provider_of(connection(provider.url)), question()).tokens
    limited = connection(provider.url, daily_budget_tokens=most + 2 * 120)

    for _ in range(3):
        ask(limited)
    with pytest.raises(BudgetSpentError, match="tokens are spent or reserved today"):
        ask(limited)

    assert len(provider.requests) == 3
    (charged,) = ledger.execute("SELECT charged_tokens FROM provider_day").fetchone()
    assert charged == 360 <= most + 240


def test_a_budget_in_money(provider, ask):
    prices = {"input_eur_per_million": 100, "output_eur_per_million": 100}
    small = connection(provider.url, daily_budget_eur=0.01, **prices)

    with pytest.raises(BudgetSpentError, match="EUR"):
        ask(small)

    assert provider.requests == []


def test_two_workers_do_not_both_take_the_last_call(ledger, ledger_dsn):
    """Reservations of several sessions take turns; their sum never passes the budget."""
    limits = Limits("c", daily_tokens=1000)
    names = {"provider": "p", "model": "m", "purpose": "judge", "text_hash": "h"}

    def reserve(_):
        calls = ModelCalls(lambda: connect(ledger_dsn))
        try:
            return calls.begin(limits, Charge(90, Decimal(0)), **names)
        except BudgetSpentError:
            return None
        finally:
            calls.close()

    with ThreadPoolExecutor(8) as pool:
        made = [call for call in pool.map(reserve, range(40)) if call]

    assert len(made) == 11
    assert ledger.execute("SELECT charged_tokens FROM provider_day").fetchone() == (990,)


def test_another_day_has_its_own_budget(ledger, calls):
    limits = Limits("c", daily_tokens=100)
    names = {"provider": "p", "model": "m", "purpose": "judge", "text_hash": "h"}
    calls.begin(limits, Charge(100, Decimal(0)), **names)
    ledger.execute("UPDATE provider_day SET called_on = called_on - 1")

    assert calls.begin(limits, Charge(100, Decimal(0)), **names)


def test_answers_are_kept_whole_and_the_first_one_stays(calls):
    key = AnswerKey("t", "p", "m", "r")
    first = Reply("une\x00 réponse", "answered", "house", "small", 3, 4, 0.5)

    assert calls.kept(key) is None
    calls.keep(key, first)
    calls.keep(key, Reply("another", "answered", "x", "y"))

    assert calls.kept(key) == Reply("une\ufffd réponse", "answered", "house", "small", 3, 4, 0.5)
    assert calls.kept(AnswerKey("t", "p", "m", "other")) is None


def test_a_ledger_that_is_away_is_an_error_that_passes(provider):
    def nowhere():
        return connect("host=127.0.0.1 port=1 connect_timeout=1")

    async def once():
        model = ConnectedModel([provider_of(connection(provider.url))], ModelCalls(nowhere))
        try:
            return await model.ask(question())
        finally:
            await model.close()

    with pytest.raises(LedgerUnavailableError):
        asyncio.run(once())
    assert provider.requests == [], "nobody is asked without a reservation"


@pytest.mark.parametrize(
    ("url", "extra", "told"),
    [
        ("https://models.example/v1", {}, "outside_allowed"),
        ("https://models.example/v1", {"is_local": False}, "outside_allowed"),
        ("http://127.0.0.1:1/v1", {"is_local": False}, "outside_allowed"),
        (
            "http://127.0.0.1:1/v1",
            {"daily_budget_eur": 1, "is_local": False, "outside_allowed": True},
            "per_million",
        ),
        ("http://127.0.0.1:1/v1", {"daily_budget_euros": 1}, "daily_budget_euros"),
        ("http://127.0.0.1:1/v1", {"model": ""}, "model"),
        ("http://127.0.0.1:1/v1", {"model": "anthropic:claude"}, "protocol of its own"),
        ("http://127.0.0.1:1/v1", {"daily_budget_tokens": "many"}, "daily_budget_tokens"),
        ("http://user:pw@127.0.0.1/v1", {}, "holds one of"),
        ("", {}, "is no site"),
    ],
)
def test_a_connection_that_cannot_be_used_says_what_to_do(url, extra, told):
    with pytest.raises(ConfigurationError, match=told) as caught:
        provider_of(connection(url, **extra))

    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "extra", "outside"),
    [
        ("http://127.0.0.1:1/v1", {}, False),
        ("http://192.168.1.4:11434/v1", {"model": "ollama:qwen3:8b"}, False),
        ("https://gpu.town.example/v1", {"is_local": True}, False),
        ("https://models.example/v1", {"outside_allowed": True}, True),
    ],
)
def test_where_a_provider_stands(url, extra, outside):
    assert provider_of(connection(url, **extra)).is_outside is outside


@pytest.mark.parametrize(
    ("given", "kind", "name"),
    [
        ("openai:gpt-5", "openai", "gpt-5"),
        ("openai-chat:mistral-small", "openai-chat", "mistral-small"),
        ("mistral-small", "openai-chat", "mistral-small"),
        ("qwen3:8b", "openai-chat", "qwen3:8b"),
        ("ollama:qwen3:8b", "ollama", "qwen3:8b"),
    ],
)
def test_a_models_name_may_hold_a_colon(given, kind, name):
    found = provider_of(connection("http://127.0.0.1:1/v1", model=given))

    assert (found.kind, found.model) == (kind, name)


def test_the_chain_follows_the_first_connection(monkeypatch):
    known = {
        "participation_llm": connection("http://127.0.0.1:1/v1", fallback_conn_ids=["b", "c", "b"]),
        "b": connection("http://127.0.0.1:2/v1", "b"),
        "c": connection("http://127.0.0.1:3/v1", "c", fallback_conn_ids=["d"]),
    }

    def get(conn_id):
        if conn_id not in known:
            raise AirflowNotFoundException(conn_id)
        return known[conn_id]

    monkeypatch.setattr(BaseHook, "get_connection", get)

    assert [each.conn_id for each in connected_chain()] == ["participation_llm", "b", "c"]
    del known["c"]
    with pytest.raises(ConfigurationError, match="no connection c"):
        connected_chain()
    known.clear()
    assert connected_chain() == ()


def test_a_key_is_not_shown():
    assert KEY not in repr(provider_of(connection("http://127.0.0.1:1/v1")))


def test_without_a_connection_no_model_library_is_loaded():
    """Every task pays for what its modules import; a second of it for nobody."""
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            LOADED,
        ],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "AIRFLOW_HOME": "/tmp/none"},  # noqa: S108 - not written
        capture_output=True,
        text=True,
        check=True,
    )

    assert told.stdout.strip().splitlines()[-1] == "[]"


def test_the_stub_wraps_a_tools_call():
    """The stub itself: what it answers is what the protocol says."""
    body = {"tools": [{"function": {"name": "reponse"}}]}
    choice = completion("{}", body=body)["choices"][0]

    assert choice["message"]["tool_calls"][0]["function"] == {"name": "reponse", "arguments": "{}"}
