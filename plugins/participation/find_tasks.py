"""The tasks of ``document_intake`` that find documents: in the inbox, in an object store, at addresses.

Every function opens nothing and hands over a docket. What is found is kept under the hash of its bytes and
noted with where it was met; reading it is the affair of :mod:`participation.document_tasks`.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import psycopg
from airflow.sdk import ObjectStoragePath

from include.dockets import fitting
from include.documents.addresses import address_name
from include.documents.chunking import SPLITTER_VERSION, ChunkSizes
from include.documents.intake import take_files
from include.documents.model import LeftOut, Received, SetAside, Unchanged, Validators
from include.documents.parsing.sentences import process_failed, set_aside
from include.documents.sources.folder import uri_of
from include.documents.sources.inspection import Location
from include.errors import ConfigurationError, TransientError
from participation.document_tasks import UNKNOWN, RefusedDocumentError, documents_of, sniffed
from participation.ledger.addresses import LedgerAddresses
from participation.ledger.chunks import LedgerChunks
from participation.ledger.documents import LedgerDocuments
from participation.steps import Visit

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "hdfs", "oss"})
"""Schemes a folder may have; web addresses go through the guarded client instead."""

INDEXABLE_CHARACTERS = 601
"""Of a name, at four bytes each."""

ADDRESSES_A_RUN = 200
ADDRESSES_BUDGET_S = 900.0
"""Slow sites take 90 s each: what has no turn within this time is asked by a later run."""

SEEN_AT_ONCE = 500
"""Sources that have not changed are noted together: a commit for each would cost more than reading it."""

log = logging.getLogger(__name__)


def find_documents(visit: Visit, params: dict[str, Any]) -> dict[str, Any]:
    """Keep the bytes of everything that the sources hold, and note where they were met.

    Raises:
        ConfigurationError: The folder lies outside the inbox or is of no known store, or the sizes
            contradict each other; nothing was taken.
        UnreadableSourceError: There is no such folder.
    """
    folder, urls = params.get("folder"), params.get("urls") or []
    sizes = _asked_sizes(visit, params)
    documents = documents_of(visit)
    counts = dict.fromkeys(("new", "changed", "unchanged", "waits", "elsewhere", "set_aside"), 0)
    waiting: list[str] = []
    seen: dict[bool, list[str]] = {False: [], True: []}
    for outcome in _outcomes(visit, folder, urls, documents):
        match outcome:
            case Received():
                noted = _noted(visit, documents, outcome)
                counts[noted] += 1
                if noted == "unchanged":
                    seen[_is_fetched(outcome)].append(outcome.uri)
            case Unchanged():
                seen[_is_fetched(outcome)].append(outcome.uri)
                counts["unchanged"] += 1
            case LeftOut():
                counts[outcome.standing] += 1
                log.info("%s: %r (%s)", outcome.standing, outcome.uri, outcome.why.detail)
                if outcome.standing == "waits":
                    waiting.append(f"{outcome.uri[-120:]}: {outcome.why.detail}"[:300])
        _note_seen(documents, seen, SEEN_AT_ONCE)
    _note_seen(documents, seen)
    if sizes is not None:
        chunks = LedgerChunks(visit.connection, visit.settings.municipality)
        chunks.choose(sizes, SPLITTER_VERSION, visit.attempt.run_id)
    visit.input_size = sum(counts.values())
    visit.output_size = counts["new"] + counts["changed"]
    addresses = LedgerAddresses(visit.connection, visit.settings.municipality)
    return fitting("waiting", waiting[:10], {**counts, "addresses_left": addresses.count_due()})


def _is_fetched(outcome: Received | Unchanged) -> bool:
    return isinstance(outcome, Unchanged) or outcome.source == "url"


def take_document(visit: Visit, path: str) -> str:
    """Take one file of the inbox in, as a look through the inbox does; the id of its document.

    Raises:
        ConfigurationError: The path lies outside the inbox, or is a folder's.
        UnreadableSourceError: There is no such file.
        RefusedDocumentError: It is not taken in, with the reason.
        TransientError: It is still being written.
    """
    file = visit.settings.inside_inbox(path)
    if file.is_dir():
        raise ConfigurationError(f"{path!r} is a folder: name one file of the inbox")
    documents = documents_of(visit)
    received = None
    for outcome in _look_through(visit, file, documents):
        if isinstance(outcome, Received):
            if _noted(visit, documents, outcome) == "unchanged":
                documents.seen_again([outcome.uri], fetched=False)
            received = outcome
        elif outcome.standing == "waits":
            raise TransientError(f"{outcome.uri}: {outcome.why.detail}")
        else:
            raise RefusedDocumentError(outcome.why)
    if received is None:
        raise ConfigurationError(f"{path!r} is no document: name one file of the inbox")
    return received.kept.document_id


def _note_seen(
    documents: LedgerDocuments, seen: Mapping[bool, list[str]], at_least: int = 1
) -> None:
    for fetched, uris in seen.items():
        if len(uris) >= at_least:
            documents.seen_again(uris, fetched=fetched)
            uris.clear()


def _outcomes(
    visit: Visit, folder: str | None, urls: Sequence[str], documents: LedgerDocuments
) -> Iterator[Received | Unchanged | LeftOut]:
    if folder or not urls:
        yield from _look_through(visit, _location(visit, folder), documents)
    if urls or not folder:
        yield from _ask_sites(visit, urls, documents)


def _look_through(
    visit: Visit, root: Location, documents: LedgerDocuments
) -> Iterator[Received | LeftOut]:
    """Take a folder's files; what was set aside there and is not met any more is closed at the end."""
    left: dict[str, set[str]] = {"set_aside": set(), "waits": set(), "elsewhere": set()}
    for outcome in take_files(root, visit.settings.documents):
        if isinstance(outcome, LeftOut):
            left[outcome.standing].add(outcome.uri)
            if outcome.standing == "set_aside":
                documents.set_aside(outcome.uri, None, "find", outcome.why)
        yield outcome
    documents.close_unmet(uri_of(root), left["set_aside"], left["waits"])


