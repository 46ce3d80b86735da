"""How long a server asks to be left alone."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_S = 86_400.0
"""Whoever says more is asked again after a day: one wrong answer must not end a conversation for ever."""


def retry_after_s(said: str | None) -> float | None:
    """Read a ``Retry-After`` header, seconds or a date, up to a day; None when it says nothing usable.

    >>> retry_after_s("7"), retry_after_s("-5"), retry_after_s("soon"), retry_after_s(None)
    (7.0, 0.0, None, None)
    """
    if said is None:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            moment = parsedate_to_datetime(said)
            # A date without a zone is one of HTTP all the same, and those are in UTC.
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (aware - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):
            return None
    return min(max(0.0, seconds), LONGEST_S) if math.isfinite(seconds) else None
