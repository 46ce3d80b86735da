"""What waits for a person: who is asked, what was answered, what is decided, what is contested.

A *question* claims a contribution: as long as it is open nobody else is asked about it. Which instance
of the task ``ask`` holds it stands in the row, so that a question whose task is gone can be told from
one that merely waits. Answers become decisions one by one, each in a transaction of its own.
"""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, Literal

from psycopg.rows import dict_row

from include.contributions.model import Category, Contribution, Validation
from include.contributions.precision import PrecisionTable
from include.errors import PermanentError
from include.review.cases import machine_of
from include.review.model import Answer, Decision, Earlier, Option, Person, Question
from participation.ledger import outbox
from participation.ledger.attempt import AttemptLedger
from participation.ledger.connection import Connection
from participation.ledger.locks import REVIEW_LOCK, hold
from participation.ledger.recorded import read_output

MAX_OPEN = 200
"""Questions that wait for an answer at once, over all runs: a list that people can still take in."""

MAX_PER_RUN = 20

LEASE_MINUTES = 15
"""Between a claim and its question in Airflow; a run that stops without a word gives it back after this."""

REPHRASE_DAYS = 30
"""An author who was asked to rephrase has so long; then a person is asked again what to do."""

Closing = Literal["decided", "returned", "overtaken", "died"]

DUE = f"""
WITH waiting AS (
    SELECT c.contribution_id, c.received_on, c.received_at, r.review_case_id, r.kind AS case_kind,
           CASE WHEN a.appeal_id IS NOT NULL THEN 'appeal' ELSE r.reason END AS reason,
           a.appeal_id, d.decision_id, d.reason AS said, d.decided_at,
           coalesce(a.filed_at, c.received_at) AS waiting_since
    FROM contribution c
    LEFT JOIN review_case r ON r.contribution_id = c.contribution_id AND r.closed_at IS NULL
    LEFT JOIN appeal a ON a.contribution_id = c.contribution_id AND a.closed_at IS NULL
    LEFT JOIN LATERAL (SELECT decision_id, reason, decided_at FROM decision
                       WHERE contribution_id = c.contribution_id
                       ORDER BY decision_id DESC LIMIT 1) AS d ON true
    WHERE c.municipality = %(town)s
      AND (r.review_case_id IS NOT NULL OR a.appeal_id IS NOT NULL OR c.state = 'review')
      AND NOT EXISTS (SELECT FROM review_question q
                      WHERE q.contribution_id = c.contribution_id AND q.closed_at IS NULL)
)
SELECT contribution_id, review_case_id, appeal_id, waiting_since,
       CASE WHEN appeal_id IS NOT NULL THEN 'appeal'
            WHEN said = '{Option.ESCALATE}' THEN 'escalation' ELSE 'case' END AS kind,
       CASE WHEN (SELECT closed_as FROM review_question q
                  WHERE q.contribution_id = waiting.contribution_id
                  ORDER BY question_id DESC LIMIT 1) = 'returned' THEN 1
            WHEN appeal_id IS NOT NULL THEN 2 ELSE 3 END AS turn
FROM waiting
WHERE (appeal_id IS NOT NULL
       OR decision_id IS NULL AND review_case_id IS NOT NULL
       OR said = '{Option.ESCALATE}'
       OR said = '{Option.REPHRASE}' AND decided_at < now() - make_interval(days => %(days)s))
  AND (%(day)s::date IS NULL OR received_on = %(day)s::date)
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
"""
"""What a person should be asked now and is not. Whether a text names a group has no say in it.

``turn`` puts first what somebody sits before: an answer that did not count, then an appeal.
"""

FACTS = """
SELECT q.question_id, q.kind, q.waiting_since, q.closed_as, q.answer, q.dag_id, q.run_id,
       extract(epoch FROM clock_timestamp() - q.waiting_since)::float8 AS waited_s,
       c.contribution_id, c.municipality, c.received_on, c.constat_factuel, c.idees_ameliorations,
       c.declared_category, coalesce(r.kind, '') AS case_kind, coalesce(r.reason, '') AS case_reason,
       v.output AS validation, coalesce(a.words, '') AS appeal, coalesce(f.fault, '') AS fault
FROM review_question q
JOIN contribution c USING (contribution_id)
LEFT JOIN appeal a USING (appeal_id)
LEFT JOIN LATERAL (SELECT kind, reason, rubric_version FROM review_case
                   WHERE contribution_id = c.contribution_id
                   ORDER BY (review_case_id = q.review_case_id) IS TRUE DESC, review_case_id DESC
                   LIMIT 1) AS r ON true
LEFT JOIN LATERAL (SELECT output FROM step_result s
                   WHERE s.item_id = c.contribution_id AND s.step = 'validate'
                     AND s.input_hash = c.input_hash
                   ORDER BY (s.rubric_version = r.rubric_version) IS TRUE DESC, s.created_at DESC
                   LIMIT 1) AS v ON true
LEFT JOIN LATERAL (SELECT fault FROM review_question b
                   WHERE b.contribution_id = c.contribution_id AND b.question_id < q.question_id
                     AND b.closed_as <> 'died'
                   ORDER BY b.question_id DESC LIMIT 1) AS f ON true
WHERE q.question_id = %s
"""

