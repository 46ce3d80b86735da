"""What goes between the sandbox and the worker: JSON, with nothing in it that a reader must trust."""

import dataclasses
import json
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from include.documents.model import Media, Page, ParsedDocument, SetAside
from include.documents.parsing.settings import OcrSettings, ParseLimits


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


def answer_from_json(text: str) -> ParsedDocument | SetAside:
    """Read what :func:`answer_to_json` wrote.

    Raises:
        ValueError: The text is not an answer.
    """
    try:
        match json.loads(text):
            case {"set_aside": {"reason": str(reason), "detail": str(detail)}}:
                return SetAside(reason, detail)
            case {"document": {"pages": list(pages), **rest}}:
                return _document(pages, {str(key): value for key, value in rest.items()})
    except (TypeError, KeyError) as error:
        raise ValueError(f"the answer is not in its form: {error}") from error
    raise ValueError("the answer is neither a document nor a refusal")


def _document(pages: list[Mapping[str, Any]], rest: dict[str, Any]) -> ParsedDocument:
    day = rest.pop("dated_on")
    return ParsedDocument(
        pages=tuple(Page(**page) for page in pages),
        dated_on=date.fromisoformat(day) if day else None,
        warnings=tuple(rest.pop("warnings")),
        **rest,
    )
