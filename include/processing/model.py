"""What a workflow is made of: processors, steps, the context they read, and what is measured.

Nothing here knows what is processed. ``include.processing.workflow`` runs it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, Protocol

from include.errors import ConfigurationError, ProcessingError

MAX_ATTEMPTS = 3
"""Inside one call; what still fails then is a matter for the task's own retries, minutes apart."""


class ErrorStrategy(StrEnum):
    """What a failing step means for what comes after it.

    ``RETRY`` tries transient errors again; when that did not help, the workflow's own strategy
    decides, and a workflow that says ``RETRY`` itself stops. ``STOP`` and ``CONTINUE`` try once.
    """

    STOP = "stop"
    CONTINUE = "continue"
    RETRY = "retry"


def does_retry(on_error: ErrorStrategy | None, strategy: ErrorStrategy) -> bool:
    """Say whether a step of its own strategy, or of none, tries transient errors again."""
    return (on_error or strategy) is ErrorStrategy.RETRY


def does_stop(
    on_error: ErrorStrategy | None, strategy: ErrorStrategy, *, critical: bool = False
) -> bool:
    """Say whether the failure of a step ends its workflow.

    >>> does_stop(ErrorStrategy.RETRY, ErrorStrategy.CONTINUE)
    False
    """
    if critical:
        return True
    own = on_error if on_error is not ErrorStrategy.RETRY else None
    return (own or strategy) is not ErrorStrategy.CONTINUE


StepStatus = Literal["success", "failed", "timeout", "skipped"]


@dataclass(frozen=True, slots=True)
class WorkflowMetrics:
    """One attempt of one step, as measured.

    Attributes:
        step_name: Which step.
        start_time: When it began, with a zone.
        end_time: When it ended, with a zone.
        status: How it ended; a ``skipped`` step says why in ``error_message``.
        duration_ms: By the monotonic clock, not the difference of the two times.
        input_size: Items taken; 1 for a single execution.
        output_size: Results given back.
        error_message: The error with its causes, or the reason for skipping.
    """

    step_name: str
    start_time: datetime
    end_time: datetime
    status: StepStatus
    duration_ms: int
    input_size: int
    output_size: int
    error_message: str | None = None


class StepObserver(Protocol):
    """Is told of every attempt of every step; the ``append`` of a list is one."""

    def __call__(self, metrics: WorkflowMetrics, /) -> None:
        """Take one measurement; an error raised here is logged and changes nothing."""


@dataclass(frozen=True, slots=True)
class WorkflowOutput:
    """What a workflow hands on: each step's result under its name, and what went wrong.

    ``done_with_warnings`` means that something was left out; ``warnings`` says what.
    """

    status: Literal["done", "done_with_warnings", "failed"]
    results: Mapping[str, Any]
    warnings: tuple[str, ...]


@dataclass(slots=True)
class ProcessingContext:
    """What every step of one workflow execution reads; only the workflow writes to it.

    Attributes:
        input_data: What is processed; never changed.
        intermediate_results: Result of each completed step under the step's name. A step found
            here is not run again, so a context restored from storage resumes where it stopped.
        metadata: Tracking information; ``item_id`` names the item in errors.
        warnings: Sentences that must reach the output.
        errors: Errors of steps that have no result, those that were continued past included.
        stopped_by: The error that ended the last execution, or None.
    """

    input_data: Any
    intermediate_results: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    errors: list[ProcessingError] = field(default_factory=list)
    stopped_by: ProcessingError | None = None

    @property
    def item_id(self) -> str:
        """How errors name the item."""
        return str(self.metadata.get("item_id", "(no item_id)"))

    @property
    def output(self) -> WorkflowOutput:
        """Everything the completed steps gave, with the warnings."""
        if self.stopped_by:
            status: Literal["done", "done_with_warnings", "failed"] = "failed"
        else:
            status = "done_with_warnings" if self.warnings else "done"
        return WorkflowOutput(status, dict(self.intermediate_results), tuple(self.warnings))


class Processor(Protocol):
    """One piece of work; a coroutine function will do as well as a plain one.

    It depends on the context alone, gives the same result when called again, returns that result
    and changes nothing it was given.
    """

    @property
    def name(self) -> str:
        """Imperative and unique in its workflow, such as ``validate``."""

    def __call__(self, context: ProcessingContext, /) -> Any:
        """Do the work and return its result (or an awaitable of it)."""


@dataclass(frozen=True, slots=True)
class FunctionProcessor:
    """A plain or coroutine function as a processor.

    >>> FunctionProcessor("double", lambda context: context.input_data * 2)(ProcessingContext(21))
    42
    """

    name: str
    function: Callable[[ProcessingContext], Any]

    def __call__(self, context: ProcessingContext, /) -> Any:
        """Call the function."""
        return self.function(context)


@dataclass(frozen=True, slots=True)
class Step:
    """A processor and what its failure means.

    Attributes:
        processor: Does the work.
        critical: When it fails the workflow stops, whatever the strategies say.
        on_error: This step's own strategy; None leaves it to the workflow.
        max_attempts: For transient errors under ``RETRY``, the first attempt included.
        timeout_s: Deadline of one run of the step: over one item, or over all items of a pass.
            It is checked between attempts and between items, and it interrupts an awaitable. It
            does not interrupt a plain function: a limit that must hold belongs to a process.
    """

    processor: Processor
    critical: bool = False
    on_error: ErrorStrategy | None = None
    max_attempts: int = MAX_ATTEMPTS
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        """Refuse what could not be kept."""
        if not 1 <= self.max_attempts <= MAX_ATTEMPTS:
            raise ConfigurationError(
                f"step {self.name}: max_attempts is {self.max_attempts}, "
                f"but a call tries 1 to {MAX_ATTEMPTS} times"
            )
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ConfigurationError(
                f"step {self.name}: timeout_s is {self.timeout_s}, use None for no limit"
            )

    @property
    def name(self) -> str:
        """The processor's name."""
        return self.processor.name

    def retries(self, strategy: ErrorStrategy) -> bool:
        """Say whether transient errors are tried again inside a workflow of this strategy."""
        return does_retry(self.on_error, strategy)

    def stops(self, strategy: ErrorStrategy) -> bool:
        """Say whether a failure of this step ends a workflow of this strategy.

        >>> fetch = Step(FunctionProcessor("fetch", len), on_error=ErrorStrategy.RETRY)
        >>> fetch.stops(ErrorStrategy.CONTINUE), fetch.stops(ErrorStrategy.RETRY)
        (False, True)
        """
        return does_stop(self.on_error, strategy, critical=self.critical)


@dataclass(frozen=True, slots=True)
class ItemOutcome:
    """What one step did with one item of a pass: a result or an error, never both.

    ``attempts`` is 0 for an item whose context already held the step's result.
    """

    item_id: str
    result: Any | None
    error: ProcessingError | None
    attempts: int
