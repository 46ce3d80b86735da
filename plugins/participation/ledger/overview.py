"""What the first page shows, read from the ledger of one municipality in one snapshot."""

from collections import Counter
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from psycopg.rows import dict_row

from include.overview import DayCount, Missed, Overview, Provider, ReportRow, Waiting
from participation.ledger.connection import Connection
from participation.ledger.delays import delays
from participation.ledger.outages import rules_alone

DAYS = 30

TODAY = """
SELECT (now() AT TIME ZONE 'Europe/Paris')::date AS today, clock_timestamp() AS at,
       (SELECT max(received_on) FROM contribution
        WHERE municipality = %(municipality)s
          AND received_on <= (now() AT TIME ZONE 'Europe/Paris')::date) AS last
"""

FLOW = """
WITH last_case AS (
    SELECT DISTINCT ON (k.contribution_id) k.contribution_id, k.kind
    FROM review_case k JOIN contribution c USING (contribution_id)
    WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
    ORDER BY k.contribution_id, k.review_case_id DESC
), decided AS (
    SELECT DISTINCT d.contribution_id FROM decision d JOIN contribution c USING (contribution_id)
    WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
)
SELECT CASE WHEN d.contribution_id IS NOT NULL THEN coalesce(k.kind, 'accept')
            WHEN c.state = 'accepted' THEN 'accept' ELSE c.state END AS machine,
       c.state, count(*)::int AS count
FROM contribution c
LEFT JOIN last_case k USING (contribution_id)
LEFT JOIN decided d USING (contribution_id)
WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
GROUP BY 1, 2
UNION ALL
SELECT 'quarantined', 'quarantined', count(*)::int FROM quarantine
WHERE municipality = %(municipality)s AND received_on = %(day)s AND kind = 'record'
  AND resolved_at IS NULL HAVING count(*) > 0
"""

OPEN = """
SELECT state, count(*)::int AS count,
       extract(epoch FROM clock_timestamp() - min(received_at))::float8 AS oldest_s
FROM contribution
WHERE municipality = %(municipality)s
  AND state IN ('pending', 'review', 'refusal_proposed', 'quarantined')
GROUP BY state
"""

OLDEST = """
SELECT contribution_id, state, extract(epoch FROM clock_timestamp() - received_at)::float8 AS age_s
FROM contribution
WHERE municipality = %(municipality)s AND state IN ('pending', 'review', 'refusal_proposed')
ORDER BY received_at, contribution_id LIMIT 1
"""

ASIDE = """
SELECT 'records' AS key, count(*)::int AS count,
       extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_s
FROM quarantine
WHERE municipality = %(municipality)s AND kind = 'record' AND resolved_at IS NULL
UNION ALL
SELECT 'documents', count(*)::int,
       extract(epoch FROM clock_timestamp() - min(created_at))::float8
FROM document_set_aside s
WHERE municipality = %(municipality)s AND resolved_at IS NULL
  AND (document_id IS NULL OR EXISTS (
       SELECT FROM document_origin o WHERE o.document_id = s.document_id
       AND o.municipality = s.municipality AND o.superseded_at IS NULL))
"""

DAILY = """
SELECT received_on AS day, count(*)::int AS received,
       count(*) FILTER (WHERE state NOT IN ('accepted', 'refused'))::int AS waiting
FROM contribution
WHERE municipality = %(municipality)s AND received_on BETWEEN %(first)s AND %(day)s
GROUP BY received_on
"""

REPORTS = """
SELECT received_on AS day, figures FROM report WHERE municipality = %(municipality)s
ORDER BY received_on DESC LIMIT 7
"""

MISSED = """
SELECT dag_id, run_id, alert, noted_at, run_state FROM deadline_miss
WHERE noted_at > now() - interval '30 days' ORDER BY noted_at DESC LIMIT 10
"""

