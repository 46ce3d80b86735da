"""Law 10, time is explicit: a day is a day in Europe/Paris."""

from datetime import UTC, date, datetime

import pytest

from include.errors import ConfigurationError
from participation import days


def test_yesterday_is_the_day_before_today_in_paris(monkeypatch):
    """Half past eleven in the evening by UTC is already tomorrow in Audierne."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2026, 1, 11, 23, 30, tzinfo=UTC).astimezone(tz)

    monkeypatch.setattr(days, "datetime", Clock)

    assert days.yesterday() == date(2026, 1, 11)


def test_a_run_works_on_its_own_key_before_its_parameter():
    """Neither is no day; what is no day is refused with the way to write one."""
    assert days.run_day("2026-01-12", "2026-01-13") == date(2026, 1, 12)
    assert days.run_day(None, "2026-01-13") == date(2026, 1, 13)
    assert days.run_day("") is None
    with pytest.raises(ConfigurationError, match="write it as"):
        days.run_day("yesterday")
