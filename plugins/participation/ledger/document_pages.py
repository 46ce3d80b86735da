"""What the pages about documents show, read from the ledger of one municipality.

A document belongs to every town that has met its bytes; nothing of a document that only another town
has met is ever shown.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from include.documents.report import (
    LISTED,
    LISTED_CHUNKS,
    LISTED_PAGES,
    LISTED_SET_ASIDE,
    Attempt,
    Chunks,
    DocumentList,
    DocumentReport,
    Likeness,
    ListedDocument,
    Origin,
    OtherVersion,
    PageRow,
    ParentChunk,
    Refusal,
    RunReport,
    SetAsideList,
    StepTime,
    Totals,
    UnreadPages,
    name_of,
)
from include.documents.wording import OTHER_ACT
from include.pages import Listing
from participation.ledger.connection import Connection
from participation.ledger.datasets import LedgerDatasets
from participation.ledger.document_outputs import LedgerOutputs

MET = """
WITH met AS (
    SELECT document_id, min(first_seen_at) AS first_seen_at, bool_or(superseded_at IS NULL) AS held,
           (array_agg(uri ORDER BY superseded_at DESC NULLS FIRST, origin_id))[1] AS uri,
           max(size_bytes) AS size_bytes
    FROM document_origin WHERE municipality = %(municipality)s
      AND (%(document_id)s::text IS NULL OR document_id = %(document_id)s)
    GROUP BY document_id),
listed AS (
    SELECT met.*, d.title, d.kind, d.media, d.language, d.act_kind, d.act_number, d.dated_on,
           d.page_count, d.pages_read, d.pages_ocr, d.pages_set_aside, d.character_count, d.text_hash,
           d.parsed_at,
           CASE WHEN NOT met.held THEN 'former'
                WHEN d.parsed_at IS NULL AND EXISTS (
                    SELECT FROM document_set_aside s WHERE s.document_id = met.document_id
                    AND s.municipality = %(municipality)s AND s.resolved_at IS NULL) THEN 'set_aside'
                WHEN d.parsed_at IS NULL THEN 'waits'
                WHEN d.pages_read = 0 AND d.page_count > 0 THEN 'unreadable'
                WHEN EXISTS (SELECT FROM index_version v JOIN index_document i USING (index_id)
                             WHERE v.municipality = %(municipality)s AND v.state = 'live'
                             AND i.document_id = met.document_id AND i.text_hash = d.text_hash)
                THEN 'answers' ELSE 'read' END AS standing
    FROM met LEFT JOIN document d USING (document_id))
"""

COLUMNS = """
SELECT document_id, title, uri, act_kind, act_number, dated_on, page_count, pages_read, pages_ocr,
       pages_set_aside,
       (SELECT k.chunk_count FROM document_chunking k
        WHERE (k.document_id, k.text_hash) = (shown.document_id, shown.text_hash)
        ORDER BY k.chunked_at DESC LIMIT 1),
       ARRAY(SELECT t.label FROM theme t
             WHERE (t.document_id, t.engine) = (shown.document_id, %(engine)s)
             ORDER BY t.weight DESC, t.label LIMIT 5),
       standing, first_seen_at
"""

LIST = f"""
{MET}, shown AS (
    SELECT *, count(*) OVER () AS total FROM listed
    WHERE (%(standing)s::text IS NULL OR standing = %(standing)s)
      AND (%(act_kind)s::text IS NULL OR coalesce(act_kind, %(other)s) = %(act_kind)s)
      AND (%(since)s::timestamptz IS NULL OR parsed_at BETWEEN %(since)s
           AND coalesce(%(until)s::timestamptz, 'infinity'))
    ORDER BY first_seen_at DESC, document_id LIMIT %(limit)s OFFSET %(offset)s)
{COLUMNS}, total FROM shown ORDER BY first_seen_at DESC, document_id
"""

TOTALS = f"""
{MET}
SELECT standing, coalesce(act_kind, %(other)s), count(*), coalesce(sum(page_count), 0)::int,
       coalesce(sum(pages_read), 0)::int, coalesce(sum(pages_ocr), 0)::int,
       coalesce(sum(pages_set_aside), 0)::int
FROM listed GROUP BY 1, 2
"""

PAGE_COUNTS = ("pages_in", "pages_read", "pages_ocr", "pages_set_aside")

ONE = f"""
{MET}, shown AS (SELECT * FROM listed)
{COLUMNS}, kind, media, language, size_bytes, character_count, text_hash FROM shown
"""

VERSIONS = """
SELECT document_id, uri, first_seen_at, superseded_at FROM document_origin
WHERE municipality = %(municipality)s AND document_id <> %(document_id)s
  AND uri IN (SELECT uri FROM document_origin
              WHERE municipality = %(municipality)s AND document_id = %(document_id)s)
