"""``make airflow ARGS="..."``: Airflow's own command, beside a ``make run`` that is up.

It is given what the running components were given: the same databases, ports and keys.
"""

import os
import sys
from collections.abc import Sequence

from airflow_settings import Ports, environment
from participation.settings import Settings
from postgres import EmbeddedPostgres
from state_folder import AlreadyRunningError, StateFolder


def main(arguments: Sequence[str]) -> int:
    """Become Airflow's command; 2 with the reason where nothing runs that it could speak to."""
    state = StateFolder.from_environment()
    try:
        state.lock().close()
    except AlreadyRunningError:
        server = EmbeddedPostgres(state.postgres)
        try:
            server.port = server.noted_port()
            ports = Ports(**state.noted("ports"))
        except (OSError, TypeError):
            return _complain("the system is still starting: try again in a moment")
        given = environment(
            state,
            ports,
            airflow_dsn=server.airflow_dsn,
            ledger_dsn=server.ledger_dsn,
            inbox=Settings().inbox,
        )
        sys.stdout.flush()
        os.execve(  # noqa: S606 - no shell is wanted
            sys.executable, [sys.executable, "-m", "airflow", *arguments], given
        )
    return _complain(f"nothing runs in {state.folder}: start `make run` first")


def _complain(reason: str) -> int:
    sys.stderr.write(f"{reason}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
