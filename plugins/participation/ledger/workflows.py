"""Runs of named workflows: which definition, where each step stands, each result once, and how it ended.

A task writes through :class:`LedgerWorkflows`; whoever asks how a run stands reads with :func:`status_of`
and :func:`latest_runs`, which need no attempt.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from include.dockets import fits
from include.errors import PermanentError
from include.processing.course import RunOutcome, StepError, StepRecord, StepState
from include.processing.definition import Definition
from participation.ledger.attempt import AttemptLedger
from participation.ledger.connection import Connection

RECORDS = """
SELECT s.step, s.state, r.output, s.reason, s.attempts, s.error, s.because
FROM workflow_step s JOIN workflow_run w USING (workflow, run_id)
LEFT JOIN workflow_step_result r ON s.state = 'done'
    AND (r.workflow, r.run_id, r.step, r.input_hash, r.definition_hash)
      = (s.workflow, s.run_id, s.step, s.input_hash, w.definition_hash)
WHERE s.workflow = %(workflow)s AND s.run_id = %(run_id)s
"""

STEPS = """
SELECT s.step, s.position, s.state, s.attempts, s.reason, s.error, s.started_at, s.ended_at,
       (1000 * extract(epoch FROM coalesce(s.ended_at, now()) - s.started_at))::bigint,
       r.size_bytes, r.output -> 'warnings'
FROM workflow_step s JOIN workflow_run w USING (workflow, run_id)
LEFT JOIN workflow_step_result r ON s.state = 'done'
    AND (r.workflow, r.run_id, r.step, r.input_hash, r.definition_hash)
      = (s.workflow, s.run_id, s.step, s.input_hash, w.definition_hash)
