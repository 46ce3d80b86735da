"""The chain of language models that judge beside the rules, as the connections describe it.

``participation_llm`` is a connection of Airflow's type ``pydanticai``: host the address, password the
key, and in its extra ``model``, ``fallback_conn_ids`` and what :class:`Provider` takes. Nothing of a
model library is loaded here: whoever has no connection pays nothing.
"""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from include.anonymisation.location import IS_LOCAL, OUTSIDE_ALLOWED, Location, allowed_location
from include.contributions.model_combining import MIN_CONFIDENCE
from include.credentials import header_value, site_address
from include.errors import BudgetSpentError, CircuitOpenError, ConfigurationError
from include.ports import Question, Reply
from participation.ledger.model_calls import Charge, Limits, ModelCalls
from participation.settings import LLM_CONN_ID

OPENAI = "https://api.openai.com/v1"

SPOKEN = frozenset({"openai", "openai-chat", "ollama", "vllm", "litellm", "mistral", "deepseek"})
"""Prefixes of a model whose providers speak OpenAI's chat protocol at the connection's host."""

OVERHEAD_TOKENS = 512
"""What a protocol adds around the words that are sent."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Price = Annotated[Decimal, Field(ge=0, allow_inf_nan=False)]


class Provider(BaseModel):
    """One provider of a chain.

    Attributes:
        conn_id: Of its connection: its budget and its breaker are kept under this name.
        base_url: Up to and without ``/chat/completions``.
        api_key: Sent as bearer token; never shown.
        model: As the provider names it, without the prefix of its kind.
        kind: The prefix: ``openai`` for the company itself, ``openai-chat`` for all that speak like it.
        fallback_conn_ids: Asked in turn when this one does not answer; read from the first alone.
        location: ``local`` for the town's own machines, which the text may reach as it is; ``outside``
            for all others, which the connection must allow: :mod:`include.anonymisation.location`.
        daily_budget_eur: At most so much a day; needs both prices.
        daily_budget_tokens: At most so many tokens a day, in and out.
        input_eur_per_million: Price of a million tokens sent.
        output_eur_per_million: Price of a million tokens received.
        max_concurrency: Calls on their way at once, of one task.
        max_tokens: Longest answer.
        deadline_s: For one question to this provider: all attempts and waits.
        min_confidence: Below it a model's acceptance is not used.
        output: How the form of the answer is asked for: ``native`` as a JSON schema, ``tool`` as a
            call of a tool, ``prompted`` in words for servers that know neither.
        breaker_failures: Calls that fail in a row before nobody is asked for a while.
        breaker_open_s: That while.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    conn_id: str
    base_url: str
    api_key: str = Field(default="", repr=False)
    model: Annotated[str, Field(min_length=1)]
    kind: str = "openai-chat"
    fallback_conn_ids: tuple[str, ...] = ()
    location: Location
    daily_budget_eur: Price | None = None
    daily_budget_tokens: Annotated[int, Field(ge=0)] | None = None
    input_eur_per_million: Price | None = None
    output_eur_per_million: Price | None = None
    max_concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    max_tokens: Annotated[int, Field(ge=64, le=32_000)] = 1_500
    deadline_s: Annotated[float, Field(gt=0, le=120)] = 30.0
    min_confidence: Annotated[float, Field(gt=0, le=1)] = MIN_CONFIDENCE
    output: Literal["native", "tool", "prompted"] = "native"
    breaker_failures: Annotated[int, Field(ge=1)] = 5
    breaker_open_s: Positive = 60.0

    @property
    def is_outside(self) -> bool:
        """Whether a text that is sent there leaves the house."""
        return self.location == "outside"

    @property
    def host(self) -> str:
        """Its address without the scheme."""
        return self.base_url.partition("://")[2].partition("/")[0]

    @property
    def name(self) -> str:
        """Connection and host, for results and messages."""
        return f"{self.conn_id} ({self.host})"

    @property
    def limits(self) -> Limits:
        """What the ledger holds every call against."""
        return Limits(
            self.conn_id,
            self.daily_budget_eur,
            self.daily_budget_tokens,
            self.breaker_failures,
            self.breaker_open_s,
        )

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal | None:
        """What so many tokens cost; None where the prices are not known."""
        if self.input_eur_per_million is None or self.output_eur_per_million is None:
            return None if self.is_outside else Decimal(0)
        spent = input_tokens * self.input_eur_per_million
        return (spent + output_tokens * self.output_eur_per_million) / 1_000_000


