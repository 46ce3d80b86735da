"""Judge texts while the caller waits: the same engine and result as a run, and nothing stored."""

import logging
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from include.contributions.model import Judgement
from include.contributions.processors import judge
from include.contributions.reviewer import EmbeddedReviewer, embedded_reviewer
from include.contributions.scoring import load_samples
from include.errors import ParticipationError, ProcessingError
from include.processing.workflow import RetryBudget
from participation import tracing
from participation.api.v1 import locks
from participation.api.v1.bodies import KB, MB, body_of
from participation.api.v1.documenting import takes
from participation.api.v1.problems import ProblemError
from participation.api.v1.texts import ShortId, Text
from participation.settings import Settings

MAX_BATCH = 50
ONE_LIMIT = 512 * KB
BATCH_LIMIT = 4 * MB

router = APIRouter(
    tags=["validation"],
    dependencies=[Depends(locks.may_start(locks.ANALYSIS)), Depends(locks.not_by_cookie_alone)],
)

log = logging.getLogger(__name__)


class TextToJudge(Text):
    """A text and the id under which its answer comes back."""

    id: ShortId = "text"


class TextsToJudge(BaseModel):
    """Texts under ids that differ."""

    model_config = ConfigDict(extra="forbid")

    texts: Annotated[list[TextToJudge], Field(min_length=1, max_length=MAX_BATCH)]


class Judged(BaseModel):
    """The judgement of one text, or why there is none: never half of one."""

    id: str
    judgement: Judgement | None = None
    error: str | None = None


class JudgedTexts(BaseModel):
    """One answer for each text, in the order of the request."""

    results: list[Judged]


@router.post("/validate", openapi_extra=takes(TextToJudge, ONE_LIMIT))
def validate(
    sent: Annotated[Any, Depends(body_of(TextToJudge, ONE_LIMIT))],
) -> Judgement:
    """Hold one text against the charter, name its subject, say how far both can be relied on.

    With the embedded engine, whatever else judges in runs. Nothing is stored, and nothing follows from
    the answer: only a person refuses.
    """
    judged = _judged(sent, reviewer(), RetryBudget())
    if judged.judgement is None:
        raise ProblemError(500, f"The text could not be judged: {judged.error}.")
    return judged.judgement


@router.post(
    "/validate/batch",
    response_model_exclude_none=False,
    openapi_extra=takes(TextsToJudge, BATCH_LIMIT),
)
def validate_batch(
    sent: Annotated[Any, Depends(body_of(TextsToJudge, BATCH_LIMIT))],
) -> JudgedTexts:
    """Judge 1 to 50 texts: as many answers as texts, each under its id."""
    engine, budget = reviewer(), RetryBudget()
    return JudgedTexts(results=[_judged(each, engine, budget) for each in sent.texts])


def reviewer() -> EmbeddedReviewer:
    """Return the reviewer of the town; built once in a process.

    Raises:
        ProblemError: 503, its data files are wrong.
    """
    try:
        return embedded_reviewer(Settings().municipality)
    except ParticipationError as error:
        log.error("no reviewer: %s", error)  # noqa: TRY400 - the sentence is the way out
        raise ProblemError(
            503, "The reviewer's data files are wrong; the server's log says which."
        ) from error


def warm_up() -> None:
    """Prepare the reviewer, so that the first caller does not wait for it."""
    try:
        reviewer().warm_up(sample.contribution for sample in load_samples())
    except (ProblemError, ParticipationError) as error:
        log.error("no prepared reviewer: %s", error)  # noqa: TRY400 - each call will say the same


def _judged(sent: TextToJudge, engine: EmbeddedReviewer, budget: RetryBudget) -> Judged:
    try:
        found = judge(
            sent.contribution(sent.id), engine, budget=budget, observer=tracing.observer()
        )
    except ProcessingError as error:
        # The causes may hold the citizen's words: they belong to the log of this house.
        log.exception("%s of a text to judge", error.step)
        return Judged(id=sent.id, error=f"the step {error.step} failed")
    return Judged(id=sent.id, judgement=found)
