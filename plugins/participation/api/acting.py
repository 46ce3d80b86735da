"""What a change needs beyond a cookie: a token, or a page of this very server that says so itself.

A browser sends the login cookie along whichever site asks it to; another site's page can neither set
our header nor name this server as its origin.
"""

from typing import TypeVar
from urllib.parse import urlsplit

from airflow.configuration import conf
from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError

OWN_HEADER = "X-Participation-Request"
"""Whoever relies on the login cookie sends this header, which another site's page cannot."""

MAX_BODY_BYTES = 64 * 1024
"""The longest words that a form takes are 4,000 characters."""

Form = TypeVar("Form", bound=BaseModel)


def is_by_cookie_alone(request: Request) -> bool:
    """Say whether nothing but the cookie speaks for a change: no token, and no page of this server."""
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return False
    return OWN_HEADER not in request.headers or not _is_of_this_server(request)


def of_our_page(request: Request) -> None:
    """Let a request pass that carries a token, or that one of our pages sent.

    Raises:
        HTTPException: 403 by a cookie alone.
    """
    if is_by_cookie_alone(request):
        raise HTTPException(
            403, f"A cookie alone changes nothing: send a token, or {OWN_HEADER} from our page."
        )


async def body_of(request: Request, form: type[Form]) -> Form:
    """Read a body, after the locks of the door and no further than it may be long.

    Raises:
        HTTPException: 413 when it is too long, 422 when it is not the form.
    """
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"The body is longer than {MAX_BODY_BYTES} bytes.")
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise HTTPException(422, f"{where}: {first['msg']}") from error


def _is_of_this_server(request: Request) -> bool:
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return False
    try:
        origin = urlsplit(request.headers.get("origin", ""))
        own = urlsplit(conf.get("api", "base_url", fallback=""))
    except ValueError:
        return False
    return bool(origin.netloc) and (
        (origin.scheme, origin.netloc) == (own.scheme, own.netloc)
        or origin.netloc == request.headers.get("host")
    )
