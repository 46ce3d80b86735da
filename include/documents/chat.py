"""A connected language model: any endpoint that speaks OpenAI's chat protocol, over HTTP.

Its answer is material, not truth: whoever asks reads it with a function that refuses what does not
fit, and an answer that does not fit is asked for again within the deadline.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

from include.anonymisation.location import allowed_location
from include.credentials import header_value, site_address
from include.errors import ConfigurationError, PermanentError, UnreadableAnswerError
from include.exchange import Answer, attempts, post_json, raise_for

DEADLINE_S = 90.0
"""For one question: all attempts and the waits between them."""

MAX_TOKENS = 2_000
MAX_ANSWER_BYTES = 256 * 1024

T = TypeVar("T")


class ModelDeclinedError(PermanentError):
    """The model says that it will not answer this; asking again would not change its mind."""


@dataclass(frozen=True, slots=True)
class ChatModel:
    """A connected chat model.

    Attributes:
        base_url: Up to and without ``/chat/completions``, such as ``https://provider.example/v1``.
        model: As the provider names it.
        api_key: Sent as bearer token; never shown. Empty for a local server that asks for none.
        max_tokens: Longest answer; one that reaches it is cut off and not used.
        deadline_s: For one question, everything included.
        is_local: The endpoint stands in the house; not given: as its host shows.
        outside_allowed: What stands outside may be asked; without, it is refused.
    """

    base_url: str
    model: str
    api_key: str = field(default="", repr=False)
    max_tokens: int = MAX_TOKENS
    deadline_s: float = DEADLINE_S
    is_local: bool | None = None
    outside_allowed: bool = False

    def __post_init__(self) -> None:
        """Refuse an address, a key or a size that cannot work, and what nobody allowed."""
        who = "model endpoint"
        object.__setattr__(self, "base_url", site_address(self.base_url, who))
        object.__setattr__(self, "api_key", header_value(self.api_key, who))
        if not self.model or min(self.max_tokens, self.deadline_s) <= 0:
            raise ConfigurationError(
                f"model endpoint {self.base_url}: model must be given, max_tokens and deadline_s "
                "above 0"
            )
        said = {"is_local": self.is_local, "outside_allowed": self.outside_allowed}
        allowed_location(f"{who} {self.base_url}", self.base_url, said)

    @property
    def name(self) -> str:
        """Provider and model."""
        return f"{urlsplit(self.base_url).hostname}/{self.model}"

    def ask(self, instructions: str, data: Mapping[str, Any], read: Callable[[str], T]) -> T:
        """Ask for JSON, again when that may help.

        Args:
            instructions: What to do; never a word of a document.
            data: What to do it with, sent as JSON in a message of its own.
            read: Makes something of the answer, or raises :class:`UnreadableAnswerError`.

        Raises:
            ProviderRefusedError: Key, quota, model or request are refused; nothing was tried again.
            ProviderUnavailableError: No answer within the deadline; ``retry_after_s`` when told.
            UnreadableAnswerError: No answer that fits came.
            ModelDeclinedError: The model will not answer this.
        """
        question = {
            "model": self.model,
            "messages": [
                {"role": "system", "content": instructions},
                {"role": "user", "content": json.dumps(data, ensure_ascii=False)},
            ],
            "response_format": {"type": "json_object"},
            "temperature": 0,
            "max_tokens": self.max_tokens,
        }
        deadline = time.monotonic() + self.deadline_s
        for attempt in attempts("chat", self.name, deadline):
            with attempt:
                answer = post_json(
                    self.base_url.rstrip("/") + "/chat/completions",
                    question,
                    api_key=self.api_key,
                    deadline=deadline,
                    max_bytes=MAX_ANSWER_BYTES,
                )
                if answer.status != HTTPStatus.OK:
                    sent = " ".join(str(each) for each in data.values())
                    raise_for(self.name, answer, self.api_key, sent)
                return read(self._content(answer))
        raise AssertionError("the retry machinery returns or raises")

    def _content(self, answer: Answer) -> str:
        try:
            choice = json.loads(answer.body)["choices"][0]
            message, end = choice["message"], choice.get("finish_reason")
            declined, content = message.get("refusal"), message.get("content")
        except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as bad:
            raise UnreadableAnswerError(f"{self.name}: cannot read the answer: {bad!r}") from bad
        if declined or end == "content_filter":
            raise ModelDeclinedError(f"{self.name} declined: {str(declined or end)[:200]}")
        if end == "length":
            raise UnreadableAnswerError(
                f"{self.name}: the answer was cut off after {self.max_tokens} tokens"
            )
        if not isinstance(content, str):
            raise UnreadableAnswerError(f"{self.name}: the answer holds no text")
        return content
