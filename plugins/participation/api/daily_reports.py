"""The daily reports: pages that a task wrote, under links to their neighbours."""

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from include.contributions import wording
from participation.api.serving import ask, missing, page
from participation.ledger import reports
from participation.settings import Settings

router = APIRouter()


@router.get("/reports", response_class=HTMLResponse)
def newest_report() -> HTMLResponse:
    """Show the newest report of a day on which something was received, else the newest."""
    day = ask(reports.newest_report)
    return _page(day, "reports/") if day else _no_report("Aucun rapport pour l'instant.")


@router.get("/reports/days", response_class=HTMLResponse)
def all_days() -> HTMLResponse:
    """List the reported days, the newest first."""
    listed = ask(reports.listed_days)
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
    return page(body)


def report_of_run(dag_id: str, run_id: str) -> HTMLResponse:
    """Show the report that a run wrote, or that of the day whose contributions it judged."""
    day = ask(reports.report_of_run, dag_id, run_id)
    if day is None:
        return _no_report("Cette exécution n'a pas écrit de rapport.")
    written_at = ask(reports.written_before, day, dag_id, run_id)
    if written_at is None:
        return _page(day, "../reports/")
    banner = Markup(
        '<div class="alarm" role="status">Page établie le {}, avant cette exécution ; elle sera'
        " refaite par daily_chain, à sa prochaine exécution pour ce jour.</div>"
    ).format(wording.moment(written_at))
    return _page(day, "../reports/", banner)


@router.get("/reports/{day}", response_class=HTMLResponse)
def report_of_day(day: Annotated[date, Path()]) -> HTMLResponse:
    """Show the report of one day."""
    return _page(day)


def _page(day: date, to_reports: str = "", banner: str = "") -> HTMLResponse:
    """Serve a day's page under links to its neighbours; addresses are relative to the page's own."""
    path = Settings().reports / f"{day.isoformat()}.html"
    try:
        written = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return _no_report(f"Aucun rapport pour le {day.isoformat()}.")
    top = f"<body>\n{banner}{_links(day, to_reports)}\n"
    return page(written.replace("<body>\n", top, 1))


def _links(day: date, to_reports: str) -> Markup:
    before, after = ask(reports.neighbours, day)
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


def _no_report(sentence: str) -> HTMLResponse:
    return missing(
        "Pas de rapport",
        sentence,
        "Un rapport est écrit chaque jour par le DAG daily_chain, et pour un autre jour par une"
        " exécution dont la clé de partition est ce jour.",
    )
