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
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil
import psycopg

import airflow_database
import processes
from accounts import NoAccountError
from airflow_settings import LLM_POOL, LLM_POOL_SLOTS, Ports, environment, ui_address
from components import Component, airflow_components
from health import SILENCE_LIMIT_S
from include.errors import ConfigurationError, ParticipationError
from include.orphans import become_subreaper, die_with_parent
from marked_folder import ForeignFolderError
from participation.ledger import migrate
from postgres import EmbeddedPostgres, PostgresError, last_lines
from processes import Identity
from state_folder import ROOT, AlreadyRunningError, StateFolder

TICK_S = 1.0
"""How often processes are looked at."""

HEALTH_INTERVAL_S = 5.0
"""How often heartbeats are read; a component writes one every five seconds."""

OPEN_LIMIT_S = 600.0
"""From the start to a UI that answers; seconds usually, minutes on a machine that is busy otherwise."""

HOPELESS_AFTER = 5
"""So many starts in a row without one sign of life are a mistake in the setup, not bad luck."""

PORT_CHANGES = 5
"""Ports that are taken from us more often than this are no coincidence."""

POSTGRES_TRIES = 3
"""A database that does not come back after so many starts needs a person."""

STOP_GRACE_S = 10.0
"""Running tasks may finish within this; what does not is killed and resumed by the next start."""

SLEPT_AFTER_S = 20.0
"""A tick that took so long by the wall clock: the machine was asleep, every heartbeat is old."""


