"""What ``make run`` shows: load the inbox, judge it, bring every day's report up to date, sum up.

Runs beside the supervisor and only speaks REST and SQL, so that a restart of any component delays it
and nothing more.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from airflow_client import FINAL_STATES, AirflowClient, AirflowError, Run
from include.contributions.model import STATES
from include.contributions.reviewer import embedded_reviewer
from include.contributions.sources.dates import PARIS
from include.documents.embedding.bm25 import ENGINE
from include.documents.intake import FoundFile, find_files
from include.documents.model import LeftOut
from include.documents.parsing import OcrSettings
from include.documents.parsing.ocr import obstacle
from participation.ledger import connect
from participation.ledger.document_books import IntakeFigures, of_intake
from participation.ledger.reports import fresh_reports, report_path
from participation.ledger.summary import now, of_inbox
from participation.settings import LLM_CONN_ID, Settings
from state_folder import StateFolder

LOAD, ANALYSIS, CHAIN = "load_contributions", "contribution_analysis", "daily_chain"
INTAKE = "document_intake"
DOCUMENT_STEPS = ("document_chunking", "document_embedding", "document_indexing")
"""What stands between a document that was read and an answer, in order."""

DATASET_STEP = "dataset_creation"

NEEDED_DAGS = frozenset({LOAD, ANALYSIS, CHAIN, "contribution_router", INTAKE, *DOCUMENT_STEPS})

POLL_S = 0.5
"""How often the API is asked; a step takes about this long."""

POLL_SPARING = 15
MAX_POLL_S = 4.0
"""Answers take longer as runs grow; showing them must not take the time of the work they show."""

STALLED_S = 60
"""Without a single judgement for so long, nobody is at work on what is left."""

START_LIMIT_S = 600
"""From nothing to every DAG parsed; seconds usually, minutes on a machine that is busy otherwise."""

APPEAR_LIMIT_S = 180
"""An announced day must have become a run by then, a restart of the scheduler included."""

DATASET_APPEAR_S = 15
"""Within so long of an index its dataset is begun, or none is needed."""

PARSE_ERROR_PATIENCE_S = 10
"""A file that is still being written may not parse; the same error after this is a real one."""

TIME_LIMIT_S = 2 * 3600
"""For the whole job; PARTICIPATION_TIME_LIMIT_S overrides it."""


SHOWN_WAITING = 3
"""Files named under the table; ``summary.json`` names all of them."""

SET_ASIDE_PAGE = "/participation/documents/set-aside"


class JobFailedError(Exception):
    """The run did not do what it was for; the message is the reason."""


@dataclass
class Line:
    """Progress of one DAG."""

    dag_id: str
    runs: list[Run] = field(default_factory=list)
    expected: int = 0
    steps: str = ""
    began: float = field(default_factory=time.monotonic)
    took_s: float | None = None

    def done(self) -> int:
        """Runs that ended."""
        return sum(run["state"] in FINAL_STATES for run in self.runs)

    def describe(self) -> str:
        """For a terminal that cannot redraw."""
        steps = f", {self.steps}" if self.steps else ""
        return f"{self.dag_id}: {self.done()}/{max(self.expected, len(self.runs))} runs{steps}"


class Display:
    """Live table on a terminal, plain lines elsewhere; shows what the supervisor says as well."""

    def __init__(self, supervisor_log: Path) -> None:
        self.console = Console(highlight=False)
        self.lines: list[Line] = []
        self._log = supervisor_log
        self._offset = supervisor_log.stat().st_size if supervisor_log.exists() else 0
        self._said = (0, -1)
        self._live = Live(console=self.console, refresh_per_second=4, transient=True)

    def showing(self) -> AbstractContextManager[Any]:
        """Draw for the length of a block."""
        return self._live if self.console.is_terminal else nullcontext()

    def say(self, sentence: str) -> None:
        """One line that stays."""
        self.console.print(escape(sentence), soft_wrap=True)

    def update(self) -> None:
        """Draw what changed."""
        for sentence in self._news():
            self.say(sentence)
        if self.console.is_terminal:
            self._live.update(self._table())
        elif self.lines:
            now = (len(self.lines), self.lines[-1].done())
            if now != self._said:
                self._said = now
                self.say(self.lines[-1].describe())

    def _news(self) -> list[str]:
        if not self._log.exists():
            return []
        with self._log.open(encoding="utf-8") as log:
            log.seek(self._offset)
            news = log.readlines()
            self._offset = log.tell()
        return [line.strip().split(" ", 2)[-1] for line in news]

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("DAG")
        table.add_column("runs", justify="right")
        table.add_column("s", justify="right")
        table.add_column("steps")
        for line in self.lines:
            total = max(line.expected, len(line.runs))
            took = line.took_s if line.took_s is not None else time.monotonic() - line.began
            mark = "[green]" if line.took_s is not None else "[bold]"
            table.add_row(
                f"{mark}{line.dag_id}", f"{line.done()}/{total}", f"{took:.0f}", escape(line.steps)
            )
        return table


class MainJob:
    """One pass over the inbox."""

    def __init__(self, client: AirflowClient, display: Display, inbox: Path) -> None:
        self.client = client
        self.display = display
        self.inbox = inbox
        self.town = Settings().municipality
        self.until = time.monotonic() + float(
            os.environ.get("PARTICIPATION_TIME_LIMIT_S") or TIME_LIMIT_S
        )
        self.stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")

    def run(self) -> dict[str, Any]:
        """Do everything; the figures of the inbox.

        Raises:
            JobFailedError: With the reason.
        """
        self.wait_until_ready()
        began = time.monotonic()
        today = datetime.now(PARIS).date()
        if holds_contributions(self.inbox):
            self.load_and_analyse()
            for first, last in day_ranges(self.days_to_do(), before=today):
                self.backfill(first, last)
            self.report_today(today)
            figures = self.figures(time.monotonic() - began, today)
        else:
            self.display.say(f"{self.inbox} holds no contributions")
            figures = self.without_contributions(time.monotonic() - began)
        return figures | self.take_documents()

    def take_documents(self) -> dict[str, Any]:
        """Take the inbox's documents in, and wait until the index answers with all that was read."""
        if not holds_documents(self.inbox):
            return document_figures(None, 0.0)
        began = time.monotonic()
        with connect(os.environ["LEDGER_DSN"]) as connection:
            begun_at = now(connection)
        since = datetime.now(UTC) - timedelta(seconds=1)
        run_id = f"make_run__{self.stamp}"
        self.client.trigger(INTAKE, run_id)
        self._follow(INTAKE, 1, lambda: [self.client.run(INTAKE, run_id)])
        found = self._until_answered(begun_at, since, run_id)
        self.until_dataset(since)
        return document_figures(found, time.monotonic() - began)

    def _until_answered(self, begun_at: datetime, since: datetime, run_id: str) -> IntakeFigures:
        """Follow the steps after intake until none of what was read is missing in the live index."""
        line = Line("documents in the index")
        self.display.lines.append(line)
        moved_at, left = time.monotonic(), -1
        while True:
            asked_at = time.monotonic()
            with connect(os.environ["LEDGER_DSN"]) as connection:
                found = of_intake(connection, self.town, ENGINE, begun_at, run_id)
            if not found.unanswered:
                line.took_s, line.steps = time.monotonic() - line.began, ""
                self.display.update()
                return found
            runs = {dag_id: self.client.runs(dag_id, since) for dag_id in DOCUMENT_STEPS}
            for dag_id, each in runs.items():
                if failed := [run for run in each if run["state"] == "failed"]:
                    self._raise_failed(dag_id, failed)
            line.runs = [run for each in runs.values() for run in each]
            line.steps = f"{found.unanswered} of {found.documents} documents to come"
            is_busy = line.done() < len(line.runs)
            if is_busy or found.unanswered != left:
                moved_at, left = time.monotonic(), found.unanswered
            elif time.monotonic() - moved_at > APPEAR_LIMIT_S:
                raise JobFailedError(f"{line.steps}, and none of {DOCUMENT_STEPS} is at work")
            self._pause(self.until, "indexing takes too long", time.monotonic() - asked_at)

    def until_dataset(self, since: datetime) -> None:
        """Wait for the dataset of an index that was built since; a run that stops would cut it off."""
        line = Line(DATASET_STEP)
        quiet_since = time.monotonic()
        while indexing := self.client.runs(DOCUMENT_STEPS[-1], since):
            asked_at = time.monotonic()
            line.runs = self.client.runs(DATASET_STEP, since)
            if line.runs and line not in self.display.lines:
                self.display.lines.append(line)
            self.display.update()
            if failed := [run for run in line.runs if run["state"] == "failed"]:
                self._raise_failed(DATASET_STEP, failed)
            if any(run["state"] not in FINAL_STATES for run in (*indexing, *line.runs)):
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= DATASET_APPEAR_S:
                # An index that was found whole announces nothing.
                line.took_s = quiet_since - line.began
                return
            self._pause(self.until, f"{DATASET_STEP} takes too long", time.monotonic() - asked_at)

    def wait_until_ready(self) -> None:
        """Wait for a healthy Airflow that knows our DAGs."""
        self.display.say("waiting for Airflow")
        until = time.monotonic() + START_LIMIT_S
        broken_since: dict[str, float] = {}
        missing = NEEDED_DAGS
        while missing:
            self._pause(until, f"Airflow is not ready after {START_LIMIT_S} s")
            health = self.client.health()
            if any(health.get(part) != "healthy" for part in ("metadatabase", "scheduler")):
                continue
            missing = NEEDED_DAGS - self.client.dag_ids()
            errors = self.client.import_errors()
            now = time.monotonic()
            broken_since = {error: broken_since.get(error, now) for error in errors}
            lasting = [e for e, t in broken_since.items() if now - t > PARSE_ERROR_PATIENCE_S]
            if missing and lasting:
                raise JobFailedError("a DAG does not parse:\n" + "\n".join(lasting))

    def load_and_analyse(self) -> None:
        """Load the inbox and wait until every day it announced is judged."""
        since = datetime.now(UTC) - timedelta(seconds=1)
        run_id = f"make_run__{self.stamp}"
        self.client.trigger(LOAD, run_id)
        self._follow(LOAD, 1, lambda: [self.client.run(LOAD, run_id)])
        keys = self.client.announced_days(LOAD, run_id)
        if keys:
            self._follow(
                ANALYSIS,
                len(keys),
                lambda: latest_per_key(self.client.runs(ANALYSIS, since), keys),
            )
        else:
            self.display.say("nothing new to judge")
        self.until_judged()

    def until_judged(self) -> None:
        """Wait for what an hourly load announced before ours; what nobody works on, the chain takes."""
        left, changed_at = 0, time.monotonic()
        while (now_left := self.inbox_figures()["pending"]) and (
            now_left != left or time.monotonic() - changed_at < STALLED_S
        ):
            if now_left != left:
                left, changed_at = now_left, time.monotonic()
            self._pause(self.until, f"{left} contributions are not judged")

    def backfill(self, first: date, last: date) -> None:
        """Run the daily chain over a range of days and wait for it."""
        since = datetime.now(UTC) - timedelta(seconds=1)
        days = {(first + timedelta(n)).isoformat() for n in range((last - first).days + 1)}
        # Airflow closes a backfill up to half a minute after its last run; the next one waits here.
        while not self.client.backfill(CHAIN, first, last, at_once=os.cpu_count() or 1):
            self._pause(self.until, "another backfill of the daily chain never ended")
        self._follow(
            f"{CHAIN} {first} … {last}" if first != last else f"{CHAIN} {first}",
            len(days),
            lambda: latest_per_key(self.client.runs(CHAIN, since), days),
            CHAIN,
        )

    def report_today(self, today: date) -> None:
        """Run the daily chain for today, as the schedule will tomorrow."""
        run_id = f"make_run__{self.stamp}"
        self.client.trigger(CHAIN, run_id, partition_key=today.isoformat())
        self._follow(f"{CHAIN} {today}", 1, lambda: [self.client.run(CHAIN, run_id)], CHAIN)

    def days(self) -> list[date]:
        """Days of the inbox's contributions."""
        return [date.fromisoformat(day) for day in self.inbox_figures()["days"]]

    def days_to_do(self) -> list[date]:
        """Days of the inbox but those that a backfill would leave as they are.

        With a connected model only Airflow knows under which rubric it judges now: then all days.
        """
        days = self.days()
        with connect(os.environ["LEDGER_DSN"]) as connection:
            reports = fresh_reports(connection, self.town, days)
        if not reports or self.client.has_connection(LLM_CONN_ID):
            return days
        rubric = embedded_reviewer(self.town).rubric_version
        done = {
            each.day
            for each in reports
            if each.rubrics <= {rubric} and Path(each.html_path).exists()
        }
        if done:
            self.display.say(
                f"{len(done)} of {len(days)} days are left alone: all judged under {rubric}, and nothing"
                " changed since their reports"
            )
        return [day for day in days if day not in done]

    def inbox_figures(self) -> dict[str, Any]:
        """What the ledger holds of the inbox."""
        with connect(os.environ["LEDGER_DSN"]) as connection:
            return of_inbox(connection, self.town, str(self.inbox))

    def figures(self, seconds: float, today: date) -> dict[str, Any]:
        """What the inbox holds and where it stands, checked.

        Raises:
            JobFailedError: A record is lost: the six states do not add up to what was loaded.
        """
        found = self.inbox_figures()
        # Today's page when something of this folder came today, else its newest day's.
        days = [today.isoformat(), *found["days"]]
        wanted = max(set(found["days"]) & {today.isoformat()} or days[1:] or days)
        with connect(os.environ["LEDGER_DSN"]) as connection:
            report = report_path(connection, self.town, date.fromisoformat(wanted))
        if found["load_id"] is None:
            raise JobFailedError(f"no load of {self.inbox} is on record")
        if sum(found[state] for state in STATES) != found["loaded"]:
            raise JobFailedError(f"the six states do not add up to what was loaded: {found}")
        return {
            "loaded": found["loaded"],
            "duplicates": found["duplicates"],
            **{state: found[state] for state in STATES},
            "seconds": round(seconds, 1),
            "items_per_s": round(found["loaded"] / seconds, 1),
            "report": report,
            "ui": self.client.address,
            "waiting": found["waiting"],
        }

    def without_contributions(self, seconds: float) -> dict[str, Any]:
        """The same figures for a folder that holds documents only."""
        return {
            **dict.fromkeys(("loaded", "duplicates", *STATES), 0),
            "seconds": round(seconds, 1),
            "items_per_s": 0.0,
            "report": None,
            "ui": self.client.address,
            "waiting": [],
        }

    def _follow(
        self, name: str, expected: int, runs: Callable[[], list[Run]], dag_id: str | None = None
    ) -> None:
        """Show runs until all of them ended well."""
        line = Line(name, expected=expected)
        self.display.lines.append(line)
        appear_by = time.monotonic() + APPEAR_LIMIT_S
        while line.done() < expected:
            known, asked_at = len(line.runs), time.monotonic()
            line.runs = runs()
            failed = [run for run in line.runs if run["state"] == "failed"]
            if failed:
                self._raise_failed(dag_id or name, failed)
            if len(line.runs) > known:
                appear_by = time.monotonic() + APPEAR_LIMIT_S
            if len(line.runs) < expected and time.monotonic() > appear_by:
                raise JobFailedError(f"{name}: {expected - len(line.runs)} runs never started")
            line.steps = self._steps(dag_id or name, line.runs)
            self.display.update()
            if line.done() < expected:
                self._pause(self.until, f"{name} takes too long", time.monotonic() - asked_at)
        line.took_s, line.steps = time.monotonic() - line.began, ""
        self.display.update()

    def _steps(self, dag_id: str, runs: Iterable[Run]) -> str:
        """What the running ones do now."""
        busy: dict[str, int] = {}
        running = [run for run in runs if run["state"] == "running"]
        for run in running[:8]:
            for task_id, state in self.client.task_states(dag_id, run["dag_run_id"]):
                if state in {"running", "up_for_retry"}:
                    step = task_id if state == "running" else f"{task_id} (again soon)"
                    busy[step] = busy.get(step, 0) + 1
        return ", ".join(f"{step}×{n}" if n > 1 else step for step, n in sorted(busy.items()))

    def _raise_failed(self, dag_id: str, failed: Sequence[Run]) -> None:
        run_id = failed[0]["dag_run_id"]
        states = self.client.task_states(dag_id, run_id)
        tasks = sorted({task_id for task_id, state in states if state == "failed"})
        raise JobFailedError(
            f"{len(failed)} failed run(s) of {dag_id}, first {run_id}"
            f" (failed: {', '.join(tasks) or 'no task; out of time?'}):"
            f" {self.client.address}/dags/{dag_id}/runs/{run_id}"
        )

    def _pause(self, until: float, otherwise: str, answer_s: float = 0.0) -> None:
        if time.monotonic() > min(until, self.until):
            raise JobFailedError(otherwise)
        self.display.update()
        time.sleep(min(max(POLL_S, POLL_SPARING * answer_s), MAX_POLL_S))


