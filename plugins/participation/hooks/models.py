"""The language model of this installation, where there is one.

The connection ``participation_model`` holds the endpoint (host), its key (password) and in its extra
``model`` and whatever else :class:`include.documents.chat.ChatModel` takes.
"""

from include.documents.chat import ChatModel
from include.errors import ConfigurationError
from participation.hooks.endpoints import endpoint

MODEL_CONN_ID = "participation_model"


def connected_model() -> ChatModel | None:
    """Build it from the connection; None without one.

    Raises:
        ConfigurationError: The connection's fields make no model.
    """
    options = endpoint(MODEL_CONN_ID)
    if options is None:
        return None
    try:
        return ChatModel(**options)
    except TypeError as error:
        raise ConfigurationError(f"connection {MODEL_CONN_ID}: {error}") from error
