"""Airflow's configuration for one machine, as the environment of its components."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from urllib.parse import unquote, urlsplit

import tcp_ports
from state_folder import ROOT, USERS, StateFolder
from telemetry import telemetry

PREFERRED_UI_PORT = 8080
"""Where people expect Airflow; any other free port when it is taken."""

OWN_CONNECTIONS = "AIRFLOW_CONN_PARTICIPATION_"
"""Connections that whoever starts this may give; the ledger's is ours."""

LLM_POOL = "participation_llm"
LLM_POOL_SLOTS = 128
"""As many as Airflow's default pool has: without a model nothing waits for a slot."""

PRELOADED_MODULES = (
    "airflow",
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "participation.preloaded",
)
"""Imported once by the server that task processes are forked from, instead of once per task."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Every port a component listens on; all on 127.0.0.1."""

    ui: int = 0
    logs: int = 0
    scheduler_health: int = 0

    @classmethod
    def chosen(cls, noted: Mapping[str, int]) -> "Ports":
        """Those of last time where they are still free, so that noted addresses stay right."""
        wanted = {"ui": PREFERRED_UI_PORT} | dict(noted)
        return cls(**{field.name: _reserved(wanted.get(field.name, 0)) for field in fields(cls)})

    def renewed(self) -> "Ports":
        """The same but for those that somebody listens on; asked while nothing of ours does."""
        return Ports(**{name: _not_taken(port) for name, port in self.as_dict().items()})

    def as_dict(self) -> dict[str, int]:
        """For the note that the next start reads."""
        return asdict(self)


RUNS_LOOKED_AT = "400"
"""At once by the scheduler: more than all DAGs together may have active.

Airflow looks at the runs of a backfill last. Were the limit reached by runs that wait for a person, a
backfill would stand still until the person has answered.
"""


def _reserved(wanted: int) -> int:
    try:
        return tcp_ports.reserve(wanted)
    except OSError:
        return tcp_ports.reserve()


def _not_taken(port: int) -> int:
    if not tcp_ports.is_taken(port):
        return port
    tcp_ports.release(port)
    return tcp_ports.reserve()


def ui_address(ports: Ports) -> str:
    """The address a person opens."""
    return f"http://127.0.0.1:{ports.ui}"


def environment(
    state: StateFolder, ports: Ports, *, airflow_dsn: str, ledger_dsn: str, inbox: Path
) -> dict[str, str]:
    """Environment of every component: ours without Airflow's variables, then the settings.

    Of Airflow's variables the connections named ``participation_...`` are kept.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "PYTHON", "PG", "MAKE", "MFLAGS"))
        or name.startswith(OWN_CONNECTIONS)
    }
    exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    local = ",".join(filter(None, [exceptions, "127.0.0.1", "localhost"]))
    return (
        inherited
        | {
            "AIRFLOW_HOME": str(state.airflow_home),
            "AIRFLOW_CONN_PARTICIPATION_DB": connection(ledger_dsn),
            "PARTICIPATION_INBOX": str(inbox),
            "PARTICIPATION_REPORTS": str(state.reports),
            "PARTICIPATION_DOCUMENTS": str(state.documents),
            "PARTICIPATION_DATASETS": str(state.datasets),
            "PARTICIPATION_LLM_POOL": LLM_POOL,
            # The dags and plugins folders come last on the path of Airflow by themselves.
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
            "PYTHONUNBUFFERED": "1",
            # A proxy for the outside is no way to our own api-server.
            "NO_PROXY": local,
            "no_proxy": local,
        }
        | {
            f"AIRFLOW__{section}__{option}".upper(): value
            for section, options in _settings(state, ports, airflow_dsn).items()
            for option, value in options.items()
        }
        | telemetry(os.environ)
    )


def connection(dsn: str) -> str:
    """An Airflow connection as JSON, from a PostgreSQL URL."""
    parts = urlsplit(dsn)
    return json.dumps(
        {
            "conn_type": "postgres",
            "host": parts.hostname,
            "port": parts.port,
            "login": parts.username,
            "password": unquote(parts.password or ""),
            "schema": parts.path.lstrip("/"),
        }
    )


def _settings(state: StateFolder, ports: Ports, airflow_dsn: str) -> dict[str, dict[str, str]]:
    cores = os.cpu_count() or 1
    ui = ui_address(ports)
    driver, rest = airflow_dsn.split("://", 1)
    return {
        "core": {
            "dags_folder": os.environ.get("PARTICIPATION_DAGS") or str(ROOT / "dags"),
            "plugins_folder": str(ROOT / "plugins"),
            "executor": "LocalExecutor",
            "parallelism": str(cores),
            "load_examples": "False",
            "dags_are_paused_at_creation": "False",
            "fernet_key": state.secrets["fernet_key"],
            "hostname_callable": "scripts.loopback.hostname",
            "mp_start_method": "forkserver",
            "mp_forkserver_preload": ",".join(PRELOADED_MODULES),
            "execution_api_server_url": f"{ui}/execution/",
            "simple_auth_manager_users": ",".join(f"{u}:{role}" for u, role in USERS.items()),
            "simple_auth_manager_passwords_file": str(state.passwords_file),
            # A changed DAG is seen at once; the default waits half a minute.
            "min_serialized_dag_update_interval": "5",
        },
        "database": {
            "sql_alchemy_conn": f"{driver}+psycopg2://{rest}",
            "sql_alchemy_conn_async": f"{driver}+asyncpg://{rest}",
        },
        "api": {
            "host": "127.0.0.1",
            "port": str(ports.ui),
            "base_url": ui,
            "workers": "1",
            "secret_key": state.secrets["api_secret_key"],
            "instance_name": "Participation",
        },
        "api_auth": {"jwt_secret": state.secrets["jwt_secret"]},
        "logging": {
            "base_log_folder": str(state.airflow_home / "logs"),
            "worker_log_server_port": str(ports.logs),
            "trigger_log_server_port": str(ports.logs),
            "dag_processor_child_process_log_directory": str(
                state.airflow_home / "logs" / "dag_processor"
            ),
            "colored_console_log": "False",
            # An error of a task may quote a citizen; by default a group may write here.
            "file_task_handler_new_folder_permissions": "0o700",
            "file_task_handler_new_file_permissions": "0o600",
        },
        "scheduler": {
            "enable_health_check": "True",
            "scheduler_health_check_server_host": "127.0.0.1",
            "scheduler_health_check_server_port": str(ports.scheduler_health),
            "scheduler_idle_sleep_time": "0.25",
            # A task whose process was killed with its worker is found within a minute.
            "task_instance_heartbeat_timeout": "40",
            "orphaned_tasks_check_interval": "30",
            "max_dagruns_to_create_per_loop": "50",
            "max_dagruns_per_loop_to_schedule": RUNS_LOOKED_AT,
        },
        "workers": {
            # With the default a finished task now and then holds its slot five seconds longer.
            "min_heartbeat_interval": "1",
            # A control plane that restarts must neither end a task nor burn its tries.
            "max_failed_heartbeats": "20",
            "execution_api_retries": "10",
            "execution_api_retry_wait_max": "10",
            "execution_api_timeout": "15",
        },
        "dag_processor": {
            "refresh_interval": "10",
            "min_file_process_interval": "60",
            "parsing_processes": "1",
            "bundle_refresh_check_interval": "2",
        },
        "triggerer": {"capacity": "100"},
    }
