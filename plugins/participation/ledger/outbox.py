"""Events waiting to be announced as asset events; written with the data, so never lost and never early."""

import json
from dataclasses import dataclass

from participation.ledger.connection import Connection

RECEIVED = "contributions_received"
"""Topic of the rows that the ledger writes by itself when contributions arrive."""

DOCUMENT_PARSED = "document_parsed"
DOCUMENT_CHUNKED = "document_chunked"
CHUNKS_EMBEDDED = "chunks_embedded"
INDEX_LIVE = "index_live"
DATASET_CREATED = "dataset_created"
"""Topics of the document workflow, in the order of its steps; a watcher announces their rows."""


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


def announce(connection: Connection, topic: str, payload: dict[str, object]) -> None:
    """Write an event for the watcher of its topic; call it in the transaction of the data."""
    connection.execute(
        "INSERT INTO outbox (topic, payload) VALUES (%s, %s)",
        (topic, json.dumps(payload, allow_nan=False)),
    )
