"""Run PostgreSQL and Airflow on this machine, and bring back whatever dies or hangs.

A thin guard process starts the supervisor and outlives it, so that nothing is left behind even when
the supervisor is killed. The supervisor starts PostgreSQL, migrates both databases, starts Airflow's
components and the main job, and then watches processes and heartbeats until it is told to stop.
"""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

import processes
from airflow_settings import Ports, environment, ui_address
from participation.ledger import migrate
from postgres import EmbeddedPostgres, PostgresError, last_lines
from processes import Identity
from state_folder import ROOT, AlreadyRunningError, StateFolder

TICK_S = 0.5
"""How often processes are looked at."""

HEALTH_INTERVAL_S = 5.0
"""How often heartbeats are read; a component writes one every five seconds."""

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

HOPELESS_AFTER = 5
"""So many starts in a row without one sign of life are a mistake in the setup, not bad luck."""

MAX_DELAY_S = 30.0
"""The longest wait before a component that keeps ending is started again."""

POSTGRES_TRIES = 3
"""A database that does not come back after so many starts needs a person."""

STOP_GRACE_S = 10.0
"""Running tasks may finish within this; what does not is killed and resumed by the next start."""

SLEPT_AFTER_S = 20.0
"""A tick that took so long by the wall clock: the machine was asleep, every heartbeat is old."""


class HopelessError(Exception):
    """A component cannot be started; the message holds the end of its log."""


@dataclass
class Component:
    """One of Airflow's daemons.

    Attributes:
        name: As people know it.
        command: Arguments after ``python -m``.
        job_type: Under which its heartbeat stands in Airflow's ``job`` table; None without one.
        url: Answers when it is well; for what has no heartbeat.
        waits_for_ui: Started once the api-server answered, to leave it the processor first.
    """

    name: str
    command: tuple[str, ...]
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


def airflow_components(ports: Ports) -> list[Component]:
    """The daemons of one machine, in the order they are started."""
    ui = ui_address(ports)
    log_server = "airflow.utils.serve_logs.log_server:get_app"
    return [
        Component("api-server", ("airflow", "api-server"), url=f"{ui}/api/v2/monitor/health"),
        Component("dag-processor", ("airflow", "dag-processor"), job_type="DagProcessorJob"),
        # Airflow's own log server would listen on every interface: ours is the next but one.
        Component(
            "scheduler", ("airflow", "scheduler", "--skip-serve-logs"), job_type="SchedulerJob"
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
            url=f"http://127.0.0.1:{ports.logs}/",
            waits_for_ui=True,
        ),
    ]


