"""The FastAPI application under ``/participation``: the daily reports."""

from collections.abc import Callable
from datetime import date
from typing import Annotated

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag, requires_authenticated
from fastapi import Depends, FastAPI, HTTPException, Path, Query
from fastapi.responses import HTMLResponse

from include.errors import LedgerUnavailableError
from participation.hooks.ledger import ledger_dsn
from participation.ledger import reports
from participation.ledger.connection import session
from participation.settings import Settings

CHAIN = "daily_chain"
AIRFLOW_ID = r"^[A-Za-z0-9_.~:+ -]+$"
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
def newest_report() -> HTMLResponse:
    """Show the newest report of a day on which something was received, else the newest."""
    day = _day(reports.newest_report)
    return _page(day) if day else _missing("Aucun rapport pour l'instant.")


@app.get("/runs/report", response_class=HTMLResponse)
def report_of_run(
    dag_id: Annotated[str, Query(max_length=250, pattern=AIRFLOW_ID)],
    run_id: Annotated[str, Query(max_length=250, pattern=AIRFLOW_ID)],
) -> HTMLResponse:
    """Show the report that a run wrote, or that of the day whose contributions it judged."""
    sent = run_id.replace(" ", "+")  # a plus sign that came unquoted
    day = _day(reports.report_of_run, dag_id, sent)
    return _page(day) if day else _missing("Cette exécution n'a pas écrit de rapport.")


@app.get("/reports/{day}", response_class=HTMLResponse)
def report_of_day(day: Annotated[date, Path()]) -> HTMLResponse:
    """Show the report of one day."""
    return _page(day)


def _page(day: date) -> HTMLResponse:
    path = Settings().reports / f"{day.isoformat()}.html"
    try:
        return HTMLResponse(path.read_text(encoding="utf-8"), headers=HEADERS)
    except FileNotFoundError:
        return _missing(f"Aucun rapport pour le {day.isoformat()}.")


def _missing(sentence: str) -> HTMLResponse:
    body = (
        '<!doctype html><html lang="fr"><meta charset="utf-8"><title>Rapport</title>'
        '<body style="font: 1rem/1.5 sans-serif; margin: 3rem auto; max-width: 40rem; color-scheme:'
        f' light dark"><h1>Pas de rapport</h1><p>{sentence}</p><p>Un rapport est écrit chaque jour par'
        " le DAG <code>daily_chain</code>, et pour un autre jour par une exécution dont la clé de"
        " partition est ce jour.</p></body></html>"
    )
    return HTMLResponse(body, status_code=404, headers=HEADERS)


def _day(find: Callable[..., date | None], *names: str) -> date | None:
    try:
        with session(ledger_dsn()) as connection:
            return find(connection, Settings().municipality, *names)
    except LedgerUnavailableError as error:
        raise HTTPException(503, "The ledger does not answer: try again in a minute.") from error
