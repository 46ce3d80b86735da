"""Say what a file is by its bytes; its name only decides between Markdown and plain text.

Files are told apart outside the sandbox: of a foreign file only the head is decoded, and of a zip
nothing but its list of members and a few bytes of one, within bounds.
"""

import re
import zipfile
from typing import BinaryIO

from include.contributions.sources.encodings import encoding_of
from include.documents.model import Media, SetAside
from include.documents.parsing.sentences import DocumentRefusedError, set_aside
from include.documents.parsing.transcripts import CUE, TURN

HEAD_BYTES = 1 << 16
_PDF_HEADER_WITHIN = 1024
_MAX_CONTROL_SHARE = 0.05
"""Of a text that was damaged; bytes at random hold twice that."""

_MIN_TURNS = 3
_MIN_TURN_SHARE = 0.2
_MAX_MIMETYPE_BYTES = 200
_MAX_CHARACTER_BYTES = 4
_BLOCK_BYTES = 1 << 20

MAX_DIRECTORY_BYTES = 8 << 20
"""Of a zip's list of members, which takes some twenty times that in memory: 20,000 long names."""

_IMAGES = (
    (re.compile(rb"\xff\xd8\xff"), Media.JPEG),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), Media.PNG),
    (re.compile(rb"II\*\0|MM\0\*|II\+\0|MM\0\+"), Media.TIFF),
    (re.compile(rb"RIFF.{4}WEBP", re.DOTALL), Media.WEBP),
)
_OTHER_IMAGES = re.compile(rb"GIF8[79]a|BM.{4}\0\0\0\0|....ftyp(?:heic|heix|mif1|avif)", re.DOTALL)
_ZIP = re.compile(rb"PK(?:\x03\x04|\x05\x06|\x07\x08)")
_OLD_OFFICE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_HTML = re.compile(r"<(?:!doctype\s+html|html|head|body)[\s>]", re.IGNORECASE)
_HTML_FRAGMENT = re.compile(
    r"\s*<(?:div|p|table|h[1-6]|article|section|main|ul)[\s>]", re.IGNORECASE
)
_OTHER_MARKUP = re.compile(r"\s*(?:<\?xml|<svg[\s>]|\{\\rtf|%!PS)", re.IGNORECASE)
_MARKDOWN = re.compile(
    r"^(?:#{1,6} \S|[-*+] \S.*\n[-*+] \S|```|\|.*\|\s*\n\|[ :|-]+\|)"
    r"|\[[^\[\]\n]{1,200}\]\(\S{1,500}\)|\*\*\S[^*\n]{0,200}\*\*",
    re.MULTILINE,
)
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f\ufffd]")


def sniff(stream: BinaryIO, name: str) -> Media | SetAside:
    """Tell the medium of a file.

    Args:
        stream: The file, open at its beginning; how large it is costs no memory.
        name: As it was met; nothing but a hint.

    Returns:
        The medium, or why the file cannot be used, with a sentence for a clerk.
    """
    head = stream.read(HEAD_BYTES * _MAX_CHARACTER_BYTES)
    if not head:
        return set_aside("empty_file")
    start = head[:HEAD_BYTES]
    return _image(start) or _container(stream, head) or _recording(start) or _text(head, name)


def _image(head: bytes) -> Media | SetAside | None:
    media = next((media for pattern, media in _IMAGES if pattern.match(head)), None)
    if media is None and _OTHER_IMAGES.match(head):
        return set_aside("other_image", "GIF, BMP, HEIC ou AVIF")
    return media


def _container(stream: BinaryIO, head: bytes) -> Media | SetAside | None:
    if _ZIP.match(head):
        return _zipped(stream)
    if head.startswith(_OLD_OFFICE):
        return set_aside("encrypted" if _holds(stream, _ENCRYPTED_PACKAGE) else "old_word")
    head = head[:_PDF_HEADER_WITHIN]
    # Scanners put a few bytes before the header; an article about PDF begins as HTML does.
    is_pdf = b"%PDF-" in head and not _is_html(head.decode(encoding_of(head), "ignore"))
    return Media.PDF if is_pdf else None


