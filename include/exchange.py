"""One request with a deadline that holds and an answer that cannot grow, and when to ask again.

The timeout of an HTTP library counts from byte to byte, so a server that sends one byte now and then
outlives it. Here the exchange runs beside the caller, who leaves at the deadline; the body is read as
it comes, never past its limit. What could pass with time is tried again within one deadline for all.
"""

import json
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, NoReturn

import requests
import stamina
import urllib3
from requests.auth import AuthBase

from include.errors import (
    ConfigurationError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RequestRefusedError,
    TransientError,
    UnreadableAnswerError,
)
from include.retry_after import retry_after_s

CONNECT_S = 10.0
READ_BYTES = 64 * 1024

ATTEMPTS = 3
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 5.0
"""Between attempts, doubling, with jitter; unless the provider says how long."""

EXCERPT = 300
"""Characters of a refusal that the error repeats."""

REPEATED = "(the answer repeats what was sent)"

_WORD = re.compile(r"[^\W_]{2,}")
_WORDS_IN_A_ROW = 2
"""So many in the same order are no accident: providers explain themselves in another language."""

_OF_THE_REQUEST = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_NO_REQUEST = (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader)
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever the status."""

    status: int
    body: bytes
    retry_after: str | None


class _Bearer(AuthBase):
    """Sets the key itself: otherwise a ``.netrc`` on the machine would be asked for one."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._api_key:
            request.headers["Authorization"] = f"Bearer {self._api_key}"
        return request


class _Session(requests.Session):
    """Leaves redirections unread: the library would take in their whole body, however long."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find none."""


def endpoint_options(
    host: str | None, password: str | None, extra: Mapping[str, Any]
) -> dict[str, Any]:
    """Name what a connection holds as the endpoints of this project do.

    >>> endpoint_options("https://provider.example/v1", None, {"model": "m"})
    {'base_url': 'https://provider.example/v1', 'api_key': '', 'model': 'm'}
    """
    return {"base_url": host or "", "api_key": password or "", **extra}


def post_json(
    url: str, content: Mapping[str, Any], *, api_key: str, deadline: float, max_bytes: int
) -> Answer:
    """Post JSON with a bearer token, empty for none; otherwise as :func:`send_json`."""
    auth = _Bearer(api_key)
    return send_json("POST", url, content, auth=auth, deadline=deadline, max_bytes=max_bytes)


def send_json(
    method: Literal["POST", "PUT"],
    url: str,
    content: Mapping[str, Any],
    *,
    auth: AuthBase,
    deadline: float,
    max_bytes: int,
) -> Answer:
    """Send JSON and read the answer.

    Args:
        method: Of HTTP.
        url: Where to; a redirection is an answer like another and not followed, so that the key
            goes nowhere else.
        content: What to send.
        auth: Puts the credentials on the request.
        deadline: Of the monotonic clock, for everything.
        max_bytes: Longest body.

    Raises:
        ProviderUnavailableError: No whole answer before the deadline, or no connection.
        UnreadableAnswerError: The body is longer than that, or packed although that was not asked.
        ConfigurationError: No request can be made of this; which part of it is not said.
    """
    outcome: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()

    def exchange() -> None:
        try:
            outcome.put(_exchange(method, url, content, auth, deadline, max_bytes))
        except Exception as error:  # noqa: BLE001  raised again where the caller waits
            outcome.put(error)

    # A daemon: what a server still drips after the deadline keeps no process alive.
    threading.Thread(target=exchange, name="provider-call", daemon=True).start()
    try:
        given = outcome.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise ProviderUnavailableError(f"{url}: no whole answer before the deadline") from None
    is_no_request = isinstance(given, ValueError) and not isinstance(given, OSError)
    if is_no_request or isinstance(given, _NO_REQUEST):
        # These errors repeat what they refuse, which may be the key.
        raise ConfigurationError(f"{url}: address or credentials make no request") from None
    if isinstance(given, requests.RequestException | urllib3.exceptions.HTTPError | OSError):
        raise ProviderUnavailableError(f"{url}: {given}") from given
    if isinstance(given, Exception):
        raise given
    return given


