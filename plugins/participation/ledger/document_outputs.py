"""The workflow's output per document, read from the ledger."""

from collections.abc import Sequence
from dataclasses import dataclass

from include.documents.output import DraftedContribution, WorkflowOutput, warnings_of
from participation.ledger.connection import Connection

OUTPUTS = """
SELECT m.document_id,
       coalesce((SELECT array_agg(t.label ORDER BY t.weight DESC, t.label) FROM theme t
                 WHERE (t.document_id, t.engine) = (m.document_id, %(engine)s)), '{}'),
       coalesce(d.warnings, '[]'),
       coalesce((SELECT jsonb_object_agg(reason, numbers) FROM (
           SELECT p.reason, jsonb_agg(p.page_number) AS numbers FROM page p
           WHERE p.document_id = m.document_id AND p.method = 'set_aside' GROUP BY 1) AS unread),
           '{}'),
       older.document_id, older.title, l.similarity,
       CASE WHEN d.parsed_at IS NULL THEN
           (SELECT array_agg(s.detail ORDER BY s.set_aside_id) FROM document_set_aside s
            WHERE s.document_id = m.document_id AND s.municipality = %(municipality)s
            AND s.resolved_at IS NULL) END
FROM (SELECT DISTINCT document_id FROM document_origin
      WHERE municipality = %(municipality)s AND document_id = ANY(%(ids)s)) AS m
LEFT JOIN document d USING (document_id)
LEFT JOIN document_likeness l ON (l.municipality, l.document_id) = (%(municipality)s, m.document_id)
LEFT JOIN document older ON older.document_id = l.duplicate_of
"""

OF_RUN = """
SELECT t.document_id FROM document_theme t
WHERE t.engine = %(engine)s
  AND t.found_at >= (SELECT min(started_at) FROM step_metric
                     WHERE (municipality, dag_id, run_id) = (%(municipality)s, %(dag)s, %(run)s))
  AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = t.document_id
              AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)
ORDER BY t.found_at, t.document_id
"""


@dataclass(frozen=True)
class LedgerOutputs:
    """The outputs of one municipality's documents; ``engine`` is the one that found the themes."""

    connection: Connection
    municipality: str
    engine: str

    def of_documents(self, ids: Sequence[str]) -> list[WorkflowOutput]:
        """Return the output of each document that the town has met, in the order asked."""
        rows = self.connection.execute(
            OUTPUTS,
            {"municipality": self.municipality, "engine": self.engine, "ids": list(ids)},
        ).fetchall()
        found = {}
        for document_id, themes, noted, unread, older, title, similarity, refusals in rows:
            near = (title or older[:12], similarity) if older else None
            found[document_id] = WorkflowOutput(
                document_id,
                tuple(themes),
                self.drafted_contributions(document_id),
                warnings_of(noted, unread, near, refusals or ()),
            )
        return [found[document_id] for document_id in ids if document_id in found]

    def drafted_contributions(self, document_id: str) -> tuple[DraftedContribution, ...]:
        """Return what a model drafted from a document's present text."""
        rows = self.connection.execute(
            "SELECT theme, constat_factuel, idees_ameliorations, quote, page_number, model"
            " FROM drafted_contribution JOIN document USING (document_id, text_hash)"
            " WHERE document_id = %s AND drafted_contribution.municipality = %s"
            " ORDER BY drafted_id",
            (document_id, self.municipality),
        ).fetchall()
        return tuple(DraftedContribution(*row) for row in rows)

    def of_run(self, dag_id: str, run_id: str) -> list[str]:
        """List the documents whose themes a run found, in the order in which it did."""
        rows = self.connection.execute(
            OF_RUN,
            {
                "municipality": self.municipality,
                "engine": self.engine,
                "dag": dag_id,
                "run": run_id,
            },
        ).fetchall()
        return [document_id for (document_id,) in rows]
