"""Which addresses of the network a document may be fetched from.

A list of addresses is input like any other: one of them, or what it redirects to, may point at this
machine, at the town hall's network or at the metadata service of a cloud. The guard reads the
address as written, and then every network address that its name stands for; a connection is made to
one of those and to no other, so a name that changes its mind in between changes nothing.
"""

import re
import socket
import unicodedata
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from urllib.parse import SplitResult, urlsplit

from include.contributions.sources.boundary import cleaned
from include.errors import PermanentError

Resolver = Callable[[str, int], Collection[str]]
"""The network addresses of a host name; raises ``OSError`` where there is none."""

MAX_URL_BYTES = 2_000
"""An index of the ledger holds an address of this length, whatever its characters."""

WEB_PORTS = frozenset({80, 443})

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NOT_IN_URLS = re.compile(r"[\x00-\x20\x7f\\\ud800-\udfff]")
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_NAT64 = IPv6Network("64:ff9b::/96")
# Public by their numbers, but the host's own services answer there (Azure's wire server).
_SERVICE_ADDRESSES = frozenset({ip_address("168.63.129.16")})
# Set apart for protocols, relays and documents; Python counts some or all of them among the public ones.
_SET_APART = (
    IPv4Network("192.0.0.0/24"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("3fff::/20"),
)


class AddressRefusedError(PermanentError):
    """An address that is not fetched; ``reason`` is a code, ``detail`` a sentence for a clerk."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class AddressGuard:
    """Lets public web addresses pass, and what was named one by one.

    Args:
        allowed: Endpoints such as ``192.0.2.7:8080`` or ``[::1]:8000`` that pass whatever they are;
            nothing is allowed by default, and nothing outside the caller can add to it.
        ports: Ports on which any public address may be asked.
        resolve: Looks names up; the system's resolver by default.
    """

    def __init__(
        self,
        allowed: Collection[str] = (),
        ports: Collection[int] = WEB_PORTS,
        resolve: Resolver | None = None,
    ) -> None:
        self._allowed = frozenset(allowed)
        self._ports = frozenset(ports)
        self._resolve = resolve or system_addresses

    def checked(self, url: str) -> str:
        """Return an address without its fragment when it may be asked, as far as its text shows.

        Raises:
            AddressRefusedError: It may not, with the reason.
        """
        parts = _parts(url)
        host, port = parts.hostname or "", _port(parts)
        literal = _literal(host)
        if literal is not None:
            self._check(host, literal, port)
        elif port not in self._ports and not any(
            endpoint.endswith(f":{port}") for endpoint in self._allowed
        ):
            raise _refused_port(host, port)
        return parts._replace(fragment="").geturl()

    def addresses(self, host: str, port: int) -> list[str]:
        """Look a host up once and return its addresses, in order, when all of them may be asked.

        Raises:
            AddressRefusedError: One of them may not: whoever answers with a mixture is not trusted.
                Or no site can have that name.
            OSError: The name is not known, or the resolver did not answer.
        """
        try:
            found = list(dict.fromkeys(self._resolve(host, port)))
        except UnicodeError:
            raise _unreadable(host, "aucun site ne peut porter ce nom") from None
        for written in found:
            self._check(host, ip_address(written.partition("%")[0]), port)
        if not found:
            raise OSError(f"{host}: no address")
        return found

    def _check(self, host: str, address: IPv4Address | IPv6Address, port: int) -> None:
        shown = f"[{address}]" if address.version == 6 else str(address)  # noqa: PLR2004 - IP's own number
        if f"{shown}:{port}" in self._allowed:
            return
        if not is_public(address):
            raise AddressRefusedError(
                "refused_address",
                f"L'adresse {host} mène à un réseau interne ou réservé ({address}) : "
                "elle n'est pas consultée. Indiquer une adresse publique.",
            )
        if port not in self._ports:
            raise _refused_port(host, port)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Say whether an address belongs to the public network, also when another one is packed in it.

    >>> [is_public(ip_address(each)) for each in ("93.184.215.14", "::ffff:127.0.0.1", "fe80::1")]
    [True, False, False]
    """
    if address in _SERVICE_ADDRESSES or any(address in network for network in _SET_APART):
        return False
    if isinstance(address, IPv6Address):
        packed = address.ipv4_mapped or address.sixtofour
        if packed is None and address in _NAT64:
            packed = IPv4Address(int(address) & 0xFFFFFFFF)
        if packed is not None:
            return is_public(packed)
        if address.is_site_local or address.teredo:
            return False
    return address.is_global and not (
        address.is_multicast
        or address.is_reserved
        or address.is_loopback
        or address.is_link_local
        or address.is_unspecified
    )


def is_address(url: str) -> bool:
    """Say whether a text is an address of the web at all, which the ledger could hold.

    >>> is_address("https://example.org/a b"), is_address("https://example.org/a%20b")
    (False, True)
    """
    try:
        _parts(url)
    except AddressRefusedError:
        return False
    return True


def system_addresses(host: str, port: int) -> list[str]:
    """Ask the system's resolver, in the order in which it prefers the answers."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


def _parts(url: str) -> SplitResult:
    if len(url.encode(errors="replace")) > MAX_URL_BYTES:
        raise _unreadable(url, f"elle dépasse {MAX_URL_BYTES} octets")
    if _NOT_IN_URLS.search(url):
        raise _unreadable(url, "elle contient une espace ou un caractère interdit")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        raise _unreadable(url, "elle est mal formée") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise AddressRefusedError(
            "refused_scheme",
            f"L'adresse « {shown_url(url)} » ne commence ni par http:// ni par https:// : "
            "seules les adresses du web sont consultées.",
        )
    if "@" in parts.netloc:
        raise AddressRefusedError(
            "refused_credentials",
            "Une adresse contient un nom d'utilisateur ou un mot de passe : les retirer et "
            "configurer une connexion pour ce site.",
        )
    if not host:
        raise _unreadable(url, "le nom du site manque")
    return parts


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise _unreadable(parts.geturl(), "le port n'est pas un nombre valable") from None
    return _DEFAULT_PORTS[parts.scheme] if port is None else port


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """Read a host that is an address itself; one written in an unusual way is refused."""
    # Full-width and circled digits become plain ones on the way to the resolver, so here too.
    plain = unicodedata.normalize("NFKC", host)
    try:
        return ip_address(plain)
    except ValueError:
        if "%" in plain or ":" in plain or _ENDS_IN_NUMBER.fullmatch(plain):
            raise AddressRefusedError(
                "refused_address",
                f"L'adresse {host} est écrite sous une forme numérique inhabituelle : "
                "écrire le nom du site.",
            ) from None
        return None


def address_name(url: str) -> str:
    """Call an address by itself; one that is refused as it is written, without what may be a password.

    >>> address_name("https://example.org/a@b"), address_name("https://a:b@example.org/page")
    ('https://example.org/a@b', 'https://…@example.org/page')
    """
    try:
        _parts(url)
    except AddressRefusedError:
        return cleaned(shown_url(url, MAX_URL_BYTES // 4))[0]
    return cleaned(url)[0]


def shown_url(url: str, limit: int = 200) -> str:
    """Write an address for a person: short, without what may be a password and control characters.

    >>> shown_url("https://a:b@example.org/page")
    'https://…@example.org/page'
    """
    clean = "".join(character if character.isprintable() else "�" for character in url[:limit])
    return re.sub(r"//[^/@]*@", "//…@", clean)


def _unreadable(url: str, why: str) -> AddressRefusedError:
    return AddressRefusedError(
        "bad_url", f"L'adresse « {shown_url(url)} » est inutilisable : {why}. La corriger."
    )


def _refused_port(host: str, port: int) -> AddressRefusedError:
    return AddressRefusedError(
        "refused_port",
        f"L'adresse {host} demande le port {port} : seuls les ports du web (80 et 443) sont "
        "consultés. L'autoriser dans la connexion si le site est connu.",
    )
