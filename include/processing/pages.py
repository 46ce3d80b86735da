"""What the pages about named workflows say: the definitions with their last runs, and one run."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.processing.definition import Definition

LISTED = 50

SHOWN_CHARACTERS = 20_000
"""Of an input, an output or an error; the REST API gives all of it."""


@dataclass(frozen=True, slots=True)
class RunOfWorkflow:
    """One run in the list."""

    workflow: str
    run_id: str
    dag_id: str
    state: str
    definition_hash: str
    started_at: datetime
    ended_at: datetime | None
    reason: str | None

    @property
    def duration_ms(self) -> float | None:
        """From its first task's start to its last task's end."""
        if self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds() * 1000


@dataclass(frozen=True, slots=True)
class WorkflowList:
    """The definitions that somebody may see, the files that are none, and one page of runs."""

    definitions: tuple[Definition, ...]
    errors: tuple[str, ...]
    workflow: str | None
    runs: tuple[RunOfWorkflow, ...]
    older: str | None = None

    def address(self, **changes: str | None) -> str:
        """Write what is asked as the end of an address."""
        asked = {"workflow": self.workflow, **changes}
        given = [f"{name}={value}" for name, value in asked.items() if value]
        return "?" + "&".join(given) if given else "?"


def pretty(value: Any) -> str:
    r"""Write JSON for a person, cut where it would fill the page.

    >>> pretty({"b": "é"})
    '{\n  "b": "é"\n}'
    """
    written = json.dumps(value, ensure_ascii=False, indent=2)
    return written if len(written) <= SHOWN_CHARACTERS else f"{written[:SHOWN_CHARACTERS]} …"


def moment_of(status: Mapping[str, Any], name: str) -> datetime | None:
    """Read a moment of a run's status."""
    return datetime.fromisoformat(status[name]) if status.get(name) else None
