"""The texts of a day as its report lists them: accepted, waiting, decided, set aside."""

from collections import defaultdict
from dataclasses import fields
from datetime import date
from typing import Any

from psycopg import sql

from include.contributions.model import (
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
    Finding,
    HumanDecision,
    QuarantinedItem,
)
from include.contributions.wording import note_sentences
from include.pages import Listing
from participation.ledger.connection import Connection
from participation.ledger.recorded import Row, named_rows, read_output

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


class DayTexts:
    """Lists the texts of one (municipality, day), each list cut as the report's page is."""

    def __init__(self, connection: Connection, municipality: str, day: date) -> None:
        self.connection = connection
        self.names: Row = {
            "municipality": municipality,
            "day": day,
            "limit": LISTED_PER_SECTION,
            "per_category": LISTED_PER_CATEGORY,
            "characters": TEXT_SHOWN_CHARACTERS,
        }

    def accepted(self, categories: tuple[CategoryCount, ...]) -> tuple[CategoryTexts, ...]:
        """List what was accepted, by category in the order given."""
        texts: dict[str | None, list[AcceptedText]] = defaultdict(list)
        for row in self._rows(_listed(ACCEPTED)):
            texts[row["category"]].append(_accepted(row))
        return tuple(
            CategoryTexts(row.category, Listing(tuple(texts[row.category]), row.accepted))
            for row in categories
            if row.accepted
        )

    def cases(self, state: str, total: int) -> Listing[Case]:
        """List what waits for a person in this state; who waits longest comes first."""
        rows = self._rows(_listed(CASES), state=state) if total else []
        return Listing(tuple(_case(row) for row in rows), total)

    def decisions(self) -> Listing[HumanDecision]:
        """List the standing decisions of people, the latest first."""
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

    def quarantine(self, total: int) -> Listing[QuarantinedItem]:
        """List what was set aside, the oldest first."""
        return Listing(tuple(QuarantinedItem(**row) for row in self._rows(QUARANTINE)), total)

    def _rows(self, query: str | sql.Composed, **more: Any) -> list[Row]:
        return named_rows(self.connection, query, self.names | more)


def _listed(picked: str) -> sql.Composed:
    return sql.SQL(LISTED).format(
        picked=sql.SQL(picked),
        judged_validate=sql.SQL(JUDGED).format(step=sql.Literal("validate")),
        judged_classify=sql.SQL(JUDGED).format(step=sql.Literal("classify")),
    )


def _text(row: Row) -> CitizenText:
    noted = row | {"notes": note_sentences(row["metadata"])}
    return CitizenText(**{name.name: noted[name.name] for name in fields(CitizenText)})


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
