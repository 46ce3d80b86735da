"""The page of an evaluation: what it must say, and how it is written.

Everything on the page stands in an :class:`EvaluationReport`, which ``participation.evaluation_pages``
fills from the ledger. The same report gives the same bytes; nothing on the page comes from elsewhere
and nothing in it runs.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment

from include.contributions import wording
from include.contributions.answers import PLAIN, UNAIDED, Answer
from include.contributions.model import CATEGORY_NAMES
from include.contributions.samples import Sample
from include.contributions.scoring import ON_PEOPLE, Score, Scorecard
from include.files import write_whole
from include.pages import Listing, environment, shown, town_name

FILE_MODE = 0o640
"""The api-server, which shows the page, may be another user of the same group."""

MISTAKES_KEPT = 200
"""The worst first; the count stays exact."""

TEXT_CHARACTERS = 4_000
QUOTES_KEPT = 5

GOT_LABELS = {
    "accept": "acceptée",
    "review": "à une personne",
    "refusal_proposed": "refus proposé",
    "failed": "sans réponse",
}

ORIGIN_LABELS = {
    "project": "écrits pour le projet, réponse connue par construction",
    "person": "textes de citoyens sur lesquels une personne a décidé",
}

SECTIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Ce que le moteur laisse passer ou arrête à tort",
        "Une fuite est un texte contraire à la charte, accepté sans qu'une personne l'ait vu.",
        (
            "leak",
            "manipulation_accepted",
            "clean_refusal_proposed",
            "trap_refusal_proposed",
            "coverage",
            "outcome_agreement",
            "failed",
        ),
    ),
    (
        "Sujets",
        "Le sujet choisi par le citoyen est caché au moteur.",
        ("category_top1", "category_top2"),
    ),
    (
        "Confiance et forme des réponses",
        "La confiance annoncée doit se vérifier ; chaque citation doit se trouver dans le texte.",
        ("brier", "ece", "output_format", "evidence_faithful"),
    ),
    (
        "Textes abîmés",
        "Les mêmes textes, avec des fautes de frappe tirées au sort, toujours les mêmes.",
        (
            "noise_2_stable",
            "noise_5_stable",
            "noise_10_stable",
            "noise_2_leak",
            "noise_5_leak",
            "noise_10_leak",
        ),
    ),
    (
        "Textes qui nomment un groupe de personnes",
        "Un texte correct ne doit pas attendre plus parce qu'il parle d'un groupe.",
        (
            "group_coverage",
            "other_coverage",
            "coverage_gap",
            "group_refusal_proposed",
            "other_refusal_proposed",
            "refusal_gap",
        ),
    ),
    (
        "Décisions des personnes",
        "Sur les contributions réelles : ce qu'une personne a décidé contre la proposition de la machine.",
        ("overruled", "overruled_acceptance", "overruled_refusal"),
    ),
    (
        "Temps et coût",
        "Pour une validation et une classification.",
        ("latency_p50_ms", "latency_p95_ms", "cost_mean"),
    ),
)
"""Which scores stand together, and the sentence that says how to read them."""

DRIFT_SCORES = ("leak", "coverage", "category_top1")
OUTCOMES = ("accept", "review", "refusal_proposed")


@dataclass(frozen=True, slots=True)
class Week:
    """One week: what was scored last in it, and what was answered to the texts received in it."""

    week: date
    rubric_version: str = ""
    scores: Mapping[str, Score] = field(default_factory=dict)
    outcomes: Mapping[str, Score] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ShownMistake:
    """A sample whose outcome was not acceptable.

    ``text`` is None where the words are a citizen's and the reader may not read contributions.
    """

    sample_id: str
    origin: str
    kind: str
    got: str
    expected: tuple[str, ...]
    confidence: float | None
    error: str | None = None
    text: str | None = None
    reasoning: str = ""
    quotes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MissedCategory:
    """A sample whose category was not found; ``text`` as for a mistake."""

    sample_id: str
    expected: tuple[str, ...]
    got: tuple[str, ...]
    text: str | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the gate, and the figure held to it; ``is_people`` for people's answers."""

    name: str
    side: str
    bar: float
    score: Score | None
    is_people: bool = False

    @property
    def held(self) -> bool:
        """Whether the figure is on the right side; one that was not measured is not."""
        value = self.score.value if self.score else None
        if value is None:
            return False
        return value <= self.bar if self.side == "at most" else value >= self.bar


