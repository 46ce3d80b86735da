"""Ask the live index a question; used by the command line and by the plugin's pages alike."""

from dataclasses import replace

from include.documents.embedding import bm25
from include.documents.embedding.engine import Bm25Engine, EmbeddingEngine
from include.documents.fusion import reciprocal_rank
from include.documents.model import Hit
from participation.ledger.connection import Connection
from participation.ledger.search import Filters, LedgerSearch

FUSED = 4
"""Answers asked of each engine per answer given, so that their rankings can meet."""


def ask(
    connection: Connection,
    municipality: str,
    question: str,
    top_k: int = 5,
    filters: Filters | None = None,
    connected: EmbeddingEngine | None = None,
) -> list[Hit]:
    """Return the best answers first, with document, page and quote.

    Args:
        connection: Of the ledger.
        municipality: Whose documents.
        question: In anybody's words.
        top_k: At most so many answers.
        filters: What the documents must be.
        connected: Another engine whose ranking is joined with the embedded one's.
    """
    ledger = LedgerSearch(connection, municipality, bm25.ENGINE)
    embedded = Bm25Engine(ledger.count_terms)
    asked = top_k if connected is None else FUSED * top_k
    found = ledger.search(question, embedded.embed_query(question), asked, filters)
    if connected is None:
        return found
    other = LedgerSearch(connection, municipality, connected.name).search(
        question, connected.embed_query(question), asked, filters
    )
    places = {(hit.document_id, hit.first_page): hit for hit in [*other, *found]}
    ranked = reciprocal_rank(
        [[(h.document_id, h.first_page) for h in hits] for hits in (found, other)]
    )
    return [replace(places[place], score=score) for place, score in ranked[:top_k]]
