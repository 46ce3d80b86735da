"""A citizen's text as a caller sends it, for the routes that judge it and for those that keep it."""

import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
    model_validator,
)

from include.contributions.model import MAX_TEXT_CHARACTERS, Contribution, Record, declared
from include.contributions.sources.boundary import cleaned
from include.contributions.sources.dates import EARLIEST, PARIS

_CONTROL = re.compile("[\x01-\x08\x0b\x0c\x0e-\x1f\x7f]")

Words = Annotated[str, StringConstraints(max_length=MAX_TEXT_CHARACTERS)]
ShortId = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Text(BaseModel):
    """A text in one piece, or in the two parts of the town's form; never both."""

    model_config = ConfigDict(extra="forbid")

    text: Words | None = Field(default=None, description="The text in one piece.")
    constat_factuel: Words | None = Field(
        default=None, description="First part of the form: what the citizen observed."
    )
    idees_ameliorations: Words | None = Field(
        default=None, description="Second part of the form: what the citizen proposes."
    )
    category: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        default=None,
        description="The citizen's own category as the form has it; one that is none of the seven"
        " counts as not given.",
        examples=["ecologie"],
    )

    @field_validator("text", "constat_factuel", "idees_ameliorations", "category")
    @classmethod
    def _plain(cls, value: str | None) -> str | None:
        if value is not None and _CONTROL.search(value):
            raise ValueError("holds control characters: send plain text")
        return value

    @model_validator(mode="after")
    def _one_text(self) -> "Text":
        parts = (self.constat_factuel or "") + (self.idees_ameliorations or "")
        if bool((self.text or "").strip()) == bool(parts.strip()):
            raise ValueError("give either text, or constat_factuel and idees_ameliorations")
        if len(parts) > MAX_TEXT_CHARACTERS:
            raise ValueError(f"both parts together may have {MAX_TEXT_CHARACTERS} characters")
        return self

    @property
    def parts(self) -> tuple[str, str]:
        """Both parts, in the form in which the ledger keeps them (NFC)."""
        if self.text is not None and self.text.strip():
            return cleaned(self.text)[0], ""
        return cleaned(self.constat_factuel or "")[0], cleaned(self.idees_ameliorations or "")[0]

    def contribution(self, contribution_id: str) -> Contribution:
        """As the reviewer reads it."""
        return Contribution(contribution_id, *self.parts, declared(self.category))


class Submission(Text):
    """A contribution to keep: a text, and where it comes from."""

    source: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,59}$")] = Field(
        default="api", description="Short name of the sending system.", examples=["n8n"]
    )
    external_id: ShortId | None = Field(
        default=None,
        description="The sender's own id; with a number as id a partner is told `issueNumber`.",
        examples=["1234"],
    )
    submitted_on: date | None = Field(
        default=None, description="The day on which it was written, if that is not today."
    )

    @field_validator("submitted_on", mode="before")
    @classmethod
    def _a_day(cls, value: Any) -> Any:
        if isinstance(value, int | float):
            raise ValueError("is no day such as 2026-01-31")  # noqa: TRY004 - as Pydantic wants it
        return value

    @field_validator("submitted_on")
    @classmethod
    def _plausible(cls, value: date | None) -> date | None:
        today = datetime.now(PARIS).date()
        if value is not None and not EARLIEST <= value <= today:
            raise ValueError(f"must be between {EARLIEST} and today, {today}")
        return value

    @field_validator("external_id")
    @classmethod
    def _an_id(cls, value: str | None) -> str | None:
        if value is not None and (not value.isprintable() or not value.strip()):
            raise ValueError("holds characters that no id has")
        return cleaned(value)[0].strip() if value else None

    def record(self, position: int) -> Record:
        """As the ledger takes it."""
        return Record(
            self.source,
            self.external_id,
            *self.parts,
            cleaned(self.category)[0].strip() or None if self.category else None,
            self.submitted_on,
            f"contributions[{position}]",
        )
