"""Balance the books of a day: what was submitted is in one of six states, and each state has a reason."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from include.contributions.model import STATES
from include.errors import ReconciliationError
from participation.ledger.connection import Connection
from participation.ledger.settling import STATE_OF_ANSWER


def reconcile(connection: Connection, municipality: str, day: date) -> dict[str, int]:
    """Balance the books of one day and return the count of each state and of ``submitted``.

    ``submitted`` counts receipts' distinct contributions and quarantined records; the states are
    counted from the rows themselves and held against the stored results and decisions.

    Raises:
        ReconciliationError: A sum is off, or a state follows neither a result nor a decision.
    """
    names = {"municipality": municipality, "day": day}
    with connection.transaction():
        # One snapshot for all counts: a load that commits in between must not look like a loss.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        return _balanced(connection, names)


def _balanced(connection: Connection, names: Mapping[str, Any]) -> dict[str, int]:
    day = names["day"]
    counts: dict[str, int] = dict.fromkeys(STATES, 0)
    counts |= dict(
        connection.execute(
            "SELECT state, count(*)::int FROM contribution WHERE municipality = %(municipality)s"
            " AND received_on = %(day)s GROUP BY state",
            names,
        ).fetchall()
    )
    row = connection.execute(
        "SELECT (SELECT count(*) FROM quarantine WHERE kind = 'record' AND resolved_at IS NULL"
        "        AND municipality = %(municipality)s AND received_on = %(day)s)::int,"
        " (SELECT count(DISTINCT r.contribution_id) FROM receipt r"
        "  JOIN contribution c USING (contribution_id)"
        "  WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s)::int,"
        " (SELECT count(*) FROM contribution c LEFT JOIN step_result v"
        "  ON (v.item_id, v.step, v.input_hash, v.rubric_version)"
        "   = (c.contribution_id, 'validate', c.input_hash, c.state_rubric)"
        "  LEFT JOIN LATERAL (SELECT outcome FROM decision d WHERE d.contribution_id ="
        "   c.contribution_id ORDER BY decision_id DESC LIMIT 1) d ON true"
        "  WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s"
        "  AND c.state <> 'pending' AND c.state IS DISTINCT FROM coalesce(d.outcome,"
        "   CASE WHEN EXISTS (SELECT FROM quarantine q WHERE q.contribution_id ="
        "     c.contribution_id AND q.rubric_version = c.state_rubric AND q.resolved_at IS NULL)"
        "    THEN 'quarantined'"
        f"    ELSE {STATE_OF_ANSWER} END))::int",
        names,
    ).fetchone()
    quarantined_records, received, unexplained = row or (0, 0, 0)
    counts["quarantined"] += quarantined_records
    submitted = received + quarantined_records
    if sum(counts.values()) != submitted:
        raise ReconciliationError(
            f"{day}: {submitted} submitted, but the states add up to {sum(counts.values())}: {counts}"
        )
    row = connection.execute(
        "SELECT count(*)::int FROM contribution c WHERE c.municipality = %(municipality)s"
        " AND c.received_on = %(day)s AND c.state IN ('review', 'refusal_proposed')"
        " AND NOT EXISTS (SELECT FROM decision d WHERE d.contribution_id = c.contribution_id)"
        " AND NOT EXISTS (SELECT FROM review_case r WHERE r.contribution_id = c.contribution_id"
        "  AND r.closed_at IS NULL)",
        names,
    ).fetchone()
    if row and row[0]:
        raise ReconciliationError(
            f"{day}: {row[0]} doubtful contributions have no open review case"
        )
    if unexplained:
        raise ReconciliationError(
            f"{day}: {unexplained} contributions are in a state that neither a stored result nor a "
            "person's decision explains"
        )
    return {**counts, "submitted": submitted}
