"""Where a webhook goes: an address that passed the guard, or an Airflow connection; and its secret.

A connection of the type ``http`` whose id begins with ``participation_webhook`` holds the address as host,
the signing secret as password (``whsec_...``), and in its extra ``headers`` and ``allowed``: endpoints
such as ``192.0.2.7:8080`` that are asked though they are no public web addresses. The secret signs and is
never sent. Loads the HTTP library: import it inside a task or a request.
"""

import re
from dataclasses import dataclass, field

from airflow.sdk import BaseHook
from airflow.sdk.crypto import get_fernet
from airflow.sdk.exceptions import AirflowNotFoundException
from cryptography.fernet import InvalidToken

from include.documents.addresses import AddressGuard
from include.documents.sources.client import GuardedClient
from include.errors import ConfigurationError
from include.signing import key_of
from participation.hooks.web import guard_of, headers_of, site_of

CONN_ID = re.compile(r"participation_webhook[a-z0-9_]{0,200}")

DEADLINE_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024
"""Nobody reads what a receiver says but its status, and when it wants to be asked again."""


@dataclass(frozen=True, slots=True)
class Target:
    """An address, the client that may ask it, and what signs."""

    url: str
    secret: str = field(repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    guard: AddressGuard = field(default_factory=AddressGuard, repr=False)

    @property
    def client(self) -> GuardedClient:
        """Make a client; each call of it opens and ends its own session."""
        return GuardedClient(self.guard, deadline_s=DEADLINE_S, max_bytes=MAX_ANSWER_BYTES)


def seal(secret: str) -> str:
    """Encrypt a secret for the ledger, with Airflow's own key.

    Raises:
        ConfigurationError: Airflow has no key.
    """
    fernet = get_fernet()
    if not getattr(fernet, "is_encrypted", False):
        raise ConfigurationError(
            "Airflow has no Fernet key ([core] fernet_key): nothing can keep a secret; set one, "
            "or name a connection"
        )
    return fernet.encrypt(secret.encode()).decode()


def target(url: str | None, sealed_secret: str | None, conn_id: str | None) -> Target:
    """Say where a subscription's events go.

    Raises:
        ConfigurationError: The connection is missing or wrong, or the secret cannot be read.
    """
    if conn_id is not None:
        return connected(conn_id)
    try:
        secret = get_fernet().decrypt((sealed_secret or "").encode()).decode()
    except InvalidToken:
        raise ConfigurationError(
            "the secret was sealed with another Fernet key: subscribe again"
        ) from None
    return Target(url or "", secret)


def connected(conn_id: str) -> Target:
    """Read a connection as a target.

    Raises:
        ConfigurationError: It is missing, or its fields cannot be used.
    """
    if not CONN_ID.fullmatch(conn_id):
        raise ConfigurationError("the connection's id must begin with participation_webhook")
    try:
        known = BaseHook.get_connection(conn_id)
    except AirflowNotFoundException:
        raise ConfigurationError(f"there is no connection {conn_id}") from None
    secret = known.password or ""
    key_of(secret)
    return Target(site_of(known), secret, headers_of(known), guard_of(known))
