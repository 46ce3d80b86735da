"""Kill a part of a working system with SIGKILL, see it go on by itself, and count what it left."""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any

import psutil
import psycopg

from bench.real_system import ANALYSIS, RealSystem, faults_of_day, insert, made_texts, wait_for
from participation.ledger.connection import Connection
from processes import is_living

TARGETS = (
    "task",
    "worker",
    "executor",
    "scheduler",
    "dag-processor",
    "triggerer",
    "api-server",
    "postgres",
    "backend",
)
"""What is killed. *task*: the process that runs our code, in the middle of a chunk. *worker*: the
process of the LocalExecutor that supervises it. *executor*: the server that workers are forked from,
and with it all of them. *backend*: the PostgreSQL process that serves a task, which makes PostgreSQL
drop every connection and recover."""

TEXTS = 4000
"""So many that a chunk takes seconds and a kill falls into the middle of it."""

END_LIMIT_S = 600
RESUME_LIMIT_S = 90

WRITTEN = "SELECT count(*)::int FROM step_result WHERE run_id = %s"


@dataclass
class Round:
    """What one kill did.

    Attributes:
        number: Of the round, from 0; with the seed it makes the round repeatable.
        target: What was killed.
        pids: Its processes.
        at_result: How many results were stored when it was killed.
        result_s: Until the next result, a survivor's included; None when nothing was left to store.
        resumed_s: Until an attempt began that was not there before: the system works again.
        again_s: Until the next attempt of a task that the kill ended; None when it ended none.
        lost_attempts: Attempts that ended without a word and were closed as lost.
        ended: State of the run at its end.
        seconds: The whole round.
        wrong: What is lost, doubled, unexplained or late; empty when all is well.
    """

    number: int
    target: str
    pids: list[int]
    at_result: int = 0
    result_s: float | None = None
    resumed_s: float | None = None
    again_s: float | None = None
    lost_attempts: int = 0
    ended: str = ""
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


def kill_round(
    system: RealSystem,
    target: str,
    *,
    seed: int,
    number: int,
    day: date,
    count: int = TEXTS,
    mark: str = "kill",
) -> Round:
    """Give the system a day of texts, kill the target at a random moment, and count afterwards.

    Args:
        system: A healthy one.
        target: One of :data:`TARGETS`.
        seed: With the number it decides on the texts and the moment.
        number: Of the round.
        day: Holds nothing yet.
        count: How many texts.
        mark: Begins the ids of the texts and of the run.
    """
    dice = random.Random(f"{seed}/{number}/{target}")
    began = time.monotonic()
    name = f"{mark}{seed}x{number}"
    texts = made_texts(count, dice.randrange(10**6), name)
    with system.ledger() as ledger:
        insert(ledger, texts, day)
    run_id = system.start_run(ANALYSIS, name, day=day)
    # From the second batch on, and early enough that something is left to be done.
    wanted = dice.randint(260, int(2.4 * count))
    with system.ledger() as ledger:
        wait_for(lambda: _count(ledger, run_id) >= wanted, END_LIMIT_S, "the moment to kill", 0.02)
        pids = wait_for(lambda: find(system, target, ledger), 30, f"a {target} to kill", 0.02)
        (killed_at,) = ledger.execute("SELECT clock_timestamp()").fetchone() or (None,)
        done = Round(number, target, pids, at_result=_count(ledger, run_id))
    for pid in pids:
        kill(pid)
    done.ended = system.finished(ANALYSIS, run_id, END_LIMIT_S)
    with patiently(system) as ledger:
        _measure(ledger, run_id, killed_at, done)
        before = _count(ledger, run_id)
        done.wrong += faults_of_day(ledger, day, texts, judged_here=200)
        if _count(ledger, run_id) != before:
            done.wrong.append("somebody still writes after the end of the run")
    if done.ended != "success":
        done.wrong.append(f"the run ended as {done.ended}")
    # The last tasks of a run come after every kill: without a new attempt nothing went on.
    if done.resumed_s is None or max(done.resumed_s, done.again_s or 0) > RESUME_LIMIT_S:
        done.wrong.append(f"not at work again within {RESUME_LIMIT_S} s")
    done.seconds = round(time.monotonic() - began, 1)
    return done