EARLIER = """
SELECT decision_id, kind, outcome, decided_by, coalesce(decided_by_id, '') AS decided_by_id, reason,
       sentence, note, decided_at
FROM decision WHERE contribution_id = %s ORDER BY decision_id
"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A question that this run holds, and where in the run."""

    question_id: int
    position: int


@dataclass(frozen=True, slots=True)
class Held:
    """A question that is open somewhere, and which instance of ``ask`` holds it."""

    question_id: int
    dag_id: str
    run_id: str
    position: int
    is_answered: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """A question as the ledger has it: what was asked, and how it ended."""

    question: Question
    closed_as: Closing | None
    answer: Answer | None
    run: tuple[str, str]


@dataclass(frozen=True)
class Reviews(AttemptLedger):
    """The questions of one town, open for one attempt."""

    def claim(
        self, limit: int, day: date | None = None, reason: str | None = None
    ) -> list[Claimed]:
        """Take what has waited longest, up to ``limit`` for this run, and return all of this run's.

        An answer that did not count and an appeal come before: a person just sent them.
        Asked again by the same run it returns the same questions in the same places, answered ones
        too, and adds what there is still room for: an instance of ``ask`` never gets another question.
        """
        names = {**self._names(), "day": day, "reason": reason, "days": REPHRASE_DAYS}
        with self.connection.transaction():
            hold(self.connection, REVIEW_LOCK)
            taken = self._one(
                "SELECT count(*) FROM review_question"
                " WHERE dag_id = %(dag_id)s AND run_id = %(run_id)s",
                names,
            )
            room = max(0, min(limit - taken, MAX_OPEN - self.open_count()))
            self.connection.execute(
                "INSERT INTO review_question (contribution_id, review_case_id, appeal_id, kind,"
                " waiting_since, dag_id, run_id, position, claimed_until)"
                " SELECT contribution_id, review_case_id, appeal_id, kind, waiting_since,"
                " %(dag_id)s, %(run_id)s,"
                " %(taken)s - 1 + row_number() OVER (ORDER BY turn, waiting_since, contribution_id),"
                " now() + make_interval(mins => %(minutes)s)"
                f" FROM ({DUE} ORDER BY turn, waiting_since, contribution_id LIMIT %(room)s) AS due",
                {**names, "taken": taken, "room": room},
            )
            rows = self.connection.execute(
                "UPDATE review_question SET claimed_until = now() + make_interval(mins => %(minutes)s)"
                " WHERE dag_id = %(dag_id)s AND run_id = %(run_id)s"
                " RETURNING position, question_id",
                names,
            ).fetchall()
        return [Claimed(question_id, position) for position, question_id in sorted(rows)]

    def open_count(self) -> int:
        """Count the questions of the town that wait for an answer, in any run."""
        return self._one(
            "SELECT count(*) FROM review_question q JOIN contribution c USING (contribution_id)"
            " WHERE c.municipality = %(town)s AND q.closed_at IS NULL",
            self._names(),
        )

    def due_count(self) -> int:
        """Count what should be asked and is not."""
        names = {**self._names(), "day": None, "reason": None, "days": REPHRASE_DAYS}
        return self._one(f"SELECT count(*) FROM ({DUE}) AS due", names)

    def lapsed(self) -> list[Held]:
        """List other runs' open questions whose claim has run out: each waits in Airflow, or has died."""
        rows = self.connection.execute(
            "SELECT q.question_id, q.dag_id, q.run_id, q.position, q.answer IS NOT NULL"
            " FROM review_question q JOIN contribution c USING (contribution_id)"
            " WHERE c.municipality = %(town)s AND q.closed_at IS NULL AND q.claimed_until <= now()"
            " AND (q.dag_id, q.run_id) <> (%(dag_id)s, %(run_id)s) ORDER BY q.question_id",
            self._names(),
        ).fetchall()
        return [Held(*row) for row in rows]

    def renew(self, question_ids: Iterable[int]) -> None:
        """Leave questions alone for another while."""
        self.connection.execute(
            "UPDATE review_question SET claimed_until = now() + make_interval(mins => %s)"
            " WHERE question_id = ANY(%s) AND closed_at IS NULL",
            (LEASE_MINUTES, list(question_ids)),
        )

    def give_up(self, question_ids: Iterable[int]) -> int:
        """Close questions that died without an answer; what they asked is due again."""
        return self.connection.execute(
            "UPDATE review_question SET closed_at = now(), closed_as = 'died'"
            " WHERE question_id = ANY(%s) AND closed_at IS NULL AND answer IS NULL",
            (list(question_ids),),
        ).rowcount

    def put(self, question_id: int) -> bool:
        """Note that a question is being put to people; False when it is no longer open."""
        return bool(
            self.connection.execute(
                "UPDATE review_question SET asked_at = coalesce(asked_at, now()),"
                " claimed_until = now() + make_interval(mins => %s)"
                " WHERE question_id = %s AND closed_at IS NULL",
                (LEASE_MINUTES, question_id),
            ).rowcount
        )

    def standing(
        self, question_id: int, precision: PrecisionTable, *, lock: bool = False
    ) -> Standing:
        """Read a question with all that a person needs for it.

        Args:
            question_id: Of this run or another.
            precision: How often each rule of the machine is right.
            lock: Keep others from answering it, until the end of the transaction.

        Raises:
            PermanentError: There is no such question in this town.
        """
        if lock:
            self.connection.execute(
                "SELECT FROM review_question WHERE question_id = %s FOR UPDATE", (question_id,)
            )
        with self.connection.cursor(row_factory=dict_row) as cursor:
            row = cursor.execute(FACTS, (question_id,)).fetchone()
            if row is None or row["municipality"] != self.municipality:
                raise PermanentError(f"question {question_id} is not in the ledger")
            earlier = cursor.execute(EARLIER, (row["contribution_id"],)).fetchall()
        return _standing(row, earlier, precision)

    def accept(self, question_id: int, answer: Answer) -> None:
        """Keep an answer that passed the checks until it is recorded; the first one counts."""
        self.connection.execute(
            "UPDATE review_question SET answer = %s, answered_at = now()"
            " WHERE question_id = %s AND closed_at IS NULL AND answer IS NULL",
            (json.dumps(asdict(answer), allow_nan=False), question_id),
        )

    def send_back(self, question_id: int, fault: str) -> None:
        """Close a question whose answer does not count, and wake who asks it again with the reason."""
        with self.connection.transaction():
            closed = self.connection.execute(
                "UPDATE review_question SET closed_at = now(), closed_as = 'returned', fault = %s"
                " WHERE question_id = %s AND closed_at IS NULL AND answer IS NULL"
                " RETURNING contribution_id",
                (fault, question_id),
            ).fetchone()
            if closed is not None:
                wake(self.connection, self.municipality, "returned")

    def record(self, question_id: int, decision: Decision) -> int:
        """Write the decision that answers a question and return its id.

        The database moves the contribution's state, closes question, case and appeal, and refuses
        who may not answer; a machine's answer that a person judged becomes a labelled sample.
        """
        with self.connection.transaction():
            row = self.connection.execute(
                "INSERT INTO decision (contribution_id, review_case_id, kind, outcome, decided_by,"
                " decided_by_id, reason, statement, sentence, note, evidence, machine, receipt_code,"
                " question_id, dag_id, run_id, map_index, supersedes)"
                " SELECT q.contribution_id, q.review_case_id, q.kind, %(outcome)s, %(name)s, %(login)s,"
                " %(reason)s, %(statement)s, %(sentence)s, %(note)s, %(evidence)s, %(machine)s,"
                " %(code)s, q.question_id, %(dag_id)s, %(run_id)s, %(map_index)s,"
                " (SELECT max(decision_id) FROM decision d"
                "  WHERE d.contribution_id = q.contribution_id)"
                " FROM review_question q WHERE q.question_id = %(question)s"
                " RETURNING decision_id, contribution_id",
                {
                    **self._names(),
                    "question": question_id,
                    "outcome": decision.outcome,
                    "name": decision.person.name,
                    "login": decision.person.id,
                    "reason": decision.reason,
                    "statement": decision.statement,
                    "sentence": decision.sentence,
                    "note": decision.note,
                    "evidence": json.dumps(decision.quotes, allow_nan=False),
                    "machine": json.dumps(asdict(decision.machine), allow_nan=False)
                    if decision.machine
                    else None,
                    "code": decision.receipt_code,
                },
            ).fetchone()
            assert row is not None  # noqa: S101 - the question was read and locked just before
            decision_id, contribution_id = row
            self._label(contribution_id, decision_id, decision)
            if decision.reason == Option.ESCALATE:
                wake(self.connection, self.municipality, "escalated")
        return int(decision_id)

    def decision_of(self, question_id: int) -> int | None:
        """Return the decision that answers a question, or None."""
        row = self.connection.execute(
            "SELECT decision_id FROM decision WHERE question_id = %s", (question_id,)
        ).fetchone()
        return int(row[0]) if row else None

    def of_run(self) -> dict[int, tuple[int, str | None, bool]]:
        """Return this run's questions by place: (question, how it ended, whether it was answered)."""
        rows = self.connection.execute(
            "SELECT position, question_id, closed_as, answer IS NOT NULL FROM review_question"
            " WHERE dag_id = %(dag_id)s AND run_id = %(run_id)s ORDER BY position",
            self._names(),
        ).fetchall()
        return {
            position: (question, ended, answered) for position, question, ended, answered in rows
        }

    def _label(self, contribution_id: str, decision_id: int, decision: Decision) -> None:
        if decision.expected is None or decision.machine is None:
            return
        self.connection.execute(
            "INSERT INTO labelled_sample (municipality, contribution_id, decision_id,"
            " expected_decision, reason, machine_decision, engine, rubric_version, overruled,"
            " provenance) SELECT %s, %s, d.decision_id, %s, %s, %s, %s, %s, %s,"
            " 'decided by ' || d.decided_by || ' on '"
            " || to_char(d.decided_at AT TIME ZONE 'Europe/Paris', 'YYYY-MM-DD')"
            " FROM decision d WHERE d.decision_id = %s",
            (
                self.municipality,
                contribution_id,
                decision.expected,
                decision.reason,
                decision.machine.decision,
                decision.machine.engine,
                decision.machine.rubric_version,
                decision.overruled,
                decision_id,
            ),
        )

    def _names(self) -> dict[str, Any]:
        return {
            "town": self.municipality,
            "dag_id": self.attempt.dag_id,
            "run_id": self.attempt.run_id,
            "map_index": self.attempt.map_index,
            "minutes": LEASE_MINUTES,
        }


