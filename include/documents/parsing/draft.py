"""What a reader gives before the document's title, date and kind are looked for."""

from dataclasses import dataclass, field
from typing import Any

from include.documents.model import Page


@dataclass(slots=True)
class Draft:
    """Pages, and what the file's own structure says.

    Attributes:
        pages: All of them, in order.
        heading: The title as the structure marks it, else None.
        warnings: In French.
        metadata: What the file says of itself; ``title`` there is a claim, not a title.
    """

    pages: list[Page]
    heading: str | None = None
    warnings: list[str] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
