"""One attempt at a time for one step of one item, for as long as its database session lives."""

from collections.abc import Iterator
from contextlib import contextmanager

from participation.ledger.connection import Connection


@contextmanager
def claimed(connection: Connection, step: str, item: str) -> Iterator[bool]:
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
        if taken and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (key,))
