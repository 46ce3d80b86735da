"""The first page, and the part of it that is asked for again every half minute."""

from fastapi import APIRouter
from fastapi.responses import HTMLResponse

from include.overview import Overview
from participation.api.serving import INTAKE, Sight, View, ask
from participation.ledger.connection import Connection
from participation.ledger.overview import LedgerOverview

router = APIRouter()


@router.get("/", response_class=HTMLResponse)
def overview(sight: Sight) -> HTMLResponse:
    """Show the flow of the day, what waits for whom, and the last days."""
    return _page("overview", sight)


@router.get("/overview/live", response_class=HTMLResponse)
def live(sight: Sight) -> HTMLResponse:
    """Give the part of the page that changes, as a fragment for the page at ``/``."""
    return _page("overview_live", sight)


def _page(template: str, sight: View) -> HTMLResponse:
    seen = ask(_overview, with_documents=sight.may(INTAKE))
    return sight.page(template, section="overview", default="en", seen=seen)


def _overview(connection: Connection, municipality: str, *, with_documents: bool) -> Overview:
    return LedgerOverview(connection, municipality).read(with_documents=with_documents)
