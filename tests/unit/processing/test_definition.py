import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from include.processing.definition import (
    SCHEMA,
    InputError,
    dag_id_of,
    read_definition,
    read_definitions,
)
from include.processing.model import ErrorStrategy
from include.processing.yaml_file import FileError, read_yaml
from tests.workflow_files import Troubles, definition, write

REGISTRY = Troubles().registry

STEP = "{id: %s, kind: processor, processor: work, inputs: {name: %s}%s}"


def steps(*lines):
    return "steps:\n" + "\n".join(f"  - {line}" for line in lines)


def step(name, more=""):
    return STEP % (name, name, f", {more}" if more else "")


def test_a_definition_is_read_with_all_that_follows_from_it(tmp_path):
    """Order, needs and defaults; the hash is of what decides, not of what is shown."""
    read = definition(
        tmp_path,
        """
        strategy: continue
        steps:
          - id: first
            kind: processor
            processor: work
            inputs: {name: first}
          - id: call
            kind: http
            connection: town_site
            method: POST
            path: /people/${steps.first.name}
            json: {value: "${input.value}"}
            on_error: retry
            retry: {attempts: 5, wait_s: 2}
          - id: last
            kind: processor
            processor: work
            inputs: {name: "${steps.call.body.name}"}
            needs: []
            critical: true
        """,
    )

    first, call, last = read.steps
    assert (first.needs, call.needs, last.needs) == ((), ("first",), ("call",))
    assert (first.retry.attempts, call.retry.attempts, call.retry.wait_s) == (1, 5, 2.0)
    assert last.stops(ErrorStrategy.CONTINUE)
    assert not first.stops(ErrorStrategy.CONTINUE)
    assert call.call.method == "POST"
    assert read.dag_id == "workflow_small"
    before = read.definition_hash
    path = tmp_path / "small.yaml"
    path.write_text(path.read_text().replace("A workflow for a test.", "Another description."))
    assert read_definition(path, REGISTRY).definition_hash == before
    path.write_text(path.read_text().replace("wait_s: 2", "wait_s: 3"))
    assert read_definition(path, REGISTRY).definition_hash != before


