"""The advisory locks of the ledger, in one place, so that no two of them share a key.

A lock has a number where there is one of it, and a name where it belongs to something: a task attempt,
an index, a document.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.pq import TransactionStatus

from participation.ledger.connection import Connection

MIGRATION_LOCK = 7_142_026
"""Two processes that migrate at once take turns."""

SPLIT_LOCK = 7_142_027
"""Two runs that split at the same moment take turns, so that each contribution goes to one of them."""

PLACE_LOCK = 7_142_028
"""Held while a file's entries find their places: two loads that meet in the same texts take turns."""

REVIEW_LOCK = 7_142_029
"""Two runs that choose what to ask take turns, so that nobody is asked the same thing twice."""

CANCEL_S = 5
"""A server that does not take a cancellation within this is left to notice the closed session."""


def index_lock(municipality: str, engine: str) -> str:
    """Name the lock of an index: steps of two builds take turns."""
    return f"index {municipality} {engine}"


def hold(connection: Connection, key: int | str) -> None:
    """Wait for a lock and keep it to the end of the transaction."""
    connection.execute(f"SELECT pg_advisory_xact_lock({_number(key)})", (key,))


def hold_for_session(connection: Connection, key: int | str) -> None:
    """Wait for a lock and keep it until :func:`unlock`, or until the session ends."""
    connection.execute(f"SELECT pg_advisory_lock({_number(key)})", (key,))


def try_lock(connection: Connection, key: int | str) -> bool:
    """Take a lock for the session if nobody has it."""
    row = connection.execute(f"SELECT pg_try_advisory_lock({_number(key)})", (key,)).fetchone()
    return bool(row and row[0])


def unlock(connection: Connection, key: int | str) -> None:
    """Give a session's lock back, and the connection with it where it cannot be asked any more.

    A task that ran out of time was interrupted in the middle of a query. Whatever goes wrong here, the
    end of the session frees the lock, and the error on its way up is the one that counts.
    """
    if connection.info.transaction_status == TransactionStatus.IDLE:
        with suppress(psycopg.Error):
            connection.execute(f"SELECT pg_advisory_unlock({_number(key)})", (key,))
            return
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=CANCEL_S)
    connection.close()


@contextmanager
def item_lock(connection: Connection, step: str, item: str) -> Iterator[bool]:
    """Try to take a step of an item for a block of work; False when another session has it.

    Nobody waits: whoever comes second does something else, and what is left undone by a death is
    free the moment its session is gone.
    """
    key = f"{step} of {item}"
    taken = try_lock(connection, key)
    try:
        yield taken
    finally:
        if taken:
            unlock(connection, key)


def _number(key: int | str) -> str:
    return "%s" if isinstance(key, int) else "hashtextextended(%s, 0)"
