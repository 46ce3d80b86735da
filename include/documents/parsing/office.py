"""Read the text of DOCX and ODT: paragraphs, lists and tables in order, pages where a break stands."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

from include.documents.parsing.archives import member, opened, xml
from include.documents.parsing.cleaning import clean
from include.documents.parsing.draft import Draft
from include.documents.parsing.plain_text import text_pages
from include.documents.parsing.sentences import DocumentRefusedError
from include.documents.parsing.settings import ParseLimits

_W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
_DC = "{http://purl.org/dc/elements/1.1/}"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_FO = "{urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"

_DOCX_TITLES = ("Title", "Titre", "Heading1", "Titre1")
_DELETED = {f"{_W}del", f"{_W}moveFrom", f"{_W}instrText", f"{_W}pPr", f"{_W}rPr", f"{_W}sectPr"}
_HIDDEN_ODT = {f"{_TEXT}tracked-changes", f"{_OFFICE}annotation", f"{_TEXT}sequence-decls"}
_MAX_SPACES = 100


def read_docx(path: Path, limits: ParseLimits) -> Draft:
    """Read a DOCX.

    Raises:
        DocumentRefusedError: It is damaged, encrypted, hostile, empty or too long.
    """
    with opened(path) as archive:
        root = xml(_part(archive, "word/document.xml"))
        metadata = _core(archive, "docProps/core.xml")
    heading = next(
        (text for item in root.iter(f"{_W}p") if (text := _docx_title(item))),
        None,
    )
    return _draft(
        "".join(_walk(root, _docx_before, _docx_after, _DELETED)), heading, metadata, limits
    )


def read_odt(path: Path, limits: ParseLimits) -> Draft:
    """Read an ODT.

    Raises:
        DocumentRefusedError: It is damaged, encrypted, hostile, empty or too long.
    """
    with opened(path) as archive:
        if "META-INF/manifest.xml" in archive.namelist() and (
            b"encryption-data" in member(archive, "META-INF/manifest.xml")
        ):
            raise DocumentRefusedError("encrypted")
        root = xml(_part(archive, "content.xml"))
        metadata = _core(archive, "meta.xml")
    body = root.find(f"{_OFFICE}body")
    if body is None:
        raise DocumentRefusedError("no_text")
    breaking = _breaking_styles(root)

    def before(item: ET.Element) -> str:
        broken = item.get(f"{_TEXT}style-name") in breaking
        return ("\f" if broken else "") + _odt_before(item)

    heading = next((_plain(item) for item in body.iter(f"{_TEXT}h") if _plain(item)), None)
    return _draft("".join(_walk(body, before, _odt_after, _HIDDEN_ODT)), heading, metadata, limits)


def _draft(text: str, heading: str | None, metadata: dict[str, str], limits: ParseLimits) -> Draft:
    if len(text) > limits.max_characters:
        raise DocumentRefusedError("too_large", f"{len(text)} caractères")
    return Draft(text_pages(text.lstrip("\f\n "), limits), heading, metadata=metadata)


def _part(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        return member(archive, name)
    except KeyError as error:
        raise DocumentRefusedError("damaged") from error


def _core(archive: zipfile.ZipFile, name: str) -> dict[str, str]:
    """What the file claims of itself; a damaged claim is no claim."""
    try:
        root = xml(member(archive, name))
    except (KeyError, DocumentRefusedError):
        return {}
    found = {"title": root.find(f".//{_DC}title"), "author": root.find(f".//{_DC}creator")}
    return {
        key: clean(item.text)[:300]
        for key, item in found.items()
        if item is not None and item.text and item.text.strip()
    }


def _walk(
    root: ET.Element,
    before: Callable[[ET.Element], str],
    after: Callable[[ET.Element], str],
    hidden: set[str],
) -> Iterator[str]:
    """Yield the text in order: what an element begins with, its own, its children's, its end."""
    stack: list[ET.Element | str] = [root]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif item.tag in hidden:
            yield _tail(item)
        else:
            yield before(item)
            stack.append(after(item) + _tail(item))
            stack.extend(reversed(item))


def _tail(item: ET.Element) -> str:
    """Text after an element; in a DOCX it is the XML's own layout."""
    return "" if item.tag.startswith(_W) else (item.tail or "")


def _docx_before(item: ET.Element) -> str:
    if item.tag == f"{_W}t":
        return item.text or ""
    if item.tag == f"{_W}br":
        return "\f" if item.get(f"{_W}type") == "page" else "\n"
    if item.tag == f"{_W}p" and item.find(f"{_W}pPr/{_W}pageBreakBefore") is not None:
        return "\f"
    if item.tag == f"{_W}p" and item.find(f"{_W}pPr/{_W}numPr") is not None:
        return "- "
    return {f"{_W}tab": "\t", f"{_W}noBreakHyphen": "-"}.get(item.tag, "")


def _docx_after(item: ET.Element) -> str:
    return {f"{_W}p": "\n", f"{_W}tc": " | ", f"{_W}tr": "\n"}.get(item.tag, "")


def _docx_title(item: ET.Element) -> str | None:
    style = item.find(f"{_W}pPr/{_W}pStyle")
    if style is None or style.get(f"{_W}val") not in _DOCX_TITLES:
        return None
    return "".join(text.text or "" for text in item.iter(f"{_W}t")).strip() or None


def _odt_before(item: ET.Element) -> str:
    own = (item.text or "") if item.tag.startswith((_TEXT, _OFFICE)) else ""
    if item.tag == f"{_TEXT}s":
        # A count is the file's claim, and claims are limited.
        count = item.get(f"{_TEXT}c", "1")
        return " " * (min(int(count), _MAX_SPACES) if count.isdecimal() else 1)
    marks = {
        f"{_TEXT}tab": "\t",
        f"{_TEXT}line-break": "\n",
        f"{_TEXT}soft-page-break": "",
        f"{_TEXT}list-item": "- ",
    }
    return marks.get(item.tag, "") + own


def _odt_after(item: ET.Element) -> str:
    ends = {
        f"{_TEXT}p": "\n",
        f"{_TEXT}h": "\n",
        f"{_TABLE}table-cell": " | ",
        f"{_TABLE}table-row": "\n",
    }
    return ends.get(item.tag, "")


def _breaking_styles(root: ET.Element) -> set[str | None]:
    return {
        style.get(f"{_STYLE}name")
        for style in root.iter(f"{_STYLE}style")
        for properties in style.iter(f"{_STYLE}paragraph-properties")
        if properties.get(f"{_FO}break-before") == "page"
    }


def _plain(item: ET.Element) -> str:
    return "".join(item.itertext()).strip()
