"""Serve the API under FAB on a database of its own and ask routes as each role; prints what each answered.

Started by ``test_api_locks.py``: the auth manager is chosen once in a process.
"""

import json
import os
import sys

SETTINGS = {
    "AIRFLOW__CORE__AUTH_MANAGER": "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager",
    "AIRFLOW__API_AUTH__JWT_SECRET": "only for the tests of the interface " * 2,
    "AIRFLOW__API__BASE_URL": "http://testserver",
}
ROLES = {"viewer": "Viewer", "user": "User", "op": "Op", "admin": "Admin", "public": "Public"}


def main():
    """Read ``[[method, path], ...]`` and answer ``{"method path": {role: status}}`` on the last line."""
    os.environ |= SETTINGS
    os.environ.pop("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", None)
    from airflow.utils.db import initdb  # noqa: PLC0415 - reads the settings

    initdb()
    from airflow.api_fastapi.app import create_app, get_auth_manager  # noqa: PLC0415 - needs the tables

    app = create_app(apps="core")
    from airflow.providers.fab.auth_manager.cli_commands.utils import (  # noqa: PLC0415 - the same
        get_application_builder,
    )
    from fastapi.testclient import TestClient  # noqa: PLC0415 - the same

    with get_application_builder() as builder:
        manager = builder.sm
        users = {
            login: manager.add_user(login, login, login, f"{login}@x", manager.find_role(role), "w")
            for login, role in ROLES.items()
        }
        tokens = {login: get_auth_manager().generate_jwt(user) for login, user in users.items()}
    client = TestClient(
        app, base_url="http://testserver/participation/api/v1", raise_server_exceptions=False
    )
    answers = {}
    for method, path in json.load(sys.stdin):
        query = {"q": "x"} if path == "/search" else {}
        answers[f"{method} {path}"] = {
            login: client.request(
                method,
                path,
                params=query,
                headers={"Authorization": f"Bearer {tokens[login]}"} if login in tokens else {},
            ).status_code
            for login in ("nobody", *ROLES)
        }
    sys.stdout.write(f"\n{json.dumps(answers)}\n")


if __name__ == "__main__":
    main()
