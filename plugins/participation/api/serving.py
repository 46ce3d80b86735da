"""What every page shares: its headers, the way to the ledger, and the page that says there is none."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import HTTPException
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from include.errors import LedgerUnavailableError
from participation.hooks.ledger import ledger_dsn
from participation.ledger.connection import session
from participation.settings import Settings

Found = TypeVar("Found")

AIRFLOW_ID = r"^[A-Za-z0-9_.~:+ -]+$"

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:;"
    " frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
"""Nothing on a page comes from elsewhere and nothing in it runs: a citizen's text stays a text."""


def ask(find: Callable[..., Found], *names: Any) -> Found:
    """Ask the ledger: ``find`` gets a connection, the municipality and the names.

    Raises:
        HTTPException: 503, the ledger does not answer.
    """
    try:
        with session(ledger_dsn()) as connection:
            return find(connection, Settings().municipality, *names)
    except LedgerUnavailableError as error:
        raise HTTPException(503, "The ledger does not answer: try again in a minute.") from error


def page(content: str, status_code: int = 200) -> HTMLResponse:
    """Serve a page under the headers that all pages have."""
    return HTMLResponse(content, status_code=status_code, headers=HEADERS)


def missing(title: str, *sentences: str) -> HTMLResponse:
    """Serve a page that says what is not there, and where it would come from."""
    body = Markup(
        '<!doctype html><html lang="fr"><meta charset="utf-8"><title>{title}</title>'
        '<body style="font: 1rem/1.5 sans-serif; margin: 3rem auto; max-width: 40rem; color-scheme:'
        ' light dark"><h1>{title}</h1>{sentences}</body></html>'
    ).format(
        title=title,
        sentences=Markup("").join(Markup("<p>{}</p>").format(each) for each in sentences),
    )
    return page(body, status_code=404)
