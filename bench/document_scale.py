"""100, 500 and 2,000 generated documents from the inbox to the dataset, through the five DAGs.

Each size runs the real system in a folder of its own. The clock starts when the intake is triggered
on a healthy Airflow; one time is taken when the live index holds every document, another when the
dataset of that index is on record. A second intake of the same folder shows what nothing new costs.
"""

import shutil
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import document_files, meter, real_system
from bench.document_files import Made
from bench.real_system import NotInTimeError, RealSystem, wait_for
from bench.scale import STEPS
from participation.ledger.connection import Connection
from participation.search import ask
from participation.settings import Settings

INTAKE = "document_intake"
LIMIT_S = 3 * 3600
"""A size that takes longer is reported as failed."""

ASKED = 50
"""Documents that are asked for by a word that stands in them alone."""

INDEXED = """
SELECT sum(document_count)::int FROM participation.index_version WHERE state = 'live'
"""
GATHERED = """
SELECT count(*)::int FROM participation.dataset d JOIN participation.index_version v
ON v.state = 'live' AND (d.provenance ->> 'index_id')::bigint = v.index_id
"""
BOOKS = """
SELECT count(*)::int, coalesce(sum(page_count), 0)::int, coalesce(sum(pages_read), 0)::int,
       coalesce(sum(pages_set_aside), 0)::int,
       (SELECT count(*)::int FROM participation.page),
       (SELECT count(*)::int FROM participation.document_set_aside WHERE resolved_at IS NULL),
       (SELECT count(*)::int FROM participation.chunk WHERE NOT is_parent)
FROM participation.document
"""
FAILED = "SELECT dag_id, reason FROM participation.run_outcome WHERE state = 'failed'"
TOUCHED = """
SELECT (SELECT max(parsed_at) FROM participation.document),
       (SELECT max(chunk_id) FROM participation.chunk),
       (SELECT count(*) FROM participation.embedding)
"""


