import json
import stat

import pytest

from state_folder import USERS, AlreadyRunningError, StateFolder


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
