"""The frame around every task: fence, ledger session, one metric row per attempt, sorted errors.

``@step_task`` is TaskFlow's ``@task`` for a function that takes a :class:`Visit`; the function opens
nothing and closes nothing.
"""

import functools
import inspect
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, overload

import psycopg
from airflow.sdk import get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout

from include.contributions.sources.boundary import cleaned
from include.dockets import docket
from include.errors import (
    ParticipationError,
    ProcessingError,
    cause_chain,
)
from participation import measures, tracing
from participation.fence import single_runner
from participation.hooks.ledger import ledger_dsn
from participation.ledger.analysis import LedgerAnalysis
from participation.ledger.attempt import Attempt
from participation.ledger.connection import Connection, session
from participation.ledger.metrics import Status, close_metric, note_day, open_metric
from participation.settings import Settings
from participation.tracing import StepSpan, Submission

log = logging.getLogger(__name__)


@dataclass
class Visit:
    """What a task function is given: the open ledger, who it is, and where to note its sizes.

    ``docket`` is what it hands on; ``follows_death`` says that the attempt before this one was killed
    or ran out of time; ``dsn`` opens the ledger once more, for a thread of its own.
    """

    connection: Connection
    attempt: Attempt
    settings: Settings
    context: Any
    item: str = ""
    received_on: date | None = None
    input_size: int | None = None
    output_size: int | None = None
    docket: dict[str, Any] | None = None
    follows_death: bool = False
    dsn: str = field(default="", repr=False)
    span: StepSpan | None = field(default=None, repr=False)

    @property
    def is_last_attempt(self) -> bool:
        """Whether Airflow will not try this task again by itself."""
        return bool(self.attempt.try_number > self.context["ti"].max_tries)

    def works_on(self, day: date | None) -> None:
        """Say which day this attempt works on; on record at once, for it may not come to its end."""
        if day is not None and day != self.received_on:
            note_day(self.connection, self.attempt, day)
            self.received_on = day

    def goes_on_with(self, find: Callable[..., list[tuple[str, int]]], *names: Any) -> None:
        """Let the traces of the submissions that this attempt works for go on in it.

        ``find`` is one of :mod:`participation.ledger.traces`; without tracing it is not asked.
        """
        if self.span is not None and self.span.is_recorded:
            found = find(self.connection, *names)
            self.span.submissions = [Submission(*each) for each in found]

    def failed_tasks(self) -> list[str]:
        """Name the tasks of this run that failed, or could not begin because another did."""
        return sorted(
            task_id
            for task_id, state in self.task_states().items()
            if state in {"failed", "upstream_failed"}
        )[:20]

    def task_states(self) -> Mapping[str, str | None]:
        """Return the state of every task instance of this run; a mapped one is ``<task>_<index>``."""
        run_id = self.attempt.run_id
        return self.states_of_runs(self.attempt.dag_id, [run_id]).get(run_id, {})

    def states_of_runs(
        self, dag_id: str, run_ids: list[str]
    ) -> Mapping[str, Mapping[str, str | None]]:
        """Return the same for any runs of a DAG, by run; one that is gone has no entry."""
        states: Mapping[str, Mapping[str, str | None]] = self.context["ti"].get_task_states(
            dag_id=dag_id, run_ids=run_ids
        )
        return states

    @property
    def analysis(self) -> LedgerAnalysis:
        """The analysis side of the ledger for this attempt."""
        return LedgerAnalysis(self.connection, self.settings.municipality, self.attempt)


def attempt_of(instance: Any) -> Attempt:
    """Name the attempt that a task instance of Airflow is."""
    return Attempt(
        dag_id=instance.dag_id,
        run_id=instance.run_id,
        task_id=instance.task_id,
        map_index=-1 if instance.map_index is None else instance.map_index,
        try_number=instance.try_number,
    )


@contextmanager
def visit(step: str) -> Iterator[Visit]:
    """Open the ledger for one task attempt, fenced and measured.

    Raises:
        ProcessingError: Whatever went wrong inside, with step, item, attempt, cause and time; skips
            and time-outs of Airflow pass through.
    """
    context: Any = get_current_context()
    attempt = attempt_of(context["ti"])
    with tracing.step_span(step, **_names(attempt)) as span:
        yield from _visited(step, context, attempt, span)


