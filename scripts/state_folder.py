"""The one folder that holds everything a run leaves: databases, secrets, logs, reports, figures."""

import base64
import fcntl
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import marked_folder
from include.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
"""The project's folder."""

USERS = {
    "admin": "admin",
    "operator": "op",
    "moderator1": "user",
    "moderator2": "user",
    "viewer": "viewer",
}
"""Login and Airflow role."""


class AlreadyRunningError(Exception):
    """Another supervisor works in this state folder; the message says how to find it."""


@dataclass(frozen=True)
class StateFolder:
    """Where things are in the state folder, and the secrets in it."""

    folder: Path

    @classmethod
    def from_environment(cls) -> "StateFolder":
        """``STATE``, or ``state`` in the project's folder; made when it is not there.

        Raises:
            ForeignFolderError: The folder is somebody else's; nothing in it was changed.
        """
        return cls.at(ROOT / (os.environ.get("STATE") or "state"))

    @classmethod
    def at(cls, folder: Path) -> "StateFolder":
        """Make or find the state folder of a path; as :meth:`from_environment` does."""
        state = cls(folder.resolve())
        marked_folder.claim(state.folder, ROOT)
        # Citizens' texts lie here. Root leaves the way through open for the account of PostgreSQL.
        state.folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        private = state.run, state.logs, state.reports, state.documents, state.datasets
        for part in (*private, state.airflow_home):
            part.mkdir(parents=True, exist_ok=True)
            part.chmod(0o700)
        return state

    @property
    def postgres(self) -> Path:
        """Home of the embedded PostgreSQL."""
        return self.folder / "postgres"

    @property
    def airflow_home(self) -> Path:
        """What Airflow calls its home."""
        return self.folder / "airflow"

    @property
    def logs(self) -> Path:
        """One log per component; the logs of tasks are in Airflow's home."""
        return self.folder / "logs"

    @property
    def reports(self) -> Path:
        """The daily reports."""
        return self.folder / "reports"

    @property
    def documents(self) -> Path:
        """The bytes of the town's papers, each under its hash."""
        return self.folder / "documents"

    @property
    def datasets(self) -> Path:
        """What was made of them."""
        return self.folder / "datasets"

    @property
    def run(self) -> Path:
        """What a running supervisor notes, and ``summary.json``."""
        return self.folder / "run"

    @property
    def passwords_file(self) -> Path:
        """Logins of the UI, in the form that Airflow's simple auth manager reads."""
        return self.folder / "passwords.json"

    @cached_property
    def secrets(self) -> dict[str, str]:
        """Keys shared by Airflow's components; made once."""
        path = self.folder / "secrets.json"
        if not path.exists():
            made = {
                "fernet_key": base64.urlsafe_b64encode(os.urandom(32)).decode(),
                "jwt_secret": secrets.token_urlsafe(48),
                "api_secret_key": secrets.token_urlsafe(48),
            }
            write_secret(path, json.dumps(made, indent=2))
        return read_json(path)

    @cached_property
    def passwords(self) -> dict[str, str]:
        """Password per login; made once, one added for every new login."""
        stored = read_json(self.passwords_file)
        missing = {user: secrets.token_urlsafe(12) for user in USERS if user not in stored}
        if missing:
            stored |= missing
            write_secret(self.passwords_file, json.dumps(stored))
        return stored

    def note(self, name: str, content: Mapping[str, Any]) -> Path:
        """Write ``run/<name>.json`` whole or not at all."""
        path = self.run / f"{name}.json"
        write_whole(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")
        return path

    def noted(self, name: str) -> dict[str, Any]:
        """What :meth:`note` wrote, or nothing."""
        return read_json(self.run / f"{name}.json")

    def lock(self) -> TextIO:
        """Claim the folder for as long as the answer stays open, in this process or a fork of it.

        Raises:
            AlreadyRunningError: Another supervisor holds it.
        """
        file = (self.run / "supervisor.lock").open("a")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            where = self.noted("addresses").get("ui", "not known yet")
            raise AlreadyRunningError(
                f"a supervisor already works in {self.folder} (UI: {where}): stop it with Ctrl-C,"
                " or give this one a folder of its own with STATE=folder"
            ) from None
        return file


def write_secret(path: Path, content: str) -> None:
    """Write a file that was never readable by anyone but its owner, whole or not at all."""
    write_whole(path, content, mode=0o600)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file, or an empty one when the file is missing or not whole."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
