"""JSON lines: one object a line, ``{"id", "text", ...}`` or the fields of the form.

Every line that is not blank is one entry. Read line by line: memory does not grow with the file.
"""

from collections.abc import Iterator
from pathlib import Path

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import (
    TRUNCATED,
    BadEntryError,
    source_name,
)
from include.contributions.sources.encodings import MAX_ENTRY_CHARACTERS, bounded_lines
from include.contributions.sources.fields import TEXT_ROLES, role_of
from include.contributions.sources.json_values import (
    CutOffError,
    admitted_value,
    decoded,
    unreadable,
)
from include.ports import SourceFile

JSON_BLANKS = " \t\r\n"


class JsonLinesSource:
    """Reads ``.jsonl`` and ``.ndjson``, and any file whose first line is a whole entry."""

    form = "jsonl"

    def recognises(self, path: Path, head: str) -> bool:
        """Say yes to the extension, or to a first line that is an object with a text."""
        if path.suffix.lower() in {".jsonl", ".ndjson"}:
            return True
        first = head.lstrip(JSON_BLANKS).partition("\n")[0]
        if not first.startswith("{"):
            return False
        try:
            value, end = decoded(first)
        except BadEntryError:
            return False
        if any(isinstance(inner, list) and _has_object(inner) for inner in value.values()):
            return False  # one line around a list of entries
        roles = {found[0] for found in map(role_of, value) if found}
        return not first[end:].strip(JSON_BLANKS) and bool(roles & TEXT_ROLES)

    def records(self, file: SourceFile) -> Iterator[Record | BrokenRecord]:
        """Yield one entry per line that is not blank."""
        source = source_name(file.path)
        for number, line in bounded_lines(file.path, file.encoding):
            entry = line.strip(JSON_BLANKS)
            if entry:
                yield _read(source, f"line {number}", entry, is_last=not line.endswith("\n"))


def _has_object(values: list[object]) -> bool:
    return any(isinstance(value, dict) for value in values)


def _read(source: str, locator: str, entry: str, *, is_last: bool) -> Record | BrokenRecord:
    if len(entry) > MAX_ENTRY_CHARACTERS:
        detail = f"La ligne dépasse {MAX_ENTRY_CHARACTERS} caractères : la raccourcir."
        return unreadable(locator, "too_long", detail, entry)
    try:
        value, end = decoded(entry)
    except CutOffError as cut:
        return unreadable(locator, TRUNCATED if is_last else cut.reason, cut.detail, entry)
    except BadEntryError as bad:
        return unreadable(locator, bad.reason, bad.detail, entry)
    if end != len(entry):
        detail = "La ligne continue après la fin de l'entrée : une seule entrée par ligne."
        return unreadable(locator, "not_json", detail, entry)
    return admitted_value(source, value, locator)
