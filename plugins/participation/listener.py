"""Airflow's listener: how each run ended goes to the ledger, and from there to whoever is to be told.

It runs inside the scheduler (and inside the API server for a run that a person ended), so it must be quick
and must never fail: one short transaction, and a ledger that is away is left alone for a minute. What
could not be written waits in memory and goes with the next one; what a restart lost is read again from
Airflow's own database when the scheduler starts.
"""

import logging
import time
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.listeners import hookimpl

from participation.hooks.ledger import ledger_dsn
from participation.ledger import alerts
from participation.ledger.alerts import Outcome
from participation.ledger.connection import session
from participation.settings import Settings

MOST = 1_000
"""That wait in memory; the start of a scheduler finds the others."""

QUIET_S = 60.0
CONNECT_S = 2
STATEMENT_S = 2
LOOKS_BACK = timedelta(days=1)

SCHEDULER = "SchedulerJob"

log = logging.getLogger(__name__)


class Outcomes:
    """What ended and is not on record yet."""

    def __init__(self) -> None:
        self.waiting: deque[Outcome] = deque(maxlen=MOST)
        self.quiet_until = 0.0

    def add(self, outcome: Outcome) -> None:
        """Take one and write whatever waits, unless the ledger was away a moment ago."""
        self.waiting.append(outcome)
        self.write()

    def write(self) -> None:
        """Write what waits, the oldest first; never raises."""
        if time.monotonic() < self.quiet_until:
            return
        try:
            self._write()
        except Exception as error:  # noqa: BLE001 - a scheduler must not end because of its listener
            self.quiet_until = time.monotonic() + QUIET_S
            log.warning("%s ends of runs wait for the ledger: %s", len(self.waiting), error)

    def _write(self) -> None:
        settings = Settings()
        with session(
            ledger_dsn(), application_name="participation-listener", connect_timeout_s=CONNECT_S
        ) as connection:
            connection.execute(f"SET statement_timeout = '{STATEMENT_S}s'")
            while self.waiting:
                alerts.note_outcome(
                    connection,
                    settings.municipality,
                    self.waiting[0],
                    by_mail=bool(settings.alert_mail),
                )
                self.waiting.popleft()


outcomes = Outcomes()


@hookimpl
def on_dag_run_success(dag_run: Any, msg: str) -> None:
    """Note a run that ended well."""
    outcomes.add(_outcome(dag_run, "success", msg))


@hookimpl
def on_dag_run_failed(dag_run: Any, msg: str) -> None:
    """Note a run that failed."""
    outcomes.add(_outcome(dag_run, "failed", msg))


@hookimpl
def on_starting(component: Any) -> None:
    """Find what ended while nobody listened, when a scheduler starts."""
    if getattr(component, "job_type", None) != SCHEDULER:
        return
    with suppress(Exception):  # the scheduler starts whatever this finds
        outcomes.waiting.extend(recently_ended())
        outcomes.write()


def recently_ended(now: datetime | None = None) -> list[Outcome]:
    """Read from Airflow's database which runs ended within a day."""
    # The scheduler has the database open; a task that loads this module must not pay for it.
    from airflow.models.dagrun import DagRun  # noqa: PLC0415
    from airflow.utils.session import create_session  # noqa: PLC0415
    from sqlalchemy import select  # noqa: PLC0415

    since = (now or datetime.now(UTC)) - LOOKS_BACK
    with create_session(scoped=False) as found:
        runs = found.scalars(
            select(DagRun)
            .where(DagRun.state.in_(("success", "failed")), DagRun.end_date >= since)
            .order_by(DagRun.end_date.desc())
            .limit(MOST)
        ).all()
        return [_outcome(run, str(run.state), "found at the start") for run in reversed(runs)]


def _outcome(dag_run: Any, state: str, reason: str) -> Outcome:
    return Outcome(
        dag_id=dag_run.dag_id,
        run_id=dag_run.run_id,
        state=state,
        reason=reason,
        started_at=dag_run.start_date,
        ended_at=dag_run.end_date or datetime.now(UTC),
    )
