"""The daily reports: pages that a task wrote, under links to their neighbours.

A report opens by itself, without a network; here its words stand in the frame of the other pages, under
their style sheet and their headers. It is French whatever the frame's language is.
"""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from include.contributions.wording import STATE_LABELS
from include.pages import body_of
from participation.api.serving import Sight, View, ask
from participation.ledger import reports
from participation.ledger.attempt_pages import attempts_page
from participation.settings import Settings

router = APIRouter()


@router.get("/reports", response_class=HTMLResponse)
def newest_report(sight: Sight) -> HTMLResponse:
    """Show the newest report of a day on which something was received, else the newest."""
    day = ask(reports.newest_report)
    if day is None:
        return sight.missing("no_report", section="reports")
    return _page(sight, day, "")


@router.get("/reports/days", response_class=HTMLResponse)
def all_days(sight: Sight) -> HTMLResponse:
    """List the reported days, the newest first."""
    return sight.page(
        "report_days",
        root="../",
        section="reports",
        days=ask(reports.listed_days),
        states=tuple(STATE_LABELS),
    )


def report_of_run(sight: View, dag_id: str, run_id: str) -> HTMLResponse:
    """Show the report that a run wrote, or that of the day whose contributions it judged."""
    day = ask(reports.report_of_run, dag_id, run_id)
    if day is None:
        seen = ask(attempts_page, dag_id, None, run_id)
        if seen.attempts:  # it worked on no day: what its tasks did is all there is to tell
            return sight.page("attempts", root="../", seen=seen)
        return sight.missing("no_report", root="../", section="reports")
    return _page(sight, day, "../", written_at=ask(reports.written_before, day, dag_id, run_id))


@router.get("/reports/{day}", response_class=HTMLResponse)
def report_of_day(sight: Sight, day: Annotated[date, Path()]) -> HTMLResponse:
    """Show the report of one day."""
    return _page(sight, day, "../")


def _page(sight: View, day: date, root: str, **more: Any) -> HTMLResponse:
    """Serve a day's page in the frame of the others, between links to its neighbours."""
    path = Settings().reports / f"{day.isoformat()}.html"
    try:
        written = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return sight.missing("no_report", root=root, section="reports")
    before, after = ask(reports.neighbours, day)
    shown: Mapping[str, Any] = {"written_at": None, "before": before, "after": after, **more}
    return sight.page(
        "report_day",
        root=root,
        section="reports",
        day=day,
        # Escaped where it was written, by the template of the report.
        body=Markup(body_of(written)),  # noqa: S704
        **shown,
    )
