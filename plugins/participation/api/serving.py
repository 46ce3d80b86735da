"""What every page shares: its headers, its language, who looks at it, and the way to the ledger."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from urllib.parse import urlencode

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import Depends, HTTPException, Query, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from include.contributions.model import UNDETERMINED, Category
from include.errors import LedgerUnavailableError
from include.languages import chosen, language
from include.pages import render
from participation.api.acting import OWN_HEADER
from participation.hooks.ledger import ledger_dsn
from participation.ledger.connection import session
from participation.settings import Settings

Found = TypeVar("Found")

AIRFLOW_ID = r"^[A-Za-z0-9_.~:+ -]+$"

DagId = Annotated[str, Query(max_length=250, pattern=AIRFLOW_ID)]

CHAIN = "daily_chain"
"""Whoever may see its runs may see what citizens wrote: its reports show it."""

INTAKE = "document_intake"
"""Whoever may see its runs may see the town's documents."""

EVALUATE = "evaluate_reviewer"
"""Whoever may see its runs may see how often the reviewer is wrong."""

REVIEW = "contribution_review"
"""Whoever may answer its questions decides, and puts appeals on record."""

CATEGORIES = (*(category.value for category in Category), UNDETERMINED, "none")
"""What a list may be filtered by; ``none`` is what has no category yet."""

LAST_ID = 2**63 - 1
"""The largest number of a row that the ledger can be asked for."""

COOKIE = "participation_lang"
COOKIE_SECONDS = 365 * 24 * 3600

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self';"
    " connect-src 'self'; img-src 'self'; frame-ancestors 'self'; base-uri 'none'; form-action 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "private, no-store",
}
"""Nothing on a page comes from elsewhere and nothing in a text runs: a citizen's text stays a text."""


def ask(find: Callable[..., Found], *names: Any, **more: Any) -> Found:
    """Ask the ledger: ``find`` gets a connection, the municipality and the names.

    Raises:
        HTTPException: 503, the ledger does not answer.
    """
    try:
        with session(ledger_dsn()) as connection:
            return find(connection, Settings().municipality, *names, **more)
    except LedgerUnavailableError as error:
        raise HTTPException(503, "The ledger does not answer: try again in a minute.") from error


def storable(given: str) -> str | None:
    r"""Return what the ledger can be asked for; None for nothing, a NUL or half of a pair.

    >>> storable("a\x00"), storable("\ud800"), storable(""), storable("a")
    (None, None, None, 'a')
    """
    try:
        return given if given.encode() and "\0" not in given else None
    except UnicodeEncodeError:
        return None


@dataclass(frozen=True)
class View:
    """Who looks at a page, in which language, and what they may."""

    request: Request
    user: BaseUser | None

    def may(
        self, dag_id: str, method: Any = "GET", entity: DagAccessEntity = DagAccessEntity.RUN
    ) -> bool:
        """Say whether whoever looks may do something with a DAG; what is forbidden is not offered."""
        if self.user is None:
            return False
        try:
            requires_access_dag(method, access_entity=entity, param_dag_id=dag_id)(
                self.request, self.user
            )
        except HTTPException:
            return False
        return True

    def language(self, default: str) -> str:
        """Choose the language of a page."""
        return chosen(
            self.request.query_params.get("lang"),
            self.request.cookies.get(COOKIE),
            self.request.headers.get("accept-language"),
            default,
        )

    def page(
        self,
        template: str,
        *,
        root: str = "",
        section: str = "",
        default: str = "fr",
        status_code: int = 200,
        **page: Any,
    ) -> HTMLResponse:
        """Serve a page.

        Args:
            template: Name of its file without the endings.
            root: From its address to that of the first page, such as ``../``.
            section: The entry of the navigation that it belongs to.
            default: Its language where the browser asks for none of ours.
            status_code: Of the answer.
            **page: What the template shows.
        """
        code = self.language(default)
        sees_days, sees_documents = self.may(CHAIN), self.may(INTAKE)
        asked = [(k, v) for k, v in self.request.query_params.multi_items() if k != "lang"]
        content = render(
            template,
            code,
            root=root,
            section=section,
            sees_days=sees_days,
            sees_documents=sees_documents,
            sees_evaluations=self.may(EVALUATE),
            here=lambda other: "?" + urlencode([*asked, ("lang", other)]),
            town=Settings().municipality,
            **page,
        )
        answer = HTMLResponse(content, status_code=status_code, headers=HEADERS)
        if self.request.query_params.get("lang") == code:
            answer.set_cookie(
                COOKIE,
                code,
                max_age=COOKIE_SECONDS,
                path=self.request.scope.get("root_path") or "/",
                httponly=True,
                samesite="lax",
            )
        return answer

    def missing(self, key: str, *, root: str = "", section: str = "") -> HTMLResponse:
        """Serve the page that says what is not there, and where it would come from."""
        return self.page("message", root=root, section=section, status_code=404, key=key)

    def refusal(self, status_code: int, key: str, **names: Any) -> HTTPException:
        """Make what a page's script is told instead of an answer, in the language of the page."""
        return HTTPException(status_code, language(self.language("fr")).say(key, **names))


REFUSALS = {403: "refused", 503: "away"}
"""What went wrong, in words for who opened a page."""


async def refused(request: Request, error: Exception) -> Response:
    """Answer a browser that opens a page with a page; everybody else as FastAPI does."""
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - it is registered for nothing else
    key = REFUSALS.get(error.status_code)
    if key is None or "text/html" not in request.headers.get("accept", ""):
        if error.status_code == 503 and OWN_HEADER in request.headers:  # noqa: PLR2004 - HTTP's own
            error = View(request, None).refusal(503, "away.what")
        return await http_exception_handler(request, error)
    below = request.url.path.removeprefix(request.scope.get("root_path", ""))
    sight = View(request, None)
    return sight.page(
        "message",
        root="../" * (below.count("/") - 1),
        status_code=error.status_code,
        key=key,
    )


def view(request: Request, user: GetUserDep) -> View:
    """Note who looks."""
    return View(request, user)


Sight = Annotated[View, Depends(view)]
