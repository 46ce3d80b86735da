"""Ask a site for something, and bear whatever it answers.

Every request, the first and each redirect, passes the guard and is connected to the address that
the guard saw; all of them together have one deadline; what is read is bounded as it is decoded.
Proxies and credentials of the environment are not used: a session brings its own.

This module loads the HTTP library; import it where something is fetched, not where a DAG is read.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urljoin

import requests

from include.documents.addresses import AddressGuard, shown_url
from include.documents.sources.connections import GuardedAdapter
from include.documents.sources.deadline import Deadline
from include.errors import PermanentError, TransientError
from include.ports import WebAnswer

DEADLINE_S = 30.0
"""For one answer, redirects included, from the first look-up to the last byte."""

MAX_REDIRECTS = 5
MAX_ANSWER_BYTES = 16 * 1024 * 1024
"""Of an answer that is held in memory; a document is streamed and has a limit of its own."""

_BLOCK_BYTES = 64 * 1024
_SIZE_DIGITS = 18
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_USER_AGENT = "participation-workflows (municipal documents)"


class SessionMaker(Protocol):
    """Makes a session for one call, with the credentials of the site it knows."""

    def __call__(self) -> requests.Session:
        """Return a fresh session; its credentials must be sent to their own site only."""


class NoAnswerError(TransientError):
    """No whole answer came; ``reason`` is a code, ``detail`` a sentence for a clerk."""

    def __init__(self, reason: str, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.retry_after_s = retry_after_s


class UnusableAnswerError(PermanentError):
    """The answer will not become usable by asking again; attributes as in :class:`NoAnswerError`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer whose body is still to be read: ``blocks`` once, while the call is open."""

    status: int
    url: str
    headers: Mapping[str, str]
    blocks: Iterator[bytes]


class GuardedClient:
    """Asks through a guard, within a deadline.

    Args:
        guard: Which addresses may be asked.
        sessions: Brings credentials; a plain session by default.
        deadline_s: For one answer.
        max_bytes: Of an answer held in memory.
        max_redirects: How often it goes where it is sent; 0 takes a redirect for an answer.
    """

    def __init__(
        self,
        guard: AddressGuard | None = None,
        sessions: SessionMaker = requests.Session,
        deadline_s: float = DEADLINE_S,
        max_bytes: int = MAX_ANSWER_BYTES,
        max_redirects: int = MAX_REDIRECTS,
    ) -> None:
        self._guard = guard or AddressGuard()
        self._sessions = sessions
        self._deadline_s = deadline_s
        self._max_bytes = max_bytes
        self._max_redirects = max_redirects

    def ask(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        method: str | None = None,
    ) -> WebAnswer:
        """Get an address, or post ``body`` as JSON; as in :class:`include.ports.WebClient`."""
        with self.open(url, headers, self._max_bytes, body, method) as reply:
            return WebAnswer(reply.status, reply.url, reply.headers, b"".join(reply.blocks))

    @contextmanager
    def open(
        self,
        url: str,
        headers: Mapping[str, str] | None,
        max_bytes: int,
        body: Any = None,
        method: str | None = None,
    ) -> Iterator[Reply]:
        """Ask, follow redirects, and hand the body over as it comes.

        Raises:
            AddressRefusedError: The guard refuses the address, or one it redirects to.
            NoAnswerError: The site cannot be reached, breaks off or is too slow.
            UnusableAnswerError: Too many redirects, too many bytes, or a body that cannot be decoded.
        """
        with Deadline(self._deadline_s) as deadline, self._session(deadline) as session:
            way = method or ("GET" if body is None else "POST")
            response = self._answer(session, deadline, way, url, headers or {}, body)
            try:
                blocks = _bounded(_blocks(response, deadline, url), response, max_bytes)
                names = {name.lower(): value for name, value in response.headers.items()}
                yield Reply(response.status_code, str(response.url), names, blocks)
            finally:
                response.close()

    def _session(self, deadline: Deadline) -> requests.Session:
        session = self._sessions()
        # The library would read a redirection's whole body, unpacked and without a limit.
        session.get_redirect_target = _no_target  # type: ignore[method-assign]
        session.trust_env = False
        session.headers.update({"User-Agent": _USER_AGENT, "Connection": "close"})
        for scheme in ("http://", "https://"):
            session.mount(scheme, GuardedAdapter(self._guard, deadline))
        return session

    def _answer(
        self,
        session: requests.Session,
        deadline: Deadline,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Any,
    ) -> requests.Response:
        current = url
        for _ in range(self._max_redirects + 1):
            current = self._guard.checked(current)
            response = _once(session, deadline, method, current, headers, body)
            location = response.headers.get("Location")
            if (
                response.status_code not in _REDIRECTS
                or location is None
                or not self._max_redirects
            ):
                return response
            # Each request has its own connection: one that the site is about to close is never reused.
            session.close()
            if method != "GET":
                raise UnusableAnswerError(
                    "redirected_post",
                    f"L'adresse « {shown_url(url)} » renvoie ailleurs au lieu de "
                    "répondre : corriger l'adresse de la connexion.",
                )
            current = _joined(current, location)
        raise UnusableAnswerError(
            "too_many_redirects",
            f"L'adresse « {shown_url(url)} » renvoie d'une page à l'autre plus de "
            f"{MAX_REDIRECTS} fois : indiquer l'adresse finale du document.",
        )


def _no_target(resp: requests.Response) -> str | None:  # noqa: ARG001 - as the library calls it
    return None


def _once(
    session: requests.Session,
    deadline: Deadline,
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: Any,
) -> requests.Response:
    try:
        return session.request(
            method,
            url,
            headers=dict(headers),
            json=None if isinstance(body, bytes) else body,
            data=body if isinstance(body, bytes) else None,
            stream=True,
            allow_redirects=False,
            timeout=deadline.remaining_s(),
        )
    except requests.exceptions.SSLError as error:
        if deadline.has_passed:
            raise _no_answer(url, deadline) from error
        raise NoAnswerError(
            "unreachable",
            f"La connexion sécurisée au site de « {shown_url(url)} » échoue (certificat) : "
            "prévenir son responsable.",
        ) from error
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidHeader):
        raise _bad_url(url) from None
    except (requests.exceptions.RequestException, OSError) as error:
        raise _no_answer(url, deadline) from error
    except ValueError:
        # Its words are those that it refuses, which may be a token.
        raise _bad_url(url) from None


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise UnusableAnswerError(
            "bad_url",
            f"L'adresse « {shown_url(url)} » renvoie à une autre qui est inutilisable : "
            "prévenir le responsable du site.",
        ) from None


def _blocks(response: requests.Response, deadline: Deadline, url: str) -> Iterator[bytes]:
    try:
        yield from response.iter_content(_BLOCK_BYTES)
    except requests.exceptions.ContentDecodingError as error:
        raise UnusableAnswerError(
            "bad_encoding",
            f"Le contenu de « {shown_url(url)} » est mal compressé et ne peut être lu : "
            "prévenir le responsable du site.",
        ) from error
    except (requests.exceptions.RequestException, OSError) as error:
        if deadline.has_passed:
            raise _no_answer(url, deadline) from error
        raise NoAnswerError(
            "incomplete",
            f"Le site a interrompu l'envoi de « {shown_url(url)} » : nouvel essai plus tard.",
        ) from error
    if deadline.has_passed:
        raise _no_answer(url, deadline)


def _bounded(
    blocks: Iterator[bytes], response: requests.Response, max_bytes: int
) -> Iterator[bytes]:
    announced = response.headers.get("Content-Length", "")
    # A number of thousands of digits is one that Python refuses to read.
    size = int(announced[:_SIZE_DIGITS]) if announced.isdecimal() else 0
    received = 0
    while size <= max_bytes:
        block = next(blocks, None)
        if block is None:
            return
        received += len(block)
        size = max(size, received)
        if size <= max_bytes:
            yield block
    limit = max_bytes // (1024 * 1024) or 1
    raise UnusableAnswerError(
        "too_large",
        f"Ce que le site envoie dépasse {limit} Mo : la réception a été arrêtée. "
        "En fournir une version plus légère.",
    )


def _bad_url(url: str) -> UnusableAnswerError:
    return UnusableAnswerError(
        "bad_url",
        f"L'adresse « {shown_url(url)} », ou ce que la connexion y ajoute, est inutilisable. La corriger.",
    )


def _no_answer(url: str, deadline: Deadline) -> NoAnswerError:
    if deadline.has_passed:
        return NoAnswerError(
            "timeout",
            f"Le site de « {shown_url(url)} » est trop lent, l'envoi a été interrompu : "
            "nouvel essai plus tard.",
        )
    return NoAnswerError(
        "unreachable",
        f"Le site de « {shown_url(url)} » ne répond pas : nouvel essai plus tard.",
    )
