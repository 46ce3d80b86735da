"""Ask a reviewer about labelled samples, and keep each answer so that it can be stored and read again.

Whatever goes wrong is an answer as well, a failed one. It counts against the reviewer in every score:
an engine cannot improve by failing.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from include.contributions.model import Classification, Contribution, Validation
from include.contributions.noise import spoiled
from include.contributions.samples import Sample
from include.contributions.sources.boundary import cleaned
from include.errors import UnreadableAnswerError, cause_chain, says_it_passes
from include.ports import Reviewer

PLAIN = "plain"
"""The sample as it is: validated and classified."""

UNAIDED = "unaided"
"""Classified with the declared category hidden, so that the answer is not read off the form."""

NOISE_LEVELS = (2, 5, 10)
"""Percent of the characters that are spoiled; such a text is only validated."""

ERROR_CHARACTERS = 500

FREE_ENGINES = frozenset({"embedded"})
"""Nobody is paid for their answers."""

UNASKED = (", not asked", ", not sent", "provider unavailable")
"""How an answer's engine ends when no provider had a part in it."""


@dataclass(frozen=True, slots=True)
class Question:
    """One thing a reviewer is asked about one sample."""

    sample_id: str
    variant: str
    contribution: Contribution

    @property
    def key(self) -> tuple[str, str, str]:
        """What an answer is stored under, beside the rubric: another text is another question."""
        return self.sample_id, self.variant, self.contribution.input_hash


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question.

    Attributes:
        validation: None where none was asked for, or the answer failed.
        classification: The same.
        error: Why it failed; None for an answer that can be read.
        took_ms: From question to answer.
        cost: Of the call, in euros; None where nobody says.
    """

    sample_id: str
    variant: str
    input_hash: str
    validation: Validation | None = None
    classification: Classification | None = None
    error: str | None = None
    took_ms: float | None = None
    cost: float | None = None

    @property
    def output(self) -> dict[str, Any]:
        """What is stored of it, JSON-ready."""
        return {
            name: part.model_dump(mode="json")
            for name, part in (
                ("validation", self.validation),
                ("classification", self.classification),
            )
            if part is not None
        }

    @classmethod
    def read(cls, row: Mapping[str, Any]) -> "Answer":
        """Read a stored answer; one that cannot be read is a failed one."""
        output = row["output"]
        kept = {
            name: row[name] for name in ("sample_id", "variant", "input_hash", "took_ms", "cost")
        }
        if row["error"] is not None:
            return cls(**kept, error=row["error"])
        try:
            validation = output.get("validation")
            classification = output.get("classification")
            return cls(
                **kept,
                validation=validation and Validation.model_validate(validation),
                classification=classification and Classification.model_validate(classification),
            )
        except (AttributeError, ValueError) as error:
            return cls(**kept, error=f"what is stored cannot be read: {error}"[:ERROR_CHARACTERS])


def questions(sample: Sample, noise_levels: Sequence[int] = NOISE_LEVELS) -> Iterator[Question]:
    """List what a reviewer is asked about a sample."""
    asked = sample.contribution
    yield Question(sample.sample_id, PLAIN, asked)
    if sample.expected_categories:
        yield Question(sample.sample_id, UNAIDED, replace(asked, category=None))
    for percent in noise_levels:
        yield Question(sample.sample_id, noise_variant(percent), spoiled(asked, percent))


def noise_variant(percent: int) -> str:
    """Name the question about a spoiled text."""
    return f"noise_{percent}"


def ask(question: Question, reviewer: Reviewer, *, may_pass: bool = False) -> Answer:
    """Put one question.

    Args:
        question: What is asked.
        reviewer: Who is asked.
        may_pass: Another attempt follows: what passes by itself is raised instead of counted.

    Raises:
        TransientError: Only with ``may_pass``.
    """
    began = time.perf_counter()
    contribution = question.contribution
    validation = classification = None
    try:
        if question.variant != UNAIDED:
            validation = _readable(Validation, reviewer.validate(contribution))
        if question.variant in (PLAIN, UNAIDED):
            classification = _readable(Classification, reviewer.classify(contribution))
        answer = Answer(*question.key, validation, classification)
        _check_storable(answer)
        _check_rubric(answer, reviewer.rubric_version)
    except Exception as error:  # whatever an engine raises is a failed answer, counted as such
        if may_pass and says_it_passes(error):
            raise
        answer = Answer(*question.key, error=cleaned(cause_chain(error))[0][:ERROR_CHARACTERS])
    took_ms = round((time.perf_counter() - began) * 1000, 3)
    return replace(answer, took_ms=took_ms, cost=_cost(reviewer, validation or classification))


def _readable(form: Callable[..., Any], answer: Any) -> Any:
    """Check an answer again from its fields: an engine may have built it around the checks."""
    return form(**{name: getattr(answer, name) for name in type(answer).model_fields})


def _check_rubric(answer: Answer, rubric_version: str) -> None:
    """Refuse an answer under other rules than were asked for, as when no provider answered."""
    for part in (answer.validation, answer.classification):
        if part is not None and part.rubric_version != rubric_version:
            raise UnreadableAnswerError(
                f"answered under {part.rubric_version}, and {rubric_version} was asked"
            )


def _check_storable(answer: Answer) -> None:
    """Refuse what no database holds: numbers that are none, NUL, half characters."""
    json.dumps(answer.output, allow_nan=False, ensure_ascii=False).encode()
    if any("\0" in text for text in _texts(answer.output)):
        raise ValueError("the answer holds a NUL")


def _texts(part: Any) -> Iterator[str]:
    match part:
        case str():
            yield part
        case Mapping():
            for inner in part.values():
                yield from _texts(inner)
        case list():
            for inner in part:
                yield from _texts(inner)


def _cost(reviewer: Reviewer, answer: Validation | Classification | None) -> float | None:
    """Say what an answer cost: nothing where no provider is asked, None where nobody says."""
    if reviewer.engine in FREE_ENGINES or getattr(answer, "engine", "").endswith(UNASKED):
        return 0.0
    told = getattr(getattr(answer, "model_use", None), "cost_eur", None)
    return float(told) if isinstance(told, int | float) and math.isfinite(told) else None