ORDER BY first_seen_at DESC, origin_id DESC LIMIT 50
"""

PARENTS = """
SELECT p.position, left(p.content, 400), p.end_character - p.start_character, p.first_page,
       p.last_page, (SELECT count(*) FROM chunk c WHERE c.parent_id = p.chunk_id),
       count(*) OVER ()
FROM chunk p WHERE (p.document_id, p.text_hash, p.chunking_id)
                 = (%(document_id)s, %(text_hash)s, %(chunking_id)s)
  AND p.is_parent ORDER BY p.position LIMIT %(limit)s
"""

LIKENESSES = """
SELECT o.document_id, o.title, m.uri, l.similarity, l.is_older FROM (
    SELECT duplicate_of AS document_id, similarity, true AS is_older FROM document_likeness
    WHERE (municipality, document_id) = (%(municipality)s, %(document_id)s)
    UNION ALL SELECT document_id, similarity, false FROM document_likeness
    WHERE (municipality, duplicate_of) = (%(municipality)s, %(document_id)s)) AS l
JOIN document o USING (document_id)
JOIN LATERAL (SELECT uri FROM document_origin m WHERE m.document_id = o.document_id
              AND m.municipality = %(municipality)s ORDER BY origin_id LIMIT 1) AS m ON true
ORDER BY l.similarity DESC LIMIT 50
"""

REFUSALS = """
SELECT uri, document_id, step, reason, detail, created_at, resolved_at, resolution,
       count(*) OVER ()
FROM document_set_aside WHERE municipality = %(municipality)s
"""

STEPS = """
SELECT 'find', min(first_seen_at), NULL::bigint, '' FROM document_origin
WHERE (municipality, document_id) = (%(municipality)s, %(document_id)s)
UNION ALL SELECT 'parse', parsed_at, NULL, '' FROM document
WHERE document_id = %(document_id)s AND parsed_at IS NOT NULL
UNION ALL SELECT 'chunk', chunked_at, chunk_count, '' FROM document_chunking
WHERE (document_id, text_hash) = (%(document_id)s, %(text_hash)s)
UNION ALL SELECT 'embed', embedded_at, embedding_count, engine
FROM document_embedding WHERE (document_id, text_hash) = (%(document_id)s, %(text_hash)s)
UNION ALL (SELECT DISTINCT ON (v.engine) 'index', v.live_at, v.index_id, v.engine
FROM index_version v JOIN index_document i USING (index_id)
WHERE v.municipality = %(municipality)s AND v.live_at IS NOT NULL
  AND (i.document_id, i.text_hash) = (%(document_id)s, %(text_hash)s)
ORDER BY v.engine, v.live_at)
UNION ALL SELECT 'themes', found_at, theme_count, '' FROM document_theme
WHERE (document_id, text_hash, engine) = (%(document_id)s, %(text_hash)s, %(engine)s)
UNION ALL (SELECT 'dataset', s.created_at, s.version, s.name FROM dataset s
WHERE s.municipality = %(municipality)s AND EXISTS (
    SELECT FROM dataset_example e
    WHERE (e.dataset_id, e.document_id) = (s.dataset_id, %(document_id)s))
ORDER BY s.dataset_id LIMIT 1)
"""

HELD = """document_id IN (SELECT document_id FROM document_origin
    WHERE municipality = %(municipality)s AND superseded_at IS NULL)"""

UNREAD_PAGES = f"""
SELECT p.document_id, d.title,
       (SELECT uri FROM document_origin o WHERE o.document_id = p.document_id
        AND o.municipality = %(municipality)s AND o.superseded_at IS NULL
        ORDER BY origin_id LIMIT 1),
       p.reason, array_agg(p.page_number ORDER BY p.page_number), count(*) OVER (),
       sum(count(*)) OVER ()
FROM page p JOIN document d USING (document_id)
WHERE p.method = 'set_aside' AND p.{HELD}
GROUP BY 1, 2, 4 ORDER BY count(*) DESC, 1, 4 LIMIT %(limit)s
"""

ATTEMPTS = """
SELECT step, task_id, map_index, try_number, item, status, started_at, duration_ms, input_size,
       output_size, error_message, coalesce(docket, '{}'), ended_at
