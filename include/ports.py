"""What the domain asks of the world.

Each protocol names the few things one part of the domain needs; ``participation.ledger`` answers
them with PostgreSQL, a reviewer with rules or a language model.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal, Protocol

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
class AnswerKey:
    """What an answer of a language model depends on: asked again, it is the same answer."""

    text_hash: str
    prompt_hash: str
    model: str
    rubric_version: str


@dataclass(frozen=True, slots=True)
class Question:
    """One question to a language model.

    Attributes:
        key: Under which the answer is kept.
        purpose: ``judge`` or ``wording``; for the record of calls.
        instructions: What to do; never a word of a citizen.
        data: What to do it with; sent as JSON, in a message of its own.
        form: JSON schema of the answer.
    """

    key: AnswerKey
    purpose: str
    instructions: str
    data: Mapping[str, Any]
    form: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a language model answered: material, not truth.

    Attributes:
        content: Its words, meant to be JSON.
        ending: ``answered``; ``cut_off`` at its longest; ``declined`` when it will not answer this.
        provider: Who was asked in the end.
        model: What really answered, as the provider names it.
        input_tokens: As counted by the provider.
        output_tokens: The same.
        cost_eur: By the prices of the connection; None where they are not known.
    """

    content: str
    ending: Literal["answered", "cut_off", "declined"]
    provider: str
    model: str
    input_tokens: int = 0
    output_tokens: int = 0
    cost_eur: float | None = None


class LanguageModel(Protocol):
    """One or more providers of language models, asked in turn until one answers."""

    name: str
    """Every provider and model of the chain, in order."""

    parameters: str
    """What of its settings changes answers."""

    is_outside: bool
    """Whether a text that is sent leaves the house."""

    concurrency: int
    """How many questions may be on their way at once."""

    async def ask(self, question: Question) -> Reply:
        """Ask, within a deadline and a budget.

        Raises:
            CircuitOpenError: Nobody is asked at the moment; ``retry_after_s`` says how long.
            ProviderUnavailableError: Nobody answered this question.
            BudgetSpentError: It was not asked: it could cost more than is left today.
            ProviderRefusedError: Key, quota, model or request are refused.
            UnreadableAnswerError: What came back is no answer of the protocol.
        """

    async def close(self) -> None:
        """Give connections back."""


class AnswerStore(Protocol):
    """Keeps what was paid for."""

    def kept(self, key: AnswerKey) -> Reply | None:
        """Return an answer that was given before."""

    def keep(self, key: AnswerKey, reply: Reply) -> None:
        """Keep an answer before anything is done with it; the first one stays."""

    def close(self) -> None:
        """Give the connection back."""


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
        """Get an address, or post ``body`` to it: bytes as they are, anything else as JSON.

        Any status is an answer.

        Raises:
            TransientError: No whole answer came in time.
            PermanentError: The address may not be asked, or the answer is too large.
        """
