"""One real system for all end-to-end tests: started once, ended with the last of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import real_system
from bench.real_system import RealSystem

DAGS = Path(__file__).parent / "dags"


@pytest.fixture(scope="package")
def system() -> Iterator[RealSystem]:
    """PostgreSQL and Airflow under the supervisor, with the product's DAGs and those of the tests."""
    pytest.importorskip("airflow", reason="end-to-end tests need Airflow")
    with real_system.running(sorted(DAGS.glob("*.py"))) as started:
        yield started


@pytest.fixture
def ledger(system):
    """Look into the ledger of the real system."""
    with system.ledger() as connection:
        yield connection