FROM step_metric WHERE (municipality, dag_id, run_id) = (%(municipality)s, %(dag)s, %(run)s)
ORDER BY metric_id LIMIT 1000
"""


@dataclass(frozen=True)
class LedgerDocumentPages:
    """The pages about the documents of one municipality; ``engine`` is the one of the themes."""

    connection: Connection
    municipality: str
    engine: str

    def documents(
        self, act_kind: str | None = None, standing: str | None = None, page: int = 1
    ) -> DocumentList:
        """Return one page of the list, the newest first, under the totals of the town."""
        rows = self._listed(
            act_kind=act_kind, standing=standing, limit=LISTED, offset=(page - 1) * LISTED
        )
        town = LedgerDatasets(self.connection, self.municipality).town_themes(self.engine)
        labels = tuple(theme.label for theme in town)
        return DocumentList(
            self.municipality, self.totals(), rows, act_kind, standing, page, labels
        )

    def totals(self) -> Totals:
        """Count documents by standing and kind of act, and the pages of those held now."""
        standings: Counter[str] = Counter()
        kinds: Counter[str] = Counter()
        pages: Counter[str] = Counter()
        for standing, kind, count, *counted in self.connection.execute(
            TOTALS, self._names(document_id=None)
        ):
            standings[standing] += count
            kinds[kind] += count
            if standing != "former":
                pages.update(dict(zip(PAGE_COUNTS, counted, strict=True)))
        row = self.connection.execute(
            "SELECT count(*) FROM document_set_aside WHERE municipality = %s"
            " AND resolved_at IS NULL AND document_id IS NULL",
            (self.municipality,),
        ).fetchone()
        return Totals(standings, kinds, **pages, files_set_aside=row[0] if row else 0)

    def document(self, document_id: str) -> DocumentReport | None:
        """Return all that is known of a document; None when this town has never met it."""
        names = self._names(document_id=document_id)
        row = self.connection.execute(ONE, names).fetchone()
        if row is None:
            return None
        listed = _listed(row[:14])
        kind, media, language, size_bytes, characters, text_hash = row[14:]
        names["text_hash"] = text_hash
        outputs = LedgerOutputs(self.connection, self.municipality, self.engine)
        pages, unread, mean, lowest = self._pages(document_id)
        return DocumentReport(
            municipality=self.municipality,
            listed=listed,
            kind=kind,
            media=media,
            language=language,
            size_bytes=size_bytes,
            characters=characters,
            output=outputs.of_documents([document_id])[0],
            origins=tuple(Origin(*each) for each in self._origins(document_id)),
            versions=tuple(
                OtherVersion(*each) for each in self.connection.execute(VERSIONS, names)
            ),
            pages=pages,
            unread=unread,
            mean_confidence=mean,
            lowest_confidence=lowest,
            chunks=self._chunks(names),
            themes=tuple(
                self.connection.execute(
                    "SELECT label, weight FROM theme WHERE (document_id, engine) = (%s, %s)"
                    " ORDER BY weight DESC, label",
                    (document_id, self.engine),
                )
            ),
            likenesses=tuple(
                Likeness(each[0], name_of(each[1], each[2]), each[3], each[4])
                for each in self.connection.execute(LIKENESSES, names)
            ),
            refusals=self._refusals(" AND document_id = %(document_id)s", names).items,
            steps=tuple(StepTime(*each) for each in self.connection.execute(STEPS, names)),
        )

    def set_aside(self) -> SetAsideList:
        """Return the documents and pages of the town that are set aside now."""
        documents = self._refusals(
            " AND resolved_at IS NULL AND (document_id IS NULL OR " + HELD + ")", self._names()
        )
        rows = self.connection.execute(UNREAD_PAGES, self._names(limit=LISTED_SET_ASIDE)).fetchall()
        pages = tuple(
            UnreadPages(row[0], name_of(row[1], row[2]), row[3], tuple(row[4])) for row in rows
        )
        return SetAsideList(
            self.municipality,
            documents,
            Listing(pages, rows[0][5] if rows else 0),
            int(rows[0][6]) if rows else 0,
        )

    def run(self, dag_id: str, run_id: str) -> RunReport | None:
        """Return what a run of a document DAG met and did; None when the town knows no such run."""
        rows = self.connection.execute(ATTEMPTS, self._names(dag=dag_id, run=run_id)).fetchall()
        if not rows:
            return None
        attempts = tuple(Attempt(*row[:12]) for row in rows)
        started_at = min(each.started_at for each in attempts)
        is_running = any(each.status == "running" for each in attempts)
        ended_at = None if is_running else max(row[12] for row in rows)
        report = RunReport(self.municipality, dag_id, run_id, attempts, started_at, ended_at)
        if report.is_intake:
            return self._with_documents(report)
        return replace(
            report, names=self._names_of([each["document_id"] for each in report.outputs])
        )

    def _with_documents(self, report: RunReport) -> RunReport:
        names = self._names(run=report.run_id)
        of_run = self._refusals(" AND run_id = %(run)s", names)
        before = self._refusals(
            " AND resolved_at IS NULL AND run_id IS DISTINCT FROM %(run)s"
            " AND (document_id IS NULL OR " + HELD + ")",
            names,
        )
        waiting = self.totals().standings.get("waits", 0)
        return replace(
            report,
            read=self._listed(
                since=report.started_at, until=report.ended_at, limit=LISTED_SET_ASIDE
            ),
            set_aside=of_run,
            open_before=before.total,
            waiting=waiting,
        )

    def _names_of(self, ids: list[str]) -> dict[str, str]:
        rows = self.connection.execute(
            "SELECT DISTINCT ON (document_id) document_id, title, uri FROM document_origin"
            " LEFT JOIN document USING (document_id) WHERE document_origin.municipality = %s"
            " AND document_id = ANY(%s) ORDER BY document_id, origin_id",
            (self.municipality, ids),
        ).fetchall()
        return {document_id: name_of(title, uri) for document_id, title, uri in rows}

    def _listed(self, *, limit: int, offset: int = 0, **asked: Any) -> Listing[ListedDocument]:
        names = {"act_kind": None, "standing": None, "since": None, "until": None, **asked}
        rows = self.connection.execute(
            LIST, self._names(document_id=None, limit=limit, offset=offset, **names)
        ).fetchall()
        return Listing(tuple(_listed(row[:14]) for row in rows), rows[0][14] if rows else 0)

    def _origins(self, document_id: str) -> list[tuple[Any, ...]]:
        return self.connection.execute(
            "SELECT uri, source, first_seen_at, last_seen_at, superseded_at FROM document_origin"
            " WHERE (municipality, document_id) = (%s, %s)"
            " ORDER BY superseded_at DESC NULLS FIRST, origin_id LIMIT 200",
            (self.municipality, document_id),
        ).fetchall()

    def _pages(
        self, document_id: str
    ) -> tuple[Listing[PageRow], dict[str, tuple[int, ...]], float | None, float | None]:
        rows = self.connection.execute(
            "SELECT page_number, method, length(content), confidence, rotation, reason FROM page"
            " WHERE document_id = %s ORDER BY page_number",
            (document_id,),
        ).fetchall()
        unread: dict[str, tuple[int, ...]] = {}
        for number, *_, reason in rows:
            if reason:
                unread[reason] = (*unread.get(reason, ()), number)
        sure = [row[3] for row in rows if row[1] == "ocr" and row[3] is not None]
        listing = Listing(tuple(PageRow(*row) for row in rows[:LISTED_PAGES]), len(rows))
        return listing, unread, sum(sure) / len(sure) if sure else None, min(sure, default=None)

    def _chunks(self, names: Mapping[str, Any]) -> Chunks | None:
        row = self.connection.execute(
            "SELECT chunking_id, chunk_count, chunk_size, chunk_overlap, child_size, child_overlap"
            " FROM document_chunking JOIN chunking USING (chunking_id)"
            " WHERE (document_id, text_hash) = (%(document_id)s, %(text_hash)s)"
            " ORDER BY chunked_at DESC LIMIT 1",
            names,
        ).fetchone()
        if row is None:
            return None
        parents = self.connection.execute(
            PARENTS, {**names, "chunking_id": row[0], "limit": LISTED_CHUNKS}
        ).fetchall()
        listing = Listing(
            tuple(ParentChunk(*each[:6]) for each in parents), parents[0][6] if parents else 0
        )
        return Chunks(listing, *row[1:])

    def _refusals(self, condition: str, names: Mapping[str, Any]) -> Listing[Refusal]:
        rows = self.connection.execute(
            f"{REFUSALS}{condition} ORDER BY resolved_at DESC NULLS FIRST, set_aside_id DESC"
            " LIMIT %(limit)s",
            {**names, "limit": LISTED_SET_ASIDE},
        ).fetchall()
        return Listing(tuple(Refusal(*row[:8]) for row in rows), rows[0][8] if rows else 0)

    def _names(self, **more: Any) -> dict[str, Any]:
        return {
            "municipality": self.municipality,
            "engine": self.engine,
            "other": OTHER_ACT,
            **more,
        }


def _listed(row: tuple[Any, ...]) -> ListedDocument:
    values = list(row)
    values[11] = tuple(values[11])
    return ListedDocument(*values)
