"""Fetch a list of addresses: one request for what has not changed, a reason for what cannot be had.

What a server said about its last answer is sent back to it, so that it may answer "not modified";
one that says nothing sends everything again, and the hash tells. Loads the HTTP library.
"""

from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import stamina

from include.contributions.sources.boundary import cleaned
from include.documents.addresses import AddressRefusedError, address_name, shown_url
from include.documents.intake import MAX_DOCUMENT_BYTES, NotKeptError, keep, stored_path
from include.documents.model import LeftOut, Received, SetAside, Unchanged, Validators
from include.documents.sources.client import (
    GuardedClient,
    NoAnswerError,
    Reply,
    UnusableAnswerError,
)
from include.retry_after import retry_after_s

ATTEMPTS = 3
BUDGET_S = 90.0
"""For all attempts at one address; what still fails then waits for the next run."""

MAX_WAIT_S = 10.0
"""A site that asks for a longer pause is left alone until the next run."""

_MAX_HEADER_CHARACTERS = 500
_DENIED = frozenset({401, 402, 403, 407, 451})
_GONE = frozenset({404, 410})
_COMES_BACK = frozenset({408, 425, 429})


def take_urls(
    urls: Sequence[str],
    store: Path,
    client: GuardedClient,
    known: Mapping[str, Validators] | None = None,
    max_bytes: int = MAX_DOCUMENT_BYTES,
) -> Iterator[Received | Unchanged | LeftOut]:
    """Keep what stands at each address; one outcome per address, in order, lazily.

    Args:
        urls: Read in order; blank ones and repetitions are passed over.
        store: As for :func:`include.documents.intake.keep`.
        client: Asks the sites.
        known: What the ledger noted of each address, by the address as given here.
        max_bytes: Larger documents are left out while they arrive.

    Raises:
        StoreUnavailableError: The store cannot be written to.
    """
    for url in dict.fromkeys(filter(None, (url.strip() for url in urls))):
        try:
            yield _taken(url, store, client, (known or {}).get(url), max_bytes)
        except (AddressRefusedError, UnusableAnswerError) as error:
            why = SetAside(error.reason, error.detail)
            yield LeftOut(address_name(url), "set_aside", why)
        except NotKeptError as error:
            yield LeftOut(url, "set_aside", error.why)
        except NoAnswerError as error:
            yield LeftOut(url, "waits", SetAside(error.reason, error.detail))


def _taken(
    url: str, store: Path, client: GuardedClient, known: Validators | None, max_bytes: int
) -> Received | Unchanged:
    # Only for bytes that are still there: "not modified" would never bring lost ones back.
    if known is not None and not (store / stored_path(known.document_id)).is_file():
        known = None
    headers = _conditions(known)
    for attempt in stamina.retry_context(
        on=_again, attempts=ATTEMPTS, timeout=BUDGET_S, wait_initial=0.5
    ):
        with attempt, client.open(url, headers, max_bytes) as reply:
            if reply.status == HTTPStatus.NOT_MODIFIED and known is not None and headers:
                return Unchanged(url, known.document_id)
            _check(url, reply)
            return Received(
                url,
                "url",
                keep(reply.blocks, store, max_bytes),
                _header(reply, "etag"),
                _header(reply, "last-modified"),
                _metadata(url, reply),
            )
    raise AssertionError("the last attempt returns or raises")


def _conditions(known: Validators | None) -> dict[str, str]:
    given = (
        {}
        if known is None
        else {"If-None-Match": known.etag, "If-Modified-Since": known.last_modified}
    )
    return {name: value for name, value in given.items() if value}


def _check(url: str, reply: Reply) -> None:
    """Let an answer with a document pass.

    Raises:
        NoAnswerError: The site says that it will do better later.
        UnusableAnswerError: It says that there is nothing to be had.
    """
    if reply.status in {HTTPStatus.OK, HTTPStatus.NON_AUTHORITATIVE_INFORMATION}:
        return
    shown, status = shown_url(url), reply.status
    if status in _COMES_BACK or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise NoAnswerError(
            "server_error",
            f"Le site de « {shown} » répond par une erreur passagère ({status}) : "
            "nouvel essai plus tard.",
            retry_after_s(reply.headers.get("retry-after")),
        )
    if status in _GONE:
        raise UnusableAnswerError(
            "not_found",
            f"Il n'y a pas ou plus de document à l'adresse « {shown} » ({status}) : la vérifier.",
        )
    if status in _DENIED:
        raise UnusableAnswerError(
            "forbidden",
            f"Le site refuse l'accès à « {shown} » ({status}) : configurer une connexion pour ce "
            "site ou demander le document.",
        )
    raise UnusableAnswerError(
        "unexpected_answer",
        f"Le site de « {shown} » ne donne pas de document ({status}) : vérifier l'adresse.",
    )


def _again(error: Exception) -> bool | float:
    if not isinstance(error, NoAnswerError):
        return False
    if error.retry_after_s is None:
        return True
    return error.retry_after_s if error.retry_after_s <= MAX_WAIT_S else False


def _header(reply: Reply, name: str) -> str | None:
    value = reply.headers.get(name, "").strip()
    # One that was cut would never match again.
    is_usable = 0 < len(value) <= _MAX_HEADER_CHARACTERS and value.isascii() and value.isprintable()
    return value if is_usable else None


def _metadata(url: str, reply: Reply) -> dict[str, Any]:
    path = unquote(urlsplit(reply.url).path, errors="replace")
    metadata: dict[str, Any] = {"name": cleaned(path.rsplit("/", 1)[-1] or url)[0][:300]}
    if reply.url != url:
        metadata["final_url"] = cleaned(reply.url)[0][:2000]
    if kind := _header(reply, "content-type"):
        metadata["content_type"] = kind
    return metadata
