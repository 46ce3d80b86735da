"""Law 6: what travels is small, finite and clean; and a text is stored as it came (law 7)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.dockets import MAX_DOCKET_BYTES, docket, fits, fitting
from include.errors import PermanentError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param("x" * MAX_DOCKET_BYTES, "at most 8192", id="too_large"),
        pytest.param("é" * (MAX_DOCKET_BYTES // 2), "at most 8192", id="too_large_in_bytes"),
        pytest.param(float("nan"), "not JSON compliant|Out of range", id="nan"),
        pytest.param([float("inf")], "not JSON compliant|Out of range", id="infinite"),
        pytest.param("a\x00b", "NUL", id="nul"),
        pytest.param("\ud800", "surrogate", id="lone_surrogate"),
        pytest.param({1, 2}, "not JSON serializable", id="no_json"),
    ],
)
def test_what_is_no_docket_is_refused_with_its_reason(value, reason):
    """A permanent error: the same hand-over would be refused again."""
    with pytest.raises(PermanentError, match=reason):
        docket(found=value)
    assert not fits({"found": value})


def test_the_word_for_a_nul_is_none():
    """A file may be called so; after two backslashes the sign itself stands again."""
    assert docket(uri=r"a\u0000.pdf") == {"uri": r"a\u0000.pdf"}
    assert not fits({"uri": "\\\0"})


def test_what_has_no_room_is_passed_over():
    """Behind it another one may have some."""
    items = ["\U0001f40b" * 1_000, "\U0001f40b" * 2_000, "\0", "last"]

    assert fitting("waiting", items, {"new": 3}) == {"new": 3, "waiting": [items[0], "last"]}


def _texts(value):
    """All texts of a JSON value, keys as well, one after the other."""
    if isinstance(value, dict):
        return "".join(key + _texts(inner) for key, inner in value.items())
    if isinstance(value, list):
        return "".join(map(_texts, value))
    return value if isinstance(value, str) else ""


@given(entries=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), JSON))
def test_what_passes_is_small_finite_and_clean(entries):
    """Whatever is let through can be stored and read back as it was, by anyone."""
    if not fits(entries):
        return
    encoded = json.dumps(docket(**entries), allow_nan=False, ensure_ascii=False).encode()
    assert len(encoded) <= MAX_DOCKET_BYTES
    assert "\0" not in _texts(entries)
    assert json.loads(encoded) == entries
