"""When a run's deadline starts to count."""

from datetime import datetime
from typing import Any, ClassVar

from airflow.sdk.definitions.deadline import BaseDeadlineReference


class RunQueuedAt(BaseDeadlineReference):
    """The moment a run was queued, as ``DeadlineReference.DAGRUN_QUEUED_AT``, under another name.

    Airflow 3.3.2 moves an open deadline of the built-in kind when a run is cleared, and fails in doing
    so (apache/airflow#70368): a red run could not be cleared. It leaves a custom reference alone; a
    cleared run keeps its first deadline.
    """

    required_kwargs: ClassVar[set[str]] = {"dag_id", "run_id"}

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        # Core is imported here only: DAG files and tasks use this class without a database.
        from airflow.models.dagrun import DagRun  # noqa: PLC0415
        from sqlalchemy import select  # noqa: PLC0415

        queued_at: datetime | None = session.scalar(
            select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        )
        return queued_at
