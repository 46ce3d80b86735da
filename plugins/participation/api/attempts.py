"""The tabs of a DAG, a task and a task instance: their runs and attempts as the ledger knows them."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from participation.api.serving import AIRFLOW_ID, DagId, Sight, ask
from participation.ledger.attempt_pages import attempts_page

TaskId = Annotated[str, Query(max_length=250, pattern=AIRFLOW_ID)]

router = APIRouter()


@router.get("/dags/runs", response_class=HTMLResponse)
def of_dag(sight: Sight, dag_id: DagId) -> HTMLResponse:
    """Show the last runs of a DAG, each with its report."""
    return sight.page("attempts", root="../", default="en", seen=ask(attempts_page, dag_id))


@router.get("/tasks/attempts", response_class=HTMLResponse)
def of_task(
    sight: Sight,
    dag_id: DagId,
    task_id: TaskId,
    run_id: Annotated[str, Query(max_length=250)] = "",
    map_index: Annotated[str, Query(max_length=20)] = "",
) -> HTMLResponse:
    """Show the last attempts of a task, or of one instance of it, and what each worked on."""
    sent = run_id.replace(" ", "+")  # a plus sign that came unquoted
    index = int(map_index) if map_index.lstrip("-").isdecimal() else None
    seen = ask(attempts_page, dag_id, task_id, sent or None, index)
    return sight.page("attempts", root="../", default="en", seen=seen)
