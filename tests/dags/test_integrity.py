"""The laws every DAG obeys; no database, no scheduler."""

import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

pytest.importorskip("airflow", reason="DAG tests need Airflow")

from airflow.dag_processing.dagbag import DagBag
from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.providers.standard.operators.python import PythonOperator
from airflow.sdk.definitions.taskgroup import MappedTaskGroup
from airflow.sdk.serde import deserialize
from airflow.serialization.serialized_objects import DagSerialization

from airflow_settings import RUNS_LOOKED_AT
from include.errors import (
    LedgerUnavailableError,
    PermanentError,
    ProcessingError,
    TransientError,
    UnreadableAnswerError,
)
from participation.defaults import DAG_DEFAULTS, DAILY_DEFAULTS, TAGS, ParticipationRetryPolicy
from participation.document_tasks import READERS
from participation.ledger.review import MAX_OPEN

PROJECT = Path(__file__).parents[2]
DAGS = PROJECT / "dags"
DEFINITIONS = PROJECT / "include" / "workflows"
BAG = DagBag(dag_folder=str(DAGS))
REVIEW = "contribution_review"
TASKS = [(dag.dag_id, task.task_id) for dag in BAG.dags.values() for task in dag.tasks]


def test_every_dag_file_imports():
    """A DAG file that fails to import disappears from the UI in silence; here it does not."""
    assert BAG.import_errors == {}
    assert set(BAG.dags) >= {
        "load_contributions",
        "contribution_router",
        "contribution_analysis",
        "daily_chain",
    }


def test_each_file_holds_the_dag_it_is_named_after():
    """dags/<dag_id>.py: whoever reads an id in the UI knows which file to open.

    But for named workflows: all of them stand in one file, whose definitions are files of their own.
    """
    named = {dag_id for dag_id, dag in BAG.dags.items() if Path(dag.fileloc).stem == "workflows"}

    assert {path.stem for path in DAGS.glob("*.py")} == {
        *(set(BAG.dags) - named),
        "workflows",
        "workflow_definitions",
    }
    assert named == {
        f"workflow_{path.stem.replace('-', '_')}" for path in DEFINITIONS.glob("*.yaml")
    }
    assert {dag_id for dag_id in BAG.dags if dag_id.startswith("workflow_")} == named


@pytest.mark.parametrize("dag", BAG.dags.values(), ids=lambda dag: dag.dag_id)
def test_every_dag_explains_itself(dag):
    """The page in the UI says what the DAG reads, writes and may be trusted to repeat."""
    for promise in ("**Reads**", "**Writes**", "**Safe to run again**", "**When it"):
        assert promise in dag.doc_md
    assert set(dag.tags) <= TAGS
    assert dag.tags
    assert dag.owner == "participation"
    for param in dag.params:
        assert dag.params.get_param(param).description, param


@pytest.mark.parametrize("dag", BAG.dags.values(), ids=lambda dag: dag.dag_id)
def test_every_dag_has_limits(dag):
    """A late or never-started run is noticed, a hung task is ended, runs do not pile up."""
    assert dag.deadline
    assert dag.max_active_runs <= (MAX_OPEN if dag.dag_id == REVIEW else 8)
    assert dag.catchup is False


def test_runs_that_wait_for_a_person_never_keep_a_backfill_from_running():
    """The scheduler looks at backfills last, so its limit is above all other runs there may be."""
    others = sum(dag.max_active_runs for dag in BAG.dags.values())
    compose = yaml.safe_load((PROJECT / "docker-compose.yaml").read_text("utf-8"))

    assert int(RUNS_LOOKED_AT) > others
    assert (
        compose["x-airflow-environment"]["AIRFLOW__SCHEDULER__MAX_DAGRUNS_PER_LOOP_TO_SCHEDULE"]
        == RUNS_LOOKED_AT
    )


@pytest.mark.parametrize(("dag_id", "task_id"), TASKS, ids=lambda part: part)
def test_every_task_explains_itself_and_ends(dag_id, task_id):
    """The docstring reaches the UI; a time limit and the retry policy are set.

    A question to a person is the one task without a limit.
    """
    task = BAG.dags[dag_id].get_task(task_id)

    assert task.doc_md
    assert bool(task.execution_timeout) is ((dag_id, task_id) != (REVIEW, "ask"))
    assert isinstance(task.retry_policy, ParticipationRetryPolicy)


