"""What is said when a run is late or cut off; called by Airflow, outside any task."""

import asyncio
import logging
from datetime import date, datetime
from typing import Any

from airflow.sdk import BaseHook

from include.errors import LedgerUnavailableError, ParticipationError, cause_chain
from participation.hooks.ledger import LEDGER_CONN_ID, ledger_dsn
from participation.ledger import alerts, books, metrics, workflows
from participation.ledger.analysis import LedgerAnalysis
from participation.ledger.attempt import Attempt
from participation.ledger.connection import session
from participation.settings import Settings

LEDGER_WAITS_S = (2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 240.0)
"""Eight minutes in all: a restart of the database, or a failover."""

log = logging.getLogger(__name__)


async def note_deadline_miss(alert: str, **kwargs: Any) -> str:
    """Write a missed deadline to the ledger and the log; runs in the triggerer.

    A run that is done by the time the callback comes is left alone. A ledger that is away is waited for
    some minutes: Airflow calls once. Whoever is to be told is told by ``deliver_webhooks``.
    """
    context = kwargs.get("context") or {}
    run: dict[str, Any] = context.get("dag_run") or {}
    state = str(run.get("state"))
    if state == "success":
        return "done in the meantime"
    log.error("%s %s is late (%s): %s", run.get("dag_id"), _run_id(run), state, alert)
    deadline_at = (context.get("deadline") or {}).get("deadline_time")
    for wait_s in (*LEDGER_WAITS_S, None):
        try:
            dsn = ledger_dsn(await BaseHook.aget_connection(LEDGER_CONN_ID))
            await asyncio.to_thread(
                _write_miss, dsn, str(run.get("dag_id")), _run_id(run), alert, deadline_at, state
            )
            break
        except LedgerUnavailableError:
            if wait_s is None:
                raise
            await asyncio.sleep(wait_s)
    return f"noted: {alert}"


def reconcile_cut_off(context: Any) -> None:
    """Balance the books of a run that failed; runs in the DAG processor.

    A run cut off by its timeout leaves its last tasks skipped, and skipped tasks reconcile nothing:
    this closes its open metrics, gives back its claims and says whether the sum holds.
    """
    run = context["dag_run"]
    settings = Settings()
    attempt = Attempt(run.dag_id, run.run_id, "reconcile_cut_off", -1, 1)
    with session(ledger_dsn()) as connection:
        day = next(iter(_key_day(run)), None)
        metrics.open_metric(connection, settings.municipality, attempt, "reconcile_cut_off", day)
        lost = metrics.close_lost(connection, run.dag_id, run.run_id, keep=attempt)
        work = LedgerAnalysis(connection, settings.municipality, attempt)
        released = work.release()
        days = work.days_of_run() or _key_day(run)
        message = None
        try:
            for day in days:
                books.reconcile(connection, settings.municipality, day)
        except ParticipationError as error:
            message = cause_chain(error)
        metrics.close_metric(
            connection,
            attempt,
            "failed" if message else "success",
            item=run.run_id,
            received_on=days[0] if days else None,
            input_size=released,
            output_size=lost,
            error_message=message,
        )
    log.warning(
        "%s %s was cut off: %s attempts closed, %s contributions given back, books %s",
        run.dag_id,
        run.run_id,
        lost,
        released,
        message or "balance",
    )


def end_cut_off_workflow(context: Any) -> None:
    """End a named workflow's run that failed without its last task; runs in the DAG processor.

    A run cut off by its timeout leaves ``finish`` skipped, and the ledger would call it running for ever.
    """
    run = context["dag_run"]
    reason = f"cut off: {context.get('reason') or 'the run ended before its steps'}"
    with session(ledger_dsn()) as connection:
        lost = metrics.close_lost(connection, run.dag_id, run.run_id)
        ended = workflows.cut_off(connection, run.dag_id, run.run_id, reason)
    if ended:
        log.warning("%s %s was cut off: %s attempts closed", run.dag_id, run.run_id, lost)


def _key_day(run: Any) -> list[date]:
    try:
        return [date.fromisoformat(run.partition_key or "")]
    except (ValueError, AttributeError):
        return []


def _run_id(run: dict[str, Any]) -> str:
    return str(run.get("dag_run_id") or run.get("run_id"))


def _write_miss(
    dsn: str, dag_id: str, run_id: str, alert: str, deadline_at: datetime | str | None, state: str
) -> None:
    settings = Settings()
    with session(dsn) as connection:
        alerts.note_late(
            connection,
            settings.municipality,
            dag_id,
            run_id,
            alert,
            deadline_at,
            state,
            by_mail=bool(settings.alert_mail),
        )
