"""The ledger's promises, on a real PostgreSQL."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.contributions.analysis import Answer, ItemFailure
from include.contributions.model import (
    MAX_TEXT_CHARACTERS,
    BrokenRecord,
    Contribution,
    Record,
    content_hash,
    folded,
)
from include.errors import (
    ConfigurationError,
    LeaseLostError,
    LedgerUnavailableError,
    ReconciliationError,
)
from include.ports import SourceFile
from participation.ledger import (
    connect,
    metrics,
    migrate,
    migrations,
    outbox,
    reports,
    session,
    summary,
)
from participation.ledger.analysis import LedgerAnalysis
from participation.ledger.attempt import Attempt
from participation.ledger.books import reconcile
from participation.ledger.claims import Selection
from participation.ledger.loading import EMITTER, LedgerLoading

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
DAY = date(2026, 1, 12)
RUBRIC = "test-1"


def attempt(run_id="run-1", try_number=1, task_id="validate", map_index=0):
    return Attempt("contribution_analysis", run_id, task_id, map_index, try_number)


def work(connection, run_id="run-1", try_number=1):
    return LedgerAnalysis(connection, TOWN, attempt(run_id, try_number))


def record(number, text=None, day=DAY, **changes):
    values = {
        "source": "test",
        "external_id": str(number),
        "constat_factuel": text or f"Le banc numéro {number} du quai est cassé.",
        "idees_ameliorations": "",
        "declared_category": None,
        "submitted_on": day,
        "locator": f"line {number}",
    }
    return Record(**{**values, **changes})


def file(name="a.jsonl", sha256="0" * 64):
    return SourceFile(Path(name), name, sha256, 1, "jsonl", "utf-8")


def load(connection, *records, name="a.jsonl", sha256="0" * 64):
    store = LedgerLoading(connection, TOWN)
    load_id = store.begin_load("inbox")
    counts = store.add_file(load_id, file(name, sha256), records)
    store.end_load(load_id, [])
    return counts


def answer(item_id, input_hash, decision="accept", step="validate"):
    output = {
        "validate": f'{{"decision": "{decision}", "review_reason": null}}',
        "classify": '{"category": "culture", "second_category": null}',
        "evaluate": '{"confidence": 0.9}',
    }[step]
    return Answer(item_id, input_hash, output, 0.9, "test")


def judge_all(store, chunk_id, decision="accept", steps=("validate", "classify", "evaluate")):
    for step in steps:
        lease = store.take_lease(chunk_id)
        for batch in store.waiting_items(lease, step, (), 100):
            answers = [
                answer(item.contribution.contribution_id, item.input_hash, decision, step)
                for item in batch
            ]
            store.save(lease, step, answers, [])


def states(connection):
    return dict(
        connection.execute("SELECT state, count(*)::int FROM contribution GROUP BY 1").fetchall()
    )


def test_migrating_twice_changes_nothing_and_a_changed_file_is_refused(
    ledger_dsn, tmp_path, monkeypatch
):
    """A migration runs once; one that was applied must not be edited."""
    assert migrate(ledger_dsn) == []
    for path in migrations.MIGRATIONS.glob("*.sql"):
        (tmp_path / path.name).write_bytes(path.read_bytes() + b"\n-- edited\n")
    monkeypatch.setattr(migrations, "MIGRATIONS", tmp_path)
    with pytest.raises(ConfigurationError, match="other bytes"):
        migrate(ledger_dsn)


def test_a_ledger_that_is_not_there_is_a_transient_error():
    """Callers retry; they never see the driver's own errors."""
    with (
        pytest.raises(LedgerUnavailableError, match="participation_db"),
        session("host=127.0.0.1 port=1 user=nobody dbname=none connect_timeout=2"),
    ):
        pass


def test_the_same_text_twice_is_one_contribution_with_two_receipts(ledger):
    """Identical after NFC and white-space folding, nothing looser."""
    counts = load(
        ledger,
        record(1, "Le  cafe\u0301 du port"),
        record(2, "Le café du port\n"),
        record(3, "le café du port"),
        record(4, "Le café du port.", day=None),
    )

    assert (counts.records, counts.added) == (4, 3)
    assert ledger.execute("SELECT count(*) FROM receipt").fetchone() == (4,)
    assert summary.of_inbox(ledger, TOWN, "inbox")["duplicates"] == 1


def test_the_figures_of_a_folder_are_those_of_its_town(ledger):
    """Two towns may load from folders of one name, and report on the same day."""
    load(ledger, record(1), record(2))
    other = LedgerLoading(ledger, "quimper")
    load_id = other.begin_load("inbox")
    other.add_file(load_id, file(), [record(3)])
    other.end_load(load_id, [])
    for town in (TOWN, "quimper"):
        reports.save_report(
            ledger,
            town,
            DAY,
            html_path=f"{town}.html",
            markdown_path=f"{town}.md",
            figures={},
            dag_id="daily_chain",
            run_id="run-1",
        )

    assert summary.of_inbox(ledger, TOWN, "inbox")["loaded"] == 2
    assert summary.of_inbox(ledger, "quimper", "inbox")["loaded"] == 1
    assert summary.of_inbox(ledger, "brest", "inbox")["load_id"] is None
    assert reports.report_path(ledger, TOWN, DAY) == f"{TOWN}.html"
    assert reports.report_path(ledger, "brest", DAY) is None


