"""The page about what is set aside among contributions: why, and the way back."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from participation.api.contributions import ANALYSIS
from participation.api.serving import LAST_ID, Sight, ask, storable
from participation.ledger.quarantine_pages import quarantine_page

Place = Annotated[int | None, Query(ge=0, le=LAST_ID)]

router = APIRouter()


@router.get("/quarantine", response_class=HTMLResponse)
def quarantine(
    sight: Sight,
    kind: Annotated[str, Query(max_length=20)] = "",
    reason: Annotated[str, Query(max_length=200)] = "",
    after: Place = None,
    before: Place = None,
) -> HTMLResponse:
    """List what could not be processed, the newest first, with what to do about it."""
    found = ask(
        quarantine_page,
        kind=kind if kind in {"record", "contribution"} else None,
        reason=storable(reason),
        after=after,
        before=before,
    )
    return sight.page(
        "quarantine", section="quarantine", listed=found, may_rerun=sight.may(ANALYSIS, "POST")
    )
