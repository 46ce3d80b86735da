"""Ask the live index a question; used by the command line and by the plugin's pages alike."""

import logging
from collections.abc import Callable
from dataclasses import replace

from include.documents.embedding import bm25
from include.documents.embedding.engine import Bm25Engine
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine
from include.documents.fusion import reciprocal_rank
from include.documents.model import Hit
from include.errors import ParticipationError
from participation.ledger.connection import Connection
from participation.ledger.search import Filters, LedgerSearch

FUSED = 4
"""Answers asked of each engine per answer given, so that their rankings can meet."""

log = logging.getLogger(__name__)


def ask(
    connection: Connection,
    municipality: str,
    question: str,
    top_k: int = 5,
    filters: Filters | None = None,
    connected: OpenAICompatibleEngine | None = None,
    warn: Callable[[str], object] = log.warning,
) -> list[Hit]:
    """Return the best answers first, with document, page and quote.

    Args:
        connection: Of the ledger.
        municipality: Whose documents.
        question: In anybody's words.
        top_k: At most so many answers.
        filters: What the documents must be.
        connected: Answers instead of the embedded engine, or with it where it ``is_fused``; only
            with an index that holds every document, if need be that of its former model.
        warn: Hears why the connected engine did not answer; the embedded one does then.
    """
    ledger = LedgerSearch(connection, municipality, bm25.ENGINE)
    vector = Bm25Engine(ledger.count_terms).embed_query(question)
    if connected is None:
        return ledger.search(question, vector, top_k, filters)
    try:
        answering = _answering(ledger, connected)
        dense = answering.embed_query(question)
    except ParticipationError as error:
        warn(f"{connected.name} does not answer, the embedded engine does: {error}")
        return ledger.search(question, vector, top_k, filters)
    asked = FUSED * top_k if connected.is_fused else top_k
    other = LedgerSearch(connection, municipality, answering.name).search(
        question, dense, asked, filters, quoted_by=vector
    )
    if not connected.is_fused:
        return other
    found = ledger.search(question, vector, asked, filters)
    # Both engines quote a chunk by the same words, so one chunk is one place in both rankings.
    places = {(hit.document_id, hit.first_page): hit for hit in [*other, *found]}
    ranked = reciprocal_rank(
        [[(h.document_id, h.first_page) for h in hits] for hits in (found, other)]
    )
    return [replace(places[place], score=score) for place, score in ranked[:top_k]]


class NotIndexedError(ParticipationError):
    """The connected engine has no index yet that holds all that the embedded one's holds."""


def _answering(ledger: LedgerSearch, connected: OpenAICompatibleEngine) -> OpenAICompatibleEngine:
    """Choose the engine whose index answers: the connected one, or the one it takes the place of."""
    whole = ledger.whole_beside()
    if connected.name in whole:
        return connected
    former = next(filter(None, map(connected.named, whole)), None)
    if former is None:
        raise NotIndexedError("its index does not hold every document yet")
    return former
