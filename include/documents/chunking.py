"""Cut a document's text into parents for readers and models, and children for the index.

The text is first cut into pieces that touch and never overlap, at the best boundary that
fits (paragraph, line, sentence, word). Then each piece is extended backwards by the overlap. The
library's own overlap takes whole sentences and gives none where the last one is too long; this way
there is always one. Children are cut from the pieces, not from the extended parents: no sentence is
indexed twice because two parents share it.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from semantic_text_splitter import TextSplitter

from include.documents.model import PAGE_BREAK, Chunk, page_starts
from include.errors import ConfigurationError

SPLITTER_VERSION = "1"
"""Changes when the same text and sizes would give other chunks."""

WORD_REACH = 40
"""Characters an overlap may lose so that it begins with a whole word; a longer word is cut."""

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class ChunkSizes:
    """Limits in characters.

    Attributes:
        chunk_size: Longest parent, overlap included.
        chunk_overlap: How far a parent reaches back into the text before it.
        child_size: Longest child, overlap included.
        child_overlap: How far a child reaches back, inside its parent.
    """

    chunk_size: int = 15_000
    chunk_overlap: int = 500
    child_size: int = 1_500
    child_overlap: int = 200

    def __post_init__(self) -> None:
        """Refuse sizes that could not be kept."""
        for name, size, overlap in (
            ("chunk", self.chunk_size, self.chunk_overlap),
            ("child", self.child_size, self.child_overlap),
        ):
            if not 0 <= overlap <= size // 2 or size < 1:
                raise ConfigurationError(
                    f"{name}_size is {size} and {name}_overlap {overlap}: a size is at least 1, "
                    "an overlap at least 0 and at most half of its size"
                )
        if self.child_size > self.chunk_size:
            raise ConfigurationError(
                f"child_size is {self.child_size}: a child lies inside its parent, "
                f"and chunk_size is {self.chunk_size}"
            )


def chunk(texts_of_pages: Sequence[str], sizes: ChunkSizes) -> tuple[Chunk, ...]:
    """Cut the pages of one document, read as one text, into parents and their children.

    Every character stands in a parent and in a child; only white space that would make a chunk by
    itself may be missing. No chunk is blank, and pages without a word give none.

    Args:
        texts_of_pages: In order; an unread page is an empty text, so that pages stay countable.
        sizes: Limits, kept exactly.

    Returns:
        Each parent followed by its children; positions count from 0 within each of the two kinds.
        A chunk's pages are those of its first and last character that is not white space.
    """
    text = PAGE_BREAK.join(texts_of_pages)
    starts = page_starts(texts_of_pages)
    chunks: list[Chunk] = []
    children = 0
    core_size, child_core = (
        sizes.chunk_size - sizes.chunk_overlap,
        sizes.child_size - sizes.child_overlap,
    )
    for position, core in enumerate(_pieces(text, (0, len(text)), core_size)):
        start = _reach_back(text, core[0], 0, sizes.chunk_overlap)
        chunks.append(_chunk(text, starts, (start, core[1]), position, None))
        for piece in _pieces(text, core, child_core):
            child_start = _reach_back(text, piece[0], start, sizes.child_overlap)
            chunks.append(_chunk(text, starts, (child_start, piece[1]), children, position))
            children += 1
    return tuple(chunks)


def _pieces(text: str, span: Span, size: int) -> Iterator[Span]:
    """Yield spans that follow each other; a blank one goes to its neighbour or is left out."""
    waiting: Span | None = None
    splitter = TextSplitter(size, trim=False)
    for offset, words in splitter.chunk_indices(text[span[0] : span[1]]):
        start, end = span[0] + offset, span[0] + offset + len(words)
        if not words.strip():
            if waiting and end - waiting[0] <= size:
                waiting = (waiting[0], end)
            continue
        if waiting:
            yield waiting
        waiting = (start, end)
    if waiting:
        yield waiting


def _reach_back(text: str, start: int, floor: int, overlap: int) -> int:
    """Find where a piece begins once it overlaps what is before it: at a word where one is near."""
    earliest = max(floor, start - overlap)
    if earliest == floor or text[earliest - 1].isspace():
        return earliest
    for position in range(earliest, min(start, earliest + WORD_REACH)):
        if text[position].isspace():
            return position + 1
    return earliest


def _chunk(
    text: str, starts: Sequence[int], span: Span, position: int, parent: int | None
) -> Chunk:
    start, end = span
    words = text[start:end]
    first = start + len(words) - len(words.lstrip())
    last = start + len(words.rstrip()) - 1
    return Chunk(
        position=position,
        text=words,
        start=start,
        end=end,
        first_page=bisect_right(starts, first),
        last_page=bisect_right(starts, last),
        parent=parent,
    )
