"""Cut texts: which lack chunks under a chunking, and the chunks themselves, all of a text or none."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from include.documents.chunking import ChunkSizes
from include.documents.model import Chunk
from participation.ledger.connection import Connection
from participation.ledger.outbox import DOCUMENT_CHUNKED, DOCUMENT_PARSED, announce

SAVE_CHUNKS = """
INSERT INTO chunk (document_id, text_hash, chunking_id, is_parent, position, parent_id, content,
                   content_hash, start_character, end_character, first_page, last_page)
SELECT %(document_id)s, %(text_hash)s, %(chunking_id)s, i.parent IS NULL, i.position, p.chunk_id,
       i.content, i.content_hash, i.start_character, i.end_character, i.first_page, i.last_page
FROM incoming_chunk i LEFT JOIN chunk p
  ON i.parent IS NOT NULL AND p.is_parent AND p.position = i.parent
 AND (p.document_id, p.text_hash, p.chunking_id)
   = (%(document_id)s, %(text_hash)s, %(chunking_id)s)
WHERE (i.parent IS NULL) = %(parents)s
ORDER BY i.position
"""


@dataclass(frozen=True, slots=True)
class DocumentText:
    """The texts of a document's pages in order, as they stood under ``text_hash``."""

    document_id: str
    text_hash: str
    pages: tuple[str, ...]


