"""The three steps of the contribution workflow as a named workflow names them: objects in, objects out.

The processors are those of :mod:`include.contributions.processors`, with equal results.
"""

from collections.abc import Mapping
from typing import Any

from include.contributions.model import MAX_TEXT_CHARACTERS, Category, Contribution, declared
from include.contributions.processors import (
    ClassificationProcessor,
    EvaluationProcessor,
    ValidationProcessor,
    contribution_context,
)
from include.errors import PermanentError, TransientError
from include.ports import Reviewer


def validate(inputs: Mapping[str, Any], reviewer: Reviewer) -> dict[str, Any]:
    """Hold the text against the charter."""
    context = contribution_context(_contribution(inputs))
    return ValidationProcessor(reviewer)(context).model_dump(mode="json")


def classify(inputs: Mapping[str, Any], reviewer: Reviewer) -> dict[str, Any]:
    """Name the subject of the text."""
    context = contribution_context(_contribution(inputs))
    return ClassificationProcessor(reviewer)(context).model_dump(mode="json")


def evaluate(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Weigh the two answers before.

    Raises:
        TransientError: They were given under two rubrics: providers went away, or came back, in between.
    """
    validation, classification = inputs["validation"], inputs["classification"]
    rubric = validation["rubric_version"]
    if classification["rubric_version"] != rubric:
        raise TransientError(
            f"validated under {rubric} and sorted under {classification['rubric_version']}: "
            "clear the steps before"
        )
    earlier = {"validate": validation, "classify": classification}
    context = contribution_context(_contribution(inputs), earlier)
    return EvaluationProcessor(rubric)(context).model_dump(mode="json")


def _contribution(inputs: Mapping[str, Any]) -> Contribution:
    text, ideas = inputs["text"] or "", inputs.get("ideas") or ""
    if not text.strip() and not ideas.strip():
        raise PermanentError("the text is empty: give the citizen's words")
    if len(text) + len(ideas) > MAX_TEXT_CHARACTERS:
        raise PermanentError(
            f"the text has {len(text) + len(ideas)} characters, at most {MAX_TEXT_CHARACTERS}: shorten it"
        )
    return Contribution("named:1", text, ideas, _category(inputs.get("category")))


def _category(given: str | None) -> Category | None:
    return declared(given) if given else None