@dataclass(frozen=True, slots=True)
class EvaluationReport:
    """Everything the page of an evaluation says.

    Attributes:
        bars: Empty where no gate has judged it, or its bars are not on record.
        failed_tasks: Tasks of the run that failed; with one of them it has not passed.
        is_judged: Whether a gate has judged it.
        is_short: One of the daily chain: scores only.
        hidden: How many mistakes are citizens' words that this reader may not see.
    """

    evaluation_id: int
    municipality: str
    engine: str
    rubric_version: str
    sample_count: int
    passed: bool
    created_at: datetime
    scores: Mapping[str, Score]
    agreement_by_kind: Mapping[str, Score]
    top1_by_category: Mapping[str, Score]
    top2_by_category: Mapping[str, Score] = field(default_factory=dict)
    leak_by_kind: Mapping[str, Score] = field(default_factory=dict)
    people: Mapping[str, Score] = field(default_factory=dict)
    origins: Mapping[str, int] = field(default_factory=dict)
    bars: tuple[Bar, ...] = ()
    failed_tasks: tuple[str, ...] = ()
    is_judged: bool = True
    reliability: tuple[tuple[float, Score], ...] = ()
    curve: tuple[tuple[float, float, float], ...] = ()
    mistakes: Listing[ShownMistake] = field(default_factory=Listing)
    missed_categories: Listing[MissedCategory] = field(default_factory=Listing)
    weeks: tuple[Week, ...] = ()
    cost_total: float | None = None
    run: str = ""
    is_short: bool = False

    @property
    def hidden(self) -> int:
        """How many of the mistakes shown are without their words."""
        return sum(1 for each in self.mistakes.items if each.text is None)


@dataclass(frozen=True, slots=True)
class ListedEvaluation:
    """One row of the list."""

    evaluation_id: int
    created_at: datetime
    engine: str
    rubric_version: str
    sample_count: int
    passed: bool
    is_short: bool
    scores: Mapping[str, Score]


@dataclass(frozen=True, slots=True)
class Mark:
    """A point of a diagram with its whisker, in the drawing's units."""

    x: float
    y: float
    low: float
    high: float
    radius: float
    says: str


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a diagram: its points, and how it is told apart."""

    label: str
    style: str
    points: tuple[tuple[float, float], ...]

    @property
    def path(self) -> str:
        """As ``points`` of a polyline."""
        return " ".join(f"{x:g},{y:g}" for x, y in self.points)


SIDE = 260.0
LEFT, TOP = 44.0, 12.0
"""Of the plot in its drawing; below and to the left stand the figures of the axes."""

DRIFT_WIDTH, DRIFT_HEIGHT = 520.0, 170.0
MIN_RISK_SHOWN = 0.1
"""A curve at nothing is drawn along the floor, not blown up."""


def mistakes_of(
    card: Scorecard, samples: Iterable[Sample], given: Iterable[Answer]
) -> dict[str, Any]:
    """Give what is stored of the mistakes: the project's own words, and of people's texts none."""
    by_id = {sample.sample_id: sample for sample in samples}
    plain = {each.sample_id: each for each in given if each.variant == PLAIN}
    kept = []
    for mistake in card.mistakes[:MISTAKES_KEPT]:
        sample, answer = by_id[mistake.sample_id], plain.get(mistake.sample_id)
        row: dict[str, Any] = {
            "sample_id": mistake.sample_id,
            "origin": mistake.origin,
            "kind": mistake.kind,
            "got": mistake.got,
            "expected": list(mistake.expected),
            "confidence": mistake.confidence,
            "error": mistake.error,
        }
        if sample.origin == "project":
            row |= words_of(sample.contribution.text, answer)
        kept.append(row)
    return {"mistakes": kept, "mistake_count": len(card.mistakes)}


def missed_categories_of(samples: Iterable[Sample], given: Iterable[Answer]) -> dict[str, Any]:
    """Give the project's samples whose category is not among the two that were named."""
    unaided = {each.sample_id: each for each in given if each.variant == UNAIDED}
    missed = []
    for sample in samples:
        answer = unaided.get(sample.sample_id)
        if sample.origin != "project" or answer is None or answer.classification is None:
            continue
        named = [answer.classification.category, answer.classification.second_category]
        if not sample.expected_categories & {str(each) for each in named if each}:
            missed.append(
                {
                    "sample_id": sample.sample_id,
                    "expected": sorted(sample.expected_categories),
                    "got": [str(each) for each in named if each],
                    "text": sample.contribution.text[:TEXT_CHARACTERS],
                }
            )
    return {"missed_categories": missed[:MISTAKES_KEPT], "missed_category_count": len(missed)}


def words_of(text: str, answer: Answer | None) -> dict[str, Any]:
    """Give the words of a sample and what was answered on which of them."""
    validation = answer.validation if answer else None
    return {
        "text": text[:TEXT_CHARACTERS],
        "reasoning": validation.reasoning if validation else "",
        "quotes": [each.quote for each in validation.evidence[:QUOTES_KEPT]] if validation else [],
    }


def bars_of(
    bars: Mapping[str, Any], scores: Mapping[str, Score], people: Mapping[str, Score]
) -> tuple[Bar, ...]:
    """Lay the bars of a gate beside the figures held to them, missed ones first."""
    sides = {name: (str(side), float(bar)) for name, (side, bar) in bars.get("scores", {}).items()}
    found = [Bar(name, side, bar, scores.get(name)) for name, (side, bar) in sides.items()]
    found += [
        Bar(name, *sides[name], people[name], is_people=True)
        for name in ON_PEOPLE
        if name in sides and name in people and people[name].n >= bars.get("min_people", 0)
    ]
    return tuple(sorted(found, key=lambda bar: bar.held))


