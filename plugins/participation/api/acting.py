"""What a change needs beyond a cookie: a token, or a page of this very server that says so itself.

A browser sends the login cookie along whichever site asks it to; another site's page can neither set
our header nor name this server as its origin.
"""

from typing import TypeVar
from urllib.parse import urlsplit

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError

from participation.api.v1.locks import OWN_HEADER

MAX_BODY_BYTES = 64 * 1024
"""The longest words that a form takes are 4,000 characters."""

Form = TypeVar("Form", bound=BaseModel)


def of_our_page(request: Request) -> None:
    """Let a request pass that carries a token, or that one of our pages sent.

    Raises:
        HTTPException: 403 by a cookie alone.
    """
    if request.headers.get("authorization", "").lower().startswith("bearer "):
        return
    if OWN_HEADER not in request.headers or not _is_own(request):
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


def _is_own(request: Request) -> bool:
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    try:
        origin = urlsplit(request.headers.get("origin", "")).netloc
    except ValueError:
        return False
    return bool(origin) and origin == request.headers.get("host")
