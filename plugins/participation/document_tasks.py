"""The tasks of ``document_intake`` that read what was found, by its kind, and balance the books.

Every function opens nothing and hands over a docket. What is read is asked from the ledger each time,
so that a run that died, came twice or came late ends where any other would.
"""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from airflow.sdk.exceptions import AirflowSkipException

from include.dockets import fitting
from include.documents.model import (
    KIND_OF,
    Media,
    Page,
    ParsedDocument,
    SetAside,
)
from include.documents.parsing import PARSER_VERSION, OcrSettings, parse_file
from include.documents.parsing.ocr import obstacle
from include.documents.parsing.sentences import process_failed, set_aside
from include.documents.sniffing import sniff
from include.errors import ConfigurationError, PermanentError, TransientError
from participation.ledger import document_books
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

log = logging.getLogger(__name__)


class RefusedDocumentError(PermanentError):
    """A document that cannot be used; ``why`` is its reason, a code, and a sentence for a clerk."""

    def __init__(self, why: SetAside) -> None:
        super().__init__(f"{why.reason}: {why.detail}")
        self.why = why


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


def read_kind(visit: Visit, kind: str, *, ocr: bool, on_error: OnError) -> dict[str, Any]:
    """Read the waiting documents of one kind; one that cannot be read is set aside with its reason."""
    settings = OcrSettings(enabled=ocr)
    can_read_scans = obstacle(settings) is None
    documents = documents_of(visit)
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


def medium_of(visit: Visit, document_id: str) -> tuple[ToParse, Media]:
    """Find the kept bytes of a document that the town has met, and say what they are.

    Raises:
        ConfigurationError: The town has met no such document.
        RefusedDocumentError: They are nothing that can be read; that is put on record.
    """
    documents = documents_of(visit)
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
    documents = documents_of(visit)
    waiting = documents.to_parse(
        PARSER_VERSION, ocr=obstacle(settings) is None, document_id=document_id
    )
    if waiting and _read(visit, documents, waiting[0], settings, Pages()) == "done":
        return "done"
    if why := documents.why_set_aside(document_id, PARSER_VERSION):
        raise RefusedDocumentError(why)
    return "elsewhere"


def documents_of(visit: Visit) -> LedgerDocuments:
    """Open the documents of the town for a run."""
    return LedgerDocuments(visit.connection, visit.settings.municipality, visit.attempt.run_id)


def sniffed(store: Path, stored_path: str, metadata: Mapping[str, Any]) -> Media | SetAside:
    """Say by kept bytes, and by the name they came under, what they are."""
    with (store / stored_path).open("rb") as stream:
        return sniff(stream, str(metadata.get("name", "")))


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


def _kind(visit: Visit, waiting: ToParse) -> str:
    media = _media(visit, waiting)
    return UNKNOWN if isinstance(media, SetAside) else str(KIND_OF[media])


def _waiting(visit: Visit, *, ocr: bool) -> list[ToParse]:
    can_read_scans = obstacle(OcrSettings(enabled=ocr)) is None
    return documents_of(visit).to_parse(PARSER_VERSION, ocr=can_read_scans)


def _media(visit: Visit, waiting: ToParse) -> Media | SetAside:
    if not (visit.settings.documents / waiting.kept.stored_path).is_file():
        return set_aside("missing_bytes")
    noted = waiting.metadata.get("media", UNKNOWN)
    if noted != UNKNOWN:
        return Media(noted)
    return sniffed(visit.settings.documents, waiting.kept.stored_path, waiting.metadata)


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


def _failed(documents: LedgerDocuments, waiting: ToParse) -> int:
    """Count a failure that nobody foresaw; the last one sets the document aside."""
    document_id = waiting.kept.document_id
    times = documents.count_failure(waiting.uri, document_id, process_failed(), PARSER_VERSION)
    if times >= MAX_FAILURES:
        _set_aside(documents, waiting, process_failed(times))
    return times


def _set_aside(documents: LedgerDocuments, waiting: ToParse, why: SetAside) -> Outcome:
    log.warning("set aside: %r (%s)", waiting.uri, why.detail)
    documents.set_aside(waiting.uri, waiting.kept.document_id, "parse", why, PARSER_VERSION)
    return "set_aside"