class Supervisor:
    """Keeps PostgreSQL and the components alive until told to stop."""

    def __init__(
        self, state: StateFolder, inbox: Path, *, oneshot: bool = False, idle: bool = False
    ) -> None:
        self.state = state
        self.inbox = inbox
        self.oneshot = oneshot
        self.idle = idle
        self.postgres = EmbeddedPostgres(state.postgres)
        self.components: list[Component] = []
        self.env: dict[str, str] = {}
        self.main_job: subprocess.Popen[bytes] | None = None
        self.main_job_code: int | None = None
        self.stopping = False
        self._postgres_failures = 0
        self._next_health_at = 0.0
        self._noted: set[Identity] = set()

    # The life of a run

    def run(self) -> int:
        """Start, watch and stop everything; the exit code of ``make run``."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        processes.become_subreaper()
        try:
            self.start()
            self.watch()
        except (HopelessError, PostgresError, psycopg.Error) as error:
            self.say(f"cannot go on: {error}")
            return 1
        finally:
            self.stop()
        return self.main_job_code or 0

    def start(self) -> None:
        """Bring up the databases, then the components and the main job."""
        self._end_noted_processes()
        self.say("starting PostgreSQL")
        self.postgres.start()
        if self.postgres.note:
            self.say(self.postgres.note)
        ports = Ports.chosen(self.state.noted("ports"))
        self.state.note("ports", ports.as_dict())
        self.state.note("addresses", {"ui": ui_address(ports), "pid": os.getpid()})
        self.env = environment(
            self.state,
            ports,
            airflow_dsn=self.postgres.airflow_dsn,
            ledger_dsn=self.postgres.ledger_dsn,
            inbox=self.inbox,
        )
        self.state.passwords  # noqa: B018 - made before Airflow would make its own
        self._migrate()
        self.components = airflow_components(ports)
        self.say(f"starting Airflow on {ui_address(ports)}")
        if not self.idle:
            self._start_main_job()

    def watch(self) -> None:
        """Look after everything, until told to stop or the one shot is done."""
        last = time.time()
        while not self.stopping:
            if time.time() - last > SLEPT_AFTER_S:
                self._forgive_silence()
            last = time.time()
            self._look_after_postgres()
            for component in self.components:
                self._look_after(component)
            self._look_after_main_job()
            self._end_orphans()
            self._note_processes()
            time.sleep(TICK_S)

    def stop(self) -> None:
        """End everything we started, tasks first, PostgreSQL last; bounded in time."""
        self.stopping = True
        if self.main_job:
            processes.end(_alive(self.main_job.pid), 2)
        self.say("stopping")
        tasks = self._living(lambda component: component.name == "scheduler")
        processes.send(tasks, signal.SIGTERM)
        processes.end(self._living(lambda component: component.waits_for_ui), 1)
        # Tasks report to the api-server: it stays until they are done or their grace is over.
        processes.end(tasks, STOP_GRACE_S)
        postgres = self.postgres.pid
        kept = {postgres, *(p.pid for p in processes.descendants(postgres))} if postgres else set()
        processes.end([p for p in processes.descendants() if p.pid not in kept], 1)
        self.postgres.stop()
        processes.end(processes.descendants(), 0)
        self.state.note("processes", {"identities": []})
        self.say("stopped")

    # Looking after

    def _look_after_postgres(self) -> None:
        now = time.monotonic()
        if self.postgres.is_running():
            if now < self._next_health_at:
                return
            self._next_health_at = now + HEALTH_INTERVAL_S
            if self._read_heartbeats():
                self._postgres_failures = 0
                return
            self._postgres_failures += 1
            if self._postgres_failures * HEALTH_INTERVAL_S < SILENCE_LIMIT_S:
                return
            self.say("PostgreSQL does not answer: starting it again")
        else:
            self.say("PostgreSQL ended: starting it again")
        self._postgres_failures = 0
        begun = time.monotonic()
        for tries_left in reversed(range(POSTGRES_TRIES)):
            try:
                self.postgres.end_leftovers()
                self.postgres.start()
                break
            except (PostgresError, psycopg.Error) as error:
                if self.stopping or not tries_left:
                    raise
                self.say(f"PostgreSQL did not start, once more: {error}")
        self.say(f"PostgreSQL answers again after {time.monotonic() - begun:.1f} s")
        self._forgive_silence()

    def _look_after(self, component: Component) -> None:
        now = time.monotonic()
        if component.process is None:
            if now >= component.due_at and (not component.waits_for_ui or self._ui_was_well()):
                self._start(component)
            return
        code = component.process.poll()
        if code is not None:
            self._take_down(component, f"ended ({_how(code)})")
        elif silent := component.silence_s(now):
            self._take_down(component, f"gave no sign of life for {silent:.0f} s")

    def _start(self, component: Component) -> None:
        try:
            if component.job_type:
                self._close_jobs(component.job_type)
        except psycopg.Error:
            return  # without a database it would end at once; the next look tries again
        component.process = processes.spawn(
            [sys.executable, "-m", *component.command],
            self._log(component),
            env=self.env,
            cwd=self.state.airflow_home,
            death_signal=signal.SIGKILL,
        )
        component.started_at = time.monotonic()

    def _take_down(self, component: Component, why: str) -> None:
        """End what is left of a component and plan its next start."""
        assert component.process is not None  # noqa: S101 - only a started component is taken down
        left = [p for identity in component.known if (p := identity.process())]
        left += processes.descendants(component.process.pid)
        processes.end([*left, *_alive(component.process.pid)], 0)
        component.process.poll()
        component.process = None
        component.known = set()
        now = time.monotonic()
        delay = component.backed_off_s(now)
        component.due_at = now + delay
        when = f" in {delay:.0f} s" if delay else ""
        self.say(f"{component.name} {why}: starting it again{when}")
        if component.failures >= HOPELESS_AFTER and not component.was_well:
            raise HopelessError(
                f"{component.name} ended {component.failures} times without coming up\n"
                + last_lines(self._log(component), 15)
            )

    def _read_heartbeats(self) -> bool:
        """Note who was heard of; False when PostgreSQL did not answer."""
        try:
            ages = self._heartbeat_ages()
        except psycopg.Error:
            return False
        now = time.monotonic()
        for component in self.components:
            if component.process is None:
                continue
            component.note_work()
            if component.job_type is not None:
                age = ages.get(component.job_type)
                heard = age is not None and now - age > component.started_at
                at = now - age if age is not None else 0.0
            else:
                heard, at = _answers(component.url or ""), time.monotonic()
            if heard:
                component.heard_at = at
                component.was_well = True
        return True

    def _heartbeat_ages(self) -> dict[str, float]:
        with psycopg.connect(
            self.postgres.airflow_dsn, connect_timeout=3, options="-c statement_timeout=3000"
        ) as connection:
            rows = connection.execute(
                "SELECT job_type, extract(epoch FROM clock_timestamp() - max(latest_heartbeat))"
                " FROM job WHERE state = 'running' GROUP BY job_type"
            ).fetchall()
        return {job_type: float(age) for job_type, age in rows}

    def _close_jobs(self, job_type: str) -> None:
        """Tell Airflow that the former process is gone, instead of letting it wait for a timeout.

        The new scheduler takes over orphaned tasks, and the new triggerer its triggers, at once.
        """
        with psycopg.connect(self.postgres.airflow_dsn, connect_timeout=10) as connection:
            connection.execute(
                "UPDATE job SET state = 'failed', end_date = now()"
                " WHERE job_type = %s AND state = 'running'",
                [job_type],
            )

    def _forgive_silence(self) -> None:
        """Nobody could be heard for a while: count everybody's silence from now."""
        now = time.monotonic()
        for component in self.components:
            component.heard_at = now

    def _ui_was_well(self) -> bool:
        return self.components[0].was_well

    def _look_after_main_job(self) -> None:
        if self.main_job is None or (code := self.main_job.poll()) is None:
            return
        self.main_job = None
        self.main_job_code = code
        if self.oneshot:
            self.stopping = True
        elif code:
            self.say("the run above failed; Airflow stays up for a look, Ctrl-C stops it")
        else:
            self.say("Airflow stays up; Ctrl-C stops it")

    def _end_orphans(self) -> None:
        """End what a killed process left to us: a worker's task, a scheduler's workers."""
        roots = self._root_pids()
        orphans = [
            child
            for child in psutil.Process().children()
            if child.pid not in roots and processes.is_living(child)
        ]
        for orphan in orphans:
            processes.end([*processes.descendants(orphan.pid), orphan], 0)
        processes.reap(roots)

    def _living(self, wanted: Callable[[Component], bool]) -> list[psutil.Process]:
        handles = [c.process for c in self.components if c.process and wanted(c)]
        return [process for handle in handles for process in _alive(handle.pid)]

    def _root_pids(self) -> set[int]:
        handles = [c.process for c in self.components] + [self.main_job]
        return {handle.pid for handle in handles if handle} | {self.postgres.pid or 0}

    def _note_processes(self) -> None:
        """Keep on disk what runs, for whoever has to clean up after us."""
        for component in self.components:
            if component.process is not None:
                component.known = _identities(component.process.pid)
        noted = _identities(os.getpid())
        if noted != self._noted:
            self._noted = noted
            listed = [[identity.pid, identity.created] for identity in noted]
            self.state.note("processes", {"identities": listed})

    def _end_noted_processes(self) -> None:
        end_noted_processes(self.state)
        self.postgres.end_leftovers()

    # Details

    def _migrate(self) -> None:
        """Bring both databases to the form this version needs."""
        applied = migrate(self.postgres.ledger_dsn)
        if applied:
            self.say(f"ledger: {len(applied)} migrations applied")
        installed = version("apache-airflow")
        with psycopg.connect(self.postgres.airflow_dsn, autocommit=True) as connection:
            noted = connection.execute(
                "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
                " WHERE datname = current_database()"
            ).fetchone()
            if noted == (installed,):
                return
            self.say("preparing Airflow's database")
            self._airflow("db", "migrate")
            connection.execute(
                sql.SQL("COMMENT ON DATABASE airflow IS {}").format(sql.Literal(installed))
            )

    def _airflow(self, *arguments: str) -> None:
        log = self.state.logs / "migrate.log"
        process = processes.spawn([sys.executable, "-m", "airflow", *arguments], log, env=self.env)
        while process.poll() is None:
            if self.stopping:
                raise HopelessError("told to stop")
            time.sleep(0.1)
        if process.returncode:
            raise HopelessError(f"airflow {' '.join(arguments)} failed\n{last_lines(log, 15)}")

    def _start_main_job(self) -> None:
        """In our own process group: it shares the terminal, and gets its Ctrl-C."""
        env = self.env | {
            "STATE": str(self.state.folder),
            "LEDGER_DSN": self.postgres.ledger_dsn,
            "ONESHOT": "1" if self.oneshot else "",
            "PYTHONPATH": os.pathsep.join((self.env["PYTHONPATH"], str(ROOT / "scripts"))),
        }
        death = partial(processes.die_with_parent, signal.SIGTERM, os.getpid())
        self.main_job = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "main_job.py")],
            env=env,
            preexec_fn=death,  # noqa: PLW1509 - from the main thread, and prctl needs the child
        )

    def _log(self, component: Component) -> Path:
        return self.state.logs / f"{component.name}.log"

    def _ask_to_stop(self, *_: object) -> None:
        self.stopping = True

    def say(self, sentence: str) -> None:
        """Log what happens; on the terminal as well, unless the main job is drawing on it."""
        with (self.state.logs / "supervisor.log").open("a", encoding="utf-8") as log:
            log.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n")
        if self.main_job is None or self.main_job.poll() is not None:
            speak(sentence)


