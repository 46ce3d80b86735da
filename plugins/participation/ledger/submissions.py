"""Contributions that came by the REST API: stored once, each with the code of its first receipt."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg

from include.contributions.model import Contribution, Record, content_hash, declared
from include.contributions.receipts import new_code
from participation.ledger.connection import Connection

EMITTER = "api"

ATTEMPTS = 4
"""A load that meets the same texts in another order may win; the loser begins again."""

ADD = """
INSERT INTO contribution (
    contribution_id, municipality, source, external_id, constat_factuel, idees_ameliorations,
    declared_category, received_on, content_hash, input_hash, metadata)
SELECT contribution_id, %(municipality)s, source, coalesce(external_id, left(content_hash, 16)),
       constat_factuel, idees_ameliorations, declared_category,
       coalesce(submitted_on, (now() AT TIME ZONE 'Europe/Paris')::date),
       content_hash, input_hash, jsonb_strip_nulls(jsonb_build_object(
           'submitted_by', %(user)s::text, 'traceparent', %(traceparent)s::text))
FROM (SELECT DISTINCT ON (content_hash) * FROM jsonb_to_recordset(%(rows)s) AS r(
          position integer, contribution_id text, source text, external_id text,
          constat_factuel text, idees_ameliorations text, declared_category text,
          submitted_on date, content_hash text, input_hash text)
      ORDER BY content_hash, position) AS first
WHERE NOT EXISTS (SELECT FROM contribution c WHERE c.municipality = %(municipality)s
                  AND c.content_hash = first.content_hash)
ORDER BY content_hash
ON CONFLICT DO NOTHING
RETURNING contribution_id
"""
"""Everybody inserts in the order of the hashes, so that nobody waits in a circle. The same text from two
at once meets itself under either key: its hash, or the id made from it."""

KNOWN = """
WITH sent AS (
    SELECT r.*, c.contribution_id FROM jsonb_to_recordset(%(rows)s) AS r(
        position integer, code text, locator text, external_id text, declared_raw text,
        submitted_on date, content_hash text)
    JOIN contribution c ON c.municipality = %(municipality)s AND c.content_hash = r.content_hash)
"""

GIVE_CODES = f"""
{KNOWN}
INSERT INTO receipt_code (contribution_id, code)
SELECT DISTINCT ON (contribution_id) contribution_id, code FROM sent
WHERE NOT EXISTS (SELECT FROM receipt_code k WHERE k.contribution_id = sent.contribution_id)
ORDER BY contribution_id, position ON CONFLICT (contribution_id) DO NOTHING
"""

ADD_RECEIPTS = f"""
{KNOWN}
INSERT INTO receipt (contribution_id, locator, external_id, declared_category, submitted_on)
SELECT contribution_id, locator, external_id, declared_raw, submitted_on FROM sent
ORDER BY contribution_id, locator, coalesce(external_id, ''), position ON CONFLICT DO NOTHING
"""

ANSWER = f"""
{KNOWN}
SELECT position, contribution_id, k.code FROM sent JOIN receipt_code k USING (contribution_id)
ORDER BY position
"""

STANDING = """
SELECT c.contribution_id, coalesce(k.code, %(code)s), c.source, c.state, c.category,
       c.second_category, c.received_on, c.received_at, c.state_changed_at, v.output, v.engine,
       v.rubric_version, s.output, d.outcome, d.reason, d.statement, d.decided_at
FROM contribution c LEFT JOIN receipt_code k USING (contribution_id)
LEFT JOIN step_result v ON (v.item_id, v.step, v.input_hash, v.rubric_version)
    = (c.contribution_id, 'validate', c.input_hash, c.state_rubric)
LEFT JOIN step_result s ON (s.item_id, s.step, s.input_hash, s.rubric_version)
    = (c.contribution_id, 'classify', c.input_hash, c.state_rubric)
LEFT JOIN LATERAL (SELECT * FROM decision d WHERE d.contribution_id = c.contribution_id
                   ORDER BY decision_id DESC LIMIT 1) d ON true
