"""Run steps: all of a workflow over one item, or one step over many items, with equal results.

Everything happens in the calling thread. Limits that must hold whatever a step does belong to the
process around it; this module checks deadlines where control comes back to it.
"""

import asyncio
import inspect
import logging
import time
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import stamina

from include.errors import ConfigurationError, ProcessingError, cause_chain, is_transient
from include.processing.model import (
    ErrorStrategy,
    ItemOutcome,
    ProcessingContext,
    Step,
    StepObserver,
    StepStatus,
    WorkflowMetrics,
)

RETRY_BUDGET_S = 30.0
"""For everything tried again in one execution or pass; the total a call to the outside may take."""

WAIT_INITIAL_S = 0.2
WAIT_MAX_S = 5.0
WAIT_JITTER_S = 0.2
"""Waits double from the first to the longest; the jitter keeps callers from marching in step."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class RetryBudget:
    """Seconds left for second and third attempts, shared by all that runs under it.

    A provider that is down thus costs a batch its budget once, not once per item.
    """

    left_s: float = RETRY_BUDGET_S


@dataclass(frozen=True, slots=True)
class Workflow:
    """Steps in the order they run, and what a failure means unless the step says otherwise.

    >>> from include.processing.model import FunctionProcessor
    >>> double = Step(FunctionProcessor("double", lambda context: context.input_data * 2))
    >>> Workflow("sums", (double,)).execute(ProcessingContext(21)).output.results
    {'double': 42}
    """

    name: str
    steps: tuple[Step, ...]
    error_strategy: ErrorStrategy = ErrorStrategy.STOP

    def __post_init__(self) -> None:
        """Refuse two steps of one name: the second would pass for done."""
        names = [step.name for step in self.steps]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ConfigurationError(f"workflow {self.name}: two steps are named {twice[0]}")

    def execute(
        self,
        context: ProcessingContext,
        *,
        observer: StepObserver | None = None,
        budget: RetryBudget | None = None,
    ) -> ProcessingContext:
        """Run what is not yet done and return the same context with the results added.

        Args:
            context: Holds the input and whatever earlier executions completed.
            observer: Is told of every attempt, and of every step skipped and why.
            budget: Seconds for retries; its own 30 when not shared with other executions.

        Raises:
            ProcessingError: A step failed that stops the workflow. The context keeps the results
                of the steps before it; executing it again resumes at the failed step.
        """
        budget = budget or RetryBudget()
        context.stopped_by = None
        for position, step in enumerate(self.steps):
            if step.name in context.intermediate_results:
                _tell_skipped(observer, step, "already done")
                continue
            _forget_failures(context, step)
            run = _StepRun(step, self.error_strategy, budget, observer)
            try:
                result, _ = run.over(context, context.item_id)
            except ProcessingError as error:
                context.errors.append(error)
                if step.stops(self.error_strategy):
                    context.stopped_by = error
                    self._tell_not_run(context, position + 1, observer)
                    raise
                context.warnings.append(str(error))
            else:
                context.intermediate_results[step.name] = result
        return context

    def _tell_not_run(
        self, context: ProcessingContext, start: int, observer: StepObserver | None
    ) -> None:
        for step in self.steps[start:]:
            if step.name not in context.intermediate_results:
                _tell_skipped(observer, step, f"not run: {self.steps[start - 1].name} failed")


def run_step_over_items(
    step: Step,
    items: Iterable[tuple[str, ProcessingContext]],
    *,
    strategy: ErrorStrategy = ErrorStrategy.STOP,
    observer: StepObserver | None = None,
    budget: RetryBudget | None = None,
) -> Iterator[ItemOutcome]:
    """Yield one outcome per item, in the order given; lazily, one pass, contexts left unchanged.

    Where the step continues past errors, a failed item's outcome carries the error, and whoever
    stores the outcomes decides by ``says_it_passes`` whether the item is set aside or tried again
    later. Where it stops, the error is raised and the items after it are untouched. The observer
    is told once, when the pass ends, with the items taken and the results given.

    Raises:
        ProcessingError: The step failed and stops; or its ``timeout_s`` was over before the named
            item was begun, whatever the strategy, because items not begun have not failed.
    """
    run = _StepRun(step, strategy, budget or RetryBudget())
    ledger = _PassRecord(step)
    try:
        for item_id, context in items:
            run.check_deadline(item_id)
            ledger.taken += 1
            outcome = _outcome(run, item_id, context)
            ledger.note(outcome)
            yield outcome
    except GeneratorExit:
        ledger.close(observer, "failed", f"abandoned by its reader after {ledger.taken} items")
        raise
    except BaseException as error:
        ledger.close(observer, _status_of(error), cause_chain(error))
        raise
    ledger.close(observer, "success", ledger.first_failure)


def _outcome(run: "_StepRun", item_id: str, context: ProcessingContext) -> ItemOutcome:
    if run.step.name in context.intermediate_results:
        return ItemOutcome(item_id, context.intermediate_results[run.step.name], None, 0)
    try:
        result, attempts = run.over(context, item_id)
    except ProcessingError as error:
        if run.step.stops(run.strategy):
            raise
        return ItemOutcome(item_id, None, error, error.attempt)
    return ItemOutcome(item_id, result, None, attempts)


class _StepRun:
    """One step under one strategy, budget and deadline."""

    __slots__ = ("_budget", "_deadline", "_observer", "step", "strategy")

    def __init__(
        self,
        step: Step,
        strategy: ErrorStrategy,
        budget: RetryBudget,
        observer: StepObserver | None = None,
    ) -> None:
        self.step = step
        self.strategy = strategy
        self._budget = budget
        self._observer = observer
        self._deadline = None if step.timeout_s is None else time.monotonic() + step.timeout_s

    def over(self, context: ProcessingContext, item_id: str) -> tuple[Any, int]:
        """Return the step's result and the number of attempts it took."""
        try:
            return self._attempt(context, item_id, 1), 1
        except ProcessingError as error:
            if not self.step.retries(self.strategy):
                raise
            first = error
        return self._again(context, item_id, first)

    def check_deadline(self, item_id: str) -> None:
        """Raise when no time is left to begin another item."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            late = TimeoutError(f"{self.step.timeout_s:g} s were over before this item was begun")
            raise _failure(self.step, item_id, 1, late)

    def _attempt(self, context: ProcessingContext, item_id: str, attempt: int) -> Any:
        began = _Stopwatch() if self._observer else None
        try:
            result = self.step.processor(context)
            if inspect.isawaitable(result):
                result = asyncio.run(_awaited(result, self._left_s()))
        except Exception as error:
            if began:
                message = cause_chain(error)
                _tell(self._observer, began.metrics(self.step, _status_of(error), 1, 0, message))
            raise _failure(self.step, item_id, attempt, error) from error
        if began:
            _tell(self._observer, began.metrics(self.step, "success", 1, 1))
        return result

    def _again(
        self, context: ProcessingContext, item_id: str, first: ProcessingError
    ) -> tuple[Any, int]:
        """Go on after a first failure.

        The retry machinery is built here, when something did fail, and is handed the first error
        as its own first attempt: it costs more than most steps do.
        """
        began = time.monotonic()
        limit_s = self._budget.left_s
        left_s = self._left_s()
        if left_s is not None:
            limit_s = min(limit_s, left_s)
        next_wait_s = 0.0

        def wait_before_next(error: Exception) -> bool | float:
            # The machinery also shows what is no error of the step, such as KeyboardInterrupt.
            if not isinstance(error, ProcessingError) or not is_transient(error):
                return False
            asked_s = _retry_after_s(error.cause)
            wait_s = next_wait_s + WAIT_JITTER_S if asked_s is None else asked_s
            if time.monotonic() - began + wait_s > limit_s:
                return False
            return True if asked_s is None else asked_s

        try:
            for attempt in stamina.retry_context(
                on=wait_before_next,
                attempts=self.step.max_attempts,
                timeout=None,
                wait_initial=WAIT_INITIAL_S,
                wait_max=WAIT_MAX_S,
                wait_jitter=WAIT_JITTER_S,
            ).with_name(self.step.name, (item_id,), {}):
                next_wait_s = attempt.next_wait
                with attempt:
                    if attempt.num == 1:
                        raise first
                    return self._attempt(context, item_id, attempt.num), attempt.num
        finally:
            self._budget.left_s -= time.monotonic() - began
        raise AssertionError("the retry machinery returns or raises")

    def _left_s(self) -> float | None:
        return None if self._deadline is None else self._deadline - time.monotonic()


class _Stopwatch:
    __slots__ = ("_began", "_started_at")

    def __init__(self) -> None:
        self._started_at = datetime.now(UTC)
        self._began = time.monotonic()

    def metrics(
        self, step: Step, status: StepStatus, taken: int, given: int, message: str | None = None
    ) -> WorkflowMetrics:
        return WorkflowMetrics(
            step_name=step.name,
            start_time=self._started_at,
            end_time=datetime.now(UTC),
            status=status,
            duration_ms=round((time.monotonic() - self._began) * 1000),
            input_size=taken,
            output_size=given,
            error_message=message,
        )


@dataclass(slots=True)
class _PassRecord:
    step: Step
    taken: int = 0
    given: int = 0
    failed: int = 0
    first_error: ProcessingError | None = None
    began: _Stopwatch = field(default_factory=_Stopwatch)

    def note(self, outcome: ItemOutcome) -> None:
        if outcome.error is None:
            self.given += 1
            return
        self.failed += 1
        self.first_error = self.first_error or outcome.error

    @property
    def first_failure(self) -> str | None:
        if self.first_error is None:
            return None
        return f"{self.failed} of {self.taken} items failed; first: {self.first_error}"

    def close(self, observer: StepObserver | None, status: StepStatus, message: str | None) -> None:
        _tell(observer, self.began.metrics(self.step, status, self.taken, self.given, message))


async def _awaited(work: Awaitable[Any], timeout_s: float | None) -> Any:
    async with asyncio.timeout(timeout_s):
        return await work


def _failure(step: Step, item_id: str, attempt: int, cause: Exception) -> ProcessingError:
    asked_s = _retry_after_s(cause)
    context: dict[str, str | int | float] = {} if asked_s is None else {"retry_after_s": asked_s}
    return ProcessingError(step.name, item_id, attempt, cause, datetime.now(UTC), context)


def _retry_after_s(error: BaseException) -> float | None:
    """Read how long the other side asked us to wait; what is no usable figure counts as unsaid."""
    asked = getattr(error, "retry_after_s", None)
    if isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 0:
        return float(asked)
    return None


def _status_of(error: BaseException) -> StepStatus:
    cause = error.cause if isinstance(error, ProcessingError) else error
    return "timeout" if isinstance(cause, TimeoutError) else "failed"


def _forget_failures(context: ProcessingContext, step: Step) -> None:
    """Drop what an earlier execution said about a step that is tried again now."""
    sentences = {str(error) for error in context.errors if error.step == step.name}
    context.errors[:] = [error for error in context.errors if error.step != step.name]
    context.warnings[:] = [text for text in context.warnings if text not in sentences]


def _tell_skipped(observer: StepObserver | None, step: Step, reason: str) -> None:
    if observer:
        _tell(observer, _Stopwatch().metrics(step, "skipped", 0, 0, reason))


def _tell(observer: StepObserver | None, metrics: WorkflowMetrics) -> None:
    """Hand a measurement over; measuring never decides whether the work counts."""
    if observer is None:
        return
    try:
        observer(metrics)
    except Exception:  # noqa: BLE001  an observer is anybody's code; its error is logged whole
        _log.exception("the observer of step %s failed", metrics.step_name)
