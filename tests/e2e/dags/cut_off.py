"""A run that hangs with work in its hands, to see what its limits do about it."""

import time
from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert

from participation import contribution_tasks, days
from participation.callbacks import reconcile_cut_off
from participation.deadlines import RunQueuedAt
from participation.defaults import DAILY_DEFAULTS
from participation.steps import Visit, step_task

ALERT = "not done 5 s after it was queued"


@dag(
    schedule=None,
    params={"day": Param(type="string", description="Whose contributions the run claims.")},
    dagrun_timeout=timedelta(seconds=30),
    default_args=DAILY_DEFAULTS,
    deadline=DeadlineAlert(
        reference=RunQueuedAt(),
        interval=timedelta(seconds=5),
        callback=AsyncCallback(
            "participation.callbacks.note_deadline_miss", kwargs={"alert": ALERT}
        ),
        name="late-5s",
    ),
    on_failure_callback=reconcile_cut_off,
)
def cut_off():
    @step_task
    def split(*, visit: Visit, params: dict[str, Any] | None = None) -> list[int]:
        """Claim the day, as the product does."""
        return contribution_tasks.split_work(visit, days.run_day(None, params["day"]))

    @step_task
    def hang(chunk_ids: list[int], *, visit: Visit) -> dict[str, Any]:
        """Work on it for longer than the run may last."""
        time.sleep(600)
        return {"chunks": len(chunk_ids)}

    hang(split())


cut_off()
