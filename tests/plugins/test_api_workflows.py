"""Workflows by REST while no scheduler runs: started once, seen step by step, ended, repeated."""

import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.api_fastapi.app import get_auth_manager
from airflow.models import DagRun, TaskInstance
from airflow.utils.session import create_session
from sqlalchemy import delete, func, select

from participation.api.v1 import airflow_runs
from participation.ledger.attempt import Attempt
from participation.ledger.metrics import close_metric, open_metric

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"

NAMED = """
from airflow.sdk import Param, dag, task

FORM = Param(
    type="object", description="What to do.", additionalProperties=False, required=["mail"],
    properties={"mail": {"type": "object", "properties": {"from": {"type": "string"}}}},
)

@dag(schedule=None, params={"input": FORM})
def workflow_citizen_mail():
    @task
    def read(): ...
    read()

workflow_citizen_mail()
"""


@pytest.fixture
def airflow(served):
    """Airflow's database without runs."""
    with create_session() as session:
        session.execute(delete(TaskInstance))
        session.execute(delete(DagRun))
    return served


@pytest.fixture
def named(airflow, tmp_path, keep_dags):
    """A workflow of a definition, as its DAG file makes one."""
    (tmp_path / "workflows.py").write_text(textwrap.dedent(NAMED))
    keep_dags(tmp_path)


def count_runs():
    with create_session() as session:
        return session.scalar(select(func.count()).select_from(DagRun))


def start(client, workflow="contribution_analysis", given=None, **more):
    given = {"text": "Le banc est cassé."} if given is None else given
    return client.post("/workflows", json={"workflow": workflow, "input": given, **more})


def names(workflow_id):
    return airflow_runs.read_workflow_id(workflow_id)


def set_states(workflow_id, run_state, **states):
    """Put a run and its task instances where a scheduler would have brought them."""
    dag_id, run_id = names(workflow_id)
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        run.dag = airflow_runs._dags().get_dag_for_run(run, session=session)
        run.verify_integrity(dag_version_id=run.created_dag_version_id, session=session)
        run.state = run_state
        for instance in session.scalars(
            select(TaskInstance).where(TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id)
        ):
            instance.state = states.get(instance.task_id)
            if instance.state in {"success", "failed", "running"}:
                instance.start_date = datetime.now(UTC)
                instance.try_number = 1


def test_the_same_submission_is_one_run(caller, airflow):
    """By its content: the order of the keys does not matter, another key or input does."""
    starter = caller("user")
    given = {"ids": ["a:1"], "chunk_size": 500}

    first = start(starter, given=given)
    again = start(starter, given=dict(reversed(given.items())))
    other = [start(starter, given=given, key="2"), start(starter, given={"ids": ["a:2"]})]

    assert (first.status_code, again.status_code) == (202, 200)
    assert first.json() == again.json()
    assert len({first.text, *(each.text for each in other)}) == 3
    assert count_runs() == 3


def test_sixteen_at_once_start_one_run(caller, airflow):
    """One of them is told that it is new, and all have the same id."""
    start(caller("user"), given={"ids": ["warm:1"]})

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: start(caller("user")), range(16)))

    assert sorted(each.status_code for each in answers) == [200] * 15 + [202]
    assert len({each.text for each in answers}) == 1
    assert count_runs() == 2


def test_a_run_waits_for_a_scheduler_that_is_down(caller, airflow):
    """What was accepted is a row in Airflow's database, with its conf and who asked for it."""
    dag_id, run_id = names(start(caller("user")).json()["workflow_id"])

    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id))
        assert (run.state, run.conf, run.triggering_user_name, run.logical_date) == (
            "queued",
            {"text": "Le banc est cassé."},
            "a-user",
            None,
        )


@pytest.mark.parametrize(
    ("workflow", "given", "field"),
    [
        ("contribution_analysis", {"text": "a", "chunk_size": 3}, "input.chunk_size"),
        ("contribution_analysis", {"ids": ["a", ""]}, "input.ids[1]"),
        ("contribution_analysis", {"day": "2026-13-01"}, "input.day"),
        ("contribution_analysis", {"day": "2026-01-01", "text": "a"}, "input.text"),
        ("contribution_analysis", {}, "input"),
        ("document_intake", {"urls": ["https://example.org", 3]}, "input.urls[1]"),
        ("document_intake", {"on_error": "explode"}, "input.on_error"),
        ("document_intake", {"chunk": 3}, "input.chunk"),
        ("nothing-of-that-name", {}, "workflow"),
        ("citizen-mail", {}, "input"),
        ("citizen-mail", {"mail": {"from": 3}}, "input.mail.from"),
        ("citizen-mail", {"mail": {}, "more": 1}, "input"),
    ],
)
def test_an_input_is_checked_before_anything_is_stored(caller, named, workflow, given, field):
    """Against the params of the DAG; the answer names the field."""
    answer = start(caller("user"), workflow, given)

    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == [field]
    assert count_runs() == 0


