"""The ledger behind the Airflow connection ``participation_db``."""

from airflow.sdk import BaseHook, Connection
from psycopg.conninfo import make_conninfo

LEDGER_CONN_ID = "participation_db"


def ledger_dsn(connection: Connection | None = None) -> str:
    """Turn the connection into a libpq connection string; extras such as ``sslmode`` are kept."""
    known = connection or BaseHook.get_connection(LEDGER_CONN_ID)
    extras = {key: str(value) for key, value in known.extra_dejson.items()}
    return make_conninfo(
        host=known.host,
        port=known.port or 5432,
        user=known.login,
        password=known.password,
        dbname=known.schema,
        **extras,
    )
