"""Start, watch and end processes so that nothing outlives whoever started it.

A process is known by its pid *and* the moment it was created: pids are used again.
"""

import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from include.orphans import become_subreaper, die_with_parent

LOG_LIMIT_BYTES = 20_000_000
"""A longer log is set aside when its process starts again; one older copy is kept."""

CREATED_TOLERANCE_S = 5.0
"""The system derives creation times from the boot time, which moves when the clock is set."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A process that can be recognised after a restart of whoever noted it."""

    pid: int
    created: float

    @classmethod
    def of(cls, process: psutil.Process) -> "Identity":
        """Note a process.

        Raises:
            psutil.NoSuchProcess: It is gone.
        """
        return cls(process.pid, process.create_time())

    def process(self) -> psutil.Process | None:
        """The process itself, or None when it ended, even if its pid is in use again."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < CREATED_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None


def spawn(
    command: Sequence[str],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    death_signal: int = signal.SIGTERM,
    cwd: Path | str | None = None,
    account: tuple[int, int] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, its output in a log, bound to our own life.

    To be called from the main thread: the kernel sends the death signal when the *thread* that
    started the process ends.

    Args:
        command: Program and arguments.
        log: Appended to; both output streams go there.
        env: Its whole environment; ours when None.
        death_signal: Sent by the kernel when we end, where the system can.
        cwd: Its working folder.
        account: User and group id to become; None stays who we are.
    """
    parent = os.getpid()
    user = as_user(account) if account else {}
    with _opened_log(log) as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
            preexec_fn=lambda: die_with_parent(death_signal, parent),  # noqa: PLW1509 - main thread only, prctl needs the child
            **user,
        )


Answer = subprocess.CompletedProcess[str]


def as_user(account: tuple[int, int]) -> dict[str, Any]:
    """Arguments that start a process as another user, with none of our groups."""
    return {"user": account[0], "group": account[1], "extra_groups": []}


def answer(command: Sequence[str | Path], **options: Any) -> Answer:
    """Run a command to its end, away from our folder, and keep what it says.

    Raises:
        OSError: It cannot be started at all.
    """
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd="/", **options)


def _opened_log(log: Path) -> BinaryIO:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
        log.replace(log.with_suffix(log.suffix + ".1"))
    return appended(log)


def appended(log: Path) -> BinaryIO:
    """Open a log to write at its end; only its owner reads it, for an error may quote a citizen."""
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "ab")


def descendants(pid: int | None = None) -> list[psutil.Process]:
    """Every living descendant of a process (ours when None), zombies left out."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return [process for process in found if is_living(process)]


def living(pid: int) -> list[psutil.Process]:
    """The process of a pid, in a list that is empty when there is none."""
    try:
        return [psutil.Process(pid)]
    except psutil.Error:
        return []


def identities(pid: int) -> set[Identity]:
    """Every living descendant of a process, noted."""
    found = set()
    for process in descendants(pid):
        with suppress(psutil.Error):  # it ended meanwhile
            found.add(Identity.of(process))
    return found


def is_living(process: psutil.Process) -> bool:
    """Say whether a process runs and is not merely waiting to be reaped."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def send(processes: Iterable[psutil.Process], signal_number: int) -> None:
    """Send a signal to each; those already gone, or not ours, are passed over."""
    for process in processes:
        try:
            process.send_signal(signal_number)
        except psutil.Error:
            continue


def end(processes: Iterable[psutil.Process], grace_s: float) -> None:
    """Ask processes to end (SIGTERM), and end them (SIGKILL) when the grace is over."""
    left = [process for process in processes if is_living(process)]
    if left and grace_s > 0:
        # A stopped process handles its SIGTERM only once it continues.
        send(left, signal.SIGTERM)
        send(left, signal.SIGCONT)
        _, left = psutil.wait_procs(left, timeout=grace_s)
    send(left, signal.SIGKILL)
    psutil.wait_procs(left, timeout=5)


def reap(known: Iterable[int]) -> None:
    """Collect adopted children that ended; the known ones are collected by their own handles."""
    mine = set(known)
    for child in psutil.Process().children():
        try:
            if child.pid not in mine and child.status() == psutil.STATUS_ZOMBIE:
                os.waitpid(child.pid, os.WNOHANG)
        except (psutil.Error, ChildProcessError):
            continue


def guarded(work: Callable[[], int], before_kill: Callable[[], None]) -> int:
    """Run work in a child process and end whatever it leaves behind, however it ends.

    The caller becomes a thin guard: it passes signals on, adopts what its child abandons, and
    outlives even a child that was killed.

    Args:
        work: What to do; its answer is the exit code.
        before_kill: Called by the guard when the child is gone, before descendants are ended; ends
            what needs a gentler signal or is no descendant (where there is no subreaper).

    Returns:
        The child's exit code, or 128 plus the signal that ended it.
    """
    become_subreaper()
    parent = os.getpid()
    _flush()
    child = os.fork()
    if child == 0:
        die_with_parent(signal.SIGTERM, parent)
        code = 1
        try:
            code = work()
        except BaseException:  # noqa: BLE001 - the forked child must not run its parent's code
            traceback.print_exc()
        finally:
            _flush()
            os._exit(code)

    def pass_on(number: int, _: object) -> None:
        os.kill(child, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    _, status = os.waitpid(child, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    before_kill()
    end(descendants(), grace_s=0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # the terminal may be gone
            stream.flush()
