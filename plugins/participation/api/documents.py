"""The pages about documents: the list, what is set aside, and the report of each document."""

import re
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse, JSONResponse

from include.documents import report, themes
from include.documents.output import WorkflowOutput
from include.documents.wording import ACT_KINDS, OTHER_ACT, STANDINGS
from participation.api.serving import HEADERS, Sight, ask
from participation.ledger.connection import Connection
from participation.ledger.document_outputs import LedgerOutputs
from participation.ledger.document_pages import LedgerDocumentPages

router = APIRouter(prefix="/documents")

DOCUMENT_ID = re.compile("[0-9a-f]{64}")
LAST_PAGE = 100_000


@router.get("", response_class=HTMLResponse)
def listed(
    sight: Sight,
    act_kind: Annotated[str, Query(max_length=40)] = "",
    standing: Annotated[str, Query(max_length=40)] = "",
    page_number: Annotated[int, Query(alias="page", ge=1, le=LAST_PAGE)] = 1,
) -> HTMLResponse:
    """List the documents, the newest first; a filter of no known name is none."""
    kind = act_kind if act_kind in {*ACT_KINDS, OTHER_ACT} else None
    where = standing if standing in STANDINGS else None
    found = ask(_documents, kind, where, page_number)
    return sight.page("documents", section="documents", listed=found, standings=STANDINGS)


@router.get("/set-aside", response_class=HTMLResponse)
def set_aside(sight: Sight) -> HTMLResponse:
    """List what is set aside, why, and what to do about it."""
    found = ask(_set_aside)
    return sight.page("documents_set_aside", root="../", section="documents", found=found)


@router.get("/{document_id}.json", response_class=JSONResponse)
def output(document_id: str) -> JSONResponse:
    """Give the workflow's output for one document."""
    found = ask(_output, document_id) if DOCUMENT_ID.fullmatch(document_id) else None
    if found is None:
        return JSONResponse({"detail": "no such document"}, status_code=404, headers=HEADERS)
    return JSONResponse(found.as_dict(), headers=HEADERS)


@router.get("/{document_id}", response_class=HTMLResponse)
def document(sight: Sight, document_id: str) -> HTMLResponse:
    """Show where a document came from, how it was read, and what came of it."""
    found = ask(_document, document_id) if DOCUMENT_ID.fullmatch(document_id) else None
    if found is None:
        return sight.missing("no_document", root="../", section="documents")
    return sight.page("document", root="../", section="documents", report=found)


def pages_of(connection: Connection, municipality: str) -> LedgerDocumentPages:
    """Open the pages of a town's documents, with the themes found by the engine of this version."""
    return LedgerDocumentPages(connection, municipality, themes.ENGINE)


def _documents(
    connection: Connection, municipality: str, act_kind: str | None, standing: str | None, at: int
) -> report.DocumentList:
    return pages_of(connection, municipality).documents(act_kind, standing, at)


def _set_aside(connection: Connection, municipality: str) -> report.SetAsideList:
    return pages_of(connection, municipality).set_aside()


def _document(
    connection: Connection, municipality: str, document_id: str
) -> report.DocumentReport | None:
    return pages_of(connection, municipality).document(document_id)


def _output(connection: Connection, municipality: str, document_id: str) -> WorkflowOutput | None:
    found: list[Any] = LedgerOutputs(connection, municipality, themes.ENGINE).of_documents(
        [document_id]
    )
    return found[0] if found else None
