"""The language model of this installation, where there is one.

The connection ``participation_model`` holds the endpoint (host), its key (password) and in its extra
``model`` and whatever else :class:`include.documents.chat.ChatModel` takes.
"""

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from include.documents.chat import ChatModel
from include.errors import ConfigurationError

MODEL_CONN_ID = "participation_model"


def connected_model() -> ChatModel | None:
    """Build it from the connection; None without one.

    Raises:
        ConfigurationError: The connection's fields make no model.
    """
    try:
        connection = BaseHook.get_connection(MODEL_CONN_ID)
    except AirflowNotFoundException:
        return None
    options = {
        "base_url": connection.host or "",
        "api_key": connection.password or "",
        **connection.extra_dejson,
    }
    try:
        return ChatModel(**options)
    except TypeError as error:
        raise ConfigurationError(f"connection {MODEL_CONN_ID}: {error}") from error
