"""The compose file is valid, safe, and each of its services does its work.

The later tests use one stack and build on each other: the services of the file start as they are
(LocalExecutor), do work, are killed one by one, and come back as the celery profile.
"""

import hashlib
import importlib.util
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import requests
import yaml

ROOT = Path(__file__).resolve().parents[2]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())["services"]
AIRFLOW = {name: service for name, service in SERVICES.items() if name.startswith("airflow-")}
SECRETS = {
    "POSTGRES_PASSWORD",
    "AIRFLOW_DB_PASSWORD",
    "PARTICIPATION_DB_PASSWORD",
    "REDIS_PASSWORD",
    "FERNET_KEY",
    "JWT_SECRET",
    "API_SECRET_KEY",
    "ADMIN_PASSWORD",
}
DAEMONS = ["airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer"]
WORKERS = ["worker-1", "worker-2"]
MAX_AGE_S = 20
"""Airflow reports heartbeats of 5 s up to 11 s late; a deployment waits 30 s before it complains."""

SLOW_S = 120
"""The first calls load much of Airflow; on a busy machine that takes its time."""

PAPERS = ROOT / "include" / "samples" / "documents"
TEXT = "Le banc du port de plaisance est cassé, je propose de le réparer avant l'été."
PROBE = '''
"""Each mapped task says where it ran."""
import os
import time

from airflow.sdk import dag, task


@dag(schedule=None, params={"count": 1})
def probe():
    @task
    def numbers(params: dict) -> list[int]:
        return list(range(params["count"]))

    @task
    def visit(number: int) -> str:
        time.sleep(2)
        return os.environ["HOSTNAME"]

    visit.expand(number=numbers())


probe()
'''

NeedTool = Callable[[str], NoReturn]
WaitFor = Callable[..., Any]

pytestmark = pytest.mark.services


