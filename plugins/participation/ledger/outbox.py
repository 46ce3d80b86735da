"""Events waiting to be announced as asset events; written with the data, so never lost and never early."""

import json
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from participation.ledger.connection import Connection

RECEIVED = "contributions_received"
"""Topic of the rows that the ledger writes by itself when contributions arrive."""

DOCUMENT_PARSED = "document_parsed"
DOCUMENT_CHUNKED = "document_chunked"
CHUNKS_EMBEDDED = "chunks_embedded"
INDEX_LIVE = "index_live"
DATASET_CREATED = "dataset_created"
"""Topics of the document workflow, in the order of its steps; a watcher announces their rows."""

REVIEW_DUE = "review_due"
"""Topic of what a person should be asked; a watcher announces its rows."""

WEBHOOK_DUE = "webhook_due"
"""Topic of the rows that the ledger writes by itself when a partner is to be told something."""

_BEHIND = """
FROM participation.outbox WHERE topic = %(topic)s AND emitter IS NULL
  AND (xid, outbox_id) > (%(xid)s::xid8, %(outbox_id)s)
"""

_NEW_ROWS = f"""
SELECT xid::text, outbox_id, payload {_BEHIND}
  AND xid < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY xid, outbox_id LIMIT %(limit)s
"""
"""Rows of a transaction that is still open are not passed over: nothing at or above the oldest open
transaction is read, so the watermark never runs ahead of a slow writer."""

CLUSTER = """
SELECT system_identifier::text, pg_snapshot_xmax(pg_current_snapshot())::text
FROM pg_control_system()
"""
"""After a dump was restored into another cluster, or an older backup of the same one came back,
transaction numbers start again below a watermark of before."""

_RESTAMP = """
UPDATE participation.outbox SET xid = DEFAULT
WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())
"""
"""Restored rows carry the numbers of their old cluster; here those lie in the future."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Days with new contributions, and the snapshot in which the rows that say so were seen."""

    days: tuple[str, ...]
    row_count: int
    contribution_count: int
    snapshot: str


def waiting_days(connection: Connection, municipality: str, emitter: str | None) -> Announcement:
    """Collect every unannounced day of one emitter; None stands for any other service."""
    row = connection.execute(
        "SELECT array_agg(DISTINCT payload ->> 'received_on'), count(*),"
        " coalesce(sum((payload ->> 'count')::bigint), 0), pg_current_snapshot()::text FROM outbox"
        " WHERE topic = %s AND announced_at IS NULL AND emitter IS NOT DISTINCT FROM %s"
        " AND payload ->> 'municipality' = %s",
        (RECEIVED, emitter, municipality),
    ).fetchone()
    days, row_count, contribution_count, snapshot = row or ((), 0, 0, "")
    return Announcement(
        days=tuple(sorted(days or ())),
        row_count=row_count,
        contribution_count=int(contribution_count),
        snapshot=snapshot,
    )


def mark_announced(
    connection: Connection, municipality: str, emitter: str | None, snapshot: str
) -> int:
    """Note that the asset events of the rows of :func:`waiting_days` are recorded.

    The snapshot names any number of rows in a few bytes, and unlike a highest id it leaves out what a
    slow transaction committed since.
    """
    return connection.execute(
        "UPDATE outbox SET announced_at = now() WHERE topic = %s AND announced_at IS NULL"
        " AND emitter IS NOT DISTINCT FROM %s AND payload ->> 'municipality' = %s"
        " AND pg_visible_in_snapshot(xid, %s::pg_snapshot)",
        (RECEIVED, emitter, municipality, snapshot),
    ).rowcount


def announce(connection: Connection, topic: str, payload: dict[str, object]) -> int:
    """Write an event for the watcher of its topic; call it in the transaction of the data.

    Returns the event's number.
    """
    row = connection.execute(
        "INSERT INTO outbox (topic, payload) VALUES (%s, %s) RETURNING outbox_id",
        (topic, json.dumps(payload, allow_nan=False)),
    ).fetchone()
    assert row is not None  # noqa: S101 - an INSERT without a WHERE returns its row
    return int(row[0])


async def listen(connection: AsyncConnection[Any]) -> tuple[str, int]:
    """Hear of new rows from now on; the cluster's name and its next transaction's number.

    Rows that were restored from another cluster are given numbers of this one.
    """
    await connection.execute("LISTEN participation_outbox")
    cursor = await connection.execute(CLUSTER)
    cluster, newest = await cursor.fetchone() or ("", "0")
    await connection.execute(_RESTAMP)
    return cluster, int(newest)


async def new_rows(
    connection: AsyncConnection[Any], topic: str, xid: str, outbox_id: int, limit: int
) -> list[tuple[str, int, dict[str, Any]]]:
    """Read the rows of a topic behind a watermark: transaction, id and payload, in their order."""
    names = {"topic": topic, "xid": xid, "outbox_id": outbox_id, "limit": limit}
    cursor = await connection.execute(_NEW_ROWS, names)
    return await cursor.fetchall()


async def is_withheld(
    connection: AsyncConnection[Any], topic: str, xid: str, outbox_id: int
) -> bool:
    """Say whether a row is there that :func:`new_rows` does not give yet."""
    names = {"topic": topic, "xid": xid, "outbox_id": outbox_id}
    cursor = await connection.execute(f"SELECT EXISTS (SELECT {_BEHIND})", names)
    row = await cursor.fetchone()
    return bool(row and row[0])
