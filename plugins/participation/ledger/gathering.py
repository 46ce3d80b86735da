"""What a dataset is made of: one town's documents with their parents, and what persons decided."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from include.documents.labelled import DecidedText
from include.documents.model import Chunk
from include.documents.near_duplicates import Sketch
from participation.ledger.connection import Connection

INDEXED = """
SELECT d.document_id, i.text_hash, i.chunking_id, d.title,
       CASE WHEN d.text_hash = i.text_hash THEN d.parser_version END,
       (SELECT uri FROM document_origin o WHERE o.document_id = d.document_id
        AND o.municipality = %(municipality)s AND o.superseded_at IS NULL
        ORDER BY origin_id LIMIT 1) AS uri
FROM index_document i JOIN document d USING (document_id)
WHERE i.index_id = %(index_id)s
  AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = d.document_id
              AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)
ORDER BY d.document_id
"""
"""A text that the index holds still while the document has a newer one is of an unknown parser."""

MET = """
d.parsed_at IS NOT NULL AND EXISTS (
    SELECT FROM document_origin o WHERE o.document_id = d.document_id
    AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)
"""

UNSKETCHED = f"""
SELECT DISTINCT ON (d.text_hash) d.document_id FROM document d
WHERE {MET} AND NOT EXISTS (SELECT FROM text_sketch s
    WHERE (s.text_hash, s.version) = (d.text_hash, %(version)s))
ORDER BY d.text_hash, d.document_id
"""

SKETCHES = f"""
SELECT d.document_id, s.words_hash, s.minima FROM document d
JOIN text_sketch s ON (s.text_hash, s.version) = (d.text_hash, %(version)s)
WHERE {MET} ORDER BY d.received_at, d.document_id
"""

DECIDED = """
SELECT c.contribution_id, c.constat_factuel, c.idees_ameliorations, c.declared_category,
       latest.outcome, latest.decision_id, (latest.decided_at AT TIME ZONE 'Europe/Paris')::date
FROM contribution c
CROSS JOIN LATERAL (SELECT outcome, decision_id, decided_at FROM decision d
    WHERE d.contribution_id = c.contribution_id ORDER BY decision_id DESC LIMIT 1) AS latest
WHERE c.municipality = %s AND latest.outcome IN ('accepted', 'refused')
ORDER BY (SELECT min(decision_id) FROM decision d WHERE d.contribution_id = c.contribution_id)
"""
"""The standing decision on each contribution, in the order in which persons first decided."""


@dataclass(frozen=True, slots=True)
class IndexedDocument:
    """A text that an index holds; ``group_id`` is the oldest document that it nearly repeats."""

    document_id: str
    group_id: str
    text_hash: str
    chunking_id: int
    title: str | None
    parser_version: str | None
    uri: str


@dataclass(frozen=True)
class LedgerGathering:
    """Reads the documents of one municipality's ledger as a whole."""

    connection: Connection
    municipality: str

    def unsketched(self, version: int) -> list[str]:
        """List one parsed document of each text that has no sketch of this version."""
        rows = self.connection.execute(UNSKETCHED, self._names(version)).fetchall()
        return [document_id for (document_id,) in rows]

    def save_sketch(self, text_hash: str, version: int, sketch: Sketch) -> None:
        """Store what a text is compared by; the same text again changes nothing."""
        self.connection.execute(
            "INSERT INTO text_sketch (text_hash, version, words_hash, minima)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (text_hash, version, sketch.words_hash, sketch.minima),
        )

    def sketches(self, version: int) -> list[tuple[str, Sketch]]:
        """List the parsed documents that have a sketch, as they came."""
        rows = self.connection.execute(SKETCHES, self._names(version)).fetchall()
        return [(row[0], Sketch(row[1], bytes(row[2]))) for row in rows]

    def documents(self, index_id: int | None) -> list[IndexedDocument]:
        """List what an index holds, with the group that must not be torn; nothing without an index."""
        rows = self.connection.execute(
            INDEXED, {"municipality": self.municipality, "index_id": index_id}
        ).fetchall()
        older = {
            row[0]: row[1]
            for row in self.connection.execute(
                "SELECT document_id, duplicate_of FROM document_likeness WHERE municipality = %s",
                (self.municipality,),
            )
        }
        return [IndexedDocument(row[0], _oldest(row[0], older), *row[1:]) for row in rows]

    def parents(self, document: IndexedDocument) -> list[Chunk]:
        """Read the parents of a document, in order."""
        rows = self.connection.execute(
            "SELECT position, content, start_character, end_character, first_page, last_page"
            " FROM chunk WHERE (document_id, text_hash, chunking_id) = (%s, %s, %s)"
            " AND is_parent ORDER BY position",
            (document.document_id, document.text_hash, document.chunking_id),
        ).fetchall()
        return [Chunk(*row) for row in rows]

    def decided(self) -> list[DecidedText]:
        """List the texts that a person accepted or refused; who decided is left out."""
        rows = self.connection.execute(DECIDED, (self.municipality,)).fetchall()
        return [DecidedText(*row) for row in rows]

    def last_decision(self) -> int:
        """Return the number of the town's latest decision; 0 without one."""
        row = self.connection.execute(
            "SELECT coalesce(max(decision_id), 0) FROM decision JOIN contribution"
            " USING (contribution_id) WHERE municipality = %s",
            (self.municipality,),
        ).fetchone()
        return int(row[0]) if row else 0

    def held(self, dataset_id: int) -> tuple[int, int]:
        """Count a dataset's examples, and the documents or groups that stand in several splits."""
        row = self.connection.execute(
            "SELECT (SELECT count(*) FROM dataset_example WHERE dataset_id = %(id)s),"
            " (SELECT count(*) FROM (SELECT FROM dataset_example WHERE dataset_id = %(id)s"
            "  AND document_id IS NOT NULL GROUP BY document_id"
            "  HAVING count(DISTINCT split) > 1) AS document)"
            " + (SELECT count(*) FROM (SELECT FROM dataset_example WHERE dataset_id = %(id)s"
            "  GROUP BY content ->> 'group_id' HAVING count(DISTINCT split) > 1) AS torn)",
            {"id": dataset_id},
        ).fetchone()
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def made_with(self, name: str) -> dict[str, Any] | None:
        """Return what the examples of a dataset were last gathered with."""
        row = self.connection.execute(
            "SELECT made_with FROM dataset_gathering WHERE (municipality, name) = (%s, %s)",
            (self.municipality, name),
        ).fetchone()
        return row[0] if row else None

    def note_made_with(self, name: str, versions: Mapping[str, Any]) -> None:
        """Note that; a run that finds the same need not read every document again."""
        self.connection.execute(
            "INSERT INTO dataset_gathering (municipality, name, made_with) VALUES (%s, %s, %s)"
            " ON CONFLICT (municipality, name)"
            " DO UPDATE SET made_with = excluded.made_with, gathered_at = now()",
            (self.municipality, name, json.dumps(versions)),
        )

    def _names(self, version: int) -> dict[str, Any]:
        return {"municipality": self.municipality, "version": version}


def _oldest(document_id: str, older: dict[str, str]) -> str:
    """Follow the marks to a document without one; marks point to older documents only."""
    while document_id in older:
        document_id = older[document_id]
    return document_id
