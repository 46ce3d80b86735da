"""What the pages about contributions show, read from the ledger of one municipality."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from psycopg.rows import dict_row

from include.contributions.model import Category, Classification, Contribution, Validation
from include.contributions.story import (
    EXCERPT_CHARACTERS,
    LISTED,
    ContributionList,
    Event,
    Filters,
    ListedContribution,
    Story,
)
from include.contributions.wording import excerpt, note_sentences
from participation.ledger.connection import Connection
from participation.ledger.recorded import read_output

EVENTS = 200
"""Of each kind at most: a text that came a thousand times has one story."""

ORDER = (
    "received",
    "receipt",
    "step",
    "set_aside",
    "case",
    "question",
    "decision",
    "appeal",
    "taken_back",
    "state",
)
"""Of what happened in one moment: the cause before its effect."""

PLACE = "c.received_on, c.received_at, c.contribution_id"
"""The order of the list; an id names its own place in it."""

LIST = """
WITH picked AS (
    SELECT c.contribution_id FROM contribution c
    WHERE c.municipality = %(municipality)s
      AND (%(state)s::text IS NULL OR c.state = %(state)s)
      AND (%(category)s::text IS NULL OR coalesce(c.category, 'none') = %(category)s)
      AND (%(since)s::date IS NULL OR c.received_on >= %(since)s)
      AND (%(until)s::date IS NULL OR c.received_on <= %(until)s)
      AND (%(words)s::text IS NULL OR strpos(lower(c.contribution_id), lower(%(words)s)) > 0)
      AND (%(reason)s::text IS NULL OR EXISTS (
           SELECT FROM review_case k WHERE k.contribution_id = c.contribution_id
           AND k.closed_at IS NULL AND k.reason = %(reason)s))
      AND {cursor}
    ORDER BY c.received_on {way}, c.received_at {way}, c.contribution_id {way}
    LIMIT %(limit)s)
SELECT c.contribution_id, left(c.constat_factuel || ' ' || c.idees_ameliorations, %(characters)s)
       AS words, c.state, c.category, c.received_on, k.reason, d.decided_by
FROM picked JOIN contribution c USING (contribution_id)
LEFT JOIN review_case k ON k.contribution_id = c.contribution_id AND k.closed_at IS NULL
LEFT JOIN LATERAL (SELECT decided_by FROM decision WHERE contribution_id = c.contribution_id
                   ORDER BY decision_id DESC LIMIT 1) AS d ON true
ORDER BY c.received_on DESC, c.received_at DESC, c.contribution_id DESC
"""

CURSOR = f"""({PLACE}) {{sign}} (SELECT {PLACE} FROM contribution c
    WHERE c.municipality = %(municipality)s AND c.contribution_id = %(place)s)"""

STATES = "SELECT state, count(*)::int FROM contribution WHERE municipality = %s GROUP BY state"

REASONS = """
SELECT k.reason, count(*)::int FROM review_case k JOIN contribution c USING (contribution_id)
WHERE k.closed_at IS NULL AND c.municipality = %s GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 60
"""

ONE = """
SELECT c.*, extract(epoch FROM clock_timestamp() - c.received_at)::float8 AS waited_s,
       k.reason, d.decision_id IS NOT NULL AS is_decided,
       c.state = 'refused' AND d.kind <> 'appeal' AND NOT EXISTS (
           SELECT FROM appeal a WHERE a.decision_id = d.decision_id) AS may_be_contested
FROM contribution c
LEFT JOIN LATERAL (SELECT decision_id, kind FROM decision WHERE contribution_id = c.contribution_id
                   ORDER BY decision_id DESC LIMIT 1) AS d ON true
LEFT JOIN review_case k ON k.contribution_id = c.contribution_id AND k.closed_at IS NULL
WHERE c.municipality = %(municipality)s AND c.contribution_id = %(id)s
"""

RESULTS = """
SELECT step, input_hash, rubric_version, output, confidence, engine, dag_id, run_id, map_index,
       try_number, created_at AS at
