"""The page that answers a question with a sentence of a document, and where it stands."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from include.documents.model import Hit
from participation import search
from participation.api.serving import Sight, ask, storable
from participation.ledger.connection import Connection

ANSWERS = 20

router = APIRouter()


@router.get("/search", response_class=HTMLResponse)
def answers(sight: Sight, q: Annotated[str, Query(max_length=500)] = "") -> HTMLResponse:
    """Show the best answers first, each with its words and a link to its page of the document."""
    question = (storable(q.strip()) or "").strip()
    warnings: list[object] = []
    hits = ask(_hits, question, warnings) if question else []
    return sight.page("search", section="search", question=question, hits=hits, warnings=warnings)


def _hits(
    connection: Connection, municipality: str, question: str, warnings: list[object]
) -> list[Hit]:
    return search.ask(connection, municipality, question, ANSWERS, warn=warnings.append)
