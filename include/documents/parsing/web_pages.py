"""Read an HTML page: its body without what surrounds every page of a site, as text with links."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from include.contributions.sources.encodings import encoding_of
from include.documents.parsing.cleaning import clean
from include.documents.parsing.draft import Draft
from include.documents.parsing.plain_text import text_pages
from include.documents.parsing.sentences import DocumentRefusedError
from include.documents.parsing.settings import ParseLimits

if TYPE_CHECKING:
    from selectolax.lexbor import LexborHTMLParser, LexborNode

LEFT_OUT = "script, style, noscript, template, svg, iframe, nav, header, footer"
"""``header`` and ``footer`` of the page; those inside an article or a section are part of it."""

_KEPT_IN = {"article", "section", "main"}
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "table", "ul", "ol"}
_BLOCKS = {
    *("address", "article", "aside", "blockquote", "body", "caption", "dd", "details", "div", "dl"),
    *("dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "main", "pre"),
    *("section", "summary"),
}
_MARKS = {"li": ("\n- ", "\n"), "td": ("", " | "), "th": ("", " | "), "tr": ("", "\n")}
_LINK_SCHEMES = ("http://", "https://", "mailto:", "/")
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?([\w-]{3,20})", re.IGNORECASE)
_SPACES = re.compile(r"[ \t\r\n\f]+")
_AROUND_BREAK = re.compile(r" *\n *")
_DANGLING = re.compile(r" ?\| ?(?=\n|$)")


def read_html(path: Path, limits: ParseLimits) -> Draft:
    """Read the body of a page.

    Raises:
        DocumentRefusedError: It holds no word, or is longer than allowed.
    """
    from selectolax.lexbor import LexborHTMLParser  # noqa: PLC0415 - only the worker needs it

    text, warnings = _decoded(path.read_bytes())
    tree = LexborHTMLParser(text)
    heading = _heading(tree)
    if tree.body is None:
        raise DocumentRefusedError("no_text")
    for node in tree.css(LEFT_OUT):
        if node.tag not in {"header", "footer"} or not _is_inside(node, _KEPT_IN):
            node.decompose()
    body = clean(_text(tree.body))
    if len(body) > limits.max_characters:
        raise DocumentRefusedError("too_large", f"{len(body)} caractères")
    return Draft(text_pages(body, limits), heading, warnings, _metadata(tree))


def _decoded(content: bytes) -> tuple[str, list[str]]:
    encoding = encoding_of(content)
    declared = _DECLARED.search(content[:4096])
    # UTF-8 proves itself; anything else is believed when it says what it is.
    if declared and not encoding.startswith("utf"):
        try:
            return content.decode(declared[1].decode("ascii")), []
        except (LookupError, UnicodeDecodeError):
            pass
    text = content.decode(encoding, "replace")
    damaged = text.count("\ufffd")
    return text, [f"{damaged} caractère(s) illisible(s) dans la page."] if damaged else []


def _heading(tree: "LexborHTMLParser") -> str | None:
    for selector in ("h1", "title", "h2"):
        for node in tree.css(selector):
            if text := _SPACES.sub(" ", clean(node.text())):
                return text
    return None


def _metadata(tree: "LexborHTMLParser") -> dict[str, str]:
    metadata = {}
    if title := tree.css_first("title"):
        metadata["title"] = _SPACES.sub(" ", clean(title.text()))[:300]
    if (node := tree.css_first("link[rel=canonical]")) and (href := node.attributes.get("href")):
        metadata["canonical_url"] = clean(href)[:1000]
    return metadata


def _is_inside(node: "LexborNode", tags: set[str]) -> bool:
    parent = node.parent
    while parent is not None:
        if parent.tag in tags:
            return True
        parent = parent.parent
    return False


def _text(body: "LexborNode") -> str:
    """Put a tree into lines; without recursion, for a hostile page nests ten thousand deep."""
    pieces: list[str] = []
    stack: list[LexborNode | str] = [body]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            pieces.append(item)
        elif item.tag == "-text":
            pieces.append(_SPACES.sub(" ", item.text_content or ""))
        elif item.tag == "br":
            pieces.append("\n")
        else:
            before, after = _around(item)
            pieces.append(before)
            stack.append(after)
            stack.extend(reversed(list(item.iter(include_text=True))))
    text = _AROUND_BREAK.sub("\n", re.sub(r" {2,}", " ", "".join(pieces)))
    return _DANGLING.sub("", text)


def _around(node: "LexborNode") -> tuple[str, str]:
    tag = node.tag or ""
    if tag in _MARKS:
        return _MARKS[tag]
    if tag in _PARAGRAPHS:
        return "\n\n", "\n\n"
    if tag in _BLOCKS:
        return "\n", "\n"
    if tag == "a":
        href = (node.attributes.get("href") or "").strip()
        return "", f" ({href})" if href.startswith(_LINK_SCHEMES) and len(href) > 1 else ""
    return "", ""
