"""Read Markdown and plain text: the encoding is found, and damaged bytes are counted."""

import re
from pathlib import Path

from include.contributions.sources.encodings import encoding_of
from include.documents.model import Page
from include.documents.parsing.cleaning import clean
from include.documents.parsing.draft import Draft
from include.documents.parsing.sentences import DocumentRefusedError
from include.documents.parsing.settings import ParseLimits

_HEADING = re.compile(r"^#{1,2}[ \t]+(.{1,300}?)[ \t#]*$", re.MULTILINE)


def read_text(path: Path, limits: ParseLimits) -> Draft:
    """Read a text; a form feed begins a page.

    Raises:
        DocumentRefusedError: It holds no word, or is longer than allowed.
    """
    text, warnings = decoded(path, limits)
    return Draft(text_pages(text, limits), warnings=warnings)


def read_markdown(path: Path, limits: ParseLimits) -> Draft:
    """Read a Markdown file as it is written; its first heading is its title.

    Raises:
        DocumentRefusedError: It holds no word, or is longer than allowed.
    """
    draft = read_text(path, limits)
    if found := _HEADING.search(draft.pages[0].text):
        draft.heading = re.sub(r"[*_`]+", "", found[1])
    return draft


def decoded(path: Path, limits: ParseLimits) -> tuple[str, list[str]]:
    """Decode a file, damaged bytes replaced by U+FFFD; the warnings say how many."""
    content = path.read_bytes()
    text = content.decode(encoding_of(content), "replace").removeprefix("\ufeff")
    if len(text) > limits.max_characters:
        raise DocumentRefusedError("too_large", f"{len(text)} caractères")
    warnings = []
    if damaged := text.count("\ufffd"):
        warnings.append(
            f"{damaged} caractère(s) illisible(s) remplacé(s) par « \ufffd » : vérifier l'original."
        )
    if nul := text.count("\0"):
        warnings.append(f"{nul} caractère(s) nul(s) retiré(s) du texte.")
    return text, warnings


def text_pages(text: str, limits: ParseLimits) -> list[Page]:
    """Make pages of a text, one per form feed; those without words say so.

    Raises:
        DocumentRefusedError: There is no word at all, or too many pages.
    """
    parts = text.rstrip("\f\r\n \t").split("\f")
    if len(parts) > limits.max_pages:
        raise DocumentRefusedError("too_many_pages", len(parts))
    pages = [text_page(number, clean(part)) for number, part in enumerate(parts, start=1)]
    if all(page.method == "set_aside" for page in pages):
        raise DocumentRefusedError("no_text")
    return pages


def text_page(number: int, text: str) -> Page:
    """A page of a file's own text, or an empty one."""
    if text:
        return Page(number, text, "text")
    return Page(number, "", "set_aside", reason="empty")
