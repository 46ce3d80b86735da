"""The files of the deployment say the same as the code and as each other; without a container engine."""

import re

import pytest
import yaml

from airflow_settings import PRELOADED_MODULES
from include.municipality import DATA
from participation.settings import Settings
from state_folder import ROOT

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
