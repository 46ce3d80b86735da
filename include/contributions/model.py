"""The nouns of the contribution workflow.

A ``Record`` is one entry of a source as it was read; a ``Contribution`` is a citizen's text in the
ledger. ``Validation``, ``Classification`` and ``Evaluation`` are what the three steps answer; they
are Pydantic models because a language model or a caller outside may fill them.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Category(StrEnum):
    """The seven subjects of the platform."""

    ECONOMIE = "economie"
    LOGEMENT = "logement"
    CULTURE = "culture"
    ECOLOGIE = "ecologie"
    ASSOCIATIONS = "associations"
    JEUNESSE = "jeunesse"
    ALIMENTATION = "alimentation-bien-etre-soins"


CATEGORY_NAMES = {
    Category.ECONOMIE: "économie",
    Category.LOGEMENT: "logement, urbanisme et voirie",
    Category.CULTURE: "culture et patrimoine",
    Category.ECOLOGIE: "écologie",
    Category.ASSOCIATIONS: "associations",
    Category.JEUNESSE: "jeunesse",
    Category.ALIMENTATION: "alimentation, bien-être et soins",
}
"""What a citizen reads, in a sentence or, with a capital, on a page."""


def declared(field: str | None) -> Category | None:
    """Read a form's category field, however it is accented, cased or punctuated.

    >>> declared("Alimentation, bien-être & soins").value
    'alimentation-bien-etre-soins'
    >>> declared("voirie") is None
    True
    """
    bare = unicodedata.normalize("NFKD", field or "").encode("ascii", "ignore").decode().casefold()
    key = "-".join(word for word in re.findall(r"[a-z]+", bare) if word not in {"et", "and"})
    return next((category for category in Category if category.value == key), None)


UNDETERMINED = "undetermined"
"""What a classification answers when the evidence does not name one of the seven."""

State = Literal["pending", "accepted", "review", "refusal_proposed", "refused", "quarantined"]
STATES: tuple[State, ...] = (
    "pending",
    "accepted",
    "review",
    "refusal_proposed",
    "refused",
    "quarantined",
)

MAX_TEXT_CHARACTERS = 60_000
"""A longer text is quarantined at the door: no step needs more, and a caller could send gigabytes."""

Confidence = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


def folded(text: str) -> str:
    r"""NFC with every run of white space made one space: the form in which two texts are identical.

    >>> folded("  un  banc\n")
    'un banc'
    """
    return " ".join(unicodedata.normalize("NFC", text).split())


def content_hash(constat_factuel: str, idees_ameliorations: str = "") -> str:
    """SHA-256 of both parts, folded; equal for identical texts and nothing looser."""
    parts = f"{folded(constat_factuel)}\x1f{folded(idees_ameliorations)}"
    return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Record:
    """One readable entry of a source, before the ledger gives it an identity.

    Attributes:
        source: Short name of where it came from, such as the stem of its file.
        external_id: The source's own id, or None when it has none.
        constat_factuel: What the citizen observed, as received.
        idees_ameliorations: What the citizen proposes, as received; may be empty.
        declared_category: The form's own field as written, or None; not yet checked.
        submitted_on: The source's own date, or None.
        locator: Where in the file, such as ``line 12`` or ``contributions[3]``.
        metadata: What else the source says; small, JSON-ready, never judged.
    """

    source: str
    external_id: str | None
    constat_factuel: str
    idees_ameliorations: str
    declared_category: str | None
    submitted_on: date | None
    locator: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """An entry that cannot be used, with the sentence that says why and what to do.

    Attributes:
        locator: Where in the file.
        reason: A short code, such as ``no_text``, ``not_json``, ``too_long``.
        detail: One sentence for the person who can mend it.
        raw: What was there, at most 4,000 characters, without NUL.
    """

    locator: str
    reason: str
    detail: str
    raw: str


@dataclass(frozen=True, slots=True)
class Contribution:
    r"""A citizen's text, as received.

    >>> Contribution("form:1", "Le banc est cassé.", "Le réparer.").text
    'Le banc est cassé.\n\nLe réparer.'
    """

    contribution_id: str
    constat_factuel: str
    idees_ameliorations: str = ""
    category: Category | None = None

    @property
    def text(self) -> str:
        """Both parts, an empty line between; evidence spans count characters of this."""
        if not self.idees_ameliorations:
            return self.constat_factuel
        if not self.constat_factuel:
            return self.idees_ameliorations
        return f"{self.constat_factuel}\n\n{self.idees_ameliorations}"

    @property
    def input_hash(self) -> str:
        """What a step's result depends on besides the rubric: the exact text and declared category."""
        parts = f"{self.constat_factuel}\x1f{self.idees_ameliorations}\x1f{self.category or ''}"
        return hashlib.sha256(parts.encode("utf-8", "surrogatepass")).hexdigest()[:32]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Decision(StrEnum):
    """The three outcomes a machine may propose; only a person refuses."""

    ACCEPT = "accept"
    REVIEW = "review"
    REFUSAL_PROPOSED = "refusal_proposed"


