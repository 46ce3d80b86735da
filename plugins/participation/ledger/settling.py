"""Settle each state once: what the steps answered becomes the contribution's state and its case.

A contribution that a person decided is left alone.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

from include.contributions.model import STATE_OF_DECISION
from participation.ledger.attempt import AttemptLedger

STATE_OF_ANSWER = " ".join(
    [
        "CASE v.output ->> 'decision'",
        *(f"WHEN '{decision}' THEN '{state}'" for decision, state in STATE_OF_DECISION.items()),
        "END",
    ]
)
"""The state that a stored validation leads to; an answer of another kind leads to none, and fails."""

RESULTS = f"""
SELECT c.contribution_id, c.state, c.received_on, w.rubric_version, c.input_hash,
       CASE WHEN q.quarantine_id IS NOT NULL THEN 'quarantined' ELSE {STATE_OF_ANSWER} END
       AS new_state,
       s.output ->> 'category' AS category, s.output ->> 'second_category' AS second_category,
       coalesce(q.reason, v.output ->> 'review_reason', v.output ->> 'decision') AS reason
FROM claim k
JOIN work_chunk w USING (chunk_id)
JOIN contribution c USING (contribution_id)
LEFT JOIN quarantine q ON q.contribution_id = c.contribution_id AND q.resolved_at IS NULL
    AND q.rubric_version = w.rubric_version
LEFT JOIN step_result v ON (v.item_id, v.step, v.input_hash, v.rubric_version)
    = (c.contribution_id, 'validate', c.input_hash, w.rubric_version)
LEFT JOIN step_result s ON (s.item_id, s.step, s.input_hash, s.rubric_version)
    = (c.contribution_id, 'classify', c.input_hash, w.rubric_version)
LEFT JOIN step_result e ON (e.item_id, e.step, e.input_hash, e.rubric_version)
    = (c.contribution_id, 'evaluate', c.input_hash, w.rubric_version)
WHERE k.chunk_id = %(chunk)s
  AND (q.quarantine_id IS NOT NULL
       OR (v.item_id IS NOT NULL AND s.item_id IS NOT NULL AND e.item_id IS NOT NULL))
  AND NOT EXISTS (SELECT FROM decision d WHERE d.contribution_id = c.contribution_id)