@pytest.mark.parametrize(("dag_id", "task_id"), TASKS, ids=lambda part: part)
def test_no_log_repeats_what_a_task_hands_on(dag_id, task_id):
    """Law 7: the subject of a question and the result of one text hold a citizen's words.

    Airflow writes what a Python task returns into the task's log and the scheduler's, unless told not to.
    """
    task = BAG.dags[dag_id].get_task(task_id)

    arguments = getattr(task, "partial_kwargs", None) or vars(task)
    if isinstance(task, PythonOperator) or "python_callable" in arguments:
        assert arguments.get("show_return_value_in_logs") is False


def timetable(schedule):
    """Say when a schedule starts a run; on each side it is another class of the same name."""
    condition = schedule.asset_condition
    assets = getattr(condition, "objects", [condition])
    net = getattr(schedule, "timetable", None)
    names = ("expression", "timezone", "run_offset", "key_format")
    return {
        "kind": type(schedule).__name__,
        "assets": [asset.name for asset in assets if hasattr(asset, "name")],
        "net": timetable(net) if net else None,
        **{name: str(getattr(schedule, name, getattr(schedule, f"_{name}", ""))) for name in names},
    }


def deadlines(dag):
    """Say when a run is late and what happens then; the scheduler reads the stored form itself."""
    for alert in dag.deadline:
        if isinstance(alert, dict):
            reference = alert["reference"]["__class_path"]
            interval, callback = deserialize(alert["interval"]), deserialize(alert["callback"])
        else:
            reference = f"{type(alert.reference).__module__}.{type(alert.reference).__name__}"
            interval, callback = alert.interval, alert.callback
        yield reference, interval, callback.path, callback.kwargs


def described(dag):
    """Say what the author wrote of a DAG, in values that can be compared."""
    return {
        "tasks": {
            task.task_id: {
                "after": sorted(task.upstream_task_ids),
                "rule": getattr(task.trigger_rule, "value", task.trigger_rule),
                "retries": (task.retries, task.retry_delay, task.max_retry_delay),
                "limit": task.execution_timeout,
                "outlets": [outlet.name for outlet in task.outlets],
                "is_mapped": task.is_mapped,
                "said": task.doc_md,
            }
            for task in dag.tasks
        },
        "edges": sorted(
            (task.task_id, after) for task in dag.tasks for after in task.downstream_task_ids
        ),
        "form": {
            name: (param.value, param.schema, param.description)
            for name in dag.params
            for param in [dag.params.get_param(name)]
        },
        "timetable": timetable(dag.timetable),
        "deadlines": list(deadlines(dag)),
        "limits": (dag.dagrun_timeout, dag.max_active_runs, dag.catchup),
        "failure_callback": bool(dag.has_on_failure_callback),
    }


@pytest.mark.parametrize("dag", BAG.dags.values(), ids=lambda dag: dag.dag_id)
def test_every_dag_survives_serialization(dag):
    """What the scheduler reads is what the author wrote: tasks, order, form, schedule, limits."""
    read = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))

    assert described(read) == described(dag)


def test_the_last_task_of_a_run_balances_the_books():
    """Law 2: reconcile runs whatever happened before it, and nothing passes it by."""
    analysis = BAG.dags["contribution_analysis"]
    assert [task.task_id for task in analysis.leaves] == ["reconcile"]
    for dag_id in ("contribution_analysis", "daily_chain"):
        assert BAG.dags[dag_id].get_task("reconcile").trigger_rule.value == "all_done"


def test_the_daily_chain_fits_its_ten_minutes():
    """Step limits add up to less than 540 s, so that the last step still has its turn."""
    dag = BAG.dags["daily_chain"]

    total = sum((task.execution_timeout for task in dag.tasks), timedelta())

    assert dag.dagrun_timeout == timedelta(seconds=600)
    assert total < timedelta(seconds=540)
    assert dag.max_active_runs == 1
    assert dag.has_on_failure_callback


def emitters(asset):
    return {
        (dag.dag_id, task.task_id)
        for dag in BAG.dags.values()
        for task in dag.tasks
        for outlet in task.outlets
        if outlet.name == asset
    }