def test_a_named_workflow_is_a_dag(caller, named):
    """With hyphens or without; its input stands in the conf under ``input``."""
    given = {"mail": {"from": "a@example.org"}}

    first = start(caller("user"), "citizen-mail", given)
    again = start(caller("user"), "citizen_mail", given)

    assert (first.status_code, again.status_code) == (202, 200)
    _, run_id = names(first.json()["workflow_id"])
    with create_session() as session:
        run = session.scalar(select(DagRun).where(DagRun.run_id == run_id))
        assert (run.dag_id, run.conf) == ("workflow_citizen_mail", {"input": given})
    assert "citizen_mail" in caller("viewer").get("/workflows").json()["names"]


def test_who_may_not_start_a_dag_starts_none(caller, named, monkeypatch):
    """The right is asked of the DAG that the body names, before it is looked at any further."""
    manager = get_auth_manager()
    whole = manager.is_authorized_dag

    def all_but_one(*, method, user, access_entity=None, details=None):
        if details and details.id == "document_intake":
            return False
        return whole(method=method, user=user, access_entity=access_entity, details=details)

    monkeypatch.setattr(manager, "is_authorized_dag", all_but_one)
    one = caller("admin")

    assert start(one, "document_intake", {"chunk": 3}).status_code == 403
    assert start(one, "citizen-mail", {"mail": {}}).status_code == 202
    assert one.get("/workflows/document_intake.x/status").status_code == 403
    assert one.post("/workflows/document_intake.x/retry").status_code == 403
    assert one.get("/workflows?workflow=document_intake").status_code == 403
    assert "document_intake" not in one.get("/workflows").json()["names"]
    assert count_runs() == 1


def test_no_other_dag_is_a_workflow(caller, airflow):
    """Neither to start nor to look into."""
    admin = caller("admin")

    assert start(admin, "daily_chain", {}).status_code == 422
    assert admin.get("/workflows/daily_chain.x/status").status_code == 404
    assert admin.get("/workflows/workflow_daily_chain.x/output").status_code == 404


def metric(ledger, workflow_id, task_id, status, *, tries=1, step=None, **more):
    attempt = Attempt(*names(workflow_id), task_id, -1, tries)
    open_metric(ledger, TOWN, attempt, step or task_id)
    close_metric(ledger, attempt, status, **more)


def test_a_status_says_how_each_step_stands(caller, airflow, ledger):
    """State, tries, records by outcome, warnings; and of an error step, attempt, cause and what to do."""
    started = start(caller("user")).json()["workflow_id"]
    set_states(started, "running", split="success", settle="failed")
    metric(ledger, started, "split", "success", docket={"warnings": ["un fichier attend"]})
    states = {"accepted": 2, "review": 1}
    metric(
        ledger, started, "settle", "failed", docket={"states": states}, error_message="a sum is off"
    )

    found = caller("viewer").get(f"/workflows/{started}/status").json()

    assert (found["state"], found["started_by"]) == ("running", "a-user")
    assert (found["steps"][0]["step"], found["steps"][-1]["step"]) == ("split", "reconcile")
    assert found["records"] == states
    assert found["warnings"] == ["split: un fichier attend"]
    assert found["error"] == {
        "step": "settle",
        "attempt": 1,
        "cause": "a sum is off",
        "next_action": "Mend the cause and POST .../retry: only what failed runs again.",
    }


def test_an_error_without_a_word_says_so(caller, airflow):
    """An attempt that was killed left no metric."""
    started = start(caller("user")).json()["workflow_id"]
    set_states(started, "failed", split="failed")

    error = caller("viewer").get(f"/workflows/{started}/status").json()["error"]

    assert error["cause"].startswith("The attempt ended without a word")


def states_of(workflow_id):
    dag_id, run_id = names(workflow_id)
    with create_session() as session:
        found = session.execute(
            select(TaskInstance.task_id, TaskInstance.state).where(
                TaskInstance.dag_id == dag_id, TaskInstance.run_id == run_id
            )
        ).all()
        run = session.scalar(
            select(DagRun.state).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        )
    return run, dict(found)


def test_only_what_failed_is_repeated(caller, airflow):
    """And what could not begin because of it; what was done stays done."""
    started = start(caller("user")).json()["workflow_id"]
    set_states(started, "failed", split="success", settle="failed", reconcile="upstream_failed")

    answer = caller("user").post(f"/workflows/{started}/retry")

    assert answer.status_code == 202
    run, states = states_of(started)
    assert (run, states["split"]) == ("queued", "success")
    assert (states["settle"], states["reconcile"]) == (None, None)


def test_where_nothing_failed_nothing_is_repeated(caller, airflow):
    """409, and every state as it was."""
    started = start(caller("user")).json()["workflow_id"]
    set_states(started, "success", split="success", settle="success", reconcile="success")

    assert caller("user").post(f"/workflows/{started}/retry").status_code == 409
    assert caller("user").post(f"/workflows/{started}/cancel").status_code == 409
    assert states_of(started)[0] == "success"


