"""Answer a question from the live index: documents, pages, the words themselves.

Every answer is exact. A sparse question is first held against the chunks that hold one of its rare
terms; its common terms still count in the score. When what the common terms alone could add might
put another chunk among the answers, all chunks are scored.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.documents.embedding.bm25 import term_indices
from include.documents.embedding.engine import CollectionCounts, Vector
from include.documents.model import Hit, SparseVector
from include.documents.quoting import quote
from participation.ledger.connection import Connection

RARE_SHARE = 0.1
"""A term in more chunks than this alone brings no chunk in: at 100,000 chunks the median
question costs 13 ms at this share, 33 ms at 0.3 and 78 ms when every term brings chunks in."""

CANDIDATES = 4
"""Chunks asked for per answer: several often stand on one page, which answers once."""

MATCHES = """
SELECT e.chunk_id, -(e.{column} <#> %(vector)s::{type}) AS score
FROM index_entry e
WHERE e.base_id = %(base_id)s AND e.added_in <= %(index_id)s
  AND (e.removed_in IS NULL OR e.removed_in > %(index_id)s)
  AND {narrow}
ORDER BY e.{column} <#> %(vector)s::{type}, e.chunk_id LIMIT %(limit)s
"""

DESCRIBE = """
SELECT c.chunk_id, c.document_id, coalesce(nullif(d.title, ''), o.uri), o.uri, c.first_page,
       c.last_page, c.content
FROM chunk c JOIN document d USING (document_id)
CROSS JOIN LATERAL (
    SELECT uri FROM document_origin WHERE document_id = c.document_id
    AND municipality = %(municipality)s
    ORDER BY superseded_at IS NOT NULL, origin_id LIMIT 1) o
WHERE c.chunk_id = ANY(%(chunks)s)
"""

SELECTED = """
SELECT array_agg(d.document_id) FROM document d
WHERE (%(kind)s::text IS NULL OR d.kind = %(kind)s)
  AND (%(act_kind)s::text IS NULL OR d.act_kind = %(act_kind)s)
  AND (%(dated_from)s::date IS NULL OR d.dated_on >= %(dated_from)s)
  AND (%(dated_to)s::date IS NULL OR d.dated_on <= %(dated_to)s)
  AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = d.document_id
              AND o.municipality = %(municipality)s
              AND (%(source)s::text IS NULL OR o.source = %(source)s))
"""


WHOLE_BESIDE = """
SELECT other.engine FROM index_version v JOIN index_version other USING (municipality, state)
WHERE v.municipality = %(municipality)s AND v.engine = %(engine)s AND v.state = 'live'
  AND other.engine <> v.engine
  AND NOT EXISTS (
    SELECT FROM index_document d WHERE d.index_id = v.index_id AND d.chunk_count > 0
    AND NOT EXISTS (SELECT FROM index_document o WHERE o.index_id = other.index_id
                    AND (o.document_id, o.text_hash) = (d.document_id, d.text_hash)))
