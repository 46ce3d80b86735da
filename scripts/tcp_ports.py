"""Free ports on 127.0.0.1, also while several supervisors of this machine look for one at once."""

import errno
import socket
import sys

import psutil

ADDRESS = "127.0.0.1"

CONNECT_TIMEOUT_S = 2.0
"""On this machine a connection is made or refused at once, unless the listener hangs."""

_reserved: dict[int, socket.socket] = {}


def free(wanted: int = 0) -> int:
    """A free port: the wanted one, or any.

    Raises:
        OSError: The wanted one is taken.
    """
    with _bound(wanted) as probe:
        return int(probe.getsockname()[1])


def reserve(wanted: int = 0) -> int:
    """A free port that no other supervisor takes until this process ends.

    A component binds it seconds later. Until then a socket of ours is bound to it without listening:
    servers, which allow addresses to be used again, are not in its way, and the next one who asks is.
    Only Linux lets both bind; elsewhere the port is free and not held.

    Raises:
        OSError: The wanted one is taken.
    """
    if sys.platform != "linux":
        return free(wanted)
    held = _bound(wanted)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port = int(held.getsockname()[1])
    _reserved[port] = held
    return port


def release(port: int) -> None:
    """Give up a reserved port; one that is not reserved is left alone."""
    if held := _reserved.pop(port, None):
        held.close()


def is_taken(port: int) -> bool:
    """Say whether somebody listens on a port, answering or not."""
    with socket.socket() as probe:
        probe.settimeout(CONNECT_TIMEOUT_S)
        # EAGAIN is the timeout: a server that hangs holds its port all the same.
        return probe.connect_ex((ADDRESS, port)) in {0, errno.EAGAIN}


def listens(process: psutil.Process, port: int) -> bool:
    """Say whether it is this process that listens on a port."""
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return True  # where the system does not tell, nobody is accused
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def _bound(wanted: int) -> socket.socket:
    held = socket.socket()
    try:
        try:
            held.bind((ADDRESS, wanted))
        except OSError:
            if not _only_closing(wanted):
                raise
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            held.bind((ADDRESS, wanted))
    except OSError:
        held.close()
        raise
    return held


def _only_closing(port: int) -> bool:
    """Say whether connections of a server that ended are all that is left on a port."""
    try:
        states = {
            connection.status
            for connection in psutil.net_connections(kind="tcp")
            if connection.laddr and connection.laddr.port == port
        }
    except psutil.Error:  # macOS shows other users' connections to root only
        return True
    return bool(states) and psutil.CONN_LISTEN not in states
