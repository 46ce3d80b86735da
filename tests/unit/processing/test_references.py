import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.processing.references import (
    NoResultError,
    NoSuchValueError,
    ReferenceSyntaxError,
    parse,
    references,
    resolved,
)

VALUES = {"text": "banc", "n": 3, "list": [{"a": 1}, {"a": 2}], "none": None}
RESULTS = {"read": {"pages": 4, "title": None, "ok": True}}


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${input.n}", 3),
        ("${input.list.1.a}", 2),
        ("${input}", VALUES),
        ("${steps.read.ok}", True),
        ("${steps.read.title}", None),
        ("${ steps.away.x | steps.read.pages }", 4),
        ("p. ${steps.read.pages} of ${input.text}", "p. 4 of banc"),
        ("yes: ${steps.read.ok}", "yes: true"),
        ("$${input.n}", "${input.n}"),
        ("$$${input.n}", "$${input.n}"),
        ({"a": ["${input.n}", 5, None, True]}, {"a": [3, 5, None, True]}),
    ],
)
def test_values_stand_where_their_references_stood(template, value):
    """A text that is one reference becomes the value, of its own type."""
    assert resolved(template, VALUES, RESULTS) == value


@pytest.mark.parametrize(
    "text",
    [
        "${}",
        "${input.text",
        "${inputs.text}",
        "${steps}",
        "${steps.read.__class__()}",
        "${steps.read.pages + 1}",
        "${input.text|}",
        "${input['text']}",
        "${input.a b}",
        "${steps.Read.x}",
        "${input." + ".".join("a" * 20) + "}",
    ],
)
def test_what_is_no_path_is_refused(text):
    """No expression, no call, nothing left open."""
    with pytest.raises(ReferenceSyntaxError, match=r"\$\{"):
        list(references({"a": [text]}))


def test_a_path_reads_data_and_no_attribute():
    """Names of Python's own lead nowhere, in objects as in lists."""
    for path in ("input.__class__", "input.list.__len__", "input.text.upper", "input.n.real"):
        with pytest.raises(NoSuchValueError, match="leads nowhere"):
            resolved(f"${{{path}}}", VALUES, RESULTS)


def test_a_step_without_a_result_is_named():
    """Whoever decides what that means is told which."""
    with pytest.raises(NoResultError) as error:
        resolved("${steps.a.x | steps.b.x}", VALUES, RESULTS)

    assert error.value.steps == ("a", "b")


def test_an_object_is_not_written_into_a_text():
    """Nobody means a Python dictionary."""
    with pytest.raises(NoSuchValueError, match="cannot be written into a text"):
        resolved("all: ${input.list}", VALUES, RESULTS)


def test_what_a_value_holds_is_no_reference_again():
    """A citizen's words with a reference in them stay words."""
    assert (
        resolved("${input.text}", {"text": "${steps.read.pages}"}, RESULTS) == "${steps.read.pages}"
    )
    assert resolved("x ${input.text}", {"text": "${input.text}"}, {}) == "x ${input.text}"


@given(st.text(max_size=40))
def test_any_text_is_a_reference_or_an_error_or_itself(text):
    """Nothing else is raised; a text without the mark comes back unchanged."""
    try:
        found = list(references(text))
        whole = resolved(text, {}, {}) if not found else None
    except ReferenceSyntaxError:
        assert "${" in text
        return
    if "${" not in text:
        assert whole == text


def test_paths_say_their_steps():
    assert parse("input.a | steps.b.c | steps.d").steps == ("b", "d")
