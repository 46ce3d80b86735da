"""Kill things at random on a real system and count what is lost; the entry of ``make chaos``.

    make chaos ARGS='--rounds 9 --seed 7'        kill rounds, every kind of process in turn
    make chaos ARGS='--minutes 60'               for as long as that
    make chaos ARGS='--only backfill load'       30 days by REST, half of them twice; 100 single texts
    make chaos ARGS='--only documents'           readers, tasks and PostgreSQL killed over documents
    make chaos ARGS='--only mutations'           every guard taken out once

One line of JSON per round goes to ``--out``; the exit code says whether anything was wrong.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from bench import document_kills, mutations
from bench.kills import TARGETS, TEXTS, kill_round
from bench.real_system import (
    ANALYSIS,
    CHAIN,
    NotInTimeError,
    RealSystem,
    expected_results,
    faults_of_day,
    insert,
    made_texts,
    refused_writes,
    running,
    wait_for,
)
from include.contributions.model import Contribution

PARTS = ("kills", "documents", "backfill", "load", "mutations")

KILL_DAYS = date(2024, 1, 1)
BACKFILL_FIRST = date(2023, 6, 1)
BACKFILL_DAYS = 30
BACKFILL_TEXTS = 20
LOAD_TEXTS = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts asked for; 0 when nothing was wrong."""
    chosen = _chosen(arguments)
    wrong: list[str] = []
    report = Report(chosen.out)
    if "mutations" in chosen.only:
        wrong += mutations.run(mutations.listed())
    if set(chosen.only) - {"mutations"}:
        with running() as system:
            print(f"a system of its own is up on {system.address}", flush=True)
            if "kills" in chosen.only:
                wrong += kill_rounds(system, chosen, report)
            if "documents" in chosen.only:
                wrong += document_rounds(system, chosen, report)
            if "backfill" in chosen.only:
                wrong += report.of("backfill", backfill_thirty_days, system)
            if "load" in chosen.only:
                wrong += report.of("single texts", single_texts, system, every=None)
                wrong += report.of("single texts, 10 % refused", single_texts, system, every=10)
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    print("nothing lost, nothing twice" if not wrong else f"{len(wrong)} findings")
    return 1 if wrong else 0


class Report:
    """One line of JSON per result, on the terminal and in a file."""

    def __init__(self, out: Path | None) -> None:
        self._out = out

    def add(self, entry: dict[str, Any]) -> None:
        """Write one result down."""
        line = json.dumps(entry, ensure_ascii=False)
        print(line, flush=True)
        if self._out:
            with self._out.open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def of(
        self, name: str, part: Callable[..., dict[str, Any]], *args: Any, **more: Any
    ) -> list[str]:
        """Run a part, write its figures down and return what was wrong."""
        began = time.monotonic()
        try:
            figures = part(*args, **more)
        except NotInTimeError as error:
            figures = {"wrong": [str(error)]}
        self.add({"part": name, "seconds": round(time.monotonic() - began, 1), **figures})
        return [f"{name}: {each}" for each in figures["wrong"]]


