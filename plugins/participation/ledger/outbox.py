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
    """Days with new contributions, and the outbox rows that say so."""

    days: tuple[str, ...]
    outbox_ids: tuple[int, ...]
    contribution_count: int


def waiting_days(
    connection: Connection, municipality: str, emitter: str | None, limit: int = 400
) -> Announcement:
    """Collect the unannounced days of one emitter; None stands for any other service."""
    rows = connection.execute(
        "SELECT outbox_id, payload ->> 'received_on', (payload ->> 'count')::int FROM outbox"
        " WHERE topic = %s AND announced_at IS NULL AND emitter IS NOT DISTINCT FROM %s"
        " AND payload ->> 'municipality' = %s ORDER BY outbox_id LIMIT %s",
        (RECEIVED, emitter, municipality, limit),
    ).fetchall()
    return Announcement(
        days=tuple(sorted({day for _, day, _ in rows})),
        outbox_ids=tuple(outbox_id for outbox_id, _, _ in rows),
        contribution_count=sum(count for _, _, count in rows),
    )


def mark_announced(connection: Connection, outbox_ids: tuple[int, ...] | list[int]) -> int:
    """Note that the asset events of these rows are recorded."""
    return connection.execute(
        "UPDATE outbox SET announced_at = now() WHERE outbox_id = ANY(%s) AND announced_at IS NULL",
        (list(outbox_ids),),
    ).rowcount


def announce(connection: Connection, topic: str, payload: dict[str, object]) -> None:
    """Write an event for the watcher of its topic; call it in the transaction of the data."""
    connection.execute(
        "INSERT INTO outbox (topic, payload) VALUES (%s, %s)",
        (topic, json.dumps(payload, allow_nan=False)),
    )