def test_only_the_loader_and_the_router_emit_contributions():
    """A watcher's event carries no key, so nobody else does."""
    assert emitters("contributions") == {
        ("load_contributions", "announce"),
        ("load_contributions", "announce_github"),
        ("contribution_router", "announce"),
    }


def test_github_holds_up_nothing_of_the_inbox():
    """A failure, a long wait or a missing connection there leaves load, announce and confirm alone."""
    dag = BAG.dags["load_contributions"]
    ways = {"load": ["announce", "confirm"], "load_github": ["announce_github", "confirm_github"]}

    for first, after in ways.items():
        task = dag.get_task(first)
        assert sorted(task.get_flat_relative_ids(upstream=False)) == after
        assert not task.upstream_task_ids
    github = dag.get_task("load_github")
    tries = github.retries + 1
    assert tries * github.execution_timeout + github.retries * github.max_retry_delay < timedelta(
        minutes=30
    )


def test_both_ways_of_judging_announce_what_they_settled():
    """Who waits for a day's states need not know which DAG made them."""
    assert emitters("analysed") == {("contribution_analysis", "settle"), ("daily_chain", "settle")}


def test_a_question_to_a_person_has_no_end():
    """No limit cuts it off and nothing is answered for a person; the run has none either."""
    dag = BAG.dags[REVIEW]
    ask = dag.get_task("ask")

    assert (ask.execution_timeout, ask.response_timeout, ask.defaults) == (None, None, None)
    assert ask.retries >= 1
    assert dag.dagrun_timeout is None
    assert isinstance(ask, HITLOperator)


def test_every_question_is_recorded_by_itself():
    """A mapped group of two: whoever is answered first is recorded first; reconcile waits for all."""
    dag = BAG.dags[REVIEW]
    ask, record = dag.get_task("ask"), dag.get_task("record")
    group = dag.task_group.get_child_by_label("ask_and_record")

    assert isinstance(group, MappedTaskGroup)
    assert set(group.children) == {"ask", "record"}
    assert ask.downstream_task_ids == {"record"}
    assert record.trigger_rule.value == "all_success"
    assert [task.task_id for task in dag.leaves] == ["reconcile"]
    assert dag.get_task("reconcile").trigger_rule.value == "all_done"


def test_people_are_asked_after_the_report():
    """Woken by outbox rows, as the report writes one; nobody else has the asset as outlet."""
    watched = woken_by(REVIEW)["review_due"]

    assert [watcher.name for watcher in watched.watchers] == ["review_due_watcher"]
    assert emitters("review_due") == set()
    assert BAG.dags[REVIEW].timetable.timetable.expression == "40 7-19/3 * * *"


def test_nobody_waits_for_an_answer():
    """`make run ONESHOT=1` ends without people: the main job does not know the DAG that asks them."""
    source = (PROJECT / "scripts" / "main_job.py").read_text(encoding="utf-8")

    assert REVIEW not in source


def test_the_operators_form_says_its_limits():
    """One to twenty questions; a day and a reason may be left open."""
    form = BAG.dags[REVIEW].params

    assert {name: form.get_param(name).value for name in form} == {
        "limit": 20,
        "only_day": None,
        "only_reason": None,
    }
    limit = form.get_param("limit").schema
    assert (limit["minimum"], limit["maximum"]) == (1, 20)


STEPS = {
    "document_intake": None,
    "document_chunking": "documents",
    "document_embedding": "chunks",
    "document_indexing": "embeddings",
    "dataset_creation": "index",
}


def woken_by(dag_id):
    return {
        asset.name: asset
        for asset in getattr(BAG.dags[dag_id].timetable.asset_condition, "objects", ())
    }


@pytest.mark.parametrize(("dag_id", "asset"), STEPS.items())
def test_each_document_step_waits_for_the_one_before(dag_id, asset):
    """One run at a time, started by the asset of the step before, and reconciled at its end."""
    dag = BAG.dags[dag_id]

    assert set(woken_by(dag_id)) == ({asset} if asset else set())
    assert dag.max_active_runs == 1
    assert [task.task_id for task in dag.leaves] == ["reconcile"]
    assert dag.get_task("reconcile").trigger_rule.value == "all_done"