def test_a_cancelled_run_ends_and_can_be_taken_up_again(caller, airflow):
    """Cancelled twice it is cancelled once; a retry runs what it had not done."""
    started = start(caller("user")).json()["workflow_id"]
    set_states(started, "running", split="success", settle="running")

    first = caller("user").post(f"/workflows/{started}/cancel")
    again = caller("user").post(f"/workflows/{started}/cancel")

    assert (first.status_code, again.status_code) == (202, 202)
    run, states = states_of(started)
    assert (run, states["split"], states["reconcile"]) == ("failed", "success", "skipped")
    assert "a-user" in caller("viewer").get(f"/workflows/{started}/status").json()["note"]
    caller("user").post(f"/workflows/{started}/retry")
    run, states = states_of(started)
    assert (run, states["split"], states["reconcile"]) == ("queued", "success", None)


def test_a_long_list_comes_page_by_page(caller, airflow):
    """Each run once, the newest first; filters stay in force."""
    starter = caller("user")
    started = [start(starter, key=str(n)).json()["workflow_id"] for n in range(5)]
    start(starter, "document_intake", {})
    set_states(started[0], "failed")

    seen, cursor = [], None
    while True:
        page = starter.get(
            "/workflows",
            params={"workflow": "contribution_analysis", "limit": 2}
            | ({"cursor": cursor} if cursor else {}),
        ).json()
        seen += [each["workflow_id"] for each in page["workflows"]]
        cursor = page.get("next")
        if cursor is None:
            break

    assert seen == started[::-1]
    failed = starter.get("/workflows?state=failed").json()["workflows"]
    assert [each["workflow_id"] for each in failed] == started[:1]


def test_a_run_s_contributions_are_its_output(caller, airflow, ledger):
    """Page by page; how the machine judged is for who may judge."""
    starter = caller("user")
    started = start(starter).json()["workflow_id"]
    dag_id, run_id = names(started)
    sent = [
        {"text": f"Le banc {n} du quai d'Audierne est cassé.", "external_id": str(n)}
        for n in range(3)
    ]
    starter.post("/contributions", json={"contributions": sent})
    ledger.execute(
        "INSERT INTO step_result (item_id, step, input_hash, rubric_version, output, engine, dag_id,"
        " run_id) SELECT contribution_id, 'validate', input_hash, 'r-1', '{\"decision\": \"review\"}',"
        " 'embedded', %s, %s FROM contribution",
        (dag_id, run_id),
    )
    ledger.execute(
        "INSERT INTO work_chunk (municipality, received_on, days, rubric_version, dag_id, run_id,"
        " position, item_count, claimed_until) SELECT municipality, received_on, ARRAY[received_on],"
        " 'r-1', %s, %s, 0, 3, now() FROM contribution LIMIT 1",
        (dag_id, run_id),
    )
    ledger.execute("UPDATE contribution SET state = 'review', state_rubric = 'r-1'")

    first = caller("viewer").get(f"/workflows/{started}/output?limit=2").json()
    second = caller("viewer").get(
        f"/workflows/{started}/output", params={"limit": 2, "cursor": first["next"]}
    )
    whole = starter.get(f"/workflows/{started}/output").json()["contributions"]

    given = first["contributions"] + second.json()["contributions"]
    assert sorted(each["external_id"] for each in given) == ["0", "1", "2"]
    assert all(each["state"] == "in_review" and len(each["receipt"]) == 14 for each in given)
    assert "validation" not in second.text
    assert "next" not in second.json()
    assert {each["machine_state"] for each in whole} == {"review"}
    assert all(each["validation"] == {"decision": "review"} for each in whole)


def test_a_definition_s_run_has_its_output_and_warnings(caller, airflow, ledger):
    """What the last task of a named workflow left in the ledger, under the name that started it."""
    given = {"path": "arrete.pdf"}
    started = start(caller("user"), "document-processing", given).json()["workflow_id"]
    dag_id, run_id = names(started)
    ledger.execute(
        "INSERT INTO workflow_definition (workflow, definition_hash, definition)"
        " VALUES ('document-processing', repeat('a', 64), '{}')"
    )
    ledger.execute(
        "INSERT INTO workflow_run (workflow, run_id, municipality, dag_id, definition_hash, input,"
        " state, warnings, output, ended_at) VALUES ('document-processing', %s, %s, %s,"
        " repeat('a', 64), '{}', 'done_with_warnings', '[\"page 2 : illisible\"]',"
        ' \'{"document_id": "ab"}\', now())',
        (run_id, TOWN, dag_id),
    )
    reader = caller("viewer")

    output = reader.get(f"/workflows/{started}/output").json()
    status = reader.get(f"/workflows/{started}/status").json()

    assert output["output"] == {"document_id": "ab"}
    assert output["warnings"] == status["warnings"] == ["page 2 : illisible"]
    assert [each["step"] for each in status["steps"]][-1] == "finish"
    assert start(caller("user"), "document-processing", {"paths": "a"}).status_code == 422