class Article(StrEnum):
    """What the charter does not accept."""

    PERSONAL_ATTACK = "attaque_personnelle_ou_discrimination"
    SPAM = "spam_ou_publicite"
    OFF_TOPIC = "hors_sujet"
    FALSE_INFORMATION = "fausse_information"


class Assessment(StrEnum):
    """What the reviewer can say about one article."""

    RESPECTED = "respecté"
    DOUBTFUL = "à vérifier"
    VIOLATED = "non respecté"
    NOT_ASSESSED = "non évalué"


class Evidence(_Answer):
    """The words of the citizen's own text on which something rests.

    ``quote == contribution.text[start:end]``, always: a reader can find it, a machine can check it.
    """

    rule: str = Field(description="Id of the rule or data entry that fired")
    article: Article | None = Field(
        default=None, description="The article it speaks against; None for positive evidence"
    )
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    quote: str


def outermost(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leave out every span that lies within another: its words would be quoted twice.

    >>> outermost([(8, 14), (4, 14), (4, 14), (10, 20)])
    [(4, 14), (10, 20)]
    """
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: (span[0], -span[1])):
        if not kept or end > kept[-1][1]:
            kept.append((start, end))
    return kept


def quoted_once(evidence: Iterable[Evidence]) -> list[str]:
    """Quote the words of some evidence in the order of the text, none of them twice."""
    words = {(item.start, item.end): item.quote for item in evidence}
    return list(dict.fromkeys(words[span] for span in outermost(words)))


class Violation(_Answer):
    """An article that the text breaks or may break, in a sentence for the citizen."""

    article: Article
    message: str


class ModelUse(_Answer):
    """Which language model had its part in an answer, and what that cost.

    ``cost_eur`` is None where the prices are not known; a local model costs nothing.
    """

    provider: str = Field(description="Connection and host that answered")
    model: str = Field(description="As the provider names what really answered")
    prompt: str = Field(description="Hash of the prompts")
    input_tokens: int = Field(ge=0)
    output_tokens: int = Field(ge=0)
    cost_eur: float | None = Field(default=None, ge=0, allow_inf_nan=False)


def _is_none(value: object) -> bool:
    return value is None


class Validation(_Answer):
    """One contribution held against the charter.

    Invariants, checked at construction: ``accept`` has no violations, ``is_valid`` True and positive
    evidence; ``refusal_proposed`` has a violation with evidence and ``is_valid`` False; ``review``
    has ``is_valid`` None and a reason.
    """

    decision: Decision
    is_valid: bool | None
    violations: tuple[Violation, ...]
    encouraged_aspects: tuple[str, ...]
    reasoning: str = Field(description="In French, in words a citizen can read")
    confidence: Confidence
    assessed: dict[Article, Assessment]
    evidence: tuple[Evidence, ...]
    review_reason: str | None = None
    engine: str
    rubric_version: str
    model_use: ModelUse | None = Field(default=None, exclude_if=_is_none)

    @model_validator(mode="after")
    def _consistent(self) -> "Validation":
        match self.decision:
            case Decision.ACCEPT:
                if self.is_valid is not True or self.violations or not self.evidence:
                    raise ValueError("accept needs is_valid true, no violation and evidence")
            case Decision.REFUSAL_PROPOSED:
                if self.is_valid is not False or not self.violations or not self.evidence:
                    raise ValueError("a proposed refusal needs is_valid false and quoted evidence")
            case Decision.REVIEW:
                if self.is_valid is not None or not self.review_reason:
                    raise ValueError("review needs is_valid null and a reason")
        return self


class Classification(_Answer):
    """The subject of a contribution: one category, sometimes a second, or undetermined."""

    category: Category | Literal["undetermined"]
    second_category: Category | None = None
    declared_category: Category | None = None
    differs_from_declared: bool = Field(
        default=False, description="True when strong evidence names another than the citizen's own"
    )
    scores: dict[Category, float] = Field(default_factory=dict)
    evidence: tuple[Evidence, ...] = ()
    reasoning: str
    confidence: Confidence
    engine: str
    rubric_version: str
    model_use: ModelUse | None = Field(default=None, exclude_if=_is_none)


class Evaluation(_Answer):
    """How far the two answers before can be relied on, for one contribution.

    ``confidence`` is the lower of the two; ``completeness`` the share of the two parts and of the
    category that the citizen gave; ``output_format`` the documented score of the answer's form.
    """

    confidence: Confidence
    completeness: Annotated[float, Field(ge=0, le=1)]
    output_format: Annotated[float, Field(ge=0, le=1)]
    warnings: tuple[str, ...] = ()
    engine: str
    rubric_version: str


class Judgement(_Answer):
    """The whole result for one contribution: the three steps' answers under its id."""

    id: str
    validation: Validation
    classification: Classification
    evaluation: Evaluation


STATE_OF_DECISION: dict[Decision, State] = {
    Decision.ACCEPT: "accepted",
    Decision.REVIEW: "review",
    Decision.REFUSAL_PROPOSED: "refusal_proposed",
}
