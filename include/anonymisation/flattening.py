"""A text as a reader sees it, each character with its place in the text as written.

Compatibility forms become plain ones (full-width digits, ligatures, non-breaking spaces), accents join
their letters, and what nobody sees is dropped, so that a number cut by an invisible mark is a number.
"""

import re
import unicodedata
from dataclasses import dataclass

_DROPPED = frozenset({"Cf", "Me"})
_VARIATION_SELECTORS = range(0xFE00, 0xFE10)
_PLAIN = re.compile(
    "[\\t\\n\\r -~À-ÖØ-öø-ÿŒœ’‘“”«»–—€°]+(?![\u0300-\u036f\u00ad\u200b-\u200f\ufe00-\ufe0f\u20dd-\u20e4])"
)
"""What stands for itself; its last character only where no mark can follow."""


@dataclass(frozen=True, slots=True)
class Flat:
    """The plain text and the way back; ``starts`` is None where nothing had to change."""

    text: str
    starts: list[int] | None = None
    ends: list[int] | None = None

    def original(self, start: int, end: int) -> tuple[int, int]:
        """Map a span, not empty, to the text as written."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def flattened(text: str) -> Flat:
    r"""Read a text plainly.

    >>> flattened("０\u200b６").text
    '06'
    """
    if text.isascii() or _PLAIN.fullmatch(text):
        return Flat(text)
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    at = 0
    while at < len(text):
        if run := _PLAIN.match(text, at):
            parts.append(run.group())
            starts.extend(range(at, run.end()))
            ends.extend(range(at + 1, run.end() + 1))
            at = run.end()
            continue
        end = at + 1
        while end < len(text) and _is_mark(text[end]):
            end += 1
        # More marks than a letter has are a disguise; one letter is read.
        plain = unicodedata.normalize("NFKC", text[at : min(end, at + 4)])
        for character in plain:
            if not _is_unseen(character):
                parts.append(character)
                starts.append(at)
                ends.append(end)
        at = end
    return Flat("".join(parts), starts, ends)


def _is_mark(character: str) -> bool:
    return character >= "\u0300" and (
        unicodedata.combining(character) != 0 or _is_unseen(character)
    )


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in _DROPPED or ord(character) in _VARIATION_SELECTORS
