"""Store what a source holds: one transaction a file, the same text once, nothing lost on the way."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from include.contributions.model import (
    BrokenRecord,
    Contribution,
    Record,
    content_hash,
    declared,
)
from include.errors import ReconciliationError
from include.ports import LoadCounts, SourceFile
from participation.ledger.connection import Connection
from participation.ledger.locks import PLACE_LOCK, hold

EMITTER = "load_contributions"
"""Outbox rows of our own loads carry this name; ``load_contributions`` announces them, nobody else."""

NEWER_VERSION = "another version of the file"
OTHER_NAME = "the same bytes under another name"
"""Why a broken record was closed by a load; one that comes back opens it again."""

KEEP_RECORDS = """
INSERT INTO quarantine (municipality, kind, file_id, uri, locator, reason, detail, raw, received_on)
SELECT %(municipality)s, 'record', %(file_id)s, %(uri)s, i.locator, i.reason, i.detail, i.raw,
       coalesce((SELECT min(q.received_on) FROM quarantine q JOIN source_file f USING (file_id)
                 WHERE f.municipality = %(municipality)s AND f.sha256 = %(sha256)s
                   AND q.locator = i.locator),
                (now() AT TIME ZONE 'Europe/Paris')::date)
FROM incoming i WHERE i.broken ORDER BY i.position
"""

CLOSE_RECORDS_UNDER_OTHER_NAMES = """
UPDATE quarantine q SET resolved_at = now(), resolution = %(other_name)s
FROM source_file f JOIN incoming i ON i.broken
WHERE f.municipality = %(municipality)s AND f.sha256 = %(sha256)s AND f.file_id <> %(file_id)s
  AND q.file_id = f.file_id AND q.locator = i.locator AND q.resolved_at IS NULL
"""

OTHER_VERSIONS = """
CREATE TEMPORARY TABLE other_version ON COMMIT DROP AS
SELECT met.file_id AS met_id, other.file_id AS other_id, held.texts, held.kept
FROM load_file l JOIN source_file met USING (file_id)
JOIN source_file other ON other.municipality = met.municipality
     AND md5(other.uri) = md5(met.uri) AND other.uri = met.uri AND other.file_id <> met.file_id
CROSS JOIN LATERAL (
    SELECT count(*) AS texts, count(*) FILTER (WHERE EXISTS (
        SELECT FROM receipt n
        WHERE n.contribution_id = r.contribution_id AND n.file_id = met.file_id)) AS kept
    FROM (SELECT DISTINCT contribution_id FROM receipt WHERE file_id = other.file_id) AS r) AS held
WHERE l.load_id = %(load_id)s AND EXISTS (
    SELECT FROM quarantine q WHERE q.file_id = other.file_id AND q.resolved_at IS NULL)
"""
"""Versions of a load's files that still have open records, and how many of their texts were met again."""

CLOSE_RECORDS_OF_OTHER_VERSIONS = """
UPDATE quarantine q SET resolved_at = now(), resolution = %(newer_version)s
FROM other_version v
WHERE q.file_id = v.other_id AND q.resolved_at IS NULL AND v.texts > 0 AND v.kept * 2 >= v.texts
"""
"""A file that was worked on keeps at least half of its texts; a new export under an old name does not."""

CLOSE_MENDED_RECORDS = """
UPDATE quarantine q SET resolved_at = now(), resolution = %(newer_version)s
FROM other_version v JOIN receipt n ON n.file_id = v.met_id
WHERE q.file_id = v.other_id AND q.resolved_at IS NULL
  AND (n.external_id = substring(q.raw FROM '(?:^|\\n)id: ([^\\n]+)')
       OR v.texts = 0 AND n.locator = q.locator)
"""
"""Met again as a usable record: by its id, or by its place in a version that held nothing else."""