def day_ranges(days: Iterable[date], before: date) -> list[tuple[date, date]]:
    """Contiguous ranges (first, last) of the days before a day, ascending.

    >>> from datetime import date
    >>> found = day_ranges([date(2026, 1, 3), date(2026, 1, 1), date(2026, 1, 2),
    ...                     date(2026, 2, 1), date(2026, 3, 1)], before=date(2026, 3, 1))
    >>> [(str(first), str(last)) for first, last in found]
    [('2026-01-01', '2026-01-03'), ('2026-02-01', '2026-02-01')]
    """
    past = sorted({day for day in days if day < before})
    if not past:
        return []
    gaps = [(a, b) for a, b in pairwise(past) if b - a > timedelta(days=1)]
    firsts = [past[0], *(b for _, b in gaps)]
    lasts = [*(a for a, _ in gaps), past[-1]]
    return list(zip(firsts, lasts, strict=True))


def latest_per_key(runs: Iterable[Run], keys: Iterable[str]) -> list[Run]:
    """The newest run of each wanted partition key; runs come oldest first."""
    wanted = set(keys)
    return list({r["partition_key"]: r for r in runs if r["partition_key"] in wanted}.values())


def holds_documents(inbox: Path) -> bool:
    """Whether the intake would take a file of the folder; nothing is waited for."""
    found = find_files(inbox, pause=lambda _seconds: None)
    return any(isinstance(each, FoundFile) for each in found)


