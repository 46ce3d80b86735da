"""Which days have a report, and who wrote it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from participation.ledger.connection import Connection

FRESH = """
SELECT r.received_on, r.html_path, ARRAY(
    SELECT DISTINCT c.state_rubric FROM contribution c
    WHERE c.municipality = r.municipality AND c.received_on = r.received_on
      AND NOT EXISTS (SELECT FROM decision d WHERE d.contribution_id = c.contribution_id))
FROM report r
WHERE r.municipality = %(town)s AND r.received_on = ANY(%(days)s)
  AND NOT EXISTS (
    SELECT FROM contribution c LEFT JOIN receipt t USING (contribution_id)
    WHERE c.municipality = r.municipality AND c.received_on = r.received_on
      AND greatest(c.received_at, c.state_changed_at, t.received_at) > r.written_at)
  AND NOT EXISTS (
    SELECT FROM quarantine q
    WHERE q.municipality = r.municipality AND q.received_on = r.received_on
      AND greatest(q.created_at, q.resolved_at) > r.written_at)
ORDER BY r.received_on
"""


def save_report(
    connection: Connection,
    municipality: str,
    day: date,
    *,
    html_path: str,
    markdown_path: str,
    figures: Mapping[str, Any],
    dag_id: str,
    run_id: str,
) -> None:
    """Note the report of a day; a newer one of the same day takes its place."""
    connection.execute(
        "INSERT INTO report (municipality, received_on, html_path, markdown_path, figures, dag_id,"
        " run_id) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (municipality, received_on)"
        " DO UPDATE SET html_path = excluded.html_path, markdown_path = excluded.markdown_path,"
        " figures = excluded.figures, dag_id = excluded.dag_id, run_id = excluded.run_id, written_at = now()",
        (
            municipality,
            day,
            html_path,
            markdown_path,
            json.dumps(figures, allow_nan=False),
            dag_id,
            run_id,
        ),
    )


def newest_report(connection: Connection, municipality: str) -> date | None:
    """Return the newest reported day with judged texts, else with anything received, else any."""
    row = connection.execute(
        "SELECT received_on FROM report WHERE municipality = %s"
        " ORDER BY coalesce((figures ->> 'accepted')::int, 0)"
        " + coalesce((figures ->> 'review')::int, 0)"
        " + coalesce((figures ->> 'refusal_proposed')::int, 0)"
        " + coalesce((figures ->> 'refused')::int, 0) > 0 DESC,"
        " coalesce((figures ->> 'sum')::int, 0) > 0 DESC, received_on DESC LIMIT 1",
        (municipality,),
    ).fetchone()
    return row[0] if row else None


def report_path(connection: Connection, municipality: str, day: date) -> str | None:
    """Return where a day's HTML page was written, or None when it has no report."""
    row = connection.execute(
        "SELECT html_path FROM report WHERE municipality = %s AND received_on = %s",
        (municipality, day),
    ).fetchone()
    return str(row[0]) if row else None


@dataclass(frozen=True, slots=True)
class FreshReport:
    """A day's report that still says what the ledger says.

    ``rubrics`` are those under which the day's contributions were judged; None stands for one that was
    not. What a person decided has none.
    """

    day: date
    html_path: str
    rubrics: frozenset[str | None]


def fresh_reports(
    connection: Connection, municipality: str, days: Sequence[date]
) -> list[FreshReport]:
    """Return the reports of some days after which nothing of the day changed."""
    rows = connection.execute(FRESH, {"town": municipality, "days": list(days)}).fetchall()
    return [FreshReport(day, path, frozenset(rubrics)) for day, path, rubrics in rows]


def report_of_run(
    connection: Connection, municipality: str, dag_id: str, run_id: str
) -> date | None:
    """Return the day whose report a run wrote, else the first day whose contributions it judged."""
    names = {"town": municipality, "dag": dag_id, "run": run_id}
    row = connection.execute(
        "SELECT received_on FROM ("
        " SELECT 1 AS rank, received_on FROM report"
        "  WHERE municipality = %(town)s AND (dag_id, run_id) = (%(dag)s, %(run)s)"
        " UNION ALL SELECT 2, received_on FROM work_chunk WHERE municipality = %(town)s"
        "  AND (dag_id, run_id) = (%(dag)s, %(run)s)) AS found ORDER BY rank, received_on LIMIT 1",
        names,
    ).fetchone()
    return row[0] if row else None


def listed_days(
    connection: Connection, municipality: str, limit: int = 400
) -> list[tuple[date, Mapping[str, Any]]]:
    """Return the reported days and their figures, the newest first."""
    return connection.execute(
        "SELECT received_on, figures FROM report WHERE municipality = %s"
        " ORDER BY received_on DESC LIMIT %s",
        (municipality, limit),
    ).fetchall()


def neighbours(
    connection: Connection, municipality: str, day: date
) -> tuple[date | None, date | None]:
    """Return the reported days before and after a day."""
    row = connection.execute(
        "SELECT max(received_on) FILTER (WHERE received_on < %(day)s),"
        " min(received_on) FILTER (WHERE received_on > %(day)s)"
        " FROM report WHERE municipality = %(town)s",
        {"town": municipality, "day": day},
    ).fetchone()
    return (row[0], row[1]) if row else (None, None)


def written_before(
    connection: Connection, municipality: str, day: date, dag_id: str, run_id: str
) -> datetime | None:
    """Return when a day's report was written if that was before this run's work; else None."""
    row = connection.execute(
        "SELECT r.written_at FROM report r WHERE r.municipality = %(town)s"
        " AND r.received_on = %(day)s"
        " AND (r.dag_id, r.run_id) IS DISTINCT FROM (%(dag)s::text, %(run)s::text)"
        " AND EXISTS (SELECT FROM work_chunk w WHERE w.municipality = r.municipality"
        "  AND (w.dag_id, w.run_id) = (%(dag)s, %(run)s)"
        "  AND (w.settled_at IS NULL OR w.settled_at > r.written_at))",
        {"town": municipality, "day": day, "dag": dag_id, "run": run_id},
    ).fetchone()
    return row[0] if row else None
