"""What the pages about documents say.

``participation.ledger.document_pages`` fills these from the ledger. Titles, names and texts come from
foreign files: a template escapes everything, and hidden characters are shown by their code.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import Any

from include.contributions import wording as words
from include.documents import wording
from include.documents.output import WorkflowOutput
from include.pages import Listing

LISTED = 50
"""Documents on one page of the list."""

LISTED_PAGES = 500
LISTED_CHUNKS = 100
LISTED_SET_ASIDE = 300
"""A page with more would not open well; the counts stay exact."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Documents that the sources hold now, by standing, and their pages."""

    standings: Mapping[str, int]
    act_kinds: Mapping[str, int]
    pages_in: int = 0
    pages_read: int = 0
    pages_ocr: int = 0
    pages_set_aside: int = 0
    files_set_aside: int = 0

    @property
    def documents(self) -> int:
        """All of them but former versions."""
        return sum(count for name, count in self.standings.items() if name != "former")

    @property
    def is_balanced(self) -> bool:
        """Whether every page is read or set aside."""
        return self.pages_in == self.pages_read + self.pages_set_aside


@dataclass(frozen=True, slots=True)
class ListedDocument:
    """One row of the list; ``pages`` is None where nothing of it was read."""

    document_id: str
    title: str | None
    uri: str
    act_kind: str | None
    act_number: str | None
    dated_on: date | None
    pages: int | None
    pages_read: int | None
    pages_ocr: int | None
    pages_set_aside: int | None
    chunks: int | None
    themes: tuple[str, ...]
    standing: str
    first_seen_at: datetime

    @property
    def name(self) -> str:
        """What to call it: its title, else the file's name."""
        return name_of(self.title, self.uri)