def measure(sizes: list[int]) -> dict[str, Any]:
    """Run every size and return the figures, one entry per size, the smallest first."""
    here = meter.machine()
    rows = []
    for size in sorted(sizes):
        print(f"document_scale: {size:,} documents ...", flush=True)
        try:
            rows.append(_one(size))
        except (NotInTimeError, OSError, RuntimeError) as error:
            rows.append({"count": size, "error": str(error).replace("\n", " ")[-500:]})
        print(f"  {_sentence(rows[-1])}", flush=True)
    return {"machine": here, "sizes": rows}


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown."""
    lines = [
        (
            "| documents | pages | s to the index | pages/s | ms per page | growth | s to the dataset "
            "| CPU s | CPU ms per page | peak MB | of it PostgreSQL | second run s | "
            "search p95 ms | found |"
        ),
        "|" + "---:|" * 14,
    ]
    before: float | None = None
    for row in figures["sizes"]:
        if "error" in row:
            lines.append(f"| {row['count']:,} | **failed: {row['error']}** |" + " |" * 12)
            continue
        growth = f"× {row['ms_per_page'] / before:.2f}" if before else ""
        before = row["ms_per_page"]
        lines.append(
            f"| {row['count']:,} | {row['pages']:,} | {row['index_s']} | {row['pages_per_s']}"
            f" | {row['ms_per_page']} | {growth} | {row['dataset_s']} | {row['cpu_s']}"
            f" | {row['cpu_ms_per_page']} | {row['peak_mb']} | {row['peak_postgres_mb']}"
            f" | {row['second_run_s']} | {row['search_p95_ms']} | {row['found']} of {row['asked']} |"
        )
    for row in figures["sizes"]:
        if "error" not in row:
            lines += ["", f"Where {row['count']:,} documents spend their time:", "", *_where(row)]
    return lines


def _where(row: Mapping[str, Any]) -> list[str]:
    return [
        "| DAG | step | attempts | seconds, summed | ms per page |",
        "|---|---|---:|---:|---:|",
        *(
            f"| {each['dag']} | {each['step']} | {each['attempts']} | {each['seconds']:.1f}"
            f" | {each['seconds'] * 1000 / row['pages']:.2f} |"
            for each in row["steps"]
        ),
    ]


def _one(count: int) -> dict[str, Any]:
    with real_system.running() as system:
        made = _fill(system.inbox, count)
        with system.ledger() as ledger, meter.TreeMeter(system.guard.pid) as seen:
            began = time.time()
            _taken_in(system, "first")
            wait_for(lambda: _going(ledger, INDEXED) >= count, LIMIT_S, "the whole index", 1)
            indexed = time.time()
            wait_for(lambda: _going(ledger, GATHERED), LIMIT_S, "the dataset", 1)
            gathered = time.time()
            faults = _faults(ledger, made)
            searched = _searches(ledger, made)
            touched = ledger.execute(TOUCHED).fetchone()
            steps = ledger.execute(STEPS).fetchall()
            again = time.time()
            _taken_in(system, "again")
            second_run_s = time.time() - again
            if ledger.execute(TOUCHED).fetchone() != touched:
                faults.append("a second run of the same folder computed something anew")
    if faults:
        return {"count": count, "error": "; ".join(faults)}
    pages = sum(each.pages for each in made)
    cost = seen.between(began, gathered)
    return {
        "count": count,
        "pages": pages,
        "index_s": round(indexed - began, 1),
        "dataset_s": round(gathered - began, 1),
        "pages_per_s": round(pages / (indexed - began), 1),
        "ms_per_page": round((indexed - began) * 1000 / pages, 2),
        "cpu_ms_per_page": round(cost["cpu_s"] * 1000 / pages, 2),
        "second_run_s": round(second_run_s, 1),
        **cost,
        **searched,
        "steps": [
            {"dag": dag, "step": step, "attempts": n, "seconds": seconds}
            for dag, step, n, seconds, _ in steps
        ],
    }


def _fill(inbox: Path, count: int) -> list[Made]:
    """Put generated documents into the inbox, and nothing else."""
    shutil.rmtree(inbox)
    return document_files.write(inbox, count)


def _taken_in(system: RealSystem, name: str) -> None:
    system.start_run(INTAKE, f"scale-{name}")
    state = system.finished(INTAKE, f"scale-{name}", LIMIT_S)
    if state != "success":
        raise NotInTimeError(f"{INTAKE} ended as {state}: {system.said()}")


def _going(ledger: Connection, query: str) -> int:
    """Ask for a number that still grows, as long as no run has failed."""
    failed = ledger.execute(FAILED).fetchall()
    if failed:
        raise RuntimeError("; ".join(f"{dag} failed: {reason}" for dag, reason in failed))
    return _number(ledger, query)


def _number(ledger: Connection, query: str) -> int:
    row = ledger.execute(query).fetchone()
    return int(row[0] or 0) if row else 0


def _faults(ledger: Connection, made: Sequence[Made]) -> list[str]:
    """Say what contradicts what was put in."""
    pages = sum(each.pages for each in made)
    row = ledger.execute(BOOKS).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives one row
    documents, pages_in, read, aside, stored, files_aside, _ = row
    faults = []
    if (documents, files_aside) != (len(made), 0):
        faults.append(f"{len(made)} documents in, {documents} read, {files_aside} set aside")
    if (pages_in, read + aside, stored) != (pages, pages, pages):
        faults.append(f"{pages} pages in; counted {pages_in}, read {read}, aside {aside}")
    return faults


def _searches(ledger: Connection, made: Sequence[Made]) -> dict[str, Any]:
    """Ask for documents by the word that only they hold; the right page must come first."""
    asked = made[:: max(1, len(made) // ASKED)][:ASKED]
    found = 0
    times = []
    for each in asked:
        began = time.monotonic()
        hits = ask(ledger, Settings().municipality, f"dossier sous la cote {each.mark}")
        times.append((time.monotonic() - began) * 1000)
        found += bool(hits) and _is(hits[0], each)
    return {
        "asked": len(asked),
        "found": found,
        "search_p95_ms": round(statistics.quantiles(times, n=20)[-1], 1),
    }


def _is(hit: Any, made: Made) -> bool:
    return made.mark in hit.quote or (
        hit.first_page <= made.marked_page <= hit.last_page and made.path.name in str(hit.uri)
    )


def _sentence(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    return (
        f"{row['index_s']} s to the index, {row['ms_per_page']} ms a page; {row['dataset_s']} s to the "
        f"dataset; CPU {row['cpu_s']} s, peak {row['peak_mb']} MB; second run {row['second_run_s']} s; "
        f"{row['found']} of {row['asked']} found, p95 {row['search_p95_ms']} ms"
    )
