"""What the page about the quarantine says: entries and contributions that could not be processed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import quote

from include.contributions.story import address_of

LISTED = 50


@dataclass(frozen=True, slots=True)
class SetAside:
    """One entry of the quarantine.

    ``kind`` is ``record`` (an entry of a file that never became a contribution) or ``contribution``
    (one that could not be judged).
    """

    quarantine_id: int
    kind: str
    uri: str | None
    locator: str
    reason: str
    detail: str
    raw: str
    received_on: date
    since: datetime
    waited_s: float
    contribution_id: str | None
    step: str | None

    @property
    def address(self) -> str:
        """Where the contribution's page is, below the pages' root; empty for a record."""
        return address_of(self.contribution_id) if self.contribution_id else ""


@dataclass(frozen=True, slots=True)
class Quarantine:
    """One page of what is set aside, the newest first."""

    municipality: str
    kind: str | None
    reason: str | None
    rows: tuple[SetAside, ...]
    counts: Mapping[tuple[str, str], int]
    before: int | None = None
    after: int | None = None

    @property
    def total(self) -> int:
        """All that is set aside, whatever is asked."""
        return sum(self.counts.values())

    @property
    def kinds(self) -> dict[str, int]:
        """How much of each kind."""
        found: dict[str, int] = {}
        for (kind, _), count in self.counts.items():
            found[kind] = found.get(kind, 0) + count
        return found

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """The reasons within the kind that is asked, the commonest first."""
        found: dict[str, int] = {}
        for (kind, reason), count in self.counts.items():
            if self.kind in (None, kind):
                found[reason] = found.get(reason, 0) + count
        return sorted(found.items(), key=lambda each: (-each[1], each[0]))

    def address(self, **changes: str | int | None) -> str:
        """Write what is asked as the end of an address."""
        asked = {"kind": self.kind, "reason": self.reason, **changes}
        given = [f"{name}={quote(str(value), safe='')}" for name, value in asked.items() if value]
        return "?" + "&".join(given) if given else "?"
