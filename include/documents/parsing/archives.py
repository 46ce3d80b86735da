"""Open what an office file holds without being blown up by it.

A zip says how large its members are, and may lie: what is read is counted while it is read. XML that
declares entities is refused before a parser sees it.
"""

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree as ET

from include.documents.parsing.sentences import DocumentRefusedError

MAX_MEMBERS = 20_000
MAX_XML_BYTES = 128 << 20
"""Of one part; the text of a thousand pages takes a tenth."""

MAX_RATIO = 200
"""XML of office files shrinks by 10 to 40; a bomb by a thousand."""

RATIO_FLOOR_BYTES = 4 << 20
"""Small parts may shrink as they like."""

MAX_DEPTH = 400
"""Elements inside elements; office programs write some 20."""

_BLOCK = 1 << 18
_DECLARATION = re.compile(rb"<!\s*(DOCTYPE|ENTITY)", re.IGNORECASE)
_ENCRYPTED_FLAG = 0x1


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip.

    Raises:
        DocumentRefusedError: It is cut short, or holds too many members.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise DocumentRefusedError("zip_bomb", f"{len(archive.infolist())} fichiers")
            yield archive
    except (zipfile.BadZipFile, EOFError) as error:
        raise DocumentRefusedError("truncated") from error


def member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Read one member within the limits.

    Raises:
        DocumentRefusedError: It is encrypted, damaged, or swells too much.
    """
    info = archive.getinfo(name)
    if info.flag_bits & _ENCRYPTED_FLAG:
        raise DocumentRefusedError("encrypted")
    content = bytearray()
    try:
        with archive.open(info) as stream:
            while block := stream.read(_BLOCK):
                content += block
                _check_size(len(content), info.compress_size)
    except NotImplementedError as error:  # a compression nobody writes documents with
        raise DocumentRefusedError("damaged") from error
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise DocumentRefusedError("damaged") from error
    except Exception as error:
        # zlib.error and its kin share no base; a damaged stream is all they mean here.
        if type(error).__module__ in {"zlib", "lzma", "_lzma", "bz2"}:
            raise DocumentRefusedError("damaged") from error
        raise
    return bytes(content)


def xml(content: bytes) -> ET.Element:
    """Read XML that declares nothing and nests within reason.

    Raises:
        DocumentRefusedError: It declares a document type or entities, nests too deep, or is no XML.
    """
    # In UTF-16 the declaration would hide between zeros.
    if _DECLARATION.search(content.replace(b"\0", b"")):
        raise DocumentRefusedError("unsafe_xml")
    parser = ET.XMLParser(target=_BoundedTree())  # noqa: S314 - nothing is declared, depth is bounded
    try:
        for start in range(0, len(content), _BLOCK):
            parser.feed(content[start : start + _BLOCK])
        root = parser.close()
    except ET.ParseError as error:
        raise DocumentRefusedError("damaged") from error
    if not isinstance(root, ET.Element):
        raise DocumentRefusedError("damaged")
    return root


class _BoundedTree(ET.TreeBuilder):
    """Builds the tree of a file that nests within reason."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0

    def start(self, tag: str, attrs: dict[str, str], /) -> ET.Element:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise DocumentRefusedError("zip_bomb", "imbrication excessive")
        return super().start(tag, attrs)

    def end(self, tag: str, /) -> ET.Element:
        self.depth -= 1
        return super().end(tag)


def _check_size(size: int, compressed: int) -> None:
    swollen = size > RATIO_FLOOR_BYTES and size > MAX_RATIO * max(1, compressed)
    if swollen or size > MAX_XML_BYTES:
        raise DocumentRefusedError(
            "zip_bomb", f"plus de {size >> 20} Mo pour {compressed >> 10} Ko"
        )
