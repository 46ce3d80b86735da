"""A task attempt without Airflow around it, and rows for it to work on."""

from datetime import date
from types import SimpleNamespace

import pytest

from include.contributions.model import Record
from include.ports import SourceFile

DAY = date(2026, 1, 12)


class Instance(SimpleNamespace):
    """What a task asks of Airflow about itself and its siblings."""

    def get_task_states(self, *, dag_id, run_ids):
        return {run_ids[0]: self.states}


@pytest.fixture
def instance(ledger_dsn, monkeypatch):
    """Be a task attempt of a run, with the module's ledger behind the connection."""
    from participation import steps  # noqa: PLC0415 - absent where there is no Airflow

    here = Instance(
        dag_id="contribution_analysis",
        run_id="run-1",
        task_id="split",
        map_index=-1,
        try_number=1,
        max_tries=2,
        states={},
    )
    monkeypatch.setattr(steps, "get_current_context", lambda: {"ti": here})
    monkeypatch.setattr(steps, "ledger_dsn", lambda: ledger_dsn)
    monkeypatch.setattr("participation.fence.die_with_parent", lambda: None)
    return here


@pytest.fixture
def fill():
    """Give a ledger some contributions of a day."""
    from participation.ledger.loading import LedgerLoading  # noqa: PLC0415 - needs the driver

    def fill(connection, count=3, day=DAY, name="a"):
        store = LedgerLoading(connection, "audierne-esquibien")
        source = SourceFile(name, name, name * 64, 1, "jsonl", "utf-8")
        records = [
            Record(
                name,
                str(n),
                f"Le banc {name}{n} du quai d'Audierne est cassé.",
                "",
                None,
                day,
                f"l {n}",
            )
            for n in range(count)
        ]
        store.add_file(store.begin_load("inbox"), source, records)

    return fill


@pytest.fixture
def metrics_of():
    """Read what the ledger says of each attempt."""

    def metrics_of(connection):
        return connection.execute(
            "SELECT step, status, error_message FROM step_metric ORDER BY metric_id"
        ).fetchall()

    return metrics_of