OPEN_RECORDS_OF_THIS_LOAD = """
UPDATE quarantine q SET resolved_at = NULL, resolution = NULL
FROM (SELECT DISTINCT ON (f.sha256, c.locator) c.quarantine_id
      FROM load_file l JOIN source_file f USING (file_id) JOIN quarantine c USING (file_id)
      WHERE l.load_id = %(load_id)s AND c.resolution IN (%(newer_version)s, %(other_name)s)
        AND NOT EXISTS (SELECT FROM source_file s JOIN quarantine t ON t.file_id = s.file_id
                        WHERE (s.municipality, s.sha256) = (f.municipality, f.sha256)
                          AND t.locator = c.locator AND t.resolved_at IS NULL)
      ORDER BY f.sha256, c.locator, c.quarantine_id DESC) AS back
WHERE q.quarantine_id = back.quarantine_id
"""

INCOMING = """
CREATE TEMPORARY TABLE incoming (
    position bigint, broken boolean, locator text, source text, external_id text,
    constat_factuel text, idees_ameliorations text, declared_raw text, declared_category text,
    submitted_on date, content_hash text, input_hash text, metadata jsonb,
    reason text, detail text, raw text
) ON COMMIT DROP
"""

ADD_CONTRIBUTIONS = """
INSERT INTO contribution (
    contribution_id, municipality, source, external_id, constat_factuel, idees_ameliorations,
    declared_category, received_on, content_hash, input_hash, metadata)
SELECT left(source, 200) || ':' || external_id || {suffix}, %(municipality)s, source, external_id,
       constat_factuel, idees_ameliorations, declared_category,
       coalesce(submitted_on, (now() AT TIME ZONE 'Europe/Paris')::date),
       content_hash, input_hash, metadata
FROM (SELECT DISTINCT ON (content_hash) * FROM incoming WHERE NOT broken
      ORDER BY content_hash, position) AS first
WHERE NOT EXISTS (SELECT FROM contribution c WHERE c.municipality = %(municipality)s
                  AND c.content_hash = first.content_hash)
ORDER BY content_hash
ON CONFLICT DO NOTHING
RETURNING received_on
"""

ID_SUFFIXES = (
    "''",
    "'~' || content_hash || '~' || left(%(municipality)s, 20)",
    "'~' || gen_random_uuid()",
)
"""An id that another text or town already has keeps both: the newcomer's is its own with something
appended. Whoever writes ids may have taken the second one on purpose; the third cannot be foreseen."""


