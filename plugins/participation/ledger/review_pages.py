"""What the pages about open questions show, read from the ledger of one municipality."""

from dataclasses import dataclass
from typing import Any

from psycopg.rows import dict_row

from include.contributions.precision import load_precision
from include.contributions.wording import excerpt
from include.errors import PermanentError
from include.review.blind import is_blind
from include.review.queue import LISTED, Asked, ListedQuestion, QuestionPage, Queue
from participation.ledger.attempt import Attempt
from participation.ledger.connection import Connection
from participation.ledger.review import Reviews

EXCERPT_CHARACTERS = 160

READER = Attempt("participation", "page", "review", -1, 0)
"""A page asks and claims nothing."""

CASE = (
    "coalesce('case ' || q.review_case_id, 'appeal ' || q.appeal_id, 'question ' || q.question_id)"
)

OPEN = f"""
SELECT q.question_id, q.kind, {CASE} AS "case", c.contribution_id,
       left(c.constat_factuel || ' ' || c.idees_ameliorations, %(characters)s) AS excerpt,
       c.category, c.received_on, coalesce(r.kind, '') AS case_kind,
       CASE WHEN q.kind = 'case' THEN coalesce(r.reason, '') ELSE q.kind END AS reason,
       q.waiting_since,
       extract(epoch FROM clock_timestamp() - q.waiting_since)::float8 AS waited_s,
       q.asked_at IS NOT NULL AS is_put, q.answer IS NOT NULL AS is_answered
FROM review_question q JOIN contribution c USING (contribution_id)
LEFT JOIN review_case r USING (review_case_id)
WHERE c.municipality = %(municipality)s AND q.closed_at IS NULL
ORDER BY q.waiting_since, q.question_id
"""
"""At most two hundred are open at once: what is asked of them is chosen here, not by the database."""

PLACE = f"""
SELECT {CASE} AS "case", q.dag_id, q.run_id, q.position, q.asked_at IS NOT NULL AS is_put,
       q.answer IS NOT NULL AS is_answered, q.closed_as, c.category
FROM review_question q JOIN contribution c USING (contribution_id)
WHERE q.question_id = %(question)s AND c.municipality = %(municipality)s
"""

WAITING = """
SELECT count(*)::int FROM contribution
WHERE municipality = %(municipality)s AND state IN ('review', 'refusal_proposed')
"""


@dataclass(frozen=True)
class LedgerReviewPages:
    """The open questions of one municipality."""

    connection: Connection
    municipality: str

    def queue(self, asked: Asked, *, after: int | None = None, before: int | None = None) -> Queue:
        """Return one page of the queue.

        Whoever asks for a reason is shown none whose reason is kept back.
        """
        rows = self._open()
        fits = [row for row in rows if _fits(row, asked)]
        places = [row.question_id for row in fits]
        start = 0
        if after in places:
            start = places.index(after) + 1
        elif before in places:
            start = max(0, places.index(before) - LISTED)
        shown = tuple(fits[start : start + LISTED])
        reasons: dict[str, int] = {}
        for row in rows:
            if not row.is_blind:
                reasons[row.reason] = reasons.get(row.reason, 0) + 1
        waiting = self.connection.execute(WAITING, self._names()).fetchone()
        return Queue(
            self.municipality,
            asked,
            shown,
            len(rows),
            waiting[0] if waiting else 0,
            tuple(sorted(reasons.items(), key=lambda each: (-each[1], each[0]))),
            before=shown[0].question_id if start and shown else None,
            after=shown[-1].question_id if start + LISTED < len(fits) else None,
        )

    def question(self, question_id: int, asked: Asked | None = None) -> QuestionPage | None:
        """Return a question with all that a person needs for it; None when the town has none such.

        Args:
            question_id: As its address names it.
            asked: What the one that comes after it must be.
        """
        with self.connection.cursor(row_factory=dict_row) as cursor:
            place = cursor.execute(PLACE, self._names(question=question_id)).fetchone()
        if place is None:
            return None
        reviews = Reviews(self.connection, self.municipality, READER)
        try:
            standing = reviews.standing(question_id, load_precision())
        except PermanentError:
            return None
        return QuestionPage(
            question=standing.question,
            case=place["case"],
            place=(place["dag_id"], place["run_id"], place["position"]),
            is_put=place["is_put"],
            is_answered=place["is_answered"],
            closed_as=place["closed_as"],
            category=place["category"],
            next_id=self._next(question_id, asked) if asked is not None else None,
        )

    def _next(self, question_id: int, asked: Asked) -> int | None:
        """The next one that waits for an answer; after the last one again the first."""
        rows = [row for row in self._open() if row.is_put or row.question_id == question_id]
        ids = [row.question_id for row in rows]
        start = ids.index(question_id) + 1 if question_id in ids else 0
        others = [*rows[start:], *rows[:start]]
        return next(
            (
                row.question_id
                for row in others
                if _fits(row, asked) and not row.is_answered and row.question_id != question_id
            ),
            None,
        )

    def _open(self) -> list[ListedQuestion]:
        with self.connection.cursor(row_factory=dict_row) as cursor:
            rows = cursor.execute(OPEN, self._names(characters=2 * EXCERPT_CHARACTERS)).fetchall()
        return [
            ListedQuestion(**{**row, "excerpt": excerpt(row["excerpt"], EXCERPT_CHARACTERS)})
            for row in rows
        ]

    def _names(self, **more: Any) -> dict[str, Any]:
        return {"municipality": self.municipality, **more}


def _fits(row: ListedQuestion, asked: Asked) -> bool:
    return (
        asked.kind in (None, row.kind)
        and asked.category in (None, row.category or "none")
        and (asked.reason is None or (asked.reason == row.reason and not is_blind(row.case)))
    )
