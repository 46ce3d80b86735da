"""What every DAG shares: retries by the kind of error, limits, deadlines, names of assets and tags."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import (
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    CronTriggerTimetable,
    RetryDecision,
    RetryPolicy,
)
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert

from include.errors import cause_chain, is_transient
from participation.deadlines import RunQueuedAt
from participation.ledger import outbox
from participation.triggers.outbox import PostgresOutboxTrigger

TAGS = frozenset({"participation", "contributions", "documents", "review", "daily", "workflows"})
"""The closed list of DAG tags."""


class ParticipationRetryPolicy(RetryPolicy):
    """Permanent errors fail at once; anything else is retried as the task's settings allow."""

    def evaluate(
        self,
        exception: BaseException,
        try_number: int,  # noqa: ARG002 - Airflow's signature
        max_tries: int,  # noqa: ARG002 - Airflow's signature
        context: Mapping[str, Any] | None = None,  # noqa: ARG002 - Airflow's signature
    ) -> RetryDecision:
        """Say whether another attempt may help, and wait as long as a provider asked for."""
        if not is_transient(exception):
            return RetryDecision.fail(reason=f"no retry helps: {cause_chain(exception)}"[:500])
        wait_s = getattr(getattr(exception, "cause", exception), "retry_after_s", None)
        if wait_s is not None:
            return RetryDecision.retry(
                delay=timedelta(seconds=float(wait_s)), reason="the provider said when to come back"
            )
        return RetryDecision.default()


DAG_DEFAULTS: dict[str, Any] = {
    "owner": "participation",
    "retries": 5,
    "retry_delay": timedelta(seconds=10),
    "retry_exponential_backoff": 3.0,
    "max_retry_delay": timedelta(minutes=5),
    "retry_policy": ParticipationRetryPolicy(),
    "execution_timeout": timedelta(minutes=30),
}
"""Six tries over eleven minutes (10, 30, 90, 270, 300 s): a restart of the control plane burns none."""

DAILY_DEFAULTS: dict[str, Any] = {
    **DAG_DEFAULTS,
    "retries": 2,
    "retry_delay": timedelta(seconds=20),
    "retry_exponential_backoff": 0,
    "execution_timeout": timedelta(seconds=60),
}
"""Inside the daily chain's 600 s there is room for two short waits, not for eleven minutes."""


def _asset(name: str, group: str, says: str, uri: str = "", **watched: Any) -> Asset:
    """Make an asset that the list of assets explains: its group, and a sentence in its extra."""
    return Asset(
        name=name,
        uri=uri or f"participation://ledger/{name}",
        group=group,
        extra={"description": says},
        **watched,
    )


CONTRIBUTIONS = _asset(
    "contributions", "contributions", "New texts of a day. From load_contributions; wakes analysis."
)
"""Keyed by day (``YYYY-MM-DD``); one event per day that has new contributions."""

ANALYSED = _asset(
    "analysed", "contributions", "Texts of a day have their states. From contribution_analysis."
)
"""Keyed by day; one event when a run gave contributions of the day their states."""

CONTRIBUTIONS_OUTBOX = _asset(
    "contributions_outbox",
    "contributions",
    "Texts that another service inserted. Wakes contribution_router.",
    "participation://ledger/outbox/contributions",
    watchers=[
        AssetWatcher(
            name="contributions_outbox_watcher",
            trigger=PostgresOutboxTrigger(topic=outbox.RECEIVED),
        )
    ],
)
"""Fed by the outbox rows that any other service's inserts leave behind."""


REVIEW_DUE = _asset(
    "review_due",
    "contributions",
    "Cases wait for a person. From daily_chain's report, an appeal, an answer to ask again; wakes"
    " contribution_review.",
    watchers=[
        AssetWatcher(
            name="review_due_watcher",
            trigger=PostgresOutboxTrigger(topic=outbox.REVIEW_DUE, gather_s=3.0),
        )
    ],
)
"""Fed by outbox rows: an event of a keyed run carries its key and would wake no DAG without keys."""

GATHER_S = 3.0
"""A folder is read document by document: a run takes what came meanwhile instead of one each."""


def _fed_by(name: str, topic: str, says: str) -> Asset:
    """Make an asset whose events are the outbox rows of a topic; no task has it as outlet."""
    return _asset(
        name,
        "documents",
        says,
        watchers=[
            AssetWatcher(
                name=f"{name}_watcher",
                trigger=PostgresOutboxTrigger(topic=topic, gather_s=GATHER_S),
            )
        ],
    )


DOCUMENTS = _fed_by(
    "documents",
    outbox.DOCUMENT_PARSED,
    "1 of 5. Papers were read. From document_intake; wakes chunking.",
)
CHUNKS = _fed_by(
    "chunks",
    outbox.DOCUMENT_CHUNKED,
    "2 of 5. Papers were cut. From document_chunking; wakes embedding.",
)
EMBEDDINGS = _fed_by(
    "embeddings",
    outbox.CHUNKS_EMBEDDED,
    "3 of 5. Chunks have vectors. From document_embedding; wakes indexing.",
)
INDEX = _fed_by(
    "index",
    outbox.INDEX_LIVE,
    "4 of 5. A new index answers. From document_indexing; wakes dataset_creation.",
)
"""The document workflow, step by step. An event carries ids and counts and only wakes the next step:
what there is to do is asked from the ledger."""

DATASET = _asset(
    "dataset",
    "documents",
    "5 of 5. A new dataset version. From dataset_creation; wakes nothing here.",
)
"""An outlet and not fed by the outbox: Airflow keeps no watcher of an asset that wakes no DAG. The row
``dataset_created`` says whether a version had its event; it has at least one."""


WEBHOOKS = _asset(
    "webhooks",
    "partners",
    "Something that partners are told. Wakes deliver_webhooks.",
    watchers=[
        AssetWatcher(
            name="webhooks_watcher",
            trigger=PostgresOutboxTrigger(topic=outbox.WEBHOOK_DUE, gather_s=GATHER_S),
        )
    ],
)
"""Fed by the rows that the ledger writes when an event is owed to a subscription."""


def woken_by(asset: Asset, *, net: str) -> AssetOrTimeSchedule:
    """Wake a step by an asset's events, and once a night whether there were any or not.

    At night it takes up what no event tells of: another version of the code, a provider that was
    down, an event that was lost. Without work it costs two short tasks, the first one skipped.

    Args:
        asset: Of the step before.
        net: When, as a cron expression in Europe/Paris.
    """
    return AssetOrTimeSchedule(
        timetable=CronTriggerTimetable(net, timezone="Europe/Paris"), assets=[asset]
    )


def late_after(minutes: int) -> DeadlineAlert:
    """Alert when a run is not done some minutes after it was queued, started or not."""
    return DeadlineAlert(
        reference=RunQueuedAt(),
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(
            "participation.callbacks.note_deadline_miss",
            kwargs={"alert": f"not done {minutes} min after it was queued"},
        ),
        name=f"late-{minutes}min",
    )
