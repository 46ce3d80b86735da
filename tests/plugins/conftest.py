"""A task attempt without Airflow around it, rows for it to work on, and the API server as it is served."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from include.contributions.model import Record
from include.ports import SourceFile

DAY = date(2026, 1, 12)


class Instance(SimpleNamespace):
    """What a task asks of Airflow about itself and its siblings."""

    def get_task_states(self, *, dag_id, run_ids):
        return {run_ids[0]: self.states}


@pytest.fixture
def instance(ledger_dsn, monkeypatch):
    """Be a task attempt of a run, with the module's ledger behind the connection."""
    from participation import steps  # noqa: PLC0415 - absent where there is no Airflow

    here = Instance(
        dag_id="contribution_analysis",
        run_id="run-1",
        task_id="split",
        map_index=-1,
        try_number=1,
        max_tries=2,
        states={},
    )
    monkeypatch.setattr(steps, "get_current_context", lambda: {"ti": here})
    monkeypatch.setattr(steps, "ledger_dsn", lambda: ledger_dsn)
    monkeypatch.setattr("participation.fence.die_with_parent", lambda: None)
    return here


@pytest.fixture
def no_connection(monkeypatch):
    """Take away whatever Airflow connection there was."""
    from airflow.sdk import BaseHook  # noqa: PLC0415 - absent where there is no Airflow
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415 - the same

    def none(conn_id):
        raise AirflowNotFoundException(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", none)


@pytest.fixture
def fill():
    """Give a ledger some contributions of a day."""
    from participation.ledger.loading import LedgerLoading  # noqa: PLC0415 - needs the driver

    def fill(connection, count=3, day=DAY, name="a"):
        store = LedgerLoading(connection, "audierne-esquibien")
        source = SourceFile(name, name, name * 64, 1, "jsonl", "utf-8")
        records = [
            Record(
                name,
                str(n),
                f"Le banc {name}{n} du quai d'Audierne est cassé.",
                "",
                None,
                day,
                f"l {n}",
            )
            for n in range(count)
        ]
        store.add_file(store.begin_load("inbox"), source, records)

    return fill


@pytest.fixture
def metrics_of():
    """Read what the ledger says of each attempt."""

    def metrics_of(connection):
        return connection.execute(
            "SELECT step, status, error_message FROM step_metric ORDER BY metric_id"
        ).fetchall()

    return metrics_of


DAGS = Path(__file__).parents[2] / "dags"
SAMPLES = Path(__file__).parents[2] / "include" / "samples" / "documents"
AIRFLOW_DATABASE = "test_airflow_of_the_api"
ROLES = ("viewer", "user", "op", "admin")


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set variables for a block and put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@pytest.fixture(scope="session")
def api_server(postgres_dsn: str) -> Iterator[Any]:
    """Airflow's API server on a database of its own, with our plugin and DAGs; no scheduler runs."""
    psycopg = pytest.importorskip("psycopg")
    pytest.importorskip("airflow", reason="needs Airflow")
    import databases  # noqa: PLC0415 - needs the driver

    databases.drop_database(postgres_dsn, AIRFLOW_DATABASE)
    databases.create_database(postgres_dsn, AIRFLOW_DATABASE)
    known = psycopg.conninfo.conninfo_to_dict(
        psycopg.conninfo.make_conninfo(postgres_dsn, dbname=AIRFLOW_DATABASE)
    )
    login = f"{known.get('user', '')}:{known.get('password', '')}"
    where = f"{known['host']}:{known.get('port', 5432)}"
    with environment(
        AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=f"postgresql+psycopg2://{login}@{where}/{AIRFLOW_DATABASE}",
        AIRFLOW__API_AUTH__JWT_SECRET="only for the tests of the interface " * 2,
        AIRFLOW__API__BASE_URL="http://testserver",
        AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS="uma:user",
        AIRFLOW__CORE__FERNET_KEY="81HqDtbqAywKSOumSha3BhWNOdQ26slT6K0YaZeZyPs=",
    ):
        from airflow import settings  # noqa: PLC0415 - reads the variables

        settings.configure_vars()
        settings.configure_orm()
        from airflow.utils.db import initdb  # noqa: PLC0415 - needs the database

        initdb()
        read_dags(DAGS)
        from airflow.api_fastapi.app import create_app  # noqa: PLC0415 - needs the database

        yield create_app(apps="core")
        settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()
    databases.drop_database(postgres_dsn, AIRFLOW_DATABASE)


def read_dags(folder: Path) -> None:
    """Read DAG files into Airflow's database, as the DAG processor does."""
    from airflow.dag_processing.dagbag import (  # noqa: PLC0415 - needs the database
        DagBag,
        sync_bag_to_db,
    )
    from airflow.models.dagbundle import DagBundleModel  # noqa: PLC0415 - the same
    from airflow.utils.session import create_session  # noqa: PLC0415 - the same

    name = f"bundle-{folder.name}"
    with create_session() as session:
        if session.get(DagBundleModel, name) is None:
            session.add(DagBundleModel(name=name))
    bag = DagBag(dag_folder=str(folder), bundle_name=name, bundle_path=folder)
    assert not bag.import_errors
    sync_bag_to_db(bag, name, None)


@pytest.fixture
def keep_dags(api_server: Any) -> Callable[[Path], None]:
    """Read more DAG files into Airflow's database."""
    return read_dags


@pytest.fixture
def ledger_connection(ledger_dsn: str) -> str:
    """Write the way to the module's ledger as the connection ``participation_db``."""
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415 - needs the driver

    known = conninfo_to_dict(ledger_dsn)
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": known["host"],
            "port": int(known.get("port") or 5432),
            "login": known.get("user"),
            "password": known.get("password"),
            "schema": known["dbname"],
        }
    )