FAILED = """
SELECT count(*)::int AS count FROM (
    SELECT municipality, status, started_at FROM step_metric ORDER BY metric_id DESC LIMIT 20000
) AS newest
WHERE municipality = %(municipality)s AND status IN ('failed', 'timeout')
  AND started_at > now() - interval '1 day'
"""
"""Of the newest attempts: more than any town makes in a day, and the table keeps those of years."""

HAS_PROVIDERS = """
SELECT to_regclass('provider_call') IS NOT NULL AND to_regclass('provider_state') IS NOT NULL
"""

PROVIDERS = """
SELECT conn_id, s.open_until, coalesce(s.reason, '') AS reason, coalesce(c.calls, 0) AS calls,
       coalesce(c.failed, 0) AS failed, coalesce(c.tokens, 0) AS tokens
FROM (SELECT conn_id, count(*)::int AS calls,
             count(*) FILTER (WHERE status = 'failed')::int AS failed,
             sum(charged_tokens)::bigint AS tokens
      FROM provider_call WHERE called_on = (now() AT TIME ZONE 'Europe/Paris')::date
      GROUP BY conn_id) AS c
FULL JOIN (SELECT conn_id, reason, CASE WHEN open_until > now() THEN open_until END AS open_until
           FROM provider_state) AS s USING (conn_id)
ORDER BY conn_id LIMIT 20
"""


@dataclass(frozen=True)
class LedgerOverview:
    """Reads the first page of one municipality."""

    connection: Connection
    municipality: str

    def read(self, *, with_documents: bool) -> Overview:
        """Return what the page says.

        Args:
            with_documents: Whether the reader may see what is set aside among documents.
        """
        with self.connection.transaction():
            self.connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            return self._read(with_documents=with_documents)

    def _read(self, *, with_documents: bool) -> Overview:
        times = self._rows(TODAY)[0]
        day: date = times["last"] or times["today"]
        first = day - timedelta(days=DAYS - 1)
        found = {row["day"]: row for row in self._rows(DAILY, first=first, day=day)}
        days = tuple(
            DayCount(each, found[each]["received"], found[each]["waiting"])
            if each in found
            else DayCount(each, 0, 0)
            for each in (first + timedelta(days=n) for n in range(DAYS))
        )
        counts: Counter[tuple[str, str]] = Counter()
        for row in self._rows(FLOW, day=day):
            counts[row["machine"], row["state"]] += row["count"]
        oldest = self._rows(OLDEST)
        return Overview(
            municipality=self.municipality,
            generated_at=times["at"],
            day=times["last"],
            is_today=times["last"] == times["today"],
            counts=counts,
            waiting=self._waiting(with_documents=with_documents),
            days=days,
            reports=tuple(ReportRow(**row) for row in self._rows(REPORTS)),
            missed=tuple(Missed(**row) for row in self._rows(MISSED)),
            delays=delays(self.connection, self.municipality),
            failed_attempts=self._rows(FAILED)[0]["count"],
            oldest=tuple(oldest[0].values()) if oldest else None,
            providers=self._providers(),
            received=counts.total(),
            alone=rules_alone(self.connection, self.municipality),
        )

    def _waiting(self, *, with_documents: bool) -> tuple[Waiting, ...]:
        of_state = {row["state"]: row for row in self._rows(OPEN)}
        aside = {row["key"]: row for row in self._rows(ASIDE)}
        found = [
            Waiting(state, of_state[state]["count"], of_state[state]["oldest_s"])
            if state in of_state
            else Waiting(state, 0)
            for state in ("pending", "review", "refusal_proposed", "quarantined")
        ]
        keys = ("records", "documents") if with_documents else ("records",)
        return (
            *found,
            *(Waiting(key, aside[key]["count"], aside[key]["oldest_s"]) for key in keys),
        )

    def _providers(self) -> tuple[Provider, ...] | None:
        row = self.connection.execute(HAS_PROVIDERS).fetchone()
        if row is None or not row[0]:
            return None
        return tuple(Provider(**each) for each in self._rows(PROVIDERS)) or None

    def _rows(self, query: str, **names: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, {"municipality": self.municipality, **names}).fetchall()
