"""Definitions of named workflows for tests: small processors, and files written as somebody would."""

from pathlib import Path
from textwrap import dedent

from include.errors import PermanentError, TransientError
from include.processing.definition import read_definition
from include.processing.registry import StepProcessor


class Troubles:
    """Processors that fail as they are told to; ``seen`` says who was called with what."""

    def __init__(self, **errors):
        self.errors = {name: list(each) for name, each in errors.items()}
        self.seen = []

    def work(self, inputs, _surroundings):
        """Give the inputs back, after the errors that stand for the name in them."""
        name = inputs["name"]
        self.seen.append(name)
        if self.errors.get(name):
            raise self.errors[name].pop(0)
        return {"name": name, "value": inputs.get("value"), "kind": inputs.get("kind")}

    @property
    def registry(self):
        gives = frozenset({"name", "value", "kind"})
        takes = {"name": True, "value": False, "kind": False}
        return {"work": StepProcessor("Does as it is told.", takes, gives, self.work)}


HEAD = """
name: {name}
description: A workflow for a test.
input:
  type: object
  additionalProperties: false
  properties:
    value: {{type: integer, description: A number.}}
    kind: {{type: string, description: A kind.}}
"""


def write(folder: Path, body: str, name: str = "small") -> Path:
    """Write a definition whose head is everybody's."""
    path = folder / f"{name}.yaml"
    path.write_text(HEAD.format(name=name).strip() + "\n" + dedent(body).strip() + "\n")
    return path


def definition(folder: Path, body: str, name: str = "small"):
    """Read one that is right."""
    return read_definition(write(folder, body, name), Troubles().registry)


PASSES = TransientError("away")
STAYS = PermanentError("wrong")
