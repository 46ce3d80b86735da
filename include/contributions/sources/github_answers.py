"""What GitHub's answers mean: the next page, the data inside, or which kind of refusal."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from include.errors import ProviderRefusedError, ProviderUnavailableError, UnreadableAnswerError
from include.ports import WebAnswer
from include.retry_after import LONGEST_S, retry_after_s

_LEAST_WAIT_S = 60.0
"""What GitHub asks of a client that it told to slow down without saying for how long."""

_NAME = re.compile("[A-Za-z_]{1,40}")

_LINK = re.compile(r'<([^<>]*)>\s*;[^,]*\brel="?next\b"?')


def next_page(answer: WebAnswer, api: str) -> str | None:
    """Name the page after this one; None after the last.

    Raises:
        UnreadableAnswerError: It is no address, or lies on another site, where the token must not go.
    """
    match = _LINK.search(answer.headers.get("link", ""))
    if match is None:
        return None
    try:
        here, there = urlsplit(api), urlsplit(match[1])
    except ValueError:
        raise UnreadableAnswerError("the next page of the issues is no address") from None
    if (here.scheme, here.netloc) != (there.scheme, there.netloc):
        raise UnreadableAnswerError("the next page of the issues lies on another site")
    return match[1]


def decoded_answer(answer: WebAnswer) -> Any:
    """Read an answer's JSON.

    Raises:
        ProviderUnavailableError: GitHub is away, or asks to wait (``retry_after_s``).
        ProviderRefusedError: The token or the repository's name is wrong.
        UnreadableAnswerError: It is no JSON.
    """
    status = answer.status
    if status == HTTPStatus.OK:
        try:
            return json.loads(answer.content)
        except (ValueError, RecursionError) as error:
            raise UnreadableAnswerError("GitHub's answer is not JSON") from error
    wait_s = _wait_s(answer)
    if status == HTTPStatus.TOO_MANY_REQUESTS or (
        status == HTTPStatus.FORBIDDEN and wait_s is not None
    ):
        wait_s = _LEAST_WAIT_S if wait_s is None else wait_s
        raise ProviderUnavailableError(
            f"GitHub asks to wait {wait_s:.0f} s (status {status}); a token raises the limit",
            wait_s,
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        raise ProviderUnavailableError(f"GitHub answered with status {status}", wait_s)
    raise ProviderRefusedError(
        f"GitHub refused with status {status}: check the repository's name, and the token of the "
        "connection (it must be allowed to read issues and discussions)"
    )


def _wait_s(answer: WebAnswer) -> float | None:
    """Read for how long GitHub asks to wait; None when it does not say that it is about a limit."""
    headers = answer.headers
    asked_s = retry_after_s(headers.get("retry-after"))
    if asked_s is not None:
        return asked_s
    if headers.get("x-ratelimit-remaining") != "0":
        return _LEAST_WAIT_S if b"rate limit" in answer.content[:2000].lower() else None
    reset = headers.get("x-ratelimit-reset", "")
    if not reset.isdecimal():
        return _LEAST_WAIT_S
    try:
        # By the clock that set the moment; ours may be wrong.
        now = parsedate_to_datetime(headers.get("date", "")).timestamp()
    except (ValueError, OverflowError):
        now = datetime.now(UTC).timestamp()
    return min(max(1.0, float(reset) - now + 1), LONGEST_S)


def discussions_of(answer: WebAnswer, repository: str) -> dict[str, Any]:
    """Take the page of discussions out of an answer.

    Raises:
        ProviderUnavailableError: GitHub asks to wait.
        ProviderRefusedError: The repository or the permission is missing.
        UnreadableAnswerError: There is no page in it.
    """
    value = decoded_answer(answer)
    errors = value.get("errors") if isinstance(value, Mapping) else None
    for error in errors if isinstance(errors, list) else []:
        kind = error.get("type") if isinstance(error, Mapping) else None
        if kind in {"RATE_LIMITED", "RATE_LIMIT"}:
            wait_s = _wait_s(answer) or _LEAST_WAIT_S
            raise ProviderUnavailableError(f"GitHub asks to wait {wait_s:.0f} s", wait_s)
        if kind in {"NOT_FOUND", "FORBIDDEN", "INSUFFICIENT_SCOPES"}:
            raise ProviderRefusedError(
                f"{repository}: GitHub answers {kind}; check the name, and the token's permissions"
            )
    try:
        found = value["data"]["repository"]["discussions"]
    except (TypeError, KeyError):
        found = None
    is_page = (
        isinstance(found, Mapping)
        and isinstance(found.get("nodes"), list)
        and isinstance(found.get("pageInfo"), Mapping)
    )
    if errors or not is_page:
        raise UnreadableAnswerError(f"{repository}: GitHub gave no discussions: {_shape(value)}")
    return dict(found)


def _shape(value: Any) -> str:
    """Describe an answer by names alone: its values may be a citizen's words.

    >>> _shape({"data": None, "errors": [{"type": "TIMEOUT", "message": "Mon voisin ..."}]})
    'a dict with data, errors; errors of type TIMEOUT'
    """
    if not isinstance(value, Mapping):
        return f"a {type(value).__name__}"
    errors = value.get("errors")
    kinds = [
        error["type"]
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, Mapping) and isinstance(error.get("type"), str)
    ]
    told = f"a dict with {_names(value) or 'nothing known'}"
    return f"{told}; errors of type {_names(kinds)}" if _names(kinds) else told


def _names(given: Iterable[str]) -> str:
    return ", ".join(sorted({name for name in given if _NAME.fullmatch(name)})[:5])


def latest_change(total: Any, nodes: Sequence[Any]) -> str | None:
    """Name the state of a list sorted by change: it differs after any change or removal."""
    first = nodes[0] if nodes else {}
    if not isinstance(first, Mapping):
        return None
    return f"{total}:{first.get('number')}:{first.get('updatedAt')}"
