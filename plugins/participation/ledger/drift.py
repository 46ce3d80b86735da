"""How an engine changes from week to week: what it scored, what it proposes, what people made of it."""

from dataclasses import dataclass
from datetime import date

from include.contributions.evaluation_report import Week
from include.contributions.scoring import Score, share_of
from participation.ledger.connection import Connection

WEEKS = 26

SCORES = """
SELECT DISTINCT ON (week) week, rubric_version, scores -> 'scores' AS scores FROM (
    SELECT date_trunc('week', created_at AT TIME ZONE 'Europe/Paris')::date AS week, *
    FROM evaluation
    WHERE municipality = %(town)s AND evaluation_id <= %(upto)s
      AND created_at > now() - make_interval(weeks => %(weeks)s)) AS found
ORDER BY week, details IS NULL, evaluation_id DESC
"""
"""The last whole evaluation of each week, else the last short one."""

OUTCOMES = """
SELECT date_trunc('week', c.received_on)::date AS week, count(*)::int AS n,
       count(*) FILTER (WHERE r.output ->> 'decision' = 'accept')::int AS accept,
       count(*) FILTER (WHERE r.output ->> 'decision' = 'review')::int AS review,
       count(*) FILTER (WHERE r.output ->> 'decision' = 'refusal_proposed')::int AS refusal_proposed
FROM contribution c
CROSS JOIN LATERAL (SELECT output FROM step_result r
    WHERE r.item_id = c.contribution_id AND r.step = 'validate' AND r.input_hash = c.input_hash
    ORDER BY r.created_at DESC LIMIT 1) AS r
WHERE c.municipality = %(town)s AND c.received_on > %(since)s::date - 7 * %(weeks)s
  AND c.received_on <= %(since)s::date
GROUP BY week ORDER BY week
"""
"""What the machine answered, whatever a person decided afterwards, by the week the text was received."""

OVERRULED = """
SELECT machine.decision, d.outcome, count(*)::int FROM contribution c
CROSS JOIN LATERAL (SELECT outcome, decided_at FROM decision
    WHERE contribution_id = c.contribution_id ORDER BY decision_id DESC LIMIT 1) AS d
CROSS JOIN LATERAL (SELECT output ->> 'decision' AS decision FROM step_result r
    WHERE r.item_id = c.contribution_id AND r.step = 'validate' AND r.input_hash = c.input_hash
      AND r.created_at <= d.decided_at ORDER BY r.created_at DESC LIMIT 1) AS machine
WHERE c.municipality = %(town)s AND d.outcome IN ('accepted', 'refused')
GROUP BY 1, 2
"""
"""The standing decision of a person, and what the machine had proposed when it was taken."""

NEWEST_DAY = """
SELECT max(received_on) FROM contribution
WHERE municipality = %s AND received_on <= (now() AT TIME ZONE 'Europe/Paris')::date
"""


@dataclass(frozen=True)
class LedgerDrift:
    """What the ledger of one municipality says of an engine over time."""

    connection: Connection
    municipality: str

    def weeks(self, upto: int) -> tuple[Week, ...]:
        """List the latest weeks, oldest first, up to an evaluation."""
        scored = {
            week: (rubric, Score.read_all(scores))
            for week, rubric, scores in self.connection.execute(
                SCORES, {"town": self.municipality, "upto": upto, "weeks": WEEKS}
            )
        }
        outcomes = {
            week: {
                "accept": share_of(accept, n),
                "review": share_of(review, n),
                "refusal_proposed": share_of(refused, n),
            }
            for week, n, accept, review, refused in self.connection.execute(
                OUTCOMES, {"town": self.municipality, "since": self._newest_day(), "weeks": WEEKS}
            )
        }
        return tuple(
            Week(week, *scored.get(week, ("", {})), outcomes.get(week, {}))
            for week in sorted({*scored, *outcomes})
        )

    def overruled(self) -> dict[str, Score]:
        """How often a person decided the opposite of what the machine had proposed."""
        counts = {
            (machine, outcome): count
            for machine, outcome, count in self.connection.execute(
                OVERRULED, {"town": self.municipality}
            )
        }

        def count(machine: str, *outcomes: str) -> int:
            return sum(counts.get((machine, outcome), 0) for outcome in outcomes)

        accepted, refused = count("accept", "refused"), count("refusal_proposed", "accepted")
        of_accepted = count("accept", "accepted", "refused")
        of_refused = count("refusal_proposed", "accepted", "refused")
        return {
            "overruled": share_of(accepted + refused, of_accepted + of_refused),
            "overruled_acceptance": share_of(accepted, of_accepted),
            "overruled_refusal": share_of(refused, of_refused),
        }

    def _newest_day(self) -> date | None:
        row = self.connection.execute(NEWEST_DAY, (self.municipality,)).fetchone()
        return row[0] if row else None
