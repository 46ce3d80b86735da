"""The tasks of ``document_intake``: find documents, read them by their kind, balance the books.

Every function opens nothing and hands over a docket. What is read is asked from the ledger each time,
so that a run that died, came twice or came late ends where any other would.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowSkipException

from include.dockets import fitting
from include.documents.addresses import address_name
from include.documents.chunking import SPLITTER_VERSION, ChunkSizes
from include.documents.intake import take_files
from include.documents.model import (
    KIND_OF,
    LeftOut,
    Media,
    Page,
    ParsedDocument,
    Received,
    SetAside,
    Unchanged,
    Validators,
)
from include.documents.parsing import PARSER_VERSION, OcrSettings, parse_file
from include.documents.parsing.ocr import obstacle
from include.documents.parsing.sentences import process_failed, set_aside
from include.documents.sniffing import sniff
from include.documents.sources.folder import uri_of
from include.documents.sources.inspection import Location
from include.errors import ConfigurationError, PermanentError, TransientError
from participation.ledger import document_books
from participation.ledger.addresses import LedgerAddresses
from participation.ledger.chunks import LedgerChunks
from participation.ledger.documents import LedgerDocuments, ToParse
from participation.steps import Visit
from participation.turns import OnError, Outcome, check_run, take_turns, workers

UNKNOWN = "unknown"
"""Noted instead of a medium where the bytes are of no kind that can be read."""

READERS = {
    "document": "plan_documents",
    "image": "plan_images",
    "video": "plan_transcripts",
    UNKNOWN: "set_aside_unknown",
}
"""The branch, by what the bytes are."""

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "adl", "hdfs", "oss"})
"""Schemes a folder may have; web addresses go through the guarded client instead."""

INDEXABLE_CHARACTERS = 601
"""Of a name, at four bytes each."""

MAX_FAILURES = 3
"""Tries of one document by one version of the parser that may end in an error nobody foresaw."""

NOT_THE_DOCUMENTS = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    ConfigurationError,
    TransientError,
    OSError,
)
"""Errors that say nothing of the document at hand: the ledger, the disk, no process to be had."""

RECORDINGS = frozenset({Media.AUDIO, Media.VIDEO_FILE})
TRANSCRIPTS = frozenset({Media.SRT, Media.VTT, Media.TRANSCRIPT})
IN_ITS_TRANSCRIPT = ParsedDocument(
    (), warnings=("Enregistrement : ses paroles sont dans la transcription du même nom.",)
)
"""A recording has no pages of its own."""

ADDRESSES_A_RUN = 200
ADDRESSES_BUDGET_S = 900.0
"""Slow sites take 90 s each: what has no turn within this time is asked by a later run."""

SEEN_AT_ONCE = 500
"""Sources that have not changed are noted together: a commit for each would cost more than reading it."""

log = logging.getLogger(__name__)


class RefusedDocumentError(PermanentError):
    """A document that cannot be used; ``why`` is its reason, a code, and a sentence for a clerk."""

    def __init__(self, why: SetAside) -> None:
        super().__init__(f"{why.reason}: {why.detail}")
        self.why = why


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
    documents = _documents(visit)
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


def medium_of(visit: Visit, document_id: str) -> tuple[ToParse, Media]:
    """Find the kept bytes of a document that the town has met, and say what they are.

    Raises:
        ConfigurationError: The town has met no such document.
        RefusedDocumentError: They are nothing that can be read; that is put on record.
    """
    documents = _documents(visit)
    waiting = documents.met(document_id)
    if waiting is None:
        raise ConfigurationError(f"the town has no document {document_id}: take it in by its path")
    media = _media(visit, waiting)
    if isinstance(media, SetAside):
        _set_aside(documents, waiting, media)
        raise RefusedDocumentError(media)
    return waiting, media


def read_one(visit: Visit, document_id: str, *, ocr: bool) -> Outcome:
    """Read one document, unless this version of the parser has read it as well as it can.

    Raises:
        RefusedDocumentError: It cannot be read, with the reason that is on record.
    """
    settings = OcrSettings(enabled=ocr)
    documents = _documents(visit)
    waiting = documents.to_parse(
        PARSER_VERSION, ocr=obstacle(settings) is None, document_id=document_id
    )
    if waiting and _read(visit, documents, waiting[0], settings, Pages()) == "done":
        return "done"
    if why := documents.why_set_aside(document_id, PARSER_VERSION):
        raise RefusedDocumentError(why)
    return "elsewhere"


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
        media = _sniffed(visit.settings.documents, received.kept.stored_path, received.metadata)
        noted = UNKNOWN if isinstance(media, SetAside) else str(media)
        received = replace(received, metadata={**received.metadata, "media": noted})
    return documents.keep_origin(received)


def _sniffed(store: Path, stored_path: str, metadata: dict[str, Any]) -> Media | SetAside:
    with (store / stored_path).open("rb") as stream:
        return sniff(stream, str(metadata.get("name", "")))


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


# Choose and plan


def choose_readers(visit: Visit, *, ocr: bool) -> list[str]:
    """Name the branches whose kinds of documents wait.

    Raises:
        AirflowSkipException: Nothing waits.
    """
    kinds = _kinds(visit, ocr=ocr)
    visit.input_size, visit.output_size = kinds.total(), len(kinds)
    if not kinds:
        raise AirflowSkipException("nothing to do: every document is read")
    return sorted(READERS[kind] for kind in kinds)


def plan_reading(visit: Visit, kind: str, cores: int, *, ocr: bool) -> list[int]:
    """Number the workers of one kind: its share of the cores, and no more than documents wait.

    Raises:
        AirflowSkipException: None of this kind waits any more.
    """
    kinds = _kinds(visit, ocr=ocr)
    del kinds[UNKNOWN]  # these are set aside in a moment, by a task that is not mapped
    share = shares(kinds, cores).get(kind, 0)
    return workers(visit, kinds[kind], share, f"every {kind} is read")


def shares(waiting: Mapping[str, int], cores: int) -> dict[str, int]:
    """Divide the cores among what waits: one for each kind, the others to where most wait.

    >>> shares({"document": 90, "image": 10}, 4), shares({"document": 1, "image": 1, "video": 1}, 2)
    ({'document': 3, 'image': 1}, {'document': 1, 'image': 1, 'video': 1})
    """
    given = dict.fromkeys(waiting, 1)
    for _ in range(cores - len(given) if given else 0):
        given[max(given, key=lambda kind: waiting[kind] / given[kind])] += 1
    return given


def _kinds(visit: Visit, *, ocr: bool) -> Counter[str]:
    return Counter(_kind(visit, each) for each in _waiting(visit, ocr=ocr))


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
        if not again:
            return "elsewhere"
        try:
            return _read(visit, documents, again[0], settings, pages)
        except NOT_THE_DOCUMENTS:
            raise
        except Exception:
            if _failed(documents, again[0]) < MAX_FAILURES:
                raise
            log.warning("document %s failed", document_id, exc_info=True)
            return "set_aside"

    waiting = [each for each in _waiting(visit, ocr=ocr) if _kind(visit, each) == kind]
    ids = [each.kept.document_id for each in waiting]
    turns = take_turns(visit, "parse", ids, read, on_error, lambda: str(pages))
    return turns.docket(**asdict(pages))


def _failed(documents: LedgerDocuments, waiting: ToParse) -> int:
    """Count a failure that nobody foresaw; the last one sets the document aside."""
    document_id = waiting.kept.document_id
    times = documents.count_failure(waiting.uri, document_id, process_failed(), PARSER_VERSION)
    if times >= MAX_FAILURES:
        _set_aside(documents, waiting, process_failed(times))
    return times


def _read(
    visit: Visit,
    documents: LedgerDocuments,
    waiting: ToParse,
    settings: OcrSettings,
    pages: Pages,
) -> Outcome:
    media = _media(visit, waiting)
    if isinstance(media, SetAside):
        return _set_aside(documents, waiting, media)
    path = visit.settings.documents / waiting.kept.stored_path
    log.info("reading %r: %s, %s bytes", waiting.uri, media, waiting.kept.size_bytes)
    document_id = waiting.kept.document_id
    if media in RECORDINGS and documents.has_transcript(document_id):
        parsed: ParsedDocument | SetAside = IN_ITS_TRANSCRIPT
    else:
        before = documents.pages_by_ocr(document_id, PARSER_VERSION)
        parsed = parse_file(path, media, ocr=settings, before=before)
    if isinstance(parsed, SetAside):
        return _set_aside(documents, waiting, parsed)
    if not documents.add_document(waiting.kept, media, parsed, PARSER_VERSION):
        return "elsewhere"
    if media in TRANSCRIPTS:
        documents.resolve_recordings(document_id)
    pages.add(parsed.pages)
    log.info("read %r: %s pages", waiting.uri, len(parsed.pages))
    return "done"


def _set_aside(documents: LedgerDocuments, waiting: ToParse, why: SetAside) -> Outcome:
    log.warning("set aside: %r (%s)", waiting.uri, why.detail)
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


def _documents(visit: Visit) -> LedgerDocuments:
    return LedgerDocuments(visit.connection, visit.settings.municipality, visit.attempt.run_id)
