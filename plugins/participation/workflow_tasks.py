"""The tasks of named workflows: one per step, and ``finish``.

What a step does and what its failure means is decided by :mod:`include.processing.course`, from what the
ledger knows of the steps before; Airflow only gives each step its turn. A step that failed and is
continued past ends skipped, because work went on without it; its metric says *failed*.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout
from psycopg.pq import TransactionStatus

from include.dockets import fits
from include.errors import LedgerUnavailableError, PermanentError, TransientError, cause_chain
from include.processing.course import (
    ENDED,
    InProcessRun,
    NoTurn,
    RunOutcome,
    StepError,
    StepRecord,
    StepState,
    decide,
    ended,
    failure,
    kept_from,
    outcome,
    pause_s,
    run_in_process,
    storable_result,
    tries_again,
    warning,
)
from include.processing.definition import Definition, InputError, StepDefinition, storable
from include.processing.references import NoSuchValueError
from participation.ledger import metrics
from participation.ledger.connection import Connection, session
from participation.ledger.workflows import DefinitionChangedError, LedgerWorkflows, in_docket
from participation.steps import Visit
from participation.workflow_registry import REGISTRY

LOST = "lost: no end of this step is on record (its task was killed, or never began)"

log = logging.getLogger(__name__)


class StepRetryError(TransientError):
    """An attempt of a step failed and another one follows, after the pause that the step asks for."""

    def __init__(self, cause: BaseException, retry_after_s: float) -> None:
        super().__init__(cause_chain(cause))
        self.retry_after_s = retry_after_s
        self.metric_status = _status(cause)


class StepFailedError(PermanentError):
    """A step failed and stops what comes after it."""

    def __init__(self, message: str, cause: BaseException) -> None:
        super().__init__(message)
        self.metric_status = _status(cause)


class ContinuedPastError(AirflowSkipException):
    """A step failed, and the workflow goes on without its result."""

    def __init__(self, message: str, cause: BaseException) -> None:
        super().__init__(message)
        self.metric_status = _status(cause)


class WorkflowFailedError(PermanentError):
    """A run ended without its output; the message names the steps."""


def given_input(definition: Definition, params: Mapping[str, Any]) -> dict[str, Any]:
    """Read a run's input from its form: as a whole under ``input``, or field by field.

    Raises:
        InputError: Both were given.
    """
    described = definition.input_schema["properties"]
    whole = params.get("input")
    fields = {name: params[name] for name in described if params.get(name) is not None}
    if whole is None:
        return fields
    own = [name for name, value in fields.items() if value != described[name].get("default")]
    if own:
        raise InputError(
            f"give the input as a whole or field by field, not both: input and {', '.join(own)}"
        )
    return dict(whole)


def run_step(
    visit: Visit, definition: Definition, step_id: str, params: Mapping[str, Any]
) -> dict[str, Any]:
    """Give a step its turn, store what came of it, and hand on its result or the way to it.

    Raises:
        AirflowSkipException: It has no turn, or failed and is continued past; with the reason.
        StepRetryError: The attempt failed and is tried again.
        StepFailedError: It failed for good.
        DefinitionChangedError: The definition changed since the run began.
    """
    step = definition.by_id[step_id]
    visit.item = f"{definition.name} {visit.attempt.run_id}"
    ledger = _ledger(visit)
    ledger.begin(definition, _as_given(definition, params))
    records = ledger.records(definition.name)
    try:
        verdict = kept_from(step, records) or decide(step, _values(definition, params), records)
    except (InputError, NoSuchValueError) as error:
        record = StepRecord(StepState.FAILED, str(error), attempts=1, error=failure(step, 1, error))
        if isinstance(error, NoSuchValueError):
            record = ended(definition, step, 1, error)
        raise _noted(ledger, definition, step, record, error) from error
    if isinstance(verdict, NoTurn):
        record = StepRecord(verdict.state, reason=verdict.reason, because=verdict.because)
        ledger.note(definition, step_id, record)
        raise AirflowSkipException(verdict.reason)
    attempt, kept = ledger.start(definition, step_id, verdict.inputs)
    visit.input_size = 1
    try:
        result = kept if kept is not None else storable_result(_runner(step)(verdict.inputs, visit))
        result, size = ledger.save(definition, step_id, verdict.inputs, result)
    except (psycopg.OperationalError, psycopg.InterfaceError, LedgerUnavailableError):
        # No failure of the step: whoever comes next goes on where this attempt stopped.
        raise
    except (Exception, AirflowTaskTimeout) as error:
        cause = error
        if isinstance(error, AirflowTaskTimeout):
            cause = TimeoutError(f"{step.timeout_s:g} s were over")
        with _usable(visit) as connection:
            raise _failed(
                visit, _ledger(visit, connection), definition, step, attempt, cause
            ) from error
    visit.output_size = 1
    return in_docket(definition.name, visit.attempt.run_id, step_id, result, size)


def finish_run(visit: Visit, definition: Definition, params: Mapping[str, Any]) -> dict[str, Any]:
    """Balance the steps, write how the run ended, and hand its output on.

    Every step of the definition has exactly one end on record: done, continued past, skipped, not run or
    failed. One that has none was lost, and the run is red.

    Raises:
        WorkflowFailedError: A step failed that stops, or was lost.
    """
    visit.item = f"{definition.name} {visit.attempt.run_id}"
    ledger = _ledger(visit)
    ledger.begin(definition, _as_given(definition, params))
    metrics.close_lost(
        visit.connection, visit.attempt.dag_id, visit.attempt.run_id, keep=visit.attempt
    )
    records = ledger.records(definition.name)
    for step in definition.steps:
        record = records.get(step.id)
        if record is None or record.state not in ENDED:
            attempts = record.attempts if record else 0
            error = StepError(step.id, attempts, LOST, "clear the task; what is done stays done")
            records[step.id] = StepRecord(
                StepState.FAILED, reason=LOST, attempts=attempts, error=error
            )
            ledger.note(definition, step.id, records[step.id])
    try:
        values = _values(definition, params)
    except InputError:
        values = {}  # the first step says so; nothing is composed of it
    ending = outcome(definition, values, records)
    if ending.state != "failed" and (red := visit.failed_tasks()):
        lost = StepError(
            red[0], 1, f"tasks failed after their results were stored: {red}", "clear them"
        )
        ending = RunOutcome("failed", None, ending.warnings, (lost,))
    ledger.end(definition, ending)
    counts: dict[str, int] = {}
    for record in records.values():
        counts[str(record.state)] = counts.get(str(record.state), 0) + 1
    visit.input_size, visit.output_size = len(definition.steps), counts.get("done", 0)
    if ending.state == "failed":
        said = "; ".join(
            f"{each.step}: {each.cause} ({each.next_action})" for each in ending.failed
        )
        raise WorkflowFailedError(f"{definition.name} failed: {said or counts}")
    for sentence in ending.warnings:
        log.warning("%s", sentence)
    told = {
        "workflow": definition.name,
        "run_id": visit.attempt.run_id,
        "state": ending.state,
        "steps": counts,
        "warning_count": len(ending.warnings),
    }
    if fits({**told, "output": ending.output}):
        return {**told, "output": ending.output}
    reference = {"workflow": definition.name, "run_id": visit.attempt.run_id}
    return {**told, "output_in_ledger": reference}


def in_this_process(
    definition: Definition, given: Mapping[str, Any], visit: Visit, **options: Any
) -> InProcessRun:
    """Run a workflow without Airflow's scheduler, with the same processors; nothing of it is a run on record.

    Raises:
        InputError: The input is not what the workflow takes.
    """
    return run_in_process(definition, given, REGISTRY, visit, call=_call, **options)


def _ledger(visit: Visit, connection: Connection | None = None) -> LedgerWorkflows:
    return LedgerWorkflows(
        connection or visit.connection, visit.settings.municipality, visit.attempt
    )


def _as_given(definition: Definition, params: Mapping[str, Any]) -> Any:
    """What is put on record: the input as somebody gave it, also one that is refused."""
    try:
        return storable(given_input(definition, params))
    except InputError:
        return storable({name: each for name, each in params.items() if each is not None})


def _values(definition: Definition, params: Mapping[str, Any]) -> dict[str, Any]:
    return definition.checked_input(given_input(definition, params))


def _runner(
    step: StepDefinition,
) -> Callable[[Mapping[str, Any], Visit], Mapping[str, Any]]:
    if step.processor is None:
        return lambda inputs, visit: _call(step, inputs, visit)
    return REGISTRY[step.processor].run


def _call(step: StepDefinition, inputs: Mapping[str, Any], visit: Visit) -> Mapping[str, Any]:
    from participation.workflow_calls import call  # noqa: PLC0415 - loads the HTTP library

    return call(step, inputs, visit)


def _failed(
    visit: Visit,
    ledger: LedgerWorkflows,
    definition: Definition,
    step: StepDefinition,
    attempt: int,
    cause: BaseException,
) -> Exception:
    if tries_again(step, attempt, cause) and not visit.is_last_attempt:
        error = failure(step, attempt, cause)
        ledger.note(
            definition,
            step.id,
            StepRecord(StepState.RETRYING, reason=error.cause, attempts=attempt, error=error),
        )
        return StepRetryError(cause, pause_s(step, cause))
    return _noted(ledger, definition, step, ended(definition, step, attempt, cause), cause)


def _noted(
    ledger: LedgerWorkflows,
    definition: Definition,
    step: StepDefinition,
    record: StepRecord,
    cause: BaseException,
) -> Exception:
    ledger.note(definition, step.id, record)
    if record.state is StepState.CONTINUED and record.error:
        return ContinuedPastError(warning(record.error), cause)
    said = record.error
    return StepFailedError(f"{said.cause} ({said.next_action})" if said else record.reason, cause)


@contextmanager
def _usable(visit: Visit) -> Iterator[Connection]:
    """Give the visit's connection, or a new one where it was interrupted in the middle of a query."""
    if visit.connection.info.transaction_status == TransactionStatus.IDLE:
        yield visit.connection
        return
    with session(visit.dsn) as connection:
        yield connection


def _status(cause: BaseException) -> str:
    return "timeout" if isinstance(cause, TimeoutError) else "failed"


__all__ = [
    "ContinuedPastError",
    "DefinitionChangedError",
    "StepFailedError",
    "StepRetryError",
    "WorkflowFailedError",
    "finish_run",
    "given_input",
    "in_this_process",
    "run_step",
]