def holds_contributions(inbox: Path) -> bool:
    """Whether the folder holds a file of contributions, or nothing that is a document either."""
    found = list(find_files(inbox, pause=lambda _seconds: None))
    elsewhere = any(isinstance(each, LeftOut) and each.standing == "elsewhere" for each in found)
    return elsewhere or not any(isinstance(each, FoundFile) for each in found)


def document_figures(found: IntakeFigures | None, seconds: float) -> dict[str, Any]:
    """The figures of the document workflow, as ``summary.json`` names them."""
    names = (
        "documents",
        "document_duplicates",
        "pages_in",
        "pages_read",
        "pages_ocr",
        "pages_set_aside",
        "chunks",
        "documents_set_aside",
        "documents_waiting",
    )
    counts = {name: getattr(found, name) if found else 0 for name in names}
    return {**counts, "document_seconds": round(seconds, 1)}


def document_table(figures: Mapping[str, Any]) -> Table:
    """The documents' figures for a person."""
    return _table(
        figures,
        {
            "documents": "documents",
            "document_duplicates": "files with the bytes of another",
            "pages_in": "pages",
            "pages_read": "pages read",
            "pages_ocr": "of these by OCR",
            "pages_set_aside": "pages set aside",
            "chunks": "chunks in the index",
            "documents_set_aside": "files set aside",
            "documents_waiting": "files that wait for another run",
            "document_seconds": "seconds for documents",
        },
    )


