"""What a person reads when a state folder cannot be gone on from; the real script, without Airflow."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

import postgres
from participation.ledger import migrate
from state_folder import ROOT, StateFolder

LIMIT_S = 120


@pytest.fixture
def state():
    """A state folder whose ledger was migrated once; nothing runs in it."""
    # Not pytest's own folder: when root runs the tests, another account runs the server.
    folder = Path(tempfile.mkdtemp(prefix="supervisor start "))
    folder.chmod(0o711)
    StateFolder.at(folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        pytest.param(
            "UPDATE participation.migration SET sha256 = 'another'",
            "let `make clean` remove the folder",
            id="changed_migration",
        ),
        pytest.param(
            "ALTER ROLE participation CONNECTION LIMIT 0", "did not answer", id="closed_ledger"
        ),
    ],
)
def test_a_ledger_that_cannot_be_used_ends_with_a_sentence(state, statement, sentence):
    """One sentence, a bad exit code, no traceback, and nothing left running."""
    with postgres.running(state / "postgres", shared_buffers="16MB", fsync="off") as server:
        migrate(server.ledger_dsn)
        ledger = psycopg.conninfo.make_conninfo(server.admin_dsn, dbname="participation")
        with psycopg.connect(ledger) as connection:
            connection.execute(statement)

    answer = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "supervisor.py"), "--idle"],
        env=os.environ
        | {
            "STATE": str(state),
            "PARTICIPATION_INBOX": str(state),
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
        },
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )

    said = answer.stdout + answer.stderr
    assert answer.returncode == 1
    assert "cannot go on" in said
    assert sentence in said
    assert "Traceback" not in said
    assert not postgres.EmbeddedPostgres(state / "postgres")._in_data_folder()