def _ask_sites(
    visit: Visit, urls: Sequence[str], documents: LedgerDocuments
) -> Iterator[Received | Unchanged | LeftOut]:
    """Ask the given addresses, or those whose turn it is, as long as there is time for another one."""
    addresses = LedgerAddresses(visit.connection, visit.settings.municipality)
    given = list(dict.fromkeys(filter(None, (url.strip() for url in urls))))
    # The guard will refuse the others as they are written: nothing of them is kept.
    usable = [url for url in given if address_name(url) == url]
    addresses.want(usable)
    due = addresses.due(ADDRESSES_A_RUN, usable if given else None)
    asked = [*(url for url in given if address_name(url) != url), *due]
    if not asked:
        return
    from include.documents.sources.urls import take_urls  # noqa: PLC0415 - loads the HTTP library
    from participation.hooks.web import documents_client  # noqa: PLC0415 - the same

    client = documents_client()
    until = time.monotonic() + ADDRESSES_BUDGET_S
    for place, url in enumerate(asked):
        if time.monotonic() >= until:
            log.info("no time for %s more addresses: a later run asks them", len(asked) - place)
            return
        # What the guard will refuse as it is written, such as a NUL, is no question to the ledger.
        is_usable = address_name(url) == url
        known = documents.known_origin(url, fetched=True) if is_usable else None
        for outcome in take_urls(
            [url], visit.settings.documents, client, {url: known} if known else None
        ):
            if isinstance(outcome, LeftOut):
                documents.set_aside(outcome.uri, None, "fetch", outcome.why)
            yield outcome
            waits = isinstance(outcome, LeftOut) and outcome.standing == "waits"
            if is_usable:
                addresses.asked(url, answered=not isinstance(outcome, LeftOut), waits=waits)


def _location(visit: Visit, folder: str | None) -> Location:
    scheme = urlsplit(folder).scheme if folder and "://" in folder else ""
    if not folder or scheme in {"", "file"}:
        return visit.settings.inside_inbox(urlsplit(folder).path if folder and scheme else folder)
    if scheme not in OBJECT_STORES or "::" in folder:
        raise ConfigurationError(
            f"folder {folder!r}: give a folder of the inbox or of an object store "
            f"({', '.join(sorted(OBJECT_STORES))}); web addresses belong under urls"
        )
    return ObjectStoragePath(folder)


def _noted(visit: Visit, documents: LedgerDocuments, received: Received) -> str:
    """Note where bytes were met; what fails for this file alone sets it aside."""
    try:
        return _note(visit, documents, received)
    except psycopg.errors.ProgramLimitExceeded:
        why = set_aside("name_too_long")
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except Exception:
        log.warning("%r cannot be noted", received.uri, exc_info=True)
        why = process_failed()
    documents.set_aside(_indexable(received.uri), None, "find", why)
    return "set_aside"


def _indexable(uri: str) -> str:
    """Shorten a name in its middle to what an index of the ledger holds, 2,704 bytes."""
    return uri if len(uri) <= INDEXABLE_CHARACTERS else f"{uri[:200]}…{uri[-400:]}"


def _note(visit: Visit, documents: LedgerDocuments, received: Received) -> str:
    before = documents.known_origin(received.uri, fetched=_is_fetched(received))
    as_before = Validators(received.kept.document_id, received.etag, received.last_modified)
    if received.kept.is_new:
        # Bytes that were lost are back: what was set aside for it is tried again.
        documents.resolve(received.uri, "taken in")
    if before == as_before:
        return "unchanged"
    if before is None or before.document_id != received.kept.document_id:
        media = sniffed(visit.settings.documents, received.kept.stored_path, received.metadata)
        noted = UNKNOWN if isinstance(media, SetAside) else str(media)
        received = replace(received, metadata={**received.metadata, "media": noted})
    return documents.keep_origin(received)


def _asked_sizes(visit: Visit, params: dict[str, Any]) -> ChunkSizes | None:
    size, overlap = params.get("chunk_size"), params.get("chunk_overlap")
    if size is None and overlap is None:
        return None
    chosen = LedgerChunks(visit.connection, visit.settings.municipality).chosen()
    return replace(
        chosen,
        chunk_size=chosen.chunk_size if size is None else size,
        chunk_overlap=chosen.chunk_overlap if overlap is None else overlap,
    )
