"""Run the whole system in a folder of its own, give it work, and count what the ledger holds.

Used by the end-to-end tests and by ``bench/chaos.py``. What is counted is counted by SQL of its own,
beside the product's ``reconcile``, so that a mistake there cannot hide itself.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import psutil
import requests

from airflow_client import FINAL_STATES, AirflowClient
from bench.texts import contributions
from include.contributions.model import MAX_TEXT_CHARACTERS, Contribution
from include.contributions.processors import judge
from include.contributions.reviewer import embedded_reviewer
from participation.ledger import connect
from participation.ledger.books import reconcile
from participation.ledger.connection import Connection
from participation.settings import Settings
from state_folder import ROOT, StateFolder

ANALYSIS, CHAIN, LOAD = "contribution_analysis", "daily_chain", "load_contributions"
ROUTER = "contribution_router"

NAMED_BY_DEFINITIONS = {"workflows", "workflow_definitions"}
"""DAG files whose DAGs are named by the workflows' definitions, and one that holds none."""

READY_LIMIT_S = 420
"""From nothing to every DAG parsed; half a minute on a quiet machine."""

STOP_LIMIT_S = 120

STEPS = ("validate", "classify", "evaluate")

QUIET_EMITTER = "bench"
"""Rows with an emitter of their own wake nobody: the caller says when they are judged."""

Found = TypeVar("Found")


class NotInTimeError(Exception):
    """Something that had to happen did not happen within its limit."""


