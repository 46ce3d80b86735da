import threading
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.errors import PermanentError, ProcessingError, TransientError
from include.processing.course import (
    NoTurn,
    StepRecord,
    StepState,
    Turn,
    decide,
    outcome,
    path_part,
    run_in_process,
    storable_result,
    time_limit,
)
from include.processing.definition import InputError, read_definition
from include.processing.model import (
    ErrorStrategy,
    FunctionProcessor,
    ProcessingContext,
    Step,
)
from include.processing.references import NoSuchValueError
from include.processing.registry import StepProcessor
from include.processing.workflow import Workflow
from tests.workflow_files import PASSES, STAYS, Troubles, definition

THREE = """
{head}
steps:
  - {{id: a, kind: processor, processor: work, inputs: {{name: a}}{a}}}
  - {{id: b, kind: processor, processor: work, inputs: {{name: b}}{b}}}
  - {{id: c, kind: processor, processor: work, inputs: {{name: c}}{c}}}
"""

BRANCHES = """
steps:
  - id: sniff
    kind: processor
    processor: work
    inputs: {name: sniff, kind: "${input.kind}"}
  - id: read
    kind: processor
    processor: work
    when: {value: "${steps.sniff.kind}", equals: document}
    inputs: {name: read, value: "${input.value}"}
    needs: [sniff]
  - id: look
    kind: processor
    processor: work
    when: {value: "${steps.sniff.kind}", in: [image, picture]}
    inputs: {name: look, value: "${input.value}"}
    needs: [sniff]
  - id: keep
    kind: processor
    processor: work
    inputs: {name: keep, value: "${steps.read.value | steps.look.value}"}
output:
  kept: ${steps.keep.value}
  seen: ${steps.look.name}
"""


def three(folder, head="strategy: stop", a="", b="", c=""):
    return definition(folder, THREE.format(head=head, a=a, b=b, c=c))


def run(read, troubles=None, given=None, **options):
    troubles = troubles or Troubles()
    waits = []
    made = run_in_process(read, given or {}, troubles.registry, pause=waits.append, **options)
    return made, troubles, waits


def states(made):
    return {name: str(record.state) for name, record in made.records.items()}


def test_each_step_has_its_turn_and_the_output_is_composed(tmp_path):
    made, troubles, _ = run(definition(tmp_path, BRANCHES), given={"kind": "picture", "value": 4})

    assert troubles.seen == ["sniff", "look", "keep"]
    assert made.outcome.state == "done"
    assert made.outcome.output == {"kept": 4, "seen": "look", "warnings": []}
    assert made.records["read"].state is StepState.SKIPPED
    assert made.records["read"].reason == "branch not taken: 'picture' is not 'document'"


def test_a_branch_that_nobody_takes_leaves_out_what_needs_its_result(tmp_path):
    """Skipped with a reason, and no warning: nothing failed."""
    made, troubles, _ = run(definition(tmp_path, BRANCHES), given={"kind": "film"})

    assert troubles.seen == ["sniff"]
    assert (
        made.records["keep"].reason
        == "no result of read or look: read was skipped and look was skipped"
    )
    assert made.outcome.warnings == ()
    assert made.outcome.output == {"kept": None, "seen": None, "warnings": []}


def test_yes_is_no_number_in_a_condition(tmp_path):
    """1 and true are different answers."""
    read = definition(
        tmp_path,
        """
        steps:
          - id: a
            kind: processor
            processor: work
            when: {value: "${input.value}", equals: true}
            inputs: {name: a}
        """,
    )

    assert states(run(read, given={"value": 1})[0]) == {"a": "skipped"}


def test_stop_ends_what_comes_after(tmp_path):
    made, troubles, waits = run(three(tmp_path), Troubles(b=[PASSES]))

    assert troubles.seen == ["a", "b"]
    assert waits == []
    assert states(made) == {"a": "done", "b": "failed", "c": "not_run"}
    assert made.outcome.state == "failed"
    assert made.outcome.output is None
    (error,) = made.outcome.failed
    assert (error.step, error.attempt, error.cause) == ("b", 1, "TransientError: away")
    assert made.records["c"].reason == "not run: b failed"


def test_what_needs_nothing_of_it_goes_on(tmp_path):
    """A step that was told to need another one only is not ended by a failure beside it."""
    made, _, _ = run(three(tmp_path, c=", needs: [a]"), Troubles(b=[STAYS]))

    assert states(made) == {"a": "done", "b": "failed", "c": "done"}
    assert made.outcome.state == "failed"


def test_continue_goes_on_and_says_so(tmp_path):
    made, troubles, _ = run(three(tmp_path, "strategy: continue"), Troubles(b=[STAYS]))

    assert troubles.seen == ["a", "b", "c"]
    assert states(made) == {"a": "done", "b": "continued", "c": "done"}
    assert made.outcome.state == "done_with_warnings"
    assert made.outcome.warnings == (
        "b failed (1 attempt) and was left out: PermanentError: wrong",
    )
    assert made.outcome.output["warnings"] == list(made.outcome.warnings)


