"""Ask a chain of language models through pydantic-ai, each call guarded.

Imported only where a model is connected: the library takes a second. Guarded means: a breaker and a
budget before the call, a deadline around it that a slow answer cannot outlive, no redirection with the
key, no answer beyond a size, and one kind of error for whatever goes wrong.
"""

import asyncio
import contextvars
import json
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import httpx2
import pydantic_ai
from openai import APIStatusError, AsyncOpenAI
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import (
    FallbackExceptionGroup,
    ModelAPIError,
    ModelHTTPError,
    UsageLimitExceeded,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.profiles import merge_profile
from pydantic_ai.profiles.openai import OpenAIModelProfile, openai_model_profile
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RunUsage, UsageLimits

from include import exchange
from include.contributions.model_asking import READS
from include.contributions.sources.boundary import cleaned
from include.errors import (
    BudgetSpentError,
    CircuitOpenError,
    LedgerUnavailableError,
    ParticipationError,
    ProbeUnderwayError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RequestRefusedError,
    UnreadableAnswerError,
)
from include.ports import Question, Reply
from participation.hooks.language_models import Provider, most_charged
from participation.ledger.model_calls import OPEN_FOR_REFUSED_S, Charge, ModelCalls

pydantic_ai.BANNER_ENABLED = False

MAX_ANSWER_BYTES = 256 * 1024
NO_KEY = "none"
"""The client library wants a key, and a local server may want none."""

LONG_ERROR = 300

PROBE_S = 0.2
"""How often to look whether another caller found a provider back."""

_FIRST_OF: tuple[type[Any], ...] = (
    LedgerUnavailableError,
    CircuitOpenError,
    ProviderUnavailableError,
    UnreadableAnswerError,
    BudgetSpentError,
    RequestRefusedError,
    ProviderRefusedError,
)
"""Which of several errors speaks for a chain; each includes those after it that it is a kind of."""
MODEL_CHARACTERS = 80
SENT_TOOL = "reponse"

log = logging.getLogger(__name__)
# It would say every call.
logging.getLogger("httpx2").setLevel(logging.WARNING)


@dataclass
class _Asked:
    """A question on its way through the chain, and what came of it."""

    question: Question
    reply: Reply | None = None


_asked: contextvars.ContextVar[_Asked] = contextvars.ContextVar("asked")


class PydanticChain:
    """A chain of providers through pydantic-ai; of one event loop."""

    def __init__(self, name: str, chain: Sequence[Provider], calls: ModelCalls) -> None:
        self.name = name
        self._chain = tuple(chain)
        self._calls = calls
        self._model: Model | None = None
        self._guarded: list[_Guarded] = []

    async def ask(self, question: Question) -> Reply:
        """Ask the first provider that may be asked, and the next one when it does not answer."""
        asked = _Asked(question)
        token = _asked.set(asked)
        try:
            await model_request(
                self._connected(),
                [
                    ModelRequest(
                        parts=[UserPromptPart(json.dumps(question.data, ensure_ascii=False))],
                        instructions=question.instructions,
                    )
                ],
                model_settings=ModelSettings(temperature=0),
                model_request_parameters=ModelRequestParameters(),
            )
        except FallbackExceptionGroup as group:
            raise worst(group) from group
        finally:
            _asked.reset(token)
        if asked.reply is None:
            raise UnreadableAnswerError(f"{self.name}: the answer came without its origin")
        return asked.reply

    async def close(self) -> None:
        """Close every provider's connections."""
        for guarded in self._guarded:
            await guarded.leave()
        self._guarded, self._model = [], None

    def _connected(self) -> Model:
        if self._model is None:
            self._guarded = [_Guarded(provider, self._calls) for provider in self._chain]
            first, *others = self._guarded
            # A group even for one: every error then comes the same way.
            self._model = FallbackModel(first, *others, fallback_on=(ParticipationError,))
        return self._model


class _Guarded(WrapperModel):
    """One provider's model with everything around a call."""

    def __init__(self, provider: Provider, calls: ModelCalls) -> None:
        self._client = httpx2.AsyncClient(
            follow_redirects=False,
            timeout=httpx2.Timeout(provider.deadline_s, connect=exchange.CONNECT_S),
            headers={"Accept-Encoding": "identity"},
            event_hooks={"response": [_capped]},
            # A proxy of the environment stands outside: what may go there is anonymised.
            trust_env=provider.is_outside,
            limits=httpx2.Limits(max_connections=None),
        )
        super().__init__(_chat_model(provider, self._client))
        self._provider_settings = provider
        self._calls = calls
        self._limits = provider.limits

    async def leave(self) -> None:
        await self._client.aclose()

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        provider, asked = self._provider_settings, _asked.get()
        question = asked.question
        settings = ModelSettings(**(model_settings or {}), max_tokens=provider.max_tokens)
        parameters = _asked_for(provider, question, model_request_parameters)
        clock = asyncio.get_running_loop().time
        deadline = clock() + provider.deadline_s
        attempt = 1
        while True:
            try:
                return await self._once(asked, messages, settings, parameters, deadline)
            except ProbeUnderwayError:
                wait_s = PROBE_S
                if clock() + wait_s >= deadline:
                    raise
            except CircuitOpenError:
                raise
            except (ProviderUnavailableError, UnreadableAnswerError) as error:
                most = READS if isinstance(error, UnreadableAnswerError) else exchange.ATTEMPTS
                wait_s = _wait_s(error, attempt)
                if attempt >= most or clock() + wait_s >= deadline:
                    raise
                attempt += 1
            await asyncio.sleep(wait_s)

    async def _once(
        self,
        asked: _Asked,
        messages: list[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
        deadline: float,
    ) -> ModelResponse:
        provider, question = self._provider_settings, asked.question
        most = most_charged(provider, question)
        call_id = self._calls.begin(
            self._limits,
            most,
            provider=provider.name,
            model=provider.model,
            purpose=question.purpose,
            text_hash=question.key.text_hash,
        )
        try:
            async with asyncio.timeout_at(deadline):
                response = await self.wrapped.request(messages, settings, parameters)
            reply = _reply(provider, response, most)
        except asyncio.CancelledError:
            self._calls.failed(self._limits, call_id, "left by its task", charge=None)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is noted and sorted
            # What is told of it leaves out the key and the citizen's words; the error itself does not.
            found = _sorted(provider, error, question)
            raise self._noted(call_id, found, error) from None
        charge = Charge(reply.input_tokens + reply.output_tokens, Decimal(str(reply.cost_eur or 0)))
        self._calls.answered(
            self._limits,
            call_id,
            charge,
            model=reply.model,
            tokens=(reply.input_tokens, reply.output_tokens),
        )
        asked.reply = reply
        return response

    def _noted(
        self, call_id: int, found: ParticipationError, error: Exception
    ) -> ParticipationError:
        """Note a failed call; where the provider is left alone from now on, say how long."""
        open_s: float | None = None
        if isinstance(found, ProviderRefusedError) and not isinstance(found, RequestRefusedError):
            open_s = OPEN_FOR_REFUSED_S
        asked_s = getattr(found, "retry_after_s", None)
        if asked_s is not None and asked_s > self._provider_settings.deadline_s / 2:
            # It said itself when to come back: nobody asks before.
            open_s = asked_s
        left_alone = self._calls.failed(
            self._limits,
            call_id,
            str(found),
            charge=_charged(error),
            open_s=open_s,
        )
        if left_alone.is_new:
            log.error("%s is not asked for a while: %s", self._provider_settings.name, found)
        if left_alone.for_s is not None and isinstance(found, ProviderUnavailableError):
            return CircuitOpenError(str(found), left_alone.for_s)
        return found


def _chat_model(provider: Provider, client: httpx2.AsyncClient) -> OpenAIChatModel:
    # The library would try again by itself, past our budget and beside our breaker.
    openai = AsyncOpenAI(
        base_url=provider.base_url,
        api_key=provider.api_key or NO_KEY,
        http_client=client,
        max_retries=0,
    )
    profile = merge_profile(
        openai_model_profile(provider.model),
        OpenAIModelProfile(
            # Others than the company itself know the older name of the field.
            openai_chat_supports_max_completion_tokens=provider.kind == "openai"
        ),
    )
    return OpenAIChatModel(
        provider.model, provider=OpenAIProvider(openai_client=openai), profile=profile
    )


def _asked_for(
    provider: Provider, question: Question, parameters: ModelRequestParameters
) -> ModelRequestParameters:
    """Ask for the form of the answer in the way that this provider knows."""
    form = dict(question.form)
    if provider.output == "tool":
        tool = ToolDefinition(name=SENT_TOOL, parameters_json_schema=form, kind="output")
        return replace(parameters, output_mode="tool", output_tools=[tool], allow_text_output=False)
    wanted = OutputObjectDefinition(json_schema=form, name=SENT_TOOL)
    return replace(parameters, output_mode=provider.output, output_object=wanted)


class _TookTooMuchError(ProviderRefusedError):
    """A call took more tokens than it was allowed to: no budget can hold such a provider."""

    def __init__(self, provider: Provider, charge: Charge) -> None:
        super().__init__(
            f"{provider.name}: a call took {charge.tokens} tokens, more than it was allowed to, so no "
            "budget can hold; its answer is not used"
        )
        self.charge = charge


def _check_usage(provider: Provider, most: Charge, tokens_in: int, tokens_out: int) -> None:
    used = RunUsage(requests=1, input_tokens=tokens_in, output_tokens=tokens_out)
    try:
        UsageLimits(total_tokens_limit=most.tokens).check_tokens(used)
    except UsageLimitExceeded as error:
        cost = provider.cost(tokens_in, tokens_out) or Decimal(0)
        raise _TookTooMuchError(provider, Charge(tokens_in + tokens_out, cost)) from error


def _reply(provider: Provider, response: ModelResponse, most: Charge) -> Reply:
    usage = response.usage
    counted = (max(0, usage.input_tokens), max(0, usage.output_tokens))
    if not any(counted):
        # Who counts nothing is believed to have taken everything.
        counted = (most.tokens - provider.max_tokens, provider.max_tokens)
    _check_usage(provider, most, *counted)
    texts = [part.content for part in response.parts if isinstance(part, TextPart)]
    calls = [part.args_as_json_str() for part in response.parts if isinstance(part, ToolCallPart)]
    cost = provider.cost(*counted)
    ending = {"length": "cut_off", "content_filter": "declined"}.get(response.finish_reason or "")
    return Reply(
        content="\n".join(calls or texts),
        ending=ending or "answered",  # type: ignore[arg-type]
        provider=provider.name,
        model=cleaned(response.model_name or provider.model)[0][:MODEL_CHARACTERS],
        input_tokens=counted[0],
        output_tokens=counted[1],
        cost_eur=None if cost is None else float(cost),
    )


async def _capped(response: httpx2.Response) -> None:
    """Refuse a packed answer, and stop reading one that is too long."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnreadableAnswerError("the answer is packed, which was not asked for")
    response.stream = _Capped(response.stream)


class _Capped(httpx2.AsyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        length = 0
        async for piece in self._stream:
            length += len(piece)
            if length > MAX_ANSWER_BYTES:
                raise UnreadableAnswerError(f"the answer is longer than {MAX_ANSWER_BYTES} bytes")
            yield piece

    async def aclose(self) -> None:
        await self._stream.aclose()


def _sorted(provider: Provider, error: Exception, question: Question) -> ParticipationError:
    """Sort whatever a call raised: does another attempt help?"""
    who, cause = provider.name, error.__cause__
    if own := _own(error):
        return UnreadableAnswerError(f"{who}: {own}") if type(own) is UnreadableAnswerError else own
    if isinstance(error, ModelHTTPError):
        return _refused(provider, error, question)
    if isinstance(cause, APIStatusError):
        status = f"HTTP {cause.status_code}"
        return ProviderRefusedError(f"{who}: {status}: it redirects; give its own address")
    if isinstance(error, TimeoutError):
        return ProviderUnavailableError(f"{who}: no whole answer before the deadline")
    if isinstance(error, ModelAPIError) and not isinstance(cause, ValueError):
        return ProviderUnavailableError(f"{who}: {_short(provider, error)}")
    # What follows a colon may repeat the answer, and so the citizen.
    said = _short(provider, error).partition(":")[0]
    return UnreadableAnswerError(f"{who}: {type(error).__name__}: {said}")


def _refused(provider: Provider, error: ModelHTTPError, question: Question) -> ParticipationError:
    body = error.body if isinstance(error.body, str) else json.dumps(error.body, default=str)
    sent = " ".join(str(each) for each in question.data.values())
    headers = error.headers or {}
    answer = exchange.Answer(error.status_code, body.encode(), headers.get("retry-after"))
    try:
        exchange.raise_for(provider.name, answer, provider.api_key, sent)
    except ParticipationError as found:
        return found


def _own(error: BaseException | None) -> ParticipationError | None:
    while error is not None:
        if isinstance(error, ParticipationError):
            return error
        error = error.__cause__
    return None


def _charged(error: Exception) -> Charge | None:
    """Say what a failed call costs; None where it may have been answered."""
    if isinstance(error, _TookTooMuchError):
        return error.charge
    refused = isinstance(error, ModelHTTPError | httpx2.ConnectError)
    never_sent = getattr(error, "phase", None) in {"pool", "connect"}
    return Charge(0, Decimal(0)) if refused or never_sent else None


def _short(provider: Provider, error: Exception) -> str:
    said = " ".join(str(error).split())
    if provider.api_key:
        said = said.replace(provider.api_key, "***")
    return said[:LONG_ERROR]


def _wait_s(error: Exception, attempt: int) -> float:
    asked_s = getattr(error, "retry_after_s", None)
    if asked_s is not None:
        return float(asked_s)
    return min(exchange.FIRST_WAIT_S * 2.0 ** (attempt - 1), exchange.LONGEST_WAIT_S)


def worst(group: FallbackExceptionGroup) -> ParticipationError:
    """Say in one error why no provider of a chain answered: the one that passes soonest.

    >>> refused = ProviderRefusedError("no key")
    >>> worst(FallbackExceptionGroup("all", [refused, CircuitOpenError("later", 3.0)]))
    CircuitOpenError('later; no key', 3.0)
    """
    found = [error for error in group.exceptions if isinstance(error, ParticipationError)]
    told = "; ".join(map(str, found)) or f"no provider answered: {group!r}"[:LONG_ERROR]
    for kind in _FIRST_OF:
        alike = [error for error in found if isinstance(error, kind)]
        if not alike:
            continue
        others = [str(error) for error in found if error is not alike[0]]
        told = "; ".join([str(alike[0]), *others])
        waits = [wait for e in alike if (wait := getattr(e, "retry_after_s", None)) is not None]
        outcome: ParticipationError = kind(told, min(waits)) if waits else kind(told)
        return outcome
    return found[0] if found else UnreadableAnswerError(told)
