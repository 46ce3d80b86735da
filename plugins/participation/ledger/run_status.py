"""What a run did to records, and what it says of itself: from the metrics of its attempts."""

from collections import Counter
from dataclasses import dataclass
from datetime import date
from typing import Any

from participation.ledger.connection import Connection

MAX_ATTEMPTS = 2_000

ATTEMPTS = """
SELECT task_id, map_index, try_number, step, status, duration_ms, input_size, output_size,
       error_message, docket, item
FROM step_metric
WHERE (municipality, dag_id, run_id) = (%(municipality)s, %(dag)s, %(run)s)
ORDER BY metric_id DESC LIMIT %(limit)s
"""

JUDGED = """
SELECT c.contribution_id, k.code, c.source, c.external_id, c.state, c.category, c.second_category,
       v.output, s.output
FROM contribution c
JOIN step_result v ON (v.item_id, v.step, v.input_hash) = (c.contribution_id, 'validate', c.input_hash)
    AND (v.dag_id, v.run_id) = (%(dag)s, %(run)s)
LEFT JOIN step_result s ON (s.item_id, s.step, s.input_hash, s.rubric_version)
    = (c.contribution_id, 'classify', c.input_hash, v.rubric_version)
LEFT JOIN receipt_code k USING (contribution_id)
WHERE c.municipality = %(municipality)s AND c.received_on = ANY(%(days)s)
  AND c.contribution_id > %(after)s
ORDER BY c.contribution_id LIMIT %(limit)s
"""

READ = """
SELECT d.document_id FROM document d
WHERE d.parsed_at >= (SELECT min(started_at) FROM step_metric WHERE (dag_id, run_id) = (%(dag)s, %(run)s))
  AND d.parsed_at <= (SELECT coalesce(max(ended_at), now()) FROM step_metric
                      WHERE (dag_id, run_id) = (%(dag)s, %(run)s))
  AND d.document_id > %(after)s
  AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = d.document_id
              AND o.municipality = %(municipality)s)
ORDER BY d.document_id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt of one task instance, as its metric has it."""

    task_id: str
    map_index: int
    try_number: int
    step: str
    status: str
    duration_ms: int | None
    input_size: int | None
    output_size: int | None
    error_message: str | None
    docket: dict[str, Any] | None
    item: str


@dataclass(frozen=True, slots=True)
class JudgedItem:
    """A contribution that a run judged."""

    contribution_id: str
    code: str | None
    source: str
    external_id: str
    state: str
    category: str | None
    second_category: str | None
    validation: dict[str, Any] | None
    classification: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class NamedRun:
    """A run of a named workflow as its last task left it."""

    state: str
    warnings: list[Any]
    output: dict[str, Any] | None
    reason: str | None


def attempts(
    connection: Connection, municipality: str, dag_id: str, run_id: str
) -> list[AttemptRow]:
    """List the attempts of a run, the latest first."""
    names = {"municipality": municipality, "dag": dag_id, "run": run_id, "limit": MAX_ATTEMPTS}
    return [AttemptRow(*row) for row in connection.execute(ATTEMPTS, names).fetchall()]


def outcomes(rows: list[AttemptRow]) -> dict[str, int]:
    """Count records by outcome, as the run's own dockets have them.

    >>> row = AttemptRow("settle", -1, 1, "settle", "success", 5, 3, 3, None,
    ...                  {"states": {"accepted": 2, "review": 1}}, "")
    >>> outcomes([row, row])
    {'accepted': 4, 'review': 2}
    """
    counted: Counter[str] = Counter()
    for row in rows:
        docket = row.docket or {}
        for name in ("states", "outcomes"):
            counted.update(_counts(docket.get(name)))
        if row.step == "parse" and row.status == "success":
            failed = docket.get("failed")
            counted.update(
                _counts({"read": docket.get("done"), "set_aside": docket.get("set_aside")})
            )
            counted["failed"] += len(failed) if isinstance(failed, list) else 0
    return {name: count for name, count in counted.items() if count}


def judged(
    connection: Connection, municipality: str, dag_id: str, run_id: str, after: str, limit: int
) -> list[JudgedItem]:
    """List the contributions that a run judged, by id, from ``after`` on."""
    days: list[date] = [
        day
        for (day,) in connection.execute(
            "SELECT DISTINCT unnest(days) FROM work_chunk WHERE (dag_id, run_id) = (%s, %s)",
            (dag_id, run_id),
        ).fetchall()
    ]
    if not days:
        return []
    names = {
        "municipality": municipality,
        "dag": dag_id,
        "run": run_id,
        "days": days,
        "after": after,
        "limit": limit,
    }
    return [JudgedItem(*row) for row in connection.execute(JUDGED, names).fetchall()]


def read(
    connection: Connection, municipality: str, dag_id: str, run_id: str, after: str, limit: int
) -> list[str]:
    """List the documents that were read while a run of the intake was at work, by id."""
    names = {
        "municipality": municipality,
        "dag": dag_id,
        "run": run_id,
        "after": after,
        "limit": limit,
    }
    return [document_id for (document_id,) in connection.execute(READ, names).fetchall()]


def named_run(
    connection: Connection, municipality: str, dag_id: str, run_id: str
) -> NamedRun | None:
    """Return what the ledger holds of a run of a named workflow, if it does."""
    row = connection.execute("SELECT to_regclass('participation.workflow_run')").fetchone()
    if row is None or row[0] is None:
        return None
    found = connection.execute(
        "SELECT state, warnings, output, reason FROM workflow_run"
        " WHERE (municipality, dag_id, run_id) = (%s, %s, %s)",
        (municipality, dag_id, run_id),
    ).fetchone()
    return NamedRun(*found) if found else None


def _counts(found: Any) -> dict[str, int]:
    if not isinstance(found, dict):
        return {}
    return {
        str(name): value
        for name, value in found.items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
