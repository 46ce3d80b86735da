"""What the server does before it forks tasks, in a process of its own as that server is."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

PROJECT = Path(__file__).parents[2]

SHOW = """
import gc, logging, sys
logging.basicConfig(stream=sys.stderr)
from participation import preloaded
from include.contributions.reviewer import embedded_reviewer
print(embedded_reviewer.cache_info().currsize, gc.get_freeze_count(), *sorted(sys.modules))
"""


def preload(**environ):
    paths = os.pathsep.join((str(PROJECT), str(PROJECT / "plugins")))
    return subprocess.run(
        [sys.executable, "-c", SHOW],
        env=os.environ | {"PYTHONPATH": paths} | environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def imported_by_dags():
    """Every module of ours that a DAG file imports: ``from a import b`` may mean ``a`` or ``a.b``."""
    found = set()
    for path in (PROJECT / "dags").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("participation"):
                found |= {node.module} | {
                    f"{node.module}.{name.name}"
                    for name in node.names
                    if (
                        PROJECT / "plugins" / node.module.replace(".", "/") / f"{name.name}.py"
                    ).exists()
                }
    return found


def test_a_forked_task_has_nothing_left_to_import():
    """Whatever a DAG file asks for stands ready, and the reviewer with it."""
    done = preload()

    assert done.returncode == 0, done.stderr
    # Airflow says other things first.
    ready, frozen, *modules = done.stdout.splitlines()[-1].split()
    assert imported_by_dags() <= set(modules)
    assert len(imported_by_dags()) > 5
    # Modules and rules are left out of every later search for garbage.
    assert int(frozen) > 100_000
    assert ready == "1"


def test_a_town_that_is_wrong_does_not_end_the_server():
    """The server stays up for every other task; the log names the town's folder."""
    done = preload(PARTICIPATION_MUNICIPALITY="ville-sans-dossier")

    assert done.returncode == 0, done.stderr
    said = done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("0 ")
    assert "ville-sans-dossier" in said
    assert "Traceback" not in said