def attempts(name: str, who: str, deadline: float) -> Iterator[Any]:
    """Give the attempts of one call: after errors that may pass, and not past the deadline."""
    yield from stamina.retry_context(
        on=_wait_until(deadline),
        attempts=ATTEMPTS,
        timeout=None,
        wait_initial=FIRST_WAIT_S,
        wait_max=LONGEST_WAIT_S,
        wait_jitter=FIRST_WAIT_S,
    ).with_name(name, (who,), {})


def raise_for(who: str, answer: Answer, api_key: str, sent: str = "") -> NoReturn:
    """Sort a refusal: does another attempt help?

    Args:
        who: What the error names.
        answer: The refusal.
        api_key: Is not repeated.
        sent: Somebody's words; an explanation that repeats any of them is left out, for errors are
            logged and stored.

    Raises:
        ProviderUnavailableError: It may pass; ``retry_after_s`` when told.
        RequestRefusedError: What was sent; something else may be taken.
        ProviderRefusedError: Key, quota or address. The key is not repeated.
    """
    said = _readable(answer.body)
    if api_key:
        said = said.replace(api_key, "***")
    told = REPEATED if _repeats(said, sent) else said[:EXCERPT]
    message = f"{who}: HTTP {answer.status}: {told}"
    # A used-up quota is told as "too many requests" and does not pass with time.
    quota = answer.status == HTTPStatus.TOO_MANY_REQUESTS and "insufficient_quota" in said
    if not quota and (
        answer.status in _PASSING
        or answer.status == HTTPStatus.TOO_MANY_REQUESTS
        or answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    ):
        raise ProviderUnavailableError(message, retry_after_s(answer.retry_after))
    if answer.status in _OF_THE_REQUEST:
        raise RequestRefusedError(message)
    raise ProviderRefusedError(message)


def _readable(body: bytes) -> str:
    """Write an explanation on one line, its letters as letters."""
    text = body.decode(errors="replace")
    with suppress(ValueError, RecursionError):
        text = json.dumps(json.loads(text), ensure_ascii=False)
    return " ".join(text.split())


def _repeats(said: str, sent: str) -> bool:
    """Say whether an explanation holds words in the order in which they were sent.

    >>> _repeats("invalid: Le BANC du quai", "le banc du port"), _repeats("quota exceeded", "le banc")
    (True, False)
    """
    words = _WORD.findall(sent.casefold())
    length = min(_WORDS_IN_A_ROW, len(words))
    if not length:
        return False
    runs = set(_runs(words, length))
    return any(run in runs for run in _runs(_WORD.findall(said.casefold()), length))


def _runs(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[at:] for at in range(length)), strict=False)


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


def _exchange(
    method: str,
    url: str,
    content: Mapping[str, Any],
    auth: AuthBase,
    deadline: float,
    max_bytes: int,
) -> Answer:
    left_s = max(0.1, deadline - time.monotonic())
    with (
        _Session() as session,
        session.request(
            method,
            url,
            json=content,
            auth=auth,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
            timeout=(min(CONNECT_S, left_s), left_s),
            allow_redirects=False,
            stream=True,
        ) as response,
    ):
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise UnreadableAnswerError(f"{url}: the answer is packed, which was not asked for")
        body = _body(response, url, deadline, max_bytes)
        return Answer(response.status_code, body, response.headers.get("Retry-After"))


def _body(response: requests.Response, url: str, deadline: float, max_bytes: int) -> bytes:
    body = bytearray()
    try:
        while piece := response.raw.read1(READ_BYTES):
            body += piece
            if len(body) > max_bytes:
                raise UnreadableAnswerError(f"{url}: the answer is longer than {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise ProviderUnavailableError(f"{url}: no whole answer before the deadline")
    except urllib3.exceptions.HTTPError as error:
        raise ProviderUnavailableError(f"{url}: the answer broke off: {error}") from error
    return bytes(body)
