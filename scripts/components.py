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

import processes
import tcp_ports
from airflow_settings import Ports, ui_address
from health import Health
from processes import Identity

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
        process: Its process, ended or not; None while it is not started.
        due_at: When it may be started again.
        health: Its signs of life.
        known: Its descendants, as they were noted last.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    job_type: str | None = None
    url: str | None = None
    waits_for_ui: bool = False
    process: "subprocess.Popen[bytes] | None" = None
    due_at: float = 0.0
    health: Health = field(default_factory=Health)
    known: set[Identity] = field(default_factory=set)

    def start(self, env: Mapping[str, str], logs: Path, cwd: Path) -> None:
        """Start it; its output goes to ``<name>.log``."""
        self.process = processes.spawn(
            [sys.executable, "-m", *self.command],
            self.log(logs),
            env=env,
            cwd=cwd,
            death_signal=signal.SIGKILL,
        )
        self.health.started_at = time.monotonic()

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

    def listens(self) -> bool:
        """Say whether it is this very component that listens on its port."""
        port = self.port
        return port is not None and any(tcp_ports.listens(p, port) for p in self.family())

    def is_displaced(self) -> bool:
        """Say whether somebody else listens on its port, so that it cannot or does not."""
        if self.process is not None and self.process.poll() is not None:
            return False  # what it left behind may listen until it is ended too
        if self.port is None or self.listens() or not tcp_ports.is_taken(self.port):
            return False
        return not self.listens()  # it may have begun to, between the two looks

    def answers(self) -> bool:
        """Say whether it, and nobody in its place, answers at its address."""
        return self.url is not None and self.listens() and _answers(self.url)

    def note_life(self, job_ages: Mapping[str, float]) -> None:
        """Note when it was last heard of, given the age of the last heartbeat per type of job."""
        self.health.note_work(_worked_s(self.process.pid) if self.process else 0.0)
        at = time.monotonic()
        if self.job_type is None:
            heard = self.answers()
        else:
            age = job_ages.get(self.job_type)
            heard = age is not None and at - age > self.health.started_at
            at -= age or 0.0
        if heard:
            self.health.note_heard(at)


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