@dataclass
class RealSystem:
    """PostgreSQL and Airflow under the supervisor, as ``make run`` starts them, without its job."""

    state: StateFolder
    inbox: Path
    guard: "subprocess.Popen[bytes]"
    log: Path

    @cached_property
    def address(self) -> str:
        """Of the UI and the REST API."""
        return str(self.state.noted("addresses")["ui"])

    @cached_property
    def client(self) -> AirflowClient:
        """The REST API as admin."""
        return AirflowClient(self.address, "admin", self.passwords["admin"])

    @property
    def passwords(self) -> dict[str, str]:
        """Password per login."""
        found: dict[str, str] = json.loads(self.state.passwords_file.read_text())
        return found

    @property
    def ledger_dsn(self) -> str:
        """Address of the ledger."""
        password = json.loads((self.state.postgres / "passwords.json").read_text())["participation"]
        port = (self.state.postgres / "port").read_text().strip()
        return (
            f"postgresql://participation:{quote(password, safe='')}@127.0.0.1:{port}/participation"
        )

    @property
    def supervisor(self) -> psutil.Process:
        """The process that looks after all others."""
        return psutil.Process(int(self.state.noted("addresses")["pid"]))

    def ledger(self) -> Connection:
        """Open the ledger; the caller closes it."""
        return connect(self.ledger_dsn, application_name="watching")

    def token(self, login: str) -> str:
        """Log in and return a bearer token."""
        answer = requests.post(
            f"{self.address}/auth/token",
            json={"username": login, "password": self.passwords[login]},
            timeout=60,
        )
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def get(self, path: str, login: str | None = None, **more: Any) -> requests.Response:
        """Ask for any address of the API server, anonymously or as a user."""
        headers = {"Authorization": f"Bearer {self.token(login)}"} if login else {}
        return requests.get(f"{self.address}{path}", headers=headers, timeout=60, **more)

    def post(self, path: str, body: Mapping[str, Any], login: str = "admin") -> requests.Response:
        """Call the REST API as a user and return the answer whatever it is."""
        headers = {"Authorization": f"Bearer {self.token(login)}"}
        return requests.post(f"{self.address}{path}", json=body, headers=headers, timeout=60)

    def patch(self, path: str, body: Mapping[str, Any], login: str) -> requests.Response:
        """Change something by the REST API as a user and return the answer whatever it is."""
        headers = {"Authorization": f"Bearer {self.token(login)}"}
        return requests.patch(f"{self.address}{path}", json=body, headers=headers, timeout=60)

    def start_run(
        self,
        dag_id: str,
        run_id: str,
        conf: Mapping[str, Any] | None = None,
        day: date | None = None,
    ) -> str:
        """Trigger a run by REST and return its id."""
        self.client.trigger(dag_id, run_id, conf, day.isoformat() if day else None)
        return run_id

    def finished(self, dag_id: str, run_id: str, limit_s: float = 240) -> str:
        """Wait until a run ended and return its state."""

        def state() -> str | None:
            found = str(self.client.run(dag_id, run_id)["state"])
            return found if found in FINAL_STATES else None

        try:
            return wait_for(state, limit_s, f"end of {dag_id} {run_id}")
        except NotInTimeError as late:
            raise NotInTimeError(f"{late}; {self._instances(dag_id, run_id)}") from None

    def _instances(self, dag_id: str, run_id: str) -> str:
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances?limit=100"
        return ", ".join(
            f"{each['task_id']}[{each['map_index']}] {each['state']} try {each['try_number']}"
            for each in self.get(path, "admin").json()["task_instances"]
            if each["state"] not in {"success", "skipped"}
        )

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task handed on."""
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries"
        answer = self.get(f"{path}/return_value", "admin")
        answer.raise_for_status()
        value = answer.json()["value"]
        return json.loads(value) if isinstance(value, str) else value

    def stop(self) -> None:
        """End everything and remove the folder; bounded in time."""
        if self.guard.poll() is None:
            self.guard.send_signal(signal.SIGTERM)
            try:
                self.guard.wait(STOP_LIMIT_S)
            except subprocess.TimeoutExpired:
                self.guard.kill()
        moved = self.state.postgres / "moved-to"
        if moved.exists() and Path(moved.read_text().strip()).name.startswith("participation-"):
            shutil.rmtree(moved.read_text().strip(), ignore_errors=True)

    def said(self, lines: int = 15) -> str:
        """Return the end of what the supervisor said, for a message."""
        with suppress(OSError):
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        return ""


@contextmanager
def running(
    extra_dags: Sequence[Path] = (), *, limit_s: float = READY_LIMIT_S
) -> Iterator[RealSystem]:
    """Start a system in a temporary folder and end it, whatever happens in between.

    Args:
        extra_dags: DAG files to run beside the product's own.
        limit_s: How long it may take to come up.

    Raises:
        NotInTimeError: It did not come up; the message holds what the supervisor said.
    """
    # Not below a private folder: started by root, PostgreSQL runs as another account.
    home = Path(tempfile.mkdtemp(prefix="participation-real-"))
    home.chmod(0o711)
    dags, inbox, log = home / "dags", home / "inbox", home / "supervisor.out"
    shutil.copytree(ROOT / "dags", dags, ignore=shutil.ignore_patterns("__pycache__"))
    for path in extra_dags:
        shutil.copy(path, dags)
    shutil.copytree(ROOT / "include" / "samples", inbox)
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    environ |= {
        "STATE": str(home / "state"),
        "PARTICIPATION_INBOX": str(inbox),
        "PARTICIPATION_DAGS": str(dags),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
    }
    state = StateFolder.at(home / "state")
    # Not the port that people expect: several systems that start at once would all choose it.
    state.note("ports", {"ui": _free_port()})
    with log.open("wb") as output:
        guard = subprocess.Popen(
            [sys.executable, str(ROOT / "scripts" / "supervisor.py"), "--idle"],
            env=environ,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    system = RealSystem(state, inbox, guard, log)
    wanted = {path.stem for path in dags.glob("*.py")} - NAMED_BY_DEFINITIONS
    try:
        try:
            wait_for(lambda: _is_ready(system, wanted), limit_s, "a ready Airflow", pause_s=1)
        except NotInTimeError as error:
            raise NotInTimeError(f"{error}\n{system.said()}") from None
        yield system
    finally:
        system.stop()
        shutil.rmtree(home, ignore_errors=True)


def _is_ready(system: RealSystem, wanted: set[str]) -> bool:
    if system.guard.poll() is not None:
        raise NotInTimeError("the supervisor ended")
    if "ui" not in system.state.noted("addresses") or not system.state.passwords_file.exists():
        return False
    health = system.client.health()
    if any(health.get(part) != "healthy" for part in ("metadatabase", "scheduler", "triggerer")):
        return False
    return wanted <= system.client.dag_ids()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(
    found: Callable[[], Found | None], limit_s: float, what: str, pause_s: float = 0.3
) -> Found:
    """Ask until the answer is true and return it.

    Raises:
        NotInTimeError: It never was.
    """
    until = time.monotonic() + limit_s
    while True:
        answer = found()
        if answer:
            return answer
        if time.monotonic() > until:
            raise NotInTimeError(f"waited {limit_s:.0f} s for {what}")
        time.sleep(pause_s)


def made_texts(count: int, seed: int, mark: str) -> list[Contribution]:
    """Make texts of every kind, all different, with ids ``mark:0`` and so on."""
    made = contributions(count, seed=seed, days=1)
    return [
        Contribution(
            f"{mark}:{n}", each.constat_factuel, f"{each.idees_ameliorations} ({mark} {n})"
        )
        for n, each in enumerate(made)
    ]


def insert(
    connection: Connection,
    texts: Sequence[Contribution],
    day: date,
    emitter: str = QUIET_EMITTER,
) -> None:
    """Insert contributions as another service would, in plain SQL; quiet unless emitter is empty."""
    assert all(len(each.text) < MAX_TEXT_CHARACTERS for each in texts)  # noqa: S101 - our own texts
    with connection.transaction():
        connection.execute("SELECT set_config('participation.emitter', %s, true)", (emitter,))
        connection.execute(
            "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
            " constat_factuel, idees_ameliorations, received_on)"
            " SELECT id, %s, split_part(id, ':', 1), split_part(id, ':', 2), facts, ideas, %s"
            " FROM unnest(%s::text[], %s::text[], %s::text[]) AS t (id, facts, ideas)",
            (
                Settings().municipality,
                day,
                [each.contribution_id for each in texts],
                [each.constat_factuel for each in texts],
                [each.idees_ameliorations for each in texts],
            ),
        )
        if emitter:
            connection.execute(
                "INSERT INTO receipt (contribution_id, locator, external_id)"
                " SELECT id, 'inserted', id FROM unnest(%s::text[]) AS t (id)",
                ([each.contribution_id for each in texts],),
            )


def faults_of_day(
    connection: Connection,
    day: date,
    texts: Sequence[Contribution],
    *,
    judged_here: int | None = None,
) -> list[str]:
    """Say what is lost, doubled or unexplained on a day that was judged; empty when all is well.

    Args:
        connection: The ledger.
        day: Holds these texts and no others.
        texts: What was submitted.
        judged_here: How many results are compared with the same judgement in this process, from the
            first; all of them when None.
    """
    rubric = embedded_reviewer().rubric_version
    names = {"day": day, "rubric": rubric, "count": len(texts)}
    wrong = [
        f"{name}: {found}"
        for name, query in DAY_CHECKS.items()
        if (found := connection.execute(query, names).fetchone()) != (0,)
    ]
    try:
        reconcile(connection, Settings().municipality, day)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
        wrong.append(f"reconcile: {error}")
    wrong += _wrong_results(connection, texts[:judged_here])
    return wrong


DAY_CHECKS = {
    "lost (submitted minus held)": (
        "SELECT %(count)s - count(*)::int FROM contribution WHERE received_on = %(day)s"
    ),
    "still pending": (
        "SELECT count(*)::int FROM contribution WHERE received_on = %(day)s AND state = 'pending'"
    ),
    "without its three results under this rubric": (
        "SELECT count(*)::int FROM contribution c WHERE received_on = %(day)s AND 3 <>"
        " (SELECT count(*) FROM step_result r WHERE r.item_id = c.contribution_id"
        "  AND r.input_hash = c.input_hash AND r.rubric_version = %(rubric)s)"
    ),
    "with results beyond one for each step": (
        "SELECT count(*)::int FROM (SELECT FROM step_result r JOIN contribution c"
        " ON c.contribution_id = r.item_id WHERE c.received_on = %(day)s"
        " GROUP BY r.item_id, r.step HAVING count(*) > 1) AS twice"
    ),
    "settled more or less than once": (
        "SELECT count(*)::int FROM contribution c WHERE received_on = %(day)s AND 1 <>"
        " (SELECT count(*) FROM state_change s WHERE s.contribution_id = c.contribution_id)"
    ),
    "in a state that its validation does not give": (
        "SELECT count(*)::int FROM contribution c LEFT JOIN step_result r"
        " ON r.item_id = c.contribution_id AND r.step = 'validate' AND r.rubric_version = %(rubric)s"
        " WHERE c.received_on = %(day)s AND c.state IS DISTINCT FROM CASE r.output ->> 'decision'"
        "  WHEN 'accept' THEN 'accepted' ELSE r.output ->> 'decision' END"
    ),
    "doubtful without an open case, or settled with one": (
        "SELECT count(*)::int FROM contribution c WHERE received_on = %(day)s AND"
        " (state <> 'accepted') <> EXISTS (SELECT FROM review_case r"
        " WHERE r.contribution_id = c.contribution_id AND r.closed_at IS NULL)"
    ),
    "written by an attempt after its successor began": (
        "SELECT count(*)::int FROM step_result r JOIN contribution c"
        " ON c.contribution_id = r.item_id AND c.received_on = %(day)s"
        " JOIN step_metric m ON (m.dag_id, m.run_id, m.map_index) = (r.dag_id, r.run_id, r.map_index)"
        " AND m.task_id LIKE '%%' || r.step AND m.try_number > r.try_number"
        " WHERE r.created_at > m.started_at"
    ),
    "still claimed": (
        "SELECT count(*)::int FROM claim k JOIN contribution c USING (contribution_id)"
        " WHERE c.received_on = %(day)s"
    ),
    "attempts left open": (
        "SELECT count(*)::int FROM step_metric WHERE received_on = %(day)s AND status = 'running'"
    ),
}
"""Name of what must not be there, and the query that counts it; each must answer 0."""


def _wrong_results(connection: Connection, texts: Sequence[Contribution]) -> list[str]:
    stored: dict[str, dict[str, Any]] = dict(
        connection.execute(
            "SELECT item_id, jsonb_object_agg(step, output) FROM step_result"
            " WHERE item_id = ANY(%s) AND rubric_version = %s GROUP BY item_id",
            ([each.contribution_id for each in texts], embedded_reviewer().rubric_version),
        ).fetchall()
    )
    wrong = [
        each.contribution_id
        for each in texts
        if stored.get(each.contribution_id) != expected_results(each)
    ]
    return [f"other than the in-process judgement: {wrong[:5]} ({len(wrong)})"] if wrong else []


def expected_results(contribution: Contribution) -> dict[str, Any]:
    """Judge in this process; by step, as JSON, as the ledger would store it."""
    judged = judge(contribution, embedded_reviewer())
    return {
        "validate": judged.validation.model_dump(mode="json"),
        "classify": judged.classification.model_dump(mode="json"),
        "evaluate": judged.evaluation.model_dump(mode="json"),
    }


@contextmanager
def refused_writes(
    connection: Connection, mark: str, *, every: int, at_most: int
) -> Iterator[Callable[[], int]]:
    """Let the database itself refuse some writes of results, as it does when transactions collide.

    Args:
        connection: The ledger.
        mark: Only results of items whose id begins so are refused.
        every: The first of this many writes fails, then the next first one.
        at_most: No more than so many faults in all.

    Yields:
        A function that says how many writes were refused so far.
    """
    # A sequence keeps its value when the transaction that drew it is rolled back.
    name = f"fault_{mark}"
    with connection.transaction():
        connection.execute(f"CREATE SEQUENCE {name}")
        connection.execute(f"CREATE SEQUENCE {name}_done")
        connection.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF EXISTS (SELECT FROM written WHERE item_id LIKE '{mark}:%')"
            f"  AND nextval('participation.{name}') % {every} = 1 % {every}"
            f"  AND nextval('participation.{name}_done') <= {at_most} THEN"
            "   RAISE EXCEPTION 'injected: could not serialize access' USING ERRCODE = '40001';"
            " END IF; RETURN NULL; END $$"
        )
        connection.execute(
            f"CREATE TRIGGER {name} AFTER INSERT ON step_result REFERENCING NEW TABLE AS written"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )

    def refused() -> int:
        row = connection.execute(
            "SELECT coalesce(least(pg_sequence_last_value(%s::regclass), %s), 0)",
            (f"{name}_done", at_most),
        ).fetchone()
        return int(row[0]) if row else 0

    try:
        yield refused
    finally:
        with connection.transaction():
            connection.execute(f"DROP FUNCTION {name}() CASCADE")
            connection.execute(f"DROP SEQUENCE {name}, {name}_done")
