"""Airflow's daemons as processes: how each is started, ended, and known to be alive and ours."""

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

import ports as free_ports
import processes
from airflow_settings import Ports, ui_address
from processes import Identity

SILENCE_LIMIT_S = 45.0
"""A component that is silent for longer and does not work either (no processor time) hangs."""

START_LIMIT_S = 120.0
"""The same for one that was never heard of since it started: importing Airflow takes seconds."""

BUSY_FACTOR = 4
"""One that still works may be slow on a loaded machine; after so many times longer it hangs too."""

BUSY_S = 0.02
"""Processor time between two looks that is more than waking up to wait again."""

STEADY_AFTER_S = 60.0
"""A component that lived this long did not fail to start: the next restart is immediate again."""

MAX_DELAY_S = 30.0
"""The longest wait before a component that keeps ending is started again."""

_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""A proxy for the outside would answer in the place of a component that does not."""


@dataclass
class Component:
    """One of Airflow's daemons.

    Attributes:
        name: As people know it.
        command: Arguments after ``python -m``.
        port: Where it listens; None when it does not.
        job_type: Under which its heartbeat stands in Airflow's ``job`` table; None without one.
        url: Answers when it is well; for what has no heartbeat.
        waits_for_ui: Started once the api-server answered, to leave it the processor first.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    job_type: str | None = None
    url: str | None = None
    waits_for_ui: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    started_at: float = 0.0
    heard_at: float = 0.0
    due_at: float = 0.0
    failures: int = 0
    was_well: bool = False
    worked_s: float = 0.0
    is_busy: bool = True
    known: set[Identity] = field(default_factory=set)

    # Its process

    def start(self, env: Mapping[str, str], logs: Path, cwd: Path) -> None:
        """Start it; its output goes to ``<name>.log``."""
        self.process = processes.spawn(
            [sys.executable, "-m", *self.command],
            self.log(logs),
            env=env,
            cwd=cwd,
            death_signal=signal.SIGKILL,
        )
        self.started_at = time.monotonic()

    def end(self) -> None:
        """Kill what is left of it, workers and tasks included."""
        left = [p for identity in self.known if (p := identity.process())]
        processes.end([*left, *self.family()], 0)
        if self.process is not None:
            self.process.poll()
        self.process = None
        self.known = set()

    def log(self, logs: Path) -> Path:
        """Where its output goes."""
        return logs / f"{self.name}.log"

    def family(self) -> list[psutil.Process]:
        """Its process and every descendant."""
        if self.process is None or self.process.poll() is not None:
            return []
        pid = self.process.pid
        return [*processes.living(pid), *processes.descendants(pid)]

    def note_family(self) -> None:
        """Note the descendants: once it ended they are nobody's."""
        if self.process is not None:
            self.known = processes.identities(self.process.pid)

    # Its health

    def listens(self) -> bool:
        """Say whether it is this very component that listens on its port."""
        port = self.port
        return port is not None and any(free_ports.listens(p, port) for p in self.family())

    def is_displaced(self) -> bool:
        """Say whether somebody else listens on its port, so that it cannot or does not."""
        if self.process is not None and self.process.poll() is not None:
            return False  # what it left behind may listen until it is ended too
        if self.port is None or self.listens() or not free_ports.is_taken(self.port):
            return False
        return not self.listens()  # it may have begun to, between the two looks

    def answers(self) -> bool:
        """Say whether it, and nobody in its place, answers at its address."""
        return self.url is not None and self.listens() and _answers(self.url)

    def backed_off_s(self, now: float) -> float:
        """Count an end and say how long to wait before the next start."""
        self.failures = 0 if now - self.started_at > STEADY_AFTER_S else self.failures + 1
        return min(MAX_DELAY_S, 2.0**self.failures - 1) if self.failures else 0.0

    def silence_s(self, now: float) -> float | None:
        """Seconds since the last sign of life when that is too long, None while all is well."""
        known = self.heard_at > self.started_at
        idle_limit = SILENCE_LIMIT_S if known else START_LIMIT_S
        limit = idle_limit * BUSY_FACTOR if self.is_busy else idle_limit
        silent = now - max(self.heard_at, self.started_at)
        return silent if silent > limit else None

    def note_work(self) -> None:
        """Note whether it used the processor since this was last asked."""
        worked_s = _worked_s(self.process.pid) if self.process else 0.0
        self.is_busy = worked_s - self.worked_s > BUSY_S
        self.worked_s = worked_s

    def note_life(self, job_ages: Mapping[str, float]) -> None:
        """Note when it was last heard of, given the age of the last heartbeat per type of job."""
        self.note_work()
        at = time.monotonic()
        if self.job_type is None:
            heard = self.answers()
        else:
            age = job_ages.get(self.job_type)
            heard = age is not None and at - age > self.started_at
            at -= age or 0.0
        if heard:
            self.heard_at = at
            self.was_well = True


def airflow_components(ports: Ports) -> list[Component]:
    """The daemons of one machine, in the order they are started; the api-server is the first."""
    ui = ui_address(ports)
    log_server = "airflow.utils.serve_logs.log_server:get_app"
    return [
        Component(
            "api-server",
            ("airflow", "api-server"),
            port=ports.ui,
            url=f"{ui}/api/v2/monitor/health",
        ),
        Component("dag-processor", ("airflow", "dag-processor"), job_type="DagProcessorJob"),
        # Airflow's own log server would listen on every interface: ours is the next but one.
        Component(
            "scheduler",
            ("airflow", "scheduler", "--skip-serve-logs"),
            port=ports.scheduler_health,
            job_type="SchedulerJob",
        ),
        Component(
            "triggerer",
            ("airflow", "triggerer", "--skip-serve-logs"),
            job_type="TriggererJob",
            waits_for_ui=True,
        ),
        Component(
            "log-server",
            (
                *("uvicorn", "--factory", log_server, "--host", "127.0.0.1"),
                *("--port", str(ports.logs), "--log-level", "warning"),
            ),
            port=ports.logs,
            url=f"http://127.0.0.1:{ports.logs}/",
            waits_for_ui=True,
        ),
    ]


def _answers(url: str) -> bool:
    try:
        with _direct.open(url, timeout=5):
            return True
    except urllib.error.HTTPError:
        return True  # it refuses us, so it is there
    except OSError:
        return False


def _worked_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
