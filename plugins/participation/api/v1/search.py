"""Ask the town's papers: document, page, quote; and what came of each document."""

import time
from datetime import date
from functools import lru_cache
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from include.documents import themes
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine
from include.documents.model import Hit, Kind
from include.documents.output import WorkflowOutput
from include.documents.parsing.acts import KINDS
from include.documents.words import fold
from include.errors import ConfigurationError
from participation.api.v1 import ledgers, locks
from participation.api.v1.bodies import check_text
from participation.api.v1.problems import not_found, unprocessable
from participation.hooks.embeddings import connected
from participation.ledger.connection import Connection
from participation.ledger.document_outputs import LedgerOutputs
from participation.ledger.search import Filters
from participation.search import ask

MAX_ANSWERS = 50
LOOK_AGAIN_S = 60
"""How long a connection of an engine, or that there is none, is taken as read."""

router = APIRouter(tags=["documents"], dependencies=[Depends(locks.may_read(locks.INTAKE))])


class Answer(BaseModel):
    """A place in a paper that answers."""

    document_id: str
    title: str
    uri: str
    first_page: int
    last_page: int
    quote: str = Field(description="The paper's own words.")
    score: float


class Answers(BaseModel):
    """The best answers first, each page of a document once."""

    answers: list[Answer]


class Draft(BaseModel):
    """A contribution that a model drafted from a document; never a citizen's own."""

    theme: str
    constat_factuel: str
    idees_ameliorations: str
    quote: str
    page_number: int
    model: str
    generated: Literal[True] = True


class DocumentOutput(BaseModel):
    """What came of one document."""

    document_id: str
    extracted_themes: list[str]
    contributions: list[Draft]
    warnings: list[str] = Field(description="In French, for a reader of the document.")


@router.get("/search")
def search(
    q: Annotated[str, Query(min_length=1, max_length=500, description="In anybody's words.")],
    kind: Annotated[
        str | None,
        Query(max_length=40, description="`document`, `image`, `video`, or a kind of act."),
    ] = None,
    since: Annotated[date | None, Query(description="First day of the paper's date.")] = None,
    until: Annotated[date | None, Query(description="Last day of it.")] = None,
    source: Annotated[Literal["folder", "crawl", "url"] | None, Query()] = None,
    k: Annotated[int, Query(ge=1, le=MAX_ANSWERS, description="At most so many answers.")] = 5,
) -> Answers:
    """Search the town's papers; answers with the document, the page and the quote."""
    check_text(q, ("q",))
    filters = Filters(**_kind(kind), dated_from=since, dated_to=until, source=source)
    hits = ledgers.ask(_search, q, k, filters)
    return Answers(answers=[Answer.model_validate(hit, from_attributes=True) for hit in hits])


@router.get("/documents/{document_id}")
def document(
    document_id: Annotated[
        str, Path(pattern="^[0-9a-f]{64}$", description="SHA-256 of the document's bytes.")
    ],
) -> DocumentOutput:
    """Give a document's themes, drafted contributions and warnings."""
    found = ledgers.ask(outputs_of, [document_id])
    if not found:
        raise not_found("The town has met no document with this id.")
    return DocumentOutput.model_validate(found[0].as_dict())


def outputs_of(
    connection: Connection, municipality: str, document_ids: list[str]
) -> list[WorkflowOutput]:
    """Read the outputs of documents, with the themes found by the engine of this version."""
    return LedgerOutputs(connection, municipality, themes.ENGINE).of_documents(document_ids)


def _search(
    connection: Connection, municipality: str, question: str, top_k: int, filters: Filters
) -> list[Hit]:
    engine = _connected(int(time.monotonic() // LOOK_AGAIN_S))
    return ask(connection, municipality, question, top_k, filters, connected=engine)


@lru_cache(maxsize=1)
def _connected(_minute: int) -> OpenAICompatibleEngine | None:
    try:
        return connected()
    except ConfigurationError:
        # Whoever runs the workflow is told by its red task; here the embedded engine answers.
        return None


def _kind(asked: str | None) -> dict[str, Any]:
    if asked is None:
        return {}
    name = fold(asked).strip().replace("-", "_").replace(" ", "_")
    if name in set(Kind):
        return {"kind": name}
    if name in KINDS:
        return {"act_kind": name}
    raise unprocessable("kind", f"is none of {', '.join([*Kind, *KINDS])}")
