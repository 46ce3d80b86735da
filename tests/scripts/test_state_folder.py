import json
import os
import re
import stat
from pathlib import Path

import pytest

from marked_folder import MARKER, ForeignFolderError
from state_folder import ROOT, USERS, AlreadyRunningError, StateFolder


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE", str(tmp_path / "the state"))
    return StateFolder.from_environment()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_secrets_are_made_once_and_readable_by_their_owner_only(state, monkeypatch):
    """A second start uses the same keys: sessions and stored connections stay valid."""
    keys, passwords = state.secrets, state.passwords

    again = StateFolder.from_environment()

    assert (again.secrets, again.passwords) == (keys, passwords)
    assert len(set(keys.values())) == 3
    assert mode(state.folder / "secrets.json") == 0o600
    assert mode(state.passwords_file) == 0o600


def test_every_user_has_a_password_of_its_own(state):
    """Also one that was added after the first start; the others keep theirs."""
    first = state.passwords
    kept = {user: password for user, password in first.items() if user != "viewer"}
    state.passwords_file.write_text(json.dumps(kept))

    second = StateFolder.from_environment().passwords

    assert set(second) == set(USERS)
    assert len(set(second.values())) == len(USERS)
    assert kept.items() <= second.items()


def test_a_second_supervisor_is_told_where_the_first_is(state):
    """Two on one folder would fight over the database."""
    state.note("addresses", {"ui": "http://127.0.0.1:4711"})
    with state.lock(), pytest.raises(AlreadyRunningError, match="4711"):
        state.lock()

    state.lock().close()


def test_only_the_owner_reads_what_is_in_the_folder(state):
    """Logs, notes and papers quote citizens; root leaves the way to its PostgreSQL open, and no other."""
    parts = state.run, state.logs, state.reports, state.documents, state.datasets
    for folder in (*parts, state.airflow_home):
        assert mode(folder) == 0o700, folder
    assert mode(state.folder) == (0o711 if os.geteuid() == 0 else 0o700)


@pytest.mark.parametrize(
    "wrong", ["foreign", "a_file", "the_project", "above_it", "home", "system"]
)
def test_a_folder_of_somebody_else_is_left_as_it_is(tmp_path, monkeypatch, wrong):
    """STATE=/tmp must not close /tmp to everyone else: nothing is made, nothing changes its mode."""
    foreign, home = tmp_path / "foreign", tmp_path / "home"
    for folder in (foreign, home):
        folder.mkdir()
        folder.chmod(0o755)
    (foreign / "theirs").write_text("kept")
    monkeypatch.setenv("HOME", str(home))
    folder = {
        "foreign": foreign,
        "a_file": foreign / "theirs",
        "the_project": ROOT,
        "above_it": ROOT.parent,
        "home": home,
        "system": Path("/"),
    }[wrong]
    before = folder.stat()
    monkeypatch.setenv("STATE", str(folder))

    with pytest.raises(ForeignFolderError, match=re.escape(str(folder))):
        StateFolder.from_environment()

    assert folder.stat().st_mode == before.st_mode
    assert not (folder / MARKER).exists()
    assert sorted(foreign.iterdir()) == [foreign / "theirs"]


def test_an_empty_folder_becomes_the_state_folder(tmp_path, monkeypatch):
    """A mounted volume is there before the first start; the second start knows it again."""
    monkeypatch.setenv("STATE", str(tmp_path))
    StateFolder.from_environment()

    assert StateFolder.from_environment().run.is_dir()
