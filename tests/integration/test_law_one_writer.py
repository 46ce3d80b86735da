"""Laws 3 and 10 on a real PostgreSQL: one writer, one result, the day of Paris, the database's clock."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime
from zoneinfo import ZoneInfo

import pytest

from include.contributions.analysis import Answer
from include.contributions.model import Contribution, Record
from include.errors import LeaseLostError, TransientError
from include.ports import SourceFile
from participation import fence
from participation.ledger import connect
from participation.ledger.analysis import LedgerAnalysis
from participation.ledger.attempt import Attempt
from participation.ledger.claims import Selection
from participation.ledger.loading import LedgerLoading

pytestmark = pytest.mark.postgres

TOWN, RUBRIC = "audierne-esquibien", "law-1"
DAY = date(2026, 1, 12)
COUNT = 40


def fill(connection, count=COUNT, day=DAY):
    records = [
        Record("law", str(n), f"Le banc {n} du quai est cassé.", "", None, day, f"line {n}")
        for n in range(count)
    ]
    store = LedgerLoading(connection, TOWN)
    source = SourceFile("a", "a.jsonl", "0" * 64, 1, "jsonl", "utf-8")
    store.add_file(store.begin_load("inbox"), source, records)


def work(connection, run_id="run-1", try_number=1):
    attempt = Attempt("contribution_analysis", run_id, "judge.validate", 0, try_number)
    return LedgerAnalysis(connection, TOWN, attempt)


def answers(items, writer):
    return [
        Answer(
            item.contribution.contribution_id,
            item.input_hash,
            f'{{"decision": "review", "review_reason": "by {writer}"}}',
            0.5,
            writer,
        )
        for item in items
    ]


def by_writer(connection):
    return dict(
        connection.execute("SELECT engine, count(*)::int FROM step_result GROUP BY 1").fetchall()
    )


def test_an_orphan_that_still_writes_stores_nothing_beside_its_successor(ledger, ledger_dsn):
    """Two writers on one chunk, in turns: from the moment the second has the lease, only it stores.

    Without the lease the orphan's batches get in; this is what a killed machine that comes back does.
    """
    fill(ledger)
    orphan = work(ledger)
    chunk_id = orphan.split(Selection(day=DAY), RUBRIC, 500)[0]["chunk_id"]
    old_lease = orphan.take_lease(chunk_id)
    batches = orphan.waiting_items(old_lease, "validate", (), COUNT // 4)
    orphan.save(old_lease, "validate", answers(next(batches), "orphan"), [])
    judged_late = next(batches)

    with connect(ledger_dsn) as connection:
        successor = work(connection, try_number=2)
        lease = successor.take_lease(chunk_id)
        with pytest.raises(LeaseLostError, match=r"run-1/judge.validate\[0\]#1"):
            orphan.save(old_lease, "validate", answers(judged_late, "orphan"), [])
        for batch in successor.waiting_items(lease, "validate", (), 7):
            successor.save(lease, "validate", answers(batch, "successor"), [])

    assert by_writer(ledger) == {"orphan": COUNT // 4, "successor": COUNT * 3 // 4}


def test_a_run_that_took_over_is_not_disturbed_by_the_one_before(ledger, ledger_dsn):
    """Two runs on the same contributions: the claim decides, not who writes last."""
    fill(ledger)
    first = work(ledger, "run-1")
    chunk_id = first.split(Selection(day=DAY), RUBRIC, 500)[0]["chunk_id"]
    old_lease = first.take_lease(chunk_id)
    items = next(first.waiting_items(old_lease, "validate", (), COUNT))
    ledger.execute("UPDATE work_chunk SET claimed_until = now() - interval '1 minute'")

    with connect(ledger_dsn) as connection:
        second = work(connection, "run-2")
        (chunk,) = second.split(Selection(day=DAY), RUBRIC, 500)
        lease = second.take_lease(chunk["chunk_id"])
        assert first.save(old_lease, "validate", answers(items, "first"), []) == 0
        for batch in second.waiting_items(lease, "validate", (), COUNT):
            second.save(lease, "validate", answers(batch, "second"), [])

    assert chunk["item_count"] == COUNT
    assert by_writer(ledger) == {"second": COUNT}


def test_the_same_batch_twice_is_stored_once(ledger):
    """One effective result per item, step, input and rubric, whatever is sent again."""
    fill(ledger)
    store = work(ledger)
    chunk_id = store.split(Selection(day=DAY), RUBRIC, 500)[0]["chunk_id"]
    lease = store.take_lease(chunk_id)
    items = next(store.waiting_items(lease, "validate", (), COUNT))

    assert store.save(lease, "validate", answers(items, "once"), []) == COUNT
    assert store.save(lease, "validate", answers(items, "again"), []) == 0
    assert by_writer(ledger) == {"once": COUNT}


def test_what_was_given_back_is_judged_when_its_task_is_cleared(ledger):
    """A red run's claims are free for the next run, and still there for a clear of the failed task.

    Without this a cleared task would find nothing, and the run would be green with its work undone.
    """
    fill(ledger)
    red = work(ledger)
    chunk_id = red.split(Selection(day=DAY), RUBRIC, 500)[0]["chunk_id"]
    red.take_lease(chunk_id)
    assert red.release() == COUNT

    cleared = work(ledger, try_number=2)
    lease = cleared.take_lease(chunk_id)
    waiting = [i for batch in cleared.waiting_items(lease, "validate", (), 500) for i in batch]

    assert len(waiting) == COUNT
    assert cleared.unsettled() == [(chunk_id, COUNT)]


def test_what_was_given_back_goes_to_the_next_run_at_once(ledger):
    """Nobody waits for a lease of a run that ended; the run before then has nothing left to do."""
    fill(ledger)
    red = work(ledger)
    chunk_id = red.split(Selection(day=DAY), RUBRIC, 500)[0]["chunk_id"]
    red.release()

    (taken,) = work(ledger, "run-2").split(Selection(day=DAY), RUBRIC, 500)

    assert taken["item_count"] == COUNT
    assert red.unsettled() == []
    lease = red.take_lease(chunk_id)
    assert list(red.waiting_items(lease, "validate", (), 500)) == []


def judged(connection, run_id="run-1"):
    """Claim everything for a run, store every result, and let the claim expire."""
    store = work(connection, run_id)
    (chunk,) = store.split(Selection(day=DAY), RUBRIC, 500)
    for step in ("validate", "classify", "evaluate"):
        lease = store.take_lease(chunk["chunk_id"])
        for batch in store.waiting_items(lease, step, (), COUNT):
            store.save(lease, step, answers(batch, run_id), [])
    connection.execute("UPDATE work_chunk SET claimed_until = now() - interval '1 minute'")
    return store


def waits_for_a_lock(connection, count=1):
    """Wait until so many other sessions of this database stand before a lock."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        (waiting,) = connection.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchone()
        if waiting >= count:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_a_chunk_that_is_being_settled_is_not_taken_over(ledger, ledger_dsn):
    """A run that splits meanwhile waits, and then finds nothing left to judge."""
    fill(ledger)
    judged(ledger)
    with (
        connect(ledger_dsn) as one,
        connect(ledger_dsn) as two,
        connect(ledger_dsn) as watch,
        ThreadPoolExecutor(2) as pool,
    ):
        with ledger.transaction():
            # Holds settling up after it read the results and before it wrote the states.
            ledger.execute("SELECT FROM contribution ORDER BY contribution_id LIMIT 1 FOR UPDATE")
            settling = pool.submit(work(one, "run-1").settle, "run-1")
            waits_for_a_lock(watch)
            taking = pool.submit(work(two, "run-2").split, Selection(day=DAY), RUBRIC, 500)
            waits_for_a_lock(watch, 2)
        assert settling.result(20) == {"review": COUNT}
        assert taking.result(20) == []

    assert ledger.execute("SELECT count(*) FROM state_change").fetchone() == (COUNT,)