WRONG = {
    "unknown_processor": (
        steps("{id: a, kind: processor, processor: wrok, inputs: {name: a}}"),
        "processor: wrok",
        "no processor 'wrok', did you mean 'work'",
    ),
    "missing_input": (
        steps("{id: a, kind: processor, processor: work}"),
        "id: a",
        "needs the input 'name'",
    ),
    "unknown_input": (
        steps("{id: a, kind: processor, processor: work, inputs: {name: a, nmae: b}}"),
        "nmae",
        "takes no 'nmae'",
    ),
    "unknown_step": (
        steps(
            step("a"),
            "{id: b, kind: processor, processor: work, inputs: {name: '${steps.x.name}'}}",
        ),
        "steps.x",
        "no step 'x'",
    ),
    "unknown_result": (
        steps(
            step("a"), "{id: b, kind: processor, processor: work, inputs: {name: '${steps.a.nam}'}}"
        ),
        "steps.a.nam",
        "gives no 'nam', did you mean 'name'",
    ),
    "unknown_field_of_the_input": (
        steps("{id: a, kind: processor, processor: work, inputs: {name: '${input.valeu}'}}"),
        "valeu",
        "the input has no 'valeu', did you mean 'value'",
    ),
    "no_reference": (
        steps("{id: a, kind: processor, processor: work, inputs: {name: '${eval(1)}'}}"),
        "eval",
        "is no reference",
    ),
    "unknown_need": (steps(step("a", "needs: [z]")), "needs: [z]", "no step 'z'"),
    "circle": (
        steps(step("a", "needs: [c]"), step("b", "needs: [a]"), step("c", "needs: [b]")),
        "id: a",
        "wait for each other: a needs c needs b needs a",
    ),
    "itself": (steps(step("a", "needs: [a]")), "id: a", "a needs a"),
    "a_later_step": (
        steps(
            "{id: a, kind: processor, processor: work, inputs: {name: '${steps.b.name}'}}",
            step("b"),
        ),
        "id: a",
        "wait for each other",
    ),
    "twice": (steps(step("a"), step("b"), step("a")), "id: a", "two steps are called a"),
    "retry_that_never_happens": (
        steps(step("a", "retry: {attempts: 3}")),
        "retry:",
        "write on_error: retry",
    ),
    "finish": (steps(step("finish")), "id: finish", "finish"),
    "raw_address": (
        steps("{id: a, kind: http, connection: site, path: 'https://evil.example/'}"),
        "evil",
        "does not match",
    ),
    "other_host": (
        steps("{id: a, kind: http, connection: site, path: '//evil.example/'}"),
        "evil",
        "does not match",
    ),
    "url_beside_the_connection": (
        steps("{id: a, kind: http, connection: site, path: /x, url: 'https://evil.example'}"),
        "url",
        "url",
    ),
    "body_of_a_get": (
        steps("{id: a, kind: http, connection: site, path: /x, json: {}}"),
        "json",
        "a GET sends nothing",
    ),
    "condition_without_a_value": (
        steps(step("a", "when: {value: document, equals: document}")),
        "when:",
        "looks at one value",
    ),
    "condition_both_ways": (
        steps(step("a", "when: {value: '${input.kind}', equals: a, in: [b]}")),
        "when:",
        "valid under each",
    ),
    "unknown_kind": (
        steps("{id: a, kind: shell, command: ls}"),
        "kind: shell",
        "'shell' is not one of",
    ),
    "unknown_key": ("owner: participation\nstpes: []\n" + steps(step("a")), "stpes", "stpes"),
    "strategy": ("strategy: ignore\n" + steps(step("a")), "strategy", "'ignore' is not one of"),
    "no_steps": ("steps: []", "steps", "non-empty"),
    "output": (steps(step("a")) + "\noutput: {x: '${steps.b.name}'}", "output", "no step 'b'"),
    "twice_a_key": (
        steps(step("a", "critical: true, critical: false")),
        "critical",
        "stands twice",
    ),
    "anchor": (
        "tags: &t [documents]\n" + steps(step("a")) + "\noutput: *t",
        "tags",
        "by an anchor",
    ),
    "object_of_python": (
        steps(step("a")) + "\noutput: !!python/object/apply:os.system ['true']",
        "output",
        "take the tag away",
    ),
    "not_finite": (steps(step("a", "timeout_s: 1e999")), "timeout_s", "not finite"),
}


@pytest.mark.parametrize(("body", "words", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said_with_file_line_and_the_way_out(tmp_path, body, words, says):
    """Every error names the file and the line on which the trouble stands."""
    path = write(tmp_path, body)

    with pytest.raises(FileError) as error:
        read_definition(path, REGISTRY)

    assert says in str(error.value)
    assert str(path) in str(error.value)
    lines = path.read_text().splitlines()
    assert words in lines[error.value.line - 1], (error.value.line, str(error.value))


def test_broken_yaml_says_its_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("name: x\ndescription: [open\nsteps: 1\n")

    with pytest.raises(FileError, match=r"x\.yaml, line 3: is no YAML"):
        read_definition(path, REGISTRY)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"a: \xff", "is not UTF-8"),
        (b"- " * 200 + b"x", "deep"),
        (b"a: " + b"x" * 300_000, "at most"),
        (b"name: x\n", "is a required property"),
        (b"just words", "not of type 'object'"),
    ],
)
def test_a_file_that_is_none_is_an_error_of_its_own(tmp_path, content, says):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)

    with pytest.raises(FileError, match=says):
        read_definition(path, REGISTRY)


def test_the_name_is_that_of_the_file(tmp_path):
    path = write(tmp_path, steps(step("a")))
    other = path.rename(tmp_path / "other.yaml")

    with pytest.raises(FileError, match=r"line 1: the name is 'small'"):
        read_definition(other, REGISTRY)