@pytest.fixture
def served(api_server: Any, ledger: Any, ledger_connection: str, monkeypatch: Any) -> Iterator[Any]:
    """The API server with the module's ledger, emptied, behind ``participation_db``."""
    from participation.api.v1 import ledgers, locks  # noqa: PLC0415 - needs Airflow

    monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_DB", ledger_connection)
    # A fast machine asks more often than one user may; the limit has tests of its own.
    monkeypatch.setenv("PARTICIPATION_API_BURST", "1000000")
    ledgers.close()
    locks.buckets.cache_clear()
    yield api_server
    ledgers.close()
    locks.buckets.cache_clear()


@pytest.fixture
def token_of(api_server: Any) -> Callable[[str], str]:
    """Make a token for somebody with a role."""
    from airflow.api_fastapi.app import get_auth_manager  # noqa: PLC0415 - needs Airflow
    from airflow.api_fastapi.auth.managers.simple.user import (  # noqa: PLC0415 - the same
        SimpleAuthManagerUser,
    )

    return lambda role: get_auth_manager().generate_jwt(
        SimpleAuthManagerUser(username=f"a-{role}", role=role)
    )


@pytest.fixture
def caller(served: Any, token_of: Callable[[str], str]) -> Callable[[str | None], Any]:
    """Make a client of the API that speaks as a role, or as nobody."""
    from fastapi.testclient import TestClient  # noqa: PLC0415 - needs Airflow

    def caller(role: str | None = "user") -> Any:
        headers = {"Authorization": f"Bearer {token_of(role)}"} if role else {}
        return TestClient(
            served,
            base_url="http://testserver/participation/api/v1",
            headers=headers,
            raise_server_exceptions=False,
        )

    return caller


class Doorkeeper:
    """An auth manager that lets its user see some DAGs, change others, and notes what it was asked for."""

    def __init__(self):
        self.allowed = {
            "daily_chain",
            "document_intake",
            "document_chunking",
            "dataset_creation",
            "contribution_analysis",
            "contribution_review",
            "evaluate_reviewer",
        }
        self.may_change = set()
        self.asked = []

    def is_authorized_dag(self, *, method, access_entity, details, user):
        self.asked.append((method, access_entity.name, details.id))
        known = self.allowed if method == "GET" else self.may_change
        # Without a name any DAG is asked for, as Airflow does.
        return bool(known) if details.id is None else details.id in known


@pytest.fixture
def doors(monkeypatch):
    """Stand at the doors in the place of the auth manager."""
    from airflow.api_fastapi.core_api import security  # noqa: PLC0415 - absent where there is no Airflow

    keeper = Doorkeeper()
    monkeypatch.setattr(security, "get_auth_manager", lambda: keeper)
    monkeypatch.setattr(security.DagModel, "get_team_name", lambda _dag_id: None)
    return keeper


@pytest.fixture
def browser(doors, ledger, ledger_dsn, monkeypatch, tmp_path):
    """Be somebody who is logged in, in a French browser."""
    from airflow.api_fastapi.core_api import security  # noqa: PLC0415 - absent where there is no Airflow
    from fastapi.testclient import TestClient  # noqa: PLC0415 - the same

    from participation.api import serving  # noqa: PLC0415 - the same
    from participation.api.app import app  # noqa: PLC0415 - the same

    monkeypatch.setattr(serving, "ledger_dsn", lambda: ledger_dsn)
    monkeypatch.setenv("PARTICIPATION_REPORTS", str(tmp_path))
    clerk = SimpleNamespace(get_id=lambda: "anne", get_name=lambda: "Anne")
    monkeypatch.setitem(app.dependency_overrides, security.get_user, lambda: clerk)
    return TestClient(app, headers={"accept-language": "fr"})


@pytest.fixture
def see(browser):
    """Open a page as that browser does, and read it."""

    def see(path, status=200, **headers):
        answer = browser.get(path, follow_redirects=False, headers=headers)
        assert answer.status_code == status, answer.text
        assert "'unsafe" not in answer.headers["Content-Security-Policy"]
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "private, no-store"
        return answer.text

    return see


@pytest.fixture
def own(monkeypatch):
    """Hold the engine against three samples instead of all."""
    from participation import evaluation_tasks  # noqa: PLC0415 - absent where there is no Airflow
    from tests.plugins.evaluating import OWN  # noqa: PLC0415 - the same

    monkeypatch.setattr(evaluation_tasks, "load_all", lambda: tuple(OWN))


