"""Embeddings from any endpoint that speaks OpenAI's protocol, over HTTP.

A provider is not trusted: its answer is read up to the size that was asked for, in the time that was
given, and checked number by number. What could pass with time is tried again here, within one
deadline; what remains is an error that says whether the task should come back.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

import stamina

from include.documents.embedding.engine import DenseVector, Vector
from include.documents.embedding.exchange import Answer, post_json
from include.errors import (
    ConfigurationError,
    ProviderRefusedError,
    ProviderUnavailableError,
    TransientError,
    UnreadableAnswerError,
)

DEADLINE_S = 30.0
"""For one batch: all attempts and the waits between them."""

ATTEMPTS = 3
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0
"""Between attempts, doubling, with jitter; unless the provider says how long."""

BATCH_CHARACTERS = 100_000
"""Providers limit a request to some 300,000 tokens, and hold it in memory while they work."""

BYTES_PER_NUMBER = 40
BYTES_BESIDE = 64 * 1024
"""Longest an honest answer can be: each number with all its digits, and some words around them."""

LARGEST = 3e38
"""The ledger keeps numbers of four bytes; NaN fails the comparison as well."""

EXCERPT = 300
"""Characters of a refusal that the error repeats."""

_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY}


@dataclass(frozen=True, slots=True)
class OpenAICompatibleEngine:
    """A connected embedding model.

    Attributes:
        base_url: Up to and without ``/embeddings``, such as ``https://provider.example/v1``.
        model: As the provider names it.
        dimensions: What the model is expected to give; another number of them is an error.
        api_key: Sent as bearer token; never shown. Empty for a local server that asks for none.
        provider: First part of the engine's name; the host when not given.
        asks_dimensions: Send ``dimensions`` along, for models that can shorten their vectors.
        batch_size: Texts in one request.
        deadline_s: For one batch, everything included.
        is_fused: In a search its ranking is joined with the embedded engine's instead of standing
            alone. Off: no dense engine that was tried helped in every collection (docs/search.md).
    """

    base_url: str
    model: str
    dimensions: int
    api_key: str = field(default="", repr=False)
    provider: str = ""
    asks_dimensions: bool = False
    batch_size: int = 64
    deadline_s: float = DEADLINE_S
    is_fused: bool = False
    kind: Literal["sparse", "dense"] = "dense"

    def __post_init__(self) -> None:
        """Refuse an address or a size that cannot work."""
        parts = urlsplit(self.base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(f"embedding endpoint {self.base_url!r}: an http(s) address")
        if min(self.dimensions, self.batch_size, self.deadline_s) <= 0 or not self.model:
            raise ConfigurationError(
                f"embedding endpoint {self.base_url}: model, dimensions, batch_size and "
                "deadline_s must be given and above 0"
            )

    @property
    def name(self) -> str:
        """Provider, model and dimensions."""
        return f"{self._provider}/{self.model}/{self.dimensions}"

    def named(self, name: str) -> "OpenAICompatibleEngine | None":
        """Give the engine of another name at the same provider; None for one of another provider.

        >>> engine = OpenAICompatibleEngine("https://provider.example/v1", "new", 4)
        >>> engine.named("provider.example/family/old/3").model
        'family/old'
        """
        provider, _, rest = name.partition("/")
        model, _, dimensions = rest.rpartition("/")
        if provider != self._provider or not model or not dimensions.isdecimal():
            return None
        return replace(self, model=model, dimensions=int(dimensions))

    @property
    def _provider(self) -> str:
        return self.provider or urlsplit(self.base_url).hostname or ""

    def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """Give one vector per text, in the order given; see the errors of :meth:`embed_batch`."""
        return [vector for batch in self._batches(texts) for vector in self.embed_batch(batch)]

    def embed_query(self, text: str) -> Vector:
        """Give the vector of a question."""
        return self.embed_batch([text])[0]

    def embed_batch(self, texts: Sequence[str]) -> list[DenseVector]:
        """Send one request, again when that may help, and check every number of the answer.

        Raises:
            ProviderRefusedError: Key, quota, model or request are refused; nothing was tried again.
            ConfigurationError: The model gives vectors of another length.
            ProviderUnavailableError: No answer within the deadline; ``retry_after_s`` when told.
            UnreadableAnswerError: The answer is not what the protocol says.
        """
        if any(not text.strip() for text in texts):
            raise ConfigurationError(f"{self.name}: a blank text has no embedding")
        deadline = time.monotonic() + self.deadline_s
        for attempt in stamina.retry_context(
            on=_wait_until(deadline),
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=FIRST_WAIT_S,
            wait_max=LONGEST_WAIT_S,
            wait_jitter=FIRST_WAIT_S,
        ).with_name("embed_batch", (self.name,), {}):
            with attempt:
                return self._embed_once(texts, deadline)
        raise AssertionError("the retry machinery returns or raises")

    def _embed_once(self, texts: Sequence[str], deadline: float) -> list[DenseVector]:
        question: dict[str, Any] = {
            "model": self.model,
            "input": list(texts),
            "encoding_format": "float",
        }
        if self.asks_dimensions:
            question["dimensions"] = self.dimensions
        answer = post_json(
            self.base_url.rstrip("/") + "/embeddings",
            question,
            api_key=self.api_key,
            deadline=deadline,
            max_bytes=BYTES_BESIDE + len(texts) * self.dimensions * BYTES_PER_NUMBER,
        )
        if answer.status != HTTPStatus.OK:
            self._raise_for(answer)
        return self._vectors(answer, len(texts))

    def _raise_for(self, answer: Answer) -> NoReturn:
        said = " ".join(answer.body.decode(errors="replace").split())
        if self.api_key:
            said = said.replace(self.api_key, "***")
        message = f"{self.name}: HTTP {answer.status}: {said[:EXCERPT]}"
        # A used-up quota is told as "too many requests" and does not pass with time.
        quota = answer.status == HTTPStatus.TOO_MANY_REQUESTS and "insufficient_quota" in said
        if not quota and (
            answer.status in _PASSING
            or answer.status == HTTPStatus.TOO_MANY_REQUESTS
            or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            raise ProviderUnavailableError(message, retry_after_s(answer.retry_after))
        raise ProviderRefusedError(message)

    def _vectors(self, answer: Answer, expected: int) -> list[DenseVector]:
        try:
            entries = json.loads(answer.body, parse_constant=_refuse_constant)["data"]
            by_index = {entry["index"]: entry["embedding"] for entry in entries}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise UnreadableAnswerError(
                f"{self.name}: cannot read the answer: {error!r}"
            ) from error
        if len(entries) != expected or set(by_index) != set(range(expected)):
            raise UnreadableAnswerError(
                f"{self.name}: {expected} texts were sent, and the answer holds {len(entries)} "
                f"vectors with {len(by_index)} different indexes"
            )
        return [self._vector(by_index[index]) for index in range(expected)]

    def _vector(self, numbers: Any) -> DenseVector:
        if not isinstance(numbers, list) or not all(
            type(number) in {int, float} and abs(number) < LARGEST for number in numbers
        ):
            raise UnreadableAnswerError(f"{self.name}: a vector is not a list of finite numbers")
        if len(numbers) != self.dimensions:
            raise ConfigurationError(
                f"{self.name}: the model gives {len(numbers)} dimensions; set them so, which "
                "makes another engine with vectors of its own"
            )
        if not any(numbers):
            raise UnreadableAnswerError(f"{self.name}: a vector holds nothing but zeros")
        return tuple(map(float, numbers))

    def _batches(self, texts: Sequence[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        characters = 0
        for text in texts:
            full = len(batch) == self.batch_size or characters + len(text) > BATCH_CHARACTERS
            if batch and full:
                yield batch
                batch, characters = [], 0
            batch.append(text)
            characters += len(text)
        if batch:
            yield batch


def retry_after_s(said: str | None) -> float | None:
    """Read a ``Retry-After`` header, seconds or a date; None when it says nothing usable.

    >>> retry_after_s("7"), retry_after_s("soon"), retry_after_s(None)
    (7.0, None, None)
    """
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            moment = parsedate_to_datetime(said)
        except ValueError:
            return None
        seconds = (moment.astimezone(UTC) - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _wait_until(deadline: float) -> Callable[[Exception], bool | float]:
    def wait(error: Exception) -> bool | float:
        if not isinstance(error, TransientError):
            return False
        asked_s: float | None = getattr(error, "retry_after_s", None)
        # A wait that ends after the deadline is the task's to keep, not ours.
        if time.monotonic() + (asked_s or 0) >= deadline:
            return False
        return True if asked_s is None else asked_s

    return wait


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def connected_engine(options: Mapping[str, Any]) -> OpenAICompatibleEngine:
    """Build an engine from what a connection holds.

    Raises:
        ConfigurationError: An option is missing, unknown or wrong.
    """
    try:
        return OpenAICompatibleEngine(**options)
    except (TypeError, AttributeError) as error:
        raise ConfigurationError(f"embedding endpoint: {error}") from error
