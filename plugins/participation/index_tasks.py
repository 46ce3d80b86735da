"""The tasks of ``document_indexing``: build the next version of each index, and switch.

An event only wakes it: it asks the ledger what lacks the step, so that late, repeated and reordered
events end in the same state.
"""

from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from participation.embed_tasks import embeddings_of
from participation.ledger.indexing import LedgerIndexing
from participation.steps import Visit
from participation.turns import balanced


def plan_indexing(visit: Visit) -> list[str]:
    """Name the engines whose live index differs from what it should hold."""
    waiting = [each.engine for each in indexes(visit) if each.waiting()]
    visit.output_size = len(waiting)
    if not waiting:
        raise AirflowSkipException("nothing to do: the live index holds everything")
    return waiting


def build_index(visit: Visit, engine: str) -> dict[str, Any]:
    """Build the next version beside the live one, check it, and switch in one transaction.

    Raises:
        AirflowSkipException: Another run built it, or the engine is connected no more.
        ReconciliationError: The version is not whole; the live one goes on answering.
    """
    visit.item = f"index {engine}"
    index = next((each for each in indexes(visit) if each.engine == engine), None)
    if index is None:
        raise AirflowSkipException(f"nothing to do: {engine} is connected no more")
    live = index.build()
    if live is None:
        raise AirflowSkipException("nothing to do: another run was faster")
    visit.output_size = live.chunk_count
    return {
        "engine": engine,
        "index_id": live.index_id,
        "document_count": live.document_count,
        "chunk_count": live.chunk_count,
    }


def reconcile_indexing(visit: Visit) -> dict[str, Any]:
    """Say what answers now; red when a build failed.

    Raises:
        PermanentError: Tasks of this run failed.
        ReconciliationError: A document or a page is nowhere.
    """
    live = {each.engine: each.live() for each in indexes(visit)}
    return balanced(
        visit,
        live={
            engine: {"index_id": one.index_id, "documents": one.document_count}
            for engine, one in live.items()
            if one
        },
    )


def indexes(visit: Visit) -> list[LedgerIndexing]:
    """List the indexes of the town, one per engine, the embedded one first."""
    return [
        LedgerIndexing(
            visit.connection,
            visit.settings.municipality,
            engine.name,
            embeddings.chunking_id,
            visit.attempt.run_id,
        )
        for engine, embeddings in embeddings_of(visit)
    ]
