"""The little that the supervisor reads and writes in Airflow's own database."""

import json
from collections.abc import Mapping
from typing import Any

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql


def heartbeat_ages(dsn: str) -> dict[str, float]:
    """Seconds since the last heartbeat, per type of job that runs.

    Raises:
        psycopg.Error: The database did not answer within seconds.
    """
    with psycopg.connect(dsn, connect_timeout=3, options="-c statement_timeout=3000") as connection:
        rows = connection.execute(
            "SELECT job_type, extract(epoch FROM clock_timestamp() - max(latest_heartbeat))"
            " FROM job WHERE state = 'running' GROUP BY job_type"
        ).fetchall()
    return {job_type: float(age) for job_type, age in rows}


def close_jobs(dsn: str, job_type: str) -> None:
    """Tell Airflow that the former process is gone, instead of letting it wait for a timeout.

    The new scheduler takes over orphaned tasks, and the new triggerer its triggers, at once.

    Raises:
        psycopg.Error: The database did not answer; no job was closed.
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.execute(
            "UPDATE job SET state = 'failed', end_date = now()"
            " WHERE job_type = %s AND state = 'running'",
            [job_type],
        )


def stored_connection(dsn: str, conn_id: str, fernet_key: str) -> Mapping[str, Any] | None:
    """Read host, password and extra of a connection that an operator made in the UI; None without.

    Raises:
        psycopg.Error: The database did not answer.
    """
    with psycopg.connect(dsn, connect_timeout=3) as connection:
        row = connection.execute("SELECT to_regclass('connection')").fetchone()
        if not row or row[0] is None:
            return None
        found = connection.execute(
            "SELECT host, password, is_encrypted, extra, is_extra_encrypted FROM connection"
            " WHERE conn_id = %s",
            [conn_id],
        ).fetchone()
    if not found:
        return None
    host, password, is_encrypted, extra, is_extra_encrypted = found
    key = Fernet(fernet_key.encode())

    def clear(text: str | None, *, is_locked: bool) -> str:
        return key.decrypt(text.encode()).decode() if text and is_locked else text or ""

    return {
        "host": host or "",
        "password": clear(password, is_locked=is_encrypted),
        "extra": json.loads(clear(extra, is_locked=is_extra_encrypted) or "{}"),
    }


def ensure_pool(dsn: str, name: str, slots: int, description: str) -> None:
    """Make a pool unless there is one of that name: an operator may have changed its slots.

    Raises:
        psycopg.Error: The database did not answer, or holds no tables of Airflow.
    """
    with psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.execute(
            "INSERT INTO slot_pool (pool, slots, description, include_deferred)"
            " VALUES (%s, %s, %s, false) ON CONFLICT (pool) DO NOTHING",
            [name, slots, description],
        )


def migrated_to(dsn: str) -> str | None:
    """The version that :func:`note_version` noted; None in a database where it never did.

    Raises:
        psycopg.Error: The database did not answer.
    """
    with psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT shobj_description(oid, 'pg_database') FROM pg_database"
            " WHERE datname = current_database()"
        ).fetchone()
    return row[0] if row else None


def note_version(dsn: str, version: str) -> None:
    """Note that the tables have the form of a version, in the comment of the very database.

    Raises:
        psycopg.Error: The database did not answer, or is not ours to comment on.
    """
    with psycopg.connect(dsn) as connection:
        comment = sql.SQL("COMMENT ON DATABASE {} IS {}").format(
            sql.Identifier(connection.info.dbname), sql.Literal(version)
        )
        connection.execute(comment)
