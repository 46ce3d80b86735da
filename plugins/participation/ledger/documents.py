"""Where bytes were met, what was read of them, and what was set aside with its reason."""

import hashlib
import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from include.documents.model import (
    KIND_OF,
    Kept,
    Media,
    Page,
    ParsedDocument,
    Received,
    SetAside,
    Validators,
)
from include.documents.near_duplicates import NearDuplicate
from participation.ledger.connection import Connection
from participation.ledger.locks import hold
from participation.ledger.outbox import DOCUMENT_PARSED, announce

Outcome = Literal["new", "changed", "unchanged"]

OCR_TRIED = frozenset({"unreadable_scan", "untrusted_layer"})
"""Reasons for which a page is set aside only after OCR."""

TO_PARSE = """
SELECT DISTINCT ON (o.document_id) o.document_id, o.size_bytes, o.stored_path,
       NOT EXISTS (SELECT FROM document d WHERE d.document_id = o.document_id),
       o.uri, o.source, o.metadata
FROM document_origin o
WHERE o.municipality = %(municipality)s AND o.superseded_at IS NULL
  AND (NOT EXISTS (SELECT FROM document d WHERE d.document_id = o.document_id
                   AND d.parser_version = %(version)s)
       OR %(ocr)s AND EXISTS (SELECT FROM page p WHERE p.document_id = o.document_id
                              AND p.reason = 'needs_ocr'))
  AND NOT EXISTS (SELECT FROM document_set_aside s WHERE s.document_id = o.document_id
                  AND s.municipality = o.municipality AND s.resolved_at IS NULL
                  AND s.version = %(version)s)
  {one}
ORDER BY o.document_id, o.origin_id
LIMIT %(limit)s
"""

STEM = r"regexp_replace({uri}, '\.[^./]*$', '')"
"""A name without its ending; folder and all."""

HAS_TRANSCRIPT = f"""
SELECT FROM document_origin r JOIN document_origin t
    ON t.municipality = r.municipality AND t.superseded_at IS NULL
    AND {STEM.format(uri="t.uri")} = {STEM.format(uri="r.uri")}
JOIN document d ON d.document_id = t.document_id
WHERE r.municipality = %(municipality)s AND r.document_id = %(document_id)s
  AND r.superseded_at IS NULL AND d.parsed_at IS NOT NULL
  AND d.media IN ('srt', 'vtt', 'transcript')
LIMIT 1
"""

RESOLVE_RECORDINGS = f"""
UPDATE document_set_aside s SET (resolved_at, resolution) = (now(), 'its transcript was read')
WHERE s.municipality = %(municipality)s AND s.reason = 'no_transcript' AND s.resolved_at IS NULL
  AND EXISTS (SELECT FROM document_origin t WHERE t.municipality = s.municipality
              AND t.document_id = %(document_id)s AND t.superseded_at IS NULL
              AND {STEM.format(uri="t.uri")} = {STEM.format(uri="s.uri")})
"""

SAVE_DOCUMENT = """
INSERT INTO document (
    document_id, municipality, kind, media, size_bytes, stored_path, parser_version, text_hash,
    title, language, dated_on, act_kind, act_number, page_count, pages_read, pages_ocr,
    pages_set_aside, character_count, warnings, metadata, parsed_at)
VALUES (
    %(document_id)s, %(municipality)s, %(kind)s, %(media)s, %(size_bytes)s, %(stored_path)s,
    %(parser_version)s, %(text_hash)s, %(title)s, %(language)s, %(dated_on)s, %(act_kind)s,
    %(act_number)s, %(page_count)s, %(pages_read)s, %(pages_ocr)s, %(pages_set_aside)s,
    %(character_count)s, %(warnings)s, %(metadata)s, now())
ON CONFLICT (document_id) DO UPDATE SET (
    kind, media, parser_version, text_hash, title, language, dated_on, act_kind, act_number,
    page_count, pages_read, pages_ocr, pages_set_aside, character_count, warnings, metadata,
    parsed_at)
= (excluded.kind, excluded.media, excluded.parser_version, excluded.text_hash, excluded.title,
   excluded.language, excluded.dated_on, excluded.act_kind, excluded.act_number,
   excluded.page_count, excluded.pages_read, excluded.pages_ocr, excluded.pages_set_aside,
   excluded.character_count, excluded.warnings, excluded.metadata, excluded.parsed_at)
"""


