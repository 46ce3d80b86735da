"""One process per core, forked by one script, that takes files one after the other until none is left.

Standard library only, since each contestant brings its own environment. The largest file is taken
first, so that nobody waits for the last one.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

TakeFile = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Task:
    """What a contestant is asked to do.

    Attributes:
        files: All of them, largest first.
        dsn: Where chunks and vectors go.
        ocr: Whether scans are to be read.
        processes: How many of them work.
        claims: Folder in which each file is claimed by one process.
        folder: For files that a contestant keeps.
    """

    files: list[Path]
    dsn: str
    ocr: bool
    processes: int
    claims: Path
    folder: Path

    def mine(self) -> Iterator[Path]:
        """Claim one file after the other; no two processes get the same."""
        for number, path in enumerate(self.files):
            try:
                (self.claims / str(number)).mkdir()
            except FileExistsError:
                continue
            yield path


def asked() -> Task:
    """Read the task from the command line."""
    raw = json.loads(sys.argv[1])
    files = [Path(each) for each in raw["files"]]
    paths = (Path(raw["claims"]), Path(raw["folder"]))
    return Task(files, raw["dsn"], raw["ocr"], raw["processes"], *paths)


def run(
    task: Task,
    member: Callable[[Task], TakeFile],
    *,
    prepare: Callable[[Task], object] | None = None,
    finish: Callable[[Task], object] | None = None,
) -> None:
    """Fork the processes, let them get ready, wait for the gun, and say who failed.

    Args:
        task: The task.
        member: Gets one process ready (imports, connections) and gives what takes a file.
        prepare: Called once before that, in a process of its own.
        finish: Called once when every file is taken, within the time.
    """
    if prepare:
        _prepare(task, prepare)
    gate, ready = os.pipe(), os.pipe()
    pids = []
    for _ in range(task.processes):
        pid = os.fork()
        if not pid:
            _member(task, member, gate, ready)
        pids.append(pid)
    os.close(gate[0])
    os.close(ready[1])
    for _ in pids:
        if not os.read(ready[0], 1):
            raise SystemExit("a process ended before it was ready")
    say({"ready": True})
    sys.stdin.readline()
    os.close(gate[1])
    statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    if any(statuses):
        raise SystemExit(f"processes ended with {statuses}")
    if finish:
        finish(task)
    say({"done": True})
    # The bench reads memory and CPU time of this process before it may end.
    sys.stdin.readline()


def say(what: dict[str, object]) -> None:
    """Tell the bench."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _prepare(task: Task, prepare: Callable[[Task], object]) -> None:
    """Keep threads and connections of the preparation out of the processes that are forked later."""
    pid = os.fork()
    if not pid:
        prepare(task)
        sys.exit()
    if os.waitpid(pid, 0)[1]:
        raise SystemExit("the preparation failed")


def _member(
    task: Task,
    member: Callable[[Task], TakeFile],
    gate: tuple[int, int],
    ready: tuple[int, int],
) -> None:
    try:
        os.close(gate[1])
        take = member(task)
        os.write(ready[1], b".")
        os.close(ready[1])
        os.read(gate[0], 1)
        for path in task.mine():
            try:
                take(path)
            except Exception:  # noqa: BLE001 - one file must not cost the others; the counts show it
                traceback.print_exc()
                say({"failed": path.name})
    except Exception:  # noqa: BLE001 - whatever it is, the others are told
        traceback.print_exc()
        sys.exit(1)
    # Its ends are run, so that the time of what it started counts as well.
    sys.exit()
