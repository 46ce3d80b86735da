"""The healthcheck believes the body of the health endpoint, never its status code alone."""

import json
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "healthcheck.py"
PARTS = ("scheduler", "dag_processor", "triggerer")


class Endpoint:
    """A health endpoint that always answers 200 with whatever it was told."""

    def __init__(self) -> None:
        self.body: Any = {}
        self.status = 200
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(endpoint.status)
                self.end_headers()
                self.wfile.write(json.dumps(endpoint.body).encode())

            def log_message(self, *_: object) -> None:
                """Keep the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/api/v2/monitor/health"

    def report(self, age_s: float = 1, **changes: Any) -> None:
        """Report everything healthy, with the parts given changed."""
        heartbeat = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
        parts = {
            part: {"status": "healthy", f"latest_{part}_heartbeat": heartbeat} for part in PARTS
        }
        self.body = {"metadatabase": {"status": "healthy"}, **parts, **changes}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    """A health endpoint on a free port of this machine."""
    endpoint = Endpoint()
    thread = threading.Thread(target=endpoint.server.serve_forever, daemon=True)
    thread.start()
    yield endpoint
    endpoint.server.shutdown()
    endpoint.server.server_close()
    thread.join()


def run(service: str, url: str) -> tuple[int, str]:
    """Run the script as a container does; return its exit code and all it printed."""
    done = subprocess.run(
        [sys.executable, SCRIPT, service],
        env={"PARTICIPATION_HEALTH_URL": url},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("service", ["api-server", "scheduler", "dag-processor", "triggerer"])
def test_healthy(endpoint: Endpoint, service: str) -> None:
    """Status healthy and a young heartbeat: exit code 0."""
    endpoint.report()

    assert run(service, endpoint.url)[0] == 0


@pytest.mark.parametrize(
    ("service", "changes", "reason"),
    [
        pytest.param("api-server", {"metadatabase": {"status": "unhealthy"}}, "unhealthy", id="db"),
        pytest.param("api-server", {"metadatabase": None}, "nothing about", id="no_db"),
        pytest.param("scheduler", {"scheduler": {"status": "unhealthy"}}, "unhealthy", id="down"),
        pytest.param("triggerer", {"triggerer": {"status": None}}, "None", id="never_started"),
        pytest.param(
            "triggerer", {"triggerer": {"status": "healthy"}}, "cannot read", id="no_heartbeat"
        ),
        pytest.param("dag-processor", {"dag_processor": None}, "nothing about", id="no_part"),
    ],
)
def test_answered_but_unhealthy(
    endpoint: Endpoint, service: str, changes: dict[str, Any], reason: str
) -> None:
    """The endpoint answers 200 and the body says no: exit code 1 and the reason."""
    endpoint.report(**changes)

    code, output = run(service, endpoint.url)

    assert code == 1
    assert reason in output


@pytest.mark.parametrize("service", ["scheduler", "dag-processor", "triggerer"])
def test_old_heartbeat(endpoint: Endpoint, service: str) -> None:
    """A component that still calls itself healthy but no longer beats is not."""
    endpoint.report(age_s=31)

    code, output = run(service, endpoint.url)

    assert code == 1
    assert "s ago, at most 30 s allowed" in output


def test_an_error_of_the_server_is_not_health(endpoint: Endpoint) -> None:
    """A good body behind a bad status code: exit code 1."""
    endpoint.report()
    endpoint.status = 500

    assert run("api-server", endpoint.url)[0] == 1


def test_something_else_on_the_port(endpoint: Endpoint) -> None:
    """JSON, but no health report: exit code 1, no traceback."""
    endpoint.body = ["not", "a", "report"]

    code, output = run("scheduler", endpoint.url)

    assert code == 1
    assert "Traceback" not in output


def test_a_silent_api_server_is_unhealthy() -> None:
    """Nobody listens: the API server's own check fails."""
    code, output = run("api-server", "http://127.0.0.1:1/api/v2/monitor/health")

    assert code == 1
    assert "no answer" in output


@pytest.mark.parametrize(
    ("command", "state", "alive"),
    [
        pytest.param("airflow\0triggerer", "S", True, id="sleeping"),
        pytest.param("/bin/python\0/bin/airflow\0triggerer\0", "R", True, id="running"),
        pytest.param("airflow\0triggerer", "T", False, id="stopped"),
        pytest.param("airflow\0triggerer", "Z", False, id="dead"),
        pytest.param("airflow\0scheduler", "S", False, id="another_component"),
    ],
)
def test_the_process_is_the_witness_of_last_resort(
    tmp_path: Path, command: str, state: str, *, alive: bool
) -> None:
    """While the API server is silent a component is judged by its process."""
    namespace = runpy.run_path(str(SCRIPT))
    process = tmp_path / "17"
    process.mkdir()
    (process / "cmdline").write_bytes(command.encode())
    (process / "stat").write_text(f"17 (python (3)) {state} 1 17 17")

    if alive:
        assert "process 17" in namespace["process_state"]("triggerer", tmp_path)
    else:
        with pytest.raises(namespace["UnhealthyError"], match="no live process"):
            namespace["process_state"]("triggerer", tmp_path)
