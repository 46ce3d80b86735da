"""What an operator typed into a connection, looked at before an error could repeat it.

A library that meets an impossible header or address names it in its error, and from there a key
reaches logs, the ledger and pages. So a key is checked where it comes in, and an address may hold none.
"""

from urllib.parse import urlsplit

from include.errors import ConfigurationError

_NEVER_IN_SITES = "@?#"


def header_value(value: str, who: str) -> str:
    r"""Take a key, a password or a header's value, without the line end that came with pasting it.

    Raises:
        ConfigurationError: It holds a character that no header may have; the value is not repeated.

    >>> header_value("sk-1\n", "provider")
    'sk-1'
    """
    stripped = str(value or "").strip()
    if not (stripped.isascii() and stripped.isprintable()):
        raise ConfigurationError(f"{who}: the key or a header holds a character no header may have")
    return stripped


def site_address(url: str, who: str) -> str:
    """Take the address of a site.

    Raises:
        ConfigurationError: It is none, or holds a name, a password or a query; then it is not repeated.

    >>> site_address(" https://provider.example/v1 ", "provider")
    'https://provider.example/v1'
    """
    stripped = str(url).strip()
    if any(mark in stripped for mark in _NEVER_IN_SITES):
        raise ConfigurationError(
            f"{who}: the address holds one of {' '.join(_NEVER_IN_SITES)}; give the site alone, and "
            "what it asks for as login and password of the connection"
        )
    try:
        parts = urlsplit(stripped)
        is_site = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_site = False
    if not is_site:
        raise ConfigurationError(f"{who}: {stripped!r} is no site; give an http(s) address")
    return stripped