def test_the_original_is_kept_as_received(ledger):
    """Law 7: what is stored is the citizen's own text, not its folded form."""
    text = "Le  cafe\u0301\tdu port \n\n"

    load(ledger, record(1, text))

    assert ledger.execute("SELECT constat_factuel FROM contribution").fetchone() == (text,)


def test_an_id_that_another_text_has_keeps_both(ledger):
    """Nothing is lost when two files use the same id for different texts."""
    load(ledger, record(1, "Un texte"), record(1, "Un autre texte", locator="line 2"))
    load(ledger, record(1, "Un troisième"), name="b.jsonl", sha256="1" * 64)

    ids = [row[0] for row in ledger.execute("SELECT contribution_id FROM contribution ORDER BY 1")]
    assert len(ids) == 3
    assert ids[0] == "test:1"
    assert all(each.startswith("test:1~") for each in ids[1:])


def test_a_file_that_breaks_in_the_middle_leaves_nothing(ledger):
    """One transaction a file: all of it or nothing."""

    def broken_off():
        yield record(1)
        raise OSError("the disk went away")

    store = LedgerLoading(ledger, TOWN)
    load_id = store.begin_load("inbox")
    with pytest.raises(OSError, match="disk"):
        store.add_file(load_id, file("b", "2" * 64), broken_off())

    assert ledger.execute("SELECT count(*) FROM contribution").fetchone() == (0,)
    assert ledger.execute("SELECT count(*) FROM source_file WHERE uri = 'b'").fetchone() == (0,)


def test_two_loads_of_the_same_file_at_once_store_it_once(ledger, ledger_dsn):
    """The second waits for the first and then only links the file."""
    barrier = threading.Barrier(2)

    def one(_):
        with connect(ledger_dsn) as connection:
            store = LedgerLoading(connection, TOWN)
            load_id = store.begin_load("inbox")
            barrier.wait()
            return store.add_file(load_id, file(), (record(n) for n in range(500))).added

    with ThreadPoolExecutor(2) as pool:
        added = sorted(pool.map(one, range(2)))

    assert added == [0, 500]
    assert ledger.execute("SELECT count(*) FROM receipt").fetchone() == (500,)
    assert ledger.execute("SELECT count(*) FROM load_file").fetchone() == (2,)


def test_a_broken_record_is_quarantined_while_the_rest_goes_on(ledger):
    """And the six states still add up to what was submitted."""
    load(
        ledger, record(1), BrokenRecord("line 2", "no_text", "Le texte est vide.", "{}"), record(3)
    )

    figures = summary.of_inbox(ledger, TOWN, "inbox")
    assert (figures["loaded"], figures["pending"], figures["quarantined"]) == (3, 2, 1)


def met_again(connection, *names):
    """Load files that are known: (name, sha256), as an unchanged or returned file is."""
    store = LedgerLoading(connection, TOWN)
    load_id = store.begin_load("inbox")
    known = store.known_files([name for name, _ in names])
    for name in names:
        store.link_file(load_id, known[name])
    store.end_load(load_id, [])


def open_records(connection):
    return connection.execute(
        "SELECT uri, locator FROM quarantine WHERE resolved_at IS NULL ORDER BY quarantine_id"
    ).fetchall()


BROKEN = BrokenRecord("line 2", "no_text", "Le texte est vide.", "{}")


def test_a_version_of_a_file_that_comes_back_brings_its_broken_records_back(ledger):
    """The version that was met last counts, its broken records once; those of the others do not."""
    first, second = "1" * 64, "2" * 64
    load(ledger, record(1), BROKEN, sha256=first)
    load(ledger, record(1), record(2), replace(BROKEN, locator="line 3"), sha256=second)
    assert open_records(ledger) == [("a.jsonl", "line 3")]

    met_again(ledger, ("a.jsonl", first))

    assert open_records(ledger) == [("a.jsonl", "line 2")]
    figures = summary.of_inbox(ledger, TOWN, "inbox")
    assert (figures["loaded"], figures["quarantined"]) == (2, 1)


