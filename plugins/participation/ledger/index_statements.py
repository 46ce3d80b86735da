"""What :mod:`participation.ledger.indexing` asks of the database, step by step of a build."""

PLAN = """
CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
WITH ready AS (
    SELECT m.document_id, m.text_hash, m.chunking_id, m.embedding_count
    FROM document_embedding m JOIN document d USING (document_id, text_hash)
    WHERE m.engine = %(engine)s AND m.chunking_id = %(chunking_id)s),
held AS (SELECT * FROM index_document WHERE index_id = %(live)s),
answering AS (
    SELECT DISTINCT document_id FROM (
        SELECT DISTINCT ON (o.uri) o.document_id FROM document_origin o
        WHERE o.municipality = %(municipality)s
          AND (EXISTS (SELECT FROM ready r WHERE r.document_id = o.document_id)
               OR EXISTS (SELECT FROM held h WHERE h.document_id = o.document_id))
        ORDER BY o.uri, o.origin_id DESC) AS newest)
SELECT a.document_id, coalesce(r.text_hash, h.text_hash) AS text_hash,
       coalesce(r.chunking_id, h.chunking_id) AS chunking_id,
       coalesce(r.embedding_count, h.chunk_count) AS chunk_count,
       (h.text_hash, h.chunking_id) IS DISTINCT FROM
       (coalesce(r.text_hash, h.text_hash), coalesce(r.chunking_id, h.chunking_id)) AS is_new
FROM answering a LEFT JOIN ready r USING (document_id) LEFT JOIN held h USING (document_id)
"""

DIFFERING = """
FROM wanted w FULL JOIN
    (SELECT * FROM index_document WHERE index_id = %(index_id)s) p USING (document_id)
WHERE (w.text_hash, w.chunking_id) IS DISTINCT FROM (p.text_hash, p.chunking_id)
"""
DIFFERS = f"SELECT EXISTS (SELECT {DIFFERING})"
COUNT_DIFFERENCES = f"SELECT count(*) {DIFFERING}"

NEXT_DOCUMENTS = """
SELECT array_agg(document_id) FROM (
    SELECT document_id, sum(chunk_count) OVER (ORDER BY document_id) - chunk_count AS before
    FROM index_document WHERE index_id = %(index_id)s AND NOT is_filled) AS open
WHERE before < %(limit)s
"""

FILL = """
INSERT INTO index_entry (base_id, added_in, chunk_id, document_id, sparse, terms, dense)
SELECT %(base_id)s, %(index_id)s, c.chunk_id, c.document_id, e.sparse, e.terms, e.dense
FROM index_document p
JOIN chunk c ON (c.document_id, c.text_hash, c.chunking_id)
              = (p.document_id, p.text_hash, p.chunking_id) AND NOT c.is_parent
JOIN embedding e ON (e.engine, e.content_hash) = (%(engine)s, c.content_hash)
WHERE p.index_id = %(index_id)s AND p.document_id = ANY(%(documents)s)
ORDER BY c.chunk_id
"""

RETIRE = """
UPDATE index_entry e SET removed_in = %(index_id)s
WHERE e.base_id = %(base_id)s AND e.removed_in IS NULL AND e.added_in < %(index_id)s
  AND e.document_id IN (
    SELECT document_id FROM index_document l WHERE l.index_id = %(live)s
    AND NOT EXISTS (SELECT FROM index_document p WHERE p.index_id = %(index_id)s
                    AND p.document_id = l.document_id AND NOT p.is_new))
"""

COUNT_TERMS = """
INSERT INTO index_term (base_id, index_id, term, chunk_count)
SELECT %(base_id)s, %(index_id)s, term, sum(change) FROM (
    SELECT unnest(terms) AS term, 1 AS change FROM index_entry
    WHERE base_id = %(base_id)s AND added_in = %(index_id)s
    UNION ALL
    SELECT unnest(terms), -1 FROM index_entry
    WHERE base_id = %(base_id)s AND removed_in = %(index_id)s) AS changes
GROUP BY term HAVING sum(change) <> 0
"""

VISIBLE = "added_in <= %(index_id)s AND (removed_in IS NULL OR removed_in > %(index_id)s)"

MISCOUNTED = f"""
SELECT coalesce(p.document_id, e.document_id), coalesce(p.chunk_count, 0), coalesce(e.entries, 0)
FROM (SELECT * FROM index_document WHERE index_id = %(index_id)s) p FULL JOIN
     (SELECT document_id, count(*)::int AS entries FROM index_entry
      WHERE base_id = %(base_id)s AND {VISIBLE} GROUP BY document_id) e USING (document_id)
WHERE coalesce(p.chunk_count, 0) <> coalesce(e.entries, 0)
ORDER BY 1 LIMIT 5
"""

DESCRIBE = """
UPDATE index_version v SET (document_count, chunk_count) =
    (SELECT count(*), coalesce(sum(chunk_count), 0) FROM index_document
     WHERE index_id = v.index_id),
  heaviest = greatest(
    (SELECT heaviest FROM index_version WHERE index_id = %(live)s),
    (SELECT max(m.heaviest) FROM index_entry e JOIN chunk c USING (chunk_id)
     JOIN embedding m ON (m.engine, m.content_hash) = (v.engine, c.content_hash)
     WHERE e.base_id = v.base_id AND e.added_in = v.index_id))
WHERE v.index_id = %(index_id)s RETURNING document_count, chunk_count
"""

FOLD_TERMS = """
WITH old AS (DELETE FROM index_term WHERE base_id = %(base_id)s AND index_id > base_id
             AND index_id <= %(floor)s RETURNING term, chunk_count)
INSERT INTO index_term AS t (base_id, index_id, term, chunk_count)
SELECT %(base_id)s, %(base_id)s, term, sum(chunk_count) FROM old GROUP BY term
ON CONFLICT (base_id, term, index_id)
DO UPDATE SET chunk_count = t.chunk_count + excluded.chunk_count
"""
