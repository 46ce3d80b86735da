"""The tasks of named workflows on a real ledger: what each step leaves there, and how a run ends."""

import json
from collections import Counter

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowTaskTimeout

from include.dockets import fits
from include.errors import LedgerUnavailableError, PermanentError, TransientError
from include.processing.course import run_in_process
from include.processing.model import ErrorStrategy
from include.processing.registry import StepProcessor
from participation import callbacks, workflow_dags, workflow_tasks
from participation.ledger import connect
from participation.ledger.workflows import (
    latest_runs,
    result_of,
    status_of,
)
from tests.workflow_files import PASSES, STAYS, Troubles, definition
from tests.workflow_runs import run_tasks

pytestmark = pytest.mark.postgres

THREE = """
{head}
steps:
  - {{id: a, kind: processor, processor: work, inputs: {{name: a, value: "${{input.value}}"}}{a}}}
  - {{id: b, kind: processor, processor: work, inputs: {{name: b}}{b}}}
  - {{id: c, kind: processor, processor: work, inputs: {{name: c}}{c}}}
output: {{first: "${{steps.a.value}}"}}
"""


@pytest.fixture
def use(monkeypatch):
    """Let the tasks use a test's own processors."""

    def use(troubles):
        monkeypatch.setattr(workflow_tasks, "REGISTRY", troubles.registry)
        monkeypatch.setattr(workflow_dags, "REGISTRY", troubles.registry)
        return troubles

    return use


@pytest.fixture
def three(tmp_path):
    def three(head="strategy: stop", a="", b="", c=""):
        return definition(tmp_path, THREE.format(head=head, a=a, b=b, c=c))

    return three


def in_ledger(ledger):
    return dict(
        ledger.execute("SELECT step, state FROM workflow_step ORDER BY position").fetchall()
    )


def one(ledger, query, *values):
    return ledger.execute(query, values).fetchone()


def test_a_run_leaves_its_steps_results_and_output(ledger, instance, use, three, metrics_of):
    """One row per step and result; the output is in the ledger and in the last docket."""
    troubles = use(Troubles())
    read = three()

    run = run_tasks(workflow_dags.workflow_dag(read), instance, {"input": {"value": 3}})

    assert set(run.states.values()) == {"success"}
    assert troubles.seen == ["a", "b", "c"]
    assert run.handed_on["a"]["result"] == {"name": "a", "value": 3, "kind": None}
    assert run.handed_on["finish"]["output"] == {"first": 3, "warnings": []}
    assert in_ledger(ledger) == {"a": "done", "b": "done", "c": "done"}
    state, output, given_, hash_ = one(
        ledger, "SELECT state, output, input, definition_hash FROM workflow_run"
    )
    assert (state, output, given_) == ("done", {"first": 3, "warnings": []}, {"value": 3})
    assert hash_ == read.definition_hash
    assert one(ledger, "SELECT count(*) FROM workflow_step_result") == (3,)
    assert [(step, status) for step, status, _ in metrics_of(ledger)] == [
        ("a", "success"),
        ("b", "success"),
        ("c", "success"),
        ("finish", "success"),
    ]


def test_the_form_gives_the_input_field_by_field_too(ledger, instance, use, three):
    use(Troubles())
    dag = workflow_dags.workflow_dag(three())

    run = run_tasks(dag, instance, {"value": 5})
    both = run_tasks(dag, instance, {"value": 5, "input": {"value": 6}}, run_id="run-2")

    assert run.handed_on["finish"]["output"]["first"] == 5
    assert "not both: input and value" in both.said["a"]
    assert both.states == {"a": "failed", "b": "skipped", "c": "skipped", "finish": "failed"}


def test_a_wrong_input_is_a_red_run_that_names_the_field(ledger, instance, use, three):
    troubles = use(Troubles())

    run = run_tasks(
        workflow_dags.workflow_dag(three("strategy: continue")), instance, {"input": {"value": "x"}}
    )

    assert troubles.seen == []
    assert run.states == {"a": "failed", "b": "skipped", "c": "skipped", "finish": "failed"}
    assert "value: 'x' is not of type 'integer'" in run.said["finish"]
    assert in_ledger(ledger) == {"a": "failed", "b": "not_run", "c": "not_run"}
    assert one(ledger, "SELECT state, input FROM workflow_run") == ("failed", {"value": "x"})


