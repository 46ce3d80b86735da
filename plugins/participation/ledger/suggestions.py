"""Suggested wordings: shown beside the citizen's own words, read back by nothing that judges."""

from collections.abc import Sequence

from include.contributions.model import Category, Contribution
from include.contributions.model_wording import Suggestion
from participation.ledger.attempt import AttemptLedger


class LedgerSuggestions(AttemptLedger):
    """The suggestions of one municipality."""

    def to_suggest(self, ids: Sequence[str], prompt_hash: str, model: str) -> list[Contribution]:
        """Return those of some contributions that this model was not asked about."""
        rows = self.connection.execute(
            "SELECT contribution_id, constat_factuel, idees_ameliorations, declared_category"
            " FROM contribution c WHERE municipality = %s AND contribution_id = ANY(%s)"
            " AND NOT EXISTS (SELECT FROM wording_suggestion s WHERE"
            "  (s.contribution_id, s.input_hash, s.prompt_hash, s.model)"
            "  = (c.contribution_id, c.input_hash, %s, %s)) ORDER BY contribution_id",
            (self.municipality, list(ids), prompt_hash, model),
        ).fetchall()
        return [
            Contribution(own_id, constat, ideas, Category(category) if category else None)
            for own_id, constat, ideas, category in rows
        ]

    def save(self, contribution: Contribution, model: str, found: Suggestion) -> None:
        """Store what came of asking; asked twice, the first one stays."""
        self.connection.execute(
            "INSERT INTO wording_suggestion (contribution_id, input_hash, prompt_hash, suggestion,"
            " objection, provider, model, dag_id, run_id)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (
                contribution.contribution_id,
                contribution.input_hash,
                found.prompt_hash,
                found.text,
                found.objection,
                found.reply.provider if found.reply else "",
                model,
                self.attempt.dag_id,
                self.attempt.run_id,
            ),
        )
