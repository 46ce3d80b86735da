"""The tasks of ``contribution_review``: what is asked, how an answer is taken, when it is on record.

A function here is given the open ledger as a :class:`Visit`, as everywhere. What travels between the
tasks is the number of a question; the citizen's words and the person's answer stay in the ledger.
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.contributions.precision import load_precision
from include.errors import LeaseLostError, PermanentError, ReconciliationError
from include.review import page
from include.review.cases import decide, new_receipt_code
from include.review.model import Answer, Fault
from include.review.policy import read_answer
from participation.ledger import metrics, traces
from participation.ledger.delays import waiting_times
from participation.ledger.outages import rules_alone
from participation.ledger.review import MAX_OPEN, Reviews, Standing, alive
from participation.steps import Visit

ASK, RECORD = "ask", "record"
"""The two tasks of a question; the states of their instances say whether it is still asked."""

OVER = frozenset({"success", "failed", "upstream_failed", "skipped", "removed"})
"""States in which a task instance does no more by itself."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Put:
    """A question as it is shown."""

    subject: str
    body: str


def select_questions(
    visit: Visit, limit: int, day: date | None = None, reason: str | None = None
) -> list[dict[str, Any]]:
    """Claim what has waited longest for a person; one entry per question of this run.

    Raises:
        AirflowSkipException: There is nothing to ask, or enough is being asked, with the figures.
    """
    reviews = _reviews(visit)
    _look_after(visit, reviews)
    claimed = reviews.claim(limit, day, reason)
    open_count, due = reviews.open_count(), reviews.due_count()
    visit.item = f"{len(claimed)} questions"
    visit.input_size, visit.output_size = due + len(claimed), len(claimed)
    log.info("%s questions wait for an answer, %s more for their turn", open_count, due)
    for kind, delay in waiting_times(visit.connection, visit.settings.municipality).items():
        log.info("waiting for a person, %s: %s", kind, delay)
    if alone := rules_alone(visit.connection, visit.settings.municipality):
        log.warning(
            "%s texts of %s to %s were judged by the rules alone, no model having answered; once one "
            "does: %s",
            alone.texts,
            alone.first,
            alone.last,
            alone.backfill,
        )
    if not claimed:
        raise AirflowSkipException(
            f"nothing to ask: {open_count} questions are open, at most {MAX_OPEN} at once"
            if open_count >= MAX_OPEN
            else f"nothing to ask: no case is due that fits; {open_count} questions are open"
        )
    precision = load_precision()
    return [
        {
            "question": each.question_id,
            "subject": page.subject(reviews.standing(each.question_id, precision).question),
        }
        for each in claimed
    ]


def put_question(visit: Visit, question_id: int) -> Put:
    """Lay a question out for people.

    Raises:
        AirflowSkipException: It is closed; what it asked was answered or taken over.
    """
    reviews = _reviews(visit)
    standing = _of_this_run(visit, reviews.standing(question_id, load_precision()))
    visit.item = _item(standing)
    if not reviews.put(question_id):
        raise AirflowSkipException(f"{visit.item}: closed as {standing.closed_as}, not asked")
    visit.input_size = visit.output_size = 1
    return Put(page.subject(standing.question), page.body(standing.question))


def answer_at_hand(visit: Visit, question_id: int) -> dict[str, Any] | None:
    """Return what an attempt before this one took and could not hand on; None without an answer."""
    standing = _of_this_run(visit, _reviews(visit).standing(question_id, load_precision()))
    if standing.answer is None or standing.closed_as not in (None, "decided"):
        return None
    return _taken(question_id, standing.answer)


def take_answer(visit: Visit, question_id: int, given: Mapping[str, Any]) -> dict[str, Any]:
    """Check an answer: keep it for the record, or have the question asked again with the reason.

    Raises:
        AirflowSkipException: What it asked was decided meanwhile.
    """
    reviews = _reviews(visit)
    with visit.connection.transaction():
        standing = _of_this_run(visit, reviews.standing(question_id, load_precision(), lock=True))
        visit.item, visit.input_size = _item(standing), 1
        if standing.closed_as is not None:
            raise AirflowSkipException(
                f"{visit.item}: closed as {standing.closed_as}; the answer comes too late"
            )
        answer = standing.answer or read_answer(given, standing.question)
        if isinstance(answer, Fault):
            log.warning("%s: not recorded, asked again: %s", visit.item, answer.sentence)
            reviews.send_back(question_id, answer.sentence)
            visit.output_size = 0
            return {"question": question_id, "counts": False, "fault": answer.sentence}
        reviews.accept(question_id, answer)
    visit.output_size = 1
    return _taken(question_id, answer)


