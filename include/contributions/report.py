"""The report of a day: what happened to every contribution received that day, on one page.

:class:`DayReport` holds the figures and the texts; ``participation.ledger.figures`` fills it from
the ledger. This module words it and writes it, as HTML that opens without a network and as
Markdown. The same report gives the same bytes.
"""

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from include.contributions import wording
from include.contributions.model import STATES, UNDETERMINED, Category
from include.files import write_whole
from include.pages import Listing, environment, shown, town_name

LISTED_PER_SECTION = 200
"""Entries shown in a section; the counts stay exact. A page of 100,000 texts would not open."""

LISTED_PER_CATEGORY = 25
"""The same for each subject among the accepted texts."""

TEXT_SHOWN_CHARACTERS = 12_000
"""The longest part of a text printed whole; beyond it the page says how much is left out."""

EXCERPT_CHARACTERS = 190

FILE_MODE = 0o640
"""The api-server, which shows the page, may be another user of the same group."""

_EMPTY_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


@dataclass(frozen=True, slots=True)
class CitizenText:
    """A contribution's own words, cut where they would fill the page.

    Attributes:
        contribution_id: Its id in the ledger.
        constat_factuel: The first part, at most ``TEXT_SHOWN_CHARACTERS``.
        idees_ameliorations: The second part, likewise.
        characters: Length of both parts as received.
        notes: What reading the source noted beside it, in French.
    """

    contribution_id: str
    constat_factuel: str
    idees_ameliorations: str
    characters: int
    notes: tuple[str, ...] = ()

    @property
    def excerpt(self) -> str:
        """The beginning, on one line."""
        return wording.excerpt(self._both, EXCERPT_CHARACTERS) or "(texte vide)"

    @property
    def is_longer(self) -> bool:
        """True when the excerpt does not say it all."""
        return self.excerpt != self._both or self.cut > 0

    @property
    def cut(self) -> int:
        """Characters that are not on the page."""
        return self.characters - len(self.constat_factuel) - len(self.idees_ameliorations)

    @property
    def _both(self) -> str:
        return f"{self.constat_factuel} {self.idees_ameliorations}".strip()


@dataclass(frozen=True, slots=True)
class AcceptedText:
    """A text that was accepted, with its subjects as settled."""

    text: CitizenText
    category: str | None
    second_category: str | None = None
    declared_category: str | None = None
    decided_by: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class CategoryTexts:
    """The accepted texts of one subject."""

    category: str | None
    texts: Listing[AcceptedText]


