import os
import shutil
import subprocess
import sys

import pytest

import make
import marked_folder


def verb(*arguments, **environ):
    command = [sys.executable, make.ROOT / "scripts" / "make.py", *arguments]
    clean = {name: value for name, value in os.environ.items() if name not in {"DATA", "IN", "OUT"}}
    return subprocess.run(
        command, env=clean | environ, capture_output=True, text=True, timeout=60, check=False
    )


def test_help_names_every_verb():
    """A stranger who types make learns what there is."""
    shown = verb("help")

    assert shown.returncode == 0
    for name in make.VERBS:
        assert f"make {name} " in shown.stdout


def test_help_explains_every_variable():
    """What the Makefile hands on is nothing that only its author knows."""
    makefile = (make.ROOT / "Makefile").read_text()
    exported = next(line for line in makefile.splitlines() if line.startswith("export"))

    for name in exported.split()[1:]:
        assert f"{name}=" in make.HELP


def test_the_makefile_and_the_script_know_the_same_verbs():
    """A verb cannot be added to one and forgotten in the other."""
    makefile = (make.ROOT / "Makefile").read_text()
    targets = next(line for line in makefile.splitlines() if line.startswith("TARGETS"))

    assert set(targets.split("=")[1].split()) == {*make.VERBS, "help"}


@pytest.mark.parametrize(
    ("folder", "reason"),
    [
        pytest.param("missing", "does not exist", id="missing"),
        pytest.param("file.json", "is not a folder", id="a_file"),
        pytest.param("empty", "holds no file", id="empty"),
    ],
)
def test_a_wrong_folder_is_named_before_anything_is_started(tmp_path, folder, reason):
    """The person learns at once what is wrong with DATA, and nothing was started or written."""
    (tmp_path / "file.json").write_text("[]")
    (tmp_path / "empty").mkdir()
    state = tmp_path / "state"

    answer = verb("run", DATA=str(tmp_path / folder), STATE=str(state))

    assert answer.returncode == 2
    assert reason in answer.stderr
    assert str(tmp_path / folder) in answer.stderr
    assert not state.exists()


def test_judge_says_what_it_needs():
    """Without IN and OUT there is one sentence, not a traceback."""
    answer = verb("judge")

    assert answer.returncode == 2
    assert answer.stderr.strip().endswith("make judge IN=texts.jsonl OUT=out.jsonl")


def test_a_stamp_belongs_to_one_lock(tmp_path):
    """An environment is ready only for the very lock it was built from."""
    lock = tmp_path / "lock.txt"
    lock.write_text("a==1\n")
    python = tmp_path / "env" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    (tmp_path / "env" / ".stamp").write_text(make.fingerprint(lock) + "\n")

    before = make.stamped(tmp_path / "env", lock)
    lock.write_text("a==2\n")

    assert before
    assert not make.stamped(tmp_path / "env", lock)


def test_an_install_that_was_cut_off_is_done_again(tmp_path, monkeypatch):
    """The stamp is written last, so a broken install never counts as done."""
    lock = tmp_path / "lock.txt"
    lock.write_text("a==1\n")
    (tmp_path / "env").mkdir()
    calls = []

    def cut_off(folder, lock):
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(make, "install", cut_off)
    with pytest.raises(KeyboardInterrupt):
        make.ready(tmp_path / "env", lock, "")
    make.ready(tmp_path / "env", lock, "")

    assert len(calls) == 2
    assert (tmp_path / "env" / ".stamp").exists()


def test_a_python_of_another_version_is_refused(tmp_path):
    """What answers with a version outside 3.11 to 3.13, or not at all, does not fit."""
    old = tmp_path / "old"
    old.write_text("#!/bin/sh\necho 3 9\n")
    old.chmod(0o755)

    assert not make.python_fits(str(old))
    assert not make.python_fits(str(tmp_path / "none"))
    assert make.python_fits(sys.executable)


def test_the_script_is_readable_for_an_old_python():
    """An old interpreter must get far enough to name the remedy."""
    import ast  # noqa: PLC0415 - only here

    source = (make.ROOT / "scripts" / "make.py").read_text()

    assert ast.parse(source, feature_version=(3, 8))


@pytest.fixture
def clone(tmp_path):
    """A clone of the scripts alone, for what must not be tried on this one."""
    folder = tmp_path / "clone"
    (folder / "scripts").mkdir(parents=True)
    for name in ("make.py", "marked_folder.py"):
        shutil.copy(make.ROOT / "scripts" / name, folder / "scripts")
    (folder / "README.md").write_text("the project")
    return folder


def clean(clone, state):
    command = [sys.executable, clone / "scripts" / "make.py", "clean"]
    environ = os.environ | {"STATE": str(state)}
    return subprocess.run(
        command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize("state", [".", "..", "scripts", "../foreign", "link"])
def test_clean_removes_no_folder_that_is_not_a_state_folder(clone, state):
    """A wrong STATE costs a sentence, not the clone and not somebody's photographs."""
    foreign = clone.parent / "foreign"
    foreign.mkdir()
    (foreign / "photograph").write_text("kept")
    (clone / "link").symlink_to(foreign)

    answer = clean(clone, state)

    assert answer.returncode == 2
    assert "nothing was removed" in answer.stderr
    assert (foreign / "photograph").exists()
    assert (clone / "README.md").exists()
    assert (clone / "scripts" / "make.py").exists()


def test_clean_removes_the_state_folder_it_knows(clone):
    """What was made as one goes, with everything in it, and nothing else of the clone."""
    state = clone / "state"
    marked_folder.claim(state, clone)
    (state / "secrets.json").write_text("{}")

    answer = clean(clone, "state")

    assert (answer.returncode, answer.stderr) == (0, "")
    assert not state.exists()
    assert (clone / "README.md").exists()


SOME_TESTS = """
import pathlib
import pytest

TRIES = pathlib.Path(__file__).with_name("tries")


@pytest.mark.parametrize("name", ["sound", "busy", "broken"])
def test_some(name):
    tries = TRIES.read_text().split() if TRIES.exists() else []
    TRIES.write_text(" ".join([*tries, name]))
    assert name == "sound" or (name == "busy" and "busy" in tries)
"""


@pytest.mark.parametrize(
    ("chosen", "code", "tries"),
    [
        pytest.param("sound", 0, "sound", id="nothing_failed"),
        pytest.param("sound or busy", 0, "sound busy busy", id="one_passes_alone"),
        pytest.param("busy or broken", 1, "busy broken busy broken", id="one_never_passes"),
    ],
)
def test_what_failed_is_tried_once_more(tmp_path, monkeypatch, chosen, code, tries):
    """A busy machine does not make a tree red, and a broken test always does."""
    (tmp_path / "test_some.py").write_text(SOME_TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.setattr(make, "ROOT", tmp_path)
    part = make.Part("some", sys.executable, ["-k", chosen, "test_some.py"])

    answer = part.once_more(make.call(part.python, *part.command))

    assert answer == code
    assert (tmp_path / "tries").read_text() == tries
