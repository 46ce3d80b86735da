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
    says_it_passes,
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
        pytest.param(failed(UnreadableAnswerError("x")), True, id="transient_inside"),
    ],
)
def test_sorted_errors_mean_the_same_for_a_task_and_for_one_item(error, helps):
    """Both rules read what an error was sorted as, its cause's where a step failed."""
    assert is_transient(error) is helps
    assert says_it_passes(error) is helps


def test_an_error_nobody_sorted_is_tried_again_as_a_task_and_set_aside_as_an_item():
    """The one place where the rules differ: a task may wait, a chunk must not for one text."""
    assert is_transient(ValueError("x"))
    assert not says_it_passes(failed(ValueError("x")))
