"""What documents talk about, and immutable versions of what was made of them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from include.documents.dataset import Split
from include.documents.model import Theme
from include.errors import ReconciliationError
from participation.ledger.connection import Connection
from participation.ledger.locks import hold
from participation.ledger.outbox import DATASET_CREATED, announce

UNANNOUNCED = """
SELECT outbox_id FROM outbox JOIN dataset d ON d.dataset_id::text = payload ->> 'dataset_id'
WHERE topic = %(topic)s AND announced_at IS NULL
  AND (d.municipality, d.name) = (%(municipality)s, %(name)s)
"""


@dataclass(frozen=True, slots=True)
class Example:
    """One line of a dataset; all examples of a document stand in one split."""

    split: Split
    content: Mapping[str, Any]
    document_id: str | None = None


@dataclass(frozen=True, slots=True)
class Dataset:
    """A version of a dataset; ``is_new`` is False when the same content was there already."""

    dataset_id: int
    version: int
    example_count: int
    is_new: bool


@dataclass(frozen=True)
class LedgerDatasets:
    """The themes and datasets of one municipality's ledger."""

    connection: Connection
    municipality: str

    def to_theme(self, engine: str, document_id: str | None = None) -> list[str]:
        """List the parsed documents whose text an engine has not asked for themes, oldest first."""
        one = "AND d.document_id = %(document_id)s" if document_id else ""
        rows = self.connection.execute(
            "SELECT d.document_id FROM document d WHERE d.parsed_at IS NOT NULL"
            " AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = d.document_id"
            "  AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)"
            " AND NOT EXISTS (SELECT FROM document_theme t WHERE (t.document_id, t.text_hash,"
            "  t.engine) = (d.document_id, d.text_hash, %(engine)s))"
            f" {one} ORDER BY d.received_at, d.document_id",
            {"municipality": self.municipality, "engine": engine, "document_id": document_id},
        ).fetchall()
        return [each for (each,) in rows]

    def save_themes(
        self, document_id: str, engine: str, themes: Sequence[Theme], text_hash: str
    ) -> None:
        """Replace the themes that an engine found in a document, and note in which text."""
        with self.connection.transaction():
            # Two attempts take turns on the document.
            self.connection.execute(
                "SELECT FROM document WHERE document_id = %s FOR UPDATE", (document_id,)
            )
            self.connection.execute(
                "DELETE FROM theme WHERE document_id = %s AND engine = %s", (document_id, engine)
            )
            self.connection.cursor().executemany(
                "INSERT INTO theme (document_id, engine, label, weight) VALUES (%s, %s, %s, %s)",
                [(document_id, engine, theme.label, theme.weight) for theme in themes],
            )
            self.connection.execute(
                "INSERT INTO document_theme (document_id, engine, text_hash, theme_count)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT (document_id, engine) DO UPDATE SET"
                " (text_hash, theme_count, found_at) = (excluded.text_hash, excluded.theme_count, now())",
                (document_id, engine, text_hash, len(themes)),
            )

    def themes(self, document_id: str, engine: str) -> list[Theme]:
        """List a document's themes, the weightiest first."""
        rows = self.connection.execute(
            "SELECT label, weight FROM theme WHERE document_id = %s AND engine = %s"
            " ORDER BY weight DESC, label",
            (document_id, engine),
        ).fetchall()
        return [Theme(*row) for row in rows]

    def save_town_themes(self, engine: str, themes: Sequence[Theme]) -> None:
        """Replace what an engine found the town's documents to talk about together."""
        with self.connection.transaction():
            self.connection.execute(
                "DELETE FROM town_theme WHERE (municipality, engine) = (%s, %s)",
                (self.municipality, engine),
            )
            self.connection.cursor().executemany(
                "INSERT INTO town_theme (municipality, engine, label, weight)"
                " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
                [(self.municipality, engine, theme.label, theme.weight) for theme in themes],
            )

    def town_themes(self, engine: str) -> list[Theme]:
        """List what several documents of the town talk about, the weightiest first."""
        rows = self.connection.execute(
            "SELECT label, weight FROM town_theme WHERE (municipality, engine) = (%s, %s)"
            " ORDER BY weight DESC, label",
            (self.municipality, engine),
        ).fetchall()
        return [Theme(*row) for row in rows]

    def is_announced(self, name: str) -> bool:
        """Whether every version of a dataset had its asset event."""
        row = self.connection.execute(
            f"SELECT EXISTS ({UNANNOUNCED})", self._unannounced(name)
        ).fetchone()
        return not (row and row[0])

    def note_announced(self, name: str) -> int:
        """Note that the asset events of a dataset are recorded; return of how many versions."""
        return self.connection.execute(
            f"UPDATE outbox SET announced_at = now() WHERE outbox_id IN ({UNANNOUNCED})",
            self._unannounced(name),
        ).rowcount

    def examples_of(self, dataset_id: int, document_id: str) -> int:
        """Count the examples that a version has of a document."""
        row = self.connection.execute(
            "SELECT count(*) FROM dataset_example WHERE dataset_id = %s AND document_id = %s",
            (dataset_id, document_id),
        ).fetchone()
        return int(row[0]) if row else 0

    def newest(self, name: str) -> tuple[Dataset, dict[str, Any]] | None:
        """Return the newest version and its provenance."""
        row = self.connection.execute(
            "SELECT dataset_id, version, example_count, provenance FROM dataset"
            " WHERE (municipality, name) = (%s, %s) ORDER BY version DESC LIMIT 1",
            (self.municipality, name),
        ).fetchone()
        return (Dataset(row[0], row[1], row[2], is_new=False), row[3]) if row else None

    def known(self, name: str, content_hash: str) -> Dataset | None:
        """Return the version that has this content already."""
        row = self.connection.execute(
            "SELECT dataset_id, version, example_count FROM dataset"
            " WHERE (municipality, name, content_hash) = (%s, %s, %s)",
            (self.municipality, name, content_hash),
        ).fetchone()
        return Dataset(row[0], row[1], row[2], is_new=False) if row else None

    def standing(self, name: str) -> dict[str, Split]:
        """Return the places that groups have since an earlier version, whether they are in use or not."""
        rows = self.connection.execute(
            "SELECT group_id, split FROM dataset_place WHERE (municipality, name) = (%s, %s)",
            (self.municipality, name),
        ).fetchall()
        return dict(rows)

    def add(
        self,
        name: str,
        content_hash: str,
        examples: Sequence[Example],
        *,
        provenance: Mapping[str, Any],
        files: Mapping[str, Any] | None = None,
    ) -> Dataset:
        """Store the next version of a dataset and its event; the same content is never stored twice.

        Args:
            name: Of the dataset.
            content_hash: Of what the examples say, whatever computed it.
            examples: In their order.
            provenance: From which documents, index, engines and code.
            files: Where its files stand, written before this call.

        Raises:
            ReconciliationError: Another version gave a group another place; nothing was stored.
        """
        with self.connection.transaction():
            hold(self.connection, f"dataset {self.municipality} {name}")
            if known := self.known(name, content_hash):
                return known
            row = self.connection.execute(
                "INSERT INTO dataset (municipality, name, version, content_hash, example_count,"
                " files, provenance) SELECT %(municipality)s, %(name)s, coalesce(max(version), 0) + 1,"
                " %(hash)s, %(count)s, %(files)s, %(provenance)s FROM dataset"
                " WHERE municipality = %(municipality)s AND name = %(name)s"
                " RETURNING dataset_id, version",
                {
                    "municipality": self.municipality,
                    "name": name,
                    "hash": content_hash,
                    "count": len(examples),
                    "files": json.dumps(dict(files or {}), allow_nan=False),
                    "provenance": json.dumps(dict(provenance), allow_nan=False),
                },
            ).fetchone()
            assert row is not None  # noqa: S101 - an aggregate always gives one row
            self._copy(int(row[0]), examples)
            self._keep_places(int(row[0]), name)
            announce(
                self.connection,
                DATASET_CREATED,
                {
                    "municipality": self.municipality,
                    "dataset_id": row[0],
                    "name": name,
                    "version": row[1],
                    "example_count": len(examples),
                },
            )
            return Dataset(row[0], row[1], len(examples), is_new=True)

    def _unannounced(self, name: str) -> dict[str, str]:
        return {"topic": DATASET_CREATED, "municipality": self.municipality, "name": name}

    def _keep_places(self, dataset_id: int, name: str) -> None:
        names = {"municipality": self.municipality, "name": name, "id": dataset_id}
        self.connection.execute(
            "INSERT INTO dataset_place (municipality, name, group_id, split, dataset_id)"
            " SELECT DISTINCT %(municipality)s, %(name)s, content ->> 'group_id', split, %(id)s"
            " FROM dataset_example WHERE dataset_id = %(id)s AND content ->> 'group_id' IS NOT NULL"
            " ON CONFLICT DO NOTHING",
            names,
        )
        moved = self.connection.execute(
            "SELECT group_id FROM dataset_place p JOIN dataset_example e"
            " ON e.dataset_id = %(id)s AND e.content ->> 'group_id' = p.group_id"
            " WHERE (p.municipality, p.name) = (%(municipality)s, %(name)s) AND p.split <> e.split",
            names,
        ).fetchone()
        if moved:
            raise ReconciliationError(
                f"dataset {name}: {moved[0]} has another place already; clear the task, it reads the "
                "places again"
            )

    def _copy(self, dataset_id: int, examples: Sequence[Example]) -> None:
        with self.connection.cursor().copy(
            "COPY dataset_example (dataset_id, position, split, document_id, content) FROM STDIN"
        ) as copy:
            for position, example in enumerate(examples):
                content = json.dumps(dict(example.content), allow_nan=False, ensure_ascii=False)
                copy.write_row((dataset_id, position, example.split, example.document_id, content))
