"""What the tabs of a DAG and of a task show, read from the ledger of one municipality."""

import re
from dataclasses import replace

from psycopg.rows import class_row

from include.attempts import AttemptRow, Attempts, RunRow
from include.contributions.story import address_of
from participation.ledger.connection import Connection

QUESTION = re.compile(r"question (\d{1,18})\b")

LOOKED_AT = 3_000
"""Attempts that the last runs are gathered from: what a DAG does in some weeks."""

RUNS = """
WITH newest AS (
    SELECT * FROM step_metric WHERE dag_id = %(dag)s AND municipality = %(municipality)s
    ORDER BY metric_id DESC LIMIT %(looked_at)s
)
SELECT run_id, min(started_at) AS started_at, min(received_on) AS received_on,
       CASE WHEN bool_or(status = 'running') THEN 'running'
            WHEN bool_or(is_last AND status IN ('failed', 'timeout')) THEN 'failed'
            WHEN bool_and(status = 'skipped') THEN 'skipped' ELSE 'success' END AS status,
       CASE WHEN NOT bool_or(status = 'running')
            THEN extract(epoch FROM max(ended_at) - min(started_at))::float8 * 1000 END AS duration_ms,
       count(*)::int AS attempts, coalesce(sum(output_size), 0)::bigint AS given
FROM (SELECT *, try_number = max(try_number) OVER (PARTITION BY run_id, task_id, map_index) AS is_last
      FROM newest) AS tried
GROUP BY run_id ORDER BY min(started_at) DESC LIMIT 30
"""

ATTEMPTS = """
SELECT task_id, started_at, run_id, map_index, try_number, item, received_on, status, duration_ms,
       input_size AS taken, output_size AS given, error_message AS message
FROM step_metric
WHERE dag_id = %(dag)s AND municipality = %(municipality)s AND (%(task)s::text IS NULL OR task_id = %(task)s)
  AND (%(run)s::text IS NULL OR run_id = %(run)s)
  AND (%(index)s::integer IS NULL OR map_index = %(index)s)
ORDER BY metric_id DESC LIMIT 100
"""


def attempts_page(
    connection: Connection,
    municipality: str,
    dag_id: str,
    task_id: str | None = None,
    run_id: str | None = None,
    map_index: int | None = None,
) -> Attempts:
    """Return the last runs of a DAG, or the last attempts of one of its tasks or runs."""
    names = {
        "municipality": municipality,
        "dag": dag_id,
        "task": task_id,
        "run": run_id,
        "index": map_index,
        "looked_at": LOOKED_AT,
    }
    if task_id is None and run_id is None:
        with connection.cursor(row_factory=class_row(RunRow)) as runs:
            return Attempts(dag_id, None, None, runs=tuple(runs.execute(RUNS, names).fetchall()))
    with connection.cursor(row_factory=class_row(AttemptRow)) as attempts:
        found = attempts.execute(ATTEMPTS, names).fetchall()
    known = _known(connection, municipality, [each.item for each in found])
    return Attempts(
        dag_id,
        task_id,
        run_id,
        attempts=tuple(replace(each, page=_page(each.item, known)) for each in found),
    )


def _page(item: str, known: set[str]) -> str:
    """Where what an attempt worked on has a page of its own; empty where it has none."""
    if item in known:
        return address_of(item)
    asked = QUESTION.match(item)
    return f"review/{asked[1]}" if asked else ""


def _known(connection: Connection, municipality: str, items: list[str]) -> set[str]:
    rows = connection.execute(
        "SELECT contribution_id FROM contribution WHERE municipality = %s"
        " AND contribution_id = ANY(%s)",
        (municipality, items),
    ).fetchall()
    return {item for (item,) in rows}
