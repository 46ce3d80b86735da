"""The FastAPI application under ``/participation``: today, the daily reports."""

from datetime import date
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag, requires_authenticated
from fastapi import Depends, FastAPI, HTTPException, Path, Query
from fastapi.responses import HTMLResponse, RedirectResponse

from include.errors import LedgerUnavailableError
from participation.hooks.ledger import ledger_dsn
from participation.ledger.connection import session
from participation.settings import Settings

CHAIN = "daily_chain"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    " frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
"""Nothing on a page comes from elsewhere and nothing in it runs: a citizen's text stays a text."""

app = FastAPI(
    title="Participation",
    docs_url=None,
    redoc_url=None,
    openapi_url=None,
    dependencies=[
        Depends(requires_authenticated()),
        Depends(requires_access_dag("GET", access_entity=DagAccessEntity.RUN, param_dag_id=CHAIN)),
    ],
)


@app.get("/reports", response_class=HTMLResponse)
def newest_report() -> RedirectResponse:
    """Show the newest report."""
    days = _column("SELECT received_on FROM report WHERE municipality = %s ORDER BY 1 DESC LIMIT 1")
    if not days:
        raise HTTPException(404, "No report yet: run the DAG daily_chain for a day.")
    return RedirectResponse(f"/participation/reports/{days[0]}", headers=HEADERS)


@app.get("/runs/report", response_class=HTMLResponse)
def report_of_run(run_id: Annotated[str, Query(max_length=250)]) -> HTMLResponse:
    """Show the report that a run of the daily chain wrote."""
    days = _column("SELECT received_on FROM report WHERE municipality = %s AND run_id = %s", run_id)
    if not days:
        raise HTTPException(
            404, "This run wrote no report, or a later run of its day wrote it anew."
        )
    return _page(days[0])


@app.get("/reports/{day}", response_class=HTMLResponse)
def report_of_day(day: Annotated[date, Path()]) -> HTMLResponse:
    """Show the report of one day."""
    return _page(day)


def _page(day: date) -> HTMLResponse:
    path = Settings().reports / f"{day.isoformat()}.html"
    try:
        return HTMLResponse(path.read_text(encoding="utf-8"), headers=HEADERS)
    except FileNotFoundError as error:
        raise HTTPException(
            404, f"No report for {day}: run the DAG daily_chain with this partition key."
        ) from error


def _column(query: str, *more: str) -> list[date]:
    settings = Settings()
    try:
        with session(ledger_dsn()) as connection:
            return [value for (value,) in connection.execute(query, (settings.municipality, *more))]
    except LedgerUnavailableError as error:
        raise HTTPException(503, "The ledger does not answer: try again in a minute.") from error