def test_each_document_step_looks_once_a_night_by_itself():
    """A new version of the code and a lost event wake nobody; in the order of the steps."""
    nets = [BAG.dags[dag_id].timetable.timetable for dag_id, asset in STEPS.items() if asset]

    assert [net.expression for net in nets] == [f"{minute} 3 * * *" for minute in (0, 10, 20, 30)]
    assert {str(net.timezone) for net in nets} == {"Europe/Paris"}


@pytest.mark.parametrize("asset", ["documents", "chunks", "embeddings", "index"])
def test_a_watched_asset_has_no_other_emitter(asset):
    """Its events are the outbox rows; a task with it as outlet would announce each one twice."""
    (dag_id,) = [dag_id for dag_id, name in STEPS.items() if name == asset]
    watched = woken_by(dag_id)[asset]

    assert watched.group == "documents"
    assert watched.extra["description"]
    assert [watcher.name for watcher in watched.watchers] == [f"{asset}_watcher"]
    assert emitters(asset) == set()


def test_only_the_dataset_is_announced_by_its_task():
    """Nobody watches it."""
    assert emitters("dataset") == {("dataset_creation", "build")}


def test_a_kind_of_document_is_a_branch():
    """Every reader that the branch may name is there, and nothing else follows it."""
    choose = BAG.dags["document_intake"].get_task("choose")

    assert choose.inherits_from_skipmixin
    assert choose.downstream_task_ids == set(READERS.values())


def test_a_source_that_fails_holds_up_no_paper_that_is_kept():
    """What to read is chosen in any case; ``reconcile`` makes the run red."""
    choose = BAG.dags["document_intake"].get_task("choose")

    assert choose.upstream_task_ids == {"find"}
    assert choose.trigger_rule.value == "all_done"


NAMED = [dag for dag in BAG.dags.values() if Path(dag.fileloc).stem == "workflows"]


@pytest.mark.parametrize("dag", NAMED, ids=lambda dag: dag.dag_id)
def test_a_named_workflow_has_a_task_per_step_and_an_end(dag):
    """Every task has its turn whatever came before: the ledger says what that means; ``finish`` is last."""
    written = yaml.safe_load(
        (DEFINITIONS / f"{dag.dag_id.removeprefix('workflow_').replace('_', '-')}.yaml").read_text()
    )

    assert set(dag.task_ids) == {*(step["id"] for step in written["steps"]), "finish"}
    assert {task.trigger_rule.value for task in dag.tasks} == {"all_done"}
    assert [task.task_id for task in dag.leaves] == ["finish"]
    assert dag.get_task("finish").upstream_task_ids == {step["id"] for step in written["steps"]}
    assert dag.has_on_failure_callback
    assert set(dag.params) == {*written["input"]["properties"], "input"}
    for step in written["steps"]:
        assert dag.get_task(step["id"]).execution_timeout.total_seconds() == step.get(
            "timeout_s", 600
        )
    dag.params.validate()


def test_a_bad_definition_is_an_import_error_and_the_others_load(tmp_path, monkeypatch):
    """The error names each bad file, its line and the way out; no file with a DAG has one."""
    shutil.copytree(DEFINITIONS, tmp_path / "defs")
    good = tmp_path / "defs" / "document-processing.yaml"
    bad = tmp_path / "defs" / "bad-one.yaml"
    bad.write_text(
        good.read_text()
        .replace("name: document-processing", "name: bad-one")
        .replace("processor: find_themes", "processor: find_theme")
    )
    (tmp_path / "defs" / "bad-two.yaml").write_text("name: bad-two\nsteps: [\n")
    line = 1 + bad.read_text().splitlines().index("    processor: find_theme")
    monkeypatch.setenv("PARTICIPATION_WORKFLOWS", str(tmp_path / "defs"))

    bag = DagBag(dag_folder=str(DAGS))

    ((file, error),) = bag.import_errors.items()
    assert Path(file).name == "workflow_definitions.py"
    assert f"bad-one.yaml, line {line}: there is no processor 'find_theme', did you mean" in error
    assert "bad-two.yaml, line 3: is no YAML" in error
    assert set(bag.dags) == set(BAG.dags)
    assert file not in {dag.fileloc for dag in bag.dags.values()}


