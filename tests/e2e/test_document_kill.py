"""What reads documents is killed on the real system; ``make chaos`` also kills PostgreSQL in a build."""

import pytest

from bench.document_kills import TARGETS, kill_round

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

SEED = 20261122

SHORT = tuple(target for target in TARGETS if target != "postgres")
"""A build long enough to be hit in its middle takes minutes; half an index has a test on the ledger too."""


@pytest.mark.parametrize(("number", "target"), list(enumerate(SHORT)), ids=lambda part: part)
def test_a_kill_loses_no_document_and_half_an_index_never_answers(system, number, target):
    """SIGKILL of the reader and of its task: it goes on by itself."""
    done = kill_round(system, target, seed=SEED, number=number)

    assert done.wrong == [], done.as_dict()
    assert done.answers > 0
