"""Say whether one service of the deployment is healthy: exit code 0 or 1, and one line why.

``python scripts/healthcheck.py api-server|scheduler|dag-processor|triggerer|worker``

Airflow's health endpoint answers 200 even when a component is down, so its body is read: the
component must call itself healthy and its last heartbeat must be young. Only the standard library
is imported, because every container runs this twice a minute; the one exception is the Celery
client for a worker, which the endpoint does not know.
"""

import argparse
import http.client
import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

HEALTH_URL = "http://127.0.0.1:8080/api/v2/monitor/health"
"""Used where ``PARTICIPATION_HEALTH_URL`` names no other address."""

MAX_AGE_S = 30.0
"""Airflow beats every 5 s and stores the beat before: 11 s is good health, 30 s is not.

``PARTICIPATION_HEALTH_MAX_AGE_S`` overrides it."""

ANSWER_TIMEOUT_S = 10.0
"""Below the timeout of the healthcheck itself, so that the reason is printed before the kill."""

COMPONENTS = {
    "scheduler": "scheduler",
    "dag-processor": "dag_processor",
    "triggerer": "triggerer",
}
"""Airflow's command for each component, and its name in the body of the health endpoint."""


class UnhealthyError(Exception):
    """The service must be looked at; the message says why."""


class NoAnswerError(UnhealthyError):
    """The health endpoint did not answer, which says nothing about the other components."""


def main() -> int:
    """Check the service named on the command line, print one line and return the exit code."""
    parser = argparse.ArgumentParser(description="Check one service of the deployment.")
    parser.add_argument("service", choices=["api-server", *COMPONENTS, "worker"])
    service = parser.parse_args().service
    try:
        print(check(service, os.environ))
    except UnhealthyError as error:
        print(f"{service}: {error}", file=sys.stderr)
        return 1
    return 0


def check(service: str, env: Mapping[str, str]) -> str:
    """Return one line that says why the service is healthy.

    Raises:
        UnhealthyError: It is not, or nothing can be learnt about it.
    """
    if service == "worker":
        return _check_worker(env)
    url = env.get("PARTICIPATION_HEALTH_URL", HEALTH_URL)
    if service == "api-server":
        return api_server_state(read_health(url))
    try:
        body = read_health(url)
    except NoAnswerError as error:
        # The API server's own check reports that; here the process itself is the next best
        # witness, so that one dead service does not paint the healthy ones red.
        return f"{process_state(COMPONENTS[service], Path('/proc'))} ({error})"
    max_age_s = float(env.get("PARTICIPATION_HEALTH_MAX_AGE_S", MAX_AGE_S))
    return component_state(COMPONENTS[service], body, datetime.now(UTC), max_age_s)


def read_health(url: str) -> dict[str, Any]:
    """Return the body of the health endpoint.

    Raises:
        NoAnswerError: Nobody answered in time.
        UnhealthyError: Somebody answered, but not with a health report.
    """
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", address.path)
        response = connection.getresponse()
        raw = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise NoAnswerError(f"no answer from {url}: {error!r}") from error
    finally:
        connection.close()
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise UnhealthyError(f"HTTP {response.status}, cannot read {raw[:80]!r}") from error
    if response.status != http.HTTPStatus.OK or not isinstance(body, dict):
        raise UnhealthyError(f"HTTP {response.status}, unexpected answer {raw[:80]!r}")
    return body


def api_server_state(body: Mapping[str, Any]) -> str:
    """Judge the API server: it answers, and it reaches the metadata database.

    >>> api_server_state({"metadatabase": {"status": "healthy"}})
    'api-server answers, metadatabase healthy'
    """
    status = _part(body, "metadatabase").get("status")
    if status != "healthy":
        raise UnhealthyError(f"metadatabase is {status!r}")
    return "api-server answers, metadatabase healthy"


def component_state(
    component: str, body: Mapping[str, Any], now: datetime, max_age_s: float
) -> str:
    """Judge one component by its status and the age of its heartbeat.

    >>> now = datetime(2026, 1, 5, 12, 0, 40, tzinfo=UTC)
    >>> beat = {"status": "healthy", "latest_triggerer_heartbeat": "2026-01-05T12:00:30Z"}
    >>> component_state("triggerer", {"triggerer": beat}, now, max_age_s=30)
    'triggerer is healthy, heartbeat 10 s ago'
    """
    part = _part(body, component)
    status = part.get("status")
    if status != "healthy":
        raise UnhealthyError(f"status is {status!r}")
    heartbeat = part.get(f"latest_{component}_heartbeat")
    try:
        age_s = (now - datetime.fromisoformat(str(heartbeat))).total_seconds()
    except (ValueError, TypeError) as error:
        raise UnhealthyError(f"cannot read the heartbeat {heartbeat!r}") from error
    if age_s > max_age_s:
        raise UnhealthyError(f"last heartbeat {age_s:.0f} s ago, at most {max_age_s:.0f} s allowed")
    return f"{component} is healthy, heartbeat {age_s:.0f} s ago"


def process_state(component: str, proc: Path) -> str:
    """Judge one component by its process: there, and neither stopped nor dead."""
    command = f"airflow {component.replace('_', '-')}"
    for folder in proc.glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            state = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[0]
        except (OSError, IndexError):
            continue  # it ended while we looked
        if command in words and state not in "TtZX":
            return f"{component} runs as process {folder.name}"
    raise UnhealthyError(f"no live process {command!r}, and the health endpoint does not answer")


def _part(body: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = body.get(name)
    if not isinstance(part, dict):
        raise UnhealthyError(f"the health report says nothing about {name}: {str(body)[:200]}")
    return part


def _check_worker(env: Mapping[str, str]) -> str:
    from celery import Celery  # noqa: PLC0415 - only a worker's container pays for this import

    node = f"celery@{env['HOSTNAME']}"
    app = Celery(broker=env["AIRFLOW__CELERY__BROKER_URL"])
    app.conf.broker_transport_options = {"socket_connect_timeout": 2, "socket_timeout": 5}
    try:
        replies = app.control.inspect(destination=[node], timeout=3).ping()
    except Exception as error:  # each transport of the client has its own kinds
        raise UnhealthyError(f"cannot ask the broker: {error!r}") from error
    if not replies or replies.get(node) != {"ok": "pong"}:
        raise UnhealthyError(f"no pong from {node}: {replies!r}")
    return f"{node} answers"


if __name__ == "__main__":
    sys.exit(main())
