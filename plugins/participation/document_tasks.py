"""The tasks of ``document_intake``: find documents, read them by their kind, balance the books.

Every function opens nothing and hands over a docket. What is read is asked from the ledger each time,
so that a run that died, came twice or came late ends where any other would.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowSkipException

from include.dockets import fitting
from include.documents.addresses import is_address
from include.documents.chunking import SPLITTER_VERSION, ChunkSizes
from include.documents.intake import take_files
from include.documents.model import (
    KIND_OF,
    LeftOut,
    Media,
    Page,
    Received,
    SetAside,
    Unchanged,
    Validators,
)
from include.documents.parsing import PARSER_VERSION, OcrSettings, parse_file
from include.documents.parsing.ocr import obstacle
from include.documents.parsing.sentences import set_aside
from include.documents.sniffing import sniff
from include.documents.sources.inspection import Location
from include.errors import (
    ConfigurationError,
    PermanentError,
    ProviderRefusedError,
    ProviderUnavailableError,
    TransientError,
    cause_chain,
)
from participation.ledger import document_books, metrics
from participation.ledger.chunks import LedgerChunks
from participation.ledger.documents import LedgerDocuments, ToParse
from participation.ledger.locks import item_lock
from participation.progress import Progress
from participation.steps import Visit

OnError = Literal["stop", "continue", "retry"]
Outcome = Literal["done", "set_aside", "failed", "elsewhere"]

UNKNOWN = "unknown"
"""Noted instead of a medium where the bytes are of no kind that can be read."""

READERS = {
    "document": "read_documents",
    "image": "read_images",
    "video": "read_transcripts",
    UNKNOWN: "set_aside_unknown",
}
"""The branch, by what the bytes are."""

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "hdfs", "oss"})
"""Schemes a folder may have; web addresses go through the guarded client instead."""

SEEN_AT_ONCE = 500
"""Sources that have not changed are noted together: a commit for each would cost more than reading it."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Turns:
    """What one worker did; ``elsewhere`` counts what another one had in its hands."""

    done: int = 0
    set_aside: int = 0
    elsewhere: int = 0
    failed: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = [f"{self.done} done"]
        told += [f"{self.set_aside} set aside"] if self.set_aside else []
        told += [f"{len(self.failed)} failed"] if self.failed else []
        told += [f"{self.elsewhere} by others"] if self.elsewhere else []
        return ", ".join(told)

    def docket(self, **more: Any) -> dict[str, Any]:
        """For the next task: counts, and the first failures."""
        return {
            "done": self.done,
            "set_aside": self.set_aside,
            "elsewhere": self.elsewhere,
            "failed": [sentence[:200] for sentence in self.failed[:10]],
            **more,
        }


def take_turns(
    visit: Visit,
    step: str,
    ids: Iterable[str],
    work: Callable[[str], Outcome],
    on_error: OnError = "retry",
    amount: Callable[[], str] = str,
) -> Turns:
    """Do a step of each document that nobody else holds.

    ``work`` says ``elsewhere`` when another worker did it in the meantime. With ``continue`` a
    document that fails is left for the next run; with ``retry`` the others go on and the task is
    tried again; ``stop`` ends at the first one. ``amount`` words what was read or stored so far: the
    log, and Airflow beside the running task, say after each document how far this worker is.

    Raises:
        ProviderUnavailableError, ProviderRefusedError, ConfigurationError: At once: they are about
            no single document.
        TransientError: Documents failed; what was done stays done.
        PermanentError: As asked, the first trouble ended the work.
        AirflowSkipException: The other workers left nothing to do.
    """
    turns = Turns()
    ids = list(ids)
    progress = Progress(visit.context)
    for place, document_id in enumerate(ids, start=1):
        progress.say(
            f"{place} of {len(ids)}: document {document_id[:12]} ({_so_far(turns, amount)})"
        )
        with item_lock(visit.connection, step, document_id) as taken:
            outcome = _attempted(visit, turns, document_id, work) if taken else "elsewhere"
        turns.elsewhere += outcome == "elsewhere"
        turns.done += outcome == "done"
        turns.set_aside += outcome == "set_aside"
        if on_error == "stop" and outcome in {"failed", "set_aside"}:
            raise PermanentError(
                f"stopped at document {document_id}, as asked: "
                f"{turns.failed[0] if turns.failed else 'it was set aside, see the ledger'}"
            )
    progress.end(_so_far(turns, amount))
    visit.input_size = turns.done + turns.set_aside + len(turns.failed)
    visit.output_size = turns.done
    if turns.failed and on_error == "retry":
        raise TransientError(f"{len(turns.failed)} documents failed: {'; '.join(turns.failed[:5])}")
    if not visit.input_size:
        raise AirflowSkipException("nothing left for this worker: the others did it")
    return turns


def _so_far(turns: Turns, amount: Callable[[], str]) -> str:
    return ", ".join(part for part in (str(turns), amount()) if part)


