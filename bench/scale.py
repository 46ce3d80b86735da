"""1,000, 10,000 and 100,000 contributions from a file to the report, through Airflow and PostgreSQL.

Each size runs ``make run ONESHOT=1`` in a state folder of its own: the supervisor, the main job and
the DAGs are those of every day. The clock starts when the load is triggered on a healthy Airflow, and
stops when the last report is written; the start-up is given apart.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench import meter, texts
from include.contributions.model import STATES
from postgres import EmbeddedPostgres
from state_folder import StateFolder

ROOT = Path(__file__).parents[1]

DAYS = 3

LIMIT_S = 1800
"""A size that takes longer is reported as failed."""

TARGET_COUNT, TARGET_S = 100_000, 180

STEPS = """
SELECT dag_id, step, count(*)::int, sum(duration_ms)::float / 1000, sum(output_size)::int
FROM participation.step_metric WHERE status = 'success'
GROUP BY 1, 2 ORDER BY 4 DESC
"""

RUNS = """
SELECT dag_id, count(*)::int,
       extract(epoch FROM min(start_date))::float, extract(epoch FROM max(end_date))::float,
       sum(extract(epoch FROM end_date - start_date))::float
FROM dag_run GROUP BY 1 ORDER BY 3
"""

TASKS = """
SELECT count(*)::int, sum(extract(epoch FROM end_date - start_date))::float,
       sum(extract(epoch FROM start_date - queued_dttm))::float
FROM task_instance WHERE state = 'success' AND start_date IS NOT NULL
"""


def measure(sizes: list[int]) -> dict[str, Any]:
    """Run every size and return the figures, one entry per size, the smallest first."""
    here = meter.machine()
    rows = []
    for size in sorted(sizes):
        print(f"scale: {size:,} contributions ...", flush=True)
        rows.append(_one(size))
        print(f"  {_sentence(rows[-1])}", flush=True)
    return {"machine": here, "days": DAYS, "sizes": rows}


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown."""
    rows = figures["sizes"]
    lines = [
        (
            "| contributions | wall s | ms per item | growth | CPU s | CPU ms per item | peak MB | of it "
            "PostgreSQL | largest process | start-up s |"
        ),
        "|---:|---:|---:|---:|---:|---:|---:|---:|---|---:|",
    ]
    before: float | None = None
    for row in rows:
        if "error" in row:
            lines.append(f"| {row['count']:,} | **failed: {row['error']}** |" + " |" * 8)
            continue
        growth = f"× {row['ms_per_item'] / before:.2f}" if before else ""
        before = row["ms_per_item"]
        lines.append(
            f"| {row['count']:,} | {row['wall_s']} | {row['ms_per_item']} | {growth} | {row['cpu_s']}"
            f" | {row['cpu_ms_per_item']} | {row['peak_mb']} | {row['peak_postgres_mb']}"
            f" | {row['largest_process_mb']} MB ({row['largest_process']}) | {row['startup_s']} |"
        )
    for row in rows:
        if "error" not in row:
            lines += ["", f"Where {row['count']:,} contributions spend their time:", ""]
            lines += _where(row)
    return [*lines, "", *_verdict(rows)]


def _where(row: Mapping[str, Any]) -> list[str]:
    lines = ["| DAG | step | attempts | seconds, summed | items | ms per item |",
             "|---|---|---:|---:|---:|---:|"]  # fmt: skip
    for each in row["steps"][:10]:
        per_item = f"{each['seconds'] * 1000 / each['items']:.2f}" if each["items"] else ""
        lines.append(
            f"| {each['dag']} | {each['step']} | {each['attempts']} | {each['seconds']:.1f} |"
            f" {each['items'] or ''} | {per_item} |"
        )
    tasks = row["tasks"]
    phases = ", ".join(
        f"{each['dag']} {each['seconds']:.0f} s ({each['runs']} runs)" for each in row["phases"]
    )
    return [
        *lines,
        "",
        (
            f"{tasks['count']} task instances ran {tasks['run_s']:.0f} s in all, of which "
            f"{tasks['outside_steps_s']:.0f} s lie outside the steps (start of the process, talk with "
            f"Airflow); they waited {tasks['queued_s']:.0f} s for a slot. From first start to last end: "
            f"{phases}."
        ),
    ]


def _verdict(rows: list[dict[str, Any]]) -> list[str]:
    whole = next((r for r in rows if r["count"] == TARGET_COUNT and "error" not in r), None)
    if whole is None:
        return [f"The target ({TARGET_COUNT:,} in {TARGET_S} s) was not measured."]
    met = "met" if whole["wall_s"] <= TARGET_S else "**missed**"
    return [f"Target: {TARGET_COUNT:,} in at most {TARGET_S} s: {met} ({whole['wall_s']} s)."]