def test_a_step_that_fails_stops_the_run(ledger, instance, use, three):
    """Red at the step and at the end; what comes after is skipped and says why."""
    troubles = use(Troubles(b=[PASSES]))

    run = run_tasks(workflow_dags.workflow_dag(three()), instance)

    assert troubles.seen == ["a", "b"]
    assert run.states == {"a": "success", "b": "failed", "c": "skipped", "finish": "failed"}
    assert run.tries["b"] == 1
    assert run.said["c"] == "not run: b failed"
    assert "b: TransientError: away (try the failed steps again" in run.said["finish"]
    assert in_ledger(ledger) == {"a": "done", "b": "failed", "c": "not_run"}


def test_a_cleared_step_goes_on_from_there(ledger, instance, use, three):
    """What is done is not done again; the run that was red is done."""
    troubles = use(Troubles(b=[STAYS]))
    dag = workflow_dags.workflow_dag(three())
    run = run_tasks(dag, instance)

    again = run_tasks(dag, instance, only={"b", "c", "finish"}, into=run)

    assert troubles.seen == ["a", "b", "b", "c"]
    assert set(again.states.values()) == {"success"}
    assert one(ledger, "SELECT state, reason FROM workflow_run") == ("done", None)
    assert in_ledger(ledger) == {"a": "done", "b": "done", "c": "done"}


def test_a_green_step_that_is_cleared_finds_its_result(ledger, instance, use, three):
    """Law 3: the second time it is read, not made."""
    troubles = use(Troubles())
    dag = workflow_dags.workflow_dag(three())
    run = run_tasks(dag, instance)

    run_tasks(dag, instance, into=run)

    assert troubles.seen == ["a", "b", "c"]
    assert one(ledger, "SELECT count(*) FROM workflow_step_result") == (3,)
    assert run.states["finish"] == "success"


def test_continue_is_a_green_run_with_warnings(ledger, instance, use, three, metrics_of):
    """The step ends skipped with what went wrong, its metric says failed, the output says it."""
    use(Troubles(b=[STAYS]))

    run = run_tasks(workflow_dags.workflow_dag(three("strategy: continue")), instance)

    warning = "b failed (1 attempt) and was left out: PermanentError: wrong"
    assert run.states == {"a": "success", "b": "skipped", "c": "success", "finish": "success"}
    assert run.said["b"] == warning
    assert run.handed_on["finish"]["state"] == "done_with_warnings"
    assert run.handed_on["finish"]["output"]["warnings"] == [warning]
    assert one(ledger, "SELECT state, warnings FROM workflow_run") == (
        "done_with_warnings",
        [warning],
    )
    assert ("b", "failed", warning) in metrics_of(ledger)


def test_a_critical_step_stops_a_run_that_continues(ledger, instance, use, three):
    use(Troubles(b=[STAYS]))

    run = run_tasks(
        workflow_dags.workflow_dag(three("strategy: continue", b=", critical: true")), instance
    )

    assert run.states == {"a": "success", "b": "failed", "c": "skipped", "finish": "failed"}


def test_retry_comes_back_after_the_pause_of_the_step(ledger, instance, use, three):
    troubles = use(Troubles(b=[PASSES, PASSES]))
    read = three(b=", on_error: retry, retry: {attempts: 3, wait_s: 45}")

    run = run_tasks(workflow_dags.workflow_dag(read), instance)

    assert troubles.seen == ["a", "b", "b", "b", "c"]
    assert run.waits["b"] == [45.0, 45.0]
    assert run.states["finish"] == "success"
    assert one(ledger, "SELECT attempts FROM workflow_step WHERE step = 'b'") == (3,)


def test_retry_gives_up_after_its_attempts(ledger, instance, use, three):
    """Airflow would try more often: for a ledger that is away, not for the step."""
    troubles = use(Troubles(b=[PASSES] * 9))
    read = three(b=", on_error: retry, retry: {attempts: 2, wait_s: 0}")
    dag = workflow_dags.workflow_dag(read)

    run = run_tasks(dag, instance)

    assert dag.get_task("b").retries > 2
    assert troubles.seen == ["a", "b", "b"]
    assert run.states["b"] == "failed"


def test_a_ledger_that_is_away_is_no_attempt_of_the_step(ledger, instance, use, three):
    """The step is tried once, as it says, and Airflow comes back for the ledger."""
    troubles = use(Troubles(b=[LedgerUnavailableError("gone"), psycopg.OperationalError("gone")]))

    run = run_tasks(workflow_dags.workflow_dag(three()), instance)

    assert troubles.seen == ["a", "b", "b", "b", "c"]
    assert run.states["finish"] == "success"


