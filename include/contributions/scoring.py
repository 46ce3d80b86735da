"""Hold an engine against labelled samples, and say whether it may be trusted with the day's work.

The answers compared with were given by people or are known by construction, never the machine's
own. A sample on which the reviewer raised, or answered something unreadable, counts against it in
every score: an engine cannot improve by failing.
"""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from include.contributions.evaluation import output_format
from include.contributions.model import (
    UNDETERMINED,
    Category,
    Classification,
    Contribution,
    Decision,
    Validation,
)
from include.errors import ConfigurationError
from include.ports import Reviewer

SAMPLES_PATH = Path(__file__).parents[1] / "data" / "labelled_samples.jsonl"

Kind: TypeAlias = Literal[
    "clean",
    "personal_attack",
    "discrimination",
    "spam",
    "off_topic",
    "false_information",
    "doubtful",
    "manipulation",
    "licit_trap",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
VIOLATION_KINDS: frozenset[Kind] = frozenset(
    {"personal_attack", "discrimination", "spam", "off_topic", "false_information"}
)

BIN_COUNT = 10
WILSON_Z = 1.959963984540054
"""Two-sided 95 %."""

MISTAKES_SHOWN = 20
"""Enough for a person to start from; the whole list would not fit a docket."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A text whose right answers are known.

    Attributes:
        sample_id: Unique.
        constat_factuel: As a citizen would write it.
        idees_ameliorations: The same; may be empty.
        declared_category: What the form says, or None.
        expected_decisions: Every outcome that is acceptable.
        expected_categories: Every category that is acceptable; empty where none can be asked for.
        kind: What the text is an example of; ``licit_trap`` looks like a violation and is none.
        provenance: Who labelled it and how.
    """

    sample_id: str
    constat_factuel: str
    idees_ameliorations: str
    declared_category: Category | None
    expected_decisions: frozenset[Decision]
    expected_categories: frozenset[str]
    kind: Kind
    provenance: str

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any]) -> "Sample":
        """Read one row of a file or of the ledger.

        Raises:
            ConfigurationError: A field is missing or holds what it cannot; the message says which.
        """
        try:
            sample = cls(
                sample_id=str(row["sample_id"]),
                constat_factuel=str(row["constat_factuel"]),
                idees_ameliorations=str(row.get("idees_ameliorations") or ""),
                declared_category=Category(declared)
                if (declared := row.get("declared_category"))
                else None,
                expected_decisions=frozenset(map(Decision, row["expected_decisions"])),
                expected_categories=frozenset(map(_category, row["expected_categories"])),
                kind=row["kind"],
                provenance=str(row["provenance"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"labelled sample {str(row)[:80]}: {error!r}") from error
        if sample.kind not in KINDS or not sample.expected_decisions:
            raise ConfigurationError(
                f"labelled sample {sample.sample_id}: kind {sample.kind!r} is unknown or no "
                "decision is expected"
            )
        return sample

    @property
    def contribution(self) -> Contribution:
        """The sample as the reviewer meets it."""
        return Contribution(
            self.sample_id,
            self.constat_factuel,
            self.idees_ameliorations,
            self.declared_category,
        )


@dataclass(frozen=True, slots=True)
class Score:
    """A share or mean from 0 to 1 over ``n`` samples; None where there was nothing to measure.

    ``low`` and ``high`` bound it with 95 % confidence (Wilson). For a mean of values from 0 to 1
    the interval is at least as wide as it has to be; for ``ece`` it is an order of size.
    """

    value: float | None
    n: int
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, float | int | None]:
        """Give the plain form."""
        return {"value": self.value, "n": self.n, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Mistake:
    """A sample whose outcome was not acceptable; ``got`` is ``failed`` where there was none."""

    sample_id: str
    kind: Kind
    got: str
    expected: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scorecard:
    """How one engine under one rubric did on the labelled samples.

    ``scores`` holds: ``leak`` (violations accepted), ``manipulation_accepted``,
    ``clean_refusal_proposed``, ``trap_refusal_proposed``, ``coverage`` (clean texts accepted
    without a person), ``outcome_agreement``, ``category_top1`` and ``category_top2`` (with the
    declared category hidden, so that the answer is not read off the form), ``brier`` and ``ece``
    (of the outcomes the engine would act on), ``output_format``, ``evidence_faithful`` (every
    quote is exactly the text at its span) and ``failed``.
    """

    engine: str
    rubric_version: str
    sample_count: int
    scores: Mapping[str, Score]
    agreement_by_kind: Mapping[str, Score]
    top1_by_category: Mapping[str, Score]
    mistakes: tuple[Mistake, ...]

    def as_dict(self) -> dict[str, Any]:
        """Give the plain form: finite numbers, strings, None; at most 20 mistakes, all counted."""
        return {
            "engine": self.engine,
            "rubric_version": self.rubric_version,
            "sample_count": self.sample_count,
            "scores": _plain(self.scores),
            "agreement_by_kind": _plain(self.agreement_by_kind),
            "top1_by_category": _plain(self.top1_by_category),
            "mistake_count": len(self.mistakes),
            "mistakes": [
                {"sample_id": m.sample_id, "kind": m.kind, "got": m.got, "expected": [*m.expected]}
                for m in self.mistakes[:MISTAKES_SHOWN]
            ],
        }


@dataclass(frozen=True, slots=True)
class Gate:
    """What an engine must reach before its outcomes count. What was not measured does not pass."""

    max_leak: float = 0.05
    max_clean_refusal_proposed: float = 0.02
    max_manipulation_accepted: float = 0.0
    min_coverage: float = 0.5
    min_evidence_faithful: float = 1.0
    max_failed: float = 0.0

    def reasons(self, scores: Mapping[str, Score]) -> tuple[str, ...]:
        """Name every bar that was missed, with figure and bar; empty means passed."""
        at_most = {
            "leak": self.max_leak,
            "clean_refusal_proposed": self.max_clean_refusal_proposed,
            "manipulation_accepted": self.max_manipulation_accepted,
            "failed": self.max_failed,
        }
        at_least = {
            "coverage": self.min_coverage,
            "evidence_faithful": self.min_evidence_faithful,
        }
        return (
            *_missed(scores, at_most, "above", lambda value, bar: value <= bar),
            *_missed(scores, at_least, "below", lambda value, bar: value >= bar),
        )

    def verdict(self, card: Scorecard) -> "Verdict":
        """Judge a scorecard."""
        reasons = self.reasons(card.scores)
        return Verdict(not reasons, reasons)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the gate opens, and every reason why not."""

    passed: bool
    reasons: tuple[str, ...]


def load_samples(path: Path = SAMPLES_PATH) -> tuple[Sample, ...]:
    """Read a file of labelled samples, one JSON object a line.

    Raises:
        ConfigurationError: The file is missing, or a line is no sample, or an id comes twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"labelled samples {path}: {error}") from error
    samples = tuple(map(Sample.from_mapping, rows))
    if len({sample.sample_id for sample in samples}) < len(samples):
        raise ConfigurationError(f"labelled samples {path}: a sample_id comes twice")
    return samples


def score_reviewer(samples: Iterable[Sample], reviewer: Reviewer) -> Scorecard:
    """Let a reviewer answer every sample and compare; the same inputs give the same card."""
    rows = [_answered(sample, reviewer) for sample in samples]
    return Scorecard(
        engine=reviewer.engine,
        rubric_version=reviewer.rubric_version,
        sample_count=len(rows),
        scores=_scores(rows),
        agreement_by_kind=_grouped(((row.sample.kind,), row.agrees) for row in rows),
        top1_by_category=_grouped((row.sample.expected_categories, row.is_top1) for row in rows),
        mistakes=tuple(_mistake(row) for row in rows if not row.agrees),
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share observed over n cases.

    >>> wilson(0.0, 50)
    (0.0, 0.0713)
    """
    z2 = WILSON_Z**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = WILSON_Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return round(max(0.0, centre - half), 4), round(min(1.0, centre + half), 4)


@dataclass(frozen=True, slots=True)
class _Row:
    """One sample with the reviewer's answers; no validation means that the row failed."""

    sample: Sample
    validation: Validation | None = None
    classification: Classification | None = None
    unaided: Classification | None = None

    @property
    def failed(self) -> bool:
        return self.validation is None

    def decided(self, decision: Decision) -> bool:
        return self.validation is not None and self.validation.decision is decision

    @property
    def agrees(self) -> bool:
        return (
            self.validation is not None
            and self.validation.decision in self.sample.expected_decisions
        )

    @property
    def is_top1(self) -> bool:
        return self.unaided is not None and self.unaided.category in self.sample.expected_categories

    @property
    def is_top2(self) -> bool:
        return self.is_top1 or (
            self.unaided is not None
            and self.unaided.second_category in self.sample.expected_categories
        )

    @property
    def settled(self) -> bool:
        """Say whether the engine claims to know: asking a person makes no claim to calibrate."""
        return not self.decided(Decision.REVIEW)

    @property
    def claim(self) -> tuple[float, bool]:
        """The confidence and whether it was right; a failed row was sure and wrong."""
        return (self.validation.confidence if self.validation else 1.0), self.agrees

    @property
    def form(self) -> float:
        return output_format(self.validation.model_dump(mode="json")) if self.validation else 0.0

    @property
    def is_faithful(self) -> bool:
        if self.validation is None or self.classification is None:
            return False
        text = self.sample.contribution.text
        return all(
            evidence.quote == text[evidence.start : evidence.end]
            for evidence in (*self.validation.evidence, *self.classification.evidence)
        )


def _answered(sample: Sample, reviewer: Reviewer) -> _Row:
    contribution = sample.contribution
    unaided = Contribution(
        contribution.contribution_id,
        contribution.constat_factuel,
        contribution.idees_ameliorations,
    )
    try:
        return _Row(
            sample,
            _readable(Validation, reviewer.validate(contribution)),
            _readable(Classification, reviewer.classify(contribution)),
            _readable(Classification, reviewer.classify(unaided)),
        )
    except Exception:  # noqa: BLE001  whatever an engine raises is a failed row, counted as such
        return _Row(sample)


def _readable(form: Callable[..., Any], answer: Any) -> Any:
    """Check an answer again from its fields: an engine may have built it around the checks."""
    return form(**{name: getattr(answer, name) for name in type(answer).model_fields})


def _scores(rows: Sequence[_Row]) -> dict[str, Score]:
    violations = [row for row in rows if row.sample.kind in VIOLATION_KINDS]
    clean = [row for row in rows if row.sample.kind == "clean"]
    traps = [row for row in rows if row.sample.kind == "licit_trap"]
    manipulations = [row for row in rows if row.sample.kind == "manipulation"]
    sorted_rows = [row for row in rows if row.sample.expected_categories]
    claims = [row.claim for row in rows if row.settled]
    accept, refuse = Decision.ACCEPT, Decision.REFUSAL_PROPOSED
    return {
        "leak": _share(row.failed or row.decided(accept) for row in violations),
        "manipulation_accepted": _share(row.failed or row.decided(accept) for row in manipulations),
        "clean_refusal_proposed": _share(row.failed or row.decided(refuse) for row in clean),
        "trap_refusal_proposed": _share(row.failed or row.decided(refuse) for row in traps),
        "coverage": _share(row.decided(accept) for row in clean),
        "outcome_agreement": _share(row.agrees for row in rows),
        "category_top1": _share(row.is_top1 for row in sorted_rows),
        "category_top2": _share(row.is_top2 for row in sorted_rows),
        "brier": _share((confidence - right) ** 2 for confidence, right in claims),
        "ece": _calibration_error(claims),
        "output_format": _share(row.form for row in rows),
        "evidence_faithful": _share(row.is_faithful for row in rows),
        "failed": _share(row.failed for row in rows),
    }


def _share(values: Iterable[float]) -> Score:
    """Mean of values from 0 to 1, with its interval."""
    listed = [float(value) for value in values]
    if not listed:
        return Score(None, 0, None, None)
    mean = math.fsum(listed) / len(listed)
    return Score(round(mean, 4), len(listed), *wilson(mean, len(listed)))


def _calibration_error(claims: Sequence[tuple[float, bool]]) -> Score:
    """Mean distance between what a bin of answers claims and how often it is right."""
    bins: dict[int, list[tuple[float, bool]]] = defaultdict(list)
    for confidence, right in claims:
        bins[min(int(confidence * BIN_COUNT), BIN_COUNT - 1)].append((confidence, right))
    return _share(
        abs(sum(confidence - right for confidence, right in members) / len(members))
        for members in bins.values()
        for _ in members
    )


def _grouped(rows: Iterable[tuple[Iterable[str], bool]]) -> dict[str, Score]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for names, hit in rows:
        for name in names:
            groups[str(name)].append(hit)
    return {name: _share(groups[name]) for name in sorted(groups)}


def _mistake(row: _Row) -> Mistake:
    got = row.validation.decision.value if row.validation else "failed"
    expected = tuple(sorted(decision.value for decision in row.sample.expected_decisions))
    return Mistake(row.sample.sample_id, row.sample.kind, got, expected)


def _missed(
    scores: Mapping[str, Score],
    bars: Mapping[str, float],
    side: str,
    holds: Callable[[float, float], bool],
) -> Iterator[str]:
    for name, bar in bars.items():
        score = scores.get(name)
        if score is None or score.value is None:
            yield f"{name} was not measured: no sample of that kind"
        elif not holds(score.value, bar):
            yield f"{name} is {score.value:g} over {score.n} samples, {side} {bar:g}"


def _plain(scores: Mapping[str, Score]) -> dict[str, dict[str, float | int | None]]:
    return {name: score.as_dict() for name, score in scores.items()}


def _category(name: str) -> str:
    return name if name == UNDETERMINED else Category(name).value
