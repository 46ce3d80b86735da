"""Bring a database to the newest form of the ledger: numbered SQL files, once each, in order."""

import hashlib
from pathlib import Path

from include.errors import ConfigurationError
from participation.ledger.connection import session
from participation.ledger.locks import MIGRATION_LOCK, hold_for_session

MIGRATIONS = Path(__file__).parents[3] / "include" / "sql" / "migrations"


def migrate(dsn: str) -> list[str]:
    """Apply the migrations that the database lacks and return their names, oldest first.

    Safe to call from several processes at once; each file runs in one transaction.

    Raises:
        ConfigurationError: A migration that was applied has other bytes now.
        LedgerUnavailableError: The server is not there; nothing was half applied.
    """
    applied: list[str] = []
    with session(dsn, application_name="participation-migrate") as connection:
        hold_for_session(connection, MIGRATION_LOCK)
        connection.execute("CREATE SCHEMA IF NOT EXISTS participation")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS participation.migration ("
            " name text PRIMARY KEY, sha256 text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        known = dict(connection.execute("SELECT name, sha256 FROM migration").fetchall())
        for path in sorted(MIGRATIONS.glob("[0-9][0-9][0-9][0-9]_*.sql")):
            body = path.read_bytes()
            sha256 = hashlib.sha256(body).hexdigest()
            if path.stem in known:
                if known[path.stem] != sha256:
                    raise ConfigurationError(
                        f"migration {path.name} was applied with other bytes: "
                        "restore the file and put the change into a new migration"
                    )
                continue
            with connection.transaction():
                connection.execute(body)
                connection.execute(
                    "INSERT INTO migration (name, sha256) VALUES (%s, %s)", (path.stem, sha256)
                )
            applied.append(path.stem)
    return applied
