"""The pages about named workflows: definitions, runs, and what each step of a run did and gave."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from include.processing.pages import LISTED, RunOfWorkflow, WorkflowList, moment_of, pretty
from participation.api.serving import AIRFLOW_ID, DagId, Sight, View, ask
from participation.ledger import workflows as ledger
from participation.ledger.connection import Connection
from participation.workflow_registry import definitions

router = APIRouter(prefix="/workflows")
run_router = APIRouter(prefix="/workflows")


@router.get("", response_class=HTMLResponse)
def listed(
    sight: Sight,
    workflow: Annotated[str, Query(max_length=60, pattern="^[a-z0-9-]*$")] = "",
    older: Annotated[str, Query(max_length=300)] = "",
) -> HTMLResponse:
    """List the definitions and runs of the workflows that somebody may see."""
    known, errors = definitions()
    seen = tuple(each for each in known if sight.may(each.dag_id))
    place = _place(older)
    found = ask(_runs, workflow or None, place)
    runs = [run for run in found if sight.may(run.dag_id)]
    last = runs[LISTED - 1] if len(runs) > LISTED else None
    shown = WorkflowList(
        seen,
        tuple(str(error) for error in errors),
        workflow or None,
        tuple(runs[:LISTED]),
        f"{last.started_at.isoformat()}~{last.run_id}" if last else None,
    )
    return sight.page("workflows", section="workflows", default="en", listed=shown)


@run_router.get("/run", response_class=HTMLResponse)
def run(
    sight: Sight,
    dag_id: DagId,
    run_id: Annotated[str, Query(max_length=250, pattern=AIRFLOW_ID)],
) -> HTMLResponse:
    """Show one run: its steps as they stand, what went in and what came out."""
    return page_of_run(sight, dag_id, run_id.replace(" ", "+"))


def page_of_run(sight: View, dag_id: str, run_id: str) -> HTMLResponse:
    """Show a run of a named workflow, or say that there is none."""
    found = ask(_status, dag_id, run_id)
    if found is None:
        return sight.missing("no_run", root="../", section="workflows")
    return sight.page(
        "workflow_run",
        root="../",
        section="workflows",
        default="en",
        run=found,
        started_at=moment_of(found, "started_at"),
        ended_at=moment_of(found, "ended_at"),
        pretty=pretty,
    )


def _runs(
    connection: Connection,
    municipality: str,
    workflow: str | None,
    before: tuple[datetime, str] | None,
) -> list[RunOfWorkflow]:
    found = ledger.latest_runs(
        connection, municipality, workflow=workflow, before=before, limit=LISTED + 1
    )
    return [RunOfWorkflow(**each) for each in found]


def _status(
    connection: Connection, municipality: str, dag_id: str, run_id: str
) -> dict[str, Any] | None:
    workflow = ledger.workflow_of(connection, municipality, dag_id, run_id)
    return ledger.status_of(connection, workflow, run_id) if workflow else None


def _place(older: str) -> tuple[datetime, str] | None:
    began, _, run_id = older.partition("~")
    try:
        at = datetime.fromisoformat(began)
    except ValueError:
        return None
    return (at, run_id) if at.tzinfo and run_id.isprintable() else None