def summary_table(figures: Mapping[str, Any]) -> Table:
    """The figures for a person."""
    names = {
        "loaded": "loaded",
        "duplicates": "duplicates (received again)",
        "accepted": "accepted",
        "review": "for a person",
        "refusal_proposed": "refusals proposed",
        "refused": "refused by a person",
        "quarantined": "quarantined",
        "pending": "pending",
        "seconds": "seconds for contributions",
        "items_per_s": "contributions/s",
    }
    return _table(figures, names)


def _table(figures: Mapping[str, Any], names: Mapping[str, str]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for key, name in names.items():
        table.add_row(name, f"{figures[key]:,}")
    return table


def waiting_line(waiting: Sequence[str]) -> str:
    """One line about the files that a load left for later because they were not whole.

    >>> waiting_line(["a.csv: still being written.", "b.csv: empty.", "c.csv: empty.", "d.csv: empty."])
    'waiting: 4 files, for a later load: a.csv: still being written. b.csv: empty. c.csv: empty. …'
    """
    files = "1 file" if len(waiting) == 1 else f"{len(waiting)} files"
    more = " …" if len(waiting) > SHOWN_WAITING else ""
    return f"waiting: {files}, for a later load: {' '.join(waiting[:SHOWN_WAITING])}{more}"


def show_end(display: Display, state: StateFolder, figures: Mapping[str, Any]) -> None:
    """The table, what is not in it yet, where to look, and once the passwords."""
    is_closed = os.environ.get("ONESHOT") == "1"
    display.console.print(summary_table(figures))
    if figures["waiting"]:
        display.say(waiting_line(figures["waiting"]))
    if any(figures[name] for name in ("documents", "documents_set_aside", "documents_waiting")):
        display.console.print(document_table(figures))
        display.say('ask them: make search Q="..."')
        if figures["pages_set_aside"] or figures["documents_set_aside"]:
            ui = "the UI's " if is_closed else figures["ui"]
            display.say(f"set aside: each with its reason on {ui}{SET_ASIDE_PAGE}")
        if figures["pages_set_aside"] and (why := obstacle(OcrSettings())):
            display.say(f"OCR: {why}")
    display.say(f"report: {figures['report'] or 'none yet'}")
    if is_closed:
        display.say("UI:     closed with this run; `make run` opens it on the same data")
        return
    display.say(f"UI:     {figures['ui']}")
    if left := figures["review"] + figures["refusal_proposed"]:
        display.say(
            f"people: {left} wait for one, who is asked at {figures['ui']}/required_actions"
        )
    shown = state.run / "passwords-shown"
    if shown.exists():
        display.say(f"login:  admin; every password is in {state.passwords_file}")
        return
    for user, password in state.passwords.items():
        display.say(f"login:  {user}  {password}")
    display.say(f"shown this once; kept in {state.passwords_file}, which only you can read")
    shown.touch()


def main() -> int:
    """Do the main job; 0, or 1 with the reason on the terminal."""
    state = StateFolder.from_environment()
    display = Display(state.logs / "supervisor.log")
    address = state.noted("addresses")["ui"]
    client = AirflowClient(address, "admin", state.passwords["admin"])
    job = MainJob(client, display, Path(os.environ["PARTICIPATION_INBOX"]))
    (state.run / "summary.json").unlink(missing_ok=True)
    try:
        with display.showing():
            figures = job.run()
    except (JobFailedError, AirflowError) as error:
        display.say(f"failed: {error}")
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    state.note("summary", figures)
    show_end(display, state, figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