def _visited(step: str, context: Any, attempt: Attempt, span: StepSpan) -> Iterator[Visit]:
    here: Visit | None = None
    dsn = ledger_dsn()
    ends = _Ends(step, attempt, span, time.monotonic())
    try:
        with session(dsn) as connection, single_runner(connection, attempt):
            here = Visit(
                connection,
                attempt,
                Settings(),
                context,
                received_on=_day(context),
                dsn=dsn,
                span=span,
            )
            here.follows_death = open_metric(
                connection, here.settings.municipality, attempt, step, here.received_on
            )
            yield here
            _close(connection, here, "success")
            measures.tell_standing(connection, here.settings.municipality, step)
        ends.told(here, "success")
    except (AirflowSkipException, AirflowTaskTimeout) as end:
        ended: Status = "skipped" if isinstance(end, AirflowSkipException) else "timeout"
        ended = getattr(end, "metric_status", ended)
        _close_again(dsn, here, ended, str(end))
        ends.told(here, ended, None if ended == "skipped" else end)
        raise
    except Exception as error:
        failure = ProcessingError(
            step=step,
            item=here.item if here and here.item else attempt.holder,
            attempt=attempt.try_number,
            cause=error,
            failed_at=datetime.now(UTC),
        )
        status: Status = getattr(error, "metric_status", "failed")
        _close_again(dsn, here, status, cause_chain(error))
        ends.told(here, status, error)
        raise (error if isinstance(error, ProcessingError) else failure) from error


@overload
def step_task(function: Callable[..., Any], /) -> Callable[..., Any]: ...


@overload
def step_task(
    *, step: str | None = None, decorator: Any = ..., **task_arguments: Any
) -> Callable[[Callable[..., Any]], Any]: ...


def step_task(
    function: Callable[..., Any] | None = None,
    /,
    *,
    step: str | None = None,
    decorator: Any = task,
    **task_arguments: Any,
) -> Any:
    """Make a TaskFlow task of a function whose keyword ``visit`` is filled at run time.

    The function's docstring becomes the task's documentation; what it returns must be a docket.

    Args:
        function: Takes the task's inputs and ``visit``; returns a docket.
        step: Name of the step in the metrics; the function's own by default.
        decorator: Of TaskFlow, such as ``task.branch``.
        **task_arguments: As for ``airflow.sdk.task``.
    """
    if function is None:
        return functools.partial(step_task, step=step, decorator=decorator, **task_arguments)
    name = step or function.__name__

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        with visit(name) as here:
            result = function(*args, visit=here, **kwargs)
            if not isinstance(result, dict):
                return docket(value=result)["value"]
            here.docket = docket(**result)
            return here.docket

    signature = inspect.signature(function)
    kept = [p for p in signature.parameters.values() if p.name != "visit"]
    # Airflow binds the call at parse time and must not ask the DAG's author for the visit; without a
    # return annotation it does not take the docket apart into one XCom per key.
    run.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=kept, return_annotation=inspect.Signature.empty
    )
    run.__annotations__ = {}
    del run.__wrapped__
    # A docket may name a text by its first words, or be the result of one: neither belongs in a log.
    task_arguments.setdefault("show_return_value_in_logs", False)
    # A mapped task does not take its function's docstring by itself.
    task_arguments.setdefault("doc_md", inspect.getdoc(function))
    return decorator(multiple_outputs=False, **task_arguments)(run)


@dataclass(frozen=True, slots=True)
class _Ends:
    """Tells whoever watches how an attempt ended; the ledger has its own record."""

    step: str
    attempt: Attempt
    span: StepSpan
    began_s: float

    def told(self, here: Visit | None, status: Status, error: BaseException | None = None) -> None:
        sizes = (here.input_size, here.output_size) if here else (None, None)
        self.span.end_as(status, error, input_size=sizes[0], output_size=sizes[1])
        duration_ms = (time.monotonic() - self.began_s) * 1000
        measures.tell_step(self.step, self.attempt.dag_id, status, duration_ms, *sizes)


def _names(attempt: Attempt) -> dict[str, str | int]:
    """Name an attempt as Airflow's own spans do."""
    return {
        "airflow.dag_id": attempt.dag_id,
        "airflow.task_id": attempt.task_id,
        "airflow.dag_run.run_id": attempt.run_id,
        "airflow.task_instance.try_number": attempt.try_number,
        "airflow.task_instance.map_index": attempt.map_index,
    }


def _day(context: Any) -> date | None:
    """Read the day that a run was started for; a wrong one is the task's own to complain about."""
    key = getattr(context.get("dag_run"), "partition_key", None)
    given = key or (context.get("params") or {}).get("day")
    try:
        return date.fromisoformat(given) if given else None
    except (TypeError, ValueError):
        return None


def _close(connection: Connection, here: Visit, status: Status, message: str | None = None) -> None:
    close_metric(
        connection,
        here.attempt,
        status,
        item=here.item,
        received_on=here.received_on,
        input_size=here.input_size,
        output_size=here.output_size,
        docket=here.docket,
        error_message=cleaned(message)[0][:2000] if message else None,
    )


def _close_again(dsn: str, here: Visit | None, status: Status, message: str) -> None:
    # The session that failed may be gone; a metric that cannot be closed now is closed as lost by the
    # next attempt, so trouble here must not hide the error that is on its way up.
    if here is None:
        return
    try:
        with session(dsn) as connection:
            _close(connection, here, status, message)
    except (ParticipationError, psycopg.Error):
        log.warning("the metric of %s stays open until the next attempt", here.attempt.holder)
