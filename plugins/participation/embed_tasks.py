"""The tasks of ``document_embedding``: give chunks their vectors.

An event only wakes it: it asks the ledger what lacks the step, so that late, repeated and reordered
events end in the same state.
"""

import logging
from collections.abc import Iterator
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.documents.embedding.engine import EmbeddingEngine
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine
from include.errors import (
    ConfigurationError,
    ParticipationError,
    PermanentError,
    ProviderUnavailableError,
)
from participation.chunk_tasks import cut_as_chosen
from participation.hooks.embeddings import connected, embedded, known_as
from participation.ledger.embeddings import Embedding, LedgerEmbeddings
from participation.steps import Visit
from participation.turns import Outcome, balanced, take_turns, workers

EMBED_TEXTS = 256
"""Vectors committed at a time; less than a second of work for the embedded engine."""

LONGEST_WAIT_S = 600.0
"""A provider that wants to rest longer ends the run: a waiting task would hold up every new paper."""

log = logging.getLogger(__name__)


def plan_embedding(visit: Visit, cores: int) -> list[int]:
    """Number the workers for documents that lack vectors of an engine."""
    waiting = sum(len(each.unfinished()) for _, each in embeddings_of(visit))
    return workers(visit, waiting, cores, "every chunk has its vectors")


def embed(visit: Visit) -> dict[str, Any]:
    """Give the chunks of each document their vectors, a batch at a time.

    The embedded engine comes first and is finished whatever the connected one says.

    Raises:
        PermanentError: The provider refuses, or wants to rest for long; the next run asks it again.
        TransientError: It does not answer, or not as it should; what it gave is stored.
        AirflowSkipException: The other workers left nothing to do.
    """
    stored = 0
    done: dict[str, int] = {}
    failed: list[ParticipationError] = []
    for engine, embeddings in embeddings_of(visit):

        def embed_one(
            document_id: str,
            engine: EmbeddingEngine = engine,
            embeddings: LedgerEmbeddings = embeddings,
        ) -> Outcome:
            nonlocal stored
            if not embeddings.unfinished(document_id):
                return "elsewhere"
            for new in embed_one_document(engine, embeddings, document_id):
                stored += new
            return "done"

        try:
            turns = take_turns(
                visit,
                turn(embeddings),
                embeddings.unfinished(),
                embed_one,
                amount=lambda: f"{stored} vectors",
            )
            done[engine.name] = turns.done
        except AirflowSkipException:
            log.info("%s: nothing left for this worker", engine.name)
        except ParticipationError as error:
            log.warning("%s: %s", engine.name, error)
            failed.append(_patient(engine.name, error))
        embeddings.finish()
    if failed:
        raise failed[0]
    if not done:
        raise AirflowSkipException("nothing left for this worker: the others did it")
    return {"vectors": stored, "documents": done}


def embed_one_document(
    engine: EmbeddingEngine, embeddings: LedgerEmbeddings, document_id: str
) -> Iterator[int]:
    """Give a document's chunks their vectors, yielding after each batch how many were new."""
    for batch in embeddings.to_embed(document_id, _texts_at_once(engine)):
        contents = {text.content_hash: text.content for text in batch}
        vectors = engine.embed_documents(list(contents.values()))
        yield embeddings.save(
            Embedding(content_hash, vector)
            for content_hash, vector in zip(contents, vectors, strict=True)
        )


def turn(embeddings: LedgerEmbeddings) -> str:
    """Name the turns that workers take with a document."""
    return f"embed {embeddings.engine.name} {embeddings.chunking_id}"


def reconcile_embedding(visit: Visit) -> dict[str, Any]:
    """Say what has its vectors and what waits; red when a worker failed.

    Raises:
        ConfigurationError: The connection of the connected engine makes none.
        PermanentError: Tasks of this run failed.
        ReconciliationError: A document or a page is nowhere.
    """
    left = {engine.name: len(each.unfinished()) for engine, each in embeddings_of(visit)}
    told = balanced(visit, left=left)
    connected()  # a wrong connection stops nothing before, and must not go unseen
    return told


def embeddings_of(visit: Visit) -> list[tuple[EmbeddingEngine, LedgerEmbeddings]]:
    """List the engines that can be used, each with its vectors of the town, and register them."""
    _, chunking_id = cut_as_chosen(visit)
    found = []
    for engine in _engines():
        embeddings = LedgerEmbeddings(
            visit.connection, visit.settings.municipality, known_as(engine), chunking_id
        )
        embeddings.register()
        found.append((engine, embeddings))
    return found


def _patient(engine: str, error: ParticipationError) -> ParticipationError:
    """Leave a provider that wants to rest for long to a later run."""
    if isinstance(error, ProviderUnavailableError) and (error.retry_after_s or 0) > LONGEST_WAIT_S:
        return PermanentError(f"{engine} rests for long, a later run asks: {error}")
    return error


def _texts_at_once(engine: EmbeddingEngine) -> int:
    # What one request gave is stored before the next is paid for; texts so long that they do not fit
    # into one request are the exception.
    return engine.batch_size if isinstance(engine, OpenAICompatibleEngine) else EMBED_TEXTS


def _engines() -> list[EmbeddingEngine]:
    """List those that can be used, the embedded one first: search works as soon as it is done."""
    try:
        other = connected()
    except ConfigurationError as error:
        log.warning("without the connected engine: %s", error)
        other = None
    return [embedded(), *([other] if other else [])]