def test_a_renamed_or_copied_file_counts_its_broken_records_once(ledger):
    """Same bytes, same place, another name: one record, on the day it was first set aside."""
    load(ledger, record(1), BROKEN, name="a.jsonl")
    ledger.execute("UPDATE quarantine SET received_on = %s", (DAY,))

    load(ledger, record(1), BROKEN, name="b.jsonl")

    assert open_records(ledger) == [("b.jsonl", "line 2")]
    assert reconcile(ledger, TOWN, DAY)["submitted"] == 2
    assert summary.of_inbox(ledger, TOWN, "inbox")["loaded"] == 2
    met_again(ledger, ("a.jsonl", "0" * 64), ("b.jsonl", "0" * 64))
    assert open_records(ledger) == [("b.jsonl", "line 2")]
    assert summary.of_inbox(ledger, TOWN, "inbox")["loaded"] == 2


def test_a_copy_that_was_mended_leaves_the_other_copy_broken(ledger):
    """Closing the record of one name must not lose what is still broken under another."""
    load(ledger, record(1), BROKEN, name="a.jsonl")
    load(ledger, record(1), BROKEN, name="b.jsonl")
    load(ledger, record(1), record(2), name="b.jsonl", sha256="2" * 64)
    assert open_records(ledger) == []

    met_again(ledger, ("a.jsonl", "0" * 64), ("b.jsonl", "2" * 64))

    assert open_records(ledger) == [("a.jsonl", "line 2")]
    assert summary.of_inbox(ledger, TOWN, "inbox")["loaded"] == 3


def test_the_received_day_is_the_sources_own_else_the_first_receipts_in_paris(ledger):
    """Law 10, and it never changes when the text comes again."""
    load(ledger, record(1), record(2, day=None))
    load(ledger, record(1, day=date(2025, 5, 5)), name="b", sha256="3" * 64)

    days = dict(ledger.execute("SELECT contribution_id, received_on FROM contribution").fetchall())
    today = ledger.execute("SELECT (now() AT TIME ZONE 'Europe/Paris')::date").fetchone()[0]
    assert days == {"test:1": DAY, "test:2": today}


def test_a_run_judges_settles_and_balances(ledger):
    """The whole way of a day: split, three steps, settle, reconcile."""
    load(ledger, *(record(n) for n in range(25)))
    store = work(ledger)

    chunks = store.split(Selection(day=DAY), RUBRIC, 10)
    for chunk in chunks:
        judge_all(store, chunk["chunk_id"])
    settled = store.settle("test")

    assert [chunk["item_count"] for chunk in chunks] == [9, 9, 7]
    assert settled == {"accepted": 25}
    assert store.unsettled() == []
    assert reconcile(ledger, TOWN, DAY) == {
        "pending": 0,
        "accepted": 25,
        "review": 0,
        "refusal_proposed": 0,
        "refused": 0,
        "quarantined": 0,
        "submitted": 25,
    }
    assert store.split(Selection(day=DAY), RUBRIC, 10) == []
    assert work(ledger, "run-2").split(Selection(day=DAY), "test-2", 1000)[0]["item_count"] == 25


def test_two_runs_at_once_share_the_work_without_overlap(ledger, ledger_dsn):
    """Law 3: whoever claims first works, the other finds the rest or nothing."""
    load(ledger, *(record(n) for n in range(300)))
    barrier = threading.Barrier(4)

    def one(number):
        with connect(ledger_dsn) as connection:
            barrier.wait()
            return work(connection, f"run-{number}").split(Selection(day=DAY), RUBRIC, 50)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(one, range(4)))

    assert sorted(sum(chunk["item_count"] for chunk in chunks) for chunks in found) == [
        0,
        0,
        0,
        300,
    ]
    assert ledger.execute("SELECT count(*) FROM claim").fetchone() == (300,)


def test_an_expired_claim_is_taken_over_and_the_old_writer_stores_nothing(ledger):
    """A run that stopped without a word does not hold its contributions for ever."""
    load(ledger, *(record(n) for n in range(3)))
    old = work(ledger, "run-old")
    chunk_id = old.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"]
    lease = old.take_lease(chunk_id)
    items = next(old.waiting_items(lease, "validate", (), 10))
    ledger.execute("UPDATE work_chunk SET claimed_until = now() - interval '1 second'")

    new = work(ledger, "run-new")
    assert new.split(Selection(day=DAY), RUBRIC, 10)[0]["item_count"] == 3
    stored = old.save(
        lease, "validate", [answer(i.contribution.contribution_id, i.input_hash) for i in items], []
    )

    assert stored == 0
    assert ledger.execute("SELECT count(*) FROM step_result").fetchone() == (0,)


def test_a_writer_whose_lease_was_taken_stops(ledger):
    """Law 3: the newest attempt writes, an orphan of an older one does not."""
    load(ledger, record(1))
    store = work(ledger)
    chunk_id = store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"]
    orphan = store.take_lease(chunk_id)
    item = next(store.waiting_items(orphan, "validate", (), 10))[0]

    newer = work(ledger, try_number=2).take_lease(chunk_id)

    mine = answer(item.contribution.contribution_id, item.input_hash)
    with pytest.raises(LeaseLostError, match=r"#1"):
        store.save(orphan, "validate", [mine], [])
    assert ledger.execute("SELECT count(*) FROM step_result").fetchone() == (0,)
    assert store.save(newer, "validate", [mine], []) == 1
    assert store.save(newer, "validate", [mine], []) == 0


