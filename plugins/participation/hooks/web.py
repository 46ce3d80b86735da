"""A client for the web by an Airflow connection, or without one for public addresses.

The connection's password is a token (sent as ``Bearer``), or with a login a password of the site; its
extra may hold ``headers``, and ``allowed``: endpoints such as ``192.0.2.7:8080`` that are asked though
they are not public web addresses. Credentials go to the connection's own site and nowhere else,
whatever it redirects to. Loads the HTTP library: import it inside a task.
"""

from functools import partial
from urllib.parse import urlsplit

import requests
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowNotFoundException
from requests.auth import AuthBase, HTTPBasicAuth

from include.credentials import header_value, site_address
from include.documents.addresses import AddressGuard
from include.documents.sources.client import MAX_REDIRECTS, GuardedClient
from include.errors import ConfigurationError

GITHUB_CONN_ID = "participation_github"

WEB_CONN_ID = "participation_web"
"""Where it exists, documents are fetched with it."""

_DEFAULT_PORTS = {"http": 80, "https": 443}


def web_client(
    connection: Connection | str | None = None, *, max_redirects: int = MAX_REDIRECTS
) -> GuardedClient:
    """Make a client with a connection's credentials and allowed endpoints; without, a plain one.

    Args:
        connection: One of Airflow's, or its id.
        max_redirects: How often the client goes where it is sent; 0 takes a redirect for an answer.

    Raises:
        ConfigurationError: The connection's fields cannot be used.
    """
    if connection is None:
        return GuardedClient()
    known = BaseHook.get_connection(connection) if isinstance(connection, str) else connection
    password = known.password or ""
    if not known.login:
        # Sent as it is; with a login both are encoded.
        password = header_value(password, f"connection {known.conn_id}")
    credentials = OwnSiteAuth(site_of(known), known.login, password, headers_of(known))
    return GuardedClient(
        guard_of(known), partial(_session, credentials), max_redirects=max_redirects
    )


def documents_client() -> GuardedClient:
    """Make the client that fetches documents: by its connection where there is one, else a plain one.

    Raises:
        ConfigurationError: The connection's fields cannot be used.
    """
    try:
        return web_client(WEB_CONN_ID)
    except AirflowNotFoundException:
        return web_client()


def site_of(connection: Connection) -> str:
    """Write the address of a connection's site: ``https://`` and its host unless it says otherwise.

    Raises:
        ConfigurationError: It names no host, or a scheme that is not of the web.
    """
    host = (connection.host or "").rstrip("/")
    scheme = connection.schema or "https"
    url = host if "://" in host else f"{scheme}://{host}"
    who = f"connection {connection.conn_id}"
    url = site_address(url, who)
    if connection.port and urlsplit(url).port is None:
        parts = urlsplit(url)
        url = parts._replace(netloc=f"{parts.netloc}:{connection.port}").geturl()
    return site_address(url, who)


def guard_of(connection: Connection) -> AddressGuard:
    """Make the guard that lets through what a connection's extra names under ``allowed``.

    Raises:
        ConfigurationError: That is no list of endpoints.
    """
    allowed = connection.extra_dejson.get("allowed", [])
    if not isinstance(allowed, list) or not all(isinstance(each, str) for each in allowed):
        raise ConfigurationError(
            f"connection {connection.conn_id}: 'allowed' must be a list such as [\"192.0.2.7:8080\"]"
        )
    return AddressGuard(allowed=allowed)


def headers_of(connection: Connection) -> dict[str, str]:
    """Read the headers that a connection's extra names under ``headers``.

    Raises:
        ConfigurationError: They are no object, or no request could carry them.
    """
    who = f"connection {connection.conn_id}"
    given = connection.extra_dejson.get("headers", {})
    if not isinstance(given, dict):
        raise ConfigurationError(f"{who}: 'headers' must be an object")
    return {header_value(name, who): header_value(value, who) for name, value in given.items()}


class OwnSiteAuth(AuthBase):
    """Adds credentials to requests to one site, and to no other."""

    def __init__(
        self, site: str, login: str | None, password: str | None, headers: dict[str, str]
    ) -> None:
        self._origin = _origin(site)
        self._login = login
        self._password = password
        self._headers = headers

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign one request; each redirect is a request of its own."""
        if _origin(str(request.url)) != self._origin:
            return request
        request.headers.update(self._headers)
        if self._login:
            HTTPBasicAuth(self._login, self._password or "")(request)
        elif self._password:
            request.headers["Authorization"] = f"Bearer {self._password}"
        return request


def _session(credentials: OwnSiteAuth) -> requests.Session:
    session = requests.Session()
    session.auth = credentials
    return session


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    port = parts.port if parts.port is not None else _DEFAULT_PORTS.get(parts.scheme, 0)
    return parts.scheme, (parts.hostname or "").rstrip("."), port