@dataclass(frozen=True)
class LedgerChunks:
    """The chunking side of one municipality's ledger."""

    connection: Connection
    municipality: str

    def chunking_id(self, sizes: ChunkSizes, splitter_version: str) -> int:
        """Return the id of a way to cut; the first to ask creates it."""
        values = (
            sizes.chunk_size,
            sizes.chunk_overlap,
            sizes.child_size,
            sizes.child_overlap,
            splitter_version,
        )
        self.connection.execute(
            "INSERT INTO chunking (chunk_size, chunk_overlap, child_size, child_overlap,"
            " splitter_version) VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            values,
        )
        row = self.connection.execute(
            "SELECT chunking_id FROM chunking WHERE (chunk_size, chunk_overlap, child_size,"
            " child_overlap, splitter_version) = (%s, %s, %s, %s, %s)",
            values,
        ).fetchone()
        assert row is not None  # noqa: S101 - the row was there or was inserted
        return int(row[0])

    def choose(self, sizes: ChunkSizes, splitter_version: str, run_id: str | None = None) -> int:
        """Cut the town's documents so from now on; a change wakes the cutting of all of them."""
        chunking_id = self.chunking_id(sizes, splitter_version)
        with self.connection.transaction():
            changed = self.connection.execute(
                "INSERT INTO chunking_choice AS c (municipality, chunking_id, run_id)"
                " VALUES (%s, %s, %s) ON CONFLICT (municipality) DO UPDATE SET"
                " (chunking_id, run_id, chosen_at) = (excluded.chunking_id, excluded.run_id, now())"
                " WHERE c.chunking_id <> excluded.chunking_id",
                (self.municipality, chunking_id, run_id),
            ).rowcount
            if changed:
                announce(
                    self.connection,
                    DOCUMENT_PARSED,
                    {"municipality": self.municipality, "chunking_id": chunking_id},
                )
        return chunking_id

    def chosen(self) -> ChunkSizes:
        """Read the sizes that the town asked for last, else the defaults."""
        row = self.connection.execute(
            "SELECT chunk_size, chunk_overlap, child_size, child_overlap FROM chunking_choice"
            " JOIN chunking USING (chunking_id) WHERE municipality = %s",
            (self.municipality,),
        ).fetchone()
        return ChunkSizes(*row) if row else ChunkSizes()

    def to_chunk(
        self, chunking_id: int, document_id: str | None = None, limit: int = 10_000
    ) -> list[str]:
        """List the parsed documents whose text is not cut this way yet, or ask for one of them."""
        # A statement of its own for one document: it must not walk over all of them.
        one = "AND d.document_id = %(document_id)s" if document_id else ""
        rows = self.connection.execute(
            "SELECT d.document_id FROM document d WHERE d.parsed_at IS NOT NULL"
            " AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = d.document_id"
            "  AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)"
            " AND NOT EXISTS (SELECT FROM document_chunking k WHERE (k.document_id, k.text_hash,"
            "  k.chunking_id) = (d.document_id, d.text_hash, %(chunking_id)s))"
            f" {one} ORDER BY d.document_id LIMIT %(limit)s",
            {
                "municipality": self.municipality,
                "chunking_id": chunking_id,
                "document_id": document_id,
                "limit": limit,
            },
        ).fetchall()
        return [document_id for (document_id,) in rows]

    def count(self, document_id: str, chunking_id: int) -> int:
        """Count the children of a document's present text."""
        row = self.connection.execute(
            "SELECT chunk_count FROM document_chunking JOIN document USING (document_id, text_hash)"
            " WHERE document_id = %s AND chunking_id = %s",
            (document_id, chunking_id),
        ).fetchone()
        return int(row[0]) if row else 0

    def text(self, document_id: str) -> DocumentText:
        """Read the pages of a document.

        Raises:
            LookupError: No such document was parsed.
        """
        row = self.connection.execute(
            "SELECT d.text_hash, (SELECT array_agg(p.content ORDER BY p.page_number) FROM page p"
            " WHERE p.document_id = d.document_id) FROM document d WHERE d.document_id = %s",
            (document_id,),
        ).fetchone()
        if row is None:
            raise LookupError(f"document {document_id} is not in the ledger")
        return DocumentText(document_id, row[0], tuple(row[1] or ()))

    def save(self, text: DocumentText, chunking_id: int, chunks: Sequence[Chunk]) -> bool:
        """Store the chunks of a text and their event; say whether they were new.

        Chunks of a text that the document no longer has are dropped: its new text is still listed by
        :meth:`to_chunk`.
        """
        children = sum(chunk.parent is not None for chunk in chunks)
        values = {
            "document_id": text.document_id,
            "text_hash": text.text_hash,
            "chunking_id": chunking_id,
            "children": children,
        }
        with self.connection.transaction():
            # The document's row is held, so that its text cannot change under the chunks.
            stored = self.connection.execute(
                "INSERT INTO document_chunking (document_id, text_hash, chunking_id, chunk_count)"
                " SELECT document_id, text_hash, %(chunking_id)s, %(children)s FROM document"
                " WHERE document_id = %(document_id)s AND text_hash = %(text_hash)s FOR UPDATE"
                " ON CONFLICT DO NOTHING",
                values,
            ).rowcount
            if not stored:
                return False
            self._copy(chunks)
            for parents in (True, False):
                self.connection.execute(SAVE_CHUNKS, {**values, "parents": parents})
            announce(
                self.connection,
                DOCUMENT_CHUNKED,
                {
                    "municipality": self.municipality,
                    "document_id": text.document_id,
                    "chunk_count": children,
                },
            )
            return True

    def _copy(self, chunks: Sequence[Chunk]) -> None:
        self.connection.execute(
            "CREATE TEMPORARY TABLE IF NOT EXISTS incoming_chunk (position integer, parent integer,"
            " content text, content_hash text, start_character integer, end_character integer,"
            " first_page integer, last_page integer) ON COMMIT DELETE ROWS"
        )
        with self.connection.cursor().copy("COPY incoming_chunk FROM STDIN") as copy:
            for chunk in chunks:
                copy.write_row(
                    (
                        chunk.position,
                        chunk.parent,
                        chunk.text,
                        hashlib.sha256(chunk.text.encode()).hexdigest(),
                        chunk.start,
                        chunk.end,
                        chunk.first_page,
                        chunk.last_page,
                    )
                )