"""


@dataclass(frozen=True)
class Settling(AttemptLedger):
    """What a run settles, and what of it was settled."""

    def settle(self, changed_by: str) -> dict[str, int]:
        """Give each contribution of this run's chunks its state, and open the review cases.

        One transaction a chunk. A contribution that lacks a result stays as it is, and so does its
        chunk: :func:`participation.ledger.books.reconcile` says so. One that a person decided is
        left alone. Returns how many contributions reached each state.
        """
        totals: dict[str, int] = {}
        chunks = self.connection.execute(
            "SELECT chunk_id FROM work_chunk WHERE dag_id = %s AND run_id = %s"
            " AND settled_at IS NULL ORDER BY chunk_id",
            (self.attempt.dag_id, self.attempt.run_id),
        ).fetchall()
        for (chunk_id,) in chunks:
            for state, count in self._settle_chunk(chunk_id, changed_by).items():
                totals[state] = totals.get(state, 0) + count
        return totals

    def unsettled(self) -> list[tuple[int, int]]:
        """List this run's chunks that still hold contributions: (chunk id, how many)."""
        return [
            (chunk_id, count)
            for chunk_id, count in self.connection.execute(
                "SELECT w.chunk_id, count(*) FROM work_chunk w JOIN claim k USING (chunk_id)"
                " WHERE w.dag_id = %s AND w.run_id = %s AND w.settled_at IS NULL"
                " GROUP BY w.chunk_id ORDER BY w.chunk_id",
                (self.attempt.dag_id, self.attempt.run_id),
            ).fetchall()
        ]

    def settled_days(self) -> list[date]:
        """List the days on which this run gave contributions their states, in any of its attempts."""
        return [
            day
            for (day,) in self.connection.execute(
                "SELECT DISTINCT unnest(settled_days) FROM work_chunk"
                " WHERE dag_id = %s AND run_id = %s ORDER BY 1",
                (self.attempt.dag_id, self.attempt.run_id),
            ).fetchall()
        ]

    def whole_result(self, contribution_id: str) -> dict[str, Any]:
        """Return the three outputs that a contribution's state follows, by step."""
        row = self.connection.execute(
            "SELECT jsonb_object_agg(r.step, r.output) FROM step_result r JOIN contribution c"
            " ON (r.item_id, r.input_hash, r.rubric_version)"
            " = (c.contribution_id, c.input_hash, c.state_rubric) WHERE c.contribution_id = %s",
            (contribution_id,),
        ).fetchone()
        return dict(row[0]) if row and row[0] else {}

    def _settle_chunk(self, chunk_id: int, changed_by: str) -> dict[str, int]:
        names = {"chunk": chunk_id, "changed_by": changed_by}
        with self.connection.transaction():
            # Who holds what is read under the chunk's lock: a run that takes contributions over, a
            # writer and a second settling wait for this one, or this one finds what they left.
            locked = self.connection.execute(
                "SELECT FROM work_chunk WHERE chunk_id = %(chunk)s AND settled_at IS NULL FOR UPDATE",
                names,
            ).fetchone()
            if locked is None:
                return {}
            self.connection.execute(
                f"CREATE TEMPORARY TABLE settling ON COMMIT DROP AS {RESULTS}", names
            )
            self.connection.execute(
                "UPDATE contribution c SET state = s.new_state, state_rubric = s.rubric_version,"
                " state_changed_at = now(), category = s.category,"
                " second_category = s.second_category"
                " FROM settling s WHERE c.contribution_id = s.contribution_id",
            )
            self.connection.execute(
                "INSERT INTO state_change (contribution_id, from_state, to_state, rubric_version,"
                " changed_by) SELECT contribution_id, state, new_state, rubric_version,"
                " %(changed_by)s FROM settling WHERE state <> new_state",
                names,
            )
            self.connection.execute(
                "UPDATE review_case r SET closed_at = now() FROM settling s"
                " WHERE r.contribution_id = s.contribution_id AND r.closed_at IS NULL"
                " AND (s.new_state = 'accepted'"
                " OR (r.rubric_version, r.input_hash) <> (s.rubric_version, s.input_hash))",
            )
            self.connection.execute(
                "INSERT INTO review_case (contribution_id, input_hash, rubric_version, kind, reason)"
                " SELECT contribution_id, input_hash, rubric_version, new_state, reason"
                " FROM settling WHERE new_state IN ('review', 'refusal_proposed', 'quarantined')"
                # Rules that were rolled back ask the same question again.
                " ON CONFLICT (contribution_id, input_hash, rubric_version) DO UPDATE"
                " SET kind = excluded.kind, reason = excluded.reason, closed_at = NULL,"
                " opened_at = CASE WHEN review_case.closed_at IS NULL"
                " THEN review_case.opened_at ELSE now() END",
            )
            self.connection.execute(
                "DELETE FROM claim k WHERE k.chunk_id = %(chunk)s AND EXISTS ("
                " SELECT FROM settling s WHERE s.contribution_id = k.contribution_id)"
                " OR k.chunk_id = %(chunk)s AND EXISTS (SELECT FROM decision d"
                " WHERE d.contribution_id = k.contribution_id)",
                names,
            )
            self.connection.execute(
                "UPDATE work_chunk SET settled_days = ARRAY(SELECT unnest(settled_days) UNION"
                " SELECT received_on FROM settling ORDER BY 1) WHERE chunk_id = %(chunk)s",
                names,
            )
            self.connection.execute(
                "UPDATE work_chunk SET settled_at = now(), lease_token = NULL"
                " WHERE chunk_id = %(chunk)s AND NOT EXISTS"
                " (SELECT FROM claim WHERE chunk_id = %(chunk)s)",
                names,
            )
            return dict(
                self.connection.execute(
                    "SELECT new_state, count(*)::int FROM settling GROUP BY new_state"
                ).fetchall()
            )