def _attempted(
    visit: Visit, turns: Turns, document_id: str, work: Callable[[str], Outcome]
) -> Outcome:
    visit.item = f"document {document_id}"
    try:
        return work(document_id)
    except (psycopg.Error, ProviderUnavailableError, ProviderRefusedError, ConfigurationError):
        # The next document would meet the same, and cost as much time or money.
        raise
    except Exception as error:
        log.warning("document %s failed", document_id, exc_info=True)
        turns.failed.append(f"{document_id[:12]}: {cause_chain(error)}")
        return "failed"


# Find


def find_documents(visit: Visit, params: dict[str, Any]) -> dict[str, Any]:
    """Keep the bytes of everything that the sources hold, and note where they were met.

    Raises:
        ConfigurationError: The folder lies outside the inbox or is of no known store, or the sizes
            contradict each other; nothing was taken.
        UnreadableSourceError: There is no such folder.
    """
    folder, urls = params.get("folder"), params.get("urls") or []
    sizes = _asked_sizes(visit, params)
    documents = _documents(visit)
    counts = dict.fromkeys(("new", "changed", "unchanged", "waits", "elsewhere", "set_aside"), 0)
    waiting: list[str] = []
    seen: list[str] = []
    for outcome in _outcomes(visit, folder, urls, documents):
        match outcome:
            case Received():
                noted = _noted(visit, documents, outcome)
                counts[noted] += 1
                if noted == "unchanged":
                    seen.append(outcome.uri)
            case Unchanged():
                seen.append(outcome.uri)
                counts["unchanged"] += 1
            case LeftOut():
                counts[outcome.standing] += 1
                log.info("%s: %r (%s)", outcome.standing, outcome.uri, outcome.why.detail)
                if outcome.standing == "set_aside":
                    documents.set_aside(outcome.uri, None, "find", outcome.why)
                elif outcome.standing == "waits":
                    waiting.append(f"{outcome.uri[-120:]}: {outcome.why.detail}"[:300])
        if len(seen) >= SEEN_AT_ONCE:
            documents.seen_again(seen)
            seen.clear()
    documents.seen_again(seen)
    if sizes is not None:
        chunks = LedgerChunks(visit.connection, visit.settings.municipality)
        chunks.choose(sizes, SPLITTER_VERSION, visit.attempt.run_id)
    visit.input_size = sum(counts.values())
    visit.output_size = counts["new"] + counts["changed"]
    return fitting("waiting", waiting[:10], counts)


def _outcomes(
    visit: Visit, folder: str | None, urls: Sequence[str], documents: LedgerDocuments
) -> Iterator[Received | Unchanged | LeftOut]:
    store = visit.settings.documents
    if folder or not urls:
        yield from take_files(_location(visit, folder), store)
    if urls:
        from include.documents.sources.urls import take_urls  # noqa: PLC0415 - loads the HTTP library
        from participation.hooks.web import web_client  # noqa: PLC0415 - the same

        asked = [url.strip() for url in urls]
        whole = filter(is_address, asked)
        known = {url: known for url in whole if (known := documents.known_origin(url))}
        yield from take_urls(asked, store, web_client(), known)


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
    before = documents.known_origin(received.uri)
    as_before = Validators(received.kept.document_id, received.etag, received.last_modified)
    if received.kept.is_new:
        # Bytes that were lost are back: what was set aside for it is tried again.
        documents.resolve(received.uri, "taken in")
    if before == as_before:
        return "unchanged"
    if before is None or before.document_id != received.kept.document_id:
        media = _sniffed(visit.settings.documents, received.kept.stored_path, received.metadata)
        noted = UNKNOWN if isinstance(media, SetAside) else str(media)
        received = replace(received, metadata={**received.metadata, "media": noted})
    outcome = documents.keep_origin(received)
    if outcome == "new":
        documents.resolve(received.uri, "taken in")
    return outcome


def _sniffed(store: Path, stored_path: str, metadata: dict[str, Any]) -> Media | SetAside:
    return sniff((store / stored_path).read_bytes(), str(metadata.get("name", "")))


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


# Plan and choose


def plan_reading(visit: Visit, cores: int, *, ocr: bool) -> list[int]:
    """Number the workers: one per document that waits, at most one per core.

    Raises:
        AirflowSkipException: Nothing waits.
    """
    return workers(visit, len(_waiting(visit, ocr=ocr)), cores, "every document is read")


def workers(visit: Visit, waiting: int, cores: int, otherwise: str) -> list[int]:
    """Number the workers for some waiting documents.

    Raises:
        AirflowSkipException: There are none, for the reason given.
    """
    visit.input_size = waiting
    visit.output_size = count = min(waiting, max(cores, 1))
    if not count:
        raise AirflowSkipException(f"nothing to do: {otherwise}")
    log.info("%s documents wait, %s workers", waiting, count)
    return list(range(count))


def choose_readers(visit: Visit, *, ocr: bool) -> list[str]:
    """Name the tasks whose kinds of documents wait."""
    kinds = {_kind(visit, each) for each in _waiting(visit, ocr=ocr)}
    visit.output_size = len(kinds)
    return sorted(READERS[kind] for kind in kinds)