def wake(connection: Connection, municipality: str, why: str) -> None:
    """Have what is due asked soon; call it in the transaction of what made it due."""
    outbox.announce(connection, outbox.REVIEW_DUE, {"municipality": municipality, "why": why})


def alive(
    held: Collection[Held],
    states_of: Callable[[str, list[str]], Mapping[str, Mapping[str, str | None]]],
    ask: str,
    record: str,
    over: Collection[str],
) -> set[int]:
    """Say which of the held questions still have a task instance that will ask or record.

    Args:
        held: Open questions.
        states_of: Tells the states of all tasks of some runs of a DAG, by run and task.
        ask: Task that asks; its instances are named ``ask_<position>``.
        record: Task that records, likewise.
        over: States in which an instance does no more.
    """
    runs: dict[str, list[str]] = {}
    for each in held:
        runs.setdefault(each.dag_id, []).append(each.run_id)
    states = {
        (dag_id, run_id): found
        for dag_id, run_ids in runs.items()
        for run_id, found in states_of(dag_id, sorted(set(run_ids))).items()
    }
    found = set()
    for each in held:
        of_run = states.get((each.dag_id, each.run_id), {})
        asking, recording = (f"{task}_{each.position}" for task in (ask, record))
        if (asking in of_run and of_run[asking] not in over) or (
            of_run.get(asking) == "success" and of_run.get(recording, "failed") not in over
        ):
            found.add(each.question_id)
    return found


