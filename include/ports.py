"""What the domain asks of the world.

Each protocol names the few things one part of the domain needs; ``participation.ledger`` answers
them with PostgreSQL, a reviewer with rules or a language model.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from include.contributions.model import (
    BrokenRecord,
    Classification,
    Contribution,
    Record,
    Validation,
)


class Reviewer(Protocol):
    """Judges one contribution at a time; the same text and rubric give the same answer."""

    engine: str
    """Short name, such as ``embedded``."""

    rubric_version: str
    """Changes whenever rules, data, charter, engine, model, prompt or parameters change."""

    def validate(self, contribution: Contribution) -> Validation:
        """Hold the text against the charter."""

    def classify(self, contribution: Contribution) -> Classification:
        """Name the subject of the text."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file whose form is known and whose bytes were read whole.

    Attributes:
        path: Where it lies.
        uri: How the ledger names it.
        sha256: Of its bytes.
        size_bytes: Its length.
        form: ``json``, ``jsonl``, ``csv``, ``framaforms_mail`` ...
        encoding: As detected, such as ``utf-8`` or ``cp1252``.
    """

    path: Path
    uri: str
    sha256: str
    size_bytes: int
    form: str
    encoding: str


class Source(Protocol):
    """One form in which contributions arrive."""

    form: str

    def recognises(self, path: Path, head: str) -> bool:
        """Say whether a file, by its name and first characters (decoded), has this form."""

    def records(self, file: SourceFile) -> Iterator[Record | BrokenRecord]:
        """Yield every entry in file order, broken ones included; lazily, one pass."""


@dataclass(frozen=True, slots=True)
class LoadCounts:
    """What loading one file did.

    ``records + broken`` is what the file held; ``added`` of the records were new contributions.
    """

    records: int
    broken: int
    added: int
    days: tuple[date, ...] = ()


class LoadingStore(Protocol):
    """Where loaded records go."""

    def begin_load(self, root: str) -> int:
        """Open a load and return its id."""

    def known_files(self, uris: Sequence[str]) -> dict[tuple[str, str], int]:
        """Map (uri, sha256) of the files already loaded to their file id."""

    def add_file(
        self, load_id: int, file: SourceFile, records: Iterable[Record | BrokenRecord]
    ) -> LoadCounts:
        """Store one file's entries in one transaction; all of it or nothing.

        Raises:
            LedgerUnavailableError: Nothing of the file was stored.
        """

    def link_file(self, load_id: int, file_id: int) -> None:
        """Note that a load met a file it already knows."""

    def end_load(self, load_id: int, waiting: Sequence[str]) -> None:
        """Close a load; ``waiting`` names the files that were not whole yet."""


@dataclass(frozen=True, slots=True)
class WebAnswer:
    """What a site answered, whole.

    Attributes:
        status: As in HTTP.
        url: Who answered in the end, after redirects.
        headers: By their names in lower case.
        content: The body, decoded.
    """

    status: int
    url: str
    headers: Mapping[str, str]
    content: bytes


class WebClient(Protocol):
    """Asks a site; who may be asked, with which credentials and for how long is its own affair."""

    def ask(
        self, url: str, headers: Mapping[str, str] | None = None, body: Any = None
    ) -> WebAnswer:
        """Get an address, or post ``body`` to it as JSON; any status is an answer.

        Raises:
            TransientError: No whole answer came in time.
            PermanentError: The address may not be asked, or the answer is too large.
        """
