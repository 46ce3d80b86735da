"""What goes between the sandbox and the worker: JSON, with nothing in it that a reader must trust."""

import dataclasses
import json
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from include.documents.model import Media, Page, PageMethod, PageReason, ParsedDocument, SetAside
from include.documents.parsing.cleaning import storable
from include.documents.parsing.settings import OcrSettings, ParseLimits

Text = Annotated[str, AfterValidator(storable)]
Words = Annotated[Text, Field(max_length=500)]
"""A title, a number, the name of a kind: nothing longer is one."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class _Page(_Part):
    number: int
    text: Text
    method: PageMethod
    confidence: Annotated[float, Field(ge=0, le=1)] | None
    rotation: Literal[0, 90, 180, 270]
    reason: PageReason | None


class _Document(_Part):
    pages: tuple[_Page, ...]
    title: Words | None
    language: Words | None
    dated_on: date | None
    act_kind: Words | None
    act_number: Words | None
    warnings: tuple[Text, ...]
    metadata: dict[Words, Text | int | float | None]


class _SetAside(_Part):
    reason: Words
    detail: Text


class _Answer(_Part):
    document: _Document | None = None
    set_aside: _SetAside | None = None


class Request(NamedTuple):
    """One file to read, how far one may go for it, and what an earlier look read of it by OCR."""

    path: Path
    media: Media
    limits: ParseLimits
    ocr: OcrSettings
    before: tuple[Page, ...] = ()

    def to_json(self) -> str:
        """As the worker reads it."""
        return json.dumps(
            {
                "path": str(self.path),
                "media": self.media,
                "limits": dataclasses.asdict(self.limits),
                "ocr": dataclasses.asdict(self.ocr),
                "before": [dataclasses.asdict(page) for page in self.before],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "Request":
        """Read what :meth:`to_json` wrote."""
        raw = json.loads(text)
        return cls(
            Path(raw["path"]),
            Media(raw["media"]),
            ParseLimits(**raw["limits"]),
            OcrSettings(**raw["ocr"]),
            tuple(Page(**page) for page in raw["before"]),
        )


def answer_to_json(answer: ParsedDocument | SetAside) -> str:
    """Write an answer."""
    form = "document" if isinstance(answer, ParsedDocument) else "set_aside"
    return json.dumps({form: dataclasses.asdict(answer)}, default=str, ensure_ascii=False)


def answer_from_json(text: str | bytes) -> ParsedDocument | SetAside:
    """Read what :func:`answer_to_json` wrote; characters that cannot be stored are left out.

    Raises:
        ValueError: The text is not an answer.
    """
    answer = _Answer.model_validate_json(text)
    if answer.set_aside is not None and answer.document is None:
        return SetAside(answer.set_aside.reason, answer.set_aside.detail)
    if answer.document is None or answer.set_aside is not None:
        raise ValueError("the answer is neither a document nor a refusal")
    found = {name: getattr(answer.document, name) for name in type(answer.document).model_fields}
    pages = tuple(Page(**page.model_dump()) for page in answer.document.pages)
    if [page.number for page in pages] != list(range(1, len(pages) + 1)):
        raise ValueError("the pages are not counted one by one")
    return ParsedDocument(**{**found, "pages": pages})
