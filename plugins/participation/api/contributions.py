"""The pages about contributions: the list, and the words and the story of each."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from include.contributions.model import STATES, UNDETERMINED, Category
from include.contributions.story import ContributionList, Filters, Story
from participation.api.serving import Sight, View, ask
from participation.ledger.connection import Connection
from participation.ledger.contribution_pages import LedgerContributionPages

ANALYSIS = "contribution_analysis"
"""Whoever may start it may have a contribution analysed again."""

CATEGORIES = (*(category.value for category in Category), UNDETERMINED, "none")

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
        reason=_text(reason),
        since=_day(since),
        until=_day(until),
        words=_text(q.strip()),
    )
    found = ask(_listed, asked, after=_text(after), before=_text(before))
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


def _story(sight: View, contribution_id: str, root: str) -> HTMLResponse:
    found = ask(_one, contribution_id) if _text(contribution_id) else None
    if found is None:
        return sight.missing("no_contribution", root=root, section="contributions")
    return sight.page(
        "contribution",
        root=root,
        section="contributions",
        story=found,
        may_rerun=sight.may(ANALYSIS, "POST"),
        may_appeal=False,
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


def _text(given: str) -> str | None:
    """What the ledger can be asked for: no NUL, no half of a pair."""
    is_storable = given.isprintable() or all(sign.isprintable() for sign in given.split())
    return given if given and is_storable else None


def _day(given: str) -> date | None:
    try:
        return date.fromisoformat(given)
    except ValueError:
        return None
