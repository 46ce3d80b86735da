"""A Facebook export in JSON ("download your information"): posts and comments of a page or a group.

The export writes each byte of its UTF-8 as a character of its own (``Ã©`` for ``é``); here the
words come out as they were written. Its moments are seconds in UTC, which become days in Paris.
Names of people, titles that hold them, attachments and reactions are not kept; a post without words
(a shared photograph) is no entry.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import Entry, admitted, broken
from include.contributions.sources.dates import PARIS
from include.contributions.sources.json_files import MAX_BYTES, json_entries
from include.ports import SourceFile

LIST_KEYS = (
    "comments_v2",
    "comments",
    "group_comments_v2",
    "group_posts_v2",
    "posts_v2",
    "posts",
    "page_posts_v2",
    "status_updates_v2",
    "status_updates",
)

_HOLDS_WORDS = re.compile(
    r'"timestamp"\s*:\s*\d{9,}\s*[,}].*?"data"\s*:\s*\[\s*\{\s*"(?:post|comment|update_timestamp)"'
    r'|"data"\s*:\s*\[\s*\{\s*"(?:post|comment|update_timestamp)".*?"timestamp"\s*:\s*\d{9,}',
    re.DOTALL,
)
_LISTED = re.compile(rf'\s*\{{\s*"(?:{"|".join(LIST_KEYS)})"\s*:\s*\[')
_BYTES_AS_LETTERS = re.compile("[\u00c2-\u00f4][\u0080-\u00bf]+")
_NO_WORDS = "no_words"


class FacebookSource:
    """Reads the JSON files of an export that hold posts or comments."""

    form = "facebook"

    def recognises(self, path: Path, head: str) -> bool:
        """Say yes to a JSON document whose first entries look like the export's."""
        begins = head.lstrip()[:1] == "[" or _LISTED.match(head) is not None
        return path.suffix.lower() == ".json" and begins and _HOLDS_WORDS.search(head) is not None

    def records(self, file: SourceFile) -> Iterator[Record | BrokenRecord]:
        """Yield one entry per post or comment that has words, in file order."""
        if file.size_bytes > MAX_BYTES:
            limit = MAX_BYTES // (1024 * 1024)
            detail = f"Le fichier dépasse {limit} Mo : demander l'export par périodes plus courtes."
            yield broken("line 1", "too_large", detail, "")
            return
        for entry in json_entries(file, _admitted, LIST_KEYS):
            if not (isinstance(entry, BrokenRecord) and entry.reason == _NO_WORDS):
                yield entry


def repaired(text: str) -> str:
    """Undo an encoding of UTF-8 bytes as letters; a text that was right stays as it is.

    >>> repaired("Le banc est cassÃ©"), repaired("Le banc est cassé")
    ('Le banc est cassé', 'Le banc est cassé')
    """
    try:
        return text.encode("latin-1").decode()
    except UnicodeEncodeError:
        return text  # letters that no single byte gives: this was never torn apart
    except UnicodeDecodeError:
        return _BYTES_AS_LETTERS.sub(_rejoined, text)


def _rejoined(match: re.Match[str]) -> str:
    try:
        return match[0].encode("latin-1").decode()
    except UnicodeDecodeError:
        return match[0]


def _admitted(source: str, value: Any, locator: str) -> Record | BrokenRecord:
    if not isinstance(value, Mapping):
        detail = "L'entrée n'est pas une publication de l'export : la retirer ou refaire l'export."
        return broken(locator, "wrong_type", detail, "")
    kind, words, moment, external_id = _written(value)
    if words is None:
        return BrokenRecord(locator, _NO_WORDS, "", "")
    entry = Entry(locator, notes={"kind": kind})
    entry.found["body"] = repaired(words) if isinstance(words, str) else words
    if external_id is not None:
        entry.found["id"] = external_id
    if (submitted := _paris_moment(moment)) is not None:
        entry.found["submitted"] = submitted
    return admitted(source, entry)


def _written(value: Mapping[str, Any]) -> tuple[str, Any, Any, Any]:
    """Find the words of an entry, what they are, when they were written and under which number."""
    moment, external_id = value.get("timestamp"), value.get("fbid")
    listed = value.get("data")
    for part in listed if isinstance(listed, list) else []:
        if not isinstance(part, Mapping):
            continue
        if part.get("post"):
            return "post", part["post"], moment, external_id
        comment = part.get("comment")
        if isinstance(comment, Mapping) and comment.get("comment"):
            return "comment", comment["comment"], comment.get("timestamp", moment), external_id
    return "post", None, moment, external_id


def _paris_moment(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    try:
        return datetime.fromtimestamp(value, PARIS).isoformat(timespec="seconds")
    except (OverflowError, OSError, ValueError):
        return None
