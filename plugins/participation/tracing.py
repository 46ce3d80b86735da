"""Spans of our steps, beside those that Airflow makes of its runs and tasks.

Airflow says whether there are any and where they go: ``[traces] otel_on`` and the ``OTEL_...`` variables.
Without them a span here is one that nobody records, for some microseconds. A span carries figures, ids
and the kind of an error, never its words: they may be a citizen's, and a collector may be far away.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from include.processing.model import WorkflowMetrics

MAX_SUBMISSIONS = 100
"""Of one attempt: a span more for each submission that it works for, and no flood of them."""

SOUND_ENDS = frozenset({"success", "skipped"})

_tracer = trace.get_tracer("participation")
_w3c = TraceContextTextMapPropagator()


@dataclass(frozen=True, slots=True)
class Submission:
    """Contributions that came by one traced request, and where that trace goes on."""

    traceparent: str
    count: int


@dataclass(slots=True)
class StepSpan:
    """The span of one attempt of a step, and the submissions that it works for."""

    span: Span
    name: str
    began_ns: int
    submissions: Sequence[Submission] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_recorded(self) -> bool:
        """Whether anybody will see it; what only a span needs is not asked for otherwise."""
        return self.span.is_recording()

    def end_as(self, status: str, error: BaseException | None = None, **figures: Any) -> None:
        """Say how the attempt ended: here, and in the trace of each submission it worked for."""
        if not self.is_recorded:
            return
        with suppress(Exception):  # what watches the work must not end it
            self._end_as(status, error, figures)

    def _end_as(self, status: str, error: BaseException | None, figures: Mapping[str, Any]) -> None:
        now_ns = time.time_ns()
        told = self.attributes | {
            "participation.status": status,
            "participation.duration_ms": (now_ns - self.began_ns) // 1_000_000,
            **{f"participation.{name}": value for name, value in figures.items()},
        }
        if error is not None:
            told["error.type"] = kind_of(error)
        _mark(self.span, status, told)
        shown, here = self.submissions[:MAX_SUBMISSIONS], self.span.get_span_context()
        for each in shown:
            beside = _tracer.start_span(
                self.name,
                context=_w3c.extract({"traceparent": each.traceparent}, context=Context()),
                links=[Link(here)],
                start_time=self.began_ns,
            )
            _mark(beside, status, told | {"participation.contributions": each.count})
            beside.end(now_ns)
        if len(self.submissions) > len(shown):
            self.span.set_attributes({"participation.submissions_left_out": True})


@contextmanager
def step_span(step: str, **attributes: Any) -> Iterator[StepSpan]:
    """Open the span ``workflow_<step>`` around an attempt, inside the span of its task."""
    began_ns = time.time_ns()
    with _tracer.start_as_current_span(
        f"workflow_{step}",
        start_time=began_ns,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        known = {name: value for name, value in attributes.items() if value is not None}
        yield StepSpan(
            span, f"workflow_{step}", began_ns, (), {"participation.step_name": step, **known}
        )


def observer() -> Callable[[WorkflowMetrics], None] | None:
    """Return who makes a span of each measured step of this process; None where nobody looks."""
    return tell_step if trace.get_current_span().is_recording() else None


def tell_step(metrics: WorkflowMetrics) -> None:
    """Make the span of a step that was measured in this process."""
    span = _tracer.start_span(f"workflow_{metrics.step_name}", start_time=_ns(metrics.start_time))
    _mark(
        span,
        metrics.status,
        {
            "participation.step_name": metrics.step_name,
            "participation.status": metrics.status,
            "participation.duration_ms": metrics.duration_ms,
            "participation.input_size": metrics.input_size,
            "participation.output_size": metrics.output_size,
        },
    )
    span.end(_ns(metrics.end_time))


@contextmanager
def request_span(method: str, headers: Mapping[str, str], request_id: str) -> Iterator[Span]:
    """Open the span of a request to the REST API; a caller's own trace goes on in it."""
    with _tracer.start_as_current_span(
        method,
        context=_w3c.extract(headers),
        kind=SpanKind.SERVER,
        attributes={"http.request.method": method, "participation.request_id": request_id},
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        yield span


def traceparent() -> str | None:
    """Name the span that is open here, as W3C writes it, so that what comes of it can join its trace."""
    context = trace.get_current_span().get_span_context()
    if not (trace.get_current_span().is_recording() and context.trace_flags.sampled):
        return None
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier.get("traceparent")


def new_carrier(parent: str) -> dict[str, str]:
    """Make a place in a trace for a span that somebody else will make: of the same trace, with an own id."""
    span = _tracer.start_span("placed", context=_w3c.extract({"traceparent": parent}))
    carrier: dict[str, str] = {}
    # Never ended, so never exported: Airflow makes the span of this id when the run or task is over.
    _w3c.inject(carrier, context=trace.set_span_in_context(span))
    return carrier


def kind_of(error: BaseException) -> str:
    """Name the kind of an error by the innermost cause that is known.

    >>> try:
    ...     raise ValueError("a citizen's words") from KeyError("x")
    ... except ValueError as error:
    ...     kind_of(error)
    'KeyError'
    """
    innermost: BaseException = error
    for _ in range(20):
        cause = getattr(innermost, "cause", None) or innermost.__cause__
        if not isinstance(cause, BaseException):
            break
        innermost = cause
    return type(innermost).__name__


def _mark(span: Span, status: str, attributes: Mapping[str, Any]) -> None:
    span.set_attributes({name: value for name, value in attributes.items() if value is not None})
    span.set_status(Status(StatusCode.OK if status in SOUND_ENDS else StatusCode.ERROR))


def _ns(moment: datetime) -> int:
    return int(moment.timestamp() * 1e9)
