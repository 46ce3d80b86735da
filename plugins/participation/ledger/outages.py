"""What the rules judged alone while no model answered, and nothing judges again by itself.

The next run of a day judges such texts anew. Today has one to come, and the day before its daily chain;
past days have none and wait for a backfill.
"""

from include.contributions.report import RulesAlone
from participation.ledger.connection import Connection

RULES_ALONE = """
SELECT count(*)::int, min(c.received_on), max(c.received_on)
FROM (SELECT DISTINCT unnest(days) AS day FROM work_chunk
      WHERE municipality = %(town)s AND rubric_version LIKE '%%-alone') AS judged
JOIN contribution c ON c.municipality = %(town)s AND c.received_on = judged.day
WHERE c.state_rubric LIKE '%%-alone'
  AND c.received_on < (now() AT TIME ZONE 'Europe/Paris')::date
"""
"""By the chunks, which are few: without a model, or without an outage, no text is looked at."""


def rules_alone(connection: Connection, municipality: str) -> RulesAlone | None:
    """Return how many texts of days before today were judged without the model; None without any."""
    row = connection.execute(RULES_ALONE, {"town": municipality}).fetchone()
    return RulesAlone(*row) if row and row[0] else None
