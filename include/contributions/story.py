"""A contribution as its page tells it: its words with what was found in them, and all that happened.

``participation.ledger.contribution_pages`` fills these from the ledger. Nothing here is markup: a
template escapes every text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import pairwise
from typing import Any, Literal
from urllib.parse import quote

from include.contributions.model import (
    Classification,
    Contribution,
    Decision,
    Evidence,
    Validation,
)

LISTED = 50
"""Contributions on one page of the list."""

EXCERPT_CHARACTERS = 160

MarkKind = Literal["against", "for", "noted", "subject"]
"""Words that speak against an article, for an accepted text, about its form, or of its subject."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What the listed contributions must be; None asks nothing. Both days are included."""

    state: str | None = None
    category: str | None = None
    reason: str | None = None
    since: date | None = None
    until: date | None = None
    words: str | None = None

    def address(self, **changes: Any) -> str:
        """Write what is asked as the end of an address.

        >>> Filters(state="review", words="a&b").address(after="x:1")
        '?state=review&q=a%26b&after=x%3A1'
        """
        asked = {
            "state": self.state,
            "category": self.category,
            "reason": self.reason,
            "since": self.since,
            "until": self.until,
            "q": self.words,
            **changes,
        }
        given = [f"{name}={quote(str(value), safe='')}" for name, value in asked.items() if value]
        return "?" + "&".join(given) if given else "?"

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked."""
        return self == Filters()


@dataclass(frozen=True, slots=True)
class ListedContribution:
    """One row of the list; ``reason`` is that of the open case."""

    contribution_id: str
    excerpt: str
    state: str
    category: str | None
    received_on: date
    reason: str | None
    decided_by: str | None

    @property
    def address(self) -> str:
        """Where its page is, below the pages' root."""
        return address_of(self.contribution_id)


@dataclass(frozen=True, slots=True)
class ContributionList:
    """One page of the list, the newest day first; ``before`` and ``after`` lead to its neighbours."""

    municipality: str
    asked: Filters
    rows: tuple[ListedContribution, ...]
    states: Mapping[str, int]
    reasons: tuple[tuple[str, int], ...] = ()
    before: str | None = None
    after: str | None = None

    @property
    def total(self) -> int:
        """All contributions of the town."""
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class Mark:
    """Words of the text that something rests on; ``number`` ties them to their entry in the list."""

    number: int
    kind: MarkKind
    article: str | None
    rule: str
    quote: str
    start: int
    end: int
    is_placed: bool = True


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of the text that carries the same marks from end to end.

    ``opens`` are the numbers of the marks that begin with it; only there does a mark show its number.
    """

    text: str
    marks: tuple[Mark, ...] = ()
    opens: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        """The gravest kind among its marks."""
        kinds = {mark.kind for mark in self.marks}
        return next((kind for kind in ("against", "noted", "for", "subject") if kind in kinds), "")


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a contribution, and what the page says of it."""

    at: datetime
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Story:
    """Everything the page of one contribution says."""

    municipality: str
    contribution: Contribution
    source: str
    external_id: str
    state: str
    state_rubric: str | None
    category: str | None
    second_category: str | None
    received_on: date
    received_at: datetime
    waited_s: float
    notes: tuple[str, ...]
    validation: Validation | None
    classification: Classification | None
    problem: str | None
    reason: str | None
    is_decided: bool
    may_be_contested: bool = False
    events: tuple[Event, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether its author still waits for an outcome."""
        return self.state in {"pending", "review", "refusal_proposed", "quarantined"}

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What was found in the text, in the order in which it stands there."""
        return numbered_marks(self.contribution.text, self.validation, self.classification)

    @property
    def parts(self) -> tuple[tuple[str, tuple[Segment, ...]], ...]:
        """The two parts of the text that are not empty, each cut into segments."""
        return marked_parts(self.contribution, self.marks)


def address_of(contribution_id: str) -> str:
    """Where a contribution's page is, below the pages' root.

    What a server on the way might take for folders goes into the query.

    >>> address_of("samples:12"), address_of("github:a/b#1"), address_of("..")
    ('contributions/samples:12', 'contribution?id=github%3Aa%2Fb%231', 'contribution?id=..')
    """
    is_plain = not set(contribution_id) & set("/\\%") and contribution_id.strip(". ")
    if is_plain:
        return f"contributions/{quote(contribution_id, safe=':')}"
    return f"contribution?id={quote(contribution_id, safe='')}"


def numbered_marks(
    text: str, validation: Validation | None, classification: Classification | None
) -> tuple[Mark, ...]:
    """Number what the machine quoted; what is not in the text at its place is not placed in it."""
    found: list[tuple[MarkKind, Evidence]] = []
    if validation is not None:
        other: MarkKind = "for" if validation.decision is Decision.ACCEPT else "noted"
        found += [("against" if e.article else other, e) for e in validation.evidence]
    if classification is not None:
        found += [("subject", e) for e in classification.evidence]
    found.sort(key=lambda each: (each[1].start, each[1].end, each[0], each[1].rule))
    return tuple(
        Mark(
            number,
            kind,
            evidence.article.value if evidence.article else None,
            evidence.rule,
            evidence.quote,
            evidence.start,
            evidence.end,
            evidence.end > evidence.start and text[evidence.start : evidence.end] == evidence.quote,
        )
        for number, (kind, evidence) in enumerate(dict.fromkeys(found), start=1)
    )


def marked_parts(
    written: Contribution, marks: Iterable[Mark]
) -> tuple[tuple[str, tuple[Segment, ...]], ...]:
    """Cut the parts of a text that are not empty into segments, each under its name."""
    placed = tuple(marks)
    second = len(written.text) - len(written.idees_ameliorations)
    named = (
        ("constat", written.constat_factuel, 0),
        ("idees", written.idees_ameliorations, second),
    )
    return tuple(
        (name, tuple(segments(text, placed, start))) for name, text, start in named if text
    )


def segments(text: str, marks: Iterable[Mark], start: int = 0) -> Iterable[Segment]:
    """Cut a part of the text, which begins at ``start`` of the whole, where a mark begins or ends.

    >>> banc = Mark(1, "for", None, "lieu", "banc", 3, 7)
    >>> [(each.text, each.opens) for each in segments("Le banc.", [banc])]
    [('Le ', ()), ('banc', (1,)), ('.', ())]
    """
    end = start + len(text)
    placed = [m for m in marks if m.is_placed and m.start < end and m.end > start]
    cuts = {start, end}
    for mark in placed:
        cuts |= {max(mark.start, start), min(mark.end, end)}
    places = sorted(cuts)
    for first, last in pairwise(places):
        here = tuple(m for m in placed if m.start <= first and m.end >= last)
        opens = tuple(m.number for m in here if max(m.start, start) == first)
        yield Segment(text[first - start : last - start], here, opens)
