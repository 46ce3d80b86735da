"""The figures of a day, read from the ledger, and the same figures counted a second way.

:func:`checked_day_report` is what the publishing step calls: one snapshot, both counts, and a loud
error when they differ.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, date, datetime
from typing import Any

from psycopg import sql
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from include.contributions.model import (
    STATES,
    Article,
    Assessment,
    Classification,
    Evidence,
    Validation,
    quoted_once,
)
from include.contributions.report import (
    LISTED_PER_CATEGORY,
    LISTED_PER_SECTION,
    TEXT_SHOWN_CHARACTERS,
    AcceptedText,
    Case,
    CategoryCount,
    CategoryTexts,
    CitizenText,
    DayReport,
    EngineVersion,
    Finding,
    HumanDecision,
    Measure,
    Notice,
    OldestOpen,
    QuarantinedItem,
    SampleEvaluation,
    StepTime,
    figures_of,
    ordered_categories,
)
from include.contributions.wording import (
    failure_words,
    late_words,
    note_sentences,
    score_place,
)
from include.errors import ReconciliationError
from include.pages import Listing
from participation.ledger.connection import Connection
from participation.ledger.delays import delays
from participation.ledger.outages import rules_alone
from participation.ledger.recorded import read_output

Row = dict[str, Any]

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

ACCEPTED = """
SELECT contribution_id, place, state_changed_at AS since, NULL::text AS reason
FROM (SELECT contribution_id, state_changed_at,
             row_number() OVER (PARTITION BY category
                                ORDER BY received_at, contribution_id) AS place
      FROM contribution
      WHERE municipality = %(municipality)s AND received_on = %(day)s
        AND state = 'accepted') AS numbered
WHERE place <= %(per_category)s
"""

CASES = """
SELECT c.contribution_id, k.reason, coalesce(k.opened_at, c.state_changed_at) AS since,
       row_number() OVER (ORDER BY coalesce(k.opened_at, c.state_changed_at),
                                   c.contribution_id) AS place
FROM contribution c
LEFT JOIN review_case k ON k.contribution_id = c.contribution_id AND k.closed_at IS NULL
WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s AND c.state = %(state)s
ORDER BY place LIMIT %(limit)s
"""

LISTED = """
WITH picked AS ({picked})
SELECT p.since, p.reason,
       extract(epoch FROM clock_timestamp() - p.since)::float8 AS waited_s,
       c.contribution_id, c.category, c.second_category, c.declared_category,
       left(c.constat_factuel, %(characters)s) AS constat_factuel,
       left(c.idees_ameliorations, %(characters)s) AS idees_ameliorations,
       length(c.constat_factuel) + length(c.idees_ameliorations) AS characters, c.metadata,
       v.output AS validation, k.output AS classification,
       d.decided_by, d.reason AS decision_reason
FROM picked p JOIN contribution c USING (contribution_id)
LEFT JOIN LATERAL ({judged_validate}) AS v ON true
LEFT JOIN LATERAL ({judged_classify}) AS k ON true
LEFT JOIN LATERAL (SELECT decided_by, reason FROM decision
                   WHERE contribution_id = c.contribution_id
                   ORDER BY decision_id DESC LIMIT 1) AS d ON true
ORDER BY p.place, c.contribution_id
"""

JUDGED = """
SELECT output FROM step_result r
WHERE r.item_id = c.contribution_id AND r.step = {step} AND r.input_hash = c.input_hash
  AND (c.state_rubric IS NULL OR r.rubric_version = c.state_rubric)