class Api:
    """Airflow's REST API with a token of the admin."""

    def __init__(self, stack: Any) -> None:
        self.url = stack.api
        login = {"username": "admin", "password": stack.settings["ADMIN_PASSWORD"]}
        answer = requests.post(f"{self.url}/auth/token", json=login, timeout=SLOW_S)
        assert answer.status_code == 201, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}

    def call(self, method: str, path: str, json: Any = None) -> Any:
        """Return the JSON answer; anything but a success is an error."""
        answer = requests.request(
            method, f"{self.url}/api/v2/{path}", headers=self.headers, json=json, timeout=SLOW_S
        )
        answer.raise_for_status()
        return answer.json()

    def run_dag(self, dag_id: str, conf: dict[str, Any], timeout_s: float) -> str:
        """Unpause a DAG, run it once, wait for its success and return the run's id."""
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": False})
        trigger = {"logical_date": None, "conf": conf}
        run_id = str(self.call("POST", f"dags/{dag_id}/dagRuns", trigger)["dag_run_id"])
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            state = self.call("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
            if state in ("success", "failed"):
                assert state == "success", f"{dag_id} {run_id} failed"
                return run_id
            time.sleep(1)
        pytest.fail(f"{dag_id} {run_id} did not end within {timeout_s:.0f} s")

    def returned(self, dag_id: str, run_id: str, task_id: str, map_index: int = -1) -> Any:
        """Return what one task returned; -1 is a task that is not mapped."""
        task = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"
        entry = f"{task}/xcomEntries/return_value?map_index={map_index}"
        return self.call("GET", entry)["value"]


@pytest.fixture(scope="module")
def local_stack(stack: Any, wait_for: WaitFor) -> Any:
    """The file as it is: PostgreSQL, the two one-shot services, the four daemons."""
    probes = stack.path("probes")
    (probes / "probe.py").write_text(PROBE)
    bundle = {"classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
    bundles = [
        {"name": "dags-folder", **bundle, "kwargs": {}},
        {"name": "probes", **bundle, "kwargs": {"path": str(probes)}},
    ]
    stack.overrides = {
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": json.dumps(bundles),
        # Only what a test starts shall run.
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "PARTICIPATION_HEALTH_MAX_AGE_S": str(MAX_AGE_S),
    }
    stack.start_postgres()
    wait_for(lambda: stack.health("postgres")[0], "PostgreSQL", 60)
    stack.finish("postgres-init", 60)
    stack.finish("airflow-init", 300)
    stack.start("airflow-apiserver")
    stack.wait_healthy("airflow-apiserver")
    for service in DAEMONS[1:]:
        stack.start(service)
    for service in DAEMONS:
        stack.wait_healthy(service)
    return stack


@pytest.fixture(scope="module")
def celery_stack(local_stack: Any, need_tool: NeedTool) -> Any:
    """The same stack after `COMPOSE_PROFILES=celery AIRFLOW_EXECUTOR=CeleryExecutor`."""
    if shutil.which("redis-server") is None:
        need_tool("redis-server")
    for service in DAEMONS:
        local_stack.running[service].kill()
    local_stack.settings["AIRFLOW_EXECUTOR"] = "CeleryExecutor"
    local_stack.start("redis")
    local_stack.wait_healthy("redis", timeout_s=60)
    local_stack.start("airflow-apiserver")
    local_stack.wait_healthy("airflow-apiserver")
    for service in ("airflow-scheduler", "airflow-dag-processor"):
        local_stack.start(service)
    for worker in WORKERS:
        local_stack.start("airflow-worker", worker)
    for worker in WORKERS:
        local_stack.wait_healthy("airflow-worker", worker)
    local_stack.wait_healthy("airflow-scheduler")
    return local_stack


def test_the_file_follows_the_compose_specification(need_tool: NeedTool) -> None:
    """Checked against the specification's own JSON schema."""
    if importlib.util.find_spec("check_jsonschema") is None:
        need_tool("check-jsonschema (Python package)")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]

    done = subprocess.run(
        [*command, ROOT / "docker-compose.yaml"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_missing_secret_stops_everything(name: str, interpolate_with: Any) -> None:
    """Each secret is required by the file itself, and the message names it."""
    with pytest.raises(KeyError, match=f"{name}: set {name} in .env"):
        interpolate_with(dict.fromkeys(SECRETS - {name}, "x"))


def test_the_example_settings_hold_every_secret_and_no_value() -> None:
    """Whoever copies .env.example and forgets a line gets an error, never a known password."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    settings = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))

    assert settings == dict.fromkeys(SECRETS, "")


def test_no_service_is_open_to_the_network() -> None:
    """Only the API server publishes a port, and only on the machine itself."""
    ports = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert ports == {"airflow-apiserver": ["127.0.0.1:${AIRFLOW_PORT:-8080}:8080"]}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_no_service_runs_as_root(name: str) -> None:
    """The image's default user may be root; each service names another."""
    assert SERVICES[name]["user"] in {"${AIRFLOW_UID:-50000}:0", "postgres", "redis"}


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_airflow_containers_cannot_change_themselves(name: str) -> None:
    """Code and inbox are read-only; only what the service makes has volumes that can be written."""
    service = AIRFLOW[name]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["volumes"][0].endswith(":/data/inbox:ro")
    assert {volume.split(":")[-1] for volume in service["volumes"][1:]} == {
        "/data/reports",
        "/data/documents",
        "/data/datasets",
        "/var/log/airflow",
    }


@pytest.mark.parametrize("name", sorted(AIRFLOW))
def test_what_is_written_outlives_its_container(name: str) -> None:
    """Each folder that a setting names is a volume, the same one for every component."""
    service = AIRFLOW[name]
    volumes = {volume.split(":")[-1] for volume in service["volumes"][1:]}
    folders = {"PARTICIPATION_REPORTS", "PARTICIPATION_DOCUMENTS", "PARTICIPATION_DATASETS"}

    assert {service["environment"][folder] for folder in folders} < volumes


def test_the_image_reads_scans_and_owns_its_folders() -> None:
    """Tesseract with French, without threads of its own; new volumes take the folders' owner."""
    dockerfile = (ROOT / "Dockerfile").read_text()

    assert re.search(r"tesseract-ocr tesseract-ocr-fra\b", dockerfile)
    assert "OMP_THREAD_LIMIT=1" in dockerfile
    for folder in ("inbox", "reports", "documents", "datasets"):
        assert f" /data/{folder}" in dockerfile


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_daemons_come_back_and_are_watched(name: str) -> None:
    """A service either ends by itself or is restarted always and has a healthcheck."""
    service = SERVICES[name]
    if name.endswith("-init"):
        assert service["restart"] == "on-failure:3"
    else:
        assert service["restart"] == "always"
        assert service["healthcheck"]["test"]


def test_init_can_be_repeated(local_stack: Any) -> None:
    """Every start of the deployment runs both one-shot services again."""
    local_stack.finish("postgres-init", 60)
    local_stack.finish("airflow-init", 300)


def test_a_contribution_sent_by_rest_is_judged(local_stack: Any) -> None:
    """The project's own DAG, its tasks run by LocalExecutor, its results in the ledger."""
    api = Api(local_stack)

    run_id = api.run_dag("contribution_analysis", {"text": TEXT}, timeout_s=300)

    result = api.returned("contribution_analysis", run_id, "reconcile")["result"]
    assert result["validate"]["decision"] in {"accept", "review"}


def test_a_paper_of_the_inbox_is_kept_and_read(local_stack: Any) -> None:
    """Its bytes stand in the volume of documents, its pages in the ledger."""
    paper = min(PAPERS.glob("*.txt"))
    shutil.copy(paper, local_stack.path("inbox"))

    run_id = Api(local_stack).run_dag("document_intake", {"folder": paper.name}, timeout_s=300)

    books = Api(local_stack).returned("document_intake", run_id, "reconcile")["books"]
    assert books["documents"] == books["parsed"] == 1
    assert books["pages_read"] == books["pages_in"] > 0
    document_id = hashlib.sha256(paper.read_bytes()).hexdigest()
    kept = local_stack.path("documents") / document_id[:2] / document_id
    assert kept.read_bytes() == paper.read_bytes()


def test_a_wrong_password_gives_no_token(local_stack: Any) -> None:
    """Users are those of the database, not open to everyone."""
    login = {"username": "admin", "password": "wrong"}

    answer = requests.post(f"{local_stack.api}/auth/token", json=login, timeout=SLOW_S)

    assert answer.status_code == 401


def test_a_dead_api_server_turns_only_its_own_check(local_stack: Any) -> None:
    """The other checks then trust the live process instead of the silent endpoint."""
    local_stack.running["airflow-apiserver"].kill()

    states = {service: local_stack.health(service) for service in DAEMONS}

    assert _unhealthy(states) == {"airflow-apiserver"}, states
    local_stack.start("airflow-apiserver")
    local_stack.wait_healthy("airflow-apiserver")


@pytest.mark.parametrize(
    ("service", "how", "dead"),
    [
        pytest.param("airflow-triggerer", signal.SIGKILL, 1, id="triggerer_killed"),
        pytest.param("airflow-dag-processor", signal.SIGSTOP, 2, id="dag_processor_hangs"),
        pytest.param("airflow-scheduler", signal.SIGSTOP, 3, id="scheduler_hangs"),
    ],
)
def test_a_dead_or_hanging_component_turns_its_own_check(
    local_stack: Any, wait_for: WaitFor, service: str, how: signal.Signals, dead: int
) -> None:
    """The heartbeat grows old; the components not touched yet stay healthy."""
    fallen = set(["airflow-triggerer", "airflow-dag-processor", "airflow-scheduler"][:dead])
    local_stack.running[service].remember()
    local_stack.running[service].process.send_signal(how)

    def exactly_the_fallen() -> bool:
        return _unhealthy({name: local_stack.health(name) for name in DAEMONS}) == fallen

    wait_for(exactly_the_fallen, f"only {sorted(fallen)} to be unhealthy", MAX_AGE_S + 90)
    reason = local_stack.health(service)[1]
    assert "last heartbeat" in reason or "status is 'unhealthy'" in reason


def test_celery_workers_share_the_tasks(celery_stack: Any) -> None:
    """With the celery profile both workers execute tasks of one run, and the scheduler none."""
    api = Api(celery_stack)

    run_id = api.run_dag("probe", {"count": 8}, timeout_s=300)

    assert {api.returned("probe", run_id, "visit", n) for n in range(8)} == set(WORKERS)


def test_a_dead_worker_turns_only_its_own_check(celery_stack: Any) -> None:
    """The ping names the worker, so its twin does not answer for it."""
    celery_stack.running["worker-1"].kill()

    states = {worker: celery_stack.health("airflow-worker", worker) for worker in WORKERS}

    assert _unhealthy(states) == {"worker-1"}, states


def test_a_dead_redis_turns_its_check(celery_stack: Any) -> None:
    """The check asks with the password; it does not only look at the process."""
    assert celery_stack.health("redis")[0]

    celery_stack.running["redis"].kill()

    assert not celery_stack.health("redis")[0]


def _unhealthy(states: dict[str, tuple[bool, str]]) -> set[str]:
    return {name for name, (healthy, _) in states.items() if not healthy}
