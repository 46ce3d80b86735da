"""Connections of the HTTP library, made by the guard to the addresses that it saw."""

from functools import partial
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import NewConnectionError

from include.documents.addresses import AddressGuard
from include.documents.sources.deadline import Deadline


class GuardedAdapter(HTTPAdapter):
    """Has every connection of a session made by the guard and cut by the deadline."""

    def __init__(self, guard: AddressGuard, deadline: Deadline) -> None:
        self._guard = guard
        self._deadline = deadline
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Let the pools make guarded connections; host name and certificate stay those asked for."""
        super().init_poolmanager(*args, **kwargs)
        guard, deadline = self._guard, self._deadline

        class Plain(HTTPConnection):
            def _new_conn(self) -> Any:
                return _connected(self, guard, deadline)

        class Secure(HTTPSConnection):
            def _new_conn(self) -> Any:
                return _connected(self, guard, deadline)

        self.poolmanager.pool_classes_by_scheme = {
            "http": partial(_pool, HTTPConnectionPool, Plain),
            "https": partial(_pool, HTTPSConnectionPool, Secure),
        }


def _pool(
    kind: type[HTTPConnectionPool], connection: Any, *args: Any, **kwargs: Any
) -> HTTPConnectionPool:
    pool = kind(*args, **kwargs)
    pool.ConnectionCls = connection
    return pool


def _connected(connection: HTTPConnection, guard: AddressGuard, deadline: Deadline) -> Any:
    port = connection.port or connection.default_port
    try:
        return deadline.connect(guard, connection.host, port)
    except OSError as error:
        raise NewConnectionError(connection, str(error)) from error
