"""One ``step_metric`` row per attempt of every step: when, how it ended, how much there was."""

import json
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Literal

from participation.ledger.attempt import Attempt
from participation.ledger.connection import Connection

Status = Literal["success", "failed", "timeout", "skipped"]

LOST = "lost: the attempt ended without a word (killed, or its machine went away)"


def open_metric(
    connection: Connection,
    municipality: str,
    attempt: Attempt,
    step: str,
    received_on: date | None = None,
) -> bool:
    """Note that an attempt began, and close what its predecessors left open.

    Returns whether the attempt just before this one was lost or ran out of time.
    """
    with connection.transaction():
        connection.execute(
            "UPDATE step_metric SET status = 'failed', error_message = %s,"
            " ended_at = clock_timestamp(), duration_ms ="
            " 1000 * extract(epoch FROM clock_timestamp() - started_at)"
            " WHERE status = 'running' AND dag_id = %s AND run_id = %s AND task_id = %s"
            " AND map_index = %s AND try_number < %s",
            (
                LOST,
                attempt.dag_id,
                attempt.run_id,
                attempt.task_id,
                attempt.map_index,
                attempt.try_number,
            ),
        )
        connection.execute(
            "INSERT INTO step_metric (municipality, step, dag_id, run_id, task_id, map_index,"
            " try_number, received_on) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (dag_id, run_id, task_id, map_index, try_number)"
            " DO UPDATE SET status = 'running', started_at = clock_timestamp(),"
            " ended_at = NULL, duration_ms = NULL, error_message = NULL, docket = NULL",
            (
                municipality,
                step,
                attempt.dag_id,
                attempt.run_id,
                attempt.task_id,
                attempt.map_index,
                attempt.try_number,
                received_on,
            ),
        )
        row = connection.execute(
            "SELECT status = 'timeout' OR error_message = %s FROM step_metric"
            " WHERE dag_id = %s AND run_id = %s AND task_id = %s AND map_index = %s"
            " AND try_number = %s",
            (
                LOST,
                attempt.dag_id,
                attempt.run_id,
                attempt.task_id,
                attempt.map_index,
                attempt.try_number - 1,
            ),
        ).fetchone()
    return bool(row and row[0])


def note_day(connection: Connection, attempt: Attempt, received_on: date) -> None:
    """Say which day an open attempt works on, so that it counts for that day even when it is lost."""
    connection.execute(
        "UPDATE step_metric SET received_on = %s WHERE dag_id = %s AND run_id = %s"
        " AND task_id = %s AND map_index = %s AND try_number = %s",
        (
            received_on,
            attempt.dag_id,
            attempt.run_id,
            attempt.task_id,
            attempt.map_index,
            attempt.try_number,
        ),
    )


def close_metric(
    connection: Connection,
    attempt: Attempt,
    status: Status,
    *,
    item: str = "",
    received_on: date | None = None,
    input_size: int | None = None,
    output_size: int | None = None,
    error_message: str | None = None,
    docket: Mapping[str, Any] | None = None,
) -> None:
    """Note how an attempt ended; sizes count items taken and results stored."""
    connection.execute(
        "UPDATE step_metric SET status = %s, item = %s, received_on = %s, input_size = %s,"
        " output_size = %s, error_message = %s, docket = %s, ended_at = clock_timestamp(),"
        " duration_ms = 1000 * extract(epoch FROM clock_timestamp() - started_at)"
        " WHERE dag_id = %s AND run_id = %s AND task_id = %s AND map_index = %s"
        " AND try_number = %s",
        (
            status,
            item,
            received_on,
            input_size,
            output_size,
            error_message,
            json.dumps(docket, allow_nan=False) if docket is not None else None,
            attempt.dag_id,
            attempt.run_id,
            attempt.task_id,
            attempt.map_index,
            attempt.try_number,
        ),
    )


def close_lost(
    connection: Connection, dag_id: str, run_id: str, keep: Attempt | None = None
) -> int:
    """Close every attempt of a run that is still open, but for ``keep``, as failed (lost)."""
    return connection.execute(
        "UPDATE step_metric SET status = 'failed', error_message = %s,"
        " ended_at = clock_timestamp(), duration_ms ="
        " 1000 * extract(epoch FROM clock_timestamp() - started_at)"
        " WHERE status = 'running' AND dag_id = %s AND run_id = %s"
        " AND (task_id, map_index, try_number) IS DISTINCT FROM (%s::text, %s::int, %s::int)",
        (
            LOST,
            dag_id,
            run_id,
            keep.task_id if keep else None,
            keep.map_index if keep else None,
            keep.try_number if keep else None,
        ),
    ).rowcount


def note_deadline_miss(
    connection: Connection,
    dag_id: str,
    run_id: str,
    alert: str,
    deadline_at: datetime | str | None,
    run_state: str,
) -> bool:
    """Note that a run was late; the same alert of the same run once. Returns whether it is new."""
    return bool(
        connection.execute(
            "INSERT INTO deadline_miss (dag_id, run_id, alert, deadline_at, run_state)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (dag_id, run_id, alert, deadline_at, run_state),
        ).rowcount
    )
