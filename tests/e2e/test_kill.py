"""Three kill rounds on the real system; many more, and every other process, by ``make chaos``."""

from datetime import date

import pytest

from bench.kills import kill_round

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

SEED = 20261122


@pytest.mark.parametrize(
    ("number", "target"), list(enumerate(["task", "scheduler", "postgres"])), ids=lambda part: part
)
def test_a_kill_loses_nothing_and_doubles_nothing(system, number, target):
    """SIGKILL in the middle of a chunk: it goes on by itself and every result is there once."""
    done = kill_round(system, target, seed=SEED, number=number, day=date(2025, 6, 1 + number))

    assert done.wrong == [], done.as_dict()
    assert done.resumed_s is not None
