"""A pause that a server asks for, in all the ways it may be written."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from include.retry_after import LONGEST_S, retry_after_s


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(lambda moment: format_datetime(moment, usegmt=True), id="gmt"),
        pytest.param(lambda moment: format_datetime(moment.replace(tzinfo=None)), id="no_zone"),
    ],
)
def test_a_date_is_a_wait_until_then(form):
    """One without a zone is in UTC, wherever the machine stands."""
    soon = datetime.now(UTC) + timedelta(seconds=20)

    assert retry_after_s(form(soon)) == pytest.approx(20, abs=2)


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [("120", 120), ("1.5", 1.5), ("-5", 0), ("Sun, 01 Feb 2015 12:00:00 GMT", 0)],
)
def test_a_wait_is_never_below_zero(said, wait_s):
    assert retry_after_s(said) == wait_s


@pytest.mark.parametrize("said", ["9" * 300, "86401", "Fri, 31 Dec 9999 23:59:59 -2359"])
def test_nobody_is_left_alone_for_longer_than_a_day(said):
    """A wait is added to a moment, which has an end, and may be a mistake."""
    assert retry_after_s(said) == LONGEST_S


_ENDLESS = "9" * 30


@pytest.mark.parametrize(
    "said",
    [
        *(None, "", "soon", "nan", "inf", "9" * 400),
        f"Mon, 01 Jan {_ENDLESS} 00:00:00 GMT",
        f"Mon, 01 Jan 2024 00:00:00 -{_ENDLESS}",
    ],
)
def test_what_says_nothing_usable(said):
    """The caller then waits as it would have anyway."""
    assert retry_after_s(said) is None
