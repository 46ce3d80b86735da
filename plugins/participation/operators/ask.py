"""Ask a person about one review case, in Airflow's Required Actions."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param

from include.errors import is_ledger_away
from include.review.charter_words import reason_choices
from include.review.model import MAX_NOTE_CHARACTERS, MAX_SENTENCE_CHARACTERS, OPTION_LABELS
from include.review.policy import FIELD_LABELS, NOTE, REASON, SENTENCE
from participation import review_tasks
from participation.settings import Settings
from participation.steps import visit

PATIENCE_S = 600.0
"""A person's answer is held for so long while the ledger is away: Airflow would ask once more."""

PAUSE_S = 5.0

Done = TypeVar("Done")

log = logging.getLogger(__name__)


class AskPersonOperator(HITLOperator):
    """Put one question of the ledger to people, and take the answer that counts.

    Waits as long as it takes: whatever limit a DAG gives its tasks, a question has none, and no answer
    is ever taken by default. Only the question's number and its subject come as arguments; the page is
    read from the ledger after templates were rendered, so no word of a citizen is ever one. Airflow
    keeps the page of an instance's first try, so an answer that does not count is asked for again as a
    new question, which says why.

    Args:
        question: Number of the question.
        subject: How it is named in the list until it is put.
    """

    template_fields: Sequence[str] = ("question", "subject")
    ui_color = "#f6e3c5"

    def __init__(self, *, question: Any, subject: str, **kwargs: Any) -> None:
        kwargs.pop("options", None)
        super().__init__(
            **{
                **kwargs,
                "subject": subject,
                "body": None,
                "options": list(OPTION_LABELS.values()),
                "defaults": None,
                "params": answer_form(Settings().municipality),
                # Airflow makes the first one the second one where it is alone.
                "execution_timeout": None,
                "response_timeout": None,
            }
        )
        self.question = question

    def execute(self, context: Any) -> Any:
        """Show the question and wait; nothing runs and no slot is held meanwhile.

        Raises:
            AirflowSkipException: What it asks was decided meanwhile.
        """
        question_id = int(self.question)
        with visit(review_tasks.ASK) as here:
            here.item = f"question {question_id}"
            known = review_tasks.answer_at_hand(here, question_id)
            if known is None:
                put = review_tasks.put_question(here, question_id)
                self.subject, self.body = put.subject, put.body
            else:
                here.docket = known
        if known is not None:
            return known
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:  # noqa: ARG002 - the visit reads it
        """Check the answer and keep it in the ledger; returns which it is, not what it says.

        Raises:
            AirflowSkipException: What it asked was decided meanwhile.
        """
        if "error" in event:
            self.process_trigger_event_error(event)
        return patiently(lambda: self._take(event))

    def _take(self, event: Mapping[str, Any]) -> dict[str, Any]:
        question_id = int(self.question)
        with visit(review_tasks.ASK) as here:
            here.item = f"question {question_id}"
            here.docket = review_tasks.take_answer(here, question_id, event)
            return here.docket


def answer_form(municipality: str) -> dict[str, Param]:
    """Build the form under a question; every field may stay empty, what must not is checked later."""
    labels = reason_choices(municipality)
    return {
        REASON: Param(
            None,
            type=["null", "string"],
            enum=[None, *labels],
            values_display={"null": "(aucun)", **labels},
            title=FIELD_LABELS[REASON],
            description="Obligatoire pour refuser, à laisser vide pour accepter.",
        ),
        SENTENCE: Param(
            None,
            type=["null", "string"],
            format="multiline",
            maxLength=MAX_SENTENCE_CHARACTERS,
            title=FIELD_LABELS[SENTENCE],
            description=f"Envoyée telle quelle ; {MAX_SENTENCE_CHARACTERS} caractères au plus.",
        ),
        NOTE: Param(
            None,
            type=["null", "string"],
            format="multiline",
            maxLength=MAX_NOTE_CHARACTERS,
            title=FIELD_LABELS[NOTE],
            description="Reste dans l'équipe ; elle n'est pas envoyée.",
        ),
    }


def patiently(
    call: Callable[[], Done],
    patience_s: float = PATIENCE_S,
    pause_s: float = PAUSE_S,
    clock: Callable[[], float] = time.monotonic,
) -> Done:
    """Call again while the ledger is away, for a while."""
    until = clock() + patience_s
    while True:
        try:
            return call()
        except Exception as error:
            if not is_ledger_away(error) or clock() >= until:
                raise
            log.warning("the ledger is away, the answer is held: %s", error)
            time.sleep(pause_s)
