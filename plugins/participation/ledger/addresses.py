"""The addresses that documents are fetched from, and when each of them is asked again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from participation.ledger.connection import Connection

SOON = timedelta(minutes=30)
"""Until an address that did not answer is asked again: the next hourly run does."""

LATER = timedelta(hours=20)
"""Until one that answered is looked at again: about once a day, by one conditional request."""

GIVEN_UP_AFTER = timedelta(days=30)
"""Without any usable answer, and without a person who asks for it again."""

WANT = """
INSERT INTO document_address (municipality, uri)
SELECT %(municipality)s, unnest(%(uris)s::text[])
ON CONFLICT (municipality, uri) DO UPDATE SET wanted_at = now(), again_at = now()
"""

DUE = """
FROM document_address WHERE municipality = %(municipality)s
  AND again_at <= now() AND wanted_at > now() - %(given_up_after)s
  AND (%(among)s::text[] IS NULL OR uri = ANY(%(among)s))
"""


@dataclass(frozen=True)
class LedgerAddresses:
    """The addresses of one municipality."""

    connection: Connection
    municipality: str

    def want(self, uris: Sequence[str]) -> None:
        """Note addresses before the first of them is asked, so that none is lost."""
        self.connection.execute(WANT, {"municipality": self.municipality, "uris": list(uris)})

    def due(self, limit: int, among: Sequence[str] | None = None) -> list[str]:
        """List the addresses whose turn it is, those never asked first.

        Args:
            limit: At most so many.
            among: Of these alone; of all when None.
        """
        rows = self.connection.execute(
            f"SELECT uri {DUE} ORDER BY asked_at NULLS FIRST, wanted_at, uri LIMIT %(limit)s",
            {**self._names(among), "limit": limit},
        ).fetchall()
        return [uri for (uri,) in rows]

    def count_due(self) -> int:
        """Count the addresses whose turn has come and that nobody has asked yet."""
        row = self.connection.execute(f"SELECT count(*) {DUE}", self._names(None)).fetchone()
        return int(row[0]) if row else 0

    def asked(self, uri: str, *, answered: bool, waits: bool) -> None:
        """Note that an address was asked.

        Args:
            uri: The address.
            answered: It gave a document, or said that the one on record still stands.
            waits: It is to be asked soon.
        """
        self.connection.execute(
            "UPDATE document_address SET asked_at = now(), again_at = now() + %s,"
            " wanted_at = CASE WHEN %s THEN now() ELSE wanted_at END"
            " WHERE municipality = %s AND uri = %s",
            (SOON if waits else LATER, answered, self.municipality, uri),
        )

    def _names(self, among: Sequence[str] | None) -> dict[str, object]:
        return {
            "municipality": self.municipality,
            "given_up_after": GIVEN_UP_AFTER,
            "among": None if among is None else list(among),
        }
