"""What a PDF page's own text is worth: the page's words, a stamp on a scan, garbage, or nothing.

Registers print one line on every page of a scan they publish; fonts without a table of letters give
signs that mean nothing. Both look like a text layer, and neither is one.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from include.documents.parsing.language import (
    FRENCH_GATE,
    KNOWN_SHARE,
    MIN_WORDS,
    has_word,
    known_share,
    stop_word_share,
    words,
)

STAMP_CHARACTERS = 260
"""Registers' lines of some 75 to 220 characters, and room for a page number and a longer title."""

FULL_PAGE = 0.8
"""Share of the page that the images of a scan cover; margins may be white."""

FIGURE = 0.1
"""Share from which a picture may hold words that a sparse page does not say itself."""

SPARSE_CHARACTERS = 100
"""A slide's title; what it is about may be in its picture."""

MARGIN = 0.12
"""Outer strips of a page, where stamps stand."""

_DIGITS = re.compile(r"\d+")
_SPACES = re.compile(r"\s+")

Verdict = Literal[
    "text",  # the page's words
    "scan",  # no words; perhaps a picture of some
    "stamp",  # words, but not the page's
    "garbage",  # signs
    "sparse",  # words, and a picture that may hold more
]


@dataclass(frozen=True, slots=True)
class Layer:
    """A page's own text and what surrounds it.

    Attributes:
        text: Cleaned.
        image_share: How much of the page its images cover, 0 to 1; 0 beside a long text.
        in_margin: Whether all text stands in the outer strips.
    """

    text: str
    image_share: float
    in_margin: bool


def judge(layers: Sequence[Layer]) -> list[Verdict]:
    """Judge all pages of a document; stamps are known by being alike."""
    shapes = [_shape(layer.text) for layer in layers]
    alike = Counter(shapes)
    return [
        _verdict(layer, repeated=alike[shape] > 1)
        for layer, shape in zip(layers, shapes, strict=True)
    ]


def _verdict(layer: Layer, *, repeated: bool) -> Verdict:
    if not has_word(layer.text):
        return "scan"
    size = len(layer.text)
    if size <= STAMP_CHARACTERS and layer.image_share >= FULL_PAGE:
        return "stamp" if repeated or layer.in_margin else "sparse"
    if size <= SPARSE_CHARACTERS and layer.image_share >= FIGURE:
        return "sparse"
    return "garbage" if is_garbage(layer.text) else "text"


def is_garbage(text: str) -> bool:
    """Whether a text is no language: neither running French nor a list of words one knows.

    >>> is_garbage("ÇáêÉÅíáçå Ç¨é~êíÉãÉåí~äÉ ÇÉ äÛ°èìáéÉãÉåí " * 9)
    True
    """
    found = words(text)
    if len(found) < MIN_WORDS:
        return False
    if any(stop_word_share(found, language) >= FRENCH_GATE for language in ("fr", "en", "br")):
        return False
    return known_share(text) < KNOWN_SHARE


def _shape(text: str) -> str:
    """A text but for its numbers: the stamp of page 3 is that of page 4."""
    return _SPACES.sub(" ", _DIGITS.sub("#", text))
