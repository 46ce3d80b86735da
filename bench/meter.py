"""What a tree of processes costs: CPU seconds and memory, sampled while it works.

CPU time is exact at each sample: a process that ended has handed its time to the parent that waited
for it. Memory is the proportional set size where the system tells it (Linux), so that pages shared by
forked processes and by PostgreSQL's buffers count once; elsewhere it is the resident set size, which
counts them once per process.
"""

import os
import platform
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psutil

SAMPLE_S = 1.0

MEMORY_MEASURE = "PSS" if Path("/proc/self/smaps_rollup").exists() else "RSS"

MB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a tree; ``at`` is wall-clock time, memory is in bytes."""

    at: float
    cpu_s: float
    memory: int
    postgres_memory: int
    largest: int
    largest_name: str
    process_count: int


@dataclass
class TreeMeter:
    """Samples a process and all its descendants in a thread until stopped."""

    pid: int
    samples: list[Sample] = field(default_factory=list)
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin to sample."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take no more samples."""
        self._stopped.set()
        if self._thread:
            self._thread.join()

    def between(self, begin: float, end: float) -> dict[str, Any]:
        """CPU seconds spent, and the peaks of memory, from one moment to another."""
        inside = [each for each in self.samples if begin <= each.at <= end]
        if not inside:
            raise RuntimeError("the meter saw nothing of the run: it was over within a second")
        fattest = max(inside, key=lambda each: each.largest)
        return {
            "cpu_s": round(self._cpu_at(end) - self._cpu_at(begin), 1),
            "memory_measure": MEMORY_MEASURE,
            "peak_mb": _mb(max(each.memory for each in inside)),
            "peak_postgres_mb": _mb(max(each.postgres_memory for each in inside)),
            "peak_others_mb": _mb(max(each.memory - each.postgres_memory for each in inside)),
            "largest_process_mb": _mb(fattest.largest),
            "largest_process": fattest.largest_name,
            "most_processes": max(each.process_count for each in inside),
        }

    def _cpu_at(self, moment: float) -> float:
        earlier = max(
            (each for each in self.samples if each.at <= moment),
            key=lambda each: each.at,
            default=self.samples[0],
        )
        later = next((each for each in self.samples if each.at > moment), earlier)
        if later.at == earlier.at:
            return earlier.cpu_s
        share = (moment - earlier.at) / (later.at - earlier.at)
        return earlier.cpu_s + max(0.0, min(1.0, share)) * (later.cpu_s - earlier.cpu_s)

    def _run(self) -> None:
        while not self._stopped.wait(SAMPLE_S):
            sample = look(self.pid)
            if sample:
                # Time that a process took along when nobody waited for it does not come back.
                known = self.samples[-1].cpu_s if self.samples else 0.0
                if sample.cpu_s >= known:
                    self.samples.append(sample)


def look(pid: int) -> Sample | None:
    """Look at a tree once; None when its root is gone."""
    cpu_s = 0.0
    memory = postgres = largest = count = 0
    name = ""
    tree = tree_of(pid)
    if not tree:
        return None
    for process in tree:
        try:
            cpu_s += cpu_seconds(process)
            size = _memory(process)
            called = process.name()
        except (psutil.Error, OSError):
            continue
        count += 1
        memory += size
        if called.startswith("postgres"):
            postgres += size
        elif size > largest:
            largest, name = size, _described(process)
    return Sample(time.time(), cpu_s, memory, postgres, largest, name, count)


def tree_of(pid: int) -> list[psutil.Process]:
    """List a process and its descendants; empty when it is gone."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def cpu_seconds(process: psutil.Process) -> float:
    """Return what a process used, with that of its ended children."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


@contextmanager
def cpu_of(pids: Iterable[int]) -> Iterator[dict[str, float]]:
    """Measure the CPU seconds that some trees spend during a block; filled in at its end.

    The trees must outlive the block, for a root that ended tells nothing any more.
    """
    roots = list(pids)
    spent = {"cpu_s": 0.0}
    before = sum(map(_tree_seconds, roots))
    yield spent
    spent["cpu_s"] = sum(map(_tree_seconds, roots)) - before


def machine() -> dict[str, Any]:
    """Describe what was measured on, the load of others at this moment included."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "load_before": round(os.getloadavg()[0], 1),
    }


def _tree_seconds(pid: int) -> float:
    total = 0.0
    for process in tree_of(pid):
        try:
            total += cpu_seconds(process)
        except psutil.Error:
            continue
    return total


def _memory(process: psutil.Process) -> int:
    if MEMORY_MEASURE == "RSS":
        return int(process.memory_info().rss)
    for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _described(process: psutil.Process) -> str:
    try:
        words = " ".join(process.cmdline()[:6]) or process.name()
    except psutil.Error:
        return "gone"
    known = (
        "api-server", "api_server", "dag-processor", "scheduler", "triggerer", "main_job", "worker",
        "task runner", "supervisor", "log_server",
    )  # fmt: skip
    return next((name for name in known if name in words), process.name())


def _mb(size: int) -> int:
    return round(size / MB)