def _sentence(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    return (
        f"{row['wall_s']} s, {row['ms_per_item']} ms per item, {row['cpu_s']} CPU s, "
        f"{row['peak_mb']} MB at most"
    )


def _one(count: int) -> dict[str, Any]:
    with scratch(f"scale-{count}") as folder:
        inbox = folder / "inbox"
        inbox.mkdir()
        kinds = texts.write_jsonl(
            inbox / "contributions.jsonl", texts.contributions(count, days=DAYS)
        )
        began = time.time()
        with running(folder / "state", inbox) as process, meter.TreeMeter(process.pid) as seen:
            try:
                code = process.wait(LIMIT_S)
            except subprocess.TimeoutExpired:
                return {"count": count, "error": f"not done after {LIMIT_S} s"}
        state = folder / "state"
        if code:
            return {"count": count, "error": f"exit code {code}: {_last_words(state)}"}
        return _figures(count, kinds, state, seen, began)


def _figures(
    count: int,
    kinds: Mapping[texts.Kind, int],
    state: Path,
    seen: meter.TreeMeter,
    began: float,
) -> dict[str, Any]:
    noted = state / "run" / "summary.json"
    summary = json.loads(noted.read_text(encoding="utf-8"))
    ended = noted.stat().st_mtime
    breakdown = _breakdown(state)
    # The hourly run, due when Airflow comes up, may load the inbox before the main job asks for it.
    triggered = min([ended - summary["seconds"], *(each["began"] for each in breakdown["phases"])])
    wall_s = round(ended - triggered, 1)
    problem = _unsound(summary, count, kinds)
    if problem:
        return {"count": count, "error": problem}
    cost = seen.between(triggered, ended)
    return {
        "count": count,
        "kinds": dict(kinds),
        "outcomes": {name: summary[name] for name in STATES},
        "wall_s": wall_s,
        "ms_per_item": round(wall_s * 1000 / count, 2),
        "cpu_ms_per_item": round(cost["cpu_s"] * 1000 / count, 2),
        "startup_s": round(triggered - began, 1),
        **cost,
        **breakdown,
    }


def _unsound(summary: Mapping[str, Any], count: int, kinds: Mapping[texts.Kind, int]) -> str | None:
    """What of the outcome contradicts what was put in, or None."""
    distinct = count - kinds["duplicate"]
    total = sum(summary[state] for state in STATES)
    if (total, summary["duplicates"]) != (distinct, kinds["duplicate"]):
        return (
            f"{distinct} distinct and {kinds['duplicate']} duplicates went in, "
            f"{total} and {summary['duplicates']} came out"
        )
    if summary["pending"]:
        return f"{summary['pending']} are still pending"
    if not summary["report"] or not Path(summary["report"]).stat().st_size:
        return "there is no report"
    return None


def _breakdown(state: Path) -> dict[str, Any]:
    """Read the step metrics and Airflow's own times from the databases of a run that is over."""
    postgres = EmbeddedPostgres(StateFolder(state.resolve()).postgres)
    postgres.start()
    try:
        with psycopg.connect(postgres.ledger_dsn) as connection:
            steps = connection.execute(STEPS).fetchall()
        with psycopg.connect(postgres.airflow_dsn) as connection:
            runs = connection.execute(RUNS).fetchall()
            tasks = connection.execute(TASKS).fetchone() or (0, 0.0, 0.0)
    finally:
        postgres.stop()
    in_steps = sum(seconds for _, _, _, seconds, _ in steps)
    return {
        "steps": [
            {"dag": dag, "step": step, "attempts": n, "seconds": seconds, "items": items}
            for dag, step, n, seconds, items in steps
        ],
        "phases": [
            {
                "dag": dag,
                "runs": n,
                "began": begin,
                "seconds": (end or begin) - begin,
                "summed_s": summed,
            }
            for dag, n, begin, end, summed in runs
            if begin
        ],
        "tasks": {
            "count": tasks[0],
            "run_s": tasks[1] or 0.0,
            "queued_s": tasks[2] or 0.0,
            "outside_steps_s": (tasks[1] or 0.0) - in_steps,
        },
    }


@contextmanager
def running(
    state: Path, inbox: Path, *, idle: bool = False, **more: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """Start the supervisor on a state folder and end it with the block."""
    environ = os.environ | {
        "STATE": str(state),
        "ONESHOT": "1",
        "PARTICIPATION_INBOX": str(inbox),
        "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
        **more,
    }
    state.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(ROOT / "scripts" / "supervisor.py"), *["--idle"][: int(idle)]]
    with (state.parent / "supervisor.out").open("wb") as output:
        process = subprocess.Popen(
            command, env=environ, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            process.wait(120)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Lend a folder for databases and inboxes; removed with what PostgreSQL put elsewhere."""
    folder = Path(tempfile.mkdtemp(prefix=f"participation-{name}-"))
    # Root lends its PostgreSQL to an account without rights, which has to get through.
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        for moved in folder.rglob("moved-to"):
            elsewhere = Path(moved.read_text().strip())
            if elsewhere.name.startswith("participation-"):
                shutil.rmtree(elsewhere, ignore_errors=True)
        if not os.environ.get("KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


def _last_words(state: Path) -> str:
    output = (state.parent / "supervisor.out").read_text(encoding="utf-8", errors="replace")
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return " / ".join(lines[-3:])[:500]
