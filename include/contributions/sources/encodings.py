"""Which encoding a file is in, found while its bytes are read once for the fingerprint.

Strict UTF-8 over the whole file comes first, because no other text passes that test by accident.
What fails it is UTF-16 or UTF-32 when it says so, UTF-8 with a few damaged bytes, or one of the
three old encodings in which French was written; bytes that are no text stay visible as U+FFFD.
"""

import codecs
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

CHUNK_BYTES = 1 << 20

SAMPLE_BYTES = 1 << 16
"""Enough to tell encodings and forms apart, little enough to read of every file."""

MAX_ENTRY_CHARACTERS = 4_000_000
"""A longer line or entry is not held in memory; sixty times the longest text that is accepted."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OLD_ENCODINGS = ("cp1252", "mac_roman", "cp850")
_FRENCH = frozenset("éèêëàâäçùûüôöîïœæÉÈÊËÀÂÇÙÛÔÎÏŒ’‘“”«»–—…€°²\xa0ñ")


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What one pass over a file's bytes tells.

    Attributes:
        sha256: Of all its bytes.
        size_bytes: How many there were.
        encoding: A Python codec name.
        head: The first characters, decoded.
        ends_a_line: Whether the last character is a line end.
    """

    sha256: str
    size_bytes: int
    encoding: str
    head: str
    ends_a_line: bool


def fingerprint(path: Path) -> Fingerprint:
    """Read a file once, in constant memory.

    Raises:
        OSError: The file vanished, may not be read, or its disk failed.
    """
    digest = hashlib.sha256()
    decoder = codecs.getincrementaldecoder("utf-8")()
    head, damage, tail, size = b"", b"", b"", 0
    whole = True
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            head = head or chunk[:SAMPLE_BYTES]
            tail = chunk[-4:]
            size += len(chunk)
            digest.update(chunk)
            try:
                if whole:
                    decoder.decode(chunk)
            except UnicodeDecodeError as error:
                whole, damage = False, _around(chunk, error)
    if whole:
        whole = not decoder.getstate()[0]
    encoding = _encoding(head, damage, is_utf8=whole)
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    # Without the zeros that follow a line end in UTF-16 and UTF-32.
    ends_a_line = tail.rstrip(b"\0").endswith(b"\n")
    return Fingerprint(digest.hexdigest(), size, encoding, text, ends_a_line)


def encoding_of(content: bytes) -> str:
    """Name the codec of a text that is in memory already, as :func:`fingerprint` does for a file.

    >>> encoding_of("été".encode("cp1252")), encoding_of("été".encode())
    ('cp1252', 'utf-8')
    """
    head = content[:SAMPLE_BYTES]
    try:
        content.decode()
    except UnicodeDecodeError as error:
        return _encoding(head, _around(content, error), is_utf8=False)
    return _encoding(head, b"", is_utf8=True)


def open_text(path: Path, encoding: str) -> TextIO:
    r"""Open for reading with line ends as they are: only ``\n`` ends a line.

    Bytes that are no text arrive as lone surrogates, which the boundary counts and replaces.
    """
    errors = "replace" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    return path.open(encoding=encoding, errors=errors, newline="\n")


def decoded_bytes(content: bytes) -> str:
    """Decode a text that does not say in which encoding it is, or says it wrongly."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        encoding = _encoding(content[:SAMPLE_BYTES], _around(content, error), is_utf8=False)
    return content.decode(
        encoding, "replace" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"
    )


def bounded_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Number the lines from 1; of one that is too long to hold only the beginning comes out."""
    with open_text(path, encoding) as stream:
        number = 0
        while line := stream.readline(MAX_ENTRY_CHARACTERS + 1):
            number += 1
            yield number, line
            while len(line) > MAX_ENTRY_CHARACTERS and not line.endswith("\n"):
                line = stream.readline(MAX_ENTRY_CHARACTERS + 1) or "\n"


def _around(chunk: bytes, error: UnicodeDecodeError) -> bytes:
    start = max(0, error.start - 4)
    return chunk[start : start + SAMPLE_BYTES]


def _encoding(head: bytes, damage: bytes, *, is_utf8: bool) -> str:
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if silent := _unmarked_utf16(head):
        return silent
    if is_utf8:
        return "utf-8"
    sample = head + damage
    # "replace" turns each damaged spot into U+FFFD: more sound accents than damage means UTF-8.
    text = sample.decode("utf-8", "replace")
    damaged = text.count("\ufffd")
    sound = sum(not character.isascii() for character in text) - damaged
    return (
        "utf-8" if sound > damaged else max(_OLD_ENCODINGS, key=lambda name: _french(sample, name))
    )


def _unmarked_utf16(head: bytes) -> str | None:
    """Western text in UTF-16 has a zero in every other byte, and on one side only."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if not half or max(even, odd) < half * 0.7 or min(even, odd) > half * 0.1:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _french(sample: bytes, encoding: str) -> int:
    accents = [c for c in sample.decode(encoding, "replace") if not c.isascii()]
    return sum(1 if character in _FRENCH else -1 for character in accents)