def _holds(stream: BinaryIO, words: bytes) -> bool:
    stream.seek(0)
    kept = b""
    while block := stream.read(_BLOCK_BYTES):
        if words in kept + block:
            return True
        kept = block[-len(words) :]
    return False


class _Sparing:
    """A file that is not read in large pieces: a zip's list of members is read in one."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell, self.seekable = stream.seek, stream.tell, stream.seekable

    def read(self, size: int = -1, /) -> bytes:
        if size > MAX_DIRECTORY_BYTES:
            raise DocumentRefusedError("zip_bomb", f"{size >> 20} Mo de noms de fichiers")
        return self._stream.read(size)


def _zipped(stream: BinaryIO) -> Media | SetAside:
    try:
        with zipfile.ZipFile(_Sparing(stream)) as archive:
            return _of_members(archive)
    except DocumentRefusedError as refusal:
        return refusal.set_aside
    except (zipfile.BadZipFile, EOFError):
        return set_aside("truncated")
    except Exception:  # noqa: BLE001 - a hostile zip raises whatever its names and streams provoke
        return set_aside("damaged")


def _of_members(archive: zipfile.ZipFile) -> Media | SetAside:
    names = set(archive.namelist())
    if "word/document.xml" in names:
        return Media.DOCX
    if "mimetype" in names and archive.getinfo("mimetype").file_size < _MAX_MIMETYPE_BYTES:
        with archive.open("mimetype") as member:
            # Asked for a few bytes it inflates a few; asked for all, whatever the stream holds.
            kind = member.read(_MAX_MIMETYPE_BYTES).decode("ascii", "replace")
        if kind.startswith("application/vnd.oasis.opendocument.text"):
            return Media.ODT
        return set_aside("other_archive", kind.strip()[:60])
    kinds = {"xl/workbook.xml": "classeur Excel", "ppt/presentation.xml": "présentation PowerPoint"}
    found = next((label for part, label in kinds.items() if part in names), "zip")
    return set_aside("other_archive", found)


def _recording(head: bytes) -> Media | None:
    import filetype  # noqa: PLC0415 - DAG files import this module

    kind = filetype.guess(head)
    family = kind.mime.split("/")[0] if kind else ""
    return {"audio": Media.AUDIO, "video": Media.VIDEO_FILE}.get(family)


def _text(head: bytes, name: str) -> Media | SetAside:
    text = head.decode(encoding_of(head), "replace").removeprefix("\ufeff")
    sample = text[:HEAD_BYTES].replace("\r\n", "\n").replace("\r", "\n")
    if not sample.strip("\0 \n\t\f"):
        return set_aside("empty_file")
    if len(_CONTROL.findall(sample)) > _MAX_CONTROL_SHARE * len(sample):
        return set_aside("unknown_content_type")
    if _is_html(sample) or _HTML_FRAGMENT.match(sample):
        return Media.HTML
    if _OTHER_MARKUP.match(sample):
        return set_aside("unknown_content_type")
    return _timed(sample) or _written(sample, name)


def _timed(sample: str) -> Media | None:
    if sample.startswith("WEBVTT"):
        return Media.VTT
    if CUE.search(sample[:2000]):
        return Media.SRT
    return Media.TRANSCRIPT if _is_transcript(sample) else None


def _written(sample: str, name: str) -> Media:
    named = name.lower().endswith((".md", ".markdown"))
    return Media.MARKDOWN if named or _MARKDOWN.search(sample) else Media.TEXT


def _is_html(text: str) -> bool:
    """Whether a page begins near the beginning, and not inside a quotation further on."""
    found = _HTML.search(text[:4096])
    if not found:
        return False
    before = text[: found.start()].strip("\ufeff \t\r\n")
    return not before or before.startswith("<")


def _is_transcript(text: str) -> bool:
    """Whether a good part of the paragraphs begins with a time, and the times run forward."""
    turns = [
        tuple(
            int(part or 0)
            for part in (found[1] or found[4], found[2] or found[5], found[3] or found[6])
        )
        for found in TURN.finditer(text)
    ]
    lines = sum(1 for line in text.splitlines() if line.strip())
    return (
        len(turns) >= _MIN_TURNS
        and len(turns) >= _MIN_TURN_SHARE * lines
        and turns == sorted(turns)
    )
