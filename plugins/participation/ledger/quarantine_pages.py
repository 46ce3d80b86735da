"""What the page about the quarantine shows, read from the ledger of one municipality."""

from psycopg.rows import dict_row

from include.contributions.set_aside import LISTED, Quarantine, SetAside
from participation.ledger.connection import Connection

RAW_CHARACTERS = 2_000

COUNTS = """
SELECT kind, reason, count(*)::int FROM quarantine
WHERE municipality = %s AND resolved_at IS NULL GROUP BY 1, 2 ORDER BY 3 DESC LIMIT 500
"""

PAGE = """
SELECT q.quarantine_id, q.kind, coalesce(q.uri, f.uri) AS uri, q.locator, q.reason, q.detail,
       left(q.raw, %(characters)s) AS raw, q.received_on, q.created_at AS since,
       extract(epoch FROM clock_timestamp() - q.created_at)::float8 AS waited_s,
       q.contribution_id, q.step
FROM quarantine q LEFT JOIN source_file f USING (file_id)
WHERE q.municipality = %(municipality)s AND q.resolved_at IS NULL
  AND (%(kind)s::text IS NULL OR q.kind = %(kind)s)
  AND (%(reason)s::text IS NULL OR q.reason = %(reason)s)
  AND {cursor}
ORDER BY q.quarantine_id {way} LIMIT %(limit)s
"""


def quarantine_page(
    connection: Connection,
    municipality: str,
    *,
    kind: str | None = None,
    reason: str | None = None,
    after: int | None = None,
    before: int | None = None,
) -> Quarantine:
    """Return one page of what is set aside, found by its place and never by counting."""
    backwards = before is not None and after is None
    place = before if backwards else after
    cursor = "true" if place is None else f"q.quarantine_id {'>' if backwards else '<'} %(place)s"
    with connection.cursor(row_factory=dict_row) as reader:
        rows = reader.execute(
            PAGE.format(cursor=cursor, way="ASC" if backwards else "DESC"),
            {
                "municipality": municipality,
                "kind": kind,
                "reason": reason,
                "place": place,
                "limit": LISTED + 1,
                "characters": RAW_CHARACTERS,
            },
        ).fetchall()
    is_more = len(rows) > LISTED
    shown = rows[:LISTED][::-1] if backwards else rows[:LISTED]
    has_before = is_more if backwards else place is not None
    has_after = backwards or is_more
    counted = connection.execute(COUNTS, (municipality,)).fetchall()
    return Quarantine(
        municipality,
        kind,
        reason,
        tuple(SetAside(**row) for row in shown),
        {(each, why): count for each, why, count in counted},
        before=shown[0]["quarantine_id"] if has_before and shown else None,
        after=shown[-1]["quarantine_id"] if has_after and shown else None,
    )
