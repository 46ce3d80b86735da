"""A mail as a mail program saves it (``.eml``): its headers, its parts, its words.

Whatever MIME, HTML and damage hold, a text comes out, or one sentence for the clerk. What would take
minutes to take apart is refused before it is tried.
"""

import re
from email import message_from_bytes, policy
from email.message import EmailMessage, MIMEPart
from html.parser import HTMLParser
from itertools import islice
from pathlib import Path

from include.contributions.sources.boundary import BadEntryError
from include.contributions.sources.encodings import decoded_bytes

MAX_LINES = 1_000_000
"""More than a file of that size has when its lines have words."""

MAX_HTML_CHARACTERS = 200_000
"""The standard parser's time grows with the square of a page; the form's is a tenth of this."""

MAX_HEADER_BYTES = 8_000
MAX_HEADERS = 200
MAX_PART_LINES = 1_000
"""Likewise for what says how a saved mail is built; a mail has some ten short headers and parts."""

_AS_TEXT = "l'enregistrer en texte."
_STRUCTURE = re.compile(
    rb"^(?:content-[a-z-]{1,40}|date)[ \t]*:[^\n]*(?:\n[ \t][^\n]*)*", re.IGNORECASE | re.MULTILINE
)


def is_saved_mail(path: Path) -> bool:
    """Say whether a file is named as one saved mail."""
    return path.suffix.lower() == ".eml"


def saved_mail(content: bytes) -> tuple[str, str | None]:
    """Read the words of a saved mail, and when it was sent as its header says; None without one.

    Raises:
        BadEntryError: It is too large to be taken apart.
    """
    if _is_oversized(content):
        raise BadEntryError("too_large", f"Le courriel est démesuré : {_AS_TEXT}")
    try:
        message = message_from_bytes(content, policy=policy.default)
        return _message_text(message), str(message["date"] or "") or None
    except BadEntryError:
        raise
    except Exception:  # noqa: BLE001  the email package raises any kind of error on damaged headers
        return decoded_bytes(content), None


def _is_oversized(content: bytes) -> bool:
    """Say whether taking a mail apart could take minutes, before anything is taken apart."""
    if content.count(b"\n") > MAX_LINES or content.count(b"\n--") > MAX_PART_LINES:
        return True
    headers = [len(match[0]) for match in islice(_STRUCTURE.finditer(content), MAX_HEADERS + 1)]
    return len(headers) > MAX_HEADERS or max(headers, default=0) > MAX_HEADER_BYTES


def _message_text(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    content = _decoded_part(part)
    if part.get_content_subtype() != "html":
        return content
    if len(content) > MAX_HTML_CHARACTERS:
        raise BadEntryError("too_large", f"La page du courriel est trop longue : {_AS_TEXT}")
    return _without_tags(content)


def _decoded_part(part: MIMEPart) -> str:
    """Decode a part as it says, else as its bytes say: many programs name no charset, or another."""
    payload = part.get_payload(decode=True)
    if not isinstance(payload, bytes):
        return str(payload or "")
    try:
        return payload.decode(part.get_content_charset("us-ascii"))
    except (LookupError, ValueError):
        return decoded_bytes(payload)


def _without_tags(markup: str) -> str:
    reader = _TextOfHtml()
    reader.feed(markup)
    reader.close()
    return "".join(reader.pieces)


class _TextOfHtml(HTMLParser):
    """Keeps the words of a page and starts a line where a browser would."""

    _BLOCKS = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4"})

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)
