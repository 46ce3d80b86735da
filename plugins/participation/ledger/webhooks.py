"""Who is told what, and what is still owed to whom: at least once, in order for each subject."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from participation.ledger.connection import Connection

EVENTS = (
    "contribution.accepted",
    "contribution.decided",
    "report.published",
    "run.failed",
    "run.late",
)

GIVE_UP_AFTER = "3 days"
"""A partner's server may be away over a weekend; what is older is dropped, loudly."""

DUE = """
SELECT d.webhook_id, d.position, d.attempts, e.event_id::text, e.kind, e.subject, e.data,
       e.occurred_at, e.occurred_at < now() - %(give_up)s::interval,
       e.kind <> 'contribution.accepted' OR EXISTS (
           SELECT FROM contribution c WHERE c.contribution_id = e.subject AND c.state = 'accepted')
FROM webhook_delivery d JOIN webhook_event e USING (position)
WHERE d.webhook_id = %(webhook)s AND d.delivered_at IS NULL AND d.dropped_at IS NULL
  AND d.due_at <= now()
  AND NOT EXISTS (
    SELECT FROM webhook_delivery before
    WHERE before.webhook_id = d.webhook_id AND before.subject = d.subject
      AND before.position < d.position
      AND before.delivered_at IS NULL AND before.dropped_at IS NULL)
ORDER BY d.position LIMIT %(limit)s
"""
"""The first open event of each subject: the next one has its turn when this one is done with."""

LIST = """
SELECT w.webhook_id, w.url, w.conn_id, w.events, w.created_by, w.created_at,
       count(d.position) FILTER (WHERE d.delivered_at IS NULL AND d.dropped_at IS NULL),
       count(d.position) FILTER (WHERE d.dropped_at IS NOT NULL), max(d.delivered_at),
       (array_agg(d.last_error ORDER BY d.position DESC) FILTER (WHERE d.last_error IS NOT NULL))[1]
FROM webhook w LEFT JOIN webhook_delivery d USING (webhook_id)
WHERE w.municipality = %(municipality)s AND w.ended_at IS NULL
  AND w.webhook_id > %(after)s
GROUP BY w.webhook_id ORDER BY w.webhook_id LIMIT 200
"""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Where events go; the secret is sealed, or stands in the connection."""

    webhook_id: int
    url: str | None
    conn_id: str | None
    sealed_secret: str | None


@dataclass(frozen=True, slots=True)
class ListedSubscription:
    """A subscription and how it goes."""

    webhook_id: int
    url: str | None
    conn_id: str | None
    events: list[str]
    created_by: str
    created_at: datetime
    waiting: int
    dropped: int
    last_delivered_at: datetime | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class Due:
    """An event that is owed now."""

    webhook_id: int
    position: int
    attempts: int
    event_id: str
    kind: str
    subject: str
    data: dict[str, Any]
    occurred_at: datetime
    is_too_old: bool
    is_still_true: bool


def subscribe(
    connection: Connection,
    municipality: str,
    events: list[str],
    created_by: str,
    *,
    url: str | None = None,
    sealed_secret: str | None = None,
    conn_id: str | None = None,
) -> int:
    """Add a subscription and return its number; it is owed what happens from now on."""
    row = connection.execute(
        "INSERT INTO webhook (municipality, url, sealed_secret, conn_id, events, created_by)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING webhook_id",
        (municipality, url, sealed_secret, conn_id, sorted(set(events)), created_by),
    ).fetchone()
    assert row is not None  # noqa: S101 - an INSERT without a WHERE returns its row
    return int(row[0])


def end(connection: Connection, municipality: str, webhook_id: int, ended_by: str) -> bool:
    """End a subscription; what it is still owed is never sent. False when there is none."""
    return bool(
        connection.execute(
            "UPDATE webhook SET ended_at = now(), ended_by = %s"
            " WHERE webhook_id = %s AND municipality = %s AND ended_at IS NULL",
            (ended_by, webhook_id, municipality),
        ).rowcount
    )


def listed(connection: Connection, municipality: str, after: int = 0) -> list[ListedSubscription]:
    """List the live subscriptions and what each is owed."""
    rows = connection.execute(LIST, {"municipality": municipality, "after": after}).fetchall()
    return [ListedSubscription(*row) for row in rows]


def live(connection: Connection, municipality: str) -> list[Subscription]:
    """List the subscriptions that are owed something."""
    rows = connection.execute(
        "SELECT webhook_id, url, conn_id, sealed_secret FROM webhook w"
        " WHERE municipality = %s AND ended_at IS NULL AND EXISTS (SELECT FROM webhook_delivery d"
        " WHERE d.webhook_id = w.webhook_id AND d.delivered_at IS NULL AND d.dropped_at IS NULL)"
        " ORDER BY webhook_id",
        (municipality,),
    ).fetchall()
    return [Subscription(*row) for row in rows]


def due(connection: Connection, webhook_id: int, limit: int) -> list[Due]:
    """List the events that are owed now, each subject's first, the oldest first."""
    names = {"webhook": webhook_id, "limit": limit, "give_up": GIVE_UP_AFTER}
    return [Due(*row) for row in connection.execute(DUE, names).fetchall()]


def next_due_in_s(connection: Connection, webhook_ids: list[int]) -> float | None:
    """Say in how many seconds something is owed next; None when nothing is owed at all."""
    row = connection.execute(
        "SELECT extract(epoch FROM min(due_at) - now())::float8 FROM webhook_delivery"
        " WHERE webhook_id = ANY(%s) AND delivered_at IS NULL AND dropped_at IS NULL",
        (webhook_ids,),
    ).fetchone()
    return None if row is None or row[0] is None else max(0.0, float(row[0]))


def mark_delivered(connection: Connection, event: Due) -> None:
    """Note that the receiver took an event."""
    connection.execute(
        "UPDATE webhook_delivery SET delivered_at = now(), attempts = attempts + 1"
        " WHERE (webhook_id, position) = (%s, %s)",
        (event.webhook_id, event.position),
    )


def mark_failed(connection: Connection, event: Due, error: str, wait_s: float) -> None:
    """Note that the receiver did not take an event, and when it is tried again."""
    connection.execute(
        "UPDATE webhook_delivery SET attempts = attempts + 1, last_error = %s,"
        " due_at = now() + make_interval(secs => %s) WHERE (webhook_id, position) = (%s, %s)",
        (error[:500], wait_s, event.webhook_id, event.position),
    )


def drop(connection: Connection, event: Due, why: str) -> None:
    """Note that an event is not sent any more, and why; the next of its subject has its turn."""
    connection.execute(
        "UPDATE webhook_delivery SET dropped_at = now(), last_error = %s"
        " WHERE (webhook_id, position) = (%s, %s)",
        (why[:500], event.webhook_id, event.position),
    )


def waiting(connection: Connection, municipality: str) -> int:
    """Count what is owed to live subscriptions."""
    row = connection.execute(
        "SELECT count(*) FROM webhook_delivery d JOIN webhook w USING (webhook_id)"
        " WHERE w.municipality = %s AND w.ended_at IS NULL"
        " AND d.delivered_at IS NULL AND d.dropped_at IS NULL",
        (municipality,),
    ).fetchone()
    return int(row[0]) if row else 0