@dataclass(frozen=True)
class LedgerLoading:
    """The :class:`include.ports.LoadingStore` of one municipality."""

    connection: Connection
    municipality: str
    run_id: str | None = None

    def begin_load(self, root: str) -> int:
        """Open a load and return its id."""
        row = self.connection.execute(
            "INSERT INTO load (municipality, root, run_id) VALUES (%s, %s, %s) RETURNING load_id",
            (self.municipality, root, self.run_id),
        ).fetchone()
        assert row is not None  # noqa: S101 - an INSERT without a WHERE returns its row
        return int(row[0])

    def known_files(self, uris: Sequence[str]) -> dict[tuple[str, str], int]:
        """Map (uri, sha256) of the files already loaded to their file id."""
        rows = self.connection.execute(
            "SELECT f.uri, f.sha256, f.file_id FROM source_file f"
            " JOIN (SELECT DISTINCT unnest(%s::text[]) AS uri) AS asked"
            " ON md5(f.uri) = md5(asked.uri) AND f.uri = asked.uri WHERE f.municipality = %s",
            (list(uris), self.municipality),
        ).fetchall()
        return {(uri, sha256): file_id for uri, sha256, file_id in rows}

    def link_file(self, load_id: int, file_id: int) -> None:
        """Note that a load met a file it already knows."""
        self.connection.execute(
            "INSERT INTO load_file (load_id, file_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
            (load_id, file_id),
        )

    def add_file(
        self, load_id: int, file: SourceFile, records: Iterable[Record | BrokenRecord]
    ) -> LoadCounts:
        """Store one file's entries in one transaction; all of it or nothing.

        Another load that stores the same bytes at the same moment is waited for, and then linked.

        Raises:
            ReconciliationError: Not every entry found its place; nothing of the file was stored.
        """
        with self.connection.transaction():
            self.connection.execute(
                "SELECT set_config('participation.emitter', %s, true)", (EMITTER,)
            )
            row = self.connection.execute(
                "INSERT INTO source_file (municipality, uri, sha256, size_bytes, form, encoding,"
                " record_count, broken_count) VALUES (%s, %s, %s, %s, %s, %s, 0, 0)"
                " ON CONFLICT DO NOTHING RETURNING file_id",
                (
                    self.municipality,
                    file.uri,
                    file.sha256,
                    file.size_bytes,
                    file.form,
                    file.encoding,
                ),
            ).fetchone()
            if row is None:
                known = self.known_files([file.uri])
                self.link_file(load_id, known[file.uri, file.sha256])
                return LoadCounts(records=0, broken=0, added=0)
            file_id = int(row[0])
            self.link_file(load_id, file_id)
            # Two loads that meet in the same texts take turns instead of each other's locks.
            hold(self.connection, PLACE_LOCK)
            self._copy(records)
            return self._place(file_id, file)

    def end_load(self, load_id: int, waiting: Sequence[str]) -> None:
        """Close a load; ``waiting`` names the files that were not whole yet.

        What the load met is what counts now: the broken records of other versions of its files are
        closed, and those of a version that came back are open again, the same bytes once. A file
        with other content under a name used before is no version of it: what nobody mended in the
        one before stays open.
        """
        names = {"load_id": load_id, "newer_version": NEWER_VERSION, "other_name": OTHER_NAME}
        with self.connection.transaction():
            self.connection.execute(OTHER_VERSIONS, names)
            self.connection.execute(CLOSE_RECORDS_OF_OTHER_VERSIONS, names)
            self.connection.execute(CLOSE_MENDED_RECORDS, names)
            self.connection.execute(OPEN_RECORDS_OF_THIS_LOAD, names)
            self.connection.execute(
                "UPDATE load SET ended_at = now(), waiting = %s WHERE load_id = %s",
                (json.dumps(list(waiting)), load_id),
            )

    def submit(self, contribution: Contribution, emitter: str) -> str:
        """Store one text that came without a file and return the id it has in the ledger.

        The same text twice keeps its first id and gains a receipt.
        """
        with self.connection.transaction():
            self.connection.execute(
                "SELECT set_config('participation.emitter', %s, true)", (emitter,)
            )
            digest = content_hash(contribution.constat_factuel, contribution.idees_ameliorations)
            source, _, external_id = contribution.contribution_id.partition(":")
            self.connection.execute(
                "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
                " constat_factuel, idees_ameliorations, declared_category, received_on,"
                " content_hash, input_hash) VALUES (%s, %s, %s, %s, %s, %s, %s,"
                " (now() AT TIME ZONE 'Europe/Paris')::date, %s, %s) ON CONFLICT DO NOTHING",
                (
                    contribution.contribution_id,
                    self.municipality,
                    source,
                    external_id,
                    contribution.constat_factuel,
                    contribution.idees_ameliorations,
                    contribution.category,
                    digest,
                    contribution.input_hash,
                ),
            )
            # The caller judges the text itself: nobody else needs to be told.
            self.connection.execute(
                "UPDATE outbox SET announced_at = now()"
                " WHERE xid = pg_current_xact_id() AND emitter = %s",
                (emitter,),
            )
            row = self.connection.execute(
                "SELECT contribution_id FROM contribution"
                " WHERE municipality = %s AND content_hash = %s",
                (self.municipality, digest),
            ).fetchone()
            if row is None:
                raise ReconciliationError(
                    f"{contribution.contribution_id}: the id is taken by another text"
                )
            # A repeated attempt is the same receipt.
            self.connection.execute(
                "INSERT INTO receipt (contribution_id, locator, external_id)"
                " SELECT %(id)s, %(emitter)s, %(external_id)s WHERE NOT EXISTS (SELECT FROM receipt"
                " WHERE contribution_id = %(id)s AND locator = %(emitter)s"
                " AND external_id = %(external_id)s)",
                {"id": row[0], "emitter": emitter, "external_id": external_id},
            )
            return str(row[0])

    def submitted(self, external_id: str, emitter: str) -> str | None:
        """Return the id that a text of :meth:`submit` has in the ledger."""
        row = self.connection.execute(
            "SELECT r.contribution_id FROM receipt r JOIN contribution c USING (contribution_id)"
            " WHERE c.municipality = %s AND r.locator = %s AND r.external_id = %s"
            " AND r.file_id IS NULL ORDER BY r.receipt_id DESC LIMIT 1",
            (self.municipality, emitter, external_id),
        ).fetchone()
        return str(row[0]) if row else None

    def _copy(self, records: Iterable[Record | BrokenRecord]) -> None:
        self.connection.execute(INCOMING)
        with self.connection.cursor().copy("COPY incoming FROM STDIN") as copy:
            for position, record in enumerate(records):
                if isinstance(record, BrokenRecord):
                    copy.write_row(_broken_row(position, record))
                else:
                    copy.write_row(_record_row(position, record))
        self.connection.execute("ANALYZE incoming")

    def _place(self, file_id: int, file: SourceFile) -> LoadCounts:
        names = {
            "municipality": self.municipality,
            "file_id": file_id,
            "uri": file.uri,
            "sha256": file.sha256,
            "other_name": OTHER_NAME,
        }
        added = [
            row
            for suffix in ID_SUFFIXES
            for row in self.connection.execute(ADD_CONTRIBUTIONS.format(suffix=suffix), names)
        ]
        receipts = self.connection.execute(
            "INSERT INTO receipt (contribution_id, file_id, locator, external_id,"
            " declared_category, submitted_on)"
            " SELECT c.contribution_id, %(file_id)s, i.locator, i.external_id, i.declared_raw,"
            " i.submitted_on FROM incoming i JOIN contribution c"
            " ON c.municipality = %(municipality)s AND c.content_hash = i.content_hash"
            " WHERE NOT i.broken ORDER BY i.position",
            names,
        ).rowcount
        self.connection.execute(CLOSE_RECORDS_UNDER_OTHER_NAMES, names)
        quarantined = self.connection.execute(KEEP_RECORDS, names).rowcount
        row = self.connection.execute(
            "UPDATE source_file SET (record_count, broken_count) ="
            " (SELECT count(*) FILTER (WHERE NOT broken), count(*) FILTER (WHERE broken)"
            "  FROM incoming) WHERE file_id = %(file_id)s RETURNING record_count, broken_count",
            names,
        ).fetchone()
        if row != (receipts, quarantined):
            raise ReconciliationError(
                f"{file.uri}: {row} entries read, {receipts} received and {quarantined} quarantined"
            )
        return LoadCounts(
            records=receipts,
            broken=quarantined,
            added=len(added),
            days=tuple(sorted({day for (day,) in added})),
        )


def _record_row(position: int, record: Record) -> tuple[object, ...]:
    category = declared(record.declared_category)
    digest = content_hash(record.constat_factuel, record.idees_ameliorations)
    judged = Contribution("", record.constat_factuel, record.idees_ameliorations, category)
    return (
        position,
        False,
        record.locator,
        record.source,
        record.external_id or digest[:16],
        record.constat_factuel,
        record.idees_ameliorations,
        record.declared_category,
        category,
        record.submitted_on,
        digest,
        judged.input_hash,
        json.dumps(record.metadata, allow_nan=False),
        None,
        None,
        None,
    )


def _broken_row(position: int, record: BrokenRecord) -> tuple[object, ...]:
    return (
        position,
        True,
        record.locator,
        *(None,) * 10,
        record.reason,
        record.detail,
        record.raw,
    )
