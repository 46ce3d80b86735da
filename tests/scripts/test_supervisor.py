"""The supervisor brings back what dies or hangs, and leaves nothing behind; with real processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from processes import is_living

pytestmark = pytest.mark.airflow

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "supervisor.py"
UP_LIMIT_S = 600
BACK_LIMIT_S = 240
"""On a machine that does other things as well; 5 to 20 s on one that does not."""

DAG = '''\
"""# A DAG that does nothing."""
from airflow.sdk import dag, task


@dag(schedule=None)
def nothing():
    @task
    def rest():
        pass

    rest()


nothing()
'''


class Running:
    """A supervisor in a state folder of its own."""

    def __init__(self, folder):
        (folder / "dags").mkdir()
        (folder / "dags" / "nothing.py").write_text(DAG)
        (folder / "inbox").mkdir()
        self.state = folder / "the state"
        self.output = folder / "output.log"
        self.environ = os.environ | {
            "STATE": str(self.state),
            "PARTICIPATION_DAGS": str(folder / "dags"),
            "PARTICIPATION_INBOX": str(folder / "inbox"),
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
        }
        self.process = None

    def command(self):
        return [sys.executable, str(SCRIPT), "--idle"]

    def start(self):
        (self.state / "run" / "addresses.json").unlink(missing_ok=True)
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                self.command(), env=self.environ, stdout=output, stderr=output
            )
        self.until(self.is_well, UP_LIMIT_S)

    def until(self, condition, limit_s):
        ends = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < ends, self.output.read_text()
            time.sleep(0.3)

    def noted(self, name):
        try:
            return json.loads((self.state / "run" / f"{name}.json").read_text())
        except (OSError, ValueError):
            return {}

    @property
    def pid(self):
        return self.noted("addresses")["pid"]

    def is_well(self):
        try:
            url = f"{self.noted('addresses')['ui']}/api/v2/monitor/health"
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own
                parts = json.load(answer)
        except (KeyError, OSError, ValueError):
            return False
        return all(part["status"] == "healthy" for part in parts.values())

    def part(self, word):
        for child in psutil.Process(self.pid).children():
            try:
                if word in " ".join(child.cmdline()):
                    return child
            except psutil.Error:
                continue
        return None

    def everything(self):
        me = psutil.Process(self.process.pid)
        return [me, *me.children(recursive=True)]


def listens(process):
    try:
        connections = process.net_connections(kind="tcp")
    except psutil.Error:  # a task or a parser that ended meanwhile
        return []
    return [c.laddr for c in connections if c.status == psutil.CONN_LISTEN]


def gone(processes):
    _, alive = psutil.wait_procs(processes, timeout=60)
    return [process for process in alive if is_living(process)]


@pytest.fixture(scope="module")
def supervised():
    folder = Path(tempfile.mkdtemp(prefix="supervisor test "))
    folder.chmod(0o711)
    running = Running(folder)
    try:
        running.start()
        yield running
    finally:
        if running.process.poll() is None:
            running.process.send_signal(signal.SIGTERM)
            running.process.wait(120)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    "word", ["postgres", "scheduler", "dag-processor", "triggerer", "api_server", "log_server"]
)
def test_what_is_killed_comes_back(supervised, word):
    """After kill -9 of any component another one stands in its place, and Airflow is healthy again."""
    supervised.until(lambda: supervised.part(word) and supervised.is_well(), BACK_LIMIT_S)
    killed = supervised.part(word)
    children = killed.children(recursive=True)

    killed.kill()

    def is_back():
        part = supervised.part(word)
        return part is not None and part.pid != killed.pid and supervised.is_well()

    supervised.until(is_back, BACK_LIMIT_S)
    assert gone(children) == []


def test_what_hangs_is_replaced(supervised):
    """A component that lives and does nothing is as dead as one that ended."""
    supervised.until(supervised.is_well, BACK_LIMIT_S)
    hung = supervised.part("triggerer")

    hung.suspend()

    supervised.until(lambda: not hung.is_running(), BACK_LIMIT_S)
    supervised.until(supervised.is_well, BACK_LIMIT_S)


def test_a_port_that_somebody_else_took_is_given_up(supervised, stranger):
    """While the api-server is away another program listens in its place: Airflow moves, all of it."""
    supervised.until(supervised.is_well, BACK_LIMIT_S)
    lost = supervised.noted("addresses")["ui"]
    others = [supervised.part(word) for word in ("scheduler", "dag-processor", "triggerer")]
    killed = supervised.part("api_server")

    killed.kill()
    killed.wait()
    stranger(int(lost.rpartition(":")[2]))
    supervised.until(
        lambda: supervised.is_well() and supervised.noted("addresses")["ui"] != lost,
        BACK_LIMIT_S,
    )

    assert gone(others) == []


def test_a_second_supervisor_says_so_and_stops(supervised):
    """It names the folder and the address of the first, and touches nothing."""
    supervised.until(supervised.is_well, BACK_LIMIT_S)
    before = supervised.everything()[:2]
    second = subprocess.run(
        supervised.command(),
        env=supervised.environ,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert second.returncode == 1
    assert str(supervised.state) in second.stdout
    assert supervised.noted("addresses")["ui"] in second.stdout
    assert all(process.is_running() for process in before)


def test_everything_listens_on_this_machine_only(supervised):
    """Nothing of ours can be reached from the network."""

    def listening():
        return {address for process in supervised.everything() for address in listens(process)}

    # PostgreSQL, the UI, the scheduler's health and the log server.
    supervised.until(lambda: len({address.port for address in listening()}) >= 4, BACK_LIMIT_S)
    assert {address.ip for address in listening()} == {"127.0.0.1"}


def test_a_killed_supervisor_leaves_nothing_and_the_next_start_resumes(supervised):
    """Even kill -9 of the supervisor itself ends all it started; the same folder starts again."""
    before = supervised.everything()

    os.kill(supervised.pid, signal.SIGKILL)

    assert gone(before) == []
    supervised.start()


def test_ctrl_c_ends_everything(supervised):
    """One signal, and no process of ours is left; the last test of this module."""
    before = supervised.everything()

    supervised.process.send_signal(signal.SIGINT)
    supervised.process.wait(120)

    assert gone(before) == []
    assert supervised.output.read_text().rstrip().endswith("stopped")