@pytest.fixture
def engine(own, monkeypatch):
    """Put an engine in the place of the town's."""
    from participation import evaluation_tasks  # noqa: PLC0415 - absent where there is no Airflow
    from tests.plugins.evaluating import OWN  # noqa: PLC0415 - the same
    from tests.unit.contributions.engines import KnowsTheAnswers  # noqa: PLC0415 - the same

    def use(reviewer):
        monkeypatch.setattr(
            evaluation_tasks, "reviewer_for", lambda _visit, _rubric=None: nullcontext(reviewer)
        )
        return reviewer

    use(KnowsTheAnswers(OWN))
    return use


@pytest.fixture
def do(instance, ledger, tmp_path, monkeypatch):
    """Be the tasks of a run, one after the other."""
    from participation import evaluation_tasks, steps  # noqa: PLC0415 - absent where there is no Airflow
    from tests.plugins.evaluating import LENIENT  # noqa: PLC0415 - the same

    monkeypatch.setenv("PARTICIPATION_REPORTS", str(tmp_path))
    instance.dag_id = "evaluate_reviewer"

    def do(step, *arguments, **named):
        instance.task_id = step
        with steps.visit(step) as here:
            return getattr(evaluation_tasks, step)(here, *arguments, **named)

    def collect(*, people=100, noise=True, chunk_size=20):
        return do("collect", people=people, noise=noise, chunk_size=chunk_size)

    def whole(gate=LENIENT, **asked):
        for chunk in collect(**asked):
            do("run_engine", chunk)
        do("score")
        try:
            return do("judge", gate)
        finally:
            do("publish_page")

    do.collect, do.whole = collect, whole
    return do


@pytest.fixture
def decide(ledger, fill):
    """Let the machine propose something about a text, a person decide, and the answer become a sample."""
    fill(ledger, count=8)

    def decide(number, outcome, machine="review", decided_by="anne", reason="hors_sujet"):
        contribution_id = f"a:{number}"
        ledger.execute(
            "INSERT INTO step_result (item_id, step, input_hash, rubric_version, output, engine)"
            " SELECT contribution_id, 'validate', input_hash, 'double-0', %s, 'embedded'"
            " FROM contribution WHERE contribution_id = %s ON CONFLICT DO NOTHING",
            (json.dumps({"decision": machine}), contribution_id),
        )
        row = ledger.execute(
            "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
            " VALUES (%s, %s, %s, %s) RETURNING decision_id",
            (contribution_id, outcome, decided_by, reason),
        ).fetchone()
        expected = {"accepted": "accept", "refused": "refusal_proposed"}.get(outcome)
        if expected:
            ledger.execute(
                "INSERT INTO labelled_sample (municipality, contribution_id, decision_id,"
                " expected_decision, reason, machine_decision, engine, rubric_version, overruled,"
                " provenance) VALUES (%s, %s, %s, %s, %s, %s, 'embedded', 'double-0', false,"
                " 'décision d''une personne')",
                ("audierne-esquibien", contribution_id, row[0], expected, reason, machine),
            )
        return row[0]

    return decide


@pytest.fixture
def connections(monkeypatch):
    """The Airflow connections there are, by id; none to begin with."""
    from airflow.sdk import BaseHook  # noqa: PLC0415 - absent where there is no Airflow
    from airflow.sdk.exceptions import AirflowNotFoundException  # noqa: PLC0415 - the same

    known = {}

    def get(conn_id):
        if conn_id not in known:
            raise AirflowNotFoundException(conn_id)
        return known[conn_id]

    monkeypatch.setattr(BaseHook, "get_connection", get)
    return known


@pytest.fixture
def connect_model(connections, provider):
    """Connect the model of a provider, this test's own until told otherwise."""
    from airflow.sdk import Connection  # noqa: PLC0415 - absent where there is no Airflow

    from tests.stub_provider import KEY  # noqa: PLC0415 - the same

    def connect_model(url=None, conn_id="participation_llm", **extra):
        options = {"model": "openai-chat:small", "max_concurrency": 2, "deadline_s": 5, **extra}
        connections[conn_id] = Connection(
            conn_id=conn_id,
            conn_type="pydanticai",
            host=url or provider.url,
            password=KEY,
            extra=json.dumps(options),
        )

    connect_model()
    return connect_model


@pytest.fixture
def inbox(tmp_path):
    """Give each test a folder of its own with the sample documents."""
    folder = tmp_path / "inbox"
    shutil.copytree(SAMPLES, folder)
    return folder


@pytest.fixture
def unwatched(monkeypatch):
    """Take files of this moment at once; they would be watched for some seconds to see whether they grow."""
    from participation import find_tasks  # noqa: PLC0415 - absent where there is no Airflow

    take = find_tasks.take_files
    monkeypatch.setattr(
        find_tasks,
        "take_files",
        lambda root, store: take(root, store, pause=lambda _seconds: None),
    )
