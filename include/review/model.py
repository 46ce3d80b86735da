"""The nouns of a review: what is asked, what was answered, what is decided.

Codes are stable and stored; labels are what a moderator reads and may be worded anew.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Literal

from include.contributions.model import Article, Contribution, Evidence, Validation

Kind = Literal["case", "escalation", "appeal"]
"""A first look; a second look that somebody asked for; a refusal that its author contests."""

Outcome = Literal["accepted", "refused", "review"]


class Option(StrEnum):
    """What a person may answer."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    REPHRASE = "rephrase"
    ESCALATE = "escalate"


OPTION_LABELS: dict[Option, str] = {
    Option.ACCEPT: "Accepter",
    Option.REFUSE: "Refuser",
    Option.REPHRASE: "Demander de reformuler",
    Option.ESCALATE: "Transmettre",
}
"""On the buttons, in this order."""

OUTCOMES: dict[Option, Outcome] = {
    Option.ACCEPT: "accepted",
    Option.REFUSE: "refused",
    Option.REPHRASE: "review",
    Option.ESCALATE: "review",
}
"""The state that an answer gives the contribution."""

ARTICLE_REASONS: tuple[str, ...] = tuple(article.value for article in Article)

OTHER_REASONS: dict[str, str] = {
    "donnees_personnelles": "Données personnelles d'autrui",
    "texte_illisible": "Texte illisible ou sans contenu",
    "deja_publiee": "Même proposition déjà publiée",
}
"""Reasons for a refusal beside the articles of the charter."""

REFUSAL_REASONS: tuple[str, ...] = (*ARTICLE_REASONS, *OTHER_REASONS)
"""The closed list: nothing else refuses."""

MAX_SENTENCE_CHARACTERS = 600
MAX_NOTE_CHARACTERS = 1000
"""Longer answers go back to who gave them; a citizen reads a sentence, not a page."""


def _as_read(name: str) -> str:
    """Write a name so that what looks alike is alike: width, case, spaces, signs that nobody sees."""
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    seen = (
        mark for mark in plain if unicodedata.category(mark) not in {"Cf", "Cc"} or mark.isspace()
    )
    return " ".join("".join(seen).split())


@dataclass(frozen=True, slots=True)
class Person:
    """Who answered, as Airflow has it on record; never what a form says."""

    id: str
    name: str

    def is_same_as(self, other: "Person") -> bool:
        """Say whether two records may be one person: the same login, or the same name as it is read.

        >>> Person("4", "anne").is_same_as(Person("", "Anne"))
        True
        """
        return bool(self.id and _as_read(self.id) == _as_read(other.id)) or (
            _as_read(self.name) == _as_read(other.name)
        )


DOUBTFUL_FAMILIES = frozenset({"manipulation", "mot", "forme"})
"""Rules that raise a doubt without speaking against an article; the others then speak for the text."""


def raises_doubt(evidence: Evidence) -> bool:
    """Say whether quoted words are why a person looks at a text, and not what speaks for it."""
    return evidence.article is not None or evidence.rule.split(".")[0] in DOUBTFUL_FAMILIES


@dataclass(frozen=True, slots=True)
class Machine:
    """What the machine had proposed, and how often that is right.

    ``correct`` of ``fired`` labelled samples on which the same rule fired; both 0 where it was never
    measured.
    """

    decision: str
    engine: str
    rubric_version: str
    confidence: float
    rule: str = ""
    correct: int = 0
    fired: int = 0


@dataclass(frozen=True, slots=True)
class Earlier:
    """A decision that was taken on the same contribution before."""

    decision_id: int
    kind: Kind
    outcome: Outcome
    person: Person
    reason: str
    sentence: str
    note: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Question:
    """One contribution on which a person must decide, with all they need for it.

    Attributes:
        question_id: In the ledger.
        kind: A first look, a second one, or a contested refusal.
        contribution: The citizen's words.
        received_on: The day they came.
        municipality: Whose charter holds.
        case_kind: Why a case was opened: ``review``, ``refusal_proposed`` or ``quarantined``; empty
            for a contested refusal.
        case_reason: Code of the reason, or empty.
        validation: What the machine answered; None when it could not judge, or cannot be read.
        machine: The same, as it is stored with the decision.
        waiting_since: Since when the citizen waits.
        waited_s: How long that is, by the database's clock.
        earlier: Decisions before, the oldest first.
        appeal: The author's own words against a refusal, or empty.
        fault: Why the answer before this question did not count, or empty.
    """

    question_id: int
    kind: Kind
    contribution: Contribution
    received_on: date
    municipality: str
    case_kind: str
    case_reason: str
    validation: Validation | None
    machine: Machine | None
    waiting_since: datetime
    waited_s: float
    earlier: tuple[Earlier, ...] = ()
    appeal: str = ""
    fault: str = ""

    @property
    def excluded(self) -> tuple[Person, ...]:
        """Whoever may not answer: a second look is another person's."""
        return tuple(each.person for each in self.earlier) if self.kind != "case" else ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a person said, checked by :mod:`include.review.policy`."""

    option: Option
    reason: str | None
    sentence: str
    note: str
    person: Person


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an answer does not count, in a sentence for who gave it."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What goes on record.

    Attributes:
        outcome: The state that the contribution takes.
        reason: An article or another reason for a refusal; otherwise the option's own code.
        statement: The reasons as the citizen receives them.
        quotes: The citizen's own words on which it rests, with their places.
        expected: What a machine should have answered, or None when a person did not settle it.
        overruled: The machine had proposed the opposite.
        receipt_code: What the citizen quotes to answer back.
    """

    kind: Kind
    outcome: Outcome
    reason: str
    statement: str
    sentence: str
    note: str
    person: Person
    quotes: tuple[Mapping[str, object], ...]
    machine: Machine | None
    expected: Literal["accept", "refusal_proposed"] | None
    overruled: bool
    receipt_code: str
