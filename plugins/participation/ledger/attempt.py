"""Who writes: the attempt of a task, and the ledger as it is open for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from participation.ledger.connection import Connection


@dataclass(frozen=True, slots=True)
class Attempt:
    """The task attempt that writes; stored with every result."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int
    try_number: int

    @property
    def holder(self) -> str:
        """One line that names the attempt in a lease and in messages."""
        return f"{self.dag_id}/{self.run_id}/{self.task_id}[{self.map_index}]#{self.try_number}"


@dataclass(frozen=True)
class AttemptLedger:
    """The ledger of one municipality, open for one attempt."""

    connection: Connection
    municipality: str
    attempt: Attempt

    def _one(self, query: str, names: Mapping[str, Any] | None = None) -> int:
        row = self.connection.execute(query, names).fetchone()
        return int(row[0]) if row else 0