ORDER BY r.created_at DESC LIMIT 1
"""
"""Once a person decided there is no rubric on the contribution: then the latest answer is shown."""

DECISIONS = """
WITH standing AS (
    SELECT DISTINCT ON (d.contribution_id) d.* FROM decision d JOIN contribution c
    USING (contribution_id)
    WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
    ORDER BY d.contribution_id, d.decision_id DESC
)
SELECT count(*) OVER () AS total, s.outcome, s.decided_by, s.reason, s.statement, s.decided_at,
       c.contribution_id,
       left(c.constat_factuel, %(characters)s) AS constat_factuel,
       left(c.idees_ameliorations, %(characters)s) AS idees_ameliorations,
       length(c.constat_factuel) + length(c.idees_ameliorations) AS characters, c.metadata
FROM standing s JOIN contribution c USING (contribution_id)
ORDER BY s.decided_at DESC, s.decision_id DESC LIMIT %(limit)s
"""

QUARANTINE = """
SELECT * FROM (
    SELECT q.kind, coalesce(q.uri, f.uri, '?') AS uri, q.locator, q.reason, q.detail,
           left(q.raw, %(characters)s) AS raw, q.created_at AS since, q.contribution_id, q.step
    FROM quarantine q LEFT JOIN source_file f USING (file_id)
    WHERE q.municipality = %(municipality)s AND q.received_on = %(day)s
      AND q.kind = 'record' AND q.resolved_at IS NULL
    UNION ALL
    SELECT 'contribution', coalesce(q.uri, c.source), coalesce(q.locator, c.external_id),
           coalesce(q.reason, '?'), coalesce(q.detail, ''), '',
           coalesce(q.created_at, c.state_changed_at), c.contribution_id, q.step
    FROM contribution c
    LEFT JOIN quarantine q ON q.contribution_id = c.contribution_id AND q.resolved_at IS NULL
    WHERE c.municipality = %(municipality)s AND c.received_on = %(day)s
      AND c.state = 'quarantined'
) AS items ORDER BY since, uri, locator LIMIT %(limit)s
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


