"""JSON documents: a list of entries, or an object around one: ``{"contributions": [...]}``.

Entries are taken out one after the other, so that one that is wrong in itself stands alone as a
broken record; only where brackets no longer match is the rest of the file lost to reading, and
becomes one broken record.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import TRUNCATED, BadEntryError, broken, source_name
from include.contributions.sources.encodings import open_text
from include.contributions.sources.fields import TEXT_ROLES, role_of
from include.contributions.sources.json_values import (
    CutOffError,
    admitted_value,
    decoded,
    unreadable,
)
from include.ports import SourceFile

MAX_BYTES = 128 * 1024 * 1024
"""A JSON document is held in memory; JSON lines have no such limit."""

Admission = Callable[[str, Any, str], Record | BrokenRecord]
"""From source, value and locator of an entry to what goes into the ledger."""

LIST_KEYS = ("contributions", "records", "entries", "items", "data", "results")

_BLANKS = re.compile(r"[ \t\r\n]*")
# A string is one token even when the file ends in it; possessive: no quote is tried twice.
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKET = re.compile(rf"{_STRING.pattern}|[\[\]{{}}]", re.DOTALL)
_DEPTH = {"{": 1, "[": 1, "}": -1, "]": -1}
_SCALAR = re.compile(r"[^,\]}]*")


class JsonSource:
    """Reads ``.json``, and any file that begins as a list of objects or as an object around one."""

    form = "json"

    def recognises(self, path: Path, head: str) -> bool:
        """Say yes to the extension, or to a beginning that only such a document has."""
        if path.suffix.lower() == ".json":
            return True
        wrapped = rf'\s*(?:\[\s*\{{\s*"|\{{[^\[\{{]*"(?:{"|".join(LIST_KEYS)})"\s*:\s*\[)'
        return re.match(wrapped, head) is not None

    def records(self, file: SourceFile) -> Iterator[Record | BrokenRecord]:
        """Yield the entries of the list, or the single entry that the document is."""
        if file.size_bytes > MAX_BYTES:
            limit = MAX_BYTES // (1024 * 1024)
            detail = f"Le fichier dépasse {limit} Mo : le fournir en JSONL, une entrée par ligne."
            yield broken("line 1", "too_large", detail, "")
            return
        yield from json_entries(file, admitted_value)


def json_entries(
    file: SourceFile, admit: Admission, list_keys: Sequence[str] = LIST_KEYS
) -> Iterator[Record | BrokenRecord]:
    """Yield what ``admit`` makes of each entry of a document's list, in file order.

    Args:
        file: Read whole.
        admit: Turns source, value and locator of an entry into a record.
        list_keys: Under which the list may stand when the document is an object.
    """
    with open_text(file.path, file.encoding) as stream:
        text = stream.read().removeprefix("\ufeff")
    yield from _Document(source_name(file.path), text, admit, list_keys).entries()


class _Document:
    """A document while it is read: where we are, and on which line."""

    def __init__(self, source: str, text: str, admit: Admission, list_keys: Sequence[str]) -> None:
        self.source = source
        self.text = text
        self.admit = admit
        self.list_keys = list_keys
        self.position = 0
        self._counted = 0
        self._line = 1
        self._listed: Counter[str] = Counter()

    def entries(self) -> Iterator[Record | BrokenRecord]:
        opening = self._next()
        if not opening:
            return
        try:
            if opening == "[":
                yield from self._list("")
            elif opening == "{":
                yield from self._object()
            else:
                yield self._rest("no_entries", "Le fichier ne contient aucune liste d'entrées.")
                return
            if self._next():
                yield self._rest("not_json", "Le fichier continue après la fin de sa liste.")
        except CutOffError as cut:
            detail = f"Le fichier s'arrête au milieu. {cut.detail}"
            yield self._rest(TRUNCATED, detail)
        except BadEntryError as bad:
            yield self._rest(bad.reason, f"Le reste du fichier est illisible. {bad.detail}")

    def _object(self) -> Iterator[Record | BrokenRecord]:
        line = self._line_number()
        values: list[tuple[str, Any]] = []
        has_list = False
        self._take("{")
        while self._next() != "}":
            key = self._value()
            self._take(":")
            if key in self.list_keys and self._next() == "[":
                has_list = True
                yield from self._list(key)
            else:
                values.append((str(key), self._value()))
            if self._next() == ",":
                self._take(",")
        self._take("}")
        yield from self._around(values, f"line {line}", has_list=has_list)

    def _around(
        self, values: list[tuple[str, Any]], locator: str, *, has_list: bool
    ) -> Iterator[Record | BrokenRecord]:
        """Read what an object holds besides its lists: it can be an entry itself."""
        own = dict(values)
        if len(own) < len(values):
            detail = "Un champ figure deux fois dans le document : n'en garder qu'un."
            yield broken(locator, "duplicate_key", detail, "")
        elif not has_list or any(value and _is_text(key) for key, value in values):
            yield self.admit(self.source, own, locator)
        elif values and not self._listed.total():
            detail = "Le document ne contient aucune entrée : les mettre sous « contributions »."
            yield broken(locator, "no_entries", detail, "")
        for ordinal, (_, value) in enumerate(values):
            if has_list and _holds_texts(value):
                detail = "Une liste de textes n'est pas lue : la mettre sous « contributions »."
                yield broken(f"value[{ordinal}], {locator}", "unknown_list", detail, "")

    def _list(self, name: str) -> Iterator[Record | BrokenRecord]:
        self._take("[")
        while self._next() != "]":
            # Counted on where a document has a list twice: no two entries stand at one place.
            yield self._entry(f"{name}[{self._listed[name]}]")
            self._listed[name] += 1
            if self._next() != "]":
                self._take(",")
        self._take("]")

    def _entry(self, place: str) -> Record | BrokenRecord:
        start, end = self.position, self._value_end()
        locator = f"{place}, line {self._line_number()}"
        raw = self.text[start:end]
        try:
            value = self._decoded(end)
        except CutOffError:
            raise
        except BadEntryError as bad:
            self.position = end
            return unreadable(locator, bad.reason, bad.detail, raw)
        return self.admit(self.source, value, locator)

    def _value(self) -> Any:
        self._next()
        return self._decoded(self._value_end())

    def _decoded(self, end: int) -> Any:
        """Decode the value that ends there, alone: an error costs no more than the value is long."""
        try:
            value, length = decoded(self.text[self.position : end])
        except BadEntryError as bad:
            kind = CutOffError if end == len(self.text) else BadEntryError
            raise kind(bad.reason, bad.detail) from None
        self.position += length
        return value

    def _value_end(self) -> int:
        """Say where the value that begins here ends, by its quotes and brackets alone."""
        begins_with = self.text[self.position : self.position + 1]
        if begins_with not in {"{", "["}:
            pattern = _STRING if begins_with == '"' else _SCALAR
            match = pattern.match(self.text, self.position)
            return match.end() if match else self.position
        depth = 0
        for token in _BRACKET.finditer(self.text, self.position):
            depth += _DEPTH.get(token[0], 0)
            if depth == 0:
                return token.end()
        return len(self.text)

    def _next(self) -> str:
        match = _BLANKS.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.text[self.position : self.position + 1]

    def _take(self, expected: str) -> None:
        met = self._next()
        if met != expected:
            detail = f"Ligne {self._line_number()} : « {expected} » attendu."
            raise (BadEntryError if met else CutOffError)("not_json", detail)
        self.position += 1

    def _rest(self, reason: str, detail: str) -> BrokenRecord:
        locator = f"rest, line {self._line_number()}"
        return unreadable(locator, reason, detail, self.text[self.position :])

    def _line_number(self) -> int:
        self._line += self.text.count("\n", self._counted, self.position)
        self._counted = self.position
        return self._line


def _is_text(key: str) -> bool:
    role = role_of(key)
    return role is not None and role[0] in TEXT_ROLES


def _holds_texts(value: Any) -> bool:
    """Say whether a value is a list, or an object, of what could be entries."""
    inner = value.values() if isinstance(value, dict) else value
    return isinstance(value, dict | list) and any(
        isinstance(entry, dict) and any(map(_is_text, entry)) for entry in inner
    )
