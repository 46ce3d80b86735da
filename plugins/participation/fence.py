"""One live copy of a task attempt: an orphan dies with its parent, a second copy waits for the first.

The guarantee is the lease and the unique keys of the ledger; this keeps two copies from doing the same
work at the same time.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

from include.errors import TransientError
from include.orphans import die_with_parent
from participation.ledger.attempt import Attempt
from participation.ledger.connection import Connection
from participation.ledger.locks import try_lock, unlock

WAIT_S = 120
"""How long a second copy waits; the attempt then fails and is tried again."""

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
    while not try_lock(connection, key):
        if not said:
            log.warning("another copy of %s is at work: waiting for it", key)
            said = True
        if time.monotonic() > deadline:
            raise TransientError(f"{key}: another copy was still at work after {WAIT_S} s")
        time.sleep(0.5)
    try:
        yield
    finally:
        unlock(connection, key)
