"""Which days have a report, and who wrote it."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from participation.ledger.connection import Connection


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
    """Return the newest reported day on which something was received, else the newest."""
    row = connection.execute(
        "SELECT received_on FROM report WHERE municipality = %s"
        " ORDER BY (figures ->> 'sum')::int > 0 DESC, received_on DESC LIMIT 1",
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
