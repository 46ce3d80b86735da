"""An appeal: the author of a refused contribution asks for a second look, in words of their own."""

from dataclasses import dataclass
from datetime import datetime

import psycopg

from include.errors import PermanentError
from participation.ledger.connection import Connection

MAX_WORDS = 4000


class NoAppealError(PermanentError):
    """There is nothing to appeal against; the message says why."""


class AppealsClosedError(PermanentError):
    """The ledger has no table of appeals yet."""


@dataclass(frozen=True, slots=True)
class Appeal:
    """An appeal as its author may see it."""

    filed_at: datetime
    closed_at: datetime | None

    @property
    def state(self) -> str:
        """``open`` until another person decided."""
        return "closed" if self.closed_at else "open"


def latest(connection: Connection, municipality: str, contribution_id: str) -> Appeal | None:
    """Return the latest appeal about a contribution, if there is one."""
    if not _is_open_for_appeals(connection):
        return None
    row = connection.execute(
        "SELECT a.filed_at, a.closed_at FROM appeal a JOIN contribution c USING (contribution_id)"
        " WHERE contribution_id = %s AND c.municipality = %s ORDER BY a.appeal_id DESC LIMIT 1",
        (contribution_id, municipality),
    ).fetchone()
    return Appeal(*row) if row else None


def file(
    connection: Connection, municipality: str, contribution_id: str, words: str
) -> tuple[Appeal, bool]:
    """File an appeal against the standing refusal; the same refusal is contested once.

    Returns:
        The appeal, and whether it is new.

    Raises:
        NoAppealError: The contribution is not refused.
        AppealsClosedError: There is no table for them yet.
    """
    if not _is_open_for_appeals(connection):
        raise AppealsClosedError("appeals need migration 0003 (the review)")
    with connection.transaction():
        row = connection.execute(
            "SELECT d.decision_id, d.outcome FROM contribution c JOIN decision d USING"
            " (contribution_id) WHERE c.contribution_id = %s AND c.municipality = %s"
            " ORDER BY d.decision_id DESC LIMIT 1 FOR UPDATE OF c",
            (contribution_id, municipality),
        ).fetchone()
        if row is None or row[1] != "refused":
            raise NoAppealError(
                "only a refusal can be contested, and this contribution is not refused"
            )
        added = connection.execute(
            "INSERT INTO appeal (contribution_id, decision_id, words) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING RETURNING filed_at, closed_at",
            (contribution_id, row[0], words),
        ).fetchone()
        if added:
            return Appeal(*added), True
        found = latest(connection, municipality, contribution_id)
    if found is None:
        raise psycopg.errors.SerializationFailure("the appeal went away")
    return found, False


def _is_open_for_appeals(connection: Connection) -> bool:
    row = connection.execute("SELECT to_regclass('participation.appeal') IS NOT NULL").fetchone()
    return bool(row and row[0])
