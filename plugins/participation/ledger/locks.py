"""The advisory locks of the ledger, in one place, so that no two of them share a number.

Any numbers would do. The lock of a task attempt is named by its text (``participation.fence``).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg.pq import TransactionStatus

from participation.ledger.connection import Connection

MIGRATION_LOCK = 7_142_026
"""Two processes that migrate at once take turns."""

SPLIT_LOCK = 7_142_027
"""Two runs that split at the same moment take turns, so that each contribution goes to one of them."""

PLACE_LOCK = 7_142_028
"""Held while a file's entries find their places: two loads that meet in the same texts take turns."""


@contextmanager
def item_lock(connection: Connection, step: str, item: str) -> Iterator[bool]:
    """Try to take a step of an item for a block of work; False when another session has it.

    Nobody waits: whoever comes second does something else, and what is left undone by a death is
    free the moment its session is gone.
    """
    key = f"{step} of {item}"
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (key,)
    ).fetchone()
    taken = bool(row and row[0])
    try:
        yield taken
    finally:
        # Interrupted inside a query, the session takes no other: its end frees the lock.
        if taken and connection.info.transaction_status == TransactionStatus.IDLE:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (key,))
