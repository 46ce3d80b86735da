"""The tasks of ``document_chunking``: cut what was read.

An event only wakes it: it asks the ledger what lacks the step, so that late, repeated and reordered
events end in the same state.
"""

from typing import Any

from include.documents.chunking import SPLITTER_VERSION, chunk
from participation.ledger.chunks import LedgerChunks
from participation.steps import Visit
from participation.turns import Outcome, balanced, take_turns, workers


def plan_chunking(visit: Visit, cores: int) -> list[int]:
    """Number the workers for documents that are not cut as the town wants them."""
    chunks, chunking_id = cut_as_chosen(visit)
    return workers(visit, len(chunks.to_chunk(chunking_id)), cores, "every document is cut")


def cut(visit: Visit) -> dict[str, Any]:
    """Cut documents into parents and children, all of a text or none."""
    chunks, chunking_id = cut_as_chosen(visit)
    ids = chunks.to_chunk(chunking_id)
    turns = take_turns(
        visit, turn(chunking_id), ids, lambda each: cut_one(chunks, chunking_id, each)
    )
    return turns.docket(chunking_id=chunking_id)


def cut_one(chunks: LedgerChunks, chunking_id: int, document_id: str) -> Outcome:
    """Cut one document as the town wants it, unless it is cut so already."""
    if not chunks.to_chunk(chunking_id, document_id):
        return "elsewhere"
    text = chunks.text(document_id)
    is_new = chunks.save(text, chunking_id, chunk(text.pages, chunks.chosen()))
    return "done" if is_new else "elsewhere"


def turn(chunking_id: int) -> str:
    """Name the turns that workers take with a document."""
    return f"chunk {chunking_id}"


def reconcile_chunking(visit: Visit) -> dict[str, Any]:
    """Say what is cut and what waits; red when a worker failed.

    Raises:
        PermanentError: Tasks of this run failed.
        ReconciliationError: A document or a page is nowhere.
    """
    chunks, chunking_id = cut_as_chosen(visit)
    return balanced(visit, chunking_id=chunking_id, left=len(chunks.to_chunk(chunking_id)))


def cut_as_chosen(visit: Visit) -> tuple[LedgerChunks, int]:
    """Open the chunks of the town, with the way to cut that was chosen last."""
    chunks = LedgerChunks(visit.connection, visit.settings.municipality)
    return chunks, chunks.chunking_id(chunks.chosen(), SPLITTER_VERSION)