def kill_rounds(system: RealSystem, chosen: argparse.Namespace, report: Report) -> list[str]:
    """Kill every kind of process in turn, for so many rounds or minutes."""
    until = time.monotonic() + 60 * chosen.minutes if chosen.minutes else None
    wrong: list[str] = []
    number = 0
    resumed: list[float] = []
    while time.monotonic() < until if until else number < chosen.rounds:
        target = chosen.target[number % len(chosen.target)]
        try:
            done = kill_round(
                system,
                target,
                seed=chosen.seed,
                number=number,
                day=KILL_DAYS + timedelta(number),
                count=chosen.texts,
            )
        except NotInTimeError as error:
            wrong.append(f"round {number} ({target}): {error}")
        else:
            report.add(done.as_dict())
            wrong += [f"round {number} ({target}): {each}" for each in done.wrong]
            resumed.append(max(done.resumed_s or 0.0, done.again_s or 0.0))
        number += 1
    if resumed:
        resumed.sort()
        middle = resumed[len(resumed) // 2]
        print(
            f"{number} rounds; at work again after {middle} s (median), {resumed[-1]} s (longest)"
        )
    return wrong


def document_rounds(system: RealSystem, chosen: argparse.Namespace, report: Report) -> list[str]:
    """Kill what reads and indexes documents, each kind in turn, for so many rounds or minutes."""
    until = time.monotonic() + 60 * chosen.minutes if chosen.minutes else None
    targets = document_kills.TARGETS
    wrong: list[str] = []
    number = 0
    while time.monotonic() < until if until else number < chosen.rounds:
        target = targets[number % len(targets)]
        try:
            done = document_kills.kill_round(system, target, seed=chosen.seed, number=number)
        except NotInTimeError as error:
            wrong.append(f"documents, round {number} ({target}): {error}")
        else:
            report.add(done.as_dict())
            wrong += [f"documents, round {number} ({target}): {each}" for each in done.wrong]
        number += 1
    return wrong


def backfill_thirty_days(system: RealSystem) -> dict[str, Any]:
    """Backfill 30 days by REST, 15 of them twice, while another DAG judges some of them."""
    days = [BACKFILL_FIRST + timedelta(n) for n in range(BACKFILL_DAYS)]
    texts = {day: made_texts(BACKFILL_TEXTS, n, f"days{n}") for n, day in enumerate(days)}
    with system.ledger() as ledger:
        for day in days:
            insert(ledger, texts[day], day)
    live = [system.start_run(ANALYSIS, f"live-{day}", day=day) for day in days[::6]]
    for last in (days[-1], days[BACKFILL_DAYS // 2 - 1]):
        _backfill(system, days[0], last)
    wrong = [f"{run} failed" for run in live if system.finished(ANALYSIS, run) != "success"]
    with system.ledger() as ledger:
        for day in days:
            wrong += [f"{day}: {each}" for each in faults_of_day(ledger, day, texts[day])]
        row = ledger.execute(
            "SELECT count(*)::int, count(DISTINCT (item_id, step))::int,"
            " count(DISTINCT run_id)::int FROM step_result WHERE item_id LIKE 'days%'"
        ).fetchone()
    results, distinct, runs = row or (0, 0, 0)
    return {"wrong": wrong, "results": results, "distinct": distinct, "judging_runs": runs}


def _backfill(system: RealSystem, first: date, last: date) -> None:
    number = wait_for(
        lambda: system.client.backfill(CHAIN, first, last, at_once=2), 600, "a free backfill"
    )
    wait_for(lambda: system.client.backfill_is_done(number), 3600, f"backfill {number}", 1)


def single_texts(system: RealSystem, every: int | None) -> dict[str, Any]:
    """Trigger 100 runs of one text each by REST; every result is held against this process's own."""
    mark = "refused" if every else "single"
    texts = made_texts(LOAD_TEXTS, 5, mark)
    began = time.monotonic()
    refused_count = 0
    if every:
        with (
            system.ledger() as ledger,
            refused_writes(ledger, "rest", every=every, at_most=LOAD_TEXTS * 3 // every) as refused,
        ):
            runs = _run_all(system, texts, mark)
            refused_count = refused()
    else:
        runs = _run_all(system, texts, mark)
    seconds = time.monotonic() - began
    wrong = []
    for text, (state, result) in zip(texts, runs, strict=True):
        result.pop("contribution_id", None)
        if state != "success" or result != expected_results(Contribution("", text.text)):
            wrong.append(f"{text.contribution_id}: {state}, another result than in-process")
    right = len(texts) - len(wrong)
    per_run_s = round(seconds / len(texts), 2)
    return {"wrong": wrong, "right": right, "refused_writes": refused_count, "s_per_run": per_run_s}


def _run_all(
    system: RealSystem, texts: Sequence[Contribution], mark: str
) -> list[tuple[str, dict[str, Any]]]:
    run_ids = [
        system.start_run(ANALYSIS, f"load-{mark}-{n}", {"text": text.text})
        for n, text in enumerate(texts)
    ]
    found = []
    for run_id in run_ids:
        state = system.finished(ANALYSIS, run_id, 3600)
        answer = system.xcom(ANALYSIS, run_id, "reconcile") if state == "success" else {}
        found.append((state, dict(answer.get("result", {}))))
    return found


def _chosen(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill things and count what is lost.")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=2 * len(TARGETS), help="kill rounds")
    parser.add_argument("--minutes", type=float, help="instead of a number of rounds")
    parser.add_argument("--seed", type=int, default=1, help="same seed, same texts and moments")
    parser.add_argument("--target", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--texts", type=int, default=TEXTS, help="contributions per round")
    parser.add_argument("--out", type=Path, help="append one line of JSON per result here")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    # Told to end, it ends the systems it started first, as for an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
