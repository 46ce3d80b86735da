"""``make search`` on a state folder whose database runs, and on one where none does."""

import json

import pytest

import search
from databases import prepare
from participation.ledger import migrate
from postgres import running


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state folder with a migrated, empty ledger."""
    folder = tmp_path_factory.mktemp("state")
    folder.chmod(0o711)
    (folder / "postgres").mkdir()
    with running(folder / "postgres", shared_buffers="64MB", fsync="off") as server:
        prepare(server.admin_dsn, server.passwords)
        migrate(server.ledger_dsn)
        yield folder


@pytest.mark.postgres
def test_it_finds_the_database_of_the_state_folder(state, monkeypatch, capsys):
    """No variable names the address: the folder is enough."""
    monkeypatch.setenv("STATE", str(state))

    assert search.main(["--json", "--", "Quand a lieu le marché ?"]) == 0
    assert json.loads(capsys.readouterr().out) == []


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
