"""Choose the words of a chunk that answer a question: whole sentences around what was asked."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping

from include.documents.embedding.bm25 import term_indices

QUOTE_CHARACTERS = 300

Terms = Callable[[str], Collection[int]]

_WORD = re.compile(r"[^\W_]+")
_END = re.compile(r"(?<=[.!?…;:])\s+|\s*\n\s*")
_SPACE = re.compile(r"\s+")
_LEAD = 60
"""Characters shown before the first asked word of a sentence that is too long to be shown whole."""


def quote(
    text: str,
    weights: Mapping[int, float],
    limit: int = QUOTE_CHARACTERS,
    terms: Terms = term_indices,
) -> str:
    """Return the passage of at most ``limit`` characters that holds the most of what was asked.

    Args:
        text: Of one chunk.
        weights: Of the question's terms, by index.
        limit: Longest answer.
        terms: Gives a word's terms.

    A term counts once. Without any asked word the passage is the beginning.
    """
    found = [
        (match.start(), match.end(), index)
        for match in _WORD.finditer(text)
        for index in terms(match.group())
        if index in weights
    ]
    best, best_score = (0, min(len(text), limit)), 0.0
    for start, end in _windows(text, [start for start, _, _ in found], limit):
        held = {index for begin, stop, index in found if begin >= start and stop <= end}
        score = sum(weights[index] for index in held)
        if score > best_score:
            best, best_score = (start, end), score
    return _shown(text, *best)


def _windows(text: str, asked: list[int], limit: int) -> Iterator[tuple[int, int]]:
    """Yield runs of whole sentences from one with an asked word, then cuts around each such word."""
    sentences = _sentences(text)
    for first, (start, end) in enumerate(sentences):
        if end - start > limit or not any(start <= position < end for position in asked):
            continue
        last = end
        for _, following in sentences[first + 1 :]:
            if following - start > limit:
                break
            last = following
        yield start, last
    for position in asked:
        start = _word_start(text, max(0, position - _LEAD), position)
        yield start, _word_end(text, start, min(len(text), start + limit - 2))


def _sentences(text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for match in _END.finditer(text):
        if match.start() > start:
            spans.append((start, match.start()))
        start = match.end()
    if start < len(text):
        spans.append((start, len(text)))
    return spans


def _word_start(text: str, start: int, latest: int) -> int:
    if start == 0:
        return 0
    gap = _SPACE.search(text, start, latest)
    return gap.end() if gap else start


def _word_end(text: str, start: int, end: int) -> int:
    if end == len(text):
        return end
    gap = max(text.rfind(" ", start, end), text.rfind("\n", start, end))
    return gap if gap > start else end


def _shown(text: str, start: int, end: int) -> str:
    """White space folded; nothing is added, so that the words can be found in the original."""
    return _SPACE.sub(" ", text[start:end]).strip()
