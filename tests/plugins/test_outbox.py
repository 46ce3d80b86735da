"""What other services insert is announced whole, by a router and a watcher that lose nothing."""

import asyncio
import time
from datetime import date, timedelta

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.execution_time.context import OutletEventAccessors

from include.dockets import docket
from participation import contribution_tasks, steps
from participation.defaults import CONTRIBUTIONS
from participation.ledger import connect, outbox, reports
from participation.triggers.outbox import WATERMARK, PostgresOutboxTrigger

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
DAY = date(2026, 1, 12)
INSERT = (
    "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
    " constat_factuel, received_on) VALUES (%s, %s, 'n8n', %s, %s, %s)"
)


def insert(connection, number, day=DAY):
    connection.execute(INSERT, (f"n8n:{number}", TOWN, str(number), f"Le texte {number}.", day))


def unannounced(connection):
    row = connection.execute("SELECT count(*) FROM outbox WHERE announced_at IS NULL").fetchone()
    return row[0]


def test_one_run_of_the_router_announces_everything_that_waits(ledger, instance):
    """Several events of the watcher make one run: what it left would wait for the next insert."""
    with ledger.transaction():
        for number in range(1_100):
            insert(ledger, number, DAY - timedelta(number % 450))
    events = OutletEventAccessors()

    with steps.visit("announce") as here:
        announced = docket(**contribution_tasks.announce_days(here, None, events))
    instance.task_id = "confirm"
    with steps.visit("confirm") as here:
        assert contribution_tasks.confirm_announced(here, announced) == {"confirmed": 1_100}

    assert len(events[CONTRIBUTIONS].partition_keys) == 450
    assert unannounced(ledger) == 0


def test_a_row_that_was_committed_late_is_not_marked_unannounced(ledger, ledger_dsn):
    """Its id is lower than those that were announced, but nobody has heard of its day."""
    with connect(ledger_dsn) as slow:
        with slow.transaction():
            insert(slow, 1, DAY - timedelta(1))
            insert(ledger, 2)
            found = outbox.waiting_days(ledger, TOWN, None)
        assert outbox.mark_announced(ledger, TOWN, None, found.snapshot) == 1

    assert found.days == ("2026-01-12",)
    assert outbox.waiting_days(ledger, TOWN, None).days == ("2026-01-11",)


class Store(dict):
    """The state of an asset, as the triggerer offers it."""

    async def aget(self, key, default=None):
        return self.get(key, default)

    async def aset(self, key, value):
        self[key] = value


@pytest.fixture
def watch(ledger_dsn, monkeypatch):
    """Return how many rows the first event of a trigger tells of, or None when there is none."""

    async def anywhere(_):
        return None

    monkeypatch.setattr("participation.triggers.outbox.BaseHook.aget_connection", anywhere)
    monkeypatch.setattr("participation.triggers.outbox.ledger_dsn", lambda _: ledger_dsn)

    async def first(store):
        trigger = PostgresOutboxTrigger("contributions_received", poll_interval_s=0.1)
        trigger.asset_state_store = store
        events = trigger.run()
        try:
            event = await asyncio.wait_for(anext(events), 3)
            with pytest.raises(asyncio.TimeoutError):  # the mark moves once it goes on
                await asyncio.wait_for(anext(events), 0.5)
        except TimeoutError:
            return None
        return event.payload["row_count"]

    return lambda store: asyncio.run(first(store))


@pytest.mark.parametrize(
    "mark",
    [
        pytest.param(["another cluster", "1", 99], id="another_cluster"),
        pytest.param(["this one", str(1 << 40), 99], id="an_older_backup"),
        pytest.param([str(1 << 40), 99], id="noted_without_a_cluster"),
    ],
)
def test_the_watcher_hears_again_after_a_restore(ledger, watch, mark):
    """Transaction numbers start again in a new cluster; a mark of the old one counts for nothing."""
    cluster, _ = ledger.execute(outbox.CLUSTER).fetchone()
    insert(ledger, 1)
    insert(ledger, 2)
    store = Store({WATERMARK: [cluster if part == "this one" else part for part in mark]})

    assert watch(store) == 2
    assert store[WATERMARK][0] == cluster
    assert watch(store) is None


def test_restored_rows_are_read_though_their_numbers_lie_in_the_future(ledger, watch):
    """A dump carries the transaction numbers of the cluster it was taken from."""
    insert(ledger, 1)
    ledger.execute("UPDATE outbox SET xid = '1000000000000'")

    assert watch(Store()) == 1
    found = outbox.waiting_days(ledger, TOWN, None)
    assert outbox.mark_announced(ledger, TOWN, None, found.snapshot) == 1


async def heard(trigger, happen):
    """Start a trigger that only notifications wake, let things happen, and return its first event."""
    events = trigger.run()
    first = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.5)
    await asyncio.to_thread(happen)
    return (await asyncio.wait_for(first, 15)).payload


def only_notified(topic):
    trigger = PostgresOutboxTrigger(topic, poll_interval_s=600)
    trigger.asset_state_store = Store()
    return trigger


@pytest.mark.usefixtures("watch")
def test_a_crowd_of_other_notifications_holds_nobody_up(ledger):
    """A step that ends behind 500 events of the one before it wakes the next step at once."""

    def busy_writer():
        for number in range(500):
            outbox.announce(ledger, outbox.DOCUMENT_PARSED, {"document_id": str(number)})
            time.sleep(0.002)
        outbox.announce(ledger, outbox.INDEX_LIVE, {"index_id": 1})

    found = asyncio.run(heard(only_notified(outbox.INDEX_LIVE), busy_writer))

    assert found["rows"] == [{"index_id": 1}]


@pytest.mark.usefixtures("watch")
def test_a_row_that_was_held_back_is_told_of_when_it_is_free(ledger, ledger_dsn):
    """An older transaction that ends is no notification, and the row does not wait for the next poll."""

    def overtake():
        with connect(ledger_dsn) as slow, slow.transaction():
            slow.execute("SELECT pg_current_xact_id()")
            outbox.announce(ledger, outbox.INDEX_LIVE, {"index_id": 2})
            time.sleep(1)

    found = asyncio.run(heard(only_notified(outbox.INDEX_LIVE), overtake))

    assert found["rows"] == [{"index_id": 2}]


def test_the_ledgers_own_role_may_ask_for_the_cluster(ledger):
    """The watcher is no superuser."""
    with ledger.transaction():
        ledger.execute("SET LOCAL ROLE participation")
        assert ledger.execute(outbox.CLUSTER).fetchone()


def test_a_run_shows_its_own_report_and_not_that_of_a_namesake(ledger):
    """Runs of two DAGs may have one name."""
    reports.save_report(
        ledger,
        TOWN,
        DAY,
        html_path="h",
        markdown_path="m",
        figures={},
        dag_id="daily_chain",
        run_id="essai",
    )

    assert reports.report_of_run(ledger, TOWN, "daily_chain", "essai") == DAY
    assert reports.report_of_run(ledger, TOWN, "contribution_analysis", "essai") is None
