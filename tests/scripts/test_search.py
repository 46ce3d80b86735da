"""``make search`` on a state folder whose database runs, on one where it sleeps, and on none."""

import json

import pytest

import search
from databases import prepare
from participation.ledger import migrate
from postgres import running
from state_folder import StateFolder


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state folder with a migrated, empty ledger, whose database does not run."""
    made = StateFolder.at(tmp_path_factory.mktemp("made") / "state")
    with running(made.postgres, shared_buffers="64MB", fsync="off") as server:
        prepare(server.admin_dsn, server.passwords)
        migrate(server.ledger_dsn)
    return made


@pytest.mark.postgres
def test_it_finds_the_database_of_the_state_folder(state, monkeypatch, capsys):
    """No variable names the address: the folder is enough."""
    monkeypatch.setenv("STATE", str(state.folder))

    with running(state.postgres):
        assert search.main(["--json", "--", "Quand a lieu le marché ?"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.postgres
def test_it_wakes_a_database_that_sleeps(state, monkeypatch, capsys):
    """For the length of the question; afterwards nothing of it runs."""
    monkeypatch.setenv("STATE", str(state.folder))

    assert search.main(["--json", "--", "Quand a lieu le marché ?"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert not (state.postgres / "data" / "postmaster.pid").exists()


@pytest.mark.postgres
def test_it_leaves_a_folder_alone_that_somebody_starts(state, monkeypatch, capsys):
    """Whoever holds the folder starts its database; two servers on one folder would be the end of it."""
    monkeypatch.setenv("STATE", str(state.folder))

    with state.lock():
        assert search.main(["marché"]) == 2
    assert "still starting" in capsys.readouterr().err


def test_without_a_database_it_says_what_to_start(tmp_path, monkeypatch, capsys):
    """One sentence and exit code 2, and no traceback."""
    monkeypatch.setenv("STATE", str(tmp_path / "nothing"))

    assert search.main(["marché"]) == 2
    assert "make run" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "101", "x", "-1"])
def test_a_senseless_count_is_refused(count):
    """Before anything is opened."""
    with pytest.raises(SystemExit):
        search.main(["--top-k", count, "marché"])
