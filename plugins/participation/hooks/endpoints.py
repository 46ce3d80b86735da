"""An endpoint of a provider by an Airflow connection: host its address, password its key, extra the rest."""

from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.exchange import endpoint_options


def endpoint(conn_id: str) -> dict[str, Any] | None:
    """Read a connection as what an engine or a model is built from; None where there is none."""
    try:
        connection = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        return None
    return endpoint_options(connection.host, connection.password, connection.extra_dejson)
