"""One vector per engine and text, computed once, and word of each document that has them all."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from include.documents.embedding.engine import Vector
from include.documents.model import SparseVector
from include.errors import ConfigurationError
from participation.ledger.connection import Connection
from participation.ledger.outbox import CHUNKS_EMBEDDED

WITHOUT_VECTOR = """
SELECT c.position, c.content_hash, c.content
FROM chunk c JOIN document d USING (document_id, text_hash)
WHERE NOT c.is_parent AND c.chunking_id = %(chunking_id)s AND c.document_id = %(document_id)s
  AND c.position > %(after)s
  AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = c.document_id
              AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)
  AND NOT EXISTS (SELECT FROM embedding e WHERE e.engine = %(engine)s
                  AND e.content_hash = c.content_hash)
ORDER BY c.position LIMIT %(limit)s
"""
"""By the order that the index of a document's chunks has: nobody else's chunks are looked at."""

UNFINISHED = """
SELECT k.document_id FROM document_chunking k JOIN document d USING (document_id, text_hash)
WHERE k.chunking_id = %(chunking_id)s
  AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = k.document_id
              AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)
  AND NOT EXISTS (SELECT FROM document_embedding m WHERE (m.document_id, m.text_hash,
                  m.chunking_id, m.engine)
                  = (k.document_id, k.text_hash, k.chunking_id, %(engine)s))
  {one}
ORDER BY k.document_id
"""

FINISH = """
WITH touched AS MATERIALIZED (
    SELECT DISTINCT document_id FROM chunk WHERE NOT is_parent AND content_hash = ANY(%(among)s)),
candidate AS MATERIALIZED (
    SELECT k.document_id, k.text_hash, k.chunking_id, k.chunk_count
    FROM document_chunking k JOIN document d USING (document_id, text_hash) {among}
    WHERE k.chunking_id = %(chunking_id)s
      AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = k.document_id
                  AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)
      AND NOT EXISTS (SELECT FROM document_embedding m WHERE (m.document_id, m.text_hash,
                      m.chunking_id, m.engine)
                      = (k.document_id, k.text_hash, k.chunking_id, %(engine)s))),
done AS (
    INSERT INTO document_embedding (document_id, text_hash, chunking_id, engine, embedding_count)
    SELECT k.document_id, k.text_hash, k.chunking_id, %(engine)s, k.chunk_count
    FROM candidate k
    WHERE 0 = (SELECT count(*) FROM chunk c WHERE (c.document_id, c.text_hash, c.chunking_id)
               = (k.document_id, k.text_hash, k.chunking_id) AND NOT c.is_parent
               AND NOT EXISTS (SELECT FROM embedding e WHERE e.engine = %(engine)s
                               AND e.content_hash = c.content_hash))
    ORDER BY k.document_id ON CONFLICT DO NOTHING
    RETURNING document_id, embedding_count)
INSERT INTO outbox (topic, payload)
SELECT %(topic)s, jsonb_build_object('municipality', %(municipality)s::text,
                                     'document_id', document_id,
                                     'embedding_count', embedding_count)
FROM done ORDER BY document_id
"""
FINISH_AMONG = FINISH.format(among="JOIN touched USING (document_id)")
FINISH_ALL = FINISH.format(among="")
"""Step by step, and counted document by document: as one join it would go through every chunk of the
ledger each time that a batch is saved."""


@dataclass(frozen=True, slots=True)
class Engine:
    """What computes vectors; ``name`` carries its version."""

    name: str
    kind: Literal["sparse", "dense"]
    dimensions: int


@dataclass(frozen=True, slots=True)
class TextToEmbed:
    """A text without a vector; the hash stands for it wherever it occurs."""

    content_hash: str
    content: str


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of a text."""

    content_hash: str
    vector: Vector


