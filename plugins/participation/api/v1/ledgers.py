"""The ledger for the routes: a few open connections, shared."""

from collections.abc import Callable
from functools import cache
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from include.errors import LedgerUnavailableError
from participation.hooks.ledger import ledger_dsn
from participation.ledger.connection import Connection, connect
from participation.settings import Settings

MAX_CONNECTIONS = 8
WAIT_S = 10
STATEMENT_LIMIT_S = 20
"""A question that takes longer is ended: its caller has left, and others wait."""

_opened: list[ConnectionPool[psycopg.Connection[TupleRow]]] = []

Found = TypeVar("Found")
Given = ParamSpec("Given")


class _Ready(psycopg.Connection[TupleRow]):
    """A connection as :func:`participation.ledger.connection.connect` opens it."""

    @classmethod
    def connect(cls, conninfo: str = "", **_: Any) -> "_Ready":
        """Open one for the pool."""
        opened = connect(conninfo, application_name="participation-api")
        opened.execute(f"SET statement_timeout = '{STATEMENT_LIMIT_S}s'")
        return opened  # type: ignore[return-value]  # the pool asks for nothing more


@cache
def pool(dsn: str) -> ConnectionPool[psycopg.Connection[TupleRow]]:
    """Open the pool of a ledger on its first use; it looks at each connection before it lends it."""
    opened: ConnectionPool[psycopg.Connection[TupleRow]] = ConnectionPool(
        dsn,
        connection_class=_Ready,
        min_size=1,
        max_size=MAX_CONNECTIONS,
        timeout=WAIT_S,
        check=ConnectionPool.check_connection,
        name="participation-api",
        open=True,
    )
    _opened.append(opened)
    return opened


def ask(
    find: Callable[Concatenate[Connection, str, Given], Found],
    *arguments: Given.args,
    **named: Given.kwargs,
) -> Found:
    """Ask the ledger: ``find`` gets a connection, the municipality and the arguments.

    Raises:
        LedgerUnavailableError: The ledger does not answer, or not in time.
    """
    try:
        with pool(_dsn()).connection() as connection:
            return find(connection, Settings().municipality, *arguments, **named)
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise LedgerUnavailableError(f"the ledger did not answer: {str(error).strip()}") from error


def close() -> None:
    """Give every connection back and forget where the ledger is."""
    for opened in _opened:
        opened.close()
    _opened.clear()
    pool.cache_clear()
    _dsn.cache_clear()


@cache
def _dsn() -> str:
    # A changed connection takes effect with a restart of the API server.
    return ledger_dsn()
