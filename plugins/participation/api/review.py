"""The pages about open questions: the queue, and one after another, answered by keyboard.

An answer goes to the very place where Airflow's Required Actions send theirs, from the browser of whoever
answers, as themselves; :func:`check` only says beforehand whether it would count. What the task does with
it is the same wherever it was given.
"""

from typing import Annotated, Any
from urllib.parse import quote

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, HTTPException, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from include.review.charter_words import reason_choices
from include.review.model import (
    MAX_NOTE_CHARACTERS,
    MAX_SENTENCE_CHARACTERS,
    OPTION_LABELS,
    Fault,
    Option,
)
from include.review.policy import read_answer
from include.review.queue import KINDS, Asked, QuestionPage, Queue
from include.review.statement import rate
from participation.api.acting import body_of, of_our_page
from participation.api.serving import (
    CATEGORIES,
    HEADERS,
    LAST_ID,
    REVIEW,
    Sight,
    View,
    ask,
    storable,
)
from participation.ledger.connection import Connection
from participation.ledger.review_pages import LedgerReviewPages
from participation.settings import Settings

ASK_TASK = "ask"

QuestionId = Annotated[int, Path(ge=1, le=LAST_ID)]
Place = Annotated[int | None, Query(ge=1, le=LAST_ID)]

router = APIRouter(prefix="/review")


class Given(BaseModel):
    """What the form holds."""

    model_config = ConfigDict(extra="forbid")

    option: Option
    reason: Annotated[str, Field(max_length=100)] = ""
    sentence: Annotated[str, Field(max_length=4 * MAX_SENTENCE_CHARACTERS)] = ""
    note: Annotated[str, Field(max_length=4 * MAX_NOTE_CHARACTERS)] = ""


def asked_for(
    kind: Annotated[str, Query(max_length=20)] = "",
    reason: Annotated[str, Query(max_length=100)] = "",
    category: Annotated[str, Query(max_length=40)] = "",
) -> Asked:
    """Read the filters of the address; one of no known name is none."""
    return Asked(
        kind if kind in KINDS else None,
        storable(reason),
        category if category in CATEGORIES else None,
    )


Filters = Annotated[Asked, Depends(asked_for)]


@router.get("", response_class=HTMLResponse)
def queue(sight: Sight, asked: Filters, after: Place = None, before: Place = None) -> HTMLResponse:
    """List the open questions, what has waited longest first."""
    found = ask(_queue, asked, after=after, before=before)
    return sight.page(
        "review", section="review", listed=found, categories=CATEGORIES, may_answer=_may(sight)
    )


@router.get("/{question_id}", response_class=HTMLResponse)
def question(sight: Sight, question_id: QuestionId, asked: Filters) -> HTMLResponse:
    """Show one question with the form of its answer."""
    return _page("question", sight, _known(sight, question_id, asked), asked)


@router.get("/{question_id}/opinion", response_class=HTMLResponse)
def opinion(sight: Sight, question_id: QuestionId) -> HTMLResponse:
    """Give what the machine had said, as a fragment for the question's page.

    Raises:
        HTTPException: 409 while it is kept back: the question has no answer yet.
    """
    found = _known(sight, question_id)
    if found.is_kept_back:
        raise sight.refusal(409, "review.kept_back")
    return _page("opinion", sight, found, Asked())


@router.post(
    "/{question_id}/check",
    dependencies=[
        Depends(of_our_page),
        Depends(requires_access_dag("PUT", DagAccessEntity.HITL_DETAIL, REVIEW)),
    ],
)
async def check(
    sight: Sight, question_id: QuestionId, request: Request, user: GetUserDep
) -> JSONResponse:
    """Say whether an answer counts, and where and in which form it is sent; nothing is stored.

    Raises:
        HTTPException: 422 with the sentence that says what is wrong with the answer; 409 when the
            question is answered or not put yet.
    """
    given = await body_of(request, Given)
    found = await run_in_threadpool(_known, sight, question_id)
    if found.is_answered or found.closed_as is not None:
        raise sight.refusal(409, "review.answered")
    if not found.is_put:
        raise sight.refusal(409, "review.not_put_yet")
    form = {
        "reason": given.reason or None,
        "sentence": given.sentence or None,
        "note": given.note or None,
    }
    answer: dict[str, Any] = {"chosen_options": [OPTION_LABELS[given.option]], "params_input": form}
    person = {"id": str(user.get_id()), "name": user.get_name()}
    read = read_answer({**answer, "responded_by_user": person}, found.question)
    if isinstance(read, Fault):
        raise HTTPException(422, read.sentence)
    dag_id, run_id, index = found.place
    address = (
        f"api/v2/dags/{quote(dag_id, safe='')}/dagRuns/{quote(run_id, safe='')}"
        f"/taskInstances/{ASK_TASK}/{index}/hitlDetails"
    )
    return JSONResponse({"address": address, "body": answer}, headers=HEADERS)


def _page(template: str, sight: View, found: QuestionPage, asked: Asked) -> HTMLResponse:
    return sight.page(
        template,
        root="../",
        section="review",
        asked=asked,
        seen=found,
        options=OPTION_LABELS,
        reasons=reason_choices(Settings().municipality),
        sentence_characters=MAX_SENTENCE_CHARACTERS,
        note_characters=MAX_NOTE_CHARACTERS,
        rate=rate,
        may_answer=_may(sight),
    )


def _known(sight: View, question_id: int, asked: Asked | None = None) -> QuestionPage:
    found = ask(_question, question_id, asked)
    if found is None:
        raise sight.refusal(404, "review.unknown")
    return found


def _may(sight: View) -> bool:
    return sight.may(REVIEW, "PUT", DagAccessEntity.HITL_DETAIL)


def _queue(
    connection: Connection,
    municipality: str,
    asked: Asked,
    *,
    after: int | None,
    before: int | None,
) -> Queue:
    return LedgerReviewPages(connection, municipality).queue(asked, after=after, before=before)


def _question(
    connection: Connection, municipality: str, question_id: int, asked: Asked | None
) -> QuestionPage | None:
    return LedgerReviewPages(connection, municipality).question(question_id, asked)
