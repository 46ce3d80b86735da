"""Submit contributions and ask by receipt what became of them; contest a refusal."""

from datetime import date, datetime
from typing import Annotated, Any, Literal

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends, Path, Response
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
)

from include.contributions.receipts import read_code, read_decision_code
from include.errors import ConfigurationError
from participation import tracing
from participation.api.v1 import ledgers, locks
from participation.api.v1.bodies import KB, MB, body_of
from participation.api.v1.documenting import takes
from participation.api.v1.problems import ProblemError, not_found, unprocessable
from participation.api.v1.texts import Submission
from participation.ledger import appeals, submissions

MAX_BATCH = 1_000
MAX_BODY = 4 * MB

PublicState = Literal["received", "in_review", "accepted", "refused"]

PUBLIC_STATES: dict[str, PublicState] = {
    "pending": "received",
    "review": "in_review",
    "refusal_proposed": "in_review",
    "quarantined": "in_review",
    "accepted": "accepted",
    "refused": "refused",
}
"""What a machine proposes is nobody's business until a person has looked at it."""

REASONS: dict[PublicState, str] = {
    "received": "Votre contribution est enregistrée et sera lue prochainement.",
    "in_review": "Une personne de la commune examine votre contribution.",
    "accepted": "Votre contribution respecte la charte ; elle est acceptée.",
    "refused": "Une personne de la commune a refusé votre contribution.",
}
"""Where nobody has written a statement."""

router = APIRouter(tags=["contributions"])


class Batch(BaseModel):
    """Several contributions: all are stored, or none."""

    model_config = ConfigDict(extra="forbid")

    contributions: Annotated[list[Submission], Field(min_length=1, max_length=MAX_BATCH)]


def _form_of(value: Any) -> str:
    return "batch" if isinstance(value, dict) and "contributions" in value else "one"


Sent = Annotated[
    Annotated[Submission, Tag("one")] | Annotated[Batch, Tag("batch")], Discriminator(_form_of)
]


class Receipt(BaseModel):
    """The receipt of one contribution; a text that is known already has its first one."""

    position: int = Field(description="Place in the request, from 0.")
    external_id: str | None = None
    receipt: str = Field(examples=["7K2M-9QX4-TVB0"])
    is_new: bool = Field(description="False when the same text was there before.")


class Receipts(BaseModel):
    """Receipts in the order of the request."""

    receipts: list[Receipt]


class Statement(BaseModel):
    """The statement of reasons, in French, for the citizen."""

    text: str
    decided_by: Literal["person", "machine", "nobody"]
    decided_at: datetime | None = None


class AppealState(BaseModel):
    """Where an appeal stands."""

    state: Literal["open", "closed"]
    filed_at: datetime
    closed_at: datetime | None = None


class Machine(BaseModel):
    """How the machine judged; only for who may start an analysis."""

    contribution_id: str
    state: str
    engine: str | None = None
    rubric_version: str | None = None
    validation: dict[str, Any] | None = None
    classification: dict[str, Any] | None = None
    reason: str | None = Field(default=None, description="Of the person's decision.")


class ContributionStanding(BaseModel):
    """What became of a contribution."""

    receipt: str
    state: PublicState
    category: str | None = None
    received_on: date
    state_since: datetime
    statement: Statement
    appeal: AppealState | None = None
    machine: Machine | None = None