WHERE s.workflow = %(workflow)s AND s.run_id = %(run_id)s
ORDER BY s.position
"""


class DefinitionChangedError(PermanentError):
    """The definition changed while a run was at work; its results would mix two workflows."""

    next_action = (
        "start the workflow again; the run that began under the old definition stays on record"
    )


@dataclass(frozen=True)
class LedgerWorkflows(AttemptLedger):
    """The side of named workflows of one municipality's ledger, for one attempt of one run."""

    def begin(self, definition: Definition, given: Mapping[str, Any]) -> None:
        """Put the run on record, by whichever of its tasks comes first, and pin its definition.

        A run that had ended is running again: one of its tasks was cleared.

        Raises:
            DefinitionChangedError: The run began under another definition.
        """
        names = {
            **self._names(definition.name),
            "hash": definition.definition_hash,
            "definition": json.dumps(definition.content, allow_nan=False),
            "input": json.dumps(given, allow_nan=False),
            "municipality": self.municipality,
            "dag_id": self.attempt.dag_id,
        }
        with self.connection.transaction():
            self.connection.execute(
                "INSERT INTO workflow_definition (workflow, definition_hash, definition)"
                " VALUES (%(workflow)s, %(hash)s, %(definition)s) ON CONFLICT DO NOTHING",
                names,
            )
            row = self.connection.execute(
                "INSERT INTO workflow_run AS r (workflow, run_id, municipality, dag_id,"
                " definition_hash, input) VALUES (%(workflow)s, %(run_id)s, %(municipality)s,"
                " %(dag_id)s, %(hash)s, %(input)s) ON CONFLICT (workflow, run_id) DO UPDATE"
                " SET state = 'running', ended_at = NULL, reason = NULL"
                " WHERE r.definition_hash = excluded.definition_hash RETURNING run_id",
                names,
            ).fetchone()
        if row is None:
            raise DefinitionChangedError(
                f"{definition.file} changed while the run {self.attempt.run_id} was at work: "
                "start a new run"
            )

    def records(self, workflow: str) -> dict[str, StepRecord]:
        """Read where the steps of this run stand, with the results of those that are done."""
        rows = self.connection.execute(RECORDS, self._names(workflow)).fetchall()
        return {
            step: StepRecord(
                StepState(state),
                result,
                reason,
                attempts,
                StepError(**error) if error else None,
                tuple(because),
            )
            for step, state, result, reason, attempts, error, because in rows
        }

    def start(
        self, definition: Definition, step: str, inputs: Mapping[str, Any]
    ) -> tuple[int, Any | None]:
        """Begin an attempt of a step; return its number and the result that is there already, or None.

        Attempts of one go are counted on, also past one that was killed; a step that had ended and is
        cleared begins at one.
        """
        names = {
            **self._names(definition.name),
            "step": step,
            "position": _position(definition, step),
            "hash": definition.definition_hash,
            "input_hash": input_hash(inputs),
        }
        with self.connection.transaction():
            row = self.connection.execute(
                "INSERT INTO workflow_step AS s (workflow, run_id, step, position, state, input_hash,"
                " attempts, started_at) VALUES (%(workflow)s, %(run_id)s, %(step)s, %(position)s,"
                " 'running', %(input_hash)s, 1, now()) ON CONFLICT (workflow, run_id, step) DO UPDATE"
                " SET state = 'running', input_hash = excluded.input_hash, reason = '', because = '{}',"
                " error = NULL, ended_at = NULL,"
                " started_at = CASE WHEN s.state IN ('running', 'retrying') THEN s.started_at"
                " ELSE now() END,"
                " attempts = CASE WHEN s.state IN ('running', 'retrying') THEN s.attempts + 1"
                " ELSE 1 END RETURNING attempts",
                names,
            ).fetchone()
            kept = self.connection.execute(
                "SELECT output FROM workflow_step_result WHERE (workflow, run_id, step, input_hash,"
                " definition_hash) = (%(workflow)s, %(run_id)s, %(step)s, %(input_hash)s, %(hash)s)",
                names,
            ).fetchone()
        assert row is not None  # noqa: S101 - an upsert without a condition gives its row
        return int(row[0]), kept[0] if kept else None

    def save(
        self, definition: Definition, step: str, inputs: Mapping[str, Any], result: Any
    ) -> tuple[Any, int]:
        """Store a step's result and its end in one transaction; the first result of an input stays.

        Returns what is on record then, and its size.
        """
        encoded = json.dumps(result, allow_nan=False, ensure_ascii=False)
        names = {
            **self._names(definition.name),
            "step": step,
            "hash": definition.definition_hash,
            "input_hash": input_hash(inputs),
            "output": encoded,
            "size": len(encoded.encode()),
            "try_number": self.attempt.try_number,
        }
        with self.connection.transaction():
            self.connection.execute(
                "INSERT INTO workflow_step_result (workflow, run_id, step, input_hash,"
                " definition_hash, output, size_bytes, try_number) VALUES (%(workflow)s, %(run_id)s,"
                " %(step)s, %(input_hash)s, %(hash)s, %(output)s, %(size)s, %(try_number)s)"
                " ON CONFLICT DO NOTHING",
                names,
            )
            row = self.connection.execute(
                "SELECT output, size_bytes FROM workflow_step_result WHERE (workflow, run_id, step,"
                " input_hash, definition_hash)"
                " = (%(workflow)s, %(run_id)s, %(step)s, %(input_hash)s, %(hash)s)",
                names,
            ).fetchone()
            self.connection.execute(
                "UPDATE workflow_step SET state = 'done', ended_at = now()"
                " WHERE (workflow, run_id, step) = (%(workflow)s, %(run_id)s, %(step)s)",
                names,
            )
        assert row is not None  # noqa: S101 - it was there or was inserted
        return row[0], int(row[1])

    def note(self, definition: Definition, step: str, record: StepRecord) -> None:
        """Put on record where a step without a result stands."""
        self.connection.execute(
            "INSERT INTO workflow_step AS s (workflow, run_id, step, position, state, attempts, reason,"
            " because, error, ended_at) VALUES (%(workflow)s, %(run_id)s, %(step)s, %(position)s,"
            " %(state)s, %(attempts)s, %(reason)s, %(because)s, %(error)s,"
            " CASE WHEN %(state)s <> 'retrying' THEN now() END)"
            " ON CONFLICT (workflow, run_id, step) DO UPDATE SET (state, attempts, reason, because,"
            " error, ended_at) = (excluded.state, excluded.attempts, excluded.reason,"
            " excluded.because, excluded.error, excluded.ended_at)",
            {
                **self._names(definition.name),
                "step": step,
                "position": _position(definition, step),
                "state": str(record.state),
                "attempts": record.attempts,
                "reason": record.reason,
                "because": list(record.because),
                "error": json.dumps(asdict(record.error)) if record.error else None,
            },
        )

    def end(self, definition: Definition, outcome: RunOutcome) -> None:
        """Write how the run ended, and what it gives."""
        self.connection.execute(
            "UPDATE workflow_run SET state = %(state)s, warnings = %(warnings)s, output = %(output)s,"
            " reason = %(reason)s, ended_at = now()"
            " WHERE (workflow, run_id) = (%(workflow)s, %(run_id)s)",
            {
                **self._names(definition.name),
                "state": outcome.state,
                "warnings": json.dumps(list(outcome.warnings)),
                "output": None
                if outcome.state == "failed"
                else json.dumps(outcome.output, allow_nan=False),
                "reason": "; ".join(f"{each.step}: {each.cause}" for each in outcome.failed)[:2000]
                or None,
            },
        )

    def _names(self, workflow: str) -> dict[str, Any]:
        return {"workflow": workflow, "run_id": self.attempt.run_id}