def test_a_run_does_not_settle_what_another_took_over(ledger, ledger_dsn):
    """It waits for the run that is taking over, and then leaves the contributions alone."""
    fill(ledger)
    store = judged(ledger)
    with connect(ledger_dsn) as other, connect(ledger_dsn) as watch, ThreadPoolExecutor(1) as pool:
        with other.transaction():
            (taken,) = work(other, "run-2").split(Selection(day=DAY), RUBRIC, 500)
            settling = pool.submit(store.settle, "run-1")
            waits_for_a_lock(watch)
        assert settling.result(20) == {}

        assert taken["item_count"] == COUNT
        assert store.settled_days() == []
        assert work(other, "run-2").settle("run-2") == {"review": COUNT}
        assert work(other, "run-2").settled_days() == [DAY]
    assert ledger.execute("SELECT DISTINCT changed_by FROM state_change").fetchall() == [("run-2",)]


def test_a_second_copy_of_an_attempt_waits_for_the_first(ledger, ledger_dsn, monkeypatch):
    """The fence holds one live copy of (dag, run, task, map index); another one gives up in time."""
    monkeypatch.setattr(fence, "die_with_parent", lambda: None)
    monkeypatch.setattr(fence, "WAIT_S", 1)
    attempt = Attempt("contribution_analysis", "run-1", "judge.validate", 0, 1)
    entered = []

    with connect(ledger_dsn) as other, fence.single_runner(ledger, attempt):
        with (
            pytest.raises(TransientError, match="another copy"),
            fence.single_runner(other, attempt),
        ):
            entered.append("second copy")
        elsewhere = Attempt("contribution_analysis", "run-1", "judge.validate", 1, 1)
        with fence.single_runner(other, elsewhere):
            entered.append("another map index")

    assert entered == ["another map index"]


