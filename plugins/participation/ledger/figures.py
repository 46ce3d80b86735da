"""The figures of a day, read from the ledger and held against a second count.

:func:`checked_day_report` is what the publishing step calls: one snapshot, both counts, and a loud
error when they differ.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from typing import Any

from psycopg.pq import TransactionStatus

from include.contributions.model import STATES
from include.contributions.report import (
    LISTED_PER_SECTION,
    CategoryCount,
    DayReport,
    EngineVersion,
    Measure,
    Notice,
    OldestOpen,
    SampleEvaluation,
    StepTime,
    ordered_categories,
)
from include.contributions.wording import failure_words, late_words, score_place
from include.errors import ReconciliationError
from participation.ledger.connection import Connection
from participation.ledger.day_texts import DayTexts
from participation.ledger.delays import delays
from participation.ledger.outages import rules_alone
from participation.ledger.recorded import Row, named_rows
from participation.ledger.recount import differences, recount

MAX_NOTICES = 50
"""Different warnings listed on a page; a run that warns of more needs its log."""

MAX_SCORES = 80
"""Measures of an evaluation shown; the ledger keeps all of them."""

RULES_ALONE_WORDS = (
    "Texte d'un jour passé jugé par les règles seules, le modèle n'ayant pas répondu"
    " : à faire juger de nouveau par l'exploitation"
)

WAITING_STATES = ("pending", "review", "refusal_proposed")

STATE_COUNTS = """
SELECT state, count(*) AS n FROM contribution
WHERE municipality = %(municipality)s AND received_on = %(day)s GROUP BY state
"""

ENTRY_COUNTS = """
WITH received AS (
    SELECT r.contribution_id, count(*) AS receipts
    FROM receipt r JOIN contribution c USING (contribution_id)
    WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
    GROUP BY r.contribution_id
)
SELECT (SELECT count(*) FROM received) AS contributions,
       (SELECT coalesce(sum(receipts - 1), 0)::bigint FROM received) AS duplicates,
       (SELECT count(*) FROM quarantine
        WHERE municipality = %(municipality)s AND received_on = %(day)s
          AND kind = 'record' AND resolved_at IS NULL) AS broken,
       clock_timestamp() AS generated_at
"""

FILE_ENTRIES = """
WITH touching AS (
    SELECT r.file_id FROM receipt r JOIN contribution c USING (contribution_id)
    WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s AND r.file_id IS NOT NULL
    UNION
    SELECT file_id FROM quarantine
    WHERE municipality = %(municipality)s AND received_on = %(day)s AND file_id IS NOT NULL
)
SELECT coalesce(sum(f.record_count + f.broken_count), 0)::bigint AS announced,
       coalesce(sum((SELECT count(*) FROM receipt r WHERE r.file_id = f.file_id)
                  + (SELECT count(*) FROM quarantine q WHERE q.file_id = f.file_id
                                                         AND q.kind = 'record')), 0)::bigint
       AS found
FROM source_file f JOIN touching USING (file_id)
"""

CATEGORY_COUNTS = """
SELECT category, second_category, state, count(*) AS n FROM contribution
WHERE municipality = %(municipality)s AND received_on = %(day)s
GROUP BY category, second_category, state
"""

STEP_TIMES = """
SELECT step, count(*) AS attempts,
       count(*) FILTER (WHERE status IN ('failed', 'timeout')) AS failed,
       count(*) FILTER (WHERE status = 'running') AS running,
       count(*) FILTER (WHERE status = 'skipped') AS skipped,
       coalesce(sum(duration_ms), 0)::float8 AS total_ms,
       coalesce(avg(duration_ms), 0)::float8 AS mean_ms,
       coalesce(sum(output_size) FILTER (WHERE status = 'success'), 0)::bigint AS items,
       (sum(output_size) FILTER (WHERE status = 'success') * 1000.0
        / nullif(sum(duration_ms) FILTER (WHERE status = 'success'), 0))::float8 AS items_per_s
FROM step_metric WHERE municipality = %(municipality)s AND received_on = %(day)s
GROUP BY step ORDER BY min(started_at), step LIMIT %(limit)s
"""

STEP_FAILURES = """
SELECT step, status, coalesce(left(error_message, 300), '') AS detail, count(*)::int AS count
FROM step_metric WHERE municipality = %(municipality)s AND received_on = %(day)s
      AND status IN ('failed', 'timeout')
GROUP BY step, status, detail ORDER BY count DESC, step, status, detail LIMIT %(notices)s
"""

DEADLINES = """
SELECT m.alert, m.dag_id, m.run_id
FROM deadline_miss m
WHERE EXISTS (SELECT FROM step_metric s WHERE s.municipality = %(municipality)s
              AND s.received_on = %(day)s AND s.dag_id = m.dag_id AND s.run_id = m.run_id)