@dataclass(frozen=True, slots=True)
class DocumentList:
    """One page of the list, and what was asked for."""

    municipality: str
    totals: Totals
    rows: Listing[ListedDocument]
    act_kind: str | None = None
    standing: str | None = None
    page: int = 1
    themes: tuple[str, ...] = ()

    @property
    def last_page(self) -> int:
        """Number of the last page."""
        return max(1, -(-self.rows.total // LISTED))

    def address(self, **changes: Any) -> str:
        """The address of this list with something else asked; its first page unless a page is named.

        >>> DocumentList("a", Totals({}, {}), Listing(), act_kind="avis").address(page=2)
        '?act_kind=avis&page=2'
        """
        asked = {"act_kind": self.act_kind, "standing": self.standing, "page": None, **changes}
        return "?" + "&".join(f"{name}={value}" for name, value in asked.items() if value)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the bytes were met, and until when that place held them."""

    uri: str
    source: str
    first_seen_at: datetime
    last_seen_at: datetime
    superseded_at: datetime | None


@dataclass(frozen=True, slots=True)
class OtherVersion:
    """Other bytes that the same place held or holds."""

    document_id: str
    uri: str
    first_seen_at: datetime
    superseded_at: datetime | None


@dataclass(frozen=True, slots=True)
class PageRow:
    """How one page was read."""

    number: int
    method: str
    characters: int
    confidence: float | None
    rotation: int
    reason: str | None


@dataclass(frozen=True, slots=True)
class ParentChunk:
    """A chunk as readers and models get it, with the beginning of its words."""

    position: int
    beginning: str
    characters: int
    first_page: int
    last_page: int
    children: int


@dataclass(frozen=True, slots=True)
class Chunks:
    """How a document's text is cut at present."""

    parents: Listing[ParentChunk]
    children: int
    chunk_size: int
    chunk_overlap: int
    child_size: int
    child_overlap: int


@dataclass(frozen=True, slots=True)
class Likeness:
    """A document that nearly says the same; ``is_older`` when this one is marked as its repetition."""

    document_id: str
    name: str
    similarity: float
    is_older: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that is or was set aside, with the sentence for a clerk."""

    uri: str
    document_id: str | None
    step: str
    reason: str
    detail: str
    since: datetime
    resolved_at: datetime | None = None
    resolution: str | None = None


@dataclass(frozen=True, slots=True)
class StepTime:
    """When a document came through a step, and what it gave."""

    step: str
    at: datetime
    number: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class DocumentReport:
    """Everything the page of one document says."""

    municipality: str
    listed: ListedDocument
    kind: str | None
    media: str | None
    language: str | None
    size_bytes: int
    characters: int | None
    output: WorkflowOutput
    origins: tuple[Origin, ...]
    versions: tuple[OtherVersion, ...] = ()
    pages: Listing[PageRow] = field(default_factory=Listing)
    unread: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    mean_confidence: float | None = None
    lowest_confidence: float | None = None
    chunks: Chunks | None = None
    themes: tuple[tuple[str, float], ...] = ()
    likenesses: tuple[Likeness, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    steps: tuple[StepTime, ...] = ()

    @property
    def timeline(self) -> tuple[tuple[StepTime, float | None], ...]:
        """The steps in the order of their times, each with the seconds since the one before."""
        ordered = sorted(self.steps, key=lambda step: step.at)
        waits = [(after.at - before.at).total_seconds() for before, after in pairwise(ordered)]
        return tuple(zip(ordered, [None, *waits], strict=True))


@dataclass(frozen=True, slots=True)
class UnreadPages:
    """Pages of one document that are set aside for one reason."""

    document_id: str
    name: str
    reason: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SetAsideList:
    """All that is set aside in a town: whole documents, and pages of those that were read."""

    municipality: str
    documents: Listing[Refusal]
    pages: Listing[UnreadPages]
    page_count: int = 0

    @property
    def page_groups(self) -> dict[str, list[UnreadPages]]:
        """The pages by their reason, the commonest first."""
        groups: dict[str, list[UnreadPages]] = {}
        for each in self.pages.items:
            groups.setdefault(each.reason, []).append(each)
        ordered = sorted(
            groups.items(), key=lambda group: -sum(len(each.numbers) for each in group[1])
        )
        return dict(ordered)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of one task of a run."""

    step: str
    task_id: str
    map_index: int
    try_number: int
    item: str
    status: str
    started_at: datetime
    duration_ms: float | None
    input_size: int | None
    output_size: int | None
    message: str | None
    docket: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run of a document DAG met and did.

    Attributes:
        read: Documents read while it ran; of ``document_intake`` only.
        set_aside: What it set aside, resolved since or not.
        open_before: How much more of the town is set aside.
        waiting: Documents that wait to be read now.
        names: What the documents are called whose outputs it carries.
    """

    municipality: str
    dag_id: str
    run_id: str
    attempts: tuple[Attempt, ...]
    started_at: datetime
    ended_at: datetime | None
    read: Listing[ListedDocument] = field(default_factory=Listing)
    set_aside: Listing[Refusal] = field(default_factory=Listing)
    open_before: int = 0
    waiting: int = 0
    names: Mapping[str, str] = field(default_factory=dict)

    @property
    def partly_read(self) -> list[ListedDocument]:
        """Documents it read of which pages are set aside."""
        return [each for each in self.read.items if each.pages_set_aside]

    @property
    def is_intake(self) -> bool:
        """Whether documents came in by it."""
        return self.dag_id == "document_intake"

    @property
    def books(self) -> Mapping[str, int] | None:
        """The town's documents and pages as the run's last task balanced them."""
        found = [each.docket["books"] for each in self.attempts if "books" in each.docket]
        return found[-1] if found else None

    @property
    def obstacle(self) -> str | None:
        """Why scans could not be read, or None."""
        return next((each.docket["ocr"] for each in self.attempts if "ocr" in each.docket), None)

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        """What its tasks handed on, step by step; what each worker counted for itself is added up."""
        told: dict[str, dict[str, Any]] = {}
        for each in self.attempts:
            flat = _scalars(each.docket)
            if each.map_index >= 0:  # what a worker leaves to the others, they count
                flat = [(name, value) for name, value in flat if name != "elsewhere"]
            if not flat:
                continue
            engine = dict(flat).get("engine")
            step = told.setdefault(f"{each.step} · {engine}" if engine else each.step, {})
            for name, value in flat:
                counts = isinstance(value, int) and name not in NAMES and each.map_index >= 0
                step[name] = step.get(name, 0) + value if counts else value
        return {step: _worth_saying(figures) for step, figures in told.items()}

    @property
    def outputs(self) -> list[dict[str, Any]]:
        """The outputs per document that the run carries."""
        return next(
            (list(each.docket["outputs"]) for each in self.attempts if "outputs" in each.docket),
            [],
        )

    @property
    def failures(self) -> list[str]:
        """Sentences of documents that failed in it."""
        return [
            str(sentence) for each in self.attempts for sentence in each.docket.get("failed", ())
        ]

    @property
    def files_waiting(self) -> list[str]:
        """Files that the sources hold and that it left for the next look."""
        return [
            str(sentence) for each in self.attempts for sentence in each.docket.get("waiting", ())
        ]

    @property
    def duration_ms(self) -> float | None:
        """From its first task's start to its last task's end."""
        if self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() * 1000


NAMES = frozenset({"chunking_id", "index_id", "dataset_id", "version"})
"""Numbers that name something: those of two workers are not added up."""


def _worth_saying(figures: Mapping[str, Any]) -> dict[str, Any]:
    """In the order of their words, without those that are zero unless all of them are."""
    order = list(wording.FIGURES)
    known = [name for name in order if name in figures]
    ordered = {name: figures[name] for name in [*known, *sorted(figures.keys() - set(order))]}
    return {name: value for name, value in ordered.items() if value != 0} or ordered


def _scalars(docket: Mapping[str, Any]) -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in docket.items():
        if isinstance(value, Mapping) and name in {"documents", "left", "live"}:
            flat += [(f"{name} · {key}", _of_engine(each)) for key, each in value.items()]
        elif isinstance(value, int | float | str) and name not in {"ocr", "set_aside_count"}:
            flat.append((name, value))
    return flat


def _of_engine(value: object) -> object:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return value


def name_of(title: str | None, uri: str) -> str:
    """Call a document by its title, else by its file's name."""
    return (title or "").strip() or words.file_name(uri)
