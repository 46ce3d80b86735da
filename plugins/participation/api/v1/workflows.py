"""Start workflows, see how they stand, end them, repeat what failed, take what came of them."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Literal

from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from include.processing.definition import DAG_PREFIX
from participation.api.v1 import airflow_runs, ledgers, locks
from participation.api.v1.bodies import KB, body_of
from participation.api.v1.contributions import PUBLIC_STATES, PublicState
from participation.api.v1.documenting import takes
from participation.api.v1.problems import not_found, unprocessable
from participation.api.v1.search import Draft, outputs_of
from participation.ledger import run_status
from participation.ledger.run_status import AttemptRow

LIMIT = 256 * KB
MAX_PAGE = 200

ANALYSIS, INTAKE = airflow_runs.BUILT_IN

MAX_WARNINGS = 50
MAX_CAUSE = 1_000
MAX_STEPS = 2_000

State = Literal["queued", "running", "success", "failed"]

ASKED_OF_ANALYSIS = ("day", "ids", "text")

router = APIRouter(tags=["workflows"])

WorkflowId = Annotated[
    str,
    Path(
        pattern=r"^[a-z0-9_]{1,200}\.[A-Za-z0-9_.~:+-]{1,250}$",
        description="As `POST /workflows` or `GET /workflows` gave it.",
    ),
]


class StartRequest(BaseModel):
    """Which workflow, and on what."""

    model_config = ConfigDict(extra="forbid")

    workflow: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$")] = Field(
        description="Name of a workflow: `contribution_analysis`, `document_intake` or a named one.",
        examples=["document_intake"],
    )
    input: dict[str, Any] = Field(
        default_factory=dict,
        description="As the workflow's form has it.",
        examples=[{"folder": "2026"}],
    )
    key: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = Field(
        default=None, description="Another key is another run, with the same input too."
    )


class WorkflowRef(BaseModel):
    """A run that was started, now or before."""

    workflow_id: str


class Failure(BaseModel):
    """What went wrong in a step."""

    step: str
    attempt: int
    cause: str
    next_action: str


class StepStatus(BaseModel):
    """One step, or one instance of a step that runs several times side by side."""

    step: str
    instance: int | None = None
    state: str
    tries: int
    max_tries: int
    started_at: datetime | None = None
    duration_s: float | None = None
    item: str | None = None
    skipped_because: str | None = None
    warnings: list[str] = []
    error: Failure | None = None


class WorkflowSummary(BaseModel):
    """A run in a list."""

    workflow_id: str
    workflow: str
    state: State
    queued_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    started_by: str | None = None


class WorkflowStatus(WorkflowSummary):
    """A run with its steps."""

    current_step: str | None = None
    note: str | None = None
    warnings: list[str] = []
    records: dict[str, int] = Field(
        default={}, description="Counts by outcome, such as accepted, review, set_aside."
    )
    steps: list[StepStatus]
    error: Failure | None = None


class WorkflowPage(BaseModel):
    """Runs, the newest first; `next` is the cursor of the following page."""

    workflows: list[WorkflowSummary]
    next: str | None = None
    names: list[str] = Field(description="Workflows whose runs you may see.")


class DocumentResult(BaseModel):
    """What came of one document."""

    document_id: str
    extracted_themes: list[str]
    contributions: list[Draft]
    warnings: list[str]


class ContributionResult(BaseModel):
    """What came of one contribution; the machine's part only for who may start an analysis."""

    receipt: str | None = None
    source: str
    external_id: str
    state: PublicState
    category: str | None = None
    contribution_id: str | None = None
    machine_state: str | None = None
    validation: dict[str, Any] | None = None
    classification: dict[str, Any] | None = None


class WorkflowOutput(BaseModel):
    """What came of a run, a page at a time where it is of many."""

    workflow_id: str
    state: State
    documents: list[DocumentResult] | None = None
    contributions: list[ContributionResult] | None = None
    output: dict[str, Any] | None = None
    warnings: list[str] = []
    next: str | None = None