MARK = """
INSERT INTO document_likeness AS l (municipality, document_id, duplicate_of, similarity)
SELECT %(municipality)s, * FROM
    unnest(%(ids)s::text[], %(older)s::text[], %(similarities)s::real[]) AS mark ORDER BY 2
ON CONFLICT (municipality, document_id) DO UPDATE
SET (duplicate_of, similarity) = (excluded.duplicate_of, excluded.similarity)
WHERE (l.duplicate_of, l.similarity) <> (excluded.duplicate_of, excluded.similarity)
"""


@dataclass(frozen=True, slots=True)
class ToParse:
    """Kept bytes that wait for the parser, with one of the names they go by.

    Attributes:
        kept: Where they stand.
        is_unread: No parse of them was ever stored.
        uri: The first of their current names.
        source: Where that one is from.
        metadata: What that source says about them.
    """

    kept: Kept
    is_unread: bool
    uri: str
    source: str
    metadata: dict[str, Any]


def text_hash(texts: Iterable[str]) -> str:
    """Hash the texts of a document's pages; where a page ends counts."""
    digest = hashlib.sha256()
    for text in texts:
        digest.update(text.encode())
        digest.update(b"\0")  # stands in no page: the parser drops it
    return digest.hexdigest()


@dataclass(frozen=True)
class LedgerDocuments:
    """The intake and parsing side of one municipality's ledger."""

    connection: Connection
    municipality: str
    run_id: str | None = None

    def known_origin(self, uri: str, *, fetched: bool) -> Validators | None:
        """Return what was last kept of a source, for a conditional request.

        Args:
            uri: Its name.
            fetched: Whether what the address itself gave is meant, or what lies in a folder; a crawl's
                copy of a page goes by the page's address too.
        """
        row = self.connection.execute(
            "SELECT document_id, etag, last_modified FROM document_origin"
            " WHERE municipality = %s AND uri = %s AND (source = 'url') = %s"
            " AND superseded_at IS NULL",
            (self.municipality, uri, fetched),
        ).fetchone()
        return Validators(*row) if row else None

    def seen_again(self, uris: Sequence[str], *, fetched: bool) -> None:
        """Note that these sources were met as they are on record; what kept them out is over."""
        with self.connection.transaction():
            self.connection.execute(
                "UPDATE document_origin SET last_seen_at = now()"
                " WHERE municipality = %s AND uri = ANY(%s) AND (source = 'url') = %s"
                " AND superseded_at IS NULL",
                (self.municipality, list(uris), fetched),
            )
            self._close("fetch" if fetched else "find", uris, "met again")

    def close_unmet(self, root: str, left_out: Collection[str], unlisted: Collection[str]) -> None:
        """Close what was set aside under a folder and is not there any more, or is no trouble now.

        Args:
            root: The folder, or the one file, that was looked through to its end.
            left_out: What this look set aside again.
            unlisted: What it could not look into; nothing is known of what lies there.
        """
        rows = self.connection.execute(
            "SELECT uri FROM document_set_aside WHERE municipality = %s AND step = 'find'"
            " AND resolved_at IS NULL AND (uri = %s OR starts_with(uri, %s))",
            (self.municipality, root, f"{root}/"),
        ).fetchall()
        inside = tuple(f"{uri}/" for uri in unlisted)
        kept = {*left_out, *unlisted}
        self._close(
            "find",
            [uri for (uri,) in rows if uri not in kept and not uri.startswith(inside)],
            "gone, or no trouble any more",
        )

    def keep_origin(self, received: Received) -> Outcome:
        """Note where bytes were met; a changed file supersedes what the uri held before.

        Bytes that were parsed long ago are announced again: the index has to hear of them.
        """
        fetched = received.source == "url"
        values = {
            "municipality": self.municipality,
            "uri": received.uri,
            "fetched": fetched,
            "document_id": received.kept.document_id,
            "size_bytes": received.kept.size_bytes,
            "stored_path": received.kept.stored_path,
            "etag": received.etag,
            "last_modified": received.last_modified,
            "source": received.source,
            "metadata": json.dumps(received.metadata, allow_nan=False),
        }
        with self.connection.transaction():
            self._lock("origin", received.uri)
            before = self.known_origin(received.uri, fetched=fetched)
            self._close("fetch" if fetched else "find", [received.uri], "taken in")
            if before and before.document_id == received.kept.document_id:
                self.connection.execute(
                    "UPDATE document_origin SET last_seen_at = now(), etag = %(etag)s,"
                    " last_modified = %(last_modified)s WHERE municipality = %(municipality)s"
                    " AND uri = %(uri)s AND (source = 'url') = %(fetched)s"
                    " AND superseded_at IS NULL",
                    values,
                )
                return "unchanged"
            if before:
                self.connection.execute(
                    "UPDATE document_origin SET superseded_at = now()"
                    " WHERE municipality = %(municipality)s AND uri = %(uri)s"
                    " AND (source = 'url') = %(fetched)s AND superseded_at IS NULL",
                    values,
                )
                self._resolve("uri", received.uri, "a newer version of the file")
            self.connection.execute(
                "INSERT INTO document_origin (municipality, uri, document_id, source, size_bytes,"
                " stored_path, etag, last_modified, metadata) VALUES (%(municipality)s, %(uri)s,"
                " %(document_id)s, %(source)s, %(size_bytes)s, %(stored_path)s, %(etag)s,"
                " %(last_modified)s, %(metadata)s)",
                values,
            )
            self._announce_parsed(received.kept.document_id)
            return "changed" if before else "new"

    def to_parse(
        self,
        parser_version: str,
        *,
        ocr: bool,
        document_id: str | None = None,
        limit: int = 10_000,
    ) -> list[ToParse]:
        """List the bytes that lack a parse by this version of the parser.

        Args:
            parser_version: What set aside under it stays set aside.
            ocr: Whether pages that wait for OCR can be read now.
            document_id: Ask for this one alone.
            limit: At most so many.
        """
        one = "AND o.document_id = %(document_id)s" if document_id else ""
        rows = self.connection.execute(
            TO_PARSE.format(one=one),
            {
                "municipality": self.municipality,
                "version": parser_version,
                "ocr": ocr,
                "document_id": document_id,
                "limit": limit,
            },
        ).fetchall()
        return [ToParse(Kept(row[0], row[1], row[2], is_new=False), *row[3:]) for row in rows]

    def met(self, document_id: str) -> ToParse | None:
        """Find the kept bytes of a document that the town has met and that is not out of date."""
        row = self.connection.execute(
            "SELECT o.document_id, o.size_bytes, o.stored_path, NOT EXISTS (SELECT FROM document d"
            " WHERE d.document_id = o.document_id), o.uri, o.source, o.metadata"
            " FROM document_origin o WHERE o.municipality = %s AND o.document_id = %s"
            " AND o.superseded_at IS NULL ORDER BY o.origin_id LIMIT 1",
            (self.municipality, document_id),
        ).fetchone()
        return ToParse(Kept(row[0], row[1], row[2], is_new=False), *row[3:]) if row else None

    def why_set_aside(self, document_id: str, parser_version: str) -> SetAside | None:
        """Return why this version of the parser cannot read a document; None where it could, or may."""
        row = self.connection.execute(
            "SELECT reason, detail FROM document_set_aside WHERE municipality = %s"
            " AND document_id = %s AND step = 'parse' AND version = %s AND resolved_at IS NULL"
            " ORDER BY set_aside_id DESC LIMIT 1",
            (self.municipality, document_id, parser_version),
        ).fetchone()
        return SetAside(*row) if row else None

    def page_counts(self, document_id: str) -> tuple[int, int, int, str | None] | None:
        """Return how many pages were read, set aside, the characters, and the title; None when unread."""
        row = self.connection.execute(
            "SELECT pages_read, pages_set_aside, character_count, title FROM document"
            " WHERE document_id = %s AND parsed_at IS NOT NULL",
            (document_id,),
        ).fetchone()
        return (int(row[0]), int(row[1]), int(row[2]), row[3]) if row else None

    def pages_by_ocr(self, document_id: str, parser_version: str) -> list[Page]:
        """Return the pages of a document that OCR has looked at; of any other none.

        A page that was read while OCR was away is not among them: OCR might read more of it.
        """
        rows = self.connection.execute(
            "SELECT page_number, content, method, confidence, rotation, reason FROM page"
            " WHERE document_id = %s AND parser_version = %s ORDER BY page_number",
            (document_id, parser_version),
        ).fetchall()
        pages = [Page(*row) for row in rows]
        by_ocr = any(page.method == "ocr" or page.reason in OCR_TRIED for page in pages)
        return pages if by_ocr else []

    def add_document(
        self, kept: Kept, media: Media, parsed: ParsedDocument, parser_version: str
    ) -> bool:
        """Store a document, its pages and its event in one transaction; say whether it was new.

        A parse by the same version is stored again only when it leaves fewer pages waiting for OCR,
        so that a late attempt never takes back what a better one read.
        """
        with self.connection.transaction():
            self._lock("document", kept.document_id)
            if not self._is_better(kept.document_id, parsed.pages, parser_version):
                return False
            self.connection.execute(
                SAVE_DOCUMENT, self._values(kept, media, parsed, parser_version)
            )
            self.connection.execute("DELETE FROM page WHERE document_id = %s", (kept.document_id,))
            self._copy_pages(kept.document_id, parsed.pages, parser_version)
            self._resolve("document_id", kept.document_id, "read")
            self._announce_parsed(kept.document_id)
            return True

    def set_aside(
        self, uri: str, document_id: str | None, step: str, why: SetAside, version: str = ""
    ) -> None:
        """Note that a file cannot be used; the same trouble again is the same row."""
        self.connection.execute(
            "INSERT INTO document_set_aside (municipality, uri, document_id, step, reason, detail,"
            " version, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (municipality, uri, step) WHERE resolved_at IS NULL DO UPDATE SET"
            " (document_id, reason, detail, version, run_id) = (excluded.document_id,"
            " excluded.reason, excluded.detail, excluded.version, excluded.run_id)",
            (
                self.municipality,
                uri,
                document_id,
                step,
                why.reason,
                why.detail,
                version,
                self.run_id,
            ),
        )

    def count_failure(self, uri: str, document_id: str, why: SetAside, version: str) -> int:
        """Note that reading a document failed and is to be tried again; say how often it did so far.

        The note is closed: the document waits on.
        """
        with self.connection.transaction():
            self.connection.execute(
                "INSERT INTO document_set_aside (municipality, uri, document_id, step, reason,"
                " detail, version, run_id, resolved_at, resolution)"
                " VALUES (%s, %s, %s, 'parse', %s, %s, %s, %s, now(), 'to be tried again')",
                (
                    self.municipality,
                    uri,
                    document_id,
                    why.reason,
                    why.detail,
                    version,
                    self.run_id,
                ),
            )
            row = self.connection.execute(
                "SELECT count(*) FROM document_set_aside WHERE municipality = %s"
                " AND document_id = %s AND step = 'parse' AND reason = %s AND version = %s",
                (self.municipality, document_id, why.reason, version),
            ).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always gives one row
        return int(row[0])

    def has_transcript(self, document_id: str) -> bool:
        """Say whether a transcript of the same name, in the same folder, was read."""
        row = self.connection.execute(
            HAS_TRANSCRIPT, {"municipality": self.municipality, "document_id": document_id}
        ).fetchone()
        return row is not None

    def resolve_recordings(self, document_id: str) -> int:
        """Let the recordings that a transcript belongs to be looked at again; say how many."""
        return self.connection.execute(
            RESOLVE_RECORDINGS, {"municipality": self.municipality, "document_id": document_id}
        ).rowcount

    def resolve(self, uri: str, resolution: str) -> int:
        """Close what is set aside of a source, so that it is tried again; return how many rows."""
        return self._resolve("uri", uri, resolution)

    def mark_duplicates(self, found: Iterable[NearDuplicate]) -> int:
        """Mark these documents of the town and no others; return how many marks changed."""
        marks = list(found)
        names = {
            "municipality": self.municipality,
            "ids": [each.document_id for each in marks],
            "older": [each.duplicate_of for each in marks],
            "similarities": [each.similarity for each in marks],
        }
        with self.connection.transaction():
            gone = self.connection.execute(
                "DELETE FROM document_likeness WHERE municipality = %(municipality)s"
                " AND document_id <> ALL(%(ids)s::text[])",
                names,
            ).rowcount
            return gone + self.connection.execute(MARK, names).rowcount

    def _is_better(self, document_id: str, pages: Sequence[Page], parser_version: str) -> bool:
        row = self.connection.execute(
            "SELECT parser_version, (SELECT count(*) FROM page p WHERE p.document_id ="
            " d.document_id AND p.reason = 'needs_ocr') FROM document d WHERE document_id = %s",
            (document_id,),
        ).fetchone()
        if row is None or row[0] != parser_version:
            return True
        return sum(page.reason == "needs_ocr" for page in pages) < int(row[1])

    def _values(
        self, kept: Kept, media: Media, parsed: ParsedDocument, parser_version: str
    ) -> dict[str, object]:
        aside = sum(page.method == "set_aside" for page in parsed.pages)
        return {
            "document_id": kept.document_id,
            "municipality": self.municipality,
            "kind": KIND_OF[media],
            "media": media,
            "size_bytes": kept.size_bytes,
            "stored_path": kept.stored_path,
            "parser_version": parser_version,
            "text_hash": text_hash(page.text for page in parsed.pages),
            "title": parsed.title,
            "language": parsed.language,
            "dated_on": parsed.dated_on,
            "act_kind": parsed.act_kind,
            "act_number": parsed.act_number,
            "page_count": len(parsed.pages),
            "pages_read": len(parsed.pages) - aside,
            "pages_ocr": sum(page.method == "ocr" for page in parsed.pages),
            "pages_set_aside": aside,
            "character_count": sum(len(page.text) for page in parsed.pages),
            "warnings": json.dumps(list(parsed.warnings)),
            "metadata": json.dumps(parsed.metadata, allow_nan=False),
        }

    def _copy_pages(self, document_id: str, pages: Sequence[Page], parser_version: str) -> None:
        with self.connection.cursor().copy(
            "COPY page (document_id, page_number, method, content, confidence, rotation, reason,"
            " parser_version) FROM STDIN"
        ) as copy:
            for page in pages:
                copy.write_row(
                    (
                        document_id,
                        page.number,
                        page.method,
                        page.text,
                        page.confidence,
                        page.rotation,
                        page.reason,
                        parser_version,
                    )
                )

    def _announce_parsed(self, document_id: str) -> None:
        row = self.connection.execute(
            "SELECT page_count FROM document WHERE document_id = %s AND parsed_at IS NOT NULL",
            (document_id,),
        ).fetchone()
        if row:
            announce(
                self.connection,
                DOCUMENT_PARSED,
                {
                    "municipality": self.municipality,
                    "document_id": document_id,
                    "page_count": row[0],
                },
            )

    def _resolve(self, column: Literal["uri", "document_id"], value: str, resolution: str) -> int:
        return self.connection.execute(
            "UPDATE document_set_aside SET resolved_at = now(), resolution = %s"
            f" WHERE municipality = %s AND {column} = %s AND resolved_at IS NULL",
            (resolution, self.municipality, value),
        ).rowcount

    def _close(self, step: str, uris: Sequence[str], resolution: str) -> None:
        self.connection.execute(
            "UPDATE document_set_aside SET resolved_at = now(), resolution = %s"
            " WHERE municipality = %s AND step = %s AND uri = ANY(%s) AND resolved_at IS NULL",
            (resolution, self.municipality, step, list(uris)),
        )

    def _lock(self, step: str, item: str) -> None:
        hold(self.connection, f"{step} {item}")