def cut_off(connection: Connection, dag_id: str, run_id: str, reason: str) -> int:
    """End what a run left open that was ended from outside: by its time limit, or by a person.

    Returns how many runs that were: 0 for one that had ended, or that never began.
    """
    names = {"run_id": run_id, "dag_id": dag_id, "reason": reason}
    with connection.transaction():
        ended = connection.execute(
            "UPDATE workflow_run SET state = 'failed', reason = %(reason)s, ended_at = now()"
            " WHERE run_id = %(run_id)s AND dag_id = %(dag_id)s AND state = 'running'",
            names,
        ).rowcount
        connection.execute(
            "UPDATE workflow_step s SET state = 'failed', reason = %(reason)s, ended_at = now(),"
            " error = jsonb_build_object('step', s.step, 'attempt', s.attempts, 'cause',"
            " %(reason)s::text, 'next_action', 'clear the task, or start the workflow again')"
            " FROM workflow_run r WHERE (r.workflow, r.run_id) = (s.workflow, s.run_id)"
            " AND r.run_id = %(run_id)s AND r.dag_id = %(dag_id)s"
            " AND s.state IN ('running', 'retrying')",
            names,
        )
    return ended


def input_hash(inputs: Mapping[str, Any]) -> str:
    """Hash what a step is given.

    >>> input_hash({"a": 1, "b": 2}) == input_hash({"b": 2, "a": 1})
    True
    """
    encoded = json.dumps(inputs, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return hashlib.sha256(encoded.encode()).hexdigest()


def status_of(connection: Connection, workflow: str, run_id: str) -> dict[str, Any] | None:
    """Say how a run stands, for a person or a program; None when no task of it has begun.

    ``state``, ``current_step`` (the first that is at work, or None), ``steps`` in their order (each with
    ``state``, ``tries``, ``duration_ms``, ``warnings``, ``reason``, ``error`` with step, attempt, cause and
    next action), ``counts`` of records by outcome (a step is a record), ``warnings`` and ``output``.
    Steps that had no turn yet are ``waiting``. Everything is JSON.
    """
    names = {"workflow": workflow, "run_id": run_id}
    row = connection.execute(
        "SELECT r.dag_id, r.definition_hash, r.input, r.state, r.warnings, r.output, r.reason,"
        " r.started_at, r.ended_at, d.definition FROM workflow_run r"
        " JOIN workflow_definition d USING (workflow, definition_hash)"
        " WHERE (r.workflow, r.run_id) = (%(workflow)s, %(run_id)s)",
        names,
    ).fetchone()
    if row is None:
        return None
    dag_id, definition_hash, given, state, warnings, output, reason, began, ended, definition = row
    known = {each[0]: each for each in connection.execute(STEPS, names).fetchall()}
    steps = [
        _step(each["id"], known.get(each["id"]))
        for each in sorted(
            definition["steps"],
            key=lambda each: known[each["id"]][1] if each["id"] in known else len(known),
        )
    ]
    counts: dict[str, int] = {}
    for step in steps:
        counts[step["state"]] = counts.get(step["state"], 0) + 1
    at_work = [step["step"] for step in steps if step["state"] in {"running", "retrying"}]
    return {
        "workflow": workflow,
        "run_id": run_id,
        "dag_id": dag_id,
        "definition_hash": definition_hash,
        "state": state,
        "current_step": at_work[0] if at_work else None,
        "steps": steps,
        "counts": counts,
        "warnings": warnings,
        "reason": reason,
        "input": given,
        "output": output,
        "started_at": began.isoformat(),
        "ended_at": ended.isoformat() if ended else None,
    }


def workflow_of(connection: Connection, municipality: str, dag_id: str, run_id: str) -> str | None:
    """Name the workflow of a town's run; None where there is no such run."""
    row = connection.execute(
        "SELECT workflow FROM workflow_run WHERE (municipality, dag_id, run_id) = (%s, %s, %s)",
        (municipality, dag_id, run_id),
    ).fetchone()
    return row[0] if row else None


def result_of(connection: Connection, workflow: str, run_id: str, step: str) -> Any | None:
    """Return what a step of a run gave, also what no docket could carry; None when it gave nothing."""
    row = connection.execute(
        "SELECT output FROM workflow_step_result WHERE (workflow, run_id, step) = (%s, %s, %s)"
        " ORDER BY created_at DESC LIMIT 1",
        (workflow, run_id, step),
    ).fetchone()
    return row[0] if row else None


def latest_runs(
    connection: Connection,
    municipality: str,
    *,
    workflow: str | None = None,
    state: str | None = None,
    before: tuple[datetime, str] | None = None,
    limit: int = 50,
) -> list[dict[str, Any]]:
    """List runs, the latest first, by keyset: ``before`` is the last one's ``started_at`` and ``run_id``."""
    began, run_id = before or (None, None)
    rows = connection.execute(
        "SELECT workflow, run_id, dag_id, state, definition_hash, started_at, ended_at, reason"
        " FROM workflow_run WHERE municipality = %(municipality)s"
        " AND (%(workflow)s::text IS NULL OR workflow = %(workflow)s)"
        " AND (%(state)s::text IS NULL OR state = %(state)s)"
        " AND (%(began)s::timestamptz IS NULL"
        "  OR (started_at, run_id) < (%(began)s::timestamptz, %(run)s::text))"
        " ORDER BY started_at DESC, run_id DESC LIMIT %(limit)s",
        {
            "municipality": municipality,
            "workflow": workflow,
            "state": state,
            "began": began,
            "run": run_id,
            "limit": limit,
        },
    ).fetchall()
    names = (
        "workflow",
        "run_id",
        "dag_id",
        "state",
        "definition_hash",
        "started_at",
        "ended_at",
        "reason",
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def in_docket(workflow: str, run_id: str, step: str, result: Any, size: int) -> dict[str, Any]:
    """Build what a step hands on: its result where it fits, else the way to it."""
    whole = {"step": step, "state": "done", "size_bytes": size, "result": result}
    if fits(whole):
        return whole
    reference = {"workflow": workflow, "run_id": run_id, "step": step}
    return {"step": step, "state": "done", "size_bytes": size, "result_in_ledger": reference}


def _position(definition: Definition, step: str) -> int:
    return next(n for n, each in enumerate(definition.steps) if each.id == step)


def _step(name: str, row: Sequence[Any] | None) -> dict[str, Any]:
    if row is None:
        return {
            "step": name,
            "state": "waiting",
            "tries": 0,
            "duration_ms": None,
            "warnings": [],
            "reason": "",
            "error": None,
            "started_at": None,
            "ended_at": None,
            "size_bytes": None,
        }
    _, _, state, attempts, reason, error, began, ended, duration_ms, size, warned = row
    return {
        "step": name,
        "state": state,
        "tries": attempts,
        "duration_ms": duration_ms,
        "warnings": warned if isinstance(warned, list) else [],
        "reason": reason,
        "error": error,
        "started_at": began.isoformat() if began else None,
        "ended_at": ended.isoformat() if ended else None,
        "size_bytes": size,
    }
