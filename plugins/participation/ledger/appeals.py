"""An appeal as its author sees it: filed by the receipt, open until another person decided."""

from dataclasses import dataclass
from datetime import datetime

from participation.ledger import review
from participation.ledger.connection import Connection

MAX_WORDS = review.MAX_APPEAL_CHARACTERS


@dataclass(frozen=True, slots=True)
class Appeal:
    """When an appeal was filed, and when it was settled."""

    appeal_id: int
    filed_at: datetime
    closed_at: datetime | None


def latest(connection: Connection, municipality: str, contribution_id: str) -> Appeal | None:
    """Return the latest appeal about a contribution, if there is one."""
    row = connection.execute(
        "SELECT a.appeal_id, a.filed_at, a.closed_at FROM appeal a"
        " JOIN contribution c USING (contribution_id)"
        " WHERE contribution_id = %s AND c.municipality = %s ORDER BY a.appeal_id DESC LIMIT 1",
        (contribution_id, municipality),
    ).fetchone()
    return Appeal(*row) if row else None


def file(
    connection: Connection, municipality: str, contribution_id: str, words: str
) -> tuple[Appeal | None, bool]:
    """File an appeal against the standing refusal, and say whether it is new.

    Raises:
        ConfigurationError: There is nothing to contest, or the words are missing or too long.
    """
    before = latest(connection, municipality, contribution_id)
    appeal_id = review.file_appeal(connection, municipality, contribution_id, words)
    filed = latest(connection, municipality, contribution_id)
    return filed, before is None or before.appeal_id != appeal_id
