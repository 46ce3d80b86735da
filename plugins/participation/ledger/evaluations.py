"""Keep what an engine scored on the labelled sample."""

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from participation.ledger.attempt import Attempt
from participation.ledger.connection import Connection


def save_evaluation(
    connection: Connection,
    municipality: str,
    attempt: Attempt,
    *,
    engine: str,
    rubric_version: str,
    sample_count: int,
    scores: Mapping[str, Any],
    passed: bool,
    day: date | None,
) -> int:
    """Store one evaluation and return its id; a repeated run adds a row, the newest counts."""
    row = connection.execute(
        "INSERT INTO evaluation (municipality, received_on, engine, rubric_version, sample_count,"
        " scores, passed, dag_id, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)"
        " RETURNING evaluation_id",
        (
            municipality,
            day,
            engine,
            rubric_version,
            sample_count,
            json.dumps(scores, allow_nan=False),
            passed,
            attempt.dag_id,
            attempt.run_id,
        ),
    ).fetchone()
    return int(row[0]) if row else 0