def test_the_second_copy_goes_on_when_the_first_is_gone(ledger, ledger_dsn, monkeypatch):
    """The lock belongs to the session: a killed holder frees it without a word."""
    monkeypatch.setattr(fence, "die_with_parent", lambda: None)
    attempt = Attempt("contribution_analysis", "run-1", "judge.validate", 0, 1)
    first = connect(ledger_dsn)
    held = fence.single_runner(first, attempt)
    held.__enter__()
    threading.Timer(0.7, first.close).start()

    began = time.monotonic()
    with fence.single_runner(ledger, attempt):
        waited = time.monotonic() - began

    assert 0.4 < waited < 30


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
def test_a_day_is_the_day_in_paris_wherever_the_server_thinks_it_is(ledger, zone):
    """Law 10: at any moment one of these two zones has another date than Paris."""
    ledger.execute(f"SET TIME ZONE '{zone}'")
    before = datetime.now(ZoneInfo("Europe/Paris")).date()

    fill(ledger, 1, day=None)
    LedgerLoading(ledger, TOWN).submit(Contribution("rest:1", "Un autre texte du port."), "rest")

    after = datetime.now(ZoneInfo("Europe/Paris")).date()
    days = ledger.execute("SELECT received_on FROM contribution").fetchall()
    assert len(days) == 2
    assert {day for (day,) in days} <= {before, after}


def test_a_claim_ends_by_the_clock_of_the_database(ledger):
    """Law 10: whether a claim still holds is asked of the one clock that all machines share."""
    fill(ledger)
    store = work(ledger)
    store.split(Selection(day=DAY), RUBRIC, 500)

    assert work(ledger, "run-2").split(Selection(day=DAY), RUBRIC, 500) == []
    assert store.open_elsewhere(Selection(day=DAY), RUBRIC) == {}
    assert work(ledger, "run-2").open_elsewhere(Selection(day=DAY), RUBRIC) == {
        "contribution_analysis/run-1": COUNT
    }
    ledger.execute("UPDATE work_chunk SET claimed_until = now() - interval '1 millisecond'")
    assert work(ledger, "run-2").split(Selection(day=DAY), RUBRIC, 500)[0]["item_count"] == COUNT
