"""The files of the deployment say the same as the code and as each other; without a container engine."""

import re

import pytest
import yaml

from airflow_settings import LLM_POOL, PRELOADED_MODULES, Ports, environment
from include.municipality import DATA
from participation.settings import Settings
from state_folder import ROOT, StateFolder

COMPOSE = yaml.safe_load((ROOT / "docker-compose.yaml").read_text("utf-8"))
ENVIRONMENT = COMPOSE["x-airflow-environment"]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
IMAGE = dict(re.findall(r"(\w+)=(\S+)", re.search(r"(?m)^ENV (.*)$", DOCKERFILE)[1]))


def test_both_ways_to_run_preload_the_same_modules():
    """`make run` and compose fork their tasks from servers that imported the same."""
    preloaded = ENVIRONMENT["AIRFLOW__CORE__MP_FORKSERVER_PRELOAD"]

    assert preloaded.split(",") == list(PRELOADED_MODULES)


@pytest.mark.parametrize("name", sorted(IMAGE.keys() & ENVIRONMENT.keys()))
def test_compose_does_not_contradict_the_image(name):
    """What both set they set alike, so that a container started by hand behaves like a service."""
    assert ENVIRONMENT[name] == IMAGE[name]


def test_both_roots_of_imports_are_set_once():
    """The image and its services know them; no command sets them again."""
    assert IMAGE["PYTHONPATH"] == "/opt/participation:/opt/participation/plugins"
    commands = [str(service.get("command")) for service in COMPOSE["services"].values()]
    assert not [command for command in commands if "PYTHONPATH" in command]


def test_the_builder_sees_what_the_dockerfile_copies_and_nothing_else():
    """No secret, state or test is sent to the builder."""
    copied = [
        source
        for line in re.findall(r"(?m)^COPY (.*)$", DOCKERFILE)
        for source in line.split()[:-1]
    ]
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()

    assert "*" in lines
    assert sorted(line[1:] for line in lines if line.startswith("!")) == sorted(copied)


def test_another_town_is_another_folder():
    """Compose and the example know the setting, and its default is the default of the code."""
    default = Settings.model_fields["municipality"].default
    example = (ROOT / ".env.example").read_text("utf-8")

    variable = f"${{PARTICIPATION_MUNICIPALITY:-{default}}}"
    assert ENVIRONMENT["PARTICIPATION_MUNICIPALITY"] == variable
    assert f"#PARTICIPATION_MUNICIPALITY={default}\n" in example
    assert (DATA / default).is_dir()


def test_every_setting_can_be_made_where_the_project_is_deployed():
    """A variable of `.env` that compose does not hand on reaches no container, and nobody says so."""
    # Another workflow is built into the image, as another town is.
    names = {
        f"PARTICIPATION_{name.upper()}" for name in Settings.model_fields if name != "workflows"
    }
    example = set(re.findall(r"(?m)^#?([A-Z_]+)=", (ROOT / ".env.example").read_text("utf-8")))
    asked = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "docker-compose.yaml").read_text("utf-8")))

    assert names - ENVIRONMENT.keys() == set()
    assert asked - example == {"IMAGE_TAG"}
    assert example - asked == {"COMPOSE_PROFILES"}


def test_a_default_of_compose_is_the_default_of_the_code():
    """Whoever sets nothing gets the same, deployed or not."""
    for name, field in Settings.model_fields.items():
        written = str(ENVIRONMENT.get(f"PARTICIPATION_{name.upper()}", ""))
        if default := re.fullmatch(r"\$\{\w+:-(.*)\}", written):
            made = Settings(**{name: default[1]})
            assert getattr(made, name) == field.default, name


def test_a_control_plane_that_restarts_ends_no_task(tmp_path):
    """What holds for the tasks of `make run` holds for those of a deployment, lost ones too."""
    env = environment(
        StateFolder.at(tmp_path / "state"),
        Ports(),
        airflow_dsn="postgresql://u:p@h:1/airflow",
        ledger_dsn="postgresql://u:p@h:1/ledger",
        inbox=tmp_path,
    )
    of_workers = {name: env[name] for name in env if name.startswith("AIRFLOW__WORKERS__")}
    of_lost_tasks = {
        f"AIRFLOW__SCHEDULER__{name}": env[f"AIRFLOW__SCHEDULER__{name}"]
        for name in ("TASK_INSTANCE_HEARTBEAT_TIMEOUT", "ORPHANED_TASKS_CHECK_INTERVAL")
    }

    assert of_workers
    assert (of_workers | of_lost_tasks).items() <= ENVIRONMENT.items()


def test_the_pool_of_the_model_is_made_wherever_tasks_are_told_to_use_it():
    """Tasks of a pool that is not there wait for ever; without the setting they use the default one."""
    init = COMPOSE["services"]["airflow-init"]["command"][-1]

    assert ENVIRONMENT["PARTICIPATION_LLM_POOL"] == LLM_POOL
    assert f"airflow pools set {LLM_POOL} " in init
    assert Settings.model_fields["llm_pool"].default == "default_pool"
    assert "LLM_POOL" in (ROOT / "scripts" / "supervisor.py").read_text("utf-8")


def test_own_connections_reach_the_components_and_no_other_variable_of_airflow(
    monkeypatch, tmp_path
):
    """`make run` takes a model's connection from the environment, and nobody else's settings."""
    monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_LLM", "{}")
    monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_DB", "postgres://elsewhere")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "of another installation")
    state = StateFolder.at(tmp_path / "state")

    env = environment(
        state,
        Ports(),
        airflow_dsn="postgresql://u:p@h:1/airflow",
        ledger_dsn="postgresql://u:p@h:1/ledger",
        inbox=tmp_path,
    )

    assert env["AIRFLOW_CONN_PARTICIPATION_LLM"] == "{}"
    assert "elsewhere" not in env["AIRFLOW_CONN_PARTICIPATION_DB"]
    assert env["AIRFLOW__CORE__FERNET_KEY"] == state.secrets["fernet_key"]
