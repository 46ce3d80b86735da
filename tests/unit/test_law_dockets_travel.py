"""Law 6: what travels is small, finite and clean; and a text is stored as it came (law 7)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.dockets import MAX_DOCKET_BYTES, docket, fits
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


@given(entries=st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), JSON))
def test_what_passes_is_small_finite_and_clean(entries):
    """Whatever is let through can be stored and read back as it was, by anyone."""
    if not fits(entries):
        return
    encoded = json.dumps(docket(**entries), allow_nan=False, ensure_ascii=False).encode()
    assert len(encoded) <= MAX_DOCKET_BYTES
    assert b"\\u0000" not in encoded
    assert json.loads(encoded) == entries
