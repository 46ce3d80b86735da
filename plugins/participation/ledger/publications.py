"""Which dataset versions were sent elsewhere, and how far."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from participation.ledger.connection import Connection

READ_ROWS = 500


@dataclass(frozen=True, slots=True)
class Publication:
    """A version that is not whole at its target."""

    dataset_id: int
    version: int
    content_hash: str
    created_at: datetime
    next_position: int


@dataclass(frozen=True)
class LedgerPublications:
    """The publications of one municipality's datasets to one target."""

    connection: Connection
    municipality: str
    target: str

    def begin(self, name: str) -> list[Publication]:
        """List what is to be sent: the newest version, and older ones that were begun and not ended.

        What came before this target was connected is not sent: each version holds the whole.
        """
        names = {"municipality": self.municipality, "name": name, "target": self.target}
        self.connection.execute(
            "INSERT INTO dataset_publication (dataset_id, target)"
            " SELECT dataset_id, %(target)s FROM dataset WHERE municipality = %(municipality)s"
            " AND name = %(name)s ORDER BY version DESC LIMIT 1 ON CONFLICT DO NOTHING",
            names,
        )
        rows = self.connection.execute(
            "SELECT d.dataset_id, d.version, d.content_hash, d.created_at, p.next_position"
            " FROM dataset_publication p JOIN dataset d USING (dataset_id)"
            " WHERE d.municipality = %(municipality)s AND d.name = %(name)s"
            " AND p.target = %(target)s AND p.published_at IS NULL ORDER BY d.version",
            names,
        ).fetchall()
        return [Publication(*row) for row in rows]

    def examples(self, publication: Publication) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """Read what may leave the house and was not sent, in order.

        A citizen's words stay: they are not anonymised.
        """
        position = publication.next_position
        while rows := self.connection.execute(
            "SELECT position, content FROM dataset_example WHERE dataset_id = %s"
            " AND position >= %s AND content ->> 'contribution_id' IS NULL"
            " ORDER BY position LIMIT %s",
            (publication.dataset_id, position, READ_ROWS),
        ).fetchall():
            yield from rows
            position = rows[-1][0] + 1

    def kept_back(self, publication: Publication) -> int:
        """Count the examples that are citizens' words."""
        row = self.connection.execute(
            "SELECT count(*) FROM dataset_example WHERE dataset_id = %s"
            " AND content ->> 'contribution_id' IS NOT NULL",
            (publication.dataset_id,),
        ).fetchone()
        return int(row[0]) if row else 0

    def sent(self, publication: Publication, next_position: int, count: int) -> None:
        """Note that the examples before a position were taken."""
        self._update(
            publication,
            "next_position = %(position)s, sent_count = sent_count + %(count)s",
            position=next_position,
            count=count,
        )

    def end(self, publication: Publication) -> None:
        """Note that the version is whole at its target."""
        self._update(publication, "published_at = now(), warning = NULL")

    def warn(self, publication: Publication, warning: str) -> None:
        """Note why it is not."""
        self._update(publication, "warning = %(warning)s", warning=warning)

    def _update(self, publication: Publication, change: str, **values: Any) -> None:
        self.connection.execute(
            f"UPDATE dataset_publication SET {change}"
            " WHERE (dataset_id, target) = (%(dataset_id)s, %(target)s)",
            {"dataset_id": publication.dataset_id, "target": self.target, **values},
        )