WHERE c.municipality = %(municipality)s AND c.contribution_id = (
    SELECT contribution_id FROM receipt_code WHERE code = %(code)s
    UNION ALL SELECT contribution_id FROM decision WHERE receipt_code = %(code)s)
"""


@dataclass(frozen=True, slots=True)
class Received:
    """What became of one entry of a submission: its place, its code, whether the text is new."""

    position: int
    contribution_id: str
    code: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class Standing:
    """How a contribution stands: what was judged, by whom, and what a person said."""

    contribution_id: str
    code: str
    source: str
    state: str
    category: str | None
    second_category: str | None
    received_on: date
    received_at: datetime
    state_changed_at: datetime
    validation: dict[str, Any] | None
    engine: str | None
    rubric_version: str | None
    classification: dict[str, Any] | None
    outcome: str | None
    reason: str | None
    statement: str | None
    decided_at: datetime | None


def receive(
    connection: Connection,
    municipality: str,
    records: Sequence[Record],
    user: str,
    traceparent: str | None = None,
) -> list[Received]:
    """Store every record in one transaction and return the receipts, in the order given.

    The same text, now or at any time before, is one contribution and has one code. New texts are
    announced as those of any other service: the watcher of the outbox wakes their analysis. New ones
    keep the place in the trace that they came by; the steps that judge them go on there.

    Raises:
        psycopg.Error: Nothing was stored.
    """
    rows = [_row(position, record, municipality) for position, record in enumerate(records)]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _receive(connection, municipality, rows, user, traceparent)
        except psycopg.errors.DeadlockDetected:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError  # the last attempt returned or raised


def standing(connection: Connection, municipality: str, code: str) -> Standing | None:
    """Find a contribution by its receipt code, or by the code of a decision's statement."""
    row = connection.execute(STANDING, {"code": code, "municipality": municipality}).fetchone()
    return Standing(*row) if row else None


def _receive(
    connection: Connection,
    municipality: str,
    rows: list[dict[str, Any]],
    user: str,
    traceparent: str | None,
) -> list[Received]:
    names = {
        "municipality": municipality,
        "user": user,
        "traceparent": traceparent,
        "rows": json.dumps(rows, allow_nan=False),
        "emitter": EMITTER,
    }
    with connection.transaction():
        connection.execute("SELECT set_config('participation.emitter', %(emitter)s, true)", names)
        added = {row[0] for row in connection.execute(ADD, names).fetchall()}
        if added:
            # Our hashes and receipts are kept; the announcement is left to the watcher.
            connection.execute(
                "UPDATE outbox SET emitter = NULL"
                " WHERE xid = pg_current_xact_id() AND emitter = %(emitter)s",
                names,
            )
        connection.execute(GIVE_CODES, names)
        connection.execute(ADD_RECEIPTS, names)
        found = connection.execute(ANSWER, names).fetchall()
        if len(found) != len(rows):
            raise psycopg.errors.DeadlockDetected("a text that was just there is not: once more")
    met: set[str] = set()
    received = []
    for position, contribution_id, code in found:
        is_new = contribution_id in added and contribution_id not in met
        met.add(contribution_id)
        received.append(Received(position, contribution_id, code, is_new))
    return received


def _row(position: int, record: Record, municipality: str) -> dict[str, Any]:
    digest = content_hash(record.constat_factuel, record.idees_ameliorations)
    category = declared(record.declared_category)
    judged = Contribution("", record.constat_factuel, record.idees_ameliorations, category)
    # Nobody but the text itself chooses this id, so two texts never meet in one.
    own = hashlib.sha256(f"{municipality}\x1f{digest}".encode()).hexdigest()[:24]
    return {
        "position": position,
        "contribution_id": f"{record.source}:{own}",
        "source": record.source,
        "external_id": record.external_id,
        "constat_factuel": record.constat_factuel,
        "idees_ameliorations": record.idees_ameliorations,
        "declared_category": category,
        "declared_raw": record.declared_category,
        "submitted_on": record.submitted_on.isoformat() if record.submitted_on else None,
        "content_hash": digest,
        "input_hash": judged.input_hash,
        "code": new_code(),
        "locator": f"api/{record.source}",
    }
