"""A request's body: bounded while it is read, strict when it is parsed, and storable.

FastAPI would read and parse a body before it asks who sends it. Here a body is a dependency like any
other, and the last one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

import pydantic_core
from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool

from participation.api.v1.problems import ProblemError, invalid, place, unprocessable

KB = 1024
MB = 1024 * KB

READ_LIMIT_S = 30
"""For a whole body: a slow drip must not hold a connection for ever."""

LARGEST_INTEGER = 2**53
"""Beyond it JSON's readers disagree about a number."""

MAX_DEPTH = 40

Model = TypeVar("Model")


def body_of(
    form: Any, limit: int, kinds: Collection[str] = ()
) -> Callable[[Request], Awaitable[Any]]:
    """Make a dependency that reads a body of at most ``limit`` bytes as ``form``.

    ``kinds`` are the tags of a form that is one of several; they are no part of a field's place.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(form)

    async def body(request: Request) -> Any:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type != "application/json":
            raise ProblemError(415, "Send JSON, with 'Content-Type: application/json'.")
        # A large body takes a while to look through; other requests go on meanwhile.
        return await run_in_threadpool(read, await received(request, limit), adapter, kinds)

    return body


async def received(request: Request, limit: int) -> bytes:
    """Read a body, and no more of it than the limit, whatever its length is said to be."""
    said = request.headers.get("content-length", "")
    if said.isdecimal() and (len(said) > len(str(limit)) or int(said) > limit):
        raise _too_large(limit)
    blocks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            async for block in request.stream():
                size += len(block)
                if size > limit:
                    raise _too_large(limit)
                blocks.append(block)
    except TimeoutError:
        raise ProblemError(408, f"The body did not arrive within {READ_LIMIT_S} s.") from None
    return b"".join(blocks)


def read(body: bytes, adapter: TypeAdapter[Model], kinds: Collection[str] = ()) -> Model:
    """Parse a body and hold it against a form; what no database could hold is refused by its place."""
    try:
        value = pydantic_core.from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise ProblemError(400, f"The body is no JSON: {str(error)[:200]}.") from None
    check_storable(value)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        found: list[Any] = list(error.errors(include_url=False, include_input=False))
        for each in found:
            if each["loc"] and each["loc"][0] in kinds:
                each["loc"] = each["loc"][1:]
        raise invalid(found) from None


def check_storable(value: Any, where: tuple[Any, ...] = ()) -> None:
    """Refuse NUL and lone surrogates in any text or key, numbers out of range and endless nesting."""
    if len(where) > MAX_DEPTH:
        raise unprocessable(place(where[:3]), f"is nested deeper than {MAX_DEPTH} levels")
    match value:
        case str():
            check_text(value, where)
        case bool() | None:
            return
        case int() if abs(value) > LARGEST_INTEGER:
            raise unprocessable(place(where), "is a number beyond 2^53: send it as a string")
        case dict():
            for key, each in value.items():
                check_text(key, where)
                check_storable(each, (*where, key))
        case list():
            for at, each in enumerate(value):
                check_storable(each, (*where, at))


def check_text(text: str, where: tuple[Any, ...]) -> None:
    """Refuse a text that PostgreSQL or UTF-8 cannot hold."""
    if "\x00" in text or (
        not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text)
    ):
        raise unprocessable(
            place(where), "holds a NUL or half a character: send plain Unicode text"
        )


def _too_large(limit: int) -> ProblemError:
    size = f"{limit // MB} MB" if limit >= MB else f"{limit // KB} KB"
    return ProblemError(
        413,
        f"The body is larger than {size}: send less at a time.",
        headers={"Connection": "close"},
    )
