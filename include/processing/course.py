"""What happens in a run of a named workflow: who has a turn, who has none and why, and how it ends.

The same functions decide in a task, which finds the earlier steps in the ledger, and in one process
(:func:`run_in_process`), which keeps them in a dictionary; so both end alike. A step has its turn when
all it needs had theirs. Where a step fails that stops, whatever needs it is not run; where the workflow
continues, the failure is a warning and the steps that refer to its result are skipped with that reason.
"""

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from textwrap import shorten
from typing import Any, Literal

from include.contributions.sources.boundary import cleaned
from include.errors import PermanentError, ProcessingError, cause_chain, is_transient
from include.processing.definition import Definition, StepDefinition, storable
from include.processing.model import StepObserver, WorkflowMetrics
from include.processing.references import NoResultError, NoSuchValueError, resolved
from include.processing.registry import Registry


class StepState(StrEnum):
    """Where a step of a run stands."""

    RUNNING = "running"
    RETRYING = "retrying"
    DONE = "done"
    CONTINUED = "continued"
    """It failed, and the workflow goes on past it with a warning."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Its branch was not taken, or it refers to a step without a result."""
    NOT_RUN = "not_run"
    """A step that it needs failed, or the time was over."""


ENDED = frozenset(StepState) - {StepState.RUNNING, StepState.RETRYING}

MAX_RESULT_BYTES = 4 * 1024 * 1024
"""A result is read by every step after it; what is larger has a table or a file of its own."""

MAX_PATH_PART = 200
"""Characters of a value that stands in an address."""

RunState = Literal["running", "done", "done_with_warnings", "failed"]


@dataclass(frozen=True, slots=True)
class StepError:
    """Why a step failed, for whoever has to do something about it.

    Attributes:
        step: Which.
        attempt: The one that decided it, from 1.
        cause: The error with what led to it.
        next_action: What helps.
    """

    step: str
    attempt: int
    cause: str
    next_action: str


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What is known of a step.

    Attributes:
        state: Where it stands.
        result: Of one that is done.
        reason: Why it was left out, or the cause of its failure.
        attempts: How many it took or takes.
        error: Of one that failed.
        because: The steps that are why it had no turn.
    """

    state: StepState
    result: Any = None
    reason: str = ""
    attempts: int = 0
    error: StepError | None = None
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """A step is to be run with these inputs; for a call they are its path, query and json."""

    inputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NoTurn:
    """A step is left out, and why; ``because`` names the steps to blame, none for a branch not taken."""

    state: Literal[StepState.SKIPPED, StepState.NOT_RUN]
    reason: str
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        state: ``failed`` when a step failed that stops.
        output: As the definition composes it, with ``warnings`` added where it is an object.
        warnings: A sentence for each step that was continued past, and for what lacked its result.
        failed: The errors of the steps that failed, first the one that came first.
    """

    state: RunState
    output: Any
    warnings: tuple[str, ...] = ()
    failed: tuple[StepError, ...] = ()


def decide(
    step: StepDefinition, values: Mapping[str, Any], records: Mapping[str, StepRecord]
) -> Turn | NoTurn:
    """Say whether a step has a turn, now that all it needs had theirs.

    Args:
        step: Whose turn it may be.
        values: The run's input.
        records: Of the steps it needs at least.

    Raises:
        NoSuchValueError: It refers to a part that a result does not have; that is a failure of this step.
    """
    if blocked := kept_from(step, records):
        return blocked
    results = {
        name: record.result for name, record in records.items() if record.state is StepState.DONE
    }
    try:
        if step.when:
            value = step.when.value.value(values, results)
            if not any(value == each and type(value) is type(each) for each in step.when.one_of):
                wanted = " or ".join(repr(each) for each in step.when.one_of)
                return NoTurn(
                    StepState.SKIPPED, f"branch not taken: {_shown(value)} is not {wanted}"
                )
        if step.call is None:
            return Turn(resolved(step.inputs, values, results))
        return Turn(
            {
                "path": resolved(step.call.path, values, results, path_part),
                "query": resolved(step.call.query, values, results),
                "json": resolved(step.call.body, values, results),
            }
        )
    except NoResultError as missing:
        return NoTurn(
            StepState.SKIPPED, f"{missing}: {_why_none(missing.steps, records)}", missing.steps
        )