def provider_of(connection: Connection) -> Provider:
    """Read a connection.

    Raises:
        ConfigurationError: A field is missing, unknown or wrong; the key is not repeated.
    """
    who = f"connection {connection.conn_id}"
    extra: dict[str, Any] = dict(connection.extra_dejson)
    kind, has_kind, name = str(extra.pop("model", "") or "").partition(":")
    if not has_kind or kind not in SPOKEN:
        if has_kind and "." not in kind and kind.replace("-", "").isalpha() and kind in _OTHERS:
            raise ConfigurationError(
                f"{who}: {kind} speaks a protocol of its own; give its address for OpenAI's protocol as "
                "host, and the model as openai-chat:<name>"
            )
        # A name may hold a colon of its own, such as `qwen3:8b`.
        kind, name = "openai-chat", f"{kind}{has_kind}{name}"
    host = connection.host or (OPENAI if kind == "openai" else "")
    base_url = site_address(host if "://" in host else f"https://{host}", who)
    extra["location"] = allowed_location(who, base_url, extra)
    for switch in (IS_LOCAL, OUTSIDE_ALLOWED):
        extra.pop(switch, None)
    fallback = extra.pop("fallback_conn_ids", ())
    if isinstance(fallback, str):
        fallback = fallback.split()
    try:
        provider = Provider(
            **extra,
            conn_id=str(connection.conn_id),
            base_url=base_url.rstrip("/"),
            api_key=header_value(connection.password or "", who),
            model=name,
            kind=kind,
            fallback_conn_ids=tuple(each for each in fallback if str(each).strip()),
        )
    except (ValidationError, TypeError) as error:
        raise ConfigurationError(f"{who}: {_told(error)}") from None
    if provider.daily_budget_eur is not None and provider.cost(1, 1) is None:
        raise ConfigurationError(
            f"{who}: daily_budget_eur needs input_eur_per_million and output_eur_per_million"
        )
    return provider


def connected_chain(conn_id: str = LLM_CONN_ID) -> tuple[Provider, ...]:
    """Read the chain of a connection; empty where there is no such connection.

    Raises:
        ConfigurationError: A connection of the chain cannot be used, or a fallback does not exist.
    """
    try:
        first = provider_of(BaseHook.get_connection(conn_id))
    except AirflowNotFoundException:
        return ()
    others: list[Provider] = []
    for each in first.fallback_conn_ids:
        try:
            others.append(provider_of(BaseHook.get_connection(each)))
        except AirflowNotFoundException:
            raise ConfigurationError(
                f"connection {conn_id}: there is no connection {each} to fall back to"
            ) from None
    return _without_repeats((first, *others))


def _without_repeats(chain: Sequence[Provider]) -> tuple[Provider, ...]:
    return tuple({provider.conn_id: provider for provider in chain}.values())


def _told(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:5]
    )


class ConnectedModel:
    """The :class:`include.ports.LanguageModel` of a chain; the library is loaded by the first question.

    Attributes:
        name: Every provider and model of the chain.
        parameters: What of its settings changes answers.
        is_outside: Whether a text may leave the house.
        concurrency: Questions at once, as the first provider allows.
    """

    def __init__(self, chain: Sequence[Provider], calls: ModelCalls) -> None:
        self.name = " > ".join(f"{each.host}/{each.model}" for each in chain)
        self.parameters = " ".join(f"{each.max_tokens}/{each.output}" for each in chain)
        self.is_outside = any(each.is_outside for each in chain)
        self.concurrency = chain[0].max_concurrency
        self._chain = tuple(chain)
        self._calls = calls
        self._loaded: Any = None

    async def ask(self, question: Question) -> Reply:
        """Ask the first provider that may be asked, and the next one when it does not answer."""
        if self._loaded is None:
            from participation.hooks.pydantic_models import PydanticChain  # noqa: PLC0415 - see above

            self._loaded = PydanticChain(self.name, self._chain, self._calls)
        reply: Reply = await self._loaded.ask(question)
        return reply

    async def close(self) -> None:
        """Close every provider's connections."""
        if self._loaded is not None:
            await self._loaded.close()
            self._loaded = None

    def check(self, question: Question) -> None:
        """Say whether anybody of the chain could be asked such a question now.

        Raises:
            CircuitOpenError, BudgetSpentError: Nobody; as of the first provider.
        """
        refused: list[CircuitOpenError | BudgetSpentError] = []
        for provider in self._chain:
            try:
                self._calls.check(provider.limits, most_charged(provider, question))
            except (CircuitOpenError, BudgetSpentError) as error:
                refused.append(error)
            else:
                return
        raise refused[0]


def most_charged(provider: Provider, question: Question) -> Charge:
    """The most that a call may take: a token is a byte at least, and the answer as long as allowed."""
    sent = json.dumps([question.instructions, question.data, question.form], ensure_ascii=False)
    tokens_in = len(sent.encode()) + OVERHEAD_TOKENS
    cost = provider.cost(tokens_in, provider.max_tokens) or Decimal(0)
    return Charge(tokens_in + provider.max_tokens, cost)


_OTHERS = frozenset(
    {
        "anthropic",
        "google",
        "google-gla",
        "google-vertex",
        "bedrock",
        "cohere",
        "groq",
        "huggingface",
    }
)
"""Prefixes that the model library knows and that are spoken to in another way."""
