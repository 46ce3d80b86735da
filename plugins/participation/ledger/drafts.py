"""Drafts that a model wrote from documents: a table of their own, that nothing is read back from."""

from collections.abc import Sequence
from dataclasses import dataclass

from include.documents.drafting import PROMPT_VERSION, PlacedDraft
from participation.ledger.connection import Connection

TO_DRAFT = """
SELECT d.document_id FROM document d
JOIN document_theme t ON (t.document_id, t.text_hash) = (d.document_id, d.text_hash)
WHERE t.engine = %(engine)s AND t.theme_count > 0
  AND NOT EXISTS (SELECT FROM document_likeness l
                  WHERE (l.municipality, l.document_id) = (%(municipality)s, d.document_id))
  AND EXISTS (SELECT FROM document_origin o WHERE o.document_id = d.document_id
              AND o.municipality = %(municipality)s AND o.superseded_at IS NULL)
  AND NOT EXISTS (SELECT FROM document_drafting g WHERE
      (g.document_id, g.text_hash, g.model, g.prompt_version)
      = (d.document_id, d.text_hash, %(model)s, %(prompt)s))
  AND (%(document_id)s::text IS NULL OR d.document_id = %(document_id)s)
ORDER BY d.received_at DESC, d.document_id LIMIT %(limit)s
"""


@dataclass(frozen=True)
class LedgerDrafts:
    """The drafts of one municipality and one model."""

    connection: Connection
    municipality: str
    model: str
    run_id: str

    def to_draft(self, engine: str, limit: int, document_id: str | None = None) -> list[str]:
        """List documents with themes that the model was not asked about, the latest first."""
        rows = self.connection.execute(
            TO_DRAFT,
            {
                "municipality": self.municipality,
                "engine": engine,
                "model": self.model,
                "prompt": PROMPT_VERSION,
                "document_id": document_id,
                "limit": limit,
            },
        ).fetchall()
        return [each for (each,) in rows]

    def save(
        self,
        document_id: str,
        text_hash: str,
        drafts: Sequence[PlacedDraft],
        note: str | None = None,
    ) -> bool:
        """Store what the model answered about a text, with its provenance; False when it was there."""
        with self.connection.transaction():
            is_new = self.connection.execute(
                "INSERT INTO document_drafting (document_id, text_hash, model, prompt_version,"
                " draft_count, note, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING",
                (
                    document_id,
                    text_hash,
                    self.model,
                    PROMPT_VERSION,
                    len(drafts),
                    note,
                    self.run_id,
                ),
            ).rowcount
            if not is_new:
                return False
            self.connection.cursor().executemany(
                "INSERT INTO drafted_contribution (municipality, document_id, text_hash, model,"
                " prompt_version, theme, constat_factuel, idees_ameliorations, quote, page_number,"
                " run_id) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    (
                        self.municipality,
                        document_id,
                        text_hash,
                        self.model,
                        PROMPT_VERSION,
                        each.draft.theme,
                        each.draft.constat_factuel,
                        each.draft.idees_ameliorations,
                        each.draft.citation,
                        each.page_number,
                        self.run_id,
                    )
                    for each in drafts
                ],
            )
        return True