ORDER BY m.alert, m.dag_id, m.run_id LIMIT %(notices)s
"""

RESULT_NOTICES = """
WITH judged AS (
    SELECT r.step, r.output FROM contribution c
    JOIN step_result r ON r.item_id = c.contribution_id AND r.input_hash = c.input_hash
                      AND r.rubric_version = c.state_rubric
    WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
      AND r.step IN ('evaluate', 'classify')
)
SELECT left(warning, 300) AS message, count(*)::int AS count
FROM judged CROSS JOIN LATERAL jsonb_array_elements_text(
    CASE jsonb_typeof(output -> 'warnings') WHEN 'array' THEN output -> 'warnings'
    ELSE '[]' END) AS warning
WHERE step = 'evaluate' GROUP BY message
UNION ALL
SELECT 'Sujet différent de celui choisi par le citoyen', count(*)::int FROM judged
WHERE step = 'classify' AND output -> 'differs_from_declared' = 'true' HAVING count(*) > 0
ORDER BY count DESC, message LIMIT %(notices)s
"""

UNEXPLAINED = """
SELECT 'Aucun résultat enregistré n''explique l''état de cette contribution' AS message,
       count(*)::int AS count
FROM contribution c
WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
  AND c.state IN ('accepted', 'review', 'refusal_proposed')
  AND NOT EXISTS (SELECT FROM step_result r
                  WHERE r.item_id = c.contribution_id AND r.step = 'validate'
                    AND r.input_hash = c.input_hash AND r.rubric_version = c.state_rubric)
  AND NOT EXISTS (SELECT FROM decision d WHERE d.contribution_id = c.contribution_id)
HAVING count(*) > 0
"""

ENGINES = """
SELECT r.engine, r.rubric_version, count(*) AS texts FROM contribution c
JOIN step_result r ON r.item_id = c.contribution_id AND r.step = 'validate'
                  AND r.input_hash = c.input_hash AND r.rubric_version = c.state_rubric
WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
GROUP BY r.engine, r.rubric_version ORDER BY texts DESC, r.engine, r.rubric_version
LIMIT %(limit)s
"""

LAST_EVALUATION = """
SELECT engine, rubric_version, sample_count, passed, created_at AS evaluated_at, received_on, scores
FROM evaluation WHERE municipality = %(municipality)s
ORDER BY (received_on = %(day)s) DESC NULLS LAST, evaluation_id DESC LIMIT 1
"""

OLDEST = """
SELECT contribution_id, state, received_on, received_at,
       extract(epoch FROM clock_timestamp() - received_at)::float8 AS age_s
FROM contribution
WHERE municipality = %(municipality)s AND state IN ('pending', 'review', 'refusal_proposed')
  AND (%(of_day)s::date IS NULL OR received_on = %(of_day)s)
