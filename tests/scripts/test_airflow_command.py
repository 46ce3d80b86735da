"""``make airflow`` beside a system that runs, and where none does."""

import os

import pytest

import airflow_command
from postgres import EmbeddedPostgres
from state_folder import StateFolder


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    return StateFolder.from_environment()


def test_without_a_system_it_says_what_to_start(state, capsys):
    """One sentence, and no command of Airflow that would make a database of its own."""
    assert airflow_command.main(["dags", "list"]) == 2
    assert "start `make run` first" in capsys.readouterr().err


def test_while_the_system_starts_it_asks_for_patience(state, capsys):
    """Neither the port of the database nor those of Airflow are known yet."""
    with state.lock():
        assert airflow_command.main(["dags", "list"]) == 2
    assert "still starting" in capsys.readouterr().err


def test_the_command_gets_what_the_components_have(state, monkeypatch):
    """The databases, the ports and the key of the folder, whatever the caller's own Airflow is."""
    became = []
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "of another installation")
    monkeypatch.setattr(EmbeddedPostgres, "noted_port", lambda _: 4242)
    monkeypatch.setattr(os, "execve", lambda *given: became.append(given))
    state.note("ports", {"ui": 8081, "logs": 8082, "scheduler_health": 8083})

    with state.lock():
        airflow_command.main(["backfill", "create", "--dag-id", "daily_chain"])

    ((_, command, given),) = became
    assert command[1:] == ["-m", "airflow", "backfill", "create", "--dag-id", "daily_chain"]
    assert ":4242/" in given["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    assert given["AIRFLOW__API__PORT"] == "8081"
    assert given["AIRFLOW__CORE__FERNET_KEY"] == state.secrets["fernet_key"]
