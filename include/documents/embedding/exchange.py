"""One request with a deadline that holds and an answer that cannot grow.

The timeout of an HTTP library counts from byte to byte, so a server that sends one byte now and then
outlives it. Here the exchange runs beside the caller, who leaves at the deadline; the body is read as
it comes, never past its limit.
"""

import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import requests
import urllib3
from requests.auth import AuthBase

from include.errors import ProviderUnavailableError, UnreadableAnswerError

CONNECT_S = 10.0
READ_BYTES = 64 * 1024


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


def post_json(
    url: str, content: Mapping[str, Any], *, api_key: str, deadline: float, max_bytes: int
) -> Answer:
    """Send JSON and read the answer.

    Args:
        url: Where to; a redirection is an answer like another and not followed, so that the key
            goes nowhere else.
        content: What to send.
        api_key: Bearer token; empty for none.
        deadline: Of the monotonic clock, for everything.
        max_bytes: Longest body.

    Raises:
        ProviderUnavailableError: No whole answer before the deadline, or no connection.
        UnreadableAnswerError: The body is longer than that, or packed although that was not asked.
    """
    outcome: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()

    def exchange() -> None:
        try:
            outcome.put(_exchange(url, content, api_key, deadline, max_bytes))
        except Exception as error:  # noqa: BLE001  raised again where the caller waits
            outcome.put(error)

    # A daemon: what a server still drips after the deadline keeps no process alive.
    threading.Thread(target=exchange, name="embedding-call", daemon=True).start()
    try:
        given = outcome.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise ProviderUnavailableError(f"{url}: no whole answer before the deadline") from None
    if isinstance(given, requests.RequestException | OSError):
        raise ProviderUnavailableError(f"{url}: {given}") from given
    if isinstance(given, Exception):
        raise given
    return given


def _exchange(
    url: str, content: Mapping[str, Any], api_key: str, deadline: float, max_bytes: int
) -> Answer:
    left_s = max(0.1, deadline - time.monotonic())
    with requests.post(
        url,
        json=content,
        auth=_Bearer(api_key),
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        timeout=(min(CONNECT_S, left_s), left_s),
        allow_redirects=False,
        stream=True,
    ) as response:
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
