"""Keep what an engine scored on the labelled samples, and read it again for its page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from psycopg.rows import class_row, dict_row

from include.contributions.answers import Answer
from include.contributions.evaluation_report import words_of
from include.contributions.model import Contribution
from participation.ledger.attempt import Attempt
from participation.ledger.connection import Connection
from participation.ledger.samples import PERSON_PREFIX, person_ids

NOT_JUDGED = "no gate has judged it yet"

LISTED = 200
"""Evaluations on one page; a daily one and a weekly one make half a year."""

COLUMNS = """
evaluation_id, municipality, received_on, engine, rubric_version, sample_count, scores, passed, dag_id,
run_id, created_at, details, bars, reasons
"""


@dataclass(frozen=True, slots=True)
class StoredEvaluation:
    """One row; ``details`` is None for the chain's short evaluations."""

    evaluation_id: int
    municipality: str
    received_on: date | None
    engine: str
    rubric_version: str
    sample_count: int
    scores: dict[str, Any]
    passed: bool
    dag_id: str | None
    run_id: str | None
    created_at: datetime
    details: dict[str, Any] | None
    bars: dict[str, Any]
    reasons: list[str]


WORDS = """
SELECT s.labelled_sample_id, c.constat_factuel, c.idees_ameliorations, a.variant, a.input_hash,
       a.output, a.error, a.took_ms, a.cost
FROM labelled_sample s
JOIN contribution c USING (contribution_id)
LEFT JOIN sample_answer a ON (a.municipality, a.sample_id, a.variant, a.rubric_version)
    = (s.municipality, %(prefix)s || s.labelled_sample_id, 'plain', %(rubric)s)
WHERE s.municipality = %(town)s AND s.labelled_sample_id = ANY(%(ids)s)
"""


@dataclass(frozen=True, slots=True)
class Publication:
    """How far an evaluation was sent to a target."""

    evaluation_id: int
    sent_count: int


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
            _json(scores),
            passed,
            attempt.dag_id,
            attempt.run_id,
        ),
    ).fetchone()
    return int(row[0]) if row else 0


