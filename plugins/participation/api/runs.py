"""What a run of any of the DAGs did: the report behind the tab *Report* of a run."""

from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from include.documents import report
from include.processing.definition import DAG_PREFIX
from participation.api import daily_reports, evaluations, workflow_pages
from participation.api.documents import pages_of
from participation.api.serving import AIRFLOW_ID, CHAIN, EVALUATE, DagId, Sight, ask
from participation.ledger.connection import Connection

DOCUMENT_DAGS = frozenset(
    {
        "document_intake",
        "document_chunking",
        "document_embedding",
        "document_indexing",
        "dataset_creation",
    }
)

router = APIRouter(prefix="/runs")


def may_see_days(dag_id: DagId, request: Request, user: GetUserDep) -> None:
    """Ask for the daily reports too where it is one of them that will be shown."""
    if dag_id not in DOCUMENT_DAGS and dag_id != EVALUATE:
        requires_access_dag("GET", access_entity=DagAccessEntity.RUN, param_dag_id=CHAIN)(
            request, user
        )


@router.get("/report", response_class=HTMLResponse)
def report_of_run(
    sight: Sight, dag_id: DagId, run_id: Annotated[str, Query(max_length=250, pattern=AIRFLOW_ID)]
) -> HTMLResponse:
    """Show what a run did: its documents, its evaluation, else the report of the day it worked on."""
    sent = run_id.replace(" ", "+")  # a plus sign that came unquoted
    if dag_id == EVALUATE:
        return evaluations.evaluation_of_run(sight, sent)
    if dag_id.startswith(DAG_PREFIX):
        return workflow_pages.page_of_run(sight, dag_id, sent)
    if dag_id not in DOCUMENT_DAGS:
        return daily_reports.report_of_run(sight, dag_id, sent)
    found = ask(_run, dag_id, sent)
    if found is None:
        return sight.missing("no_run", root="../")
    return sight.page("document_run", root="../", section="documents", run=found)


def _run(
    connection: Connection, municipality: str, dag_id: str, run_id: str
) -> report.RunReport | None:
    return pages_of(connection, municipality).run(dag_id, run_id)
