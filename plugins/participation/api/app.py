"""The FastAPI application under ``/participation``: the daily reports."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Annotated, Any, TypeVar

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag, requires_authenticated
from fastapi import Depends, FastAPI, HTTPException, Path, Query
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from include.contributions import wording
from include.errors import LedgerUnavailableError
from participation.hooks.ledger import ledger_dsn
from participation.ledger import reports
from participation.ledger.connection import session
from participation.settings import Settings

Found = TypeVar("Found")

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
    day = _ask(reports.newest_report)
    return _page(day, "reports/") if day else _missing("Aucun rapport pour l'instant.")


@app.get("/reports/days", response_class=HTMLResponse)
def all_days() -> HTMLResponse:
    """List the reported days, the newest first."""
    listed = _ask(reports.listed_days)
    rows = Markup("").join(_row(day, figures) for day, figures in listed)
    body = Markup(
        '<!doctype html><html lang="fr"><meta charset="utf-8"><title>Rapports</title>'
        "<style>body{{font:1rem/1.5 sans-serif;margin:3rem auto;max-width:50rem;padding:0 1rem;"
        "color-scheme:light dark}}td,th{{padding:.2rem .8rem;text-align:right}}"
        "td:first-child,th:first-child{{text-align:left}}</style>"
        "<body><h1>Rapports, jour par jour</h1><table><thead><tr><th>Jour</th><th>reçues</th>{}</tr>"
        "</thead><tbody>{}</tbody></table></body></html>"
    ).format(
        Markup("").join(
            Markup("<th>{}</th>").format(label) for label in wording.STATE_LABELS.values()
        ),
        rows,
    )
    return HTMLResponse(body, headers=HEADERS)


@app.get("/runs/report", response_class=HTMLResponse)
def report_of_run(
    dag_id: Annotated[str, Query(max_length=250, pattern=AIRFLOW_ID)],
    run_id: Annotated[str, Query(max_length=250, pattern=AIRFLOW_ID)],
) -> HTMLResponse:
    """Show the report that a run wrote, or that of the day whose contributions it judged."""
    sent = run_id.replace(" ", "+")  # a plus sign that came unquoted
    day = _ask(reports.report_of_run, dag_id, sent)
    if day is None:
        return _missing("Cette exécution n'a pas écrit de rapport.")
    written_at = _ask(reports.written_before, day, dag_id, sent)
    if written_at is None:
        return _page(day, "../reports/")
    banner = Markup(
        '<div class="alarm" role="status">Page établie le {}, avant cette exécution ; elle sera'
        " refaite par daily_chain, à sa prochaine exécution pour ce jour.</div>"
    ).format(wording.moment(written_at))
    return _page(day, "../reports/", banner)


@app.get("/reports/{day}", response_class=HTMLResponse)
def report_of_day(day: Annotated[date, Path()]) -> HTMLResponse:
    """Show the report of one day."""
    return _page(day)


def _page(day: date, to_reports: str = "", banner: str = "") -> HTMLResponse:
    """Serve a day's page under links to its neighbours; addresses are relative to the page's own."""
    path = Settings().reports / f"{day.isoformat()}.html"
    try:
        page = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _missing(f"Aucun rapport pour le {day.isoformat()}.")
    top = f"<body>\n{banner}{_links(day, to_reports)}\n"
    return HTMLResponse(page.replace("<body>\n", top, 1), headers=HEADERS)


def _links(day: date, to_reports: str) -> Markup:
    before, after = _ask(reports.neighbours, day)
    link = Markup('<a href="{}{}">{}</a>')
    shown = [
        link.format(to_reports, before, "← jour précédent") if before else "",
        link.format(to_reports, "days", "tous les jours"),
        link.format(to_reports, after, "jour suivant →") if after else "",
    ]
    return Markup('<p class="meta">{}</p>').format(
        Markup(" · ").join(part for part in shown if part)
    )


def _row(day: date, figures: Mapping[str, Any]) -> Markup:
    counts = [figures.get(name, "–") for name in ("loaded", *wording.STATE_LABELS)]
    cells = Markup("").join(Markup("<td>{}</td>").format(count) for count in counts)
    link = Markup('<a href="{}">{}</a>').format(day.isoformat(), wording.day_words(day))
    return Markup("<tr><td>{}</td>{}</tr>").format(link, cells)


def _missing(sentence: str) -> HTMLResponse:
    body = (
        '<!doctype html><html lang="fr"><meta charset="utf-8"><title>Rapport</title>'
        '<body style="font: 1rem/1.5 sans-serif; margin: 3rem auto; max-width: 40rem; color-scheme:'
        f' light dark"><h1>Pas de rapport</h1><p>{sentence}</p><p>Un rapport est écrit chaque jour par'
        " le DAG <code>daily_chain</code>, et pour un autre jour par une exécution dont la clé de"
        " partition est ce jour.</p></body></html>"
    )
    return HTMLResponse(body, status_code=404, headers=HEADERS)


def _ask(find: Callable[..., Found], *names: Any) -> Found:
    try:
        with session(ledger_dsn()) as connection:
            return find(connection, Settings().municipality, *names)
    except LedgerUnavailableError as error:
        raise HTTPException(503, "The ledger does not answer: try again in a minute.") from error
