"""The application under ``/participation/api/v1``: its routes, its locks, its description."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from airflow.api_fastapi.auth.managers.models.resource_details import AccessView
from airflow.api_fastapi.core_api.security import requires_access_view, requires_authenticated
from fastapi import Depends, FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from include.errors import ParticipationError
from participation.api.v1 import (
    contributions,
    documenting,
    events,
    ledgers,
    locks,
    problems,
    search,
    validation,
    webhooks,
    workflows,
)
from participation.api.v1.porch import Porch

DESCRIPTION = """\
Submit contributions and documents of a town to its workflows, ask how they stand, and be told.

Log in with `POST /auth/token` and send the token as `Authorization: Bearer ...`. A change by the login
cookie needs the header `X-Participation-Request` and comes from a page of this server. Errors are
`application/problem+json`; `X-Request-ID` is taken and given back. Too many requests: 429 with
`Retry-After`."""


@asynccontextmanager
async def _ready(_: FastAPI) -> AsyncIterator[None]:
    # Once, when the API server starts: no first caller waits for the reviewer.
    await run_in_threadpool(validation.warm_up)
    yield
    await run_in_threadpool(ledgers.close)


app = FastAPI(
    title="Participation",
    version="1",
    description=DESCRIPTION,
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    redirect_slashes=False,
    lifespan=_ready,
    dependencies=[Depends(requires_authenticated()), Depends(locks.within_rate)],
)
app.add_middleware(Porch)
for kind in (problems.ProblemError, HTTPException, RequestValidationError, ParticipationError):
    app.add_exception_handler(kind, problems.handled)
for part in (workflows, contributions, validation, search, events, webhooks):
    app.include_router(part.router)


@app.get(
    "/openapi.json",
    include_in_schema=False,
    dependencies=[Depends(requires_access_view(AccessView.DOCS))],
)
def openapi_document() -> dict[str, Any]:
    """Describe this API."""
    return documenting.described(app)
