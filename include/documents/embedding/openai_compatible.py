"""Embeddings from any endpoint that speaks OpenAI's protocol, over HTTP.

A provider is not trusted: its answer is read up to the size that was asked for, in the time that was
given, and checked number by number. What could pass with time is tried again here, within one
deadline; what remains is an error that says whether the task should come back.
"""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Literal, NoReturn
from urllib.parse import urlsplit

from include.anonymisation import VERSION
from include.anonymisation.location import allowed_location
from include.credentials import header_value, site_address
from include.documents.anonymising import anonymised
from include.documents.embedding.engine import DenseVector, Vector
from include.errors import ConfigurationError, UnreadableAnswerError
from include.exchange import Answer, attempts, post_json, raise_for

DEADLINE_S = 30.0
"""For one batch: all attempts and the waits between them."""

BATCH_CHARACTERS = 100_000
"""Providers limit a request to some 300,000 tokens, and hold it in memory while they work."""

BYTES_PER_NUMBER = 40
BYTES_BESIDE = 64 * 1024
"""Longest an honest answer can be: each number with all its digits, and some words around them."""

_ANONYMISED = re.compile(r"/anonymis(?:ed|ation-[a-z]{2}-\d{1,6})$")
"""How a name says by which rules its texts were made anonymous; the first ones had no number."""

LARGEST = 3e38
"""The ledger keeps numbers of four bytes; NaN fails the comparison as well."""


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
        is_local: The endpoint stands in the house; any other is sent texts without the names and
            contact details that rules find. Not given: whether its host is an address of this machine
            or of a private network (:mod:`include.anonymisation.location`).
        outside_allowed: False refuses an endpoint outside. Not given, it is sent anonymised texts: the
            papers of a town hall are public.
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
    is_local: bool | None = None
    outside_allowed: bool | None = None
    kind: Literal["sparse", "dense"] = "dense"

    def __post_init__(self) -> None:
        """Refuse an address, a key or a size that cannot work."""
        who = "embedding endpoint"
        object.__setattr__(self, "base_url", site_address(self.base_url, who))
        object.__setattr__(self, "api_key", header_value(self.api_key, who))
        said = {"is_local": self.is_local, "outside_allowed": self.outside_allowed is not False}
        place = allowed_location(f"embedding endpoint {self.base_url}", self.base_url, said)
        object.__setattr__(self, "is_local", place == "local")
        if min(self.dimensions, self.batch_size, self.deadline_s) <= 0 or not self.model:
            raise ConfigurationError(
                f"embedding endpoint {self.base_url}: model, dimensions, batch_size and "
                "deadline_s must be given and above 0"
            )

    @property
    def name(self) -> str:
        """Provider, model and dimensions, and whether it sees texts as they are."""
        whole = f"{self._provider}/{self.model}/{self.dimensions}"
        return whole if self.is_local else f"{whole}/{VERSION}"

    def named(self, name: str) -> "OpenAICompatibleEngine | None":
        """Give the engine of another name at the same provider; None for one of another provider.

        >>> engine = OpenAICompatibleEngine("https://provider.example/v1", "new", 4)
        >>> engine.named("provider.example/family/old/3").model
        'family/old'
        """
        provider, _, rest = _ANONYMISED.sub("", name).partition("/")
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
        """Send one request, again when that may help, and check every number; vectors get length 1.

        Raises:
            ProviderRefusedError: Key, quota, model or request are refused; nothing was tried again.
            ConfigurationError: The model gives vectors of another length.
            ProviderUnavailableError: No answer within the deadline; ``retry_after_s`` when told.
            UnreadableAnswerError: The answer is not what the protocol says.
        """
        if any(not text.strip() for text in texts):
            raise ConfigurationError(f"{self.name}: a blank text has no embedding")
        if not self.is_local:
            texts = [anonymised(text) for text in texts]
        deadline = time.monotonic() + self.deadline_s
        for attempt in attempts("embed_batch", self.name, deadline):
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
            raise_for(self.name, answer, self.api_key, " ".join(texts))
        return self._vectors(answer, len(texts))

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
        # Search ranks by inner product, which is the angle only between vectors of one length.
        norm = math.hypot(*numbers)
        return tuple(number / norm for number in numbers)

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