@dataclass(frozen=True, slots=True)
class Finding:
    """An article that a text may break: the sentence why and the citizen's own words."""

    article: str
    message: str
    quotes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A text that a person must look at, and why.

    Attributes:
        text: The citizen's words.
        category: As settled, or None.
        since: When the question was put.
        waited_s: How long ago that was, by the database's clock.
        reason: A code or a sentence; empty when the findings say it.
        reasoning: What the reviewer wrote, in French.
        findings: Articles it speaks of.
        problem: Why the recorded result could not be read, or None.
    """

    text: CitizenText
    category: str | None
    since: datetime
    waited_s: float
    reason: str
    reasoning: str = ""
    findings: tuple[Finding, ...] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class HumanDecision:
    """What a person decided about a text; the latest answer stands."""

    text: CitizenText
    outcome: str
    decided_by: str
    reason: str
    statement: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class QuarantinedItem:
    """An entry that could not be processed: where it is, and why.

    ``kind`` is ``record`` (never became a contribution; ``detail`` is a sentence for who sent it) or
    ``contribution`` (``reason`` is the failure's code; ``detail`` is technical).
    """

    kind: str
    uri: str
    locator: str
    reason: str
    detail: str
    raw: str
    since: datetime
    contribution_id: str | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True)
class CategoryCount:
    """How many texts speak of a subject, by where they stand.

    ``as_second`` counts texts whose second subject it is; they are not part of the total.
    """

    category: str | None
    accepted: int = 0
    waiting: int = 0
    other: int = 0
    as_second: int = 0

    @property
    def total(self) -> int:
        """All texts whose first subject this is."""
        return self.accepted + self.waiting + self.other


@dataclass(frozen=True, slots=True)
class Notice:
    """Something a person should know, how often it happened, and the technical words for it."""

    message: str
    count: int = 1
    detail: str = ""


@dataclass(frozen=True, slots=True)
class StepTime:
    """What the attempts of one step took; ``items_per_s`` counts successful attempts only."""

    step: str
    attempts: int
    failed: int
    running: int
    skipped: int
    total_ms: float
    mean_ms: float
    items: int
    items_per_s: float | None


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """Which engine and rubric judged how many texts of the day."""

    engine: str
    rubric_version: str
    texts: int


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of an evaluation, with its 95 % interval and what it was measured on if known."""

    name: str
    value: str | float | None
    low: float | None = None
    high: float | None = None
    n: int | None = None


@dataclass(frozen=True, slots=True)
class SampleEvaluation:
    """The latest comparison of an engine with the labelled sample."""

    engine: str
    rubric_version: str
    sample_count: int
    passed: bool
    evaluated_at: datetime
    received_on: date | None
    measures: tuple[Measure, ...] = ()


@dataclass(frozen=True, slots=True)
class OldestOpen:
    """The contribution that has waited longest for an outcome."""

    contribution_id: str
    state: str
    received_on: date
    received_at: datetime
    age_s: float


@dataclass(frozen=True, slots=True)
class Delay:
    """How long texts wait for a person: those that speak of a group of people, or the others.

    Moments instead of ages, so that two counts of one moment are equal: the median text waits since
    ``median_since``; of an even number, the one that waits longer.
    """

    names_group: bool
    waiting: int = 0
    median_since: datetime | None = None
    oldest_since: datetime | None = None

    @property
    def name(self) -> str:
        """Of the kind, among the figures."""
        return "group" if self.names_group else "others"

    def figures(self) -> dict[str, Any]:
        """Return it JSON-ready."""
        return {
            "waiting": self.waiting,
            "median_since": _utc(self.median_since),
            "oldest_since": _utc(self.oldest_since),
        }


@dataclass(frozen=True, slots=True)
class RulesAlone:
    """Texts of past days that the rules judged without the connected model, which did not answer."""

    texts: int
    first: date
    last: date

    @property
    def backfill(self) -> str:
        """Say the command that has them judged again.

        >>> RulesAlone(3, date(2026, 1, 12), date(2026, 1, 14)).backfill.partition(' --to')[2]
        '-date 2026-01-14T23:59:59 --reprocess-behavior completed'
        """
        return (
            f"airflow backfill create --dag-id daily_chain --from-date {self.first}"
            f" --to-date {self.last}T23:59:59 --reprocess-behavior completed"
        )


@dataclass(frozen=True, slots=True)
class DayReport:
    """Everything the page of a (municipality, day) says.

    Attributes:
        states: Count of each of the six states; ``quarantined`` includes the entries that never
            became a contribution.
        submitted: Distinct contributions that have a receipt, and quarantined entries.
        duplicates: Receipts beyond the first of each contribution.
        file_entries: Entries announced by the files that touch this day, and entries found of them.
        generated_at: By the database's clock.
        delays: Of all that waits for a person, whatever its day.
    """

    municipality: str
    day: date
    generated_at: datetime
    states: Mapping[str, int]
    submitted: int
    duplicates: int = 0
    file_entries: tuple[int, int] = (0, 0)
    categories: tuple[CategoryCount, ...] = ()
    accepted: tuple[CategoryTexts, ...] = ()
    waiting: Listing[Case] = field(default_factory=Listing)
    refusals: Listing[Case] = field(default_factory=Listing)
    decisions: Listing[HumanDecision] = field(default_factory=Listing)
    quarantine: Listing[QuarantinedItem] = field(default_factory=Listing)
    notices: tuple[Notice, ...] = ()
    steps: tuple[StepTime, ...] = ()
    engines: tuple[EngineVersion, ...] = ()
    evaluation: SampleEvaluation | None = None
    oldest_of_day: OldestOpen | None = None
    oldest_of_all: OldestOpen | None = None
    delays: tuple[Delay, ...] = ()

    @property
    def has_delays(self) -> bool:
        """True when any text waits for a person."""
        return any(delay.waiting for delay in self.delays)

    @property
    def sum_of_states(self) -> int:
        """What the six states add up to."""
        return sum(self.states.values())

    @property
    def is_balanced(self) -> bool:
        """True when every submitted entry is in one state and every file entry was found."""
        announced, found = self.file_entries
        return self.sum_of_states == self.submitted and announced == found

    @property
    def is_empty(self) -> bool:
        """True when nothing was received."""
        return self.submitted == 0 and self.sum_of_states == 0


@dataclass(frozen=True, slots=True)
class ReportFiles:
    """Where a report was written."""

    html: Path
    markdown: Path


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of the chart: where it starts and how wide its parts are, in the drawing's units."""

    label: str
    count: CategoryCount
    y: int
    accepted: float
    waiting: float
    other: float


BAR_WIDTH = 350.0
BAR_PITCH = 38


def write(report: DayReport, folder: Path) -> ReportFiles:
    """Write ``<day>.html`` and ``<day>.md``; each is replaced whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    files = ReportFiles(folder / f"{report.day}.html", folder / f"{report.day}.md")
    write_whole(files.html, render_html(report), FILE_MODE)
    write_whole(files.markdown, render_markdown(report), FILE_MODE)
    return files


def render_html(report: DayReport) -> str:
    """Word the report as one HTML page that needs nothing else."""
    return _environment("html").get_template("report.html.j2").render(**_page(report))


def render_markdown(report: DayReport) -> str:
    """Word the report as Markdown."""
    page = _environment("markdown").get_template("report.md.j2").render(**_page(report))
    return _EMPTY_LINES.sub("\n\n", page)


def figures_of(report: DayReport) -> dict[str, Any]:
    """Return the numbers of the report, JSON-ready; the six states stand under their own names."""
    return {
        "municipality": report.municipality,
        "day": report.day.isoformat(),
        "loaded": report.submitted,
        "duplicates": report.duplicates,
        **{state: report.states.get(state, 0) for state in STATES},
        "sum": report.sum_of_states,
        "balanced": report.is_balanced,
        "categories": {row.category or "none": row.total for row in report.categories if row.total},
        "accepted_categories": {
            row.category or "none": row.accepted for row in report.categories if row.accepted
        },
        "decisions": report.decisions.total,
        "oldest_open_s": report.oldest_of_all and round(report.oldest_of_all.age_s, 1),
        "oldest_open_of_day_s": report.oldest_of_day and round(report.oldest_of_day.age_s, 1),
        "evaluation_passed": report.evaluation and report.evaluation.passed,
        "delays": {delay.name: delay.figures() for delay in report.delays},
    }


def headline(report: DayReport) -> str:
    """Say the day in one sentence."""
    if report.is_empty:
        return "Aucune contribution n'a été reçue ce jour."
    states = report.states
    received = wording.counted(report.submitted, "contribution reçue", "contributions reçues")
    waiting = states.get("review", 0) + states.get("refusal_proposed", 0)
    parts = [
        _part(states.get("accepted", 0), "acceptée", "acceptées"),
        _part(waiting, "attend une personne", "attendent une personne"),
        _part(states.get("refused", 0), "refusée", "refusées"),
        _part(states.get("quarantined", 0), "mise de côté", "mises de côté"),
        _part(states.get("pending", 0), "pas encore analysée", "pas encore analysées"),
    ]
    return f"{received}\u00a0: {', '.join(part for part in parts if part)}."


def chart(report: DayReport) -> tuple[Bar, ...]:
    """Lay out one bar for each subject, in the report's order."""
    longest = max((row.total for row in report.categories), default=0) or 1
    unit = BAR_WIDTH / longest
    return tuple(
        Bar(
            label=wording.category_label(row.category),
            count=row,
            y=place * BAR_PITCH,
            accepted=round(row.accepted * unit, 2),
            waiting=round(row.waiting * unit, 2),
            other=round(row.other * unit, 2),
        )
        for place, row in enumerate(report.categories)
    )


def ordered_categories(counts: Mapping[str | None, CategoryCount]) -> tuple[CategoryCount, ...]:
    """Put every subject of the platform in its order, then what else was counted."""
    always = [str(category) for category in Category]
    strange = sorted(key for key in counts if key not in {*always, UNDETERMINED, None} and key)
    return tuple(
        counts.get(key, CategoryCount(key))
        for key in [*always, *strange, UNDETERMINED, None]
        if key in always or key in counts
    )


def _utc(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds") if moment else None


def _waited(report: DayReport, since: datetime | None) -> str:
    if since is None:
        return "–"
    return wording.age(max(0.0, (report.generated_at - since).total_seconds()))


def _part(count: int, one: str, many: str) -> str:
    return wording.counted(count, one, many) if count else ""


def _page(report: DayReport) -> dict[str, Any]:
    bars = chart(report)
    return {
        "report": report,
        "headline": headline(report),
        "reasons": wording.review_reasons(report.municipality),
        "bars": bars,
        "chart_height": len(bars) * BAR_PITCH,
        "town": town_name(report.municipality),
        "waited": partial(_waited, report),
    }


@cache
def _environment(form: str) -> Environment:
    made = environment(shown if form == "html" else _shown_in_markdown, keep_trailing_newline=True)
    made.filters.update(
        article=lambda key: wording.ARTICLE_LABELS.get(key, key),
        category=wording.category_label,
        csp_hash=_csp_hash,
        line=lambda text: " ".join(str(text).split()),
        outcome=lambda key: wording.OUTCOME_LABELS.get(key, key),
        quoted=_block_quote,
        reason=_reason,
        record=wording.record_words,
        score=wording.score_figure,
        score_label=wording.score_label,
    )
    made.globals.update(state_labels=wording.STATE_LABELS)
    return made


def _shown_in_markdown(value: Any) -> Any:
    if hasattr(value, "__html__"):
        return value
    return Markup(wording.markdown(str(value)))  # noqa: S704 - escaped for Markdown just here


def _block_quote(text: str, indent: str = "") -> Markup:
    lines = wording.markdown(text).strip().split("\n")
    quoted = "\n".join(f"{indent}> {line}  ".rstrip(" ") + "  " for line in lines)
    return Markup(quoted)  # noqa: S704 - escaped for Markdown just here


@pass_context
def _reason(page: Context, code: str) -> str:
    return wording.reason_label(code, page["reasons"])


def _csp_hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
