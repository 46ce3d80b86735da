"""One way to open the ledger, and one place where the driver's errors are sorted."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg.rows import TupleRow

from include.errors import LedgerUnavailableError

Connection = psycopg.Connection[TupleRow]

CONNECT_TIMEOUT_S = 10
"""A database that is starting up refuses or answers within this; the retry comes from the task."""


def connect(
    dsn: str,
    *,
    application_name: str = "participation",
    connect_timeout_s: int = CONNECT_TIMEOUT_S,
) -> Connection:
    """Open an autocommit connection whose search path is the ledger's schema.

    Raises:
        psycopg.OperationalError: The server is not there; :func:`session` sorts this.
    """
    return psycopg.connect(
        dsn,
        autocommit=True,
        application_name=application_name,
        connect_timeout=connect_timeout_s,
        keepalives_idle=30,
        keepalives_interval=10,
        keepalives_count=3,
        options="-c search_path=participation,public -c client_connection_check_interval=10s",
    )


@contextmanager
def session(
    dsn: str,
    *,
    application_name: str = "participation",
    connect_timeout_s: int = CONNECT_TIMEOUT_S,
) -> Iterator[Connection]:
    """Open the ledger for a block of work.

    Raises:
        LedgerUnavailableError: The server is not there, or went away inside the block; the open
            transaction was rolled back.
    """
    try:
        with connect(
            dsn, application_name=application_name, connect_timeout_s=connect_timeout_s
        ) as connection:
            yield connection
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise LedgerUnavailableError(
            f"the ledger (connection participation_db) did not answer: {str(error).strip()}"
        ) from error
