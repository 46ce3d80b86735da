"""Read transcripts: subtitles (SRT, WebVTT) and Markdown with a time and a speaker before each part.

Each cue or turn becomes a paragraph that begins with its time, ``[00:01:18]``, so that an answer can
be found again in the recording.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from include.documents.parsing.draft import Draft
from include.documents.parsing.plain_text import decoded, text_pages
from include.documents.parsing.sentences import DocumentRefusedError
from include.documents.parsing.settings import ParseLimits

PARAGRAPH_SECONDS = 30
"""Cues of a few words each are joined up to this long; a search wants sentences."""

CUE = re.compile(r"^(?:(\d{1,3}):)?(\d{1,2}):(\d{2})[.,]\d{1,3}[ \t]*-->.*$", re.MULTILINE)
TURN = re.compile(
    r"^[ \t>*_-]{0,6}"
    r"(?:\[(?:(\d{1,2}):)?(\d{1,2}):(\d{2})(?:[.,]\d+)?\]|(\d{1,2}):(\d{2}):(\d{2})(?:[.,]\d+)?)"
    r"(?:[ \t*_:–-]+(.*))?$",
    re.MULTILINE,
)
_BLOCK_BREAK = re.compile(r"\n[ \t]*\n")
_TAG = re.compile(r"</?[a-zA-Z][^>\n]{0,100}>|<\d\d:[^>\n]{0,20}>|\{\\[^}\n]{0,40}\}")
_VOICE = re.compile(r"<v(?:\.[^ >]*)?[ ]+([^>\n]{1,100})>")
_MARKDOWN_MARKS = re.compile(r"[*_]{1,3}")


def read_subtitles(path: Path, limits: ParseLimits) -> Draft:
    """Read SRT or WebVTT.

    Raises:
        DocumentRefusedError: There is no cue, or too much text.
    """
    text, warnings = decoded(path, limits)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    cues = list(_cues(text))
    paragraphs = [f"[{_mark(start)}] {words}" for start, words in _joined(cues)]
    return _draft(paragraphs, [start for start, _ in cues], None, warnings, limits)


def read_timed_markdown(path: Path, limits: ParseLimits) -> Draft:
    """Read a transcript whose parts begin with a time and mostly a speaker.

    Raises:
        DocumentRefusedError: There is no text, or too much.
    """
    text, warnings = decoded(path, limits)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    turns = list(TURN.finditer(text))
    preamble = text[: turns[0].start()].strip() if turns else text
    paragraphs = [preamble] if preamble else []
    ends = [turn.start() for turn in turns[1:]] + [len(text)]
    times = []
    for turn, end in zip(turns, ends, strict=True):
        hours, minutes, seconds = (int(value or 0) for value in _clock(turn))
        times.append(hours * 3600 + minutes * 60 + seconds)
        said = " ".join(text[turn.end() : end].split())
        first = _MARKDOWN_MARKS.sub("", turn[7] or "").strip()
        # A line with a time alone or a name: what is said follows; else it stands on the line.
        body = f"{first} : {said}" if first and said else first or said
        paragraphs.append(f"[{_mark(times[-1])}] {body}".rstrip())
    heading = re.match(r"#{1,2}[ \t]+(.+)", preamble)
    return _draft(paragraphs, times, heading[1].strip() if heading else None, warnings, limits)


def _draft(
    paragraphs: list[str],
    times: list[int],
    heading: str | None,
    warnings: list[str],
    limits: ParseLimits,
) -> Draft:
    if not paragraphs:
        raise DocumentRefusedError("no_text")
    # A form feed inside a cue is no page.
    text = "\n\n".join(paragraphs).replace("\f", " ")
    metadata = {"duration_s": max(times, default=0), "cue_count": len(times)}
    return Draft(text_pages(text, limits), heading, warnings, metadata)


def _clock(turn: re.Match[str]) -> tuple[str | None, ...]:
    return (turn[1], turn[2], turn[3]) if turn[2] else (turn[4], turn[5], turn[6])


def _cues(text: str) -> Iterator[tuple[int, str]]:
    for block in _BLOCK_BREAK.split(text):
        found = CUE.search(block)
        if not found:
            continue
        hours, minutes, seconds = (int(value or 0) for value in found.groups())
        said = _VOICE.sub(r"\1 : ", block[found.end() :])
        words = " ".join(_TAG.sub("", said).split())
        if words:
            yield hours * 3600 + minutes * 60 + seconds, words


def _joined(cues: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Join cues into paragraphs; rolling captions repeat their last line, which is said once."""
    start, parts = 0, list[str]()
    for moment, words in cues:
        if parts and moment - start >= PARAGRAPH_SECONDS:
            yield start, " ".join(parts)
            parts = []
        if not parts:
            start = moment
        if not parts or parts[-1] != words:
            parts.append(words)
    if parts:
        yield start, " ".join(parts)


def _mark(seconds: int) -> str:
    """A time as it stands in the text.

    >>> _mark(78)
    '00:01:18'
    """
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