def test_a_critical_step_stops_whatever_the_strategies_say(tmp_path):
    read = three(tmp_path, "strategy: continue", b=", critical: true, on_error: continue")

    made, troubles, _ = run(read, Troubles(b=[PASSES]))

    assert troubles.seen == ["a", "b"]
    assert made.outcome.state == "failed"


def test_what_refers_to_a_failed_step_is_left_out_with_a_warning(tmp_path):
    read = definition(
        tmp_path,
        """
        strategy: continue
        steps:
          - {id: a, kind: processor, processor: work, inputs: {name: a}}
          - {id: b, kind: processor, processor: work, inputs: {name: b, value: "${steps.a.value}"}}
          - {id: c, kind: processor, processor: work, inputs: {name: c, value: "${steps.b.value}"}}
          - {id: d, kind: processor, processor: work, inputs: {name: d}}
        """,
    )

    made, troubles, _ = run(read, Troubles(a=[STAYS]))

    assert troubles.seen == ["a", "d"]
    assert states(made) == {"a": "continued", "b": "skipped", "c": "skipped", "d": "done"}
    assert made.outcome.warnings[1:] == (
        "b was left out: no result of a: a failed",
        "c was left out: no result of b: b was skipped",
    )


def test_retry_tries_transient_errors_again_after_a_pause(tmp_path):
    read = three(tmp_path, b=", on_error: retry, retry: {attempts: 4, wait_s: 7}")

    made, troubles, waits = run(read, Troubles(b=[PASSES, PASSES]))

    assert troubles.seen == ["a", "b", "b", "b", "c"]
    assert waits == [7, 7]
    assert made.records["b"].attempts == 3
    assert made.outcome.state == "done"


def test_retry_obeys_who_says_when_to_come_back(tmp_path):
    busy = TransientError("busy")
    busy.retry_after_s = 90

    _, _, waits = run(three(tmp_path, b=", on_error: retry"), Troubles(b=[busy]))

    assert waits == [90]


def test_a_permanent_error_is_not_tried_again(tmp_path):
    made, troubles, _ = run(three(tmp_path, "strategy: retry"), Troubles(b=[STAYS]))

    assert troubles.seen == ["a", "b"]
    assert "trying again alone will not help" in made.outcome.failed[0].next_action


def test_the_time_of_a_run_is_kept(tmp_path):
    """What was not begun when it was over is not run, and the run is no success."""
    read = three(tmp_path, "timeout_s: 1", a=", on_error: continue")
    slow = StepProcessor(
        "Is slow.",
        {"name": True},
        frozenset({"name", "value", "kind"}),
        lambda _inputs, _here: time.sleep(30) or {},
    )

    began = time.monotonic()
    made = run_in_process(read, {}, {"work": slow})

    assert time.monotonic() - began < 10
    assert states(made) == {"a": "continued", "b": "not_run", "c": "not_run"}
    assert made.outcome.state == "failed"
    assert "1 s of the run were over" in made.records["b"].reason


def test_a_step_that_takes_too_long_is_interrupted(tmp_path):
    read = three(tmp_path, b=", timeout_s: 0.1, on_error: continue")
    told = []

    def work(inputs, _here):
        if inputs["name"] == "b":
            try:
                time.sleep(30)
            except Exception:  # noqa: BLE001 - as careless code does
                told.append("held up")
        return {"name": inputs["name"]}

    registry = {"work": StepProcessor("Waits.", {"name": True}, frozenset({"name"}), work)}
    metrics = []
    made = run_in_process(read, {}, registry, observer=metrics.append)

    assert told == []
    assert states(made) == {"a": "done", "b": "continued", "c": "done"}
    assert [(each.step_name, each.status) for each in metrics] == [
        ("a", "success"),
        ("b", "timeout"),
        ("c", "success"),
    ]


def test_outside_the_main_thread_a_late_result_does_not_count():
    caught = []

    def work():
        try:
            with time_limit(0.01):
                time.sleep(0.05)
        except TimeoutError as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert caught == ["0.01 s were over"]


def test_a_wrong_input_begins_nothing(tmp_path):
    troubles = Troubles()

    with pytest.raises(InputError):
        run(three(tmp_path), troubles, given={"nothing": 1})

    assert troubles.seen == []


def test_a_call_without_a_client_fails(tmp_path):
    read = definition(tmp_path, "steps: [{id: a, kind: http, connection: site, path: /x}]")

    made, _, _ = run(read)

    assert "may make no calls" in made.outcome.failed[0].cause


