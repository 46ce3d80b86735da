import socket
import subprocess
import sys

import psutil
import pytest

import tcp_ports

RESERVE = "import sys, tcp_ports; print(tcp_ports.reserve(int(sys.argv[1])), flush=True); sys.stdin.read()"


def test_a_taken_port_is_refused():
    """Who wants a port that a server listens on learns it at once."""
    with (
        socket.create_server((tcp_ports.ADDRESS, 0)) as server,
        pytest.raises(OSError, match="in use"),
    ):
        tcp_ports.free(server.getsockname()[1])


def test_the_port_of_a_server_that_just_ended_is_free_again():
    """Closing connections linger for a minute; the next start keeps its address all the same."""
    with socket.create_server((tcp_ports.ADDRESS, 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection((tcp_ports.ADDRESS, port))
        accepted, _ = server.accept()
        accepted.close()
        client.close()

    assert tcp_ports.free(port) == port


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a port for a later server")
def test_two_supervisors_never_choose_the_same_port():
    """A reserved port is refused to the next who asks, and open to the server it is meant for."""
    other = subprocess.Popen(
        [sys.executable, "-c", RESERVE, "0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=tcp_ports.__file__.rpartition("/")[0],
    )
    port = int(other.stdout.readline())
    try:
        with pytest.raises(OSError, match="in use"):
            tcp_ports.reserve(port)
        with socket.create_server((tcp_ports.ADDRESS, port)) as server:
            assert server.getsockname()[1] == port
    finally:
        other.communicate()


def test_a_listener_is_known_by_its_process():
    """That something answers on a port says nothing about who it is."""
    with socket.create_server((tcp_ports.ADDRESS, 0)) as server:
        port = server.getsockname()[1]
        other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            assert tcp_ports.is_taken(port)
            assert tcp_ports.listens(psutil.Process(), port)
            assert not tcp_ports.listens(psutil.Process(other.pid), port)
        finally:
            other.communicate()

    assert not tcp_ports.is_taken(port)
    assert not tcp_ports.listens(psutil.Process(), port)


def test_a_reserved_port_is_not_taken():
    """Holding a port for a server is not listening on it, and the hold can be given up."""
    port = tcp_ports.reserve()

    assert not tcp_ports.is_taken(port)
    tcp_ports.release(port)
    assert tcp_ports.free(port) == port
