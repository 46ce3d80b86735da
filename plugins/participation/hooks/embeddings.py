"""The embedding engines of this installation: the embedded one, and a connected one where there is one.

The connection ``participation_embeddings`` holds the endpoint (host), its key (password) and in its
extra ``model``, ``dimensions`` and whatever else the engine takes, such as ``is_fused``.
"""

from include.documents.embedding.engine import Bm25Engine, CollectionCounts, EmbeddingEngine
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine, connected_engine
from participation.hooks.endpoints import endpoint
from participation.ledger.embeddings import Engine
from participation.settings import EMBEDDINGS_CONN_ID


def embedded() -> EmbeddingEngine:
    """Make the engine that needs nobody."""
    # Only a question is weighed by the collection; documents never are.
    return Bm25Engine(lambda _terms: CollectionCounts(0, {}))


def connected() -> OpenAICompatibleEngine | None:
    """Make the connected engine; None where there is no connection.

    Raises:
        ConfigurationError: The connection's fields make no engine.
    """
    options = endpoint(EMBEDDINGS_CONN_ID)
    return None if options is None else connected_engine(options)


def known_as(engine: EmbeddingEngine) -> Engine:
    """Name an engine for the ledger."""
    return Engine(engine.name, engine.kind, engine.dimensions)