@pytest.mark.parametrize(("strategy", "state"), [("stop", "failed"), ("continue", "skipped")])
def test_a_time_out_is_a_failure_of_the_step(
    ledger, instance, use, three, strategy, state, metrics_of
):
    """Airflow interrupts the task; what that means is the step's strategy, and the metric says timeout."""
    use(Troubles(b=[AirflowTaskTimeout("time")]))

    run = run_tasks(
        workflow_dags.workflow_dag(three(b=f", timeout_s: 2, on_error: {strategy}")), instance
    )

    assert run.states["b"] == state
    assert "TimeoutError: 2 s were over" in run.said["b"]
    assert next(status for step, status, _ in metrics_of(ledger) if step == "b") == "timeout"


def test_a_time_out_in_the_middle_of_a_query_is_put_on_record(ledger, instance, use, three):
    """The visit's connection is of no use any more; another one says what happened."""

    def broken(inputs, visit):
        visit.connection.execute("BEGIN")
        with pytest.raises(psycopg.Error):
            visit.connection.execute("SELECT 1/0")
        raise AirflowTaskTimeout("time")

    class Broken(Troubles):
        @property
        def registry(self):
            work = super().registry["work"]
            return {"work": StepProcessor(work.says, work.takes, work.gives, broken)}

    use(Broken())

    run_tasks(workflow_dags.workflow_dag(three()), instance, only={"a"})

    assert in_ledger(ledger) == {"a": "failed"}


def test_a_step_that_was_killed_makes_the_run_red(ledger, instance, use, three):
    """No end on record: what needs it is not run, and the last task says so."""
    use(Troubles())
    dag = workflow_dags.workflow_dag(three("strategy: continue"))
    run = run_tasks(dag, instance, only={"a"})
    ledger.execute(
        "INSERT INTO workflow_step (workflow, run_id, step, position, state, attempts, started_at)"
        " VALUES ('small', 'run-1', 'b', 1, 'running', 6, now())"
    )
    run.states["b"] = "failed"

    run = run_tasks(dag, instance, only={"c", "finish"}, into=run)

    assert run.said["c"] == "not run: b did not come to its end"
    assert run.states["finish"] == "failed"
    assert "b: lost" in run.said["finish"]
    assert in_ledger(ledger) == {"a": "done", "b": "failed", "c": "not_run"}


def test_a_step_that_nobody_ran_makes_the_run_red(ledger, instance, use, three):
    """Law 9: a task that is missing is not passed over."""
    use(Troubles())
    dag = workflow_dags.workflow_dag(three(c=", needs: []"))

    run = run_tasks(dag, instance, only={"a", "c", "finish"})

    assert run.states["finish"] == "failed"
    assert "b: lost" in run.said["finish"]


def test_a_task_that_failed_after_its_result_was_stored_makes_the_run_red(
    ledger, instance, use, three
):
    use(Troubles())
    dag = workflow_dags.workflow_dag(three())
    run = run_tasks(dag, instance, only={"a", "b", "c"})
    run.states["b"] = "failed"

    run = run_tasks(dag, instance, only={"finish"}, into=run)

    assert "tasks failed after their results were stored: ['b']" in run.said["finish"]
    assert one(ledger, "SELECT state FROM workflow_run") == ("failed",)


def test_a_run_keeps_the_definition_that_it_began_with(ledger, instance, use, three):
    troubles = use(Troubles())
    run = run_tasks(workflow_dags.workflow_dag(three()), instance, only={"a"})

    changed = workflow_dags.workflow_dag(three("strategy: continue"))
    run = run_tasks(changed, instance, only={"b", "c", "finish"}, into=run)

    assert troubles.seen == ["a"]
    assert {run.states[name] for name in ("b", "c", "finish")} == {"failed"}
    assert "changed while the run run-1 was at work: start a new run" in run.said["b"]


def test_the_first_result_of_an_input_stays(ledger, ledger_dsn, instance, use, three):
    """Law 3: two copies that end at once leave one result, and both hand on the same."""
    read = three()
    other = {"name": "a", "value": "the other copy's", "kind": None}

    class Raced(Troubles):
        def work(self, inputs, visit):
            if inputs["name"] == "a":
                with connect(ledger_dsn) as connection:
                    store = workflow_tasks.LedgerWorkflows(
                        connection, visit.settings.municipality, visit.attempt
                    )
                    store.save(read, "a", inputs, other)
            return super().work(inputs, visit)

    use(Raced())

    run = run_tasks(workflow_dags.workflow_dag(read), instance, {"input": {"value": 1}})

    assert run.handed_on["a"]["result"] == other
    assert run.handed_on["finish"]["output"]["first"] == "the other copy's"
    assert one(ledger, "SELECT count(*) FROM workflow_step_result WHERE step = 'a'") == (1,)


