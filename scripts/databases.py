"""Databases of a server and the roles that own them."""

from collections.abc import Mapping

import psycopg
from psycopg import sql

DATABASES = {"airflow": "airflow", "participation": "participation"}
"""Database and the role that owns it; neither role is a superuser."""


def prepare(admin_conninfo: str, passwords: Mapping[str, str]) -> None:
    """Roles, databases and pgvector; repeating it changes nothing."""
    with psycopg.connect(admin_conninfo, autocommit=True) as connection:
        for database, role in DATABASES.items():
            _ensure_role(connection, role, passwords[role])
            _ensure_database(connection, database, role)
    vector = psycopg.conninfo.make_conninfo(admin_conninfo, dbname="participation")
    with psycopg.connect(vector) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")


def create_database(admin_dsn: str, name: str, template: str = "template1") -> None:
    """Create a database as a copy of another that nobody is connected to."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
        )


def drop_database(admin_dsn: str, name: str) -> None:
    """Drop a database and whoever is connected to it."""
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        )


def _ensure_role(connection: psycopg.Connection, role: str, password: str) -> None:
    known = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone()
    verb = "ALTER" if known else "CREATE"
    connection.execute(
        sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(
            sql.SQL(verb), sql.Identifier(role), sql.Literal(password)
        )
    )


def _ensure_database(connection: psycopg.Connection, database: str, owner: str) -> None:
    known = "SELECT 1 FROM pg_database WHERE datname = %s"
    if not connection.execute(known, [database]).fetchone():
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER {}").format(
                sql.Identifier(database), sql.Identifier(owner)
            )
        )
