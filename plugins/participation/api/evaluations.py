"""The evaluations of the reviewer: the list, and the page of each."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from include.contributions import evaluation_report
from include.pages import body_of
from participation import evaluation_pages
from participation.api.serving import CHAIN, EVALUATE, Sight, View, ask
from participation.ledger.connection import Connection
from participation.ledger.evaluations import LedgerEvaluations
from participation.settings import Settings

router = APIRouter(prefix="/evaluations")


@router.get("", response_class=HTMLResponse)
def listed(sight: Sight) -> HTMLResponse:
    """List the evaluations, the newest first."""
    rows: list[Any] = ask(evaluation_pages.listed)
    return _page(sight, evaluation_report.render_list(Settings().municipality, rows), "")


@router.get("/{evaluation_id}", response_class=HTMLResponse)
def evaluation(sight: Sight, evaluation_id: Annotated[int, Path(ge=1, le=2**62)]) -> HTMLResponse:
    """Show one evaluation; citizens' words only to who may read contributions."""
    return _page(sight, ask(_by_id, evaluation_id, sight.may(CHAIN)), "../")


def evaluation_of_run(sight: View, run_id: str) -> HTMLResponse:
    """Show what a run of the DAG found."""
    return _page(sight, ask(_of_run, run_id, sight.may(CHAIN)), "../")


def _page(sight: View, written: str | None, root: str) -> HTMLResponse:
    """Serve an evaluation, which opens by itself as well, in the frame of the other pages."""
    if written is None:
        return sight.missing("no_evaluation", root=root, section="evaluations")
    return sight.page(
        "evaluation_page",
        root=root,
        section="evaluations",
        # Escaped where it was written, by the template of the evaluation.
        body=Markup(body_of(written)),  # noqa: S704
    )


def _by_id(
    connection: Connection,
    municipality: str,
    evaluation_id: int,
    may_read: bool,  # noqa: FBT001 - passed on
) -> str | None:
    stored = LedgerEvaluations(connection, municipality).get(evaluation_id)
    if stored is None:
        return None
    report = evaluation_pages.report_of(connection, stored, may_read_contributions=may_read)
    return evaluation_report.render(report)


def _of_run(
    connection: Connection,
    municipality: str,
    run_id: str,
    may_read: bool,  # noqa: FBT001 - passed on
) -> str | None:
    stored = LedgerEvaluations(connection, municipality).of_run(EVALUATE, run_id)
    if stored is None:
        return None
    report = evaluation_pages.report_of(connection, stored, may_read_contributions=may_read)
    return evaluation_report.render(report)
