"""The labelled samples that people made by deciding, the rounds in which they are asked, the answers."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from include.contributions.answers import Answer
from include.contributions.model import Category, Contribution, Decision
from include.contributions.samples import Sample
from participation.ledger.attempt import AttemptLedger

PERSON_PREFIX = "person:"

PEOPLE_SAMPLES = """
SELECT s.labelled_sample_id, s.expected_decision, s.reason, s.provenance,
       (d.decided_at AT TIME ZONE 'Europe/Paris')::date AS decided_on, c.contribution_id,
       c.constat_factuel, c.idees_ameliorations, c.declared_category
FROM labelled_sample s
JOIN decision d USING (decision_id)
JOIN contribution c ON c.contribution_id = s.contribution_id
WHERE s.municipality = %(town)s
  AND d.contribution_id = s.contribution_id
  AND (d.outcome, s.expected_decision) IN (('accepted', 'accept'), ('refused', 'refusal_proposed'))
  AND NOT EXISTS (SELECT FROM step_result r WHERE r.engine = d.decided_by)
"""
"""Only what a person decided, in the sense of that decision; an engine that signs is no person."""

STANDING = """
  AND s.superseded_at IS NULL
  AND NOT EXISTS (SELECT FROM decision later WHERE later.contribution_id = d.contribution_id
                  AND later.decision_id > d.decision_id)
ORDER BY s.labelled_sample_id DESC LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What a run asks: of which engine, about which samples, with how much noise."""

    round_id: int
    engine: str
    rubric_version: str
    samples_hash: str
    sample_ids: list[str]
    noise_levels: list[int]


@dataclass(frozen=True)
class LedgerSamples(AttemptLedger):
    """Samples, rounds and answers of one municipality, for one attempt."""

    def of_people(self, most: int) -> list[Sample]:
        """Read the newest texts on which a person's decision stands, at most so many, oldest first."""
        return self._people(STANDING, most=most)[::-1]

    def of_people_by_id(self, sample_ids: Iterable[str]) -> list[Sample]:
        """Read the same by their ids, standing or not: a round keeps the samples it began with."""
        return self._people(
            "  AND s.labelled_sample_id = ANY(%(ids)s) ORDER BY s.labelled_sample_id",
            ids=person_ids(sample_ids),
        )

    def begin_round(
        self,
        *,
        engine: str,
        rubric_version: str,
        samples_hash: str,
        sample_ids: Sequence[str],
        noise_levels: Sequence[int],
    ) -> None:
        """Fix what this run asks; the same run again begins anew."""
        self.connection.execute(
            "INSERT INTO evaluation_round (municipality, dag_id, run_id, engine, rubric_version,"
            " samples_hash, sample_ids, noise_levels) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (dag_id, run_id) DO UPDATE SET engine = excluded.engine,"
            " rubric_version = excluded.rubric_version, samples_hash = excluded.samples_hash,"
            " sample_ids = excluded.sample_ids, noise_levels = excluded.noise_levels,"
            " created_at = now()",
            (
                self.municipality,
                self.attempt.dag_id,
                self.attempt.run_id,
                engine,
                rubric_version,
                samples_hash,
                json.dumps(list(sample_ids)),
                json.dumps(list(noise_levels)),
            ),
        )

    def round(self) -> Round | None:
        """Return what this run asks; None before it was fixed."""
        row = self.connection.execute(
            "SELECT round_id, engine, rubric_version, samples_hash, sample_ids, noise_levels"
            " FROM evaluation_round WHERE (municipality, dag_id, run_id) = (%s, %s, %s)",
            (self.municipality, self.attempt.dag_id, self.attempt.run_id),
        ).fetchone()
        return Round(*row) if row else None

    def answers(self, rubric_version: str, sample_ids: Sequence[str]) -> list[Answer]:
        """Read the answers under a rubric, whoever asked."""
        return [Answer.read(row) for row in self._answers(rubric_version, sample_ids, "")]

    def known(self, rubric_version: str, sample_ids: Sequence[str]) -> set[tuple[str, str, str]]:
        """List the questions that need not be asked: answered, or failed in this very run."""
        rows = self._answers(
            rubric_version,
            sample_ids,
            "AND (error IS NULL OR (dag_id, run_id) = (%(dag)s, %(run)s))",
        )
        return {(row["sample_id"], row["variant"], row["input_hash"]) for row in rows}

    def add_answers(self, answers: Iterable[Answer], engine: str, rubric_version: str) -> int:
        """Store answers and return how many are new.

        What was answered stands. A failure gives way to another run's answer, never to one of its own
        run: otherwise a retry could try its luck.
        """
        rows = [
            (
                self.municipality,
                each.sample_id,
                each.variant,
                each.input_hash,
                rubric_version,
                engine,
                json.dumps(each.output, allow_nan=False),
                each.error,
                each.took_ms,
                each.cost,
                self.attempt.dag_id,
                self.attempt.run_id,
                self.attempt.map_index,
                self.attempt.try_number,
            )
            for each in answers
        ]
        with self.connection.transaction(), self.connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO sample_answer (municipality, sample_id, variant, input_hash,"
                " rubric_version, engine, output, error, took_ms, cost, dag_id, run_id, map_index,"
                " try_number) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT (municipality, sample_id, variant, input_hash, rubric_version)"
                " DO UPDATE SET engine = excluded.engine, output = excluded.output,"
                " error = excluded.error, took_ms = excluded.took_ms, cost = excluded.cost,"
                " dag_id = excluded.dag_id, run_id = excluded.run_id,"
                " map_index = excluded.map_index, try_number = excluded.try_number,"
                " created_at = now() WHERE sample_answer.error IS NOT NULL"
                " AND (sample_answer.dag_id, sample_answer.run_id)"
                " <> (excluded.dag_id, excluded.run_id)",
                rows,
            )
            return max(0, cursor.rowcount)

    def _people(self, condition: str, **names: Any) -> list[Sample]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(
                PEOPLE_SAMPLES + condition, {"town": self.municipality, **names}
            ).fetchall()
        return [
            Sample.of_person(
                f"{PERSON_PREFIX}{row['labelled_sample_id']}",
                Contribution(
                    row["contribution_id"],
                    row["constat_factuel"],
                    row["idees_ameliorations"],
                    Category(row["declared_category"]) if row["declared_category"] else None,
                ),
                Decision(row["expected_decision"]),
                row["reason"],
                f"{row['provenance']}, {row['decided_on']}",
            )
            for row in rows
        ]

    def _answers(
        self, rubric_version: str, sample_ids: Sequence[str], condition: str
    ) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(
                "SELECT sample_id, variant, input_hash, output, error, took_ms, cost"
                " FROM sample_answer WHERE (municipality, rubric_version) = (%(town)s, %(rubric)s)"
                f" AND sample_id = ANY(%(ids)s) {condition}",
                {
                    "town": self.municipality,
                    "rubric": rubric_version,
                    "ids": list(sample_ids),
                    "dag": self.attempt.dag_id,
                    "run": self.attempt.run_id,
                },
            ).fetchall()


def person_ids(sample_ids: Iterable[str]) -> list[int]:
    """Pick the samples that people made, by their numbers in the ledger.

    >>> person_ids(["clean-001", "person:7"])
    [7]
    """
    return [
        int(each.removeprefix(PERSON_PREFIX))
        for each in sample_ids
        if each.startswith(PERSON_PREFIX)
    ]
