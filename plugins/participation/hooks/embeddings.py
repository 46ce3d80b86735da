"""The embedding engines of this installation: the embedded one, and a connected one where there is one.

The connection ``participation_embeddings`` holds the endpoint (host), its key (password) and in its
extra ``model``, ``dimensions`` and whatever else the engine takes.
"""

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.documents.embedding.engine import Bm25Engine, CollectionCounts, EmbeddingEngine
from include.documents.embedding.openai_compatible import connected_engine
from participation.ledger.embeddings import Engine

EMBEDDINGS_CONN_ID = "participation_embeddings"


def engines() -> list[EmbeddingEngine]:
    """List them, the embedded one first: it needs nobody, and search works as soon as it is done.

    Raises:
        ConfigurationError: The connection's fields make no engine.
    """
    # Only a question is weighed by the collection; documents never are.
    embedded = Bm25Engine(lambda _terms: CollectionCounts(0, {}))
    try:
        connection = BaseHook.get_connection(EMBEDDINGS_CONN_ID)
    except AirflowNotFoundException:
        return [embedded]
    options = {
        "base_url": connection.host or "",
        "api_key": connection.password or "",
        **connection.extra_dejson,
    }
    return [embedded, connected_engine(options)]


def known_as(engine: EmbeddingEngine) -> Engine:
    """Name an engine for the ledger."""
    return Engine(engine.name, engine.kind, engine.dimensions)