def test_a_result_may_not_be_changed(ledger, instance, use, three):
    use(Troubles())
    run_tasks(workflow_dags.workflow_dag(three()), instance)

    for table in ("workflow_step_result", "workflow_definition"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            ledger.execute(f"DELETE FROM {table}")


def test_a_large_result_stays_in_the_ledger(ledger, instance, use, tmp_path):
    """Law 6: the docket has the way to it, and the next step reads all of it."""

    class Large(Troubles):
        def work(self, inputs, here):
            made = super().work(inputs, here)
            return {**made, "value": "é" * 9000} if inputs["name"] == "a" else made

    use(Large())
    read = definition(
        tmp_path,
        """
        steps:
          - {id: a, kind: processor, processor: work, inputs: {name: a}}
          - {id: b, kind: processor, processor: work, inputs: {name: b, value: "${steps.a.value}"}}
        """,
    )

    run = run_tasks(workflow_dags.workflow_dag(read), instance)

    assert all(fits(docket) for docket in run.handed_on.values())
    assert run.handed_on["a"]["result_in_ledger"] == {
        "workflow": "small",
        "run_id": "run-1",
        "step": "a",
    }
    assert result_of(ledger, "small", "run-1", "b")["value"] == "é" * 9000
    assert run.handed_on["finish"]["output_in_ledger"] == {"workflow": "small", "run_id": "run-1"}
    assert one(ledger, "SELECT length(output -> 'b' ->> 'value') FROM workflow_run") == (9000,)


def test_a_result_that_no_ledger_holds_fails_its_step(ledger, instance, use, three):
    class Odd(Troubles):
        def work(self, inputs, here):
            super().work(inputs, here)
            return {"value": float("nan")}

    use(Odd())

    run = run_tasks(workflow_dags.workflow_dag(three()), instance)

    assert run.states["a"] == "failed"
    assert "the result is no JSON" in run.said["a"]


def test_a_run_that_is_cut_off_is_ended_in_the_ledger(
    ledger, ledger_dsn, instance, use, three, monkeypatch
):
    """Its time was over: Airflow skips what is left, ``finish`` too."""
    use(Troubles())
    dag = workflow_dags.workflow_dag(three())
    run_tasks(dag, instance, only={"a"})
    ledger.execute(
        "INSERT INTO workflow_step (workflow, run_id, step, position, state, attempts, started_at)"
        " VALUES ('small', 'run-1', 'b', 1, 'running', 1, now())"
    )
    monkeypatch.setattr(callbacks, "ledger_dsn", lambda: ledger_dsn)

    for _ in range(2):
        callbacks.end_cut_off_workflow({"dag_run": instance, "reason": "timed_out"})

    told = status_of(ledger, "small", "run-1")
    assert (told["state"], told["reason"]) == ("failed", "cut off: timed_out")
    assert [step["state"] for step in told["steps"]] == ["done", "failed", "waiting"]
    assert dag.has_on_failure_callback
    assert dag.dagrun_timeout.total_seconds() == 3600


def test_a_status_says_where_a_run_stands(ledger, instance, use, three):
    """Each step with state, tries, duration and error; JSON throughout."""
    use(Troubles(b=[PASSES]))
    read = three(b=", on_error: retry")
    assert status_of(ledger, "small", "run-1") is None
    dag = workflow_dags.workflow_dag(read)
    run = run_tasks(dag, instance, only={"a"})

    begun = status_of(ledger, "small", "run-1")
    assert (begun["state"], begun["current_step"]) == ("running", None)
    assert begun["counts"] == {"done": 1, "waiting": 2}

    instance.max_tries = 9
    instance.task_id, instance.try_number = "b", 1
    with pytest.raises(Exception, match="away"):
        dag.get_task("b").python_callable(params={})
    waiting = status_of(ledger, "small", "run-1")
    assert waiting["current_step"] == "b"
    assert waiting["steps"][1]["state"] == "retrying"
    assert waiting["steps"][1]["tries"] == 1
    assert waiting["steps"][1]["error"] == {
        "step": "b",
        "attempt": 1,
        "cause": "TransientError: away",
        "next_action": waiting["steps"][1]["error"]["next_action"],
    }

    run_tasks(dag, instance, only={"b", "c", "finish"}, into=run)
    done = status_of(ledger, "small", "run-1")
    assert (done["state"], done["counts"]) == ("done", {"done": 3})
    assert done["output"] == {"first": None, "warnings": []}
    assert done["steps"][1]["tries"] == 2
    assert all(step["duration_ms"] >= 0 and step["size_bytes"] > 0 for step in done["steps"])
    assert json.loads(json.dumps(done)) == done


def test_runs_are_listed_page_by_page(ledger, instance, use, three):
    use(Troubles())
    dag = workflow_dags.workflow_dag(three())
    for number in range(5):
        run_tasks(dag, instance, run_id=f"run-{number}", only={"a"})

    first = latest_runs(ledger, "audierne-esquibien", limit=2)
    second = latest_runs(
        ledger,
        "audierne-esquibien",
        before=(first[-1]["started_at"], first[-1]["run_id"]),
        limit=9,
    )

    assert [run["run_id"] for run in first + second] == [f"run-{n}" for n in (4, 3, 2, 1, 0)]
    assert latest_runs(ledger, "audierne-esquibien", state="done") == []
    assert latest_runs(ledger, "elsewhere") == []
    assert len(latest_runs(ledger, "audierne-esquibien", workflow="small")) == 5


KINDS = st.sampled_from(["transient", "permanent"])
STRATEGIES = st.sampled_from([str(each) for each in ErrorStrategy])
STEP = st.fixed_dictionaries(
    {
        "critical": st.booleans(),
        "on_error": st.none() | STRATEGIES,
        "errors": st.lists(KINDS, max_size=3),
        "needs": st.none() | st.booleans(),
        "refers": st.booleans(),
        "when": st.none() | st.booleans(),
    }
)


@settings(max_examples=25, suppress_health_check=list(HealthCheck))
@given(strategy=STRATEGIES, written=st.lists(STEP, min_size=1, max_size=5))
def test_tasks_and_one_process_end_alike(
    ledger, instance, use, tmp_path_factory, strategy, written
):
    """Whatever fails, branches or refers: the same calls, states, warnings and output."""
    lines = []
    for n, each in enumerate(written):
        parts = [f"id: s{n}", "kind: processor", "processor: work"]
        value = f", value: '${{steps.s{n - 1}.name}}'" if n and each["refers"] else ""
        parts.append(f"inputs: {{name: s{n}, kind: s{n}{value}}}")
        parts.append(f"critical: {str(each['critical']).lower()}")
        parts += [f"on_error: {each['on_error']}"] if each["on_error"] else []
        parts += ["needs: []"] if each["needs"] else []
        if n > 1 and each["when"] is not None:
            kind = "s0" if each["when"] else "other"
            parts.append(f"when: {{value: '${{steps.s0.kind}}', equals: {kind}}}")
        lines.append("  - {" + ", ".join(parts) + "}")
    read = definition(
        tmp_path_factory.mktemp("alike"), f"strategy: {strategy}\nsteps:\n" + "\n".join(lines)
    )
    kinds = {"transient": TransientError, "permanent": PermanentError}
    errors = {
        f"s{n}": [kinds[kind]("x") for kind in each["errors"]] for n, each in enumerate(written)
    }
    run_id = f"run-{one(ledger, 'SELECT count(*) FROM workflow_run')[0]}"

    alone = Troubles(**errors)
    made = run_in_process(read, {}, alone.registry, pause=lambda _seconds: None)
    troubles = use(Troubles(**errors))
    run = run_tasks(workflow_dags.workflow_dag(read), instance, run_id=run_id)

    told = status_of(ledger, "small", run_id)
    assert Counter(troubles.seen) == Counter(alone.seen)
    assert {step["step"]: step["state"] for step in told["steps"]} == {
        name: str(record.state) for name, record in made.records.items()
    }
    assert told["state"] == made.outcome.state
    assert told["output"] == made.outcome.output
    assert tuple(told["warnings"]) == made.outcome.warnings
    assert (run.states["finish"] == "failed") == (made.outcome.state == "failed")
    # A failed task is a red run, and a green run has none.
    assert ("failed" in run.states.values()) == (made.outcome.state == "failed")
