"""How the ledger stands, as a few figures for a monitoring system; each query reads what is open."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from participation.ledger.connection import Connection
from participation.ledger.overview import OPEN

STATES = ("pending", "review", "refusal_proposed", "quarantined")

WAITING = """
SELECT 'questions_open', count(*)::float8,
       coalesce(extract(epoch FROM now() - min(q.waiting_since)), 0)::float8
FROM review_question q JOIN contribution c USING (contribution_id)
WHERE c.municipality = %(municipality)s AND q.closed_at IS NULL
UNION ALL
SELECT 'webhooks_waiting', count(*)::float8,
       coalesce(extract(epoch FROM now() - min(e.occurred_at)), 0)::float8
FROM webhook_delivery d JOIN webhook w USING (webhook_id) JOIN webhook_event e USING (position)
WHERE w.municipality = %(municipality)s AND w.ended_at IS NULL
  AND d.delivered_at IS NULL AND d.dropped_at IS NULL
UNION ALL
SELECT 'alerts_waiting', count(*)::float8,
       coalesce(extract(epoch FROM now() - min(occurred_at)), 0)::float8
FROM alert WHERE municipality = %(municipality)s AND is_mailed
  AND mailed_at IS NULL AND dropped_at IS NULL
"""

CALLS = """
SELECT conn_id, status, count(*)::float8, coalesce(sum(charged_eur), 0)::float8,
       coalesce(sum(charged_tokens), 0)::float8
FROM provider_call WHERE called_on = (now() AT TIME ZONE 'Europe/Paris')::date
GROUP BY conn_id, status ORDER BY conn_id, status
"""

BREAKERS = """
SELECT conn_id, coalesce(open_until > now(), false) FROM provider_state
UNION SELECT DISTINCT c.conn_id, false FROM provider_call c
WHERE c.called_on = (now() AT TIME ZONE 'Europe/Paris')::date
  AND NOT EXISTS (SELECT FROM provider_state s WHERE s.conn_id = c.conn_id)
ORDER BY conn_id
"""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One figure under its name and labels."""

    name: str
    value: float
    labels: Mapping[str, str]


def gauges(connection: Connection, municipality: str) -> list[Gauge]:
    """Read every gauge; what nothing waits for is a zero, so that an alarm on it ends."""
    return list(_gauges(connection, municipality))


def _gauges(connection: Connection, municipality: str) -> Iterator[Gauge]:
    names = {"municipality": municipality}
    found = {row[0]: row[1:] for row in connection.execute(OPEN, names).fetchall()}
    for state in STATES:
        number, oldest_s = found.get(state, (0, 0.0))
        yield Gauge("open", number, {"state": state})
        yield Gauge("open_oldest_age_s", oldest_s, {"state": state})
    for name, number, oldest_s in connection.execute(WAITING, names).fetchall():
        yield Gauge(name, number, {})
        yield Gauge(f"{name}_oldest_age_s", oldest_s, {})
    cost: dict[str, float] = {}
    for conn_id, status, number, eur, tokens in connection.execute(CALLS).fetchall():
        yield Gauge("model_calls_today", number, {"conn_id": conn_id, "status": status})
        yield Gauge("model_tokens_today", tokens, {"conn_id": conn_id, "status": status})
        cost[conn_id] = cost.get(conn_id, 0.0) + eur
    for conn_id, eur in cost.items():
        yield Gauge("model_cost_today_eur", eur, {"conn_id": conn_id})
    for conn_id, is_open in connection.execute(BREAKERS).fetchall():
        yield Gauge("model_breaker_open", float(is_open), {"conn_id": conn_id})
