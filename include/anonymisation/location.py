"""Say whether an endpoint stands in the house, and let nothing go outside that nobody allowed.

One rule for the model that judges (``participation_llm``), the one that drafts (``participation_model``)
and the one that embeds (``participation_embeddings``).
"""

from collections.abc import Mapping
from ipaddress import IPv6Address, ip_address
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from include.errors import ConfigurationError

Location: TypeAlias = Literal["local", "outside"]

IS_LOCAL = "is_local"
OUTSIDE_ALLOWED = "outside_allowed"


def location_of(host: str | None, extra: Mapping[str, Any] | None = None) -> Location:
    """Place a connection by its host, or by what its extra says of it.

    Args:
        host: An address with or without its scheme; none is a provider's own.
        extra: ``is_local`` says it of a host that its name does not show; without, local is what is this
            machine or an address of a private network.

    Raises:
        ConfigurationError: ``is_local`` is neither true nor false.

    >>> location_of("http://127.0.0.1:8080/v1"), location_of("https://provider.example/v1")
    ('local', 'outside')
    >>> location_of("http://models.town.example", {"is_local": True})
    'local'
    """
    said = _switch(extra or {}, IS_LOCAL)
    if said is not None:
        return "local" if said else "outside"
    return "local" if _is_private(_host_of(host or "")) else "outside"


def allowed_location(
    who: str, host: str | None, extra: Mapping[str, Any] | None = None
) -> Location:
    """Place a connection, and refuse one outside that nobody switched on.

    Args:
        who: What asks, for the message.
        host: As of :func:`location_of`.
        extra: The same, with ``outside_allowed``.

    Raises:
        ConfigurationError: It is outside and ``outside_allowed`` is not true; nothing was sent.

    >>> allowed_location("model", "https://provider.example", {"outside_allowed": True})
    'outside'
    """
    location = location_of(host, extra)
    if location == "outside" and _switch(extra or {}, OUTSIDE_ALLOWED) is not True:
        raise ConfigurationError(
            f"{who}: {_host_of(host or '') or 'the provider'} is outside the house. Texts go there, "
            f'anonymised, when the extra of the connection holds "{OUTSIDE_ALLOWED}": true; what that '
            f"leaves in them is measured in docs/anonymisation.md. A host of your own whose name does not "
            f'show it is marked with "{IS_LOCAL}": true'
        )
    return location


def _switch(extra: Mapping[str, Any], name: str) -> bool | None:
    value = extra.get(name)
    # "false" in quotes would be true.
    if value is not None and not isinstance(value, bool):
        raise ConfigurationError(f"{name} is {value!r}; it is true or false, without quotes")
    return value


def _host_of(host: str) -> str:
    try:
        return urlsplit(host if "//" in host else f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_private(host: str) -> bool:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host.rstrip(".") == "localhost"
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_private
    return address.is_private