def recount(connection: Connection, municipality: str, day: date) -> dict[str, Any]:
    """Count the same day again with other SQL; keys as in ``report.figures_of``."""
    names = {"municipality": municipality, "day": day}
    row = _rows(connection, RECOUNT, names)[0]
    delays = {
        each.pop("name"): {
            key: value.astimezone(UTC).isoformat(timespec="milliseconds")
            if isinstance(value, datetime)
            else value
            for key, value in each.items()
        }
        for each in _rows(connection, RECOUNT_DELAYS, names)
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
            "per_category": LISTED_PER_CATEGORY,
            "characters": TEXT_SHOWN_CHARACTERS,
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
        return DayReport(
            municipality=self.municipality,
            day=self.day,
            generated_at=entries["generated_at"],
            states=states,
            submitted=entries["contributions"] + entries["broken"],
            duplicates=entries["duplicates"],
            file_entries=(files["announced"], files["found"]),
            categories=categories,
            accepted=self._accepted(categories),
            waiting=self._cases("review", states["review"]),
            refusals=self._cases("refusal_proposed", states["refusal_proposed"]),
            decisions=self._decisions(),
            quarantine=Listing(self._quarantine(), states["quarantined"]),
            notices=self._notices(states),
            steps=self._steps(),
            engines=self._engines(),
            evaluation=self._evaluation(),
            oldest_of_day=self._oldest(self.day),
            oldest_of_all=self._oldest(None),
            delays=delays(self.connection, self.municipality),
        )

    def _rows(self, query: str | sql.Composed, **more: Any) -> list[Row]:
        return _rows(self.connection, query, self.names | more)

    def _categories(self) -> tuple[CategoryCount, ...]:
        first: dict[str | None, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for row in self._rows(CATEGORY_COUNTS):
            first[row["category"]][_standing(row["state"])] += row["n"]
            if row["second_category"] is not None:
                first[row["second_category"]]["as_second"] += row["n"]
        return ordered_categories({key: CategoryCount(key, **n) for key, n in first.items()})

    def _accepted(self, categories: tuple[CategoryCount, ...]) -> tuple[CategoryTexts, ...]:
        texts: dict[str | None, list[AcceptedText]] = defaultdict(list)
        for row in self._rows(_listed(ACCEPTED)):
            texts[row["category"]].append(_accepted(row))
        return tuple(
            CategoryTexts(row.category, Listing(tuple(texts[row.category]), row.accepted))
            for row in categories
            if row.accepted
        )

    def _cases(self, state: str, total: int) -> Listing[Case]:
        rows = self._rows(_listed(CASES), state=state) if total else []
        return Listing(tuple(_case(row) for row in rows), total)

    def _decisions(self) -> Listing[HumanDecision]:
        rows = self._rows(DECISIONS)
        decisions = tuple(
            HumanDecision(
                text=_text(row),
                outcome=row["outcome"],
                decided_by=row["decided_by"],
                reason=row["reason"],
                statement=row["statement"],
                decided_at=row["decided_at"],
            )
            for row in rows
        )
        return Listing(decisions, rows[0]["total"] if rows else 0)

    def _quarantine(self) -> tuple[QuarantinedItem, ...]:
        return tuple(QuarantinedItem(**row) for row in self._rows(QUARANTINE))

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


def _rows(connection: Connection, query: str | sql.Composed, names: Row) -> list[Row]:
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, names).fetchall()


def _listed(picked: str) -> sql.Composed:
    return sql.SQL(LISTED).format(
        picked=sql.SQL(picked),
        judged_validate=sql.SQL(JUDGED).format(step=sql.Literal("validate")),
        judged_classify=sql.SQL(JUDGED).format(step=sql.Literal("classify")),
    )


def _standing(state: str) -> str:
    if state == "accepted":
        return "accepted"
    return "waiting" if state in WAITING_STATES else "other"


def _text(row: Row) -> CitizenText:
    noted = row | {"notes": note_sentences(row["metadata"])}
    return CitizenText(**{name.name: noted[name.name] for name in fields(CitizenText)})


def _failure(row: Row) -> Notice:
    told = ("timeout",) if row["status"] == "timeout" else (row["detail"],)
    return Notice(f"Étape {row['step']} : {failure_words(*told)}", row["count"], row["detail"])


def _late(row: Row) -> Notice:
    return Notice(late_words(row["alert"]), 1, f"{row['dag_id']}, {row['run_id']} : {row['alert']}")


def _accepted(row: Row) -> AcceptedText:
    _, problem = read_output(Classification, row["classification"])
    return AcceptedText(
        text=_text(row),
        category=row["category"],
        second_category=row["second_category"],
        declared_category=row["declared_category"],
        decided_by=row["decided_by"],
        problem=problem,
    )


def _case(row: Row) -> Case:
    validation, problem = read_output(Validation, row["validation"])
    reasons = (row["decision_reason"], row["reason"], validation and validation.review_reason)
    reason = next((reason for reason in reasons if reason), "")
    return Case(
        text=_text(row),
        category=row["category"],
        since=row["since"],
        waited_s=row["waited_s"],
        reason=reason or ("" if validation else "raison non enregistrée"),
        reasoning=validation.reasoning if validation else "",
        findings=_findings(validation) if validation else (),
        problem=problem,
    )


def _findings(validation: Validation) -> tuple[Finding, ...]:
    """Name each article in question once, with its sentence and the words quoted for it."""
    quotes: dict[Article, list[Evidence]] = defaultdict(list)
    for evidence in validation.evidence:
        if evidence.article is not None:
            quotes[evidence.article].append(evidence)
    messages = {violation.article: violation.message for violation in validation.violations}
    doubtful = [
        article
        for article, found in validation.assessed.items()
        if found in (Assessment.DOUBTFUL, Assessment.VIOLATED)
    ]
    return tuple(
        Finding(
            article=article,
            message=messages.get(article, ""),
            quotes=tuple(quoted_once(quotes[article])),
        )
        for article in dict.fromkeys([*messages, *doubtful, *list(quotes)])
    )


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