def test_a_call_is_given_its_resolved_parts(tmp_path):
    read = definition(
        tmp_path,
        """
        steps:
          - id: a
            kind: http
            connection: site
            method: POST
            path: /people/${input.kind}
            query: {n: "${input.value}"}
            json: {say: "n is ${input.value}"}
        output: ${steps.a.body}
        """,
    )
    asked = []

    def call(step, inputs, _here):
        asked.append((step.call.connection, inputs))
        return {"status": 200, "body": "ok"}

    made, _, _ = run(read, given={"kind": "ab-1", "value": 2}, call=call)

    assert asked == [
        ("site", {"path": "/people/ab-1", "query": {"n": 2}, "json": {"say": "n is 2"}})
    ]
    assert made.outcome.output == "ok"


@pytest.mark.parametrize(
    "value", ["../x", "a/b", "a b", "", ".", "..", "é", "a?b", "a#b", None, True, "x" * 201]
)
def test_a_part_of_a_path_is_an_id(tmp_path, value):
    with pytest.raises(NoSuchValueError, match="no part of a path"):
        path_part(value)


@pytest.mark.parametrize(
    ("result", "says"),
    [
        ([1], "gives an object"),
        (None, "gives an object"),
        ({"x": float("inf")}, "no JSON"),
        ({"x": object()}, "no JSON"),
        ({"x": "y" * 5_000_000}, "at most"),
    ],
)
def test_a_result_is_an_object_that_can_be_stored(result, says):
    with pytest.raises(PermanentError, match=says):
        storable_result(result)


def test_a_result_is_what_the_ledger_would_give_back():
    assert storable_result({"a": (1, "x\x00")}) == {"a": [1, "x\ufffd"]}


def test_a_step_waits_for_the_end_of_what_it_needs(tmp_path):
    """A need without an end on record is no permission."""
    b = three(tmp_path).by_id["b"]

    for records in (
        {},
        {"a": StepRecord(StepState.RUNNING)},
        {"a": StepRecord(StepState.RETRYING)},
    ):
        verdict = decide(b, {}, records)
        assert isinstance(verdict, NoTurn)
        assert verdict.state is StepState.NOT_RUN
    assert decide(b, {}, {"a": StepRecord(StepState.DONE, {})}) == Turn({"name": "b"})


def test_nothing_is_summed_up_that_has_no_end(tmp_path):
    read = three(tmp_path)
    done = StepRecord(StepState.DONE, {})

    for records in (
        {"a": done, "b": done},
        {"a": done, "b": done, "c": StepRecord(StepState.RUNNING)},
    ):
        with pytest.raises(PermanentError, match="no end is on record of c"):
            outcome(read, {}, records)


STRATEGIES = st.sampled_from(list(ErrorStrategy))
STEP_DATA = st.fixed_dictionaries(
    {
        "critical": st.booleans(),
        "on_error": st.none() | STRATEGIES,
        "errors": st.lists(st.sampled_from(["transient", "permanent"]), max_size=3),
    }
)


@given(strategy=STRATEGIES, written=st.lists(STEP_DATA, min_size=1, max_size=4))
def test_a_definition_ends_as_the_same_workflow_of_processors(tmp_path_factory, strategy, written):
    """Steps in a row, whatever their strategies: the same results, the same end, the same warnings."""
    lines = [
        f"{{id: s{n}, kind: processor, processor: work, inputs: {{name: s{n}}},"
        f" critical: {str(each['critical']).lower()}"
        + (f", on_error: {each['on_error']}" if each["on_error"] else "")
        + "}"
        for n, each in enumerate(written)
    ]
    body = f"strategy: {strategy}\nsteps:\n" + "\n".join(f"  - {line}" for line in lines)
    kinds = {"transient": TransientError, "permanent": PermanentError}
    errors = {
        f"s{n}": [kinds[kind]("x") for kind in each["errors"]] for n, each in enumerate(written)
    }
    read = definition(tmp_path_factory.mktemp("same"), body)

    made, troubles, _ = run(read, Troubles(**errors))

    twin = Troubles(**errors)
    workflow = Workflow(
        "twin",
        tuple(
            Step(
                FunctionProcessor(
                    f"s{n}", lambda _context, name=f"s{n}": twin.work({"name": name}, None)
                ),
                critical=each["critical"],
                on_error=each["on_error"],
            )
            for n, each in enumerate(written)
        ),
        strategy,
    )
    context = ProcessingContext({})
    with stamina_at_once(), suppress(ProcessingError):
        workflow.execute(context)
    assert troubles.seen == twin.seen
    assert made.outcome.state == context.output.status
    assert {
        name: record.result for name, record in made.records.items() if record.state == "done"
    } == context.output.results
    assert len(made.outcome.warnings) == len(context.warnings)


def stamina_at_once():
    import stamina  # noqa: PLC0415 - the twin's own retry machinery

    return stamina.set_testing(testing=True, attempts=3, cap=True)


def test_the_same_file_gives_the_same_definition(tmp_path):
    read = three(tmp_path)

    assert read_definition(tmp_path / "small.yaml", Troubles().registry) == read