def write(report: EvaluationReport, folder: Path) -> Path:
    """Write ``<id>.html``; it is replaced whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.evaluation_id}.html"
    write_whole(path, render(report), FILE_MODE)
    return path


def render(report: EvaluationReport) -> str:
    """Word the report as one HTML page that needs nothing else."""
    return (
        _environment()
        .get_template("evaluation.html.j2")
        .render(
            report=report,
            sections=_sections(report.scores),
            people=[row for _, _, rows in _sections(report.people) for row in rows if row[1].n],
            marks=reliability_marks(report.reliability),
            risk=risk_line(report.curve),
            risk_top=_risk_top(report.curve),
            drift=drift_lines(report.weeks),
            outcomes=outcome_lines(report.weeks),
            grid=_grid(),
        )
    )


def render_list(municipality: str, rows: Sequence[ListedEvaluation]) -> str:
    """Word the list of evaluations, the newest first."""
    template = _environment().get_template("evaluations.html.j2")
    return template.render(municipality=municipality, rows=rows)


def reliability_marks(bins: Iterable[tuple[float, Score]]) -> tuple[Mark, ...]:
    """Place each bin: what was claimed to the right, how often it was right upwards."""
    return tuple(
        Mark(
            _x(claimed),
            _y(right.value),
            _y(right.low or 0.0),
            _y(1.0 if right.high is None else right.high),
            round(min(9.0, 2.5 + right.n**0.5 / 2), 2),
            f"confiance {_percent(claimed)}, juste {_percent(right.value)}, {right.n} réponses",
        )
        for claimed, right in bins
        if right.value is not None
    )


def risk_line(curve: Iterable[tuple[float, float, float]]) -> Line:
    """Place the curve: the share settled without a person to the right, the share wrong upwards."""
    points = list(curve)
    top = _risk_top(points)
    return Line(
        "risque",
        "first",
        tuple((_x(coverage), _y(risk / top)) for _, coverage, risk in points),
    )


def drift_lines(weeks: Sequence[Week]) -> tuple[Line, ...]:
    """Place the scores of the weeks that have an evaluation."""
    return _weekly(weeks, DRIFT_SCORES, lambda week: week.scores, wording.score_label)


def outcome_lines(weeks: Sequence[Week]) -> tuple[Line, ...]:
    """Place what was answered to the texts of each week."""
    return _weekly(weeks, OUTCOMES, lambda week: week.outcomes, lambda name: GOT_LABELS[name])


def _weekly(weeks: Sequence[Week], names: Sequence[str], of: Any, label: Any) -> tuple[Line, ...]:
    if not weeks:
        return ()
    first, days = weeks[0].week, max(7, (weeks[-1].week - weeks[0].week).days)
    lines = []
    for name, style in zip(names, ("first", "second", "third"), strict=True):
        points = tuple(
            (
                round(LEFT + (week.week - first).days / days * (DRIFT_WIDTH - LEFT - 10), 2),
                round(TOP + (1 - value) * DRIFT_HEIGHT, 2),
            )
            for week in weeks
            if (value := getattr(of(week).get(name), "value", None)) is not None
        )
        lines.append(Line(label(name), style, points))
    return tuple(lines)


def _sections(scores: Mapping[str, Score]) -> list[tuple[str, str, list[tuple[str, Score]]]]:
    placed = {name for _, _, names in SECTIONS for name in names}
    found = [
        (title, says, [(name, scores[name]) for name in names if name in scores])
        for title, says, names in SECTIONS
    ]
    others = [(name, score) for name, score in scores.items() if name not in placed]
    return [section for section in (*found, ("Autres mesures", "", others)) if section[2]]


def _grid() -> list[tuple[float, float, str]]:
    return [(_x(share), _y(share), _percent(share)) for share in (0.0, 0.25, 0.5, 0.75, 1.0)]


def _risk_top(curve: Iterable[tuple[float, float, float]]) -> float:
    highest = max((risk for _, _, risk in curve), default=0.0)
    return next((top for top in (MIN_RISK_SHOWN, 0.25, 0.5) if highest <= top), 1.0)


def _x(share: float) -> float:
    return round(LEFT + min(max(share, 0.0), 1.0) * SIDE, 2)


def _y(share: float) -> float:
    return round(TOP + (1 - min(max(share, 0.0), 1.0)) * SIDE, 2)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{wording.number(share * 100, 0)}\u00a0%"


@cache
def _environment() -> Environment:
    made = environment(shown, keep_trailing_newline=True)
    made.filters.update(
        category=wording.category_label,
        csp_hash=_csp_hash,
        figure=wording.score_figure,
        got=lambda key: GOT_LABELS.get(key, key),
        kind=lambda key: wording.KIND_LABELS.get(key, key),
        origin=lambda key: ORIGIN_LABELS.get(key, key),
        percent=_percent,
        score_label=wording.score_label,
        week=lambda day: day.strftime("%d/%m/%Y"),
    )
    made.globals.update(
        categories=tuple(CATEGORY_NAMES), town_of=town_name, side=SIDE, left=LEFT, top=TOP
    )
    made.globals.update(drift_width=DRIFT_WIDTH, drift_height=DRIFT_HEIGHT)
    return made


def _csp_hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