def kept_from(step: StepDefinition, records: Mapping[str, StepRecord]) -> NoTurn | None:
    """Say whether a step has no turn because of what became of those that it needs."""
    for need in step.needs:
        record = records.get(need)
        if record is None or record.state not in ENDED:
            return NoTurn(StepState.NOT_RUN, f"not run: {need} did not come to its end", (need,))
        if record.state is StepState.FAILED:
            return NoTurn(StepState.NOT_RUN, f"not run: {need} failed", (need,))
        if record.state is StepState.NOT_RUN:
            return NoTurn(StepState.NOT_RUN, record.reason, record.because)
    return None


def outcome(
    definition: Definition, values: Mapping[str, Any], records: Mapping[str, StepRecord]
) -> RunOutcome:
    """Sum a run up whose steps all had their turn.

    Raises:
        PermanentError: A step is missing or not at its end: nothing is silently left out.
    """
    open_steps = [
        step.id
        for step in definition.steps
        if step.id not in records or records[step.id].state not in ENDED
    ]
    if open_steps:
        raise PermanentError(f"{definition.name}: no end is on record of {', '.join(open_steps)}")
    warnings = tuple(_warnings(definition, records))
    failed = tuple(
        record.error or StepError(step.id, record.attempts, record.reason, "see the task's log")
        for step in definition.steps
        if (record := records[step.id]).state is StepState.FAILED
    )
    is_whole = not failed and all(
        record.state is not StepState.NOT_RUN for record in records.values()
    )
    if not is_whole:
        return RunOutcome("failed", None, warnings, failed)
    results = {
        name: record.result for name, record in records.items() if record.state is StepState.DONE
    }
    output = _composed(definition.output, values, results)
    if isinstance(output, dict):
        own = output.get("warnings")
        output = {**output, "warnings": [*(own if isinstance(own, list) else []), *warnings]}
    return RunOutcome("done_with_warnings" if warnings else "done", output, warnings)


