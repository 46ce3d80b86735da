"""How long texts wait for a person: those that speak of a group of people, and the others.

Both delays stand beside each other wherever the queue is shown, so that a text that names a group does
not wait longer unseen.
"""

from datetime import datetime
from typing import Any

from include.contributions.report import Delay
from participation.ledger.connection import Connection
from participation.ledger.summary import now as read_clock

WAITING = """
SELECT coalesce(names_group(v.output), false) AS is_group, count(*)::int AS waiting,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY c.received_at) AS median_since,
       min(c.received_at) AS oldest_since
FROM contribution c
LEFT JOIN LATERAL (SELECT output FROM step_result s
                   WHERE s.item_id = c.contribution_id AND s.step = 'validate'
                     AND s.input_hash = c.input_hash
                     AND (c.state_rubric IS NULL OR s.rubric_version = c.state_rubric)
                   ORDER BY s.created_at DESC, s.rubric_version LIMIT 1) AS v ON true
WHERE c.municipality = %s AND c.state IN ('review', 'refusal_proposed')
GROUP BY 1
"""


def delays(connection: Connection, municipality: str) -> tuple[Delay, Delay]:
    """Return the delays of all that waits in a town: texts that name a group first."""
    found: dict[bool, tuple[int, datetime | None, datetime | None]] = {
        is_group: (waiting, median, oldest)
        for is_group, waiting, median, oldest in connection.execute(WAITING, (municipality,))
    }
    group, others = (
        Delay(is_group, *found.get(is_group, (0, None, None))) for is_group in (True, False)
    )
    return group, others


def waiting_times(connection: Connection, municipality: str) -> dict[str, Any]:
    """Say the same in seconds, by the database's clock, for a docket and a log."""
    both = delays(connection, municipality)
    now = read_clock(connection)
    return {
        each.name: {
            "waiting": each.waiting,
            "median_s": _seconds(now, each.median_since),
            "oldest_s": _seconds(now, each.oldest_since),
        }
        for each in both
    }


def _seconds(now: datetime, since: datetime | None) -> int | None:
    return None if since is None else round((now - since).total_seconds())