@dataclass(frozen=True)
class LedgerEvaluations:
    """The evaluations of one municipality."""

    connection: Connection
    municipality: str

    def save(
        self,
        attempt: Attempt,
        *,
        engine: str,
        rubric_version: str,
        sample_count: int,
        scores: Mapping[str, Any],
        details: Mapping[str, Any],
    ) -> int:
        """Store what a run scored, not yet judged; the same run again replaces it under its id."""
        self.connection.execute(
            "DELETE FROM evaluation_publication USING evaluation"
            " WHERE evaluation_publication.evaluation_id = evaluation.evaluation_id"
            " AND (dag_id, run_id) = (%s, %s)",
            (attempt.dag_id, attempt.run_id),
        )
        row = self.connection.execute(
            "INSERT INTO evaluation (municipality, engine, rubric_version, sample_count, scores,"
            " details, passed, reasons, dag_id, run_id)"
            " VALUES (%(town)s, %(engine)s, %(rubric)s, %(count)s, %(scores)s, %(details)s, false,"
            " %(reasons)s, %(dag)s, %(run)s)"
            " ON CONFLICT (dag_id, run_id) WHERE details IS NOT NULL DO UPDATE SET"
            " engine = excluded.engine, rubric_version = excluded.rubric_version,"
            " sample_count = excluded.sample_count, scores = excluded.scores,"
            " details = excluded.details, passed = false, reasons = excluded.reasons, bars = '{}',"
            " created_at = now() RETURNING evaluation_id",
            {
                "town": self.municipality,
                "engine": engine,
                "rubric": rubric_version,
                "count": sample_count,
                "scores": _json(scores),
                "details": _json(details),
                "reasons": _json([NOT_JUDGED]),
                "dag": attempt.dag_id,
                "run": attempt.run_id,
            },
        ).fetchone()
        return int(row[0]) if row else 0

    def judge(self, evaluation_id: int, bars: Mapping[str, Any], reasons: Sequence[str]) -> None:
        """Note what the gate said; passed only without a reason against it."""
        self._update(
            evaluation_id,
            "passed = %(passed)s, bars = %(bars)s, reasons = %(reasons)s",
            passed=not reasons,
            bars=_json(bars),
            reasons=_json(reasons),
        )

    def note_page(self, evaluation_id: int, path: str) -> None:
        """Note where its page was written."""
        self._update(evaluation_id, "page_path = %(path)s", path=path)

    def of_run(self, dag_id: str, run_id: str) -> StoredEvaluation | None:
        """Return the newest evaluation of a run."""
        return self._first("(dag_id, run_id) = (%(dag)s, %(run)s)", dag=dag_id, run=run_id)

    def get(self, evaluation_id: int) -> StoredEvaluation | None:
        """Return one by its id."""
        return self._first("evaluation_id = %(id)s", id=evaluation_id)

    def newest(self) -> list[StoredEvaluation]:
        """List the newest ones first, without what only their own pages show."""
        columns = COLUMNS.replace("details", "NULL::jsonb AS details")
        with self.connection.cursor(row_factory=class_row(StoredEvaluation)) as cursor:
            return cursor.execute(
                f"SELECT {columns} FROM evaluation WHERE municipality = %s"
                " ORDER BY evaluation_id DESC LIMIT %s",
                (self.municipality, LISTED),
            ).fetchall()

    def citizens_words(
        self, sample_ids: Sequence[str], rubric_version: str
    ) -> dict[str, dict[str, Any]]:
        """Read the words of samples that people made, and what was answered on which of them."""
        names = {
            "town": self.municipality,
            "prefix": PERSON_PREFIX,
            "rubric": rubric_version,
            "ids": person_ids(sample_ids),
        }
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(WORDS, names).fetchall()
        found = {}
        for row in rows:
            sample_id = f"{PERSON_PREFIX}{row['labelled_sample_id']}"
            text = Contribution(sample_id, row["constat_factuel"], row["idees_ameliorations"]).text
            answer = Answer.read({**row, "sample_id": sample_id}) if row["variant"] else None
            found[sample_id] = words_of(text, answer)
        return found

    def begin_publication(self, evaluation_id: int, target: str) -> Publication | None:
        """Say how far an evaluation was sent to a target; None when it is whole there."""
        self.connection.execute(
            "INSERT INTO evaluation_publication (evaluation_id, target) VALUES (%s, %s)"
            " ON CONFLICT DO NOTHING",
            (evaluation_id, target),
        )
        row = self.connection.execute(
            "SELECT evaluation_id, sent_count FROM evaluation_publication"
            " WHERE (evaluation_id, target) = (%s, %s) AND published_at IS NULL",
            (evaluation_id, target),
        ).fetchone()
        return Publication(*row) if row else None

    def note_publication(
        self,
        evaluation_id: int,
        target: str,
        *,
        sent: int | None = None,
        warning: str | None = None,
        whole: bool = False,
    ) -> None:
        """Note how far it came, or why it did not come further."""
        self.connection.execute(
            "UPDATE evaluation_publication SET sent_count = coalesce(%(sent)s, sent_count),"
            " warning = %(warning)s, published_at = CASE WHEN %(whole)s THEN now() END"
            " WHERE (evaluation_id, target) = (%(id)s, %(target)s)",
            {
                "sent": sent,
                "warning": warning,
                "whole": whole,
                "id": evaluation_id,
                "target": target,
            },
        )

    def _first(self, condition: str, **names: Any) -> StoredEvaluation | None:
        with self.connection.cursor(row_factory=class_row(StoredEvaluation)) as cursor:
            return cursor.execute(
                f"SELECT {COLUMNS} FROM evaluation WHERE municipality = %(town)s AND {condition}"
                " ORDER BY evaluation_id DESC LIMIT 1",
                {"town": self.municipality, **names},
            ).fetchone()

    def _update(self, evaluation_id: int, change: str, **values: Any) -> None:
        self.connection.execute(
            f"UPDATE evaluation SET {change} WHERE evaluation_id = %(id)s AND municipality = %(town)s",
            {"id": evaluation_id, "town": self.municipality, **values},
        )


def _json(content: Any) -> str:
    return json.dumps(content, allow_nan=False)
