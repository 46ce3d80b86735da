"""Errors say what, where, why and when, and keep it on their way."""

import pickle
from datetime import UTC, datetime

import pytest

from include.errors import (
    ConfigurationError,
    LedgerUnavailableError,
    ProcessingError,
    UnreadableAnswerError,
    is_transient,
)


def failed(cause):
    return ProcessingError("validate", "c-1", 2, cause, datetime(2026, 1, 12, 5, tzinfo=UTC))


def test_a_processing_error_names_step_item_attempt_and_every_cause():
    """Whoever reads one line of a log knows where to look."""
    cause = LedgerUnavailableError("no answer")
    cause.__cause__ = OSError("connection refused")

    assert str(failed(cause)) == (
        "validate failed on c-1 (attempt 2, 2026-01-12T05:00:00+00:00): "
        "LedgerUnavailableError: no answer <- OSError: connection refused"
    )


def test_a_processing_error_survives_a_queue():
    """It is itself hashable, and pickled it keeps every field."""
    error = failed(ValueError("odd"))

    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert (again.step, again.item, again.attempt, str(again)) == ("validate", "c-1", 2, str(error))
    assert len({error, again}) == 2


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        pytest.param(ConfigurationError("x"), False, id="permanent"),
        pytest.param(failed(ConfigurationError("x")), False, id="permanent_inside"),
        pytest.param(UnreadableAnswerError("x"), True, id="transient"),
        pytest.param(ValueError("x"), True, id="unsorted"),
    ],
)
def test_is_transient(error, helps):
    """Only an error sorted as permanent stops the retries."""
    assert is_transient(error) is helps
