"""Errors as ``application/problem+json`` (RFC 9457): a status, a clear sentence, the fields that are wrong.

Nothing of the inside goes out: no trace, no statement, and of what was sent only the place and why.
"""

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from include.errors import LedgerUnavailableError

MEDIA_TYPE = "application/problem+json"
MAX_FAULTS = 100
"""Fields named in one answer; whoever sent worse mends these first."""

_RETRY_S = 30

log = logging.getLogger(__name__)


class Fault(BaseModel):
    """One field that is wrong."""

    field: str = Field(description="Where, such as `contributions[3].text` or `q`.")
    message: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """What went wrong, and what to do about it."""

    type: str = Field(default="about:blank", description="`about:blank`: the status says the kind.")
    title: str
    status: int
    detail: str = Field(description="A sentence for whoever wrote the client.")
    request_id: str = Field(description="Stands in the server's log too.")
    errors: list[Fault] | None = None


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        faults: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.faults = [Fault(field=field, message=message) for field, message in faults]
        self.headers = dict(headers or {})


def unprocessable(field: str, message: str) -> ProblemError:
    """Say that one field of a request is wrong: 422."""
    return ProblemError(422, f"{field}: {message}", [(field, message)])


def not_found(what: str) -> ProblemError:
    """Say that there is no such thing: 404."""
    return ProblemError(404, what)


def answer(request_id: str, problem: ProblemError) -> JSONResponse:
    """Write a problem."""
    body = Problem(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        request_id=request_id,
        errors=problem.faults[:MAX_FAULTS] or None,
    )
    return JSONResponse(
        body.model_dump(exclude_none=True),
        status_code=problem.status,
        headers=problem.headers,
        media_type=MEDIA_TYPE,
    )


def of_exception(error: Exception) -> ProblemError:
    """Sort whatever was raised into what the caller is told."""
    match error:
        case ProblemError():
            return error
        case RequestValidationError():
            return invalid(error.errors())
        case HTTPException():
            return _http(error)
        case LedgerUnavailableError():
            return ProblemError(
                503,
                "The ledger does not answer: try again in half a minute.",
                headers={"Retry-After": str(_RETRY_S)},
            )
    return ProblemError(
        500, "The server made a mistake; its log has the details under this request_id."
    )


def invalid(errors: Sequence[Mapping[str, Any]]) -> ProblemError:
    """Name each field that a model refused."""
    faults = [(place(each["loc"]), _sentence(each)) for each in errors[:MAX_FAULTS]]
    return ProblemError(422, "; ".join(f"{where}: {why}" for where, why in faults[:3]), faults)


def place(parts: Sequence[Any]) -> str:
    """Write where a field is.

    >>> place(("body", "contributions", 3, "text")), place(("query", "q"))
    ('contributions[3].text', 'q')
    """
    written = ""
    for part in parts:
        if isinstance(part, int):
            written += f"[{part}]"
        elif not (part in {"body", "query", "path", "header"} and not written):
            written += f".{part}" if written else str(part)
    shown = "".join(each if each.isprintable() else "�" for each in written)
    return shown[:200] or "body"


async def handled(request: Request, error: Exception) -> JSONResponse:
    """Answer for an exception; a mistake of ours goes to the log whole."""
    request_id = str(request.scope.get("participation.request_id", ""))
    problem = of_exception(error)
    if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.error("%s %s", request.method, request.url.path, exc_info=error)
    return answer(request_id, problem)


def _http(error: HTTPException) -> ProblemError:
    headers = dict(error.headers or {})
    match error.status_code, str(error.detail):
        # Airflow calls a token that it cannot read forbidden; whoever sent it is simply not known.
        case (401, _) | (403, "Invalid JWT token"):
            return ProblemError(
                401,
                "Log in: send a token of POST /auth/token as 'Authorization: Bearer ...'.",
                headers=headers | {"WWW-Authenticate": "Bearer"},
            )
        case 403, _:
            return ProblemError(403, "You are not allowed to do this; ask an administrator.")
        case 404, _:
            return ProblemError(404, "There is nothing at this address; see openapi.json.")
        case 405, _:
            return ProblemError(405, "This address does not take this method.", headers=headers)
        case status, detail:
            return ProblemError(status, detail[:300], headers=headers)
    raise AssertionError  # every pair was met above


def _sentence(error: Mapping[str, Any]) -> str:
    if error.get("type") == "missing":
        return "is required"
    message = str(error.get("msg", "is not valid")).removeprefix("Value error, ")
    return "".join(each if each.isprintable() else "�" for each in message)[:300]
