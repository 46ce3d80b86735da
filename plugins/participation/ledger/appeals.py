"""An appeal as its author sees it: filed by the receipt, open until another person decided."""

from dataclasses import dataclass
from datetime import datetime

from include.contributions.sources.boundary import cleaned
from include.errors import ConfigurationError
from participation.ledger.connection import Connection
from participation.ledger.review import wake

MAX_CHARACTERS = 4000


class AppealRefusedError(ConfigurationError):
    """An appeal does not go on record.

    Attributes:
        why: The code of the reason, for who says it in another language.
    """

    def __init__(self, why: str, message: str) -> None:
        super().__init__(message)
        self.why = why


@dataclass(frozen=True, slots=True)
class Appeal:
    """When an appeal was filed, and when it was settled."""

    appeal_id: int
    filed_at: datetime
    closed_at: datetime | None


def latest(connection: Connection, municipality: str, contribution_id: str) -> Appeal | None:
    """Return the latest appeal about a contribution, if there is one."""
    row = connection.execute(
        "SELECT a.appeal_id, a.filed_at, a.closed_at FROM appeal a"
        " JOIN contribution c USING (contribution_id)"
        " WHERE contribution_id = %s AND c.municipality = %s ORDER BY a.appeal_id DESC LIMIT 1",
        (contribution_id, municipality),
    ).fetchone()
    return Appeal(*row) if row else None


def file_appeal(connection: Connection, municipality: str, contribution_id: str, words: str) -> int:
    """Note that its author contests a refusal, and have another person asked; the appeal's id.

    Filing twice what is still open changes nothing.

    Raises:
        AppealRefusedError: There is no such refusal, the words are missing or too long, or a second
            person has already confirmed it.
    """
    said = cleaned(words.strip())[0]
    if not said:
        raise AppealRefusedError(
            "no_words", "an appeal needs the author's words: what they contest"
        )
    if len(said) > MAX_CHARACTERS:
        raise AppealRefusedError(
            "too_long",
            f"the appeal has {len(said)} characters, at most {MAX_CHARACTERS}: shorten it",
        )
    with connection.transaction():
        standing = connection.execute(
            "SELECT d.decision_id, d.outcome, d.kind FROM contribution c"
            " LEFT JOIN LATERAL (SELECT * FROM decision d WHERE d.contribution_id = c.contribution_id"
            "  ORDER BY decision_id DESC LIMIT 1) AS d ON true"
            " WHERE c.contribution_id = %s AND c.municipality = %s FOR UPDATE OF c",
            (contribution_id, municipality),
        ).fetchone()
        if standing is None:
            raise AppealRefusedError(
                "unknown", f"contribution {contribution_id} is not in the ledger"
            )
        decision_id, outcome, kind = standing
        if outcome != "refused":
            raise AppealRefusedError(
                "not_refused",
                f"contribution {contribution_id} is not refused: there is nothing to contest",
            )
        if kind == "appeal":
            raise AppealRefusedError(
                "confirmed",
                f"contribution {contribution_id}: a second person has confirmed the refusal already",
            )
        connection.execute(
            "INSERT INTO appeal (contribution_id, decision_id, words) VALUES (%s, %s, %s)"
            " ON CONFLICT (decision_id) DO NOTHING",
            (contribution_id, decision_id, said),
        )
        row = connection.execute(
            "SELECT appeal_id FROM appeal WHERE decision_id = %s", (decision_id,)
        ).fetchone()
        wake(connection, municipality, "appeal")
    return int(row[0]) if row else 0


def file(
    connection: Connection, municipality: str, contribution_id: str, words: str
) -> tuple[Appeal | None, bool]:
    """File an appeal against the standing refusal, and say whether it is new.

    Raises:
        AppealRefusedError: There is nothing to contest, or the words are missing or too long.
    """
    before = latest(connection, municipality, contribution_id)
    appeal_id = file_appeal(connection, municipality, contribution_id, words)
    filed = latest(connection, municipality, contribution_id)
    return filed, before is None or before.appeal_id != appeal_id
