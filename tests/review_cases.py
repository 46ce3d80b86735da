"""Cases for a person on a real system: judged there, asked there, found in its ledger."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from bench.real_system import ANALYSIS, RealSystem, insert, wait_for
from include.contributions.model import Contribution

REVIEW = "contribution_review"

READING_S = 5
"""Nobody answers sooner. Airflow 3.3.2 puts a question again that is answered before its scheduler has
taken note that the task waits, within a second or so, longer where the machine is busy; docs/review.md
says so, and ``answer`` does what it tells scripts to do."""

TAKEN = frozenset({"success", "skipped", "failed", "upstream_failed"})

ATTACK = "Le maire est un idiot, le banc du port d'Audierne est cassé."
TEMPLATE = "Le banc {{ 7*7 }} du quai d'Audierne, voir https://evil.example ![x](http://evil.example/x.png)"


@dataclass(frozen=True)
class Asked:
    """A question as it stands in Airflow."""

    question_id: int
    kind: str
    path: str
    detail: dict[str, Any]


def judged(system: RealSystem, day: date, texts: dict[str, str]) -> None:
    """Insert texts of a day and have the machine judge them; all must be left to a person."""
    with system.ledger() as ledger:
        insert(ledger, [Contribution(name, words) for name, words in texts.items()], day)
    run_id = system.start_run(ANALYSIS, f"judge-{day}", day=day)
    assert system.finished(ANALYSIS, run_id) == "success"
    with system.ledger() as ledger:
        states = ledger.execute(
            "SELECT DISTINCT state FROM contribution WHERE received_on = %s", (day,)
        ).fetchall()
    assert {state for (state,) in states} <= {"review", "refusal_proposed"}, states


def asked(system: RealSystem, contribution_id: str, *, after: int = 0) -> Asked:
    """Wait for a question about a contribution, newer than another one; any run may ask it."""

    def put() -> Asked | None:
        with system.ledger() as ledger:
            row = ledger.execute(
                "SELECT question_id, kind, dag_id, run_id, position FROM review_question"
                " WHERE contribution_id = %s AND question_id > %s"
                " AND asked_at < clock_timestamp() - make_interval(secs => %s)"
                " ORDER BY question_id DESC LIMIT 1",
                (contribution_id, after, READING_S),
            ).fetchone()
        if row is None:
            return None
        question_id, kind, dag_id, run_id, position = row
        path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances/ask/{position}"
        found = system.get(f"{path}/hitlDetails", "admin")
        waits = system.get(path, "admin").json().get("state") == "awaiting_input"
        if found.status_code != 200 or not waits:
            return None
        return Asked(question_id, kind, path, found.json())

    return wait_for(put, 180, f"a question about {contribution_id}")


def answer(system: RealSystem, question: Asked, login: str, option: str, **form: Any) -> Any:
    """Answer as a script does: see that the question is gone, answer once more where it came back.

    Returns:
        The response to the first answer; one that Airflow refused is not repeated.
    """
    body = {"chosen_options": [option], "params_input": form}
    first = system.patch(f"{question.path}/hitlDetails", body, login)
    if first.status_code != 200:
        return first

    def taken() -> bool:
        state = system.get(question.path, "admin").json().get("state")
        if state == "awaiting_input":
            detail = system.get(f"{question.path}/hitlDetails", "admin").json()
            if not detail["response_received"]:
                system.patch(f"{question.path}/hitlDetails", body, login)
        return state in TAKEN

    wait_for(taken, 180, f"the answer to question {question.question_id} to be taken")
    return first


def decision(system: RealSystem, contribution_id: str, count: int = 1) -> tuple[Any, ...]:
    """Wait for so many decisions on a contribution and return the last one with the state."""

    def made() -> tuple[Any, ...] | None:
        with system.ledger() as ledger:
            rows = ledger.execute(
                "SELECT d.outcome, d.decided_by, d.reason, d.statement, c.state FROM decision d"
                " JOIN contribution c USING (contribution_id) WHERE c.contribution_id = %s"
                " ORDER BY decision_id",
                (contribution_id,),
            ).fetchall()
        return rows[-1] if len(rows) == count else None

    return wait_for(made, 300, f"decision {count} on {contribution_id}")
