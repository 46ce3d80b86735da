"""One moment at which everything on the network ends, whatever the other side sends until then."""

import socket
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from types import TracebackType
from typing import Self

from include.documents.addresses import AddressGuard


class Deadline:
    """Cuts the connections made under it when its time has passed.

    A time limit of a socket starts again with every byte that drips in; shutting the connection
    down from beside ends a handshake, a header and a body alike. Whoever reads must then ask
    ``has_passed``: a connection that was cut looks like one that ended.
    """

    def __init__(self, seconds: float) -> None:
        self._ends_at = monotonic() + seconds
        self._lock = threading.Lock()
        self._watched: list[socket.socket] = []
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    @property
    def has_passed(self) -> bool:
        """Whether the time is over."""
        return monotonic() >= self._ends_at

    def remaining_s(self) -> float:
        """Seconds that are left.

        Raises:
            TimeoutError: None are.
        """
        remaining = self._ends_at - monotonic()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        return remaining

    def connect(self, guard: AddressGuard, host: str, port: int) -> socket.socket:
        """Look a host up once and connect to the very address that the guard let pass.

        Raises:
            AddressRefusedError: The guard refuses one of its addresses.
            OSError: None of them answers, or not in time.
        """
        failure: OSError | None = None
        for address in self._looked_up(guard, host, port):
            try:
                connection = socket.create_connection((address, port), self.remaining_s())
            except OSError as error:
                failure = error
            else:
                self._watch(connection)
                return connection
        raise failure or OSError(f"{host}: no address answers")

    def __enter__(self) -> Self:
        """Start the clock's hand; the time itself counts from construction."""
        self._timer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let go of the connections, which their owner closes."""
        self._timer.cancel()
        with self._lock:
            for connection in self._watched:
                connection.close()
            self._watched.clear()

    def _looked_up(self, guard: AddressGuard, host: str, port: int) -> list[str]:
        # The system's resolver knows no time limit: it is asked on a thread that may be left behind.
        answers: SimpleQueue[list[str] | Exception] = SimpleQueue()

        def look_up() -> None:
            try:
                answers.put(guard.addresses(host, port))
            except Exception as error:  # noqa: BLE001 - carried to the caller, whatever it is
                answers.put(error)

        threading.Thread(target=look_up, daemon=True).start()
        try:
            answer = answers.get(timeout=self.remaining_s())
        except Empty:
            raise TimeoutError(f"{host}: the resolver did not answer in time") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _watch(self, connection: socket.socket) -> None:
        # A duplicate: TLS takes the first one over, and this one still reaches the same connection.
        with self._lock:
            self._watched.append(connection.dup())
        if self.has_passed:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            for connection in self._watched:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
