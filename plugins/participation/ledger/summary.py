"""The figures of one folder's newest load, for the terminal and for ``run/summary.json``."""

from datetime import datetime
from typing import Any, cast

from include.contributions.model import STATES
from participation.ledger.connection import Connection

RECEIPTS = "SELECT count(*) FROM load_file f JOIN receipt USING (file_id) WHERE f.load_id = %s"

BROKEN = """
SELECT count(DISTINCT q.quarantine_id) FROM load_file l JOIN source_file f USING (file_id)
JOIN source_file s ON (s.municipality, s.sha256) = (f.municipality, f.sha256)
JOIN quarantine q ON q.file_id = s.file_id AND q.resolved_at IS NULL
WHERE l.load_id = %s
"""
"""The same bytes' records are open once, under whichever of their names came last."""


def now(connection: Connection) -> datetime:
    """Ask the one clock that all machines share."""
    row = connection.execute("SELECT now()").fetchone()
    assert row is not None  # noqa: S101 - a SELECT of a value gives one row
    return cast("datetime", row[0])


def of_inbox(connection: Connection, municipality: str, root: str) -> dict[str, Any]:
    """Count what a town's newest load of a folder holds, rows that were already there included.

    Returns ``loaded`` (distinct contributions + quarantined records = the sum of the six states),
    ``duplicates`` (receipts beyond each text's first in this folder), the six states, ``days`` (ISO,
    ascending) ``waiting`` (files that were not whole yet) and ``load_id``; zeros and None without.
    """
    row = connection.execute(
        "SELECT load_id, waiting FROM load WHERE municipality = %s AND root = %s"
        " AND ended_at IS NOT NULL ORDER BY load_id DESC LIMIT 1",
        (municipality, root),
    ).fetchone()
    load_id, waiting = row or (None, [])
    rows = connection.execute(
        "WITH held AS (SELECT DISTINCT r.contribution_id FROM load_file f"
        " JOIN receipt r USING (file_id) WHERE f.load_id = %s)"
        " SELECT c.state, c.received_on, count(*)::int FROM held"
        " JOIN contribution c USING (contribution_id) GROUP BY 1, 2",
        (load_id,),
    ).fetchall()
    states: dict[str, int] = dict.fromkeys(STATES, 0)
    for state, _, count in rows:
        states[state] += count
    distinct = sum(states.values())
    receipts = _count(connection, RECEIPTS, load_id)
    broken = _count(connection, BROKEN, load_id)
    states["quarantined"] += broken
    return {
        "load_id": load_id,
        "loaded": distinct + broken,
        "duplicates": receipts - distinct,
        **states,
        "days": sorted({day.isoformat() for _, day, _ in rows}),
        "waiting": waiting,
    }


def _count(connection: Connection, query: str, load_id: int | None) -> int:
    row = connection.execute(query, (load_id,)).fetchone()
    return int(row[0]) if row else 0
