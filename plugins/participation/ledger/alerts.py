"""What operators are told: runs that failed or are late, each once, owed until it was told.

An alert is written with what it tells of, in one transaction. Webhooks take it from there by the same
outbox as every other event; mail is owed where somebody was named for it when it happened.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from participation.ledger import metrics
from participation.ledger.connection import Connection

Kind = Literal["run.failed", "run.late"]

GIVE_UP_AFTER = "3 days"
"""A mail server may be away over a weekend."""

DUE = """
SELECT a.alert_id, a.kind, a.dag_id, a.run_id, a.message, a.occurred_at, a.attempts,
       a.occurred_at < now() - %(give_up)s::interval,
       array(SELECT DISTINCT m.step || ' (' || m.status || ')' FROM step_metric m
             WHERE m.dag_id = a.dag_id AND m.run_id = a.run_id AND m.status IN ('failed', 'timeout')
             ORDER BY 1 LIMIT 10)
FROM alert a
WHERE a.municipality = %(municipality)s AND a.is_mailed AND a.mailed_at IS NULL
  AND a.dropped_at IS NULL AND a.due_at <= now()
ORDER BY a.alert_id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run of Airflow ended."""

    dag_id: str
    run_id: str
    state: str
    reason: str
    started_at: datetime | None
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class DueAlert:
    """An alert that is owed by mail now."""

    alert_id: int
    kind: Kind
    dag_id: str
    run_id: str
    message: str
    occurred_at: datetime
    attempts: int
    is_too_old: bool
    steps: list[str]


def note_outcome(
    connection: Connection, municipality: str, outcome: Outcome, *, by_mail: bool
) -> bool:
    """Write how a run ended, and an alert where it failed; told twice it is one.

    Returns whether it is new.
    """
    with connection.transaction():
        written = connection.execute(
            "INSERT INTO run_outcome (dag_id, run_id, state, reason, started_at, ended_at)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                outcome.dag_id,
                outcome.run_id,
                outcome.state,
                outcome.reason[:500],
                outcome.started_at,
                outcome.ended_at,
            ),
        ).rowcount
        if written and outcome.state == "failed":
            _add(
                connection,
                municipality,
                "run.failed",
                outcome.dag_id,
                outcome.run_id,
                f"failed: {outcome.reason}"[:500],
                outcome.ended_at,
                by_mail=by_mail,
            )
    return bool(written)


def note_late(
    connection: Connection,
    municipality: str,
    dag_id: str,
    run_id: str,
    alert: str,
    deadline_at: datetime | str | None,
    run_state: str,
    *,
    by_mail: bool,
) -> bool:
    """Write that a run is late, and an alert; told twice it is one. Returns whether it is new."""
    with connection.transaction():
        written = metrics.note_deadline_miss(
            connection, dag_id, run_id, alert, deadline_at, run_state
        )
        if written:
            _add(
                connection,
                municipality,
                "run.late",
                dag_id,
                run_id,
                f"{run_state}, {alert}"[:500],
                None,
                by_mail=by_mail,
            )
    return written


def due(connection: Connection, municipality: str, limit: int) -> list[DueAlert]:
    """List what is owed by mail now, the oldest first, with the steps that failed."""
    names = {"municipality": municipality, "limit": limit, "give_up": GIVE_UP_AFTER}
    return [DueAlert(*row) for row in connection.execute(DUE, names).fetchall()]


def mark_mailed(connection: Connection, alert_ids: Sequence[int]) -> None:
    """Note that a mail server took them."""
    connection.execute(
        "UPDATE alert SET mailed_at = now(), attempts = attempts + 1 WHERE alert_id = ANY(%s)",
        (list(alert_ids),),
    )


def mark_failed(
    connection: Connection, alert_ids: Sequence[int], error: str, wait_s: float
) -> None:
    """Note that no mail server took them, and when they are tried again."""
    connection.execute(
        "UPDATE alert SET attempts = attempts + 1, last_error = %s,"
        " due_at = now() + make_interval(secs => %s) WHERE alert_id = ANY(%s)",
        (error[:500], wait_s, list(alert_ids)),
    )


def drop(connection: Connection, alert_ids: Sequence[int], why: str) -> None:
    """Note that they are not mailed any more, and why."""
    connection.execute(
        "UPDATE alert SET dropped_at = now(), last_error = %s WHERE alert_id = ANY(%s)",
        (why[:500], list(alert_ids)),
    )


def _add(
    connection: Connection,
    municipality: str,
    kind: Kind,
    dag_id: str,
    run_id: str,
    message: str,
    occurred_at: datetime | None,
    *,
    by_mail: bool,
) -> None:
    connection.execute(
        "INSERT INTO alert (municipality, kind, dag_id, run_id, message, occurred_at, is_mailed)"
        " VALUES (%s, %s, %s, %s, %s, coalesce(%s, now()), %s)",
        (municipality, kind, dag_id, run_id, message, occurred_at, by_mail),
    )
