import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import processes
from processes import Identity

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True);"
        "time.sleep(60)"
    ),
]


@pytest.fixture
def sleeper():
    process = subprocess.Popen(SLEEP)
    yield psutil.Process(process.pid)
    process.kill()
    process.wait()


def test_a_process_is_recognised_by_its_creation_too(sleeper):
    """A pid that is in use again is not the process that was noted."""
    noted = Identity.of(sleeper)

    assert noted.process() == sleeper
    assert Identity(noted.pid, noted.created - 60).process() is None


def test_a_process_that_ended_is_nobody(sleeper):
    """What was noted and ended cannot be ended again."""
    noted = Identity.of(sleeper)

    processes.end([sleeper], grace_s=5)

    assert noted.process() is None


def test_what_does_not_listen_is_killed():
    """SIGTERM is a request; the grace is bounded."""
    deaf = subprocess.Popen(DEAF, stdout=subprocess.PIPE)
    deaf.stdout.readline()

    processes.end([psutil.Process(deaf.pid)], grace_s=0.2)

    assert deaf.wait(5) == -signal.SIGKILL or not psutil.pid_exists(deaf.pid)


def test_a_stopped_process_is_ended(sleeper):
    """One that hangs in SIGSTOP hears nothing until it continues."""
    sleeper.suspend()

    processes.end([sleeper], grace_s=20)

    assert not processes.is_living(sleeper)


def test_a_long_log_is_set_aside(tmp_path, monkeypatch):
    """A component that restarts for months does not fill the disk."""
    monkeypatch.setattr(processes, "LOG_LIMIT_BYTES", 10)
    log = tmp_path / "logs" / "part.log"
    for _ in range(3):
        process = processes.spawn([sys.executable, "-c", "print('x' * 20)"], log)
        process.wait()

    assert sorted(path.name for path in log.parent.iterdir()) == ["part.log", "part.log.1"]
    assert log.read_text() == "x" * 20 + "\n"


GUARD = """
import subprocess, sys, time
import processes

def work():
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    {ending}

sys.exit(processes.guarded(work, lambda: None))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
@pytest.mark.parametrize(
    ("ending", "code"),
    [
        pytest.param("return 3", 3, id="returns"),
        pytest.param("raise ValueError", 1, id="raises"),
        pytest.param("import os; os.kill(os.getpid(), 9)", 137, id="is_killed"),
    ],
)
def test_the_guard_leaves_nothing_behind(ending, code):
    """However the work ends, what it started ends too, and its exit code is told."""
    scripts = Path(processes.__file__).parent
    roots = (scripts, scripts.parent, scripts.parent / "plugins")
    guard = subprocess.Popen(
        [sys.executable, "-c", GUARD.format(ending=ending)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, roots))},
        stderr=subprocess.DEVNULL,
    )
    left = []
    while guard.poll() is None:
        left += [p for p in processes.descendants(guard.pid) if p not in left]
        time.sleep(0.01)

    assert guard.returncode == code
    assert not any(processes.is_living(process) for process in left)


def test_a_log_is_read_by_its_owner_only(tmp_path):
    """Also one that an earlier start left open to others."""
    new, old = tmp_path / "new.log", tmp_path / "old.log"
    old.touch(mode=0o644)

    for log in (new, old):
        processes.spawn([sys.executable, "-c", "print(1)"], log).wait()

        assert stat.S_IMODE(log.stat().st_mode) == 0o600
        assert log.read_text() == "1\n"