def test_a_bad_file_leaves_the_others_alone(tmp_path):
    """Both lists come out, each error for its file."""
    write(tmp_path, steps(step("a")), "good")
    write(tmp_path, "steps: []", "bad")
    (tmp_path / "worse.yaml").write_text("{")

    good, bad = read_definitions(REGISTRY, tmp_path)

    assert [each.name for each in good] == ["good"]
    assert [Path(error.path).name for error in bad] == ["bad.yaml", "worse.yaml"]


CLOSED = "{type: object, additionalProperties: false, "
FIELD = CLOSED + "properties: {a: {type: %s, description: abc, %s}}}"


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ("{type: array}", "was expected"),
        ("{type: object, properties: {}}", "additionalProperties"),
        (CLOSED + "properties: {input: {type: string, description: xyz}}}", "input"),
        (CLOSED + "required: [b], properties: {}}", "b is required and not described"),
        (FIELD % ("string", "default: 3"), "the default: 3 is not of type"),
        (
            FIELD % ("object", "properties: {b: {$ref: 'https://evil.example/x'}}"),
            "leads out of the file",
        ),
        (FIELD % ("string", "minLength: -1"), "is no JSON Schema"),
    ],
)
def test_the_input_is_a_closed_object(tmp_path, schema, says):
    """What a form can be made of, and nothing that leads out of the file."""
    path = tmp_path / "small.yaml"
    path.write_text(
        f"name: small\ndescription: A workflow for a test.\ninput: {schema}\n{steps(step('a'))}\n"
    )

    with pytest.raises(FileError, match=says):
        read_definition(path, REGISTRY)


def test_the_input_of_a_run_is_checked_and_made_whole(tmp_path):
    read = definition(tmp_path, steps(step("a")))

    assert read.checked_input({"value": 3}) == {"value": 3, "kind": None}
    assert read.checked_input({"kind": "a\x00b\ud800"})["kind"] == "a\ufffdb\ufffd"
    for wrong, says in (
        ({"value": "3"}, "value: '3' is not of type 'integer'"),
        ({"vaule": 3}, "vaule"),
        ([], "give an object"),
        ({"kind": "x" * 600_000}, "at most"),
        ({"value": float("nan")}, "no JSON"),
    ):
        with pytest.raises(InputError, match=says):
            read.checked_input(wrong)


def test_words_of_yaml_stay_words(tmp_path):
    """``no``, ``12:30`` and a date are texts; ``null`` and numbers are what they look like."""
    path = tmp_path / "x.yaml"
    path.write_text("[no, on, 12:30, 2026-01-12, 010, 0x1f, .5, null, ~, true, 7, -2.5e1]")

    assert read_yaml(path).data == [
        *("no", "on", "12:30", "2026-01-12", "010", "0x1f", ".5"),
        *(None, None, True, 7, -25.0),
    ]


def test_the_schema_is_one():
    Draft202012Validator.check_schema(json.loads(SCHEMA.read_text()))


def test_hyphens_become_underscores():
    assert dag_id_of("a-b-c") == "workflow_a_b_c"


@given(st.data())
def test_whatever_the_order_in_the_file_each_step_comes_after_what_it_needs(tmp_path_factory, data):
    """Any graph without a circle, written in any order, is read into an order that can run."""
    count = data.draw(st.integers(2, 7))
    needs = {n: data.draw(st.sets(st.integers(0, n - 1))) if n else set() for n in range(count)}
    order = data.draw(st.permutations(range(count)))
    lines = [step(f"s{n}", f"needs: [{', '.join(f's{m}' for m in needs[n])}]") for n in order]

    read = definition(tmp_path_factory.mktemp("order"), steps(*lines))

    places = {each.id: place for place, each in enumerate(read.steps)}
    assert len(places) == count
    assert all(places[need] < places[each.id] for each in read.steps for need in each.needs)
