import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
import pytest

import tcp_ports
from postgres import EmbeddedPostgres, running

pytestmark = pytest.mark.postgres


@pytest.fixture
def folder():
    """A folder that another account may enter, its name odd and longer than a socket may have."""
    base = Path(tempfile.mkdtemp(prefix="pg-test-"))
    base.chmod(0o711)
    yield base / f'with a space, a "quote" and an é {"x" * 90}'
    shutil.rmtree(base, ignore_errors=True)


def count(server):
    with psycopg.connect(server.ledger_dsn) as connection:
        return connection.execute("SELECT count(*) FROM kept").fetchone()[0]


def keep_a_row(server):
    with psycopg.connect(server.ledger_dsn) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        connection.execute("INSERT INTO kept VALUES (1)")


def in_folder(server):
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(server.data):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_what_was_committed_survives_kill_and_restart(folder):
    """Kill -9 of postgres, with its children still there, loses nothing; the port stays."""
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        keep_a_row(server)
        port = server.port
        os.kill(server.pid, signal.SIGKILL)
        while server.is_running():
            time.sleep(0.05)
        server.start()

        assert count(server) == 1
        assert server.port == port
    finally:
        server.stop()
    assert in_folder(server) == []


def test_a_lock_whose_pid_is_somebody_elses_is_no_obstacle(folder):
    """After a crash the pid in postmaster.pid may belong to any process of the same user."""
    with running(folder) as server:
        keep_a_row(server)
    lock = server.data / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{server.data}\n{int(time.time())}\n5432\n\n*\n")

    with running(folder) as again:
        assert count(again) == 1


def test_it_takes_another_port_when_somebody_was_quicker(folder):
    """A port that was free when it was chosen may be taken when the server starts."""
    server = EmbeddedPostgres(folder)
    with socket.create_server((tcp_ports.ADDRESS, 0)) as other:
        taken = server.port = other.getsockname()[1]
        server.start()
        try:
            keep_a_row(server)
            assert server.port != taken
            assert count(server) == 1
            assert (folder / "port").read_text() == f"{server.port}\n"
        finally:
            server.stop()


def test_a_server_that_was_left_behind_is_ended_first(folder):
    """A supervisor that was killed may leave a running postgres; two must never share a folder."""
    left = EmbeddedPostgres(folder)
    left.start()
    keep_a_row(left)
    pid = left.pid

    with running(folder) as server:
        assert count(server) == 1
        assert server.pid != pid
    left.stop()


def test_it_ends_with_whoever_started_it(folder):
    """On Linux the kernel tells it; a killed test run leaves no server."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent ended")
    root = Path(__file__).parents[2]
    starter = subprocess.Popen(
        [sys.executable, str(root / "scripts" / "postgres.py"), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(root), str(root / "plugins")))},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdout.readline().startswith("postgresql://")
    server = EmbeddedPostgres(folder)
    assert in_folder(server)

    starter.kill()
    starter.wait()
    until = time.monotonic() + 30
    while in_folder(server) and time.monotonic() < until:
        time.sleep(0.1)

    assert in_folder(server) == []


def test_nobody_comes_in_without_a_password(folder):
    """Scram on every way in, the socket included; secrets are readable by their owner only."""
    with running(folder) as server:
        wrong = server.ledger_dsn.replace(server.passwords["participation"], "guess")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(wrong)
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(host=str(server._socket_folder), port=server.port, user="postgres")
        assert (folder / "passwords.json").stat().st_mode & 0o077 == 0
        assert server.data.stat().st_mode & 0o077 == 0


def test_the_ledger_has_vectors_checksums_and_durability(folder):
    """What the rest of the project takes for granted."""
    with running(folder) as server, psycopg.connect(server.ledger_dsn) as connection:
        found = connection.execute(
            "SELECT current_setting('fsync'), current_setting('synchronous_commit'),"
            " current_setting('data_checksums'), ('[1,2]'::vector)::text,"
            " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user)"
        ).fetchone()

    assert found == ("on", "on", "on", "[1,2]", False)


def test_root_never_runs_it_even_where_only_root_may_go(tmp_path):
    """A clone below a closed folder works for root as well, and the folder says where its data is."""
    if os.geteuid() != 0:
        pytest.skip("only root has to change accounts")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with running(closed / "postgres") as server:
        assert psutil.Process(server.pid).uids().real != 0
        assert server.note is not None
        moved_to = Path((closed / "postgres" / "moved-to").read_text().strip())
        assert moved_to == server.home
    shutil.rmtree(moved_to)


def test_the_log_holds_no_word_of_a_row_that_failed(folder):
    """Neither the row nor the statement: both would be a citizen's text, in a file of the server."""
    with running(folder) as server, psycopg.connect(server.ledger_dsn) as connection:
        connection.execute("CREATE TABLE said (words text CHECK (length(words) < 3))")
        with pytest.raises(psycopg.errors.CheckViolation):
            connection.execute("INSERT INTO said VALUES ('je suis Marie Le Goff')")

        logged = server.log.read_text(errors="replace")
        assert "said_words_check" in logged
        assert "Marie" not in logged
        assert stat.S_IMODE(server.log.stat().st_mode) == 0o600