def test_a_text_judged_alone_is_noted_until_its_result_is_there(ledger):
    """The note outlives the process, whichever run comes next; a saved answer takes it away."""
    load(ledger, record(1), record(2))
    store = work(ledger)
    lease = store.take_lease(store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"])
    store.begin_alone(lease, "validate", "test:1")
    store.begin_alone(lease, "validate", "test:1")
    store.begin_alone(lease, "validate", "test:2")
    with pytest.raises(LeaseLostError):
        store.begin_alone(replace(lease, token=str(uuid4())), "validate", "test:1")

    (batch,) = store.waiting_items(lease, "validate", (), 10)
    assert [item.begun for item in batch] == [2, 1]
    failure = ItemFailure("test:1", "process_died", "twice")
    store.save(lease, "validate", [answer("test:2", batch[1].input_hash)], [failure])

    assert ledger.execute("SELECT count(*) FROM judged_alone").fetchone() == (0,)


def test_a_note_of_a_text_judged_alone_is_taken_back_one_at_a_time(ledger):
    """A failure is no death, and it does not wipe out the deaths before it; no lease is asked for."""
    load(ledger, record(1))
    store = work(ledger)
    lease = store.take_lease(store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"])
    for _ in range(2):
        store.begin_alone(lease, "validate", "test:1")
    store.begin_alone(lease, "classify", "test:1")
    work(ledger, try_number=2).take_lease(lease.chunk_id)
    noted = "SELECT step, begun FROM judged_alone ORDER BY step"

    store.end_alone(lease, "validate", "test:1")
    assert ledger.execute(noted).fetchall() == [("classify", 1), ("validate", 1)]
    store.end_alone(lease, "validate", "test:1")
    store.end_alone(lease, "validate", "test:1")

    assert ledger.execute(noted).fetchall() == [("classify", 1)]


def test_a_contribution_without_all_results_stays_pending_and_is_named(ledger):
    """A failed chunk cannot end in a green run, and the next run may take what it left."""
    load(ledger, *(record(n) for n in range(4)))
    store = work(ledger)
    chunk_id = store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"]
    judge_all(store, chunk_id, steps=("validate", "classify"))

    assert store.settle("test") == {}
    assert store.unsettled() == [(chunk_id, 4)]
    assert states(ledger) == {"pending": 4}
    assert store.release() == 4
    assert work(ledger, "run-2").split(Selection(day=DAY), RUBRIC, 10)[0]["item_count"] == 4


def test_a_run_repeated_under_new_rules_is_cut_anew(ledger):
    """What was claimed under the old rubric is claimed again under the new one."""
    load(ledger, record(1))
    old = work(ledger).split(Selection(day=DAY), RUBRIC, 10)
    new = work(ledger).split(Selection(day=DAY), "test-2", 10)

    assert len(new) == 1
    assert new != old
    assert work(ledger).take_lease(new[0]["chunk_id"]).rubric_version == "test-2"


def test_an_item_that_fails_for_good_is_quarantined_and_the_chunk_settles(ledger):
    """``continue`` concerns items: set aside with the reason, never accepted."""
    load(ledger, record(1), record(2))
    store = work(ledger)
    chunk_id = store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"]
    lease = store.take_lease(chunk_id)
    store.save(
        lease, "validate", [], [ItemFailure("test:1", "ValueError", "validate failed on it")]
    )
    judge_all(store, chunk_id)

    assert store.settle("test") == {"accepted": 1, "quarantined": 1}
    assert states(ledger) == {"accepted": 1, "quarantined": 1}
    assert reconcile(ledger, TOWN, DAY)["quarantined"] == 1


def test_a_quarantined_contribution_is_judged_again_when_asked_for_or_under_new_rules(ledger):
    """The way back: by its id, or with the next rubric; never silently under the same one."""
    load(ledger, record(1))
    for run_id, rubric, ids in [("run-1", RUBRIC, None), ("run-2", RUBRIC, ("test:1",))]:
        store = work(ledger, run_id)
        chosen = Selection(ids=ids) if ids else Selection(day=DAY)
        lease = store.take_lease(store.split(chosen, rubric, 10)[0]["chunk_id"])
        store.save(lease, "validate", [], [ItemFailure("test:1", "TransientError", "away")])
        assert store.settle("test") == {"quarantined": 1}
    assert work(ledger, "run-3").split(Selection(day=DAY), RUBRIC, 10) == []

    store = work(ledger, "run-4")
    judge_all(store, store.split(Selection(day=DAY), "test-2", 10)[0]["chunk_id"])

    assert store.settle("test") == {"accepted": 1}
    assert reconcile(ledger, TOWN, DAY)["accepted"] == 1
    assert ledger.execute(
        "SELECT count(*) FROM review_case WHERE closed_at IS NULL"
    ).fetchone() == (0,)
    assert ledger.execute(
        "SELECT count(*) FROM quarantine WHERE resolved_at IS NULL"
    ).fetchone() == (0,)


def test_rules_that_are_rolled_back_ask_the_same_question_again(ledger):
    """A doubtful text always has an open case, whatever rules came and went."""
    load(ledger, record(1))
    for run_id, rubric, decision in [
        ("1", "a", "review"),
        ("2", "b", "accept"),
        ("3", "a", "review"),
    ]:
        store = work(ledger, run_id)
        judge_all(store, store.split(Selection(day=DAY), rubric, 10)[0]["chunk_id"], decision)
        store.settle("test")

    assert states(ledger) == {"review": 1}
    assert ledger.execute(
        "SELECT count(*) FROM review_case WHERE closed_at IS NULL"
    ).fetchone() == (1,)
    assert reconcile(ledger, TOWN, DAY)["review"] == 1
    ledger.execute("UPDATE review_case SET closed_at = now()")
    with pytest.raises(ReconciliationError, match="no open review case"):
        reconcile(ledger, TOWN, DAY)


def test_a_run_over_ids_knows_the_days_it_worked_on(ledger):
    """Its books are those of its contributions' days; an id that is not there is named."""
    load(ledger, record(1), record(2, day=date(2026, 1, 14)))
    store = work(ledger)

    store.split(Selection(ids=("test:1", "test:2")), RUBRIC, 10)

    assert store.days_of_run() == [DAY, date(2026, 1, 14)]
    assert store.unknown(["test:1", "typo:1"]) == ["typo:1"]


def test_what_a_citizen_wrote_never_changes(ledger):
    """Law 7, at the lowest level: neither the words nor the day they came."""
    load(ledger, record(1))

    for change in ("constat_factuel = 'autre'", "received_on = '2020-01-01'"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="kept as received"):
            ledger.execute(f"UPDATE contribution SET {change}")


def test_a_text_submitted_twice_by_one_run_is_one_receipt(ledger):
    """A repeated attempt of a run repeats nothing, and nobody else is told to judge it."""
    store = LedgerLoading(ledger, TOWN)
    text = Contribution("rest:run-9", "Un texte du port")

    assert {store.submit(text, "contribution_analysis") for _ in range(3)} == {"rest:run-9"}

    assert ledger.execute("SELECT count(*) FROM receipt").fetchone() == (1,)
    assert ledger.execute("SELECT count(*) FROM outbox WHERE announced_at IS NULL").fetchone() == (
        0,
    )


@pytest.mark.parametrize(
    ("decision", "state"),
    [("accept", "accepted"), ("review", "review"), ("refusal_proposed", "refusal_proposed")],
)
def test_each_outcome_has_its_state_and_doubt_opens_a_case(ledger, decision, state):
    """A doubtful answer is a case for a person; an accepted text is not."""
    load(ledger, record(1))
    store = work(ledger)
    judge_all(store, store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"], decision)
    store.settle("test")

    assert states(ledger) == {state: 1}
    cases = ledger.execute("SELECT kind FROM review_case WHERE closed_at IS NULL").fetchall()
    assert cases == ([] if decision == "accept" else [(state,)])


def decide(connection, outcome, person="clara"):
    with connection.transaction():
        connection.execute(
            "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
            " VALUES ('test:1', %s, %s, 'motif')",
            (outcome, person),
        )
        connection.execute("UPDATE contribution SET state = %s", (outcome,))


def test_a_persons_decision_stands_against_every_later_machine_run(ledger):
    """Law 4: a new rubric judges again what is open, and leaves what a person decided."""
    load(ledger, record(1))
    first = work(ledger)
    judge_all(first, first.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"], "review")
    first.settle("test")
    decide(ledger, "refused")

    later = work(ledger, "run-2")
    assert later.split(Selection(day=DAY), "test-2", 10) == []
    assert later.split(Selection(ids=("test:1",)), "test-2", 10) == []
    with pytest.raises(psycopg.errors.RestrictViolation, match="decided by a person"):
        ledger.execute("UPDATE contribution SET state = 'accepted'")
    decide(ledger, "accepted", "denis")
    assert states(ledger) == {"accepted": 1}
    assert ledger.execute("SELECT count(*) FROM decision").fetchone() == (2,)
    assert reconcile(ledger, TOWN, DAY)["accepted"] == 1


def test_a_decision_made_while_the_machine_works_stands(ledger):
    """Law 4: settling passes over what was decided since the chunk was claimed."""
    load(ledger, record(1), record(2))
    store = work(ledger)
    judge_all(store, store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"], "accept")
    ledger.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
        " VALUES ('test:1', 'refused', 'clara', 'motif')"
    )
    ledger.execute("UPDATE contribution SET state = 'refused' WHERE contribution_id = 'test:1'")

    assert store.settle("test") == {"accepted": 1}
    assert states(ledger) == {"accepted": 1, "refused": 1}
    assert store.unsettled() == []


@pytest.mark.parametrize(
    ("column", "value"), [("state", "accepted"), ("state", "refused"), ("state_rubric", RUBRIC)]
)
def test_no_text_arrives_with_its_outcome(ledger, column, value):
    """Law 1: another service inserts texts; what becomes of them is not for it to say."""
    with pytest.raises(psycopg.errors.RestrictViolation, match="a new contribution is pending"):
        ledger.execute(
            "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
            f" constat_factuel, received_on, {column})"
            " VALUES ('n8n:1', %s, 'n8n', '1', 'Un texte', %s, %s)",
            (TOWN, DAY, value),
        )
    assert states(ledger) == {}


def test_only_a_person_refuses(ledger):
    """Law 1: without a decision on record no row can become refused."""
    load(ledger, record(1))

    with pytest.raises(psycopg.errors.RestrictViolation, match="only a person refuses"):
        ledger.execute("UPDATE contribution SET state = 'refused'")


@pytest.mark.parametrize("table", ["decision", "state_change"])
def test_the_log_is_append_only(ledger, table):
    """Law 5: what was said stays said."""
    load(ledger, record(1))
    store = work(ledger)
    judge_all(store, store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"])
    store.settle("test")
    decide(ledger, "accepted")

    for statement in (f"DELETE FROM {table}", f"TRUNCATE {table} CASCADE"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            ledger.execute(statement)


def test_what_may_not_be_changed_cannot_be_emptied(ledger):
    """Laws 5 and 7: TRUNCATE asks no trigger of a row, so each such table refuses it by one of its own."""
    kept = ledger.execute(
        "SELECT DISTINCT event_object_table FROM information_schema.triggers"
        " WHERE trigger_schema = 'participation' AND event_manipulation = 'DELETE'"
        " AND action_statement LIKE '%refuse_change()'"
    ).fetchall()

    assert {"decision", "state_change", "dataset", "workflow_step_result"} <= {
        each[0] for each in kept
    }
    for (table,) in kept:
        with pytest.raises(psycopg.errors.RestrictViolation, match=f"{table} is append-only"):
            ledger.execute(f"TRUNCATE {table} CASCADE")


@pytest.mark.parametrize(
    "loss",
    [
        "DELETE FROM receipt WHERE contribution_id = 'test:1'",
        "UPDATE contribution SET state = 'review' WHERE contribution_id = 'test:1'",
        "DELETE FROM step_result WHERE item_id = 'test:1' AND step = 'validate'",
    ],
    ids=["receipt_gone", "state_without_reason", "result_gone"],
)
def test_reconcile_fails_loudly_when_the_books_are_off(ledger, loss):
    """Law 2: the sum, and the reason of every state, are counted from the rows."""
    load(ledger, record(1), record(2))
    store = work(ledger)
    judge_all(store, store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"])
    store.settle("test")
    ledger.execute(loss)

    with pytest.raises(ReconciliationError, match="2026-01-12"):
        reconcile(ledger, TOWN, DAY)


def test_rows_of_another_service_announce_themselves(ledger):
    """A plain INSERT is enough: hashes, receipt and outbox row come by themselves."""
    ledger.execute(
        "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
        " constat_factuel, received_on) VALUES ('n8n:1', %s, 'n8n', '1', 'Un  texte', %s)",
        (TOWN, DAY),
    )

    found = outbox.waiting_days(ledger, TOWN, None)
    assert found.days == ("2026-01-12",)
    assert outbox.waiting_days(ledger, TOWN, EMITTER).days == ()
    row = ledger.execute("SELECT content_hash, input_hash FROM contribution").fetchone()
    assert row == (content_hash("Un  texte"), Contribution("", "Un  texte").input_hash)
    assert reconcile(ledger, TOWN, DAY)["submitted"] == 1
    assert outbox.mark_announced(ledger, TOWN, None, found.snapshot) == 1
    assert outbox.waiting_days(ledger, TOWN, None).days == ()


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.text(
        st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
        | st.sampled_from("\x1c\x85\xa0\u1680\u2003\u2028\u202f\u3000\u200b\ufeff e\u0301\n\t")
    )
)
def test_both_sides_call_the_same_texts_identical(ledger, text):
    """The database folds exactly as Python does, so one text never becomes two."""
    assert ledger.execute("SELECT fold(%s)", (text,)).fetchone() == (folded(text),)


def test_our_own_loads_are_announced_by_their_loader_only(ledger):
    """The watcher's rows have no emitter; a load's rows carry the loader's name."""
    load(ledger, record(1))

    assert outbox.waiting_days(ledger, TOWN, None).days == ()
    assert outbox.waiting_days(ledger, TOWN, EMITTER).days == ("2026-01-12",)


def test_a_metric_row_is_opened_closed_and_found_lost(ledger):
    """One row per attempt; a kill leaves it open and the next attempt closes it."""
    first, second = attempt(try_number=1), attempt(try_number=2)
    metrics.open_metric(ledger, TOWN, first, "validate")
    metrics.open_metric(ledger, TOWN, second, "validate")
    metrics.close_metric(ledger, second, "success", item="chunk 1", input_size=5, output_size=5)

    rows = ledger.execute(
        "SELECT try_number, status, error_message, duration_ms IS NOT NULL FROM step_metric"
        " ORDER BY try_number"
    ).fetchall()
    assert rows == [(1, "failed", metrics.LOST, True), (2, "success", None, True)]
    metrics.open_metric(ledger, TOWN, attempt(try_number=3), "validate")
    assert metrics.close_lost(ledger, first.dag_id, first.run_id) == 1


def test_a_file_deep_in_its_folders_is_stored_and_known_again(ledger):
    """A path may have 4,096 bytes, an entry of an index 2,700."""
    name = "/".join("".join(uuid4().hex for _ in range(7)) for _ in range(17))

    load(ledger, record(1), BROKEN, name=name)

    assert LedgerLoading(ledger, TOWN).known_files([name]).keys() == {(name, "0" * 64)}
    assert load(ledger, record(1), BROKEN, name=name).records == 0


def test_an_id_that_was_taken_on_purpose_stops_no_file(ledger):
    """Who knows a text knows the id it would get beside another one; the file is loaded all the same."""
    taken = f"12~{content_hash('La victime')}~{TOWN[:20]}"
    load(ledger, record(12, "Un autre texte"), record(1, "Le squatteur", external_id=taken))

    counts = load(ledger, record(12, "La victime"), name="b", sha256="1" * 64)

    assert (counts.records, counts.added) == (1, 1)
    assert ledger.execute("SELECT count(*) FROM contribution").fetchone() == (3,)


INSERT = (
    "INSERT INTO contribution (contribution_id, municipality, source, external_id, constat_factuel,"
    " idees_ameliorations, received_on) VALUES (%(id)s, %(town)s, 'n8n', '1', %(text)s, %(ideas)s,"
    " %(day)s)"
)


@pytest.mark.parametrize(
    "odd",
    [
        {"day": "infinity"},
        {"day": "10000-01-01"},
        {"day": "1989-12-31"},
        {"id": ""},
        {"id": "n" * 501},
        {"text": "x" * 30_000, "ideas": "y" * 30_001},
        {"text": "un\x01banc"},
        {"ideas": "un\x7fbanc"},
    ],
    ids=lambda odd: next(iter(odd)),
)
def test_no_door_lets_in_what_no_step_can_work_with(ledger, odd):
    """One such row would break every day's report, and nobody may change it afterwards."""
    row = {"id": "n8n:1", "town": TOWN, "text": "Un\ttexte\r\n", "ideas": "", "day": DAY}
    with pytest.raises(psycopg.errors.CheckViolation):
        ledger.execute(INSERT, row | odd)

    ledger.execute(INSERT, row | {"ideas": "y" * (MAX_TEXT_CHARACTERS - len(row["text"]))})
    assert states(ledger) == {"pending": 1}


def test_the_hashes_of_another_service_are_not_believed(ledger):
    """The same text under two invented hashes would be two contributions."""
    insert = (
        "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
        " constat_factuel, received_on, content_hash, input_hash)"
        " VALUES (%s, %s, 'n8n', '1', 'Un texte', %s, %s, 'x')"
    )
    ledger.execute(insert, ("n8n:1", TOWN, DAY, "forged-1"))

    with pytest.raises(psycopg.errors.UniqueViolation):
        ledger.execute(insert, ("n8n:2", TOWN, DAY, "forged-2"))
    row = ledger.execute("SELECT content_hash, input_hash FROM contribution").fetchone()
    assert row == (content_hash("Un texte"), Contribution("", "Un texte").input_hash)


def test_a_pending_text_cannot_be_marked_as_judged(ledger):
    """A rubric on it would keep it from ever being judged."""
    load(ledger, record(1))

    with pytest.raises(psycopg.errors.CheckViolation, match="contribution_pending_unjudged"):
        ledger.execute("UPDATE contribution SET state_rubric = %s", (RUBRIC,))


@pytest.mark.parametrize(
    ("outcome", "open_cases"), [("accepted", 0), ("refused", 0), ("review", 1)]
)
@pytest.mark.parametrize("machine", ["pending", "review", "quarantined"])
def test_a_decision_moves_the_state_by_itself(ledger, machine, outcome, open_cases):
    """Law 4: one insert is enough; it closes what was open and is on record with its person."""
    load(ledger, record(1))
    store = work(ledger)
    if machine != "pending":
        chunk_id = store.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"]
        if machine == "quarantined":
            lease = store.take_lease(chunk_id)
            store.save(lease, "validate", [], [ItemFailure("test:1", "ValueError", "odd")])
        judge_all(store, chunk_id, "review")
        store.settle("test")

    ledger.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
        " VALUES ('test:1', 'refused', 'denis', 'motif'), ('test:1', %s, 'clara', 'motif')",
        (outcome,),
    )

    assert states(ledger) == {outcome: 1}
    assert reconcile(ledger, TOWN, DAY)[outcome] == 1
    assert work(ledger, "run-2").split(Selection(day=DAY), "test-2", 10) == []
    assert ledger.execute(
        "SELECT count(*) FROM quarantine WHERE resolved_at IS NULL"
    ).fetchone() == (0,)
    assert ledger.execute(
        "SELECT count(*) FROM review_case WHERE closed_at IS NULL"
    ).fetchone() == (open_cases if machine != "pending" else 0,)
    changed = ledger.execute(
        "SELECT from_state, to_state, rubric_version FROM state_change WHERE changed_by = 'clara'"
    ).fetchall()
    assert changed == ([(machine, outcome, None)] if machine != outcome else [])


def test_what_another_run_sets_aside_under_new_rules_explains_no_state_yet(ledger):
    """The state is still that of the old rules, and so are the books."""
    load(ledger, record(1), record(2))
    old = work(ledger)
    judge_all(old, old.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"])
    old.settle("test")
    new = work(ledger, "run-2")
    lease = new.take_lease(new.split(Selection(day=DAY), "test-2", 10)[0]["chunk_id"])
    new.save(lease, "validate", [], [ItemFailure("test:1", "ValueError", "odd")])

    assert reconcile(ledger, TOWN, DAY)["accepted"] == 2


def test_what_a_dead_run_set_aside_is_judged_under_the_next_rules(ledger):
    """A failure under one rubric is no judgement under another."""
    load(ledger, record(1))
    old = work(ledger)
    judge_all(old, old.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"])
    old.settle("test")
    dead = work(ledger, "run-2")
    lease = dead.take_lease(dead.split(Selection(day=DAY), "test-2", 10)[0]["chunk_id"])
    dead.save(lease, "validate", [], [ItemFailure("test:1", "ValueError", "odd")])
    dead.release()

    store = work(ledger, "run-3")
    judge_all(store, store.split(Selection(day=DAY), "test-3", 10)[0]["chunk_id"], "review")

    assert store.settle("test") == {"review": 1}
    assert reconcile(ledger, TOWN, DAY)["review"] == 1
    assert ledger.execute("SELECT resolution FROM quarantine").fetchone() == ("judged again",)


def test_deaths_under_old_rules_do_not_count_under_new_ones(ledger):
    """An engine that was mended gets to judge the text over which the old one died."""
    load(ledger, record(1))
    old = work(ledger)
    lease = old.take_lease(old.split(Selection(day=DAY), RUBRIC, 10)[0]["chunk_id"])
    old.begin_alone(lease, "validate", "test:1")
    old.begin_alone(lease, "validate", "test:1")
    old.release()

    new = work(ledger, "run-2")
    lease = new.take_lease(new.split(Selection(day=DAY), "test-2", 10)[0]["chunk_id"])

    ((item,),) = new.waiting_items(lease, "validate", (), 10)
    assert item.begun == 0
    new.begin_alone(lease, "validate", "test:1")
    new.save(lease, "validate", [answer("test:1", item.input_hash)], [])
    assert ledger.execute("SELECT rubric_version, begun FROM judged_alone").fetchall() == [
        (RUBRIC, 2)
    ]


def test_another_export_under_the_same_name_leaves_what_was_broken_open(ledger):
    """Last week's broken line is in none of this week's, and nobody mended it."""
    load(ledger, record(1), BROKEN, sha256="1" * 64)

    load(ledger, record(3, locator="line 1"), record(4, locator="line 2"), sha256="2" * 64)

    assert open_records(ledger) == [("a.jsonl", "line 2")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param((record(1), BROKEN), (record(1),), id="taken_out"),
        pytest.param((BROKEN,), (record(2, locator="line 2"),), id="mended_at_its_place"),
        pytest.param(
            (record(1), replace(BROKEN, raw="constat: \nid: 2\nsubmitted: hier")),
            (record(7, "Tout autre chose"), record(2, locator="line 9")),
            id="mended_under_its_id",
        ),
    ],
)
def test_a_record_that_was_mended_is_closed(ledger, before, after):
    """The version that was met last counts: as most of the one before, or as the record itself."""
    load(ledger, *before, sha256="1" * 64)
    assert open_records(ledger) == [("a.jsonl", "line 2")]

    load(ledger, *after, sha256="2" * 64)

    assert open_records(ledger) == []