class HopelessError(Exception):
    """A component cannot be started; the message holds the end of its log."""


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
        self.ports = Ports()
        self.components: list[Component] = []
        self.env: dict[str, str] = {}
        self.main_job: subprocess.Popen[bytes] | None = None
        self.main_job_code: int | None = None
        self.stopping = False
        self._is_open = False
        self._open_by = 0.0
        self._port_changes = 0
        self._next_ports_at = 0.0
        self._postgres_failures = 0
        self._next_health_at = 0.0
        self._noted: set[Identity] = set()

    def run(self) -> int:
        """Start, watch and stop everything; the exit code of ``make run``."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        become_subreaper()
        try:
            self.start()
            self.watch()
        except (HopelessError, PostgresError, ParticipationError, psycopg.Error) as error:
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
        self.state.passwords  # noqa: B018 - made before Airflow would make its own
        self.ports = Ports.chosen(self.state.noted("ports"))
        self._configure()
        self._migrate()
        self.say(f"starting Airflow on {ui_address(self.ports)}")

    def _configure(self) -> None:
        """Give every component the ports that stand now."""
        self._is_open = False
        self._open_by = time.monotonic() + OPEN_LIMIT_S
        self.state.note("ports", self.ports.as_dict())
        self.state.note("addresses", {"pid": os.getpid()})
        self.env = environment(
            self.state,
            self.ports,
            airflow_dsn=self.postgres.airflow_dsn,
            ledger_dsn=self.postgres.ledger_dsn,
            inbox=self.inbox,
        )
        self.components = airflow_components(self.ports)

    def watch(self) -> None:
        """Look after everything, until told to stop or the one shot is done."""
        last = time.time()
        while not self.stopping:
            if time.time() - last > SLEPT_AFTER_S:
                self._forgive_silence()
            last = time.time()
            self._look_after_postgres()
            self._look_after_ports()
            for component in self.components:
                self._look_after(component)
            self._look_after_opening()
            self._look_after_main_job()
            self._end_orphans()
            self._note_processes()
            time.sleep(TICK_S)

    def stop(self) -> None:
        """End everything we started, tasks first, PostgreSQL last; bounded in time."""
        self.stopping = True
        if self.main_job:
            processes.end(processes.living(self.main_job.pid), 2)
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
        begun, port = time.monotonic(), self.postgres.port
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
        if self.postgres.port != port:
            self._start_over(f"port {port} of PostgreSQL was taken")
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
        elif silent := component.health.silence_s(now):
            self._take_down(component, f"gave no sign of life for {silent:.0f} s")

    def _start(self, component: Component) -> None:
        try:
            if component.job_type:
                airflow_database.close_jobs(self.postgres.airflow_dsn, component.job_type)
        except psycopg.Error:
            return  # without a database it would end at once; the next look tries again
        component.start(self.env, self.state.logs, self.state.airflow_home)

    def _take_down(self, component: Component, why: str) -> None:
        """End what is left of a component and plan its next start."""
        component.end()
        now = time.monotonic()
        delay = component.health.backed_off_s(now)
        component.due_at = now + delay
        when = f" in {delay:.0f} s" if delay else ""
        self.say(f"{component.name} {why}: starting it again{when}")
        failures = component.health.failures
        if failures >= HOPELESS_AFTER and not component.health.was_well:
            raise HopelessError(
                f"{component.name} ended {failures} times without coming up\n"
                + last_lines(component.log(self.state.logs), 15)
            )

    def _look_after_ports(self) -> None:
        """A port was free when it was chosen; somebody else may have been quicker to listen on it."""
        now = time.monotonic()
        everyone = now >= self._next_ports_at
        if everyone:
            self._next_ports_at = now + HEALTH_INTERVAL_S
        for component in self.components:
            if (everyone or component.process is None) and component.is_displaced():
                self._start_over(f"port {component.port} of the {component.name} was taken")
                return

    def _start_over(self, why: str) -> None:
        """Choose other ports for those that are taken, and start again whoever knows the old ones."""
        self._port_changes += 1
        if self._port_changes > PORT_CHANGES:
            raise HopelessError(f"{why}, and so were {PORT_CHANGES} before it")
        if self.main_job is not None:
            processes.end(processes.living(self.main_job.pid), 2)
            self.main_job.poll()
            self.main_job = None
        for component in reversed(self.components):
            component.end()
        self.ports = self.ports.renewed()
        self._configure()
        self.say(f"{why} by another program: starting Airflow again on {ui_address(self.ports)}")

    def _look_after_opening(self) -> None:
        """Once the UI answers and is ours, let everyone know its address and start the main job."""
        if self._is_open:
            return
        if not self._ui_was_well():
            if time.monotonic() > self._open_by:
                log = self.components[0].log(self.state.logs)
                raise HopelessError(f"no UI after {OPEN_LIMIT_S:.0f} s\n{last_lines(log, 15)}")
            return
        self._is_open = True
        self.state.note("addresses", {"ui": ui_address(self.ports), "pid": os.getpid()})
        if not self.idle and self.main_job_code is None:
            self._start_main_job()

    def _read_heartbeats(self) -> bool:
        """Note who was heard of; False when PostgreSQL did not answer."""
        try:
            ages = airflow_database.heartbeat_ages(self.postgres.airflow_dsn)
        except psycopg.Error:
            return False
        for component in self.components:
            if component.process is not None:
                component.note_life(ages)
        return True

    def _forgive_silence(self) -> None:
        """Nobody could be heard for a while: count everybody's silence from now."""
        now = time.monotonic()
        for component in self.components:
            component.health.forgive_silence(now)

    def _ui_was_well(self) -> bool:
        return self.components[0].health.was_well

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
        return [process for handle in handles for process in processes.living(handle.pid)]

    def _root_pids(self) -> set[int]:
        handles = [c.process for c in self.components] + [self.main_job]
        return {handle.pid for handle in handles if handle} | {self.postgres.pid or 0}

    def _note_processes(self) -> None:
        """Keep on disk what runs, for whoever has to clean up after us."""
        for component in self.components:
            component.note_family()
        noted = processes.identities(os.getpid())
        if noted != self._noted:
            self._noted = noted
            listed = [[identity.pid, identity.created] for identity in noted]
            self.state.note("processes", {"identities": listed})

    def _end_noted_processes(self) -> None:
        end_noted_processes(self.state)
        self.postgres.end_leftovers()

    def _migrate(self) -> None:
        """Bring both databases to the form this version needs.

        Raises:
            HopelessError: The ledger has a form that this version cannot go on from, or Airflow's
                own migration failed; the message holds the remedy or the end of the log.
            LedgerUnavailableError: The ledger cannot be opened; nothing was half applied.
        """
        try:
            applied = migrate(self.postgres.ledger_dsn)
        except ConfigurationError as error:
            raise HopelessError(
                f"{error}. The ledger in {self.state.folder} was made by another version of the"
                " project: go on with that version, or let `make clean` remove the folder, with all"
                " that is in it, and `make run` begin a new one"
            ) from error
        if applied:
            self.say(f"ledger: {len(applied)} new migration(s)")
        installed = version("apache-airflow")
        if airflow_database.migrated_to(self.postgres.airflow_dsn) != installed:
            self.say("preparing Airflow's database")
            self._airflow("db", "migrate")
            airflow_database.note_version(self.postgres.airflow_dsn, installed)
        # Before anything is scheduled: tasks of a pool that is not there wait for ever.
        airflow_database.ensure_pool(
            self.postgres.airflow_dsn,
            LLM_POOL,
            LLM_POOL_SLOTS,
            "Tasks that may ask a language model; fewer slots, fewer questions at once.",
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
        death = partial(die_with_parent, signal.SIGTERM, os.getpid())
        self.main_job = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "main_job.py")],
            env=env,
            preexec_fn=death,  # noqa: PLW1509 - from the main thread, and prctl needs the child
        )

    def _ask_to_stop(self, *_: object) -> None:
        self.stopping = True

    def say(self, sentence: str) -> None:
        """Log what happens; on the terminal as well, unless the main job is drawing on it."""
        line = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}\n"
        with processes.appended(self.state.logs / "supervisor.log") as log:
            log.write(line.encode())
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


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def _how(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def main(environ: Mapping[str, str], *, idle: bool) -> int:
    """Run under a guard, without the main job when idle; the exit code of ``make run``."""
    inbox = Path(environ["PARTICIPATION_INBOX"]).resolve()
    try:
        state = StateFolder.from_environment()
        supervisor = Supervisor(state, inbox, oneshot=bool(environ.get("ONESHOT")), idle=idle)
        lock = state.lock()
    except (AlreadyRunningError, ForeignFolderError, NoAccountError) as error:
        speak(str(error))
        return 1

    def clean_up() -> None:
        """The supervisor is gone; killed, perhaps."""
        end_noted_processes(state)
        supervisor.postgres.end_leftovers()

    with lock:
        return processes.guarded(supervisor.run, clean_up)


if __name__ == "__main__":
    sys.exit(main(os.environ, idle="--idle" in sys.argv[1:]))