def test_a_red_gate_is_a_red_run_with_a_page():
    """The page is written whatever happened; nothing green comes after the gate but what it let through."""
    dag = BAG.dags["evaluate_reviewer"]
    order = ["collect", "run_engine", "score", "gate", "publish_page", "publish_to_opik"]
    rules = {task.task_id: task.trigger_rule.value for task in dag.tasks}

    assert [task.task_id for task in dag.topological_sort()] == order
    assert rules["publish_page"] == rules["score"] == "all_done"
    assert rules["gate"] == rules["publish_to_opik"] == "all_success"
    # The state of a run is that of its leaves: one that follows the gate and does not pass it by.
    assert [task.task_id for task in dag.leaves] == ["publish_to_opik"]
    assert dag.get_task("publish_to_opik").upstream_task_ids == {"gate", "publish_page"}


def test_the_reviewer_is_evaluated_every_week():
    """Monday night on the town's clock; by hand with bars that are bounded and explained."""
    dag = BAG.dags["evaluate_reviewer"]
    net = dag.timetable

    assert (net.expression, str(net.timezone)) == ("15 2 * * 1", "Europe/Paris")
    for name in dag.params:
        schema = dag.params.get_param(name).schema
        assert schema["type"] == "boolean" or {"minimum", "maximum"} <= set(schema), name


def failed(cause):
    return ProcessingError("validate", "c-1", 1, cause, failed_at=datetime.now(UTC))


@pytest.mark.parametrize(
    ("error", "action"),
    [
        pytest.param(PermanentError("x"), "FAIL", id="permanent"),
        pytest.param(failed(PermanentError("x")), "FAIL", id="permanent_inside_a_step"),
        pytest.param(TransientError("x"), "DEFAULT", id="transient"),
        pytest.param(failed(LedgerUnavailableError("x")), "DEFAULT", id="ledger_away"),
        pytest.param(UnreadableAnswerError("x"), "DEFAULT", id="unreadable_answer"),
        pytest.param(ValueError("x"), "DEFAULT", id="unsorted"),
    ],
)
def test_the_retry_policy_asks_whether_another_attempt_helps(error, action):
    """Permanent errors stop at once; everything else is tried again."""
    decision = ParticipationRetryPolicy().evaluate(error, 1, 5)

    assert decision.action.name == action


def test_a_provider_that_says_when_to_come_back_is_obeyed():
    """Retry-After reaches the task's next attempt."""
    error = TransientError("429")
    error.retry_after_s = 7

    assert ParticipationRetryPolicy().evaluate(error, 1, 5).retry_delay == timedelta(seconds=7)


def test_retries_outlast_a_restart_of_the_control_plane():
    """At least four tries over ten minutes; inside the daily chain two retries at 20 s."""
    waits = []
    wait = DAG_DEFAULTS["retry_delay"]
    for _ in range(DAG_DEFAULTS["retries"]):
        waits.append(min(wait, DAG_DEFAULTS["max_retry_delay"]))
        wait *= DAG_DEFAULTS["retry_exponential_backoff"]

    assert DAG_DEFAULTS["retries"] + 1 >= 4
    assert sum(waits, timedelta()) >= timedelta(minutes=10)
    assert (DAILY_DEFAULTS["retries"], DAILY_DEFAULTS["retry_delay"]) == (2, timedelta(seconds=20))


def test_airflow_leaves_our_package_alone():
    """Without this line Airflow would load each module again under its bare file name."""
    assert (PROJECT / "plugins" / ".airflowignore").read_text().split() == ["/participation/"]


def test_only_the_ledger_speaks_sql():
    """Whoever changes a table finds every statement about it in one package."""
    package = PROJECT / "plugins" / "participation"
    statement = re.compile(r"\b(SELECT|INSERT INTO|UPDATE \w+ SET|DELETE FROM)\b")
    speaking = {
        path.relative_to(package).parts[0]
        for path in package.rglob("*.py")
        if statement.search(path.read_text("utf-8"))
    }

    assert speaking == {"ledger"}


def test_the_documentation_is_current():
    """docs/dags.md is what `make docs` would write now."""
    checked = subprocess.run(
        [sys.executable, str(PROJECT / "scripts" / "dag_docs.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert checked.returncode == 0, (
        "docs/dags.md is old: run `make docs`\n" + checked.stderr[-2000:]
    )
