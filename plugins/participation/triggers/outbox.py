"""Turn outbox rows into asset events: LISTEN/NOTIFY wakes, a poll is the net, the table is the truth."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import psycopg
from airflow.sdk import BaseHook
from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from participation.hooks.ledger import LEDGER_CONN_ID, ledger_dsn
from participation.ledger import outbox

WATERMARK = "watermark"
BATCH = 500
RECONNECT_S = 5.0

SETTLE_S = 0.2
"""After a notification: its neighbours are seen by the same look."""

WITHHELD_S = 0.5
"""Until the next look at a row that an older transaction, still open, holds back."""

MAX_IDS = 50

MAX_ROWS_BYTES = 7 * 1024
"""Of the payloads that an event carries: with its ids and counts it stays a docket of 8 KB."""


def event_of(topic: str, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """Say what is new, small: how many rows, the first ids, and as many payloads as fit.

    >>> event_of("document_parsed", [(7, {"document_id": "ab", "page_count": 2})])["rows"]
    [{'document_id': 'ab', 'page_count': 2}]
    """
    payloads: list[Mapping[str, Any]] = []
    size = 0
    for _, payload in rows:
        size += len(json.dumps(payload).encode()) + 2
        if size > MAX_ROWS_BYTES:
            break
        payloads.append(payload)
    return {
        "topic": topic,
        "outbox_ids": [outbox_id for outbox_id, _ in rows][:MAX_IDS],
        "row_count": len(rows),
        "rows": payloads,
    }


class PostgresOutboxTrigger(BaseEventTrigger):
    """Fire once for each batch of new outbox rows that another service's writes left behind.

    At-least-once: the watermark moves after the event was handed over, and what an event starts is
    safe to repeat. Rows with an emitter announce themselves and are left alone.

    Args:
        topic: Which rows, such as ``contributions_received``.
        conn_id: Airflow connection of the ledger; resolved in the triggerer, never serialized.
        poll_interval_s: A notification may be lost; the table is read at least this often.
        gather_s: Least time between two events: what a busy writer adds meanwhile is one event.
    """

    def __init__(
        self,
        topic: str,
        conn_id: str = LEDGER_CONN_ID,
        poll_interval_s: float = 30.0,
        gather_s: float = 0.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.topic = topic
        self.conn_id = conn_id
        self.poll_interval_s = poll_interval_s
        self.gather_s = gather_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what the triggerer needs to build this trigger again."""
        return (
            "participation.triggers.outbox.PostgresOutboxTrigger",
            {
                "topic": self.topic,
                "conn_id": self.conn_id,
                "poll_interval_s": self.poll_interval_s,
                "gather_s": self.gather_s,
            },
        )

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield one event per batch of rows, for as long as the trigger lives.

        A database that goes away is waited for: the trigger must outlive a restart of PostgreSQL.
        """
        while True:
            try:
                async for event in self._watch():
                    yield event
            except psycopg.OperationalError as error:
                self.log.warning("outbox watcher waits for the ledger", error=str(error).strip())
                await asyncio.sleep(RECONNECT_S)

    async def _watch(self) -> AsyncIterator[TriggerEvent]:
        dsn = ledger_dsn(await BaseHook.aget_connection(self.conn_id))
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            cluster, newest = await outbox.listen(connection)
            xid, outbox_id = await self._watermark(cluster, newest)
            while True:
                rows = await outbox.new_rows(connection, self.topic, xid, outbox_id, BATCH)
                if rows:
                    xid, outbox_id, _ = rows[-1]
                    yield TriggerEvent(  # type: ignore[no-untyped-call]
                        event_of(self.topic, [(row[1], row[2]) for row in rows])
                    )
                    await self._remember(cluster, xid, outbox_id)
                    await asyncio.sleep(self.gather_s)
                elif await outbox.is_withheld(connection, self.topic, xid, outbox_id):
                    # Nobody notifies when the transaction that it waits for ends.
                    await asyncio.sleep(WITHHELD_S)
                else:
                    await self._sleep(connection)

    async def _sleep(self, connection: psycopg.AsyncConnection[Any]) -> None:
        async for _ in connection.notifies(timeout=self.poll_interval_s, stop_after=1):
            pass  # a busy writer's notifications come many at once, and one look answers them all
        await asyncio.sleep(SETTLE_S)

    async def _watermark(self, cluster: str, newest: int) -> tuple[str, int]:
        """Return where to go on; the beginning when it was noted for numbers that no longer count."""
        if self.asset_state_store is None:
            return "0", 0
        match await self.asset_state_store.aget(WATERMARK, default=None):
            case [str(noted), str(xid), int(outbox_id)] if noted == cluster and int(xid) < newest:
                return xid, outbox_id
        return "0", 0

    async def _remember(self, cluster: str, xid: str, outbox_id: int) -> None:
        if self.asset_state_store is not None:
            await self.asset_state_store.aset(WATERMARK, [cluster, xid, outbox_id])