def _waiting(visit: Visit, *, ocr: bool) -> list[ToParse]:
    can_read_scans = obstacle(OcrSettings(enabled=ocr)) is None
    return _documents(visit).to_parse(PARSER_VERSION, ocr=can_read_scans)


def _media(visit: Visit, waiting: ToParse) -> Media | SetAside:
    if not (visit.settings.documents / waiting.kept.stored_path).is_file():
        return set_aside("missing_bytes")
    noted = waiting.metadata.get("media", UNKNOWN)
    if noted != UNKNOWN:
        return Media(noted)
    return _sniffed(visit.settings.documents, waiting.kept.stored_path, waiting.metadata)


def _kind(visit: Visit, waiting: ToParse) -> str:
    media = _media(visit, waiting)
    return UNKNOWN if isinstance(media, SetAside) else str(KIND_OF[media])


# Read


@dataclass(slots=True)
class Pages:
    """The pages that one worker met so far."""

    pages_in: int = 0
    pages_ocr: int = 0
    pages_set_aside: int = 0

    def add(self, pages: Sequence[Page]) -> None:
        """Count the pages of one more document."""
        self.pages_in += len(pages)
        self.pages_ocr += sum(page.method == "ocr" for page in pages)
        self.pages_set_aside += sum(page.method == "set_aside" for page in pages)

    def __str__(self) -> str:
        return (
            f"{self.pages_in} pages, {self.pages_ocr} by OCR, {self.pages_set_aside} set aside"
            if self.pages_in
            else ""
        )


def read_kind(visit: Visit, kind: str, *, ocr: bool, on_error: OnError) -> dict[str, Any]:
    """Read the waiting documents of one kind; one that cannot be read is set aside with its reason."""
    settings = OcrSettings(enabled=ocr)
    can_read_scans = obstacle(settings) is None
    documents = _documents(visit)
    pages = Pages()

    def read(document_id: str) -> Outcome:
        again = documents.to_parse(PARSER_VERSION, ocr=can_read_scans, document_id=document_id)
        return _read(visit, documents, again[0], settings, pages) if again else "elsewhere"

    waiting = [each for each in _waiting(visit, ocr=ocr) if _kind(visit, each) == kind]
    ids = [each.kept.document_id for each in waiting]
    turns = take_turns(visit, "parse", ids, read, on_error, lambda: str(pages))
    return turns.docket(**asdict(pages))


def _read(
    visit: Visit,
    documents: LedgerDocuments,
    waiting: ToParse,
    settings: OcrSettings,
    pages: "Pages",
) -> Outcome:
    media = _media(visit, waiting)
    if isinstance(media, SetAside):
        return _set_aside(documents, waiting, media)
    path = visit.settings.documents / waiting.kept.stored_path
    log.info("reading %s: %s, %s bytes", waiting.uri, media, waiting.kept.size_bytes)
    parsed = parse_file(path, media, ocr=settings)
    if isinstance(parsed, SetAside):
        return _set_aside(documents, waiting, parsed)
    documents.add_document(waiting.kept, media, parsed, PARSER_VERSION)
    pages.add(parsed.pages)
    log.info("read %s: %s pages", waiting.uri, len(parsed.pages))
    return "done"


def _set_aside(documents: LedgerDocuments, waiting: ToParse, why: SetAside) -> Outcome:
    log.warning("set aside: %s (%s)", waiting.uri, why.detail)
    documents.set_aside(waiting.uri, waiting.kept.document_id, "parse", why, PARSER_VERSION)
    return "set_aside"


# Reconcile


def reconcile_intake(visit: Visit, *, ocr: bool) -> dict[str, Any]:
    """Balance the town's documents and pages, and list what is set aside with its reasons.

    Raises:
        ReconciliationError: A document or a page is nowhere.
        PermanentError: The books balance, but tasks of this run failed.
    """
    books = document_books.balance(
        visit.connection, visit.settings.municipality, PARSER_VERSION
    ).as_dict()
    count, listed = document_books.set_aside(visit.connection, visit.settings.municipality)
    result: dict[str, Any] = {"books": books, "set_aside_count": count}
    if why := obstacle(OcrSettings(enabled=ocr)):
        result["ocr"] = why
    entries = []
    for uri, reason, detail in listed:
        log.warning("set aside: %r: %s (%s)", uri, detail, reason)
        entries.append({"uri": uri[-300:], "reason": reason, "detail": detail[:300]})
    visit.input_size, visit.output_size = books["documents"], books["parsed"]
    check_run(visit)
    return fitting("set_aside", entries, result)


def check_run(visit: Visit) -> None:
    """Close what lost attempts left open, and turn the run red when one of its tasks failed.

    Raises:
        PermanentError: Tasks failed; what the others did stays.
    """
    metrics.close_lost(
        visit.connection, visit.attempt.dag_id, visit.attempt.run_id, keep=visit.attempt
    )
    if failed := visit.failed_tasks():
        raise PermanentError(
            f"the books balance, but tasks failed: {failed}; clear them, or let the next run take "
            "what they left"
        )


def _documents(visit: Visit) -> LedgerDocuments:
    return LedgerDocuments(visit.connection, visit.settings.municipality, visit.attempt.run_id)