ORDER BY received_at, contribution_id LIMIT 1
"""


def checked_day_report(connection: Connection, municipality: str, day: date) -> DayReport:
    """Return the report of a day after counting it twice in one snapshot.

    Raises:
        ReconciliationError: The report and the recount differ, or the states do not add up to what
            was submitted; nothing was published.
    """
    with snapshot(connection):
        report = day_report(connection, municipality, day)
        wrong = differences(report, recount(connection, municipality, day))
    if not report.is_balanced:
        announced, found = report.file_entries
        wrong.append(
            f"{report.submitted} submitted, {report.sum_of_states} in a state;"
            f" files announced {announced} entries, {found} found"
        )
    if wrong:
        raise ReconciliationError(f"report of {municipality} {day}: {'; '.join(wrong)}")
    return report


def day_report(connection: Connection, municipality: str, day: date) -> DayReport:
    """Fill the report of a (municipality, day) from the ledger, all of it in one snapshot.

    Counts are exact; lists are cut as :mod:`include.contributions.report` says. A recorded output
    that cannot be read is named on its entry.
    """
    with snapshot(connection):
        return _Reader(connection, municipality, day).report()


@contextmanager
def snapshot(connection: Connection) -> Iterator[None]:
    """Read everything in the block from one moment of the ledger.

    Inside a transaction that is already open this does nothing: its isolation is the caller's.
    """
    is_outermost = connection.info.transaction_status == TransactionStatus.IDLE
    with connection.transaction():
        if is_outermost:
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


class _Reader:
    """Asks the ledger about one day."""

    def __init__(self, connection: Connection, municipality: str, day: date) -> None:
        self.connection = connection
        self.day = day
        self.municipality = municipality
        self.names: Row = {
            "municipality": municipality,
            "day": day,
            "limit": LISTED_PER_SECTION,
            "notices": MAX_NOTICES,
        }

    def report(self) -> DayReport:
        entries = self._rows(ENTRY_COUNTS)[0]
        files = self._rows(FILE_ENTRIES)[0]
        states = dict.fromkeys(STATES, 0) | {
            row["state"]: row["n"] for row in self._rows(STATE_COUNTS)
        }
        states["quarantined"] += entries["broken"]
        categories = self._categories()
        texts = DayTexts(self.connection, self.municipality, self.day)
        return DayReport(
            municipality=self.municipality,
            day=self.day,
            generated_at=entries["generated_at"],
            states=states,
            submitted=entries["contributions"] + entries["broken"],
            duplicates=entries["duplicates"],
            file_entries=(files["announced"], files["found"]),
            categories=categories,
            accepted=texts.accepted(categories),
            waiting=texts.cases("review", states["review"]),
            refusals=texts.cases("refusal_proposed", states["refusal_proposed"]),
            decisions=texts.decisions(),
            quarantine=texts.quarantine(states["quarantined"]),
            notices=self._notices(states),
            steps=self._steps(),
            engines=self._engines(),
            evaluation=self._evaluation(),
            oldest_of_day=self._oldest(self.day),
            oldest_of_all=self._oldest(None),
            delays=delays(self.connection, self.municipality),
        )

    def _rows(self, query: str, **more: Any) -> list[Row]:
        return named_rows(self.connection, query, self.names | more)

    def _categories(self) -> tuple[CategoryCount, ...]:
        first: dict[str | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in self._rows(CATEGORY_COUNTS):
            first[row["category"]][_standing(row["state"])] += row["n"]
            if row["second_category"] is not None:
                first[row["second_category"]]["as_second"] += row["n"]
        return ordered_categories({key: CategoryCount(key, **n) for key, n in first.items()})

    def _notices(self, states: Mapping[str, int]) -> tuple[Notice, ...]:
        pending = [Notice("Contribution pas encore analysée", states["pending"])]
        found = [
            *(pending if states["pending"] else []),
            *(Notice(**row) for row in self._rows(UNEXPLAINED)),
            *self._alone(),
            *(_failure(row) for row in self._rows(STEP_FAILURES)),
            *(_late(row) for row in self._rows(DEADLINES)),
            *(Notice(**row) for row in self._rows(RESULT_NOTICES)),
        ]
        return tuple(found[:MAX_NOTICES])

    def _alone(self) -> Iterator[Notice]:
        if found := rules_alone(self.connection, self.municipality):
            yield Notice(RULES_ALONE_WORDS, found.texts, found.backfill)

    def _steps(self) -> tuple[StepTime, ...]:
        return tuple(StepTime(**row) for row in self._rows(STEP_TIMES))

    def _engines(self) -> tuple[EngineVersion, ...]:
        return tuple(EngineVersion(**row) for row in self._rows(ENGINES))

    def _evaluation(self) -> SampleEvaluation | None:
        for row in self._rows(LAST_EVALUATION):
            measures = _ordered(_measures(row.pop("scores")))
            return SampleEvaluation(**row, measures=measures)
        return None

    def _oldest(self, day: date | None) -> OldestOpen | None:
        for row in self._rows(OLDEST, of_day=day):
            return OldestOpen(**row)
        return None


def _standing(state: str) -> str:
    if state == "accepted":
        return "accepted"
    return "waiting" if state in WAITING_STATES else "other"


def _failure(row: Row) -> Notice:
    told = ("timeout",) if row["status"] == "timeout" else (row["detail"],)
    return Notice(f"Étape {row['step']} : {failure_words(*told)}", row["count"], row["detail"])


def _late(row: Row) -> Notice:
    return Notice(late_words(row["alert"]), 1, f"{row['dag_id']}, {row['run_id']} : {row['alert']}")


def _measures(scores: Any, prefix: str = "") -> Iterator[Measure]:
    """Yield what was measured of nested scores, each figure under a dotted name.

    Lists, names and what has no value are no figures; how many samples there were is said above them.
    """
    match scores:
        case {"value": value, "low": low, "high": high, "n": n}:
            if value is not None:
                yield Measure(prefix, value, low, high, n)
        case Mapping():
            for name, value in scores.items():
                is_envelope = not prefix and name == "scores"
                inner = "" if is_envelope else f"{prefix}.{name}" if prefix else str(name)
                yield from _measures(value, inner)
        case int() | float() if prefix != "sample_count":
            yield Measure(prefix, scores)


def _ordered(measures: Iterable[Measure]) -> tuple[Measure, ...]:
    """Put the measures with a known name first, in their order."""
    found = sorted(measures, key=lambda measure: score_place(measure.name))
    return tuple(found[:MAX_SCORES])