def end_noted_processes(state: StateFolder) -> None:
    """End what an earlier supervisor noted and could not end itself, PostgreSQL apart."""
    noted = state.noted("processes").get("identities", [])
    alive = [p for pid, created in noted if (p := Identity(pid, created).process())]
    processes.end([p for p in alive if not _name(p).startswith("postgres")], 0)


def speak(sentence: str) -> None:
    """Print, even when the terminal is gone."""
    try:
        print(sentence, flush=True)
    except OSError:
        # Nobody listens any more; everything is stopped all the same.
        sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115 - stays open to the end


def _identities(pid: int) -> set[Identity]:
    found = set()
    for process in processes.descendants(pid):
        try:
            found.add(Identity.of(process))
        except psutil.Error:
            continue
    return found


def _alive(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.Error:
        return []


def _worked_s(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own addresses
            return True
    except urllib.error.HTTPError:
        return True  # it refuses us, so it is there
    except OSError:
        return False


def main(environ: Mapping[str, str], *, idle: bool) -> int:
    """Run under a guard, without the main job when idle; the exit code of ``make run``."""
    state = StateFolder.from_environment()
    inbox = Path(environ["PARTICIPATION_INBOX"]).resolve()
    try:
        lock = state.lock()
    except AlreadyRunningError as error:
        speak(str(error))
        return 1
    supervisor = Supervisor(state, inbox, oneshot=bool(environ.get("ONESHOT")), idle=idle)

    def clean_up() -> None:
        """The supervisor is gone; killed, perhaps."""
        end_noted_processes(state)
        supervisor.postgres.end_leftovers()

    with lock:
        return processes.guarded(supervisor.run, clean_up)


if __name__ == "__main__":
    sys.exit(main(os.environ, idle="--idle" in sys.argv[1:]))