def _standing(
    row: Mapping[str, Any], earlier: Iterable[Mapping[str, Any]], precision: PrecisionTable
) -> Standing:
    # What an older version wrote in another form is no help to a person.
    validation, _ = read_output(Validation, row["validation"])
    question = Question(
        question_id=row["question_id"],
        kind=row["kind"],
        contribution=Contribution(
            row["contribution_id"],
            row["constat_factuel"],
            row["idees_ameliorations"],
            Category(row["declared_category"]) if row["declared_category"] else None,
        ),
        received_on=row["received_on"],
        municipality=row["municipality"],
        case_kind=row["case_kind"],
        case_reason=row["case_reason"],
        validation=validation,
        machine=machine_of(validation, precision),
        waiting_since=row["waiting_since"],
        waited_s=row["waited_s"],
        earlier=tuple(
            Earlier(
                decision_id=each["decision_id"],
                kind=each["kind"],
                outcome=each["outcome"],
                person=Person(each["decided_by_id"], each["decided_by"]),
                reason=each["reason"],
                sentence=each["sentence"],
                note=each["note"],
                decided_at=each["decided_at"],
            )
            for each in earlier
        ),
        appeal=row["appeal"],
        fault=row["fault"],
    )
    return Standing(
        question, row["closed_as"], _answer(row["answer"]), (row["dag_id"], row["run_id"])
    )


def _answer(stored: Any) -> Answer | None:
    if stored is None:
        return None
    return Answer(
        option=Option(stored["option"]),
        reason=stored["reason"],
        sentence=stored["sentence"],
        note=stored["note"],
        person=Person(**stored["person"]),
    )