ORDER BY other.live_at DESC
"""


@dataclass(frozen=True, slots=True)
class Filters:
    """What the answering documents must be; None asks nothing. Both dates are included."""

    kind: str | None = None
    act_kind: str | None = None
    dated_from: date | None = None
    dated_to: date | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class _Live:
    index_id: int
    base_id: int
    chunk_count: int
    heaviest: float


@dataclass(frozen=True, slots=True)
class _Match:
    chunk_id: int
    score: float


@dataclass(frozen=True)
class LedgerSearch:
    """Asks the live index of one municipality and one engine."""

    connection: Connection
    municipality: str
    engine: str

    def count_terms(self, terms: Collection[int]) -> CollectionCounts:
        """Count the live chunks, and those that hold each term: what BM25 weighs a question by."""
        live = self._live()
        if live is None:
            return CollectionCounts(0, {})
        return CollectionCounts(live.chunk_count, self._counts(live, terms))

    def whole_beside(self) -> list[str]:
        """Name the other engines whose live index holds every document of this one's, newest first."""
        rows = self.connection.execute(
            WHOLE_BESIDE, {"municipality": self.municipality, "engine": self.engine}
        ).fetchall()
        return [engine for (engine,) in rows]

    def search(
        self,
        question: str,
        vector: Vector,
        top_k: int = 5,
        filters: Filters | None = None,
        *,
        quoted_by: Vector | None = None,
    ) -> list[Hit]:
        """Return the best answers first, each page of a document at most once.

        Args:
            question: As asked; the quotes are chosen by its words.
            vector: Of the question, from the engine.
            top_k: At most so many answers.
            filters: What the documents must be.
            quoted_by: Weighs the words that a quote is chosen by; the vector itself where it is sparse.
        """
        live = self._live()
        if live is None or top_k < 1 or (isinstance(vector, SparseVector) and not vector.indices):
            return []
        documents = self._selected(filters) if filters and filters != Filters() else None
        if documents == []:
            return []
        telling = quoted_by or vector
        weights = (
            dict(zip(telling.indices, telling.values, strict=True))
            if isinstance(telling, SparseVector)
            else dict.fromkeys(term_indices(question), 1.0)
        )
        rare, bound = self._narrowing(live, vector)
        limit = top_k * CANDIDATES
        while True:
            matches = self._scored(live, vector, documents, limit, rare)
            hits = self._hits([match for match in matches if match.score > bound], weights, top_k)
            if len(hits) == top_k:
                return hits
            if bound > 0:
                rare, bound = None, 0.0
            elif len(matches) < limit:
                return hits
            else:
                limit *= CANDIDATES

    def _narrowing(self, live: _Live, vector: Vector) -> tuple[list[int] | None, float]:
        """Choose the terms that bring chunks in; what they leave out scores at most the bound."""
        if not isinstance(vector, SparseVector):
            return None, -math.inf
        counts = self._counts(live, vector.indices)
        rare = [i for i in vector.indices if counts.get(i, 0) <= RARE_SHARE * live.chunk_count]
        common = sum(
            weight
            for index, weight in zip(vector.indices, vector.values, strict=True)
            if index not in set(rare)
        )
        return (rare, common * live.heaviest) if rare else (None, 0.0)

    def _scored(
        self,
        live: _Live,
        vector: Vector,
        documents: list[str] | None,
        limit: int,
        rare: list[int] | None,
    ) -> list[_Match]:
        is_sparse = isinstance(vector, SparseVector)
        narrow = ["true"]
        if documents is not None:
            narrow.append("e.document_id = ANY(%(documents)s)")
        if rare is not None:
            narrow.append("e.terms && %(rare)s::integer[]")
        query = MATCHES.format(
            column="sparse" if is_sparse else "dense",
            type="sparsevec" if is_sparse else "vector",
            narrow=" AND ".join(narrow),
        )
        rows = self.connection.execute(
            query,
            {
                "base_id": live.base_id,
                "index_id": live.index_id,
                "vector": _literal(vector),
                "documents": documents,
                "rare": rare,
                "limit": limit,
            },
        ).fetchall()
        # A sparse score of 0 shares no word with the question: no answer at all.
        return [_Match(*row) for row in rows if not is_sparse or row[1] > 0]

    def _hits(
        self, matches: Sequence[_Match], weights: Mapping[int, float], top_k: int
    ) -> list[Hit]:
        rows = self.connection.execute(
            DESCRIBE,
            {
                "municipality": self.municipality,
                "chunks": [match.chunk_id for match in matches],
            },
        ).fetchall()
        described: dict[int, tuple[Any, ...]] = {row[0]: row[1:] for row in rows}
        hits: dict[tuple[str, int], Hit] = {}
        for match in matches:
            if len(hits) == top_k:
                break
            document_id, title, uri, first, last, content = described[match.chunk_id]
            words = quote(content, weights)
            first, last = self._pages(document_id, first, last, words)
            hit = Hit(document_id, title, uri, first, last, words, match.score)
            hits.setdefault((document_id, first), hit)
        return list(hits.values())

    def _pages(self, document_id: str, first: int, last: int, words: str) -> tuple[int, int]:
        """Narrow a chunk's pages to the one that holds the quote whole, if one does."""
        if first == last:
            return first, last
        rows = self.connection.execute(
            "SELECT page_number, content FROM page WHERE document_id = %s"
            " AND page_number BETWEEN %s AND %s ORDER BY page_number",
            (document_id, first, last),
        ).fetchall()
        for number, content in rows:
            if words in " ".join(content.split()):
                return number, number
        return first, last

    def _selected(self, filters: Filters) -> list[str]:
        row = self.connection.execute(
            SELECTED,
            {
                "municipality": self.municipality,
                "kind": filters.kind,
                "act_kind": filters.act_kind,
                "dated_from": filters.dated_from,
                "dated_to": filters.dated_to,
                "source": filters.source,
            },
        ).fetchone()
        return list(row[0]) if row and row[0] else []

    def _live(self) -> _Live | None:
        row = self.connection.execute(
            "SELECT index_id, base_id, chunk_count, coalesce(heaviest, 0) FROM index_version"
            " WHERE municipality = %s AND engine = %s AND state = 'live'",
            (self.municipality, self.engine),
        ).fetchone()
        return _Live(*row) if row else None

    def _counts(self, live: _Live, terms: Collection[int]) -> dict[int, int]:
        rows = self.connection.execute(
            "SELECT term, sum(chunk_count)::int FROM index_term WHERE base_id = %s"
            " AND term = ANY(%s) AND index_id <= %s GROUP BY term",
            (live.base_id, list(terms), live.index_id),
        ).fetchall()
        return dict(rows)


def _literal(vector: Vector) -> str:
    if isinstance(vector, SparseVector):
        return vector.literal
    return f"[{','.join(repr(value) for value in vector)}]"