class AppealRequest(BaseModel):
    """Why the author disagrees."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, StringConstraints(min_length=1, max_length=appeals.MAX_CHARACTERS)]

    @field_validator("text")
    @classmethod
    def _has_words(cls, value: str) -> str:
        if not any(each.isprintable() and not each.isspace() for each in value):
            raise ValueError("holds no words")
        return value


ReceiptCode = Annotated[
    str,
    Path(
        pattern="^[0-9A-Za-z -]{8,40}$",
        description="As it was given, or the code of a decision's statement; case, spaces and hyphens do"
        " not matter.",
    ),
]


@router.post(
    "/contributions",
    status_code=201,
    dependencies=[Depends(locks.may_start(locks.ANALYSIS)), Depends(locks.not_by_cookie_alone)],
    responses={200: {"model": Receipts, "description": "Every text was known already."}},
    openapi_extra=takes(Sent, MAX_BODY),
)
def submit(
    response: Response,
    user: GetUserDep,
    sent: Annotated[Any, Depends(body_of(Sent, MAX_BODY, ("one", "batch")))],
) -> Receipts:
    """Submit one contribution, or 1 to 1,000 at once: all of them are kept, or none.

    Safe to repeat: the same text is one contribution, and gets the receipt that it got first. New texts
    are judged within a minute or so; ask `GET /contributions/{receipt}`.
    """
    entries = sent.contributions if isinstance(sent, Batch) else [sent]
    records = [entry.record(position) for position, entry in enumerate(entries)]
    found = ledgers.ask(submissions.receive, records, user.get_name(), tracing.traceparent())
    if not any(each.is_new for each in found):
        response.status_code = 200
    return Receipts(
        receipts=[
            Receipt(
                position=each.position,
                external_id=entry.external_id,
                receipt=each.code,
                is_new=each.is_new,
            )
            for each, entry in zip(found, entries, strict=True)
        ]
    )


@router.get(
    "/contributions/{receipt}",
    response_model_exclude_none=True,
    dependencies=[Depends(locks.may_read(locks.ANALYSIS))],
)
def standing(receipt: ReceiptCode, user: GetUserDep) -> ContributionStanding:
    """Say how a contribution stands, why, and whether the refusal is contested."""
    found = _found(receipt)
    appeal = ledgers.ask(appeals.latest, found.contribution_id)
    return shown(found, appeal, with_machine=locks.is_allowed(user, "POST", locks.ANALYSIS))


@router.post(
    "/contributions/{receipt}/appeal",
    status_code=201,
    response_model_exclude_none=True,
    dependencies=[Depends(locks.may_start(locks.REVIEW)), Depends(locks.not_by_cookie_alone)],
    responses={200: {"model": AppealState, "description": "It is contested already."}},
    openapi_extra=takes(AppealRequest, 64 * KB),
)
def appeal(
    receipt: ReceiptCode,
    response: Response,
    asked: Annotated[AppealRequest, Depends(body_of(AppealRequest, 64 * KB))],
) -> AppealState:
    """Contest a refusal in the author's words: another person decides."""
    found = _found(receipt)
    try:
        filed, is_new = ledgers.ask(appeals.file, found.contribution_id, asked.text)
    except ConfigurationError as error:
        # Its sentence names the contribution by an id that the author does not know.
        raise ProblemError(
            409, "There is nothing to contest: it is not refused, or a second person confirmed it."
        ) from error
    if filed is None:
        raise ProblemError(409, "The appeal was settled in the same moment: ask how it stands.")
    if not is_new:
        response.status_code = 200
    return _appeal_state(filed)


def shown(
    found: submissions.Standing, appeal: appeals.Appeal | None, *, with_machine: bool
) -> ContributionStanding:
    """Say what may be said of a contribution to whoever asks."""
    state = PUBLIC_STATES[found.state]
    return ContributionStanding(
        receipt=found.code,
        state=state,
        category=found.category if state in {"accepted", "refused"} else None,
        received_on=found.received_on,
        state_since=found.state_changed_at,
        statement=_statement(found, state),
        appeal=_appeal_state(appeal) if appeal else None,
        machine=_machine(found) if with_machine else None,
    )


def _found(receipt: str) -> submissions.Standing:
    code = read_code(receipt) or read_decision_code(receipt)
    if code is None:
        raise unprocessable("receipt", "is no receipt: one of its twelve symbols is wrong")
    found = ledgers.ask(submissions.standing, code)
    if found is None:
        raise not_found("There is no contribution with this receipt.")
    return found


def _statement(found: submissions.Standing, state: PublicState) -> Statement:
    if found.outcome is not None:
        words = found.statement or REASONS[state]
        return Statement(text=words, decided_by="person", decided_at=found.decided_at)
    if state == "accepted" and found.validation:
        words = str(found.validation.get("reasoning") or REASONS[state])
        return Statement(text=words, decided_by="machine", decided_at=found.state_changed_at)
    return Statement(text=REASONS[state], decided_by="nobody")


def _machine(found: submissions.Standing) -> Machine:
    return Machine(
        contribution_id=found.contribution_id,
        state=found.state,
        engine=found.engine,
        rubric_version=found.rubric_version,
        validation=found.validation,
        classification=found.classification,
        reason=found.reason,
    )


def _appeal_state(filed: appeals.Appeal) -> AppealState:
    return AppealState(
        state="closed" if filed.closed_at else "open",
        filed_at=filed.filed_at,
        closed_at=filed.closed_at,
    )
