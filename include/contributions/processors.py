"""The three steps of the contribution workflow as processors, composed once.

The same processors run in-process (:func:`judge`), over a chunk (``run_step_over_items``) and as
steps of a named workflow, with equal results: each reads the contribution and the earlier results
it names, as objects or as the JSON they were stored as.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from include.contributions.evaluation import evaluate
from include.contributions.model import (
    Classification,
    Contribution,
    Evaluation,
    Judgement,
    Validation,
)
from include.errors import PermanentError, UnreadableAnswerError
from include.ports import Reviewer
from include.processing.model import ErrorStrategy, ProcessingContext, Step, StepObserver
from include.processing.workflow import RetryBudget, Workflow

AnswerT = TypeVar("AnswerT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ValidationProcessor:
    """Holds the contribution against the charter."""

    reviewer: Reviewer
    name: str = "validate"

    def __call__(self, context: ProcessingContext, /) -> Validation:
        """Return the reviewer's validation."""
        return _of(Validation, self.reviewer.validate(_contribution(context)))


@dataclass(frozen=True, slots=True)
class ClassificationProcessor:
    """Names the subject of the contribution."""

    reviewer: Reviewer
    name: str = "classify"

    def __call__(self, context: ProcessingContext, /) -> Classification:
        """Return the reviewer's classification."""
        return _of(Classification, self.reviewer.classify(_contribution(context)))


@dataclass(frozen=True, slots=True)
class EvaluationProcessor:
    """Weighs the two answers before; the context's warnings become part of the evaluation."""

    rubric: str
    name: str = "evaluate"

    def __call__(self, context: ProcessingContext, /) -> Evaluation:
        """Return the evaluation of the answers of ``validate`` and ``classify``."""
        return evaluate(
            _contribution(context),
            _answer(context, "validate", Validation),
            _answer(context, "classify", Classification),
            self.rubric,
            tuple(context.warnings),
        )


def contribution_workflow(reviewer: Reviewer) -> Workflow:
    """Compose validate, classify and evaluate for one reviewer.

    The two steps that ask the reviewer try transient errors again; the third only computes. The
    workflow stops at a failed step, because half a judgement is none; a pass of one of its steps
    over a chunk may continue past the item instead.
    """
    retry = ErrorStrategy.RETRY
    return Workflow(
        "contribution_analysis",
        (
            Step(ValidationProcessor(reviewer), on_error=retry),
            Step(ClassificationProcessor(reviewer), on_error=retry),
            Step(EvaluationProcessor(reviewer.rubric_version)),
        ),
        ErrorStrategy.STOP,
    )


def contribution_context(
    contribution: Contribution,
    results: Mapping[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
) -> ProcessingContext:
    """Build what the processors read, with the results that earlier steps stored."""
    return ProcessingContext(
        input_data=contribution,
        intermediate_results=dict(results or {}),
        metadata={"item_id": contribution.contribution_id},
        warnings=list(warnings),
    )


def judge(
    contribution: Contribution,
    reviewer: Reviewer,
    *,
    warnings: tuple[str, ...] = (),
    observer: StepObserver | None = None,
    budget: RetryBudget | None = None,
) -> Judgement:
    """Judge one contribution in this process: the whole result, as a run over it would store it.

    Raises:
        ProcessingError: A step failed; there is no half judgement.
    """
    context = contribution_context(contribution, warnings=warnings)
    workflow = contribution_workflow(reviewer)
    results = workflow.execute(context, observer=observer, budget=budget).output.results
    return Judgement(
        id=contribution.contribution_id,
        validation=results["validate"],
        classification=results["classify"],
        evaluation=results["evaluate"],
    )


def _of(kind: type[AnswerT], answer: object) -> AnswerT:
    if not isinstance(answer, kind):
        raise UnreadableAnswerError(f"expected a {kind.__name__}, got {answer!r}"[:500])
    return answer


def _contribution(context: ProcessingContext) -> Contribution:
    if not isinstance(context.input_data, Contribution):
        raise PermanentError(f"input_data is a {type(context.input_data).__name__}, not a text")
    return context.input_data


def _answer(context: ProcessingContext, step: str, form: type[AnswerT]) -> AnswerT:
    answer = context.intermediate_results.get(step)
    if isinstance(answer, form):
        return answer
    if answer is None:
        raise PermanentError(f"the step {step} has no result to go on from")
    return form.model_validate(answer)