@router.post(
    "/workflows",
    status_code=202,
    dependencies=[
        Depends(locks.may_one_of("POST", airflow_runs.workflow_dags)),
        Depends(locks.not_by_cookie_alone),
    ],
    responses={200: {"model": WorkflowRef, "description": "The same was submitted before."}},
    openapi_extra=takes(StartRequest, LIMIT),
)
def start(
    request: Request,
    response: Response,
    user: GetUserDep,
    asked: Annotated[StartRequest, Depends(body_of(StartRequest, LIMIT))],
) -> WorkflowRef:
    """Start a workflow. The same workflow, input and key is one run, however often it is submitted.

    The input is checked before anything is stored. What is accepted is kept also while the scheduler is
    down. A run that failed is not started again by the same submission: `POST .../retry` does that.
    """
    dag_id = airflow_runs.dag_of(asked.workflow)
    requires_access_dag("POST", DagAccessEntity.RUN, dag_id)(request, user)
    conf = airflow_runs.checked_conf(dag_id, asked.input)
    if dag_id == ANALYSIS:
        _exactly_one(asked.input)
    run_id = airflow_runs.run_id_of(dag_id, asked.input, asked.key)
    started = airflow_runs.start(dag_id, run_id, conf, user)
    if not started.is_new:
        response.status_code = 200
    return WorkflowRef(workflow_id=airflow_runs.workflow_id(dag_id, started.run_id))


