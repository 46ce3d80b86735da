"""The pages about contributions: the list, and the words and the story of each."""

from datetime import date
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from include.contributions.model import STATES
from include.contributions.story import ContributionList, Filters, Story
from participation.api.acting import body_of, of_our_page
from participation.api.serving import CATEGORIES, HEADERS, REVIEW, Sight, View, ask, storable
from participation.ledger.appeals import MAX_CHARACTERS, AppealRefusedError, file_appeal
from participation.ledger.connection import Connection
from participation.ledger.contribution_pages import LedgerContributionPages

ANALYSIS = "contribution_analysis"
"""Whoever may start it may have a contribution analysed again."""

Id = Annotated[str, Query(max_length=500)]

router = APIRouter()


@router.get("/contributions", response_class=HTMLResponse)
def listed(
    sight: Sight,
    state: Annotated[str, Query(max_length=40)] = "",
    category: Annotated[str, Query(max_length=40)] = "",
    reason: Annotated[str, Query(max_length=100)] = "",
    since: Annotated[str, Query(max_length=10)] = "",
    until: Annotated[str, Query(max_length=10)] = "",
    q: Annotated[str, Query(max_length=200)] = "",
    after: Id = "",
    before: Id = "",
) -> HTMLResponse:
    """List the contributions, the newest day first; a filter of no known name is none."""
    asked = Filters(
        state=state if state in STATES else None,
        category=category if category in CATEGORIES else None,
        reason=storable(reason),
        since=_day(since),
        until=_day(until),
        words=storable(q.strip()),
    )
    found = ask(_listed, asked, after=storable(after), before=storable(before))
    return sight.page("contributions", section="contributions", listed=found, categories=CATEGORIES)


@router.get("/contributions/{contribution_id}", response_class=HTMLResponse)
def contribution(sight: Sight, contribution_id: str) -> HTMLResponse:
    """Show a contribution's words with what was found in them, and its whole story."""
    return _story(sight, contribution_id, "../")


@router.get("/contribution", response_class=HTMLResponse)
def contribution_by_query(
    sight: Sight, contribution_id: Annotated[str, Query(alias="id", max_length=500)]
) -> HTMLResponse:
    """Show the same; for ids that a server on the way might take for folders."""
    return _story(sight, contribution_id, "")


class Appeal(BaseModel):
    """What an author contests, written down by whoever received it."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, max_length=500)]
    words: Annotated[str, Field(max_length=MAX_CHARACTERS)]


@router.post(
    "/contributions/appeal",
    dependencies=[
        Depends(of_our_page),
        Depends(requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, REVIEW)),
    ],
)
async def appeal(sight: Sight, request: Request) -> JSONResponse:
    """Put on record that an author contests a refusal; another person is asked. Twice is once.

    Raises:
        HTTPException: 422 with the reason: there is no such refusal, or nothing was said.
    """
    given = await body_of(request, Appeal)
    if not storable(given.id):
        raise sight.refusal(422, "no_contribution.what")
    try:
        appeal_id = await run_in_threadpool(ask, file_appeal, given.id, given.words)
    except AppealRefusedError as error:
        raise sight.refusal(422, f"appeal_refused.{error.why}") from error
    return JSONResponse({"appeal": appeal_id}, status_code=201, headers=HEADERS)


def _story(sight: View, contribution_id: str, root: str) -> HTMLResponse:
    found = ask(_one, contribution_id) if storable(contribution_id) else None
    if found is None:
        return sight.missing("no_contribution", root=root, section="contributions")
    return sight.page(
        "contribution",
        root=root,
        section="contributions",
        story=found,
        may_rerun=sight.may(ANALYSIS, "POST"),
        may_appeal=found.may_be_contested and sight.may(REVIEW, "PUT", DagAccessEntity.HITL_DETAIL),
    )


def _listed(
    connection: Connection,
    municipality: str,
    asked: Filters,
    *,
    after: str | None,
    before: str | None,
) -> ContributionList:
    pages = LedgerContributionPages(connection, municipality)
    return pages.listed(asked, after=after, before=before)


def _one(connection: Connection, municipality: str, contribution_id: str) -> Story | None:
    return LedgerContributionPages(connection, municipality).story(contribution_id)


def _day(given: str) -> date | None:
    try:
        return date.fromisoformat(given)
    except ValueError:
        return None
