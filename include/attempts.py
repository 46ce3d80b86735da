"""What the tabs of a DAG and of a task say: runs and attempts, and what they worked on."""

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run of a DAG."""

    run_id: str
    started_at: datetime
    received_on: date | None
    status: str
    duration_ms: float | None
    attempts: int
    given: int


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """One attempt of a task; ``page`` is that of the one contribution or question it worked on."""

    task_id: str
    started_at: datetime
    run_id: str
    map_index: int
    try_number: int
    item: str
    received_on: date | None
    status: str
    duration_ms: float | None
    taken: int | None
    given: int | None
    message: str | None
    page: str = ""


@dataclass(frozen=True, slots=True)
class Attempts:
    """What one tab shows."""

    dag_id: str
    task_id: str | None
    run_id: str | None
    runs: tuple[RunRow, ...] = ()
    attempts: tuple[AttemptRow, ...] = ()

    @property
    def name(self) -> str:
        """What the tab is about."""
        return self.task_id or self.dag_id