def record_answer(visit: Visit, taken: Mapping[str, Any] | None) -> dict[str, Any]:
    """Put an answer on record as a decision; a second time the same decision is returned.

    Raises:
        AirflowSkipException: The answer did not count; the question is asked again.
        LeaseLostError: The question was closed meanwhile, so the answer must not count.
        PermanentError: There is no answer: the task before was marked by hand.
    """
    if not taken:
        raise PermanentError(
            "no answer was handed on: `ask` was marked by hand; the case is due again"
        )
    question_id = int(taken["question"])
    if not taken["counts"]:
        visit.item = f"question {question_id}"
        raise AirflowSkipException(f"{visit.item} is asked again: {taken['fault']}")
    visit.goes_on_with(traces.of_question, question_id)
    reviews = _reviews(visit)
    with visit.connection.transaction():
        standing = _of_this_run(visit, reviews.standing(question_id, load_precision(), lock=True))
        visit.item, visit.input_size = _item(standing), 1
        decision_id = _recorded(reviews, standing)
    visit.output_size = 1
    return {"question": question_id, "decision": decision_id}


def reconcile_review(visit: Visit) -> dict[str, Any]:
    """Hold what Airflow asked against what is on record, and give back what died.

    Raises:
        ReconciliationError: A task failed, or an answered question has no decision.
    """
    metrics.close_lost(
        visit.connection, visit.attempt.dag_id, visit.attempt.run_id, keep=visit.attempt
    )
    reviews = _reviews(visit)
    failed = visit.failed_tasks()
    states = visit.task_states()
    questions = reviews.of_run()
    unrecorded = [
        question_id
        for position, (question_id, closed_as, is_answered) in questions.items()
        if closed_as != "decided"
        and (is_answered or (closed_as is None and states.get(f"{ASK}_{position}") == "success"))
    ]
    died = reviews.give_up(question_id for question_id, ended, _ in questions.values() if not ended)
    ended = Counter(str(ended) for _, ended, _ in questions.values() if ended)
    visit.input_size, visit.output_size = len(questions), ended["decided"]
    if unrecorded or failed:
        raise ReconciliationError(
            f"{len(questions)} questions: answered and not on record {unrecorded or 'none'}, failed "
            f"tasks {failed or 'none'}; {died} without an answer were given back and are asked again. "
            "Clear the failed tasks where an answer is to be recorded"
        )
    return {
        "questions": len(questions),
        "decided": ended["decided"],
        "returned": ended["returned"],
        "overtaken": ended["overtaken"],
        "died": ended["died"] + died,
        "waiting": waiting_times(visit.connection, visit.settings.municipality),
    }


def _reviews(visit: Visit) -> Reviews:
    return Reviews(visit.connection, visit.settings.municipality, visit.attempt)


def _look_after(visit: Visit, reviews: Reviews) -> None:
    """Renew the claims of questions that wait, give up those that died; record what lay answered."""
    lapsed = reviews.lapsed()
    if not lapsed:
        return
    waiting = alive(lapsed, visit.states_of_runs, ASK, RECORD, OVER)
    reviews.renew(waiting)
    gone = [each for each in lapsed if each.question_id not in waiting]
    for each in (each for each in gone if each.is_answered):
        with visit.connection.transaction():
            standing = reviews.standing(each.question_id, load_precision(), lock=True)
            if standing.closed_as is None:
                log.warning("%s: its answer lay unrecorded, recording it now", _item(standing))
                _recorded(reviews, standing)
    died = reviews.give_up(each.question_id for each in gone)
    if died:
        log.warning("%s questions died unanswered and are due again", died)


def _recorded(reviews: Reviews, standing: Standing) -> int:
    """Write the decision of an answered question, whose row is locked; once."""
    question = standing.question
    known = reviews.decision_of(question.question_id)
    if known is not None:
        return known
    if standing.closed_as is not None:
        raise LeaseLostError(
            f"{_item(standing)}: closed as {standing.closed_as} before the answer was recorded; "
            "the answer does not count"
        )
    if standing.answer is None:
        raise PermanentError(f"{_item(standing)} has no answer: clear `ask`")
    return reviews.record(
        question.question_id, decide(question, standing.answer, new_receipt_code())
    )


def _taken(question_id: int, answer: Answer) -> dict[str, Any]:
    return {
        "question": question_id,
        "counts": True,
        "option": answer.option.value,
        "answered_by": answer.person.name[:200],
    }


def _of_this_run(visit: Visit, standing: Standing) -> Standing:
    if standing.run != (visit.attempt.dag_id, visit.attempt.run_id):
        raise LeaseLostError(f"{_item(standing)} belongs to another run: {'/'.join(standing.run)}")
    return standing


def _item(standing: Standing) -> str:
    question = standing.question
    return f"question {question.question_id} ({question.contribution.contribution_id})"
