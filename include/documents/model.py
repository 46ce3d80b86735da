"""The nouns of the document workflow.

``Received`` is what intake took from a source, ``LeftOut`` what it did not. A document is its bytes,
whatever they are called: its id is their SHA-256. Pages are read one by one, chunks are spans of the
document's text, and everything that cannot be used carries a reason code and a sentence that a clerk
understands.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any, Literal

PAGE_BREAK = "\n\n"
"""Between the pages of a document's text; chunk spans count characters of pages so joined."""


class Kind(StrEnum):
    """The branch that a file goes."""

    DOCUMENT = "document"
    IMAGE = "image"
    VIDEO = "video"


class Media(StrEnum):
    """What the bytes are, whatever the name says."""

    PDF = "pdf"
    HTML = "html"
    MARKDOWN = "markdown"
    TEXT = "text"
    DOCX = "docx"
    ODT = "odt"
    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"
    WEBP = "webp"
    SRT = "srt"
    VTT = "vtt"
    TRANSCRIPT = "transcript"
    AUDIO = "audio"
    VIDEO_FILE = "video_file"


KIND_OF: dict[Media, Kind] = {
    **dict.fromkeys(
        (Media.PDF, Media.HTML, Media.MARKDOWN, Media.TEXT, Media.DOCX, Media.ODT), Kind.DOCUMENT
    ),
    **dict.fromkeys((Media.JPEG, Media.PNG, Media.TIFF, Media.WEBP), Kind.IMAGE),
    **dict.fromkeys(
        (Media.SRT, Media.VTT, Media.TRANSCRIPT, Media.AUDIO, Media.VIDEO_FILE), Kind.VIDEO
    ),
}

PageMethod = Literal["text", "ocr", "set_aside"]
PageReason = Literal[
    "needs_ocr",  # a scan, and OCR is off or Tesseract is missing; a later run picks it up
    "unreadable_scan",  # OCR was tried at every angle and gave no French
    "untrusted_layer",  # the text layer is a stamp or garbage, and OCR could not replace it
    "empty",  # neither text nor image
    "broken",  # the page cannot be opened
]


@dataclass(frozen=True, slots=True)
class SetAside:
    """Why a file or a page cannot be used.

    Attributes:
        reason: A short code: ``unknown_content_type``, ``encrypted``, ``too_large``, ``zip_bomb``,
            ``too_many_pages``, ``truncated``, ``parser_died``, ``timeout``, ``no_transcript`` ...
        detail: One sentence in French for a clerk: what, why, what to do.
    """

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that a source holds and that is not taken in, this time or ever.

    Attributes:
        uri: How the ledger would name it.
        standing: ``waits`` for a later look, ``elsewhere`` when another workflow takes it, else
            ``set_aside`` until a person changes something.
        why: The reason and its sentence.
    """

    uri: str
    standing: Literal["waits", "elsewhere", "set_aside"]
    why: SetAside


@dataclass(frozen=True, slots=True)
class Kept:
    """Bytes that stand in the store, whole.

    Attributes:
        document_id: Their SHA-256.
        size_bytes: How many.
        stored_path: Relative to the store's folder.
        is_new: False when the store already held them.
    """

    document_id: str
    size_bytes: int
    stored_path: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server said about an answer, so that the next question may be short.

    Attributes:
        document_id: The bytes that it gave then.
        etag: Its ``ETag``, as written.
        last_modified: Its ``Last-Modified``, as written.
    """

    document_id: str
    etag: str | None = None
    last_modified: str | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """Bytes of a source that are kept, with where they came from.

    Attributes:
        uri: Where they were met: a path, or the address that a crawl or a list names.
        source: ``folder``, ``crawl`` or ``url``.
        kept: Where they stand now.
        etag: As the server gave it, for the next time.
        last_modified: Likewise.
        metadata: What the source says about them; small, JSON-ready: ``name``, ``title`` ...
    """

    uri: str
    source: str
    kept: Kept
    etag: str | None = None
    last_modified: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unchanged:
    """An address whose server says that it still has what is already kept."""

    uri: str
    document_id: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page as read; ``number`` counts from 1.

    Attributes:
        number: Position in the document.
        text: What stands on it, NFC, without NUL; empty when set aside.
        method: ``text`` from the file's own layer, ``ocr``, or ``set_aside``.
        confidence: Of the OCR, 0 to 1; None for a text layer.
        rotation: Degrees by which the page was turned before OCR succeeded.
        reason: Why it was set aside; None otherwise.
    """

    number: int
    text: str
    method: PageMethod
    confidence: float | None = None
    rotation: int = 0
    reason: PageReason | None = None


@dataclass(frozen=True, slots=True)
class ParsedDocument:
    """What parsing gives: pages in order, and what the document says about itself.

    Attributes:
        pages: All of them, those set aside included.
        title: As it stands in the document, else None.
        language: Two letters, or None when there is too little text.
        dated_on: The document's own date where one stands.
        act_kind: ``arrete``, ``deliberation``, ``convocation``, ``bulletin`` ... or None.
        act_number: As written, such as ``PM2025-305``.
        warnings: Sentences in French that must reach the reader.
        metadata: What else is known; small and JSON-ready.
    """

    pages: tuple[Page, ...]
    title: str | None = None
    language: str | None = None
    dated_on: date | None = None
    act_kind: str | None = None
    act_number: str | None = None
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The pages' texts joined; an unread page is an empty one, so page starts stay countable."""
        return PAGE_BREAK.join(page.text for page in self.pages)


def page_starts(texts: Sequence[str]) -> list[int]:
    r"""Where each page begins in the joined text.

    >>> page_starts(["un", "", "trois"])
    [0, 4, 6]
    """
    starts, position = [], 0
    for text in texts:
        starts.append(position)
        position += len(text) + len(PAGE_BREAK)
    return starts


@dataclass(frozen=True, slots=True)
class Chunk:
    """A span of a document's text.

    ``text == document.text[start:end]``. A chunk without ``parent`` is a parent: what a reader or a
    model is given; one with a parent is a child: what is indexed.

    Attributes:
        position: In reading order among the chunks of its kind, from 0.
        text: The words themselves.
        start: First character in the document's text.
        end: One past the last.
        first_page: Page on which it begins, from 1.
        last_page: Page on which it ends.
        parent: Position of the parent that holds it; None for a parent.
    """

    position: int
    text: str
    start: int
    end: int
    first_page: int
    last_page: int
    parent: int | None = None


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Non-zero entries of a vector, by index, ascending; what pgvector calls ``sparsevec``."""

    indices: tuple[int, ...]
    values: tuple[float, ...]
    dimensions: int

    @property
    def literal(self) -> str:
        """As pgvector reads it; its indices count from 1.

        >>> SparseVector((0, 4), (0.5, 2.0), 8).literal
        '{1:0.5,5:2}/8'
        """
        pairs = zip(self.indices, self.values, strict=True)
        return f"{{{','.join(f'{i + 1}:{v:.6g}' for i, v in pairs)}}}/{self.dimensions}"


@dataclass(frozen=True, slots=True)
class Theme:
    """What a document talks about, in its own words, with a weight above 0."""

    label: str
    weight: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One answer of a search: where it stands, and the words."""

    document_id: str
    title: str
    uri: str
    first_page: int
    last_page: int
    quote: str
    score: float


def document_id(content: bytes) -> str:
    """SHA-256 of the bytes: the same bytes are one document, whatever they are called."""
    return hashlib.sha256(content).hexdigest()