def storable_result(result: Any) -> dict[str, Any]:
    """Bring a result into the form in which it is stored, so that every way of running sees the same.

    Raises:
        PermanentError: It is no object, no JSON, or too large to be handed on.
    """
    if not isinstance(result, Mapping):
        raise PermanentError(f"a step gives an object, not a {type(result).__name__}")
    try:
        encoded = json.dumps(storable(result), allow_nan=False, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        raise PermanentError(f"the result is no JSON: {error}") from error
    if len(encoded.encode()) > MAX_RESULT_BYTES:
        raise PermanentError(
            f"the result has {len(encoded.encode())} bytes, at most {MAX_RESULT_BYTES}: "
            "keep it where it belongs and give its id"
        )
    return dict(json.loads(encoded))


def failure(step: StepDefinition, attempt: int, cause: BaseException) -> StepError:
    """Word the failure of a step, without what changes from one run to the next."""
    while isinstance(cause, ProcessingError):
        cause = cause.cause
    action = getattr(cause, "next_action", None) or (
        "try the failed steps again (clear them, or POST .../retry)"
        if is_transient(cause)
        else "change what the error names, then start the workflow again; trying again alone will not help"
    )
    return StepError(step.id, attempt, cleaned(cause_chain(cause))[0][:2000], action)


def warning(error: StepError) -> str:
    """Word what a run says of a step that it went on past.

    >>> warning(StepError("fetch", 3, "TransientError: away", "wait"))
    'fetch failed (3 attempts) and was left out: TransientError: away'
    """
    times = "1 attempt" if error.attempt == 1 else f"{error.attempt} attempts"
    return f"{error.step} failed ({times}) and was left out: {error.cause}"


def tries_again(step: StepDefinition, attempt: int, cause: BaseException) -> bool:
    """Say whether a failed attempt is followed by another one."""
    return attempt < step.retry.attempts and is_transient(cause)


def path_part(value: Any) -> str:
    """Write a value as one part of an address' path: an id, never a text with a slash or a space in it.

    Raises:
        NoSuchValueError: It is anything else.
    """
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    safe = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~:-")
    if not text or len(text) > MAX_PATH_PART or set(text) - safe or set(text) == {"."}:
        raise NoSuchValueError(
            f"{_shown(value)} is no part of a path: an id of letters, digits and ._~:- may stand there"
        )
    return text


@dataclass(slots=True)
class InProcessRun:
    """A run that happened in one process."""

    outcome: RunOutcome
    records: dict[str, StepRecord] = field(default_factory=dict)


def run_in_process(
    definition: Definition,
    given: Mapping[str, Any],
    registry: Registry,
    surroundings: Any = None,
    *,
    call: Callable[[StepDefinition, Mapping[str, Any], Any], Mapping[str, Any]] | None = None,
    observer: StepObserver | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> InProcessRun:
    """Run a workflow from its input to its output, step by step, as its DAG would.

    Args:
        definition: What to run.
        given: The run's input.
        registry: The processors.
        surroundings: Handed to each processor.
        call: Makes the requests of ``http`` steps; without it they fail.
        observer: Is told of every attempt, and of every step left out and why.
        pause: Waits between attempts.

    Raises:
        InputError: The input is not what the workflow takes; no step had a turn.
    """
    values = definition.checked_input(given)
    records: dict[str, StepRecord] = {}
    until = time.monotonic() + definition.timeout_s
    for step in definition.steps:
        if time.monotonic() >= until:
            verdict: Turn | NoTurn = NoTurn(
                StepState.NOT_RUN, f"not run: the {definition.timeout_s} s of the run were over"
            )
        else:
            try:
                verdict = decide(step, values, records)
            except NoSuchValueError as error:
                records[step.id] = ended(definition, step, 1, error)
                _tell(observer, step, time.monotonic(), "failed", cause_chain(error))
                continue
        if isinstance(verdict, NoTurn):
            records[step.id] = StepRecord(
                verdict.state, reason=verdict.reason, because=verdict.because
            )
            _tell(observer, step, time.monotonic(), "skipped", verdict.reason)
            continue
        records[step.id] = _attempts(
            definition,
            step,
            verdict,
            _runner(step, registry, surroundings, call),
            observer,
            pause,
            until,
        )
    return InProcessRun(outcome(definition, values, records), records)


def ended(
    definition: Definition, step: StepDefinition, attempt: int, cause: BaseException
) -> StepRecord:
    """Record a step that is not tried again."""
    error = failure(step, attempt, cause)
    stops = step.stops(definition.strategy)
    return StepRecord(
        StepState.FAILED if stops else StepState.CONTINUED,
        reason=error.cause,
        attempts=attempt,
        error=error,
    )


def pause_s(step: StepDefinition, cause: BaseException) -> float:
    """Say how long to wait before the next attempt: as the step says, or longer where it was asked for."""
    asked = getattr(cause, "retry_after_s", None)
    return max(step.retry.wait_s, float(asked) if isinstance(asked, int | float) else 0.0)


class _LateError(BaseException):
    """Thrown into the work; no handler for errors holds it up."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt a block of work that takes too long, as Airflow does with a task.

    Outside the main thread nothing can be interrupted; there the limit is held against the work when it
    is done.

    Raises:
        TimeoutError: The time was over.
    """
    late = f"{seconds:g} s were over"
    began = time.monotonic()
    if threading.current_thread() is not threading.main_thread():
        yield
        if time.monotonic() - began > seconds:
            raise TimeoutError(late)
        return

    def interrupt(_signal: int, _frame: Any) -> None:
        raise _LateError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _LateError:
        raise TimeoutError(late) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _attempts(
    definition: Definition,
    step: StepDefinition,
    turn: Turn,
    run: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    observer: StepObserver | None,
    pause: Callable[[float], None],
    until: float,
) -> StepRecord:
    attempt = 0
    while True:
        attempt += 1
        began = time.monotonic()
        try:
            with time_limit(max(0.001, min(step.timeout_s, until - began))):
                result = storable_result(run(turn.inputs))
        except Exception as error:  # noqa: BLE001 - what a failure means is the definition's to say
            kind: Literal["timeout", "failed"] = (
                "timeout" if isinstance(error, TimeoutError) else "failed"
            )
            _tell(observer, step, began, kind, cause_chain(error))
            wait_s = pause_s(step, error)
            has_time = time.monotonic() + wait_s < until
            if not (tries_again(step, attempt, error) and has_time):
                return ended(definition, step, attempt, error)
            pause(wait_s)
        else:
            _tell(observer, step, began, "success", None)
            return StepRecord(StepState.DONE, result, attempts=attempt)


def _runner(
    step: StepDefinition,
    registry: Registry,
    surroundings: Any,
    call: Callable[[StepDefinition, Mapping[str, Any], Any], Mapping[str, Any]] | None,
) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    if step.processor is not None:
        processor = registry[step.processor]
        return lambda inputs: processor.run(inputs, surroundings)
    if call is None:
        return _no_call
    return lambda inputs: call(step, inputs, surroundings)


def _no_call(_inputs: Mapping[str, Any]) -> Mapping[str, Any]:
    raise PermanentError("this run may make no calls: give it a client")


def _tell(
    observer: StepObserver | None,
    step: StepDefinition,
    began: float,
    status: Literal["success", "failed", "timeout", "skipped"],
    message: str | None,
) -> None:
    if observer is None:
        return
    took = time.monotonic() - began
    now = datetime.now(UTC)
    observer(
        WorkflowMetrics(
            step_name=step.id,
            start_time=now,
            end_time=now,
            status=status,
            duration_ms=round(took * 1000),
            input_size=int(status != "skipped"),
            output_size=int(status == "success"),
            error_message=message,
        )
    )


def _warnings(definition: Definition, records: Mapping[str, StepRecord]) -> Iterator[str]:
    for step in definition.steps:
        record = records[step.id]
        if record.state is StepState.CONTINUED and record.error:
            yield warning(record.error)
        elif record.state is StepState.SKIPPED and _lacks_a_failed_one(step.id, records):
            yield f"{step.id} was left out: {record.reason}"


def _lacks_a_failed_one(name: str, records: Mapping[str, StepRecord]) -> bool:
    """Whether a step was left out because another one failed, and not because of a branch."""
    return any(
        records[each].state is StepState.CONTINUED or _lacks_a_failed_one(each, records)
        for each in records[name].because
    )


def _why_none(steps: tuple[str, ...], records: Mapping[str, StepRecord]) -> str:
    said = [
        f"{name} failed" if record.state is StepState.CONTINUED else f"{name} was skipped"
        for name in steps
        if (record := records.get(name))
    ]
    return " and ".join(said) or "they had no turn"


def _composed(template: Any, values: Mapping[str, Any], results: Mapping[str, Any]) -> Any:
    """Build the output; what a step without a result would have given is null."""
    if isinstance(template, Mapping):
        return {key: _composed(each, values, results) for key, each in template.items()}
    if isinstance(template, list):
        return [_composed(each, values, results) for each in template]
    try:
        return resolved(template, values, results)
    except (NoResultError, NoSuchValueError):
        return None


def _shown(value: Any) -> str:
    return shorten(repr(value), 80, placeholder=" …") or type(value).__name__
