"""The few calls of Airflow's REST API that a run of the workflow needs.

Every call outlives a restart of the api-server, and repeating one after a lost answer does nothing
twice: runs carry an id of ours.
"""

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import requests

PATIENCE_S = 180
"""How long the api-server may be away before a call gives up; its restart takes seconds."""

CALL_TIMEOUT_S = 30
"""For one answer; a loaded machine is slow, a hung server is brought back by the supervisor."""

Run = dict[str, Any]
"""A DAG run, as the API shows it."""

FINAL_STATES = frozenset({"success", "failed"})


class AirflowError(Exception):
    """The API refused a call, or was away for too long; the message says which and why."""


class AirflowClient:
    """Speaks to one api-server as one user."""

    def __init__(self, address: str, username: str, password: str) -> None:
        self.address = address
        self._credentials = {"username": username, "password": password}
        self._session = requests.Session()
        self._session.trust_env = False

    def health(self) -> dict[str, str]:
        """Status per component; empty while the api-server is away."""
        try:
            answer = self._session.get(
                f"{self.address}/api/v2/monitor/health", timeout=CALL_TIMEOUT_S
            )
            return {name: part["status"] or "" for name, part in answer.json().items()}
        except (requests.RequestException, ValueError):
            return {}

    def dag_ids(self) -> set[str]:
        """DAGs that are parsed and can be started."""
        found = self._get("/dags", limit=100)["dags"]
        return {dag["dag_id"] for dag in found if not dag["is_stale"]}

    def import_errors(self) -> list[str]:
        """File and reason of every DAG file that does not parse."""
        found = self._get("/importErrors", limit=100)["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'].strip()}" for error in found]

    def trigger(
        self,
        dag_id: str,
        run_id: str,
        conf: Mapping[str, Any] | None = None,
        partition_key: str | None = None,
    ) -> None:
        """Start a run; one of that id that is there already is the one asked for."""
        body = {
            "dag_run_id": run_id,
            "logical_date": None,
            "partition_key": partition_key,
            "conf": dict(conf or {}),
        }
        self._call("POST", f"/dags/{dag_id}/dagRuns", json=body, accepted=(409,))

    def run(self, dag_id: str, run_id: str) -> Run:
        """One run."""
        return self._get(f"/dags/{dag_id}/dagRuns/{run_id}")

    def runs(self, dag_id: str, since: datetime) -> list[Run]:
        """Runs queued since a moment, oldest first."""
        path = f"/dags/{dag_id}/dagRuns"
        found = self._pages(path, "dag_runs", order_by="id", updated_at_gte=since)
        return [run for run in found if datetime.fromisoformat(run["queued_at"]) >= since]

    def task_states(self, dag_id: str, run_id: str) -> list[tuple[str, str | None]]:
        """Task id and state of every task instance of a run."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        found = self._pages(path, "task_instances")
        return [(instance["task_id"], instance["state"]) for instance in found]

    def announced_days(self, dag_id: str, run_id: str) -> set[str]:
        """Days that a run's task ``announce`` handed on; none when it was skipped.

        Asked of its XCom: for asset events with a run that still waits, Airflow 3.3.2 answers 500.
        """
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/announce/xcomEntries/return_value"
        value = self._call("GET", path, accepted=(404,)).get("value")
        docket = json.loads(value) if isinstance(value, str) else value
        return set(docket["days"]) if docket else set()

    def backfill(self, dag_id: str, first: date, last: date, *, at_once: int) -> int | None:
        """Start a backfill over whole days, done ones included; None while another one runs."""
        body = {
            "dag_id": dag_id,
            "from_date": f"{first.isoformat()}T00:00:00Z",
            "to_date": f"{last.isoformat()}T23:59:59Z",
            "reprocess_behavior": "completed",
            "max_active_runs": at_once,
            "run_backwards": False,
            "dag_run_conf": {},
        }
        answer = self._call("POST", "/backfills", json=body, accepted=(409,))
        return int(answer["id"]) if "id" in answer else None

    def backfill_is_done(self, backfill_id: int) -> bool:
        """Say whether every run of a backfill ended."""
        return self._get(f"/backfills/{backfill_id}")["completed_at"] is not None

    def has_connection(self, conn_id: str) -> bool:
        """Say whether a connection is there, in the environment of the components or in Airflow."""
        if f"AIRFLOW_CONN_{conn_id}".upper() in os.environ:
            return True
        found = self._call("GET", f"/connections/{conn_id}", accepted=(404,))
        return found.get("connection_id") == conn_id

    def _pages(self, path: str, key: str, **query: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._get(path, limit=100, offset=offset, **query)
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        return self._call("GET", path, query=query)

    def _call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        json: Mapping[str, Any] | None = None,
        accepted: Iterable[int] = (),
    ) -> dict[str, Any]:
        until = time.monotonic() + PATIENCE_S
        while True:
            reason = "no answer"
            try:
                answer = self._session.request(
                    method,
                    f"{self.address}/api/v2{path}",
                    params={k: _text(v) for k, v in (query or {}).items()},
                    json=json,
                    timeout=CALL_TIMEOUT_S,
                )
                if answer.ok or answer.status_code in accepted:
                    found: dict[str, Any] = answer.json()
                    return found
                reason = f"{answer.status_code} {answer.text[:500]}"
                if answer.status_code == requests.codes.unauthorized:
                    self._log_in()
                elif answer.status_code < requests.codes.server_error:
                    raise AirflowError(f"{method} {path}: {reason}")
            except requests.RequestException as error:
                reason = str(error)
            if time.monotonic() > until:
                raise AirflowError(f"{method} {path}: {reason}")
            time.sleep(0.3)

    def _log_in(self) -> None:
        answer = self._session.post(
            f"{self.address}/auth/token", json=self._credentials, timeout=CALL_TIMEOUT_S
        )
        if answer.status_code == requests.codes.unauthorized:
            raise AirflowError(f"Airflow refuses the login {self._credentials['username']!r}")
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _text(value: Any) -> str:
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
