"""This project's own path without Airflow: the ledger, leases, chunks, steps, states.

Run in the project's environment. Every item is loaded, claimed, given one stored result per step,
settled, and counted again, as the tasks of ``contribution_analysis`` do it.
"""

from datetime import date, timedelta
from pathlib import Path

from bench import work
from bench.simulated import DAY, PreparingStore, SimulatedReviewer, records
from include.contributions.analysis import judge_chunk
from include.contributions.processors import contribution_workflow
from include.ports import SourceFile
from participation.ledger import books, connect
from participation.ledger.analysis import LedgerAnalysis
from participation.ledger.attempt import Attempt
from participation.ledger.claims import Selection
from participation.ledger.connection import Connection
from participation.ledger.loading import LedgerLoading

TOWN = "bench"

CHUNK_SIZE = 2000


def main() -> None:
    """Do one share; each process has a day of its own, so that both can be told apart."""
    share = work.share()
    day = DAY + timedelta(days=share.first)
    reviewer = SimulatedReviewer(concurrency=share.concurrency)
    with connect(share.dsn) as connection:
        work.wait_for_the_gun()
        load(connection, share.numbers, day)
        ledger = LedgerAnalysis(
            connection, TOWN, Attempt("bench", f"share-{share.first}", "judge", -1, 1)
        )
        chunks = ledger.split(Selection(day=day), reviewer.rubric_version, CHUNK_SIZE)
        store = PreparingStore(ledger, reviewer)
        for chunk in chunks:
            for step in contribution_workflow(reviewer).steps:
                judge_chunk(chunk["chunk_id"], step, store, reviewer.rubric_version)
        ledger.settle("bench")
        books.reconcile(connection, TOWN, day)
        work.stay_until_measured()


def load(connection: Connection, numbers: range, day: date, town: str = TOWN) -> int:
    """Store the items as a source file's entries; how many were new."""
    uri = f"bench/{numbers.start}-{numbers.stop}.jsonl"
    file = SourceFile(Path(uri), uri, uri, len(numbers), "jsonl", "utf-8")
    store = LedgerLoading(connection, town)
    load_id = store.begin_load("bench")
    added = store.add_file(load_id, file, records(numbers, day)).added
    store.end_load(load_id, [])
    return added


if __name__ == "__main__":
    main()