@router.get(
    "/workflows",
    response_model_exclude_none=True,
    dependencies=[Depends(locks.may_one_of("GET", airflow_runs.workflow_dags))],
)
def listed(
    request: Request,
    user: GetUserDep,
    workflow: Annotated[str | None, Query(pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$")] = None,
    state: Annotated[State | None, Query()] = None,
    since: Annotated[AwareDatetime | None, Query(description="Queued then or later.")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
    cursor: Annotated[
        str | None, Query(max_length=40, description="`next` of the page before.")
    ] = None,
) -> WorkflowPage:
    """List runs of the workflows that you may see, the newest first, page by page."""
    before = _read_cursor(cursor)
    if workflow is not None:
        dag_ids = [airflow_runs.dag_of(workflow)]
        requires_access_dag("GET", DagAccessEntity.RUN, dag_ids[0])(request, user)
    else:
        known = airflow_runs.workflow_dags()
        dag_ids = [dag_id for dag_id in known if locks.is_allowed(user, "GET", dag_id)]
    found = airflow_runs.runs(dag_ids, state=state, since=since, before=before, limit=limit + 1)
    page = found[:limit]
    return WorkflowPage(
        workflows=[_summary(run) for run in page],
        next=_cursor(page[-1].number) if len(found) > limit else None,
        names=[airflow_runs.workflow_of(dag_id) for dag_id in dag_ids],
    )


@router.get(
    "/workflows/{workflow_id}/status",
    response_model_exclude_none=True,
)
def status(workflow_id: WorkflowId, request: Request, user: GetUserDep) -> WorkflowStatus:
    """Say how a run stands: each step with its tries, duration, warnings and error, and its records."""
    dag_id, run_id = _allowed(workflow_id, "GET", request, user)
    run, steps = airflow_runs.run_of(dag_id, run_id)
    rows = ledgers.ask(run_status.attempts, dag_id, run_id)
    named = ledgers.ask(run_status.named_run, dag_id, run_id)
    latest: dict[tuple[str, int], AttemptRow] = {}
    for row in rows:
        latest.setdefault((row.task_id, row.map_index), row)
    shown = [_step(step, latest.get((step.task_id, step.map_index))) for step in steps[:MAX_STEPS]]
    warnings = [f"{each.step}: {text}" for each in shown for text in each.warnings]
    warnings += [str(text) for text in (named.warnings if named else [])]
    if run.is_paused and run.state not in airflow_runs.ENDED:
        warnings.insert(0, "The workflow is paused in Airflow: the run waits until it is not.")
    summary = _summary(run).model_dump()
    return WorkflowStatus(
        **summary,
        current_step=_current(shown),
        note=run.note,
        warnings=warnings[:MAX_WARNINGS],
        records=run_status.outcomes(rows),
        steps=shown,
        error=next((each.error for each in shown if each.error), None),
    )


@router.post(
    "/workflows/{workflow_id}/cancel",
    status_code=202,
    dependencies=[Depends(locks.not_by_cookie_alone)],
)
def cancel(workflow_id: WorkflowId, request: Request, user: GetUserDep) -> WorkflowRef:
    """End a run; what it has stored stays, and what it had claimed is free again after a while."""
    dag_id, run_id = _allowed(workflow_id, "PUT", request, user)
    airflow_runs.cancel(dag_id, run_id, user)
    return WorkflowRef(workflow_id=airflow_runs.workflow_id(dag_id, run_id))


@router.post(
    "/workflows/{workflow_id}/retry",
    status_code=202,
    dependencies=[Depends(locks.not_by_cookie_alone)],
)
def retry(workflow_id: WorkflowId, request: Request, user: GetUserDep) -> WorkflowRef:
    """Run again what failed, and what could not begin because of it; nothing else."""
    dag_id, run_id = _allowed(workflow_id, "PUT", request, user)
    airflow_runs.retry(dag_id, run_id, user)
    return WorkflowRef(workflow_id=airflow_runs.workflow_id(dag_id, run_id))


@router.get(
    "/workflows/{workflow_id}/output",
    response_model_exclude_none=True,
)
def output(
    workflow_id: WorkflowId,
    request: Request,
    user: GetUserDep,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 100,
    cursor: Annotated[
        str | None, Query(max_length=800, description="`next` of the page before.")
    ] = None,
) -> WorkflowOutput:
    """Give what came of a run so far: documents with their themes, contributions with their states."""
    dag_id, run_id = _allowed(workflow_id, "GET", request, user)
    run, _ = airflow_runs.run_of(dag_id, run_id)
    after = _text(cursor)
    given = WorkflowOutput(
        workflow_id=airflow_runs.workflow_id(dag_id, run_id), state=_state(run.state)
    )
    if dag_id == ANALYSIS:
        judged = ledgers.ask(run_status.judged, dag_id, run_id, after, limit + 1)
        page = judged[:limit]
        knows_all = locks.is_allowed(user, "POST", dag_id)
        given.contributions = [_contribution(each, with_machine=knows_all) for each in page]
        given.next = _cursor(page[-1].contribution_id) if len(judged) > limit else None
    elif dag_id == INTAKE:
        read = ledgers.ask(run_status.read, dag_id, run_id, after, limit + 1)
        found = ledgers.ask(outputs_of, read[:limit])
        given.documents = [DocumentResult.model_validate(each.as_dict()) for each in found]
        given.next = _cursor(read[limit - 1]) if len(read) > limit else None
    else:
        named = ledgers.ask(run_status.named_run, dag_id, run_id)
        if named is not None:
            given.output = named.output
            given.warnings = [str(text) for text in named.warnings][:MAX_WARNINGS]
    return given


def _allowed(
    workflow_id: str, method: Literal["GET", "PUT"], request: Request, user: Any
) -> tuple[str, str]:
    """Read an id and ask whether the user may see (GET) or change (PUT) runs of its DAG."""
    dag_id, run_id = airflow_runs.read_workflow_id(workflow_id)
    requires_access_dag(method, DagAccessEntity.RUN, dag_id)(request, user)
    if dag_id not in airflow_runs.BUILT_IN and not dag_id.startswith(DAG_PREFIX):
        raise not_found("There is no workflow with this id.")
    return dag_id, run_id


def _exactly_one(given: dict[str, Any]) -> None:
    met = [name for name in ASKED_OF_ANALYSIS if given.get(name) not in (None, [])]
    if len(met) != 1:
        raise unprocessable(
            f"input.{met[1]}" if met else "input",
            "give exactly one of day, ids and text",
        )


def _summary(run: airflow_runs.Run) -> WorkflowSummary:
    return WorkflowSummary(
        workflow_id=airflow_runs.workflow_id(run.dag_id, run.run_id),
        workflow=airflow_runs.workflow_of(run.dag_id),
        state=_state(run.state),
        queued_at=run.queued_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        started_by=run.started_by,
    )


def _state(state: str) -> State:
    match state:
        case "queued" | "running" | "success" | "failed":
            return state
    return "running"


def _step(step: airflow_runs.Step, row: AttemptRow | None) -> StepStatus:
    message = (row.error_message or "") if row else ""
    is_skipped = step.state == "skipped"
    return StepStatus(
        step=step.task_id,
        instance=step.map_index if step.map_index >= 0 else None,
        state=step.state or "waiting",
        tries=step.tries,
        max_tries=step.max_tries,
        started_at=step.started_at,
        duration_s=round(step.duration_s, 3) if step.duration_s is not None else None,
        item=row.item or None if row else None,
        skipped_because=(message[:MAX_CAUSE] or None) if is_skipped else None,
        warnings=_warnings(row),
        error=None if is_skipped else _failure(step, row, message),
    )


def _failure(step: airflow_runs.Step, row: AttemptRow | None, message: str) -> Failure | None:
    match step.state:
        case "failed":
            action = "Mend the cause and POST .../retry: only what failed runs again."
        case "up_for_retry" | "up_for_reschedule":
            action = "Wait: Airflow tries again by itself."
        case _:  # also of what could not begin: the step before it says why
            return None
    if not message:
        message = "The attempt ended without a word; the task's log in Airflow may say more."
    return Failure(
        step=step.task_id,
        attempt=row.try_number if row else step.tries,
        cause=message[:MAX_CAUSE],
        next_action=action,
    )


def _warnings(row: AttemptRow | None) -> list[str]:
    docket = (row.docket or {}) if row else {}
    found: list[str] = []
    for name in ("warnings", "waiting", "failed"):
        told = docket.get(name)
        if isinstance(told, list):
            found += [str(each)[:300] for each in told]
    if isinstance(told := docket.get("ocr"), str):
        found.append(told[:300])
    return found[:MAX_WARNINGS]


def _current(steps: list[StepStatus]) -> str | None:
    for states in (
        {"running", "deferred", "awaiting_input"},
        {"up_for_retry", "up_for_reschedule", "restarting"},
        {"queued", "scheduled"},
    ):
        for each in steps:
            if each.state in states:
                return each.step
    return None


def _contribution(item: run_status.JudgedItem, *, with_machine: bool) -> ContributionResult:
    state = PUBLIC_STATES[item.state]
    given = ContributionResult(
        receipt=item.code,
        source=item.source,
        external_id=item.external_id,
        state=state,
        category=item.category if state in {"accepted", "refused"} or with_machine else None,
    )
    if with_machine:
        given.contribution_id = item.contribution_id
        given.machine_state = item.state
        given.validation = item.validation
        given.classification = item.classification
    return given


def _cursor(last: int | str) -> str:
    return base64.urlsafe_b64encode(str(last).encode()).decode().rstrip("=")


def _text(cursor: str | None) -> str:
    if cursor is None:
        return ""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        read = base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        read = "\x00"
    if not read or "\x00" in read or _cursor(read) != cursor:
        raise unprocessable("cursor", "is not one that a page before gave")
    return read


def _read_cursor(cursor: str | None) -> int | None:
    read = _text(cursor)
    if not read:
        return None
    if not read.isascii() or not read.isdecimal() or len(read) > 9:  # noqa: PLR2004 - fits Airflow's column
        raise unprocessable("cursor", "is not one that a page before gave")
    return int(read)
