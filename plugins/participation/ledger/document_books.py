"""The books of the document workflow: documents and pages in, and where each of them stands."""

from dataclasses import asdict, dataclass
from datetime import datetime

from include.errors import ReconciliationError
from participation.ledger.connection import Connection
from participation.ledger.documents import LedgerDocuments

TOTALS = """
WITH met AS (SELECT DISTINCT document_id FROM document_origin
             WHERE municipality = %(municipality)s AND superseded_at IS NULL)
SELECT count(*), count(d.parsed_at),
       count(*) FILTER (WHERE d.parsed_at IS NULL AND EXISTS (
           SELECT FROM document_set_aside s WHERE s.document_id = met.document_id
           AND s.municipality = %(municipality)s AND s.resolved_at IS NULL
           AND s.version = %(version)s)),
       coalesce(sum(d.page_count), 0), coalesce(sum(d.pages_read), 0),
       coalesce(sum(d.pages_ocr), 0), coalesce(sum(d.pages_set_aside), 0)
FROM met LEFT JOIN document d USING (document_id)
"""

STORED_PAGES = """
SELECT count(*), count(*) FILTER (WHERE method <> 'set_aside'),
       count(*) FILTER (WHERE method = 'set_aside')
FROM page WHERE document_id IN (
    SELECT document_id FROM document_origin
    WHERE municipality = %(municipality)s AND superseded_at IS NULL)
"""

SET_ASIDE = """
SELECT s.uri, s.reason, s.detail, count(*) OVER () FROM document_set_aside s
WHERE s.municipality = %(municipality)s AND s.resolved_at IS NULL
ORDER BY s.set_aside_id DESC LIMIT %(limit)s
"""

INTAKE = """
WITH seen AS (
    SELECT DISTINCT document_id FROM document_origin
    WHERE municipality = %(municipality)s AND superseded_at IS NULL AND last_seen_at >= %(since)s),
live AS (
    SELECT i.document_id, i.text_hash FROM index_version v JOIN index_document i USING (index_id)
    WHERE v.municipality = %(municipality)s AND v.engine = %(engine)s AND v.state = 'live')
SELECT count(d.document_id)::int, coalesce(sum(d.page_count), 0)::int,
       coalesce(sum(d.pages_read), 0)::int, coalesce(sum(d.pages_ocr), 0)::int,
       coalesce(sum(d.pages_set_aside), 0)::int,
       coalesce(sum((SELECT count(*) FROM chunk c JOIN live l USING (document_id, text_hash)
                     WHERE c.document_id = d.document_id AND NOT c.is_parent
                     AND c.chunking_id = (SELECT chunking_id FROM index_version v
                         WHERE v.municipality = %(municipality)s AND v.engine = %(engine)s
                         AND v.state = 'live'))), 0)::int,
       (SELECT count(*) FROM document_set_aside s
        WHERE s.municipality = %(municipality)s AND s.resolved_at IS NULL
        AND (s.run_id = %(run_id)s OR s.document_id IN (SELECT document_id FROM seen)))::int,
       count(*) FILTER (WHERE d.document_id IS NOT NULL AND NOT EXISTS (
           SELECT FROM live l WHERE (l.document_id, l.text_hash)
                                  = (d.document_id, d.text_hash)))::int,
       count(*) FILTER (WHERE d.parsed_at IS NULL AND NOT EXISTS (
           SELECT FROM document_set_aside s WHERE s.document_id = seen.document_id
           AND s.municipality = %(municipality)s AND s.resolved_at IS NULL))::int,
       (SELECT count(*) - count(DISTINCT o.document_id) FROM document_origin o
        WHERE o.municipality = %(municipality)s AND o.superseded_at IS NULL
        AND o.last_seen_at >= %(since)s)::int
FROM seen LEFT JOIN document d USING (document_id)
"""


@dataclass(frozen=True, slots=True)
class Books:
    """Distinct documents that the sources hold now, and their pages."""

    documents: int
    parsed: int
    set_aside: int
    waiting: int
    pages_in: int
    pages_read: int
    pages_ocr: int
    pages_set_aside: int

    def as_dict(self) -> dict[str, int]:
        """For a docket."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class IntakeFigures:
    """What one look at the sources met.

    ``unanswered`` are read and not yet in the live index; ``documents_waiting`` are kept, and neither
    read nor set aside. ``document_duplicates`` are places beyond the first where the same bytes lie.
    """

    documents: int
    pages_in: int
    pages_read: int
    pages_ocr: int
    pages_set_aside: int
    chunks: int
    documents_set_aside: int
    unanswered: int
    documents_waiting: int
    document_duplicates: int


def balance(connection: Connection, municipality: str, parser_version: str) -> Books:
    """Count documents and pages from both sides.

    Raises:
        ReconciliationError: A document is nowhere, or pages read and set aside are not all pages.
    """
    names = {"municipality": municipality, "version": parser_version}
    with connection.transaction():
        # One look at everything: a run beside this one must not shift a document between the counts.
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        total = connection.execute(TOTALS, names).fetchone()
        stored = connection.execute(STORED_PAGES, names).fetchone()
        waiting = LedgerDocuments(connection, municipality).to_parse(
            parser_version, ocr=False, limit=1_000_000
        )
    assert total is not None  # noqa: S101 - an aggregate always gives one row
    unread = sum(each.is_unread for each in waiting)
    books = Books(total[0], total[1], total[2], unread, *map(int, total[3:]))
    if books.documents != books.parsed + books.set_aside + books.waiting:
        raise ReconciliationError(f"documents do not add up: {books.as_dict()}")
    if stored != (books.pages_in, books.pages_read, books.pages_set_aside):
        raise ReconciliationError(
            f"pages do not add up: the ledger holds {stored} (all, read, set aside), "
            f"the documents say {books.as_dict()}"
        )
    return books


def set_aside(
    connection: Connection, municipality: str, limit: int = 20
) -> tuple[int, list[tuple[str, str, str]]]:
    """Count what is set aside, and give the newest of it: name, reason, and what to do about it."""
    rows = connection.execute(SET_ASIDE, {"municipality": municipality, "limit": limit}).fetchall()
    return (rows[0][3] if rows else 0), [(row[0], row[1], row[2]) for row in rows]


def of_intake(
    connection: Connection, municipality: str, engine: str, since: datetime, run_id: str
) -> IntakeFigures:
    """Count what a run of the intake met since a moment of the database's clock."""
    row = connection.execute(
        INTAKE,
        {"municipality": municipality, "engine": engine, "since": since, "run_id": run_id},
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always gives one row
    return IntakeFigures(*row)
