"""Airflow's side of a workflow: which DAGs are workflows, and their runs in Airflow's own database.

Runs are made and changed here as Airflow's REST API makes and changes them, inside the API server. The
scheduler is not asked: a run that was accepted is a row, and waits for it if it is down.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from airflow.api.common.trigger_dag import trigger_dag
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.common.dagbag import create_dag_bag
from airflow.api_fastapi.core_api.datamodels.dag_run import DagRunMutableStates
from airflow.api_fastapi.core_api.services.public.dag_run import (
    patch_dag_run_note,
    patch_dag_run_state,
)
from airflow.exceptions import DagNotFound, DagRunAlreadyExists, ParamValidationError
from airflow.models import DagModel, DagRun, Log, TaskInstance
from airflow.models.dagbag import DBDagBag
from airflow.serialization.definitions.dag import SerializedDAG
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType
from jsonschema.exceptions import ValidationError
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from include.processing.definition import DAG_PREFIX
from participation import tracing
from participation.api.v1.problems import ProblemError, not_found, place, unprocessable

BUILT_IN = ("contribution_analysis", "document_intake")

ENDED = frozenset({DagRunState.SUCCESS, DagRunState.FAILED})
UNDONE = frozenset({TaskInstanceState.FAILED, TaskInstanceState.UPSTREAM_FAILED})

MAX_MESSAGE = 300

_ID = re.compile(r"(?P<name>[a-z0-9_]{1,200})\.(?P<run>[A-Za-z0-9_.~:+-]{1,250})")


@dataclass(frozen=True, slots=True)
class Started:
    """A run that was asked for, and whether it is new."""

    run_id: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Run:
    """A run as Airflow has it."""

    number: int
    dag_id: str
    run_id: str
    state: str
    queued_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    started_by: str | None
    note: str | None
    is_paused: bool


@dataclass(frozen=True, slots=True)
class Step:
    """One task instance of a run."""

    task_id: str
    map_index: int
    state: str | None
    tries: int
    max_tries: int
    started_at: datetime | None
    ended_at: datetime | None
    duration_s: float | None


def dag_of(workflow: str) -> str:
    """Name the DAG of a workflow.

    >>> dag_of("document_intake"), dag_of("citizen-mail"), dag_of("workflow_citizen_mail")
    ('document_intake', 'workflow_citizen_mail', 'workflow_citizen_mail')
    """
    name = workflow.replace("-", "_")
    return name if name in BUILT_IN or name.startswith(DAG_PREFIX) else DAG_PREFIX + name


def workflow_of(dag_id: str) -> str:
    """Name the workflow of a DAG; :func:`dag_of` finds back."""
    name = dag_id.removeprefix(DAG_PREFIX)
    return dag_id if name in BUILT_IN or name.startswith(DAG_PREFIX) else name


def workflow_id(dag_id: str, run_id: str) -> str:
    """Name a run for a caller."""
    return f"{workflow_of(dag_id)}.{run_id}"


def read_workflow_id(written: str) -> tuple[str, str]:
    """Read the DAG and the run of a workflow id.

    Raises:
        ProblemError: 404, it names nothing.
    """
    met = _ID.fullmatch(written)
    if met is None:
        raise not_found("There is no workflow with this id.")
    return dag_of(met["name"]), met["run"]


def run_id_of(dag_id: str, given: Mapping[str, Any], key: str | None) -> str:
    """Make the run's id from what was submitted: the same again is the same run."""
    canonical = json.dumps(
        [dag_id, given, key], sort_keys=True, ensure_ascii=True, separators=(",", ":")
    )
    return f"api__{hashlib.sha256(canonical.encode()).hexdigest()}"


def workflow_dags() -> list[str]:
    """List the DAGs that are workflows and can be started, the built-in ones first."""
    with create_session(scoped=False) as session:
        named = session.scalars(
            select(DagModel.dag_id)
            .where(DagModel.dag_id.startswith(DAG_PREFIX, autoescape=True), ~DagModel.is_stale)
            .order_by(DagModel.dag_id)
        ).all()
    return [*BUILT_IN, *named]


