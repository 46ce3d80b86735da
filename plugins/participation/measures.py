"""Figures ``participation.*`` for Airflow's own metrics: what steps did, and how the ledger stands.

Airflow says whether there are any and where they go (``[metrics]``: OpenTelemetry or StatsD). Without it
nothing here asks the ledger, and a count is a call that does nothing. Labels are names of ours and states,
never ids or texts.
"""

import logging
from contextlib import suppress
from functools import cache

from airflow.sdk.configuration import conf
from airflow.sdk.observability import stats

from participation.ledger.connection import Connection
from participation.ledger.standing import gauges

SWITCHES = ("otel_on", "statsd_on", "statsd_datadog_enabled")

TELLING_STEPS = frozenset({"deliver", "reconcile", "record", "report", "select", "settle"})
"""After these the ledger's standing is told: something was just settled, and ``deliver`` comes every ten
minutes whatever else does."""

log = logging.getLogger(__name__)


@cache
def is_on() -> bool:
    """Whether Airflow sends metrics anywhere."""
    return any(conf.getboolean("metrics", switch, fallback=False) for switch in SWITCHES)


def count(name: str, number: int = 1, **labels: str) -> None:
    """Add to a counter."""
    if is_on() and number > 0:
        stats.incr(f"participation.{name}", number, tags=labels)


def tell_step(
    step: str,
    dag_id: str,
    status: str,
    duration_ms: float,
    input_size: int | None,
    output_size: int | None,
) -> None:
    """Tell how an attempt of a step ended."""
    if not is_on():
        return
    labels = {"step": step, "dag_id": dag_id}
    with suppress(Exception):  # what watches the work must not end it
        stats.incr("participation.steps", 1, tags={**labels, "status": status})
        stats.timing("participation.step_duration", duration_ms, tags={**labels, "status": status})
        count("step_input", input_size or 0, **labels)
        count("step_output", output_size or 0, **labels)


def tell_standing(connection: Connection, municipality: str, step: str) -> None:
    """Tell what waits, for how long, and what the providers cost; a ledger that cannot say is left alone."""
    if step not in TELLING_STEPS or not is_on():
        return
    try:
        for gauge in gauges(connection, municipality):
            stats.gauge(f"participation.{gauge.name}", gauge.value, tags=dict(gauge.labels))
    except Exception as error:  # noqa: BLE001 - what watches the work must not end it
        log.warning("no gauges: %s", str(error).strip())
