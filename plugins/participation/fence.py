"""One live copy of a task attempt: an orphan dies with its parent, a second copy waits for the first.

The guarantee is the lease and the unique keys of the ledger; this keeps two copies from doing the same
work at the same time.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.pq import TransactionStatus

from include.errors import TransientError
from include.orphans import die_with_parent
from participation.ledger.attempt import Attempt
from participation.ledger.connection import Connection

WAIT_S = 120
"""How long a second copy waits; the attempt then fails and is tried again."""

CANCEL_S = 5
"""A server that does not take a cancellation within this is left to notice the closed session."""

log = logging.getLogger(__name__)


@contextmanager
def single_runner(connection: Connection, attempt: Attempt) -> Iterator[None]:
    """Hold the advisory lock of (dag, run, task, map index) for a block of work.

    The lock belongs to the database session: it is free the moment its holder is gone.

    Raises:
        TransientError: Another copy still works after two minutes.
    """
    die_with_parent()
    key = f"{attempt.dag_id}/{attempt.run_id}/{attempt.task_id}/{attempt.map_index}"
    deadline = time.monotonic() + WAIT_S
    said = False
    while not _try_lock(connection, key):
        if not said:
            log.warning("another copy of %s is at work: waiting for it", key)
            said = True
        if time.monotonic() > deadline:
            raise TransientError(f"{key}: another copy was still at work after {WAIT_S} s")
        time.sleep(0.5)
    try:
        yield
    finally:
        _unlock(connection, key)


def _unlock(connection: Connection, key: str) -> None:
    """Give the lock back, and the connection with it where it cannot be asked any more.

    A task that ran out of time was interrupted in the middle of a query. Whatever goes wrong here, the
    end of the session frees the lock, and the error on its way up is the one that counts.
    """
    if connection.info.transaction_status == TransactionStatus.IDLE:
        with suppress(psycopg.Error):
            connection.execute("SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (key,))
            return
    with suppress(psycopg.Error):
        connection.cancel_safe(timeout=CANCEL_S)
    connection.close()


def _try_lock(connection: Connection, key: str) -> bool:
    row = connection.execute(
        "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (key,)
    ).fetchone()
    return bool(row and row[0])