def checked_conf(dag_id: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Hold an input against the DAG's params and make the run's conf of it.

    Raises:
        ProblemError: 422, with the field that is wrong; or the workflow does not exist.
    """
    with create_session(scoped=False) as session:
        known = session.scalar(
            select(DagModel).where(DagModel.dag_id == dag_id, ~DagModel.is_stale)
        )
        if known is None:
            raise unprocessable("workflow", "there is no workflow of this name; see GET /workflows")
        if known.has_import_errors:
            raise ProblemError(
                503, "The workflow's definition cannot be read; its import error says why."
            )
        dag = _dags().get_latest_version_of_dag(dag_id, session=session)
    if dag is None:
        raise unprocessable("workflow", "has not been read yet: try again in a minute")
    is_named = dag_id not in BUILT_IN
    conf = {"input": dict(given)} if is_named else dict(given)
    prefix = () if is_named else ("input",)
    if unknown := sorted(set(conf) - set(dag.params)):
        where = place(("input", unknown[0]))
        raise unprocessable(where, f"is unknown; known: {', '.join(dag.params) or 'none'}")
    merged = dag.params.deep_merge(conf)
    for name in merged:
        try:
            merged.get_param(name).resolve(raises=True)
        except ValidationError as error:
            where = place((*prefix, name, *error.absolute_path))
            raise unprocessable(where, _short(error.message)) from None
        except Exception as error:  # noqa: BLE001 - as Airflow's own check has it
            raise unprocessable(place((*prefix, name)), _short(str(error))) from None
    return conf


def start(dag_id: str, run_id: str, conf: Mapping[str, Any], user: BaseUser) -> Started:
    """Make a run, or find the one that was made of the same content; also under a race.

    Raises:
        ProblemError: The DAG cannot be started.
    """
    try:
        with create_session(scoped=False) as session:
            made = trigger_dag(
                dag_id,
                triggered_by=DagRunTriggeredByType.REST_API,
                triggering_user_name=user.get_name(),
                run_id=run_id,
                conf=dict(conf),
                session=session,
            )
            _join_trace(session, made)
    except DagRunAlreadyExists:
        return Started(run_id, is_new=False)
    except IntegrityError:
        # Another request made it between the look and the leap.
        with create_session(scoped=False) as session:
            _found(session, dag_id, run_id)
        return Started(run_id, is_new=False)
    except DagNotFound:
        raise unprocessable("workflow", "there is no workflow of this name") from None
    except (ParamValidationError, ValueError) as error:
        raise unprocessable("input", _short(str(error))) from None
    _note(user, "participation_workflow_started", dag_id, run_id)
    return Started(run_id, is_new=True)


def _join_trace(session: Session, made: DagRun | None) -> None:
    """Let a run that is not stored yet, and its tasks, go on in the trace of the request.

    Airflow begins a trace of its own for every run (apache/airflow#67210).
    """
    parent = tracing.traceparent()
    if made is None or parent is None:
        return
    made.context_carrier = tracing.new_carrier(parent)
    session.flush()
    beginning = made.context_carrier["traceparent"]
    instances = select(TaskInstance).where(
        TaskInstance.dag_id == made.dag_id, TaskInstance.run_id == made.run_id
    )
    for instance in session.scalars(instances):
        instance.context_carrier = tracing.new_carrier(beginning)


def run_of(dag_id: str, run_id: str) -> tuple[Run, list[Step]]:
    """Read a run and its task instances, in the order of the DAG.

    Raises:
        ProblemError: 404, there is no such run.
    """
    with create_session(scoped=False) as session:
        found = _found(session, dag_id, run_id)
        instances = session.scalars(
            select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        ).all()
        dag = _dags().get_dag_for_run(found, session=session)
        places = _places(dag)
        steps = sorted(
            (_step(each) for each in instances),
            key=lambda step: (places.get(step.task_id, len(places)), step.task_id, step.map_index),
        )
        paused = _paused(session, [dag_id])
        return _run(found, paused, found.note), steps


def runs(
    dag_ids: Sequence[str],
    *,
    state: str | None,
    since: datetime | None,
    before: int | None,
    limit: int,
) -> list[Run]:
    """List runs, the newest first; ``before`` is the number of the last one of the page before."""
    query = select(DagRun).where(DagRun.dag_id.in_(dag_ids))
    if state is not None:
        query = query.where(DagRun.state == state)
    if since is not None:
        query = query.where(DagRun.queued_at >= since)
    if before is not None:
        query = query.where(DagRun.id < before)
    with create_session(scoped=False) as session:
        found = session.scalars(query.order_by(DagRun.id.desc()).limit(limit)).all()
        paused = _paused(session, dag_ids)
        return [_run(each, paused) for each in found]


def cancel(dag_id: str, run_id: str, user: BaseUser) -> None:
    """End a run as failed; what it has stored stays. Cancelled again it stays cancelled.

    Raises:
        ProblemError: 404, or 409 when it ended well already.
    """
    with create_session(scoped=False) as session:
        found = _found(session, dag_id, run_id)
        if found.state == DagRunState.SUCCESS:
            raise ProblemError(409, "The workflow has ended already: there is nothing to cancel.")
        if found.state == DagRunState.FAILED:
            return
        patch_dag_run_note(
            dag_run=found, note=f"cancelled by {user.get_name()} through the API", user=user
        )
        patch_dag_run_state(
            dag=_dag(found, session),
            dag_run=found,
            state=DagRunMutableStates.FAILED,
            session=session,
        )
    _note(user, "participation_workflow_cancelled", dag_id, run_id)


def retry(dag_id: str, run_id: str, user: BaseUser) -> int:
    """Clear what failed, and what did not begin because of it; return how many instances.

    Raises:
        ProblemError: 404, or 409 when nothing failed.
    """
    with create_session(scoped=False) as session:
        found = _found(session, dag_id, run_id)
        instances = session.scalars(
            select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        ).all()
        undone = [
            (each.task_id, each.map_index)
            for each in instances
            if each.state in UNDONE
            or (
                # A cancelled run leaves its waiting tasks skipped; one that a branch left out is
                # left out again.
                found.state == DagRunState.FAILED
                and each.state == TaskInstanceState.SKIPPED
                and each.try_number == 0
            )
        ]
        if not undone:
            raise ProblemError(409, "Nothing of this workflow failed: there is nothing to retry.")
        _dag(found, session).clear(run_id=run_id, task_ids=undone, session=session)
    _note(user, "participation_workflow_retried", dag_id, run_id)
    return len(undone)


@cache
def _dags() -> DBDagBag:
    return create_dag_bag()


def _dag(run: DagRun, session: Session) -> SerializedDAG:
    dag = _dags().get_dag_for_run(run, session=session)
    if dag is None:
        raise ProblemError(409, "The workflow's definition is gone: its runs cannot be changed.")
    return dag


def _found(session: Session, dag_id: str, run_id: str) -> DagRun:
    found: DagRun | None = session.scalar(
        select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
    )
    if found is None:
        raise not_found("There is no workflow with this id.")
    return found


def _paused(session: Session, dag_ids: Sequence[str]) -> frozenset[str]:
    known = select(DagModel.dag_id).where(DagModel.dag_id.in_(dag_ids), DagModel.is_paused)
    return frozenset(session.scalars(known))


def _run(found: DagRun, paused: frozenset[str], note: str | None = None) -> Run:
    return Run(
        number=int(found.id),
        dag_id=found.dag_id,
        run_id=found.run_id,
        state=str(found.state),
        queued_at=found.queued_at,
        started_at=found.start_date,
        ended_at=found.end_date,
        started_by=found.triggering_user_name,
        note=note,
        is_paused=found.dag_id in paused,
    )


def _step(instance: TaskInstance) -> Step:
    return Step(
        task_id=instance.task_id,
        map_index=instance.map_index,
        state=str(instance.state) if instance.state else None,
        tries=instance.try_number,
        max_tries=instance.max_tries + 1,
        started_at=instance.start_date,
        ended_at=instance.end_date,
        duration_s=instance.duration,
    )


def _places(dag: SerializedDAG | None) -> dict[str, int]:
    """Give each task its place: behind everything that it waits for."""
    depths: dict[str, int] = {}

    def depth(task_id: str) -> int:
        if task_id not in depths and dag is not None:
            before = dag.task_dict[task_id].upstream_task_ids
            depths[task_id] = 1 + max((depth(each) for each in before), default=0)
        return depths[task_id]

    for task_id in dag.task_dict if dag else ():
        depth(task_id)
    return depths


def _note(user: BaseUser, event: str, dag_id: str, run_id: str) -> None:
    """Write into Airflow's audit log who did what."""
    with create_session(scoped=False) as session:
        session.add(Log(event, owner=user.get_name(), dag_id=dag_id, run_id=run_id))


def _short(message: str) -> str:
    shown = "".join(each if each.isprintable() else "�" for each in message[: MAX_MESSAGE * 2])
    return shown[:MAX_MESSAGE]
