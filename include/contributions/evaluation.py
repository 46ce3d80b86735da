"""Say how far the machine's answers for one contribution can be relied on.

This is the per-item step. Holding an engine against labelled samples is
``include.contributions.scoring``.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from include.contributions.model import Classification, Contribution, Evaluation, Validation

TYPED_FIELD_SCORE = 0.2
ERROR_TEXT_PENALTY = 0.5
EMPTY_REASONING_PENALTY = 0.2
CONFIDENCE_RANGE_PENALTY = 0.1
NO_ASPECT_PENALTY = 0.1

_SCORED_FIELDS = {
    "decision",
    "is_valid",
    "violations",
    "encouraged_aspects",
    "reasoning",
    "confidence",
}
_QUOTED = re.compile(r"«[^»]*»|“[^”]*”|\"[^\"]*\"")
_ERROR_TEXT = re.compile(
    r"""
    ^\W*(?:error|exception|traceback|failed|failure|unable\ to|could\ not)\b
    | ^\W*(?:échec|erreur)\s*
      (?:$|:|interne|technique|inattendue|lors|pendant|(?:de|du|d['’])\s*
         (?:la\s|l['’])?(?:validation|analyse|api|connexion|délai|modèle|traitement|service))
    | traceback\ \(most\ recent
    | \b(?:[a-z]\w*Error|[a-z]\w*Exception)\s*(?:\(|:|$)
    | \b(?:timed\ out|rate\ limit|quota\ exceeded|api\ key|internal\ server\ error)\b
    | \b(?:http|status\ code)\s*[:=]?\s*[45]\d\d\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
"""What providers and programs write when they fail, in English and French.

A citizen may speak of an error; what stands between quotation marks is theirs and is not looked at.
"""


def evaluate(
    contribution: Contribution,
    validation: Validation,
    classification: Classification,
    rubric_version: str,
    notes: tuple[str, ...] = (),
) -> Evaluation:
    """Weigh the two answers of one contribution.

    Args:
        contribution: What the citizen gave.
        validation: The answer of the step ``validate``.
        classification: The answer of the step ``classify``.
        rubric_version: The rubric under which this evaluation counts.
        notes: Warnings of earlier steps that must reach the reader.
    """
    form = output_format(validation.model_dump(mode="json", include=_SCORED_FIELDS))
    return Evaluation(
        confidence=min(validation.confidence, classification.confidence),
        completeness=completeness(contribution),
        output_format=form,
        warnings=(*notes, *_warnings(form, validation, classification)),
        engine=validation.engine,
        rubric_version=rubric_version,
    )


def completeness(contribution: Contribution) -> float:
    """Share of what the form asks for that was given: two parts and a category.

    >>> completeness(Contribution("c-1", "Le banc est cassé.", "Le réparer."))
    0.6667
    """
    given = (
        contribution.constat_factuel.strip(),
        contribution.idees_ameliorations.strip(),
        contribution.category,
    )
    return round(sum(map(bool, given)) / len(given), 4)


def output_format(answer: object) -> float:
    """Score the form of a validation, 0 to 1, whoever gave it and whatever it holds.

    Each of five fields earns 0.2 when it has its type: ``is_valid`` true or false (null too, but
    only beside the decision ``review``, where it is the right answer), ``violations`` and
    ``encouraged_aspects`` lists, ``reasoning`` text, ``confidence`` a finite number. Taken off:
    0.5 for an error text as reasoning, 0.2 for an empty reasoning (a missing one too), 0.1 for a
    number outside 0 to 1 as confidence (NaN and infinities too), 0.1 for valid without an
    encouraged aspect.

    >>> output_format({"is_valid": True, "violations": [], "encouraged_aspects": ["proposition"],
    ...                "reasoning": "Une proposition concrète.", "confidence": 0.9})
    1.0
    """
    if not isinstance(answer, Mapping):
        return 0.0
    reasoning, confidence = answer.get("reasoning"), answer.get("confidence")
    aspects = answer.get("encouraged_aspects")
    typed = (
        _is_outcome(answer),
        _is_list(answer.get("violations")),
        _is_list(aspects),
        isinstance(reasoning, str),
        _is_number(confidence) and _is_finite(confidence),
    )
    score = TYPED_FIELD_SCORE * sum(typed)
    text = reasoning.strip() if isinstance(reasoning, str) else ""
    if not text:
        score -= EMPTY_REASONING_PENALTY
    elif is_error_text(text):
        score -= ERROR_TEXT_PENALTY
    # Written so that NaN, which compares false with everything, is outside.
    if _is_number(confidence) and not 0 <= confidence <= 1:
        score -= CONFIDENCE_RANGE_PENALTY
    if answer.get("is_valid") is True and not (_is_list(aspects) and aspects):
        score -= NO_ASPECT_PENALTY
    return round(min(max(score, 0.0), 1.0), 4)


def is_error_text(reasoning: str) -> bool:
    """Say whether a reasoning is a program's complaint instead of a reason.

    >>> is_error_text("TimeoutError: the provider did not answer")
    True
    >>> is_error_text("Le texte signale une erreur sur le panneau du port.")
    False
    """
    return _ERROR_TEXT.search(_QUOTED.sub("", reasoning)) is not None


def _warnings(form: float, validation: Validation, classification: Classification) -> list[str]:
    found = []
    if form < 1:
        found.append(f"Forme de la réponse incomplète ({form:.2f} sur 1).")
    if validation.rubric_version != classification.rubric_version:
        found.append(
            "Validation et classification suivent deux versions des règles "
            f"({validation.rubric_version}, {classification.rubric_version})."
        )
    return found


def _is_outcome(answer: Mapping[Any, Any]) -> bool:
    is_valid = answer.get("is_valid")
    if is_valid is None:
        return answer.get("decision") == "review"
    return isinstance(is_valid, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_finite(value: float) -> bool:
    # An integer of any length is finite, and too long a one cannot be asked as a float.
    return isinstance(value, int) or math.isfinite(value)