def find(system: RealSystem, target: str, ledger: Connection) -> list[int]:
    """Return the pids of a target, none while it is not there; only descendants of the supervisor."""
    if target == "backend":
        row = ledger.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = 'participation'"
            " ORDER BY backend_start DESC LIMIT 1"
        ).fetchone()
        return [int(row[0])] if row else []
    children = children_of(system.supervisor)
    daemons = {
        "postgres": [p for p in children if _name(p) == "postgres"],
        "api-server": [p for p in children if _is_api_server(title(p))],
        "dag-processor": [p for p in children if "airflow dag-processor" in title(p)],
        "triggerer": [p for p in children if "airflow triggerer" in title(p)],
        "scheduler": [p for p in children if "airflow scheduler" in title(p)],
    }
    chosen = daemons.get(target)
    if chosen is None:
        chosen = _below(system, daemons["scheduler"], target)[:1]
    return [process.pid for process in chosen]


def _below(
    system: RealSystem, scheduler: list[psutil.Process], target: str
) -> list[psutil.Process]:
    below = [p for each in scheduler for p in children_of(each, recursive=True)]
    workers = [p for p in below if _is_worker(p)]
    if target == "executor":
        parents = {parent_of(p) for p in workers} - {p.pid for p in scheduler}
        return [p for p in below if p.pid in parents]
    tasks = [(w, t) for w in workers for t in children_of(w) if _holds_ledger(system, t)]
    return [w if target == "worker" else t for w, t in tasks]


def _holds_ledger(system: RealSystem, process: psutil.Process) -> bool:
    """Only a task's own process speaks to PostgreSQL; its supervisor speaks to the API server."""
    port = int((system.state.postgres / "port").read_text())
    try:
        found = process.net_connections(kind="tcp")
    except psutil.Error:
        return False
    return any(each.raddr and each.raddr.port == port for each in found)


def _is_worker(process: psutil.Process) -> bool:
    shown = title(process)
    return shown.startswith("airflow worker -- LocalExecutor") and "<idle>" not in shown


def _is_api_server(title: str) -> bool:
    return "airflow api_server" in title or "airflow api-server" in title


def _name(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:
        return ""


def title(process: psutil.Process) -> str:
    """Return a process's command line; nothing for one that is gone."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Leave out what ended or only waits to be buried."""
    return [process for process in processes if is_living(process)]


def children_of(process: psutil.Process, *, recursive: bool = False) -> list[psutil.Process]:
    """List the living children of a process; none of one that is gone."""
    try:
        return living(process.children(recursive=recursive))
    except psutil.Error:
        return []


def parent_of(process: psutil.Process) -> int:
    """Return the pid of a process's parent; 0 for one that is gone."""
    try:
        return int(process.ppid())
    except psutil.Error:
        return 0


def kill(pid: int) -> None:
    """End a process by SIGKILL; one that is gone is fine."""
    try:
        psutil.Process(pid).kill()
    except psutil.NoSuchProcess:
        return


def _count(ledger: Connection, run_id: str) -> int:
    row = ledger.execute(WRITTEN, (run_id,)).fetchone()
    return int(row[0]) if row else 0


def patiently(system: RealSystem) -> Connection:
    """Open the ledger of a system whose PostgreSQL may be on its way back."""

    def opened() -> Connection | None:
        try:
            return system.ledger()
        except psycopg.OperationalError:
            return None

    return wait_for(opened, 120, "an answer of PostgreSQL")


def _measure(ledger: Connection, run_id: str, killed_at: datetime | None, done: Round) -> None:
    names = {"run": run_id, "at": killed_at}
    seconds: Callable[[str], float | None] = lambda query: _seconds(ledger, query, names)  # noqa: E731
    done.result_s = seconds(
        "SELECT extract(epoch FROM min(created_at) - %(at)s) FROM step_result"
        " WHERE run_id = %(run)s AND created_at > %(at)s"
    )
    done.resumed_s = seconds(
        "SELECT extract(epoch FROM min(started_at) - %(at)s) FROM step_metric"
        " WHERE run_id = %(run)s AND started_at > %(at)s"
    )
    done.again_s = seconds(
        "SELECT extract(epoch FROM min(n.started_at) - %(at)s) FROM step_metric n"
        " JOIN step_metric l USING (dag_id, run_id, task_id, map_index)"
        " WHERE n.run_id = %(run)s AND n.try_number > l.try_number AND n.started_at > %(at)s"
        " AND l.started_at < %(at)s"
    )
    row = ledger.execute(
        "SELECT count(*)::int FROM step_metric WHERE run_id = %(run)s AND error_message LIKE 'lost%%'",
        names,
    ).fetchone()
    done.lost_attempts = int(row[0]) if row else 0


def _seconds(ledger: Connection, query: str, names: dict[str, Any]) -> float | None:
    row = ledger.execute(query, names).fetchone()
    return round(float(row[0]), 1) if row and row[0] is not None else None