FROM step_result WHERE item_id = %(id)s ORDER BY created_at DESC, step LIMIT %(limit)s
"""

RECEIPTS = """
SELECT r.received_at AS at, f.uri, r.locator, r.declared_category FROM receipt r
LEFT JOIN source_file f USING (file_id)
WHERE r.contribution_id = %(id)s ORDER BY r.receipt_id LIMIT %(limit)s
"""

CHANGES = """
SELECT changed_at AS at, from_state, to_state, rubric_version, changed_by FROM state_change
WHERE contribution_id = %(id)s ORDER BY change_id LIMIT %(limit)s
"""

CASES = """
SELECT opened_at AS at, closed_at, kind, reason, rubric_version FROM review_case
WHERE contribution_id = %(id)s ORDER BY review_case_id LIMIT %(limit)s
"""

DECISIONS = """
SELECT decided_at AS at, outcome, decided_by, reason, statement, note, receipt_code FROM decision
WHERE contribution_id = %(id)s ORDER BY decision_id LIMIT %(limit)s
"""

QUESTIONS = """
SELECT coalesce(asked_at, claimed_at) AS at, kind, closed_as, fault FROM review_question
WHERE contribution_id = %(id)s ORDER BY question_id LIMIT %(limit)s
"""

APPEALS = """
SELECT filed_at AS at, words FROM appeal WHERE contribution_id = %(id)s
ORDER BY appeal_id LIMIT %(limit)s
"""

QUARANTINED = """
SELECT created_at AS at, step, reason, detail, resolved_at, resolution FROM quarantine
WHERE contribution_id = %(id)s ORDER BY quarantine_id LIMIT %(limit)s
"""


OF_PEOPLE = (
    ("state", CHANGES),
    ("case", CASES),
    ("question", QUESTIONS),
    ("decision", DECISIONS),
    ("appeal", APPEALS),
)


@dataclass(frozen=True)
class LedgerContributionPages:
    """The pages about the contributions of one municipality."""

    connection: Connection
    municipality: str

    def listed(
        self, asked: Filters, *, after: str | None = None, before: str | None = None
    ) -> ContributionList:
        """Return one page of the list, found by its place and never by counting.

        Args:
            asked: What the contributions must be.
            after: The page that follows this contribution; an unknown one leads to the first page.
            before: The page that ends before this one.
        """
        if asked.words and (known := self._of_code(asked.words)):
            asked = replace(asked, words=known)
        place = after or before
        if place and not self._is_known(place):
            place = None
        backwards = bool(place and before)
        rows = self._rows(
            LIST.format(
                cursor=CURSOR.format(sign=">" if backwards else "<") if place else "true",
                way="ASC" if backwards else "DESC",
            ),
            state=asked.state,
            category=asked.category,
            reason=asked.reason,
            since=asked.since,
            until=asked.until,
            words=asked.words,
            place=place,
            limit=LISTED + 1,
            characters=EXCERPT_CHARACTERS * 2,
        )
        is_more = len(rows) > LISTED
        shown = (rows[1:] if backwards else rows[:LISTED]) if is_more else rows
        has_before = is_more if backwards else bool(place)
        has_after = is_more or backwards
        return ContributionList(
            self.municipality,
            asked,
            tuple(_listed(row) for row in shown),
            dict(self.connection.execute(STATES, (self.municipality,)).fetchall()),
            tuple(self.connection.execute(REASONS, (self.municipality,)).fetchall()),
            before=shown[0]["contribution_id"] if has_before and shown else None,
            after=shown[-1]["contribution_id"] if has_after and shown else None,
        )

    def story(self, contribution_id: str) -> Story | None:
        """Return all that is known of a contribution; None when this town has none of that id."""
        found = self._rows(ONE, id=contribution_id)
        if not found:
            return None
        row = found[0]
        results = self._rows(RESULTS, id=contribution_id, limit=EVENTS)
        standing = _standing(row, results)
        validation, problem = read_output(Validation, standing.get("validate"))
        classification, other = read_output(Classification, standing.get("classify"))
        declared = row["declared_category"]
        return Story(
            municipality=self.municipality,
            contribution=Contribution(
                contribution_id,
                row["constat_factuel"],
                row["idees_ameliorations"],
                Category(declared) if declared else None,
            ),
            source=row["source"],
            external_id=row["external_id"],
            state=row["state"],
            state_rubric=row["state_rubric"],
            category=row["category"],
            second_category=row["second_category"],
            received_on=row["received_on"],
            received_at=row["received_at"],
            waited_s=row["waited_s"],
            notes=note_sentences(row["metadata"]),
            validation=validation,
            classification=classification,
            problem=problem or other,
            reason=row["reason"],
            is_decided=row["is_decided"],
            may_be_contested=bool(row["may_be_contested"]),
            events=tuple(
                sorted(
                    self._events(row, results),
                    key=lambda event: (event.at, ORDER.index(event.kind)),
                )
            ),
        )

    def _events(self, row: Mapping[str, Any], results: list[dict[str, Any]]) -> Iterator[Event]:
        names = {"id": row["contribution_id"], "limit": EVENTS}
        for place, receipt in enumerate(self._rows(RECEIPTS, **names)):
            yield Event(receipt["at"], "receipt" if place else "received", receipt)
        for result in results:
            is_standing = (result["input_hash"], result["rubric_version"]) == (
                row["input_hash"],
                row["state_rubric"],
            )
            yield Event(result["at"], "step", {**result, "is_standing": is_standing})
        for kind, query in OF_PEOPLE:
            for each in self._rows(query, **names):
                yield Event(each["at"], kind, each)
        for each in self._rows(QUARANTINED, **names):
            yield Event(each["at"], "set_aside", each)
            if each["resolved_at"]:
                yield Event(each["resolved_at"], "taken_back", each)

    def _of_code(self, words: str) -> str | None:
        """Name the contribution that a citizen's code is of."""
        row = self.connection.execute(
            "SELECT d.contribution_id FROM decision d JOIN contribution c USING (contribution_id)"
            " WHERE c.municipality = %s AND d.receipt_code = %s",
            (self.municipality, words.upper()),
        ).fetchone()
        return str(row[0]) if row else None

    def _is_known(self, contribution_id: str) -> bool:
        found = self.connection.execute(
            "SELECT FROM contribution WHERE municipality = %s AND contribution_id = %s",
            (self.municipality, contribution_id),
        ).fetchone()
        return found is not None

    def _rows(self, query: str, **names: Any) -> list[dict[str, Any]]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, {"municipality": self.municipality, **names}).fetchall()


def _listed(row: Mapping[str, Any]) -> ListedContribution:
    return ListedContribution(
        row["contribution_id"],
        excerpt(row["words"], EXCERPT_CHARACTERS),
        row["state"],
        row["category"],
        row["received_on"],
        row["reason"],
        row["decided_by"],
    )


def _standing(row: Mapping[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    """The outputs that the state follows; once a person decided, the latest ones."""
    found: dict[str, Any] = {}
    for result in results:
        if result["input_hash"] == row["input_hash"] and (
            row["state_rubric"] in (None, result["rubric_version"])
        ):
            found.setdefault(result["step"], result["output"])
    return found
