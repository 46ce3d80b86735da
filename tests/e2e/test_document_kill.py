"""What reads and indexes documents is killed on the real system; more rounds by ``make chaos``."""

import pytest

from bench.document_kills import TARGETS, kill_round

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

SEED = 20261122


@pytest.mark.parametrize(("number", "target"), list(enumerate(TARGETS)), ids=lambda part: part)
def test_a_kill_loses_no_document_and_half_an_index_never_answers(system, number, target):
    """SIGKILL of the reader, of its task, of PostgreSQL in the middle of a build: it goes on by itself."""
    done = kill_round(system, target, seed=SEED, number=number)

    assert done.wrong == [], done.as_dict()
    assert done.answers > 0