@dataclass(frozen=True)
class LedgerEmbeddings:
    """The embedding side of one municipality's ledger, for one engine and one way to cut."""

    connection: Connection
    municipality: str
    engine: Engine
    chunking_id: int

    def register(self) -> None:
        """Make the engine known.

        Raises:
            ConfigurationError: The name is taken by an engine of another form.
        """
        given = (self.engine.name, self.engine.kind, self.engine.dimensions)
        self.connection.execute(
            "INSERT INTO embedding_engine (engine, kind, dimensions) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            given,
        )
        known = self.connection.execute(
            "SELECT engine, kind, dimensions FROM embedding_engine WHERE engine = %s",
            (self.engine.name,),
        ).fetchone()
        if known != given:
            raise ConfigurationError(
                f"embedding engine {given} is known as {known}: give the new one another name"
            )

    def unfinished(self, document_id: str | None = None) -> list[str]:
        """List the cut documents not on record as having all their vectors, or ask for one."""
        one = "AND k.document_id = %(document_id)s" if document_id else ""
        rows = self.connection.execute(
            UNFINISHED.format(one=one), {**self._names(), "document_id": document_id}
        ).fetchall()
        return [document_id for (document_id,) in rows]

    def to_embed(self, document_id: str, limit: int) -> Iterator[list[TextToEmbed]]:
        """Yield the texts of a document that lack a vector, at most ``limit`` at a time.

        Keyset paging: what is saved in between is not met twice, and memory stays flat.
        """
        after = -1
        while True:
            rows = self.connection.execute(
                WITHOUT_VECTOR,
                {**self._names(), "after": after, "limit": limit, "document_id": document_id},
            ).fetchall()
            if not rows:
                return
            after = rows[-1][0]
            texts = {content_hash: content for _, content_hash, content in rows}
            yield [TextToEmbed(*item) for item in texts.items()]

    def save(self, embeddings: Iterable[Embedding]) -> int:
        """Store vectors and return how many were new; documents now complete are announced.

        Raises:
            ConfigurationError: A vector has other dimensions than its engine; nothing was stored.
        """
        given = list(embeddings)
        with self.connection.transaction():
            self.connection.execute(
                "CREATE TEMPORARY TABLE IF NOT EXISTS incoming_vector (content_hash text,"
                " sparse sparsevec, terms integer[], heaviest real, dense vector)"
                " ON COMMIT DELETE ROWS"
            )
            with self.connection.cursor().copy("COPY incoming_vector FROM STDIN") as copy:
                for embedding in given:
                    copy.write_row(self._row(embedding))
            stored = self.connection.execute(
                "INSERT INTO embedding (content_hash, engine, sparse, terms, heaviest, dense)"
                " SELECT content_hash, %s, sparse, terms, heaviest, dense"
                " FROM incoming_vector ORDER BY content_hash ON CONFLICT DO NOTHING",
                (self.engine.name,),
            ).rowcount
            self._finish([embedding.content_hash for embedding in given])
        return stored

    def finish(self) -> int:
        """Announce the documents whose every chunk has a vector; return how many were not yet.

        The last call of the step: texts that other documents brought, and batches of two attempts
        that met in one document, complete a document without a vector of its own.
        """
        with self.connection.transaction():
            return self._finish(None)

    def _finish(self, among: list[str] | None) -> int:
        names = {**self._names(), "topic": CHUNKS_EMBEDDED, "among": among}
        return self.connection.execute(
            FINISH_ALL if among is None else FINISH_AMONG, names
        ).rowcount

    def _names(self) -> dict[str, object]:
        return {
            "municipality": self.municipality,
            "engine": self.engine.name,
            "chunking_id": self.chunking_id,
        }

    def _row(self, embedding: Embedding) -> tuple[object, ...]:
        vector = embedding.vector
        is_sparse = isinstance(vector, SparseVector)
        dimensions = vector.dimensions if isinstance(vector, SparseVector) else len(vector)
        if is_sparse != (self.engine.kind == "sparse") or dimensions != self.engine.dimensions:
            raise ConfigurationError(
                f"{self.engine.name} gives {self.engine.kind} vectors of {self.engine.dimensions}"
                f" dimensions; text {embedding.content_hash} has one of {dimensions}"
            )
        if isinstance(vector, SparseVector):
            heaviest = max(vector.values, default=0.0)
            return (
                embedding.content_hash,
                vector.literal,
                list(vector.indices),
                heaviest,
                None,
            )
        dense = str([*map(float, vector)])
        return (embedding.content_hash, None, None, None, dense)
