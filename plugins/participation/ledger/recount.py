"""The figures of a day counted a second time, with other SQL than :mod:`.figures` uses."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from include.contributions.report import DayReport, figures_of
from participation.ledger.connection import Connection
from participation.ledger.recorded import named_rows

RECOUNT = """
WITH texts AS (
    SELECT c.contribution_id, c.state, c.category,
           (SELECT count(*) FROM receipt r WHERE r.contribution_id = c.contribution_id) AS receipts
    FROM contribution c
    WHERE (c.municipality, c.received_on) = (%(municipality)s, %(day)s::date)
), entries AS (
    SELECT state, category, receipts FROM texts
    UNION ALL
    SELECT 'quarantined', NULL, NULL FROM quarantine
    WHERE (municipality, received_on, kind) = (%(municipality)s, %(day)s::date, 'record')
      AND resolved_at IS NULL
)
SELECT count(*) FILTER (WHERE receipts IS NULL OR receipts > 0) AS loaded,
       coalesce(sum(receipts), 0)::bigint - count(*) FILTER (WHERE receipts > 0) AS duplicates,
       count(*) FILTER (WHERE state = 'pending') AS pending,
       count(*) FILTER (WHERE state = 'accepted') AS accepted,
       count(*) FILTER (WHERE state = 'review') AS review,
       count(*) FILTER (WHERE state = 'refusal_proposed') AS refusal_proposed,
       count(*) FILTER (WHERE state = 'refused') AS refused,
       count(*) FILTER (WHERE state = 'quarantined') AS quarantined,
       count(*) AS sum,
       (SELECT count(DISTINCT contribution_id) FROM decision
        WHERE contribution_id IN (SELECT contribution_id FROM texts)) AS decisions,
       (SELECT coalesce(jsonb_object_agg(name, n), '{}')
        FROM (SELECT coalesce(category, 'none') AS name, count(*) AS n
              FROM texts GROUP BY 1) AS named) AS categories,
       (SELECT coalesce(jsonb_object_agg(name, n), '{}')
        FROM (SELECT coalesce(category, 'none') AS name, count(*) AS n
              FROM texts WHERE state = 'accepted' GROUP BY 1) AS named) AS accepted_categories
FROM entries
"""

RECOUNT_DELAYS = """
WITH asked AS (
    SELECT c.received_at, EXISTS (
        SELECT FROM step_result s
        WHERE (s.item_id, s.step, s.input_hash) = (c.contribution_id, 'validate', c.input_hash)
          AND s.created_at = (SELECT max(created_at) FROM step_result t
                              WHERE (t.item_id, t.step, t.input_hash)
                                    = (s.item_id, s.step, s.input_hash)
                                AND t.rubric_version = coalesce(c.state_rubric, t.rubric_version))
          AND s.rubric_version = coalesce(c.state_rubric, s.rubric_version)
          AND (s.output -> 'review_reason' = '"mention_de_groupe"'
               OR EXISTS (SELECT FROM jsonb_array_elements(
                              CASE jsonb_typeof(s.output -> 'evidence') WHEN 'array'
                              THEN s.output -> 'evidence' ELSE '[]' END) AS e
                          WHERE strpos(e ->> 'rule', 'groupe') > 0
                             OR left(e ->> 'rule', 14) = 'discrimination'))) AS is_group
    FROM contribution c
    WHERE c.municipality = %(municipality)s AND c.state = ANY('{review,refusal_proposed}')
)
SELECT k.name, count(a.received_at)::int AS waiting,
       (array_agg(a.received_at ORDER BY a.received_at)
        FILTER (WHERE a.received_at IS NOT NULL))[(count(a.received_at)::int + 1) / 2]
       AS median_since,
       (array_agg(a.received_at ORDER BY a.received_at))[1] AS oldest_since
FROM (VALUES ('group', true), ('others', false)) AS k (name, is_group)
LEFT JOIN asked a ON a.is_group = k.is_group
GROUP BY k.name
"""


def recount(connection: Connection, municipality: str, day: date) -> dict[str, Any]:
    """Count the same day again with other SQL; keys as in ``report.figures_of``."""
    names = {"municipality": municipality, "day": day}
    row = named_rows(connection, RECOUNT, names)[0]
    delays = {
        each.pop("name"): {
            key: value.astimezone(UTC).isoformat(timespec="milliseconds")
            if isinstance(value, datetime)
            else value
            for key, value in each.items()
        }
        for each in named_rows(connection, RECOUNT_DELAYS, names)
    }
    return {"municipality": municipality, "day": day.isoformat(), **row, "delays": delays}


def differences(report: DayReport, counted: Mapping[str, Any]) -> list[str]:
    """Say where the report's figures differ from a recount; empty when they agree."""
    figures = figures_of(report)
    return [
        f"{name}: report {figures.get(name)!r}, recount {value!r}"
        for name, value in counted.items()
        if figures.get(name) != value
    ]
