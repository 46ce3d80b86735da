"""CSV as the town's Framaforms exports it, and as spreadsheets save it again.

The delimiter and the heading are found by their words: rows above the heading are titles. A quoted
text may run over several lines; a quote that nobody closes costs its own row, not the rest.
"""

import csv
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import (
    TRUNCATED,
    admitted,
    broken,
    entry_of,
    source_name,
)
from include.contributions.sources.encodings import bounded_lines
from include.contributions.sources.fields import TEXT_ROLES, role_of
from include.ports import SourceFile

DELIMITERS = (";", ",", "\t")

MAX_ROW_CHARACTERS = 130_000
"""Two texts of the longest kind fit; csv's own limit for one field is 131,072."""

_NOT_SHOWN = "[ligne non montrée : elle a des colonnes personnelles]"

TITLE_ROWS = 20
"""How many rows may stand above the heading."""


@dataclass(frozen=True, slots=True)
class _Heading:
    delimiter: str
    names: tuple[str, ...]
    role_count: int
    is_all_known: bool


class _Row(NamedTuple):  # made for every line: a dataclass takes three times as long
    line: int
    raw: str
    is_open: bool = False
    is_last: bool = False


class TableSource:
    """Reads delimited text whose heading names a column of texts."""

    form = "csv"

    def recognises(self, path: Path, head: str) -> bool:
        """Say yes when one of the first rows is a heading; prose needs more than one known word."""
        extension = path.suffix.lower()
        if extension not in {".csv", ".tsv", ".txt"}:
            return False
        rows = islice(_rows(enumerate(head.splitlines(keepends=True), 1)), TITLE_ROWS)
        heading, _ = _heading_among([row.raw for row in rows])
        return heading is not None and (heading.role_count > 1 or extension != ".txt")

    def records(self, file: SourceFile) -> Iterator[Record | BrokenRecord]:
        """Yield one entry per row below the heading; rows without any content are no entries."""
        rows = _rows(bounded_lines(file.path, file.encoding))
        first = list(islice(rows, TITLE_ROWS))
        heading, index = _heading_among([row.raw for row in first])
        if heading is None:
            detail = "Aucune ligne d'en-tête avec une colonne « Constat factuel » ou « text »."
            yield broken("line 1", "no_heading", detail, "".join(row.raw for row in first))
            return
        source = source_name(file.path)
        for row in chain(first[index + 1 :], rows):
            if row.raw.strip(f' \r\n"{heading.delimiter}'):
                yield _read(source, heading, row)


def _heading_among(rows: Sequence[str]) -> tuple[_Heading | None, int]:
    """Find the row with most known column names; an export may put keys above labels."""
    best: tuple[_Heading | None, int] = (None, -1)
    for index, raw in enumerate(rows):
        for delimiter in DELIMITERS:
            heading = _heading(raw, delimiter)
            if heading and (best[0] is None or heading.role_count >= best[0].role_count):
                best = (heading, index)
    return best


def _heading(raw: str, delimiter: str) -> _Heading | None:
    try:
        names = tuple(name.strip() for name in _cells(raw, delimiter))
    except csv.Error:
        return None
    found = [role_of(name) for name in names]
    roles = {role[0] for role in found if role}
    return _Heading(delimiter, names, len(roles), all(found)) if roles & TEXT_ROLES else None


def _rows(lines: Iterable[tuple[int, str]]) -> Iterator[_Row]:
    """Join lines until quotes balance; where they never do, a line stands alone."""
    upcoming = iter(lines)
    again: deque[tuple[int, str]] = deque()
    while taken := _balanced(upcoming, again):
        first_line, first = taken[0]
        if len(taken) == 1 and first.isspace():
            continue
        raw = first if len(taken) == 1 else "".join(text for _, text in taken)
        is_last = not raw.endswith("\n")
        is_open = _is_odd(raw)
        if not is_open and (len(taken) == 1 or _is_one_row(raw)):
            yield _Row(first_line, raw, is_last=is_last)
            continue
        again.extendleft(reversed(taken[1:]))
        ended = is_open and len(raw) <= MAX_ROW_CHARACTERS
        yield _Row(first_line, first, is_open=True, is_last=ended)


def _balanced(
    upcoming: Iterator[tuple[int, str]], again: deque[tuple[int, str]]
) -> list[tuple[int, str]]:
    taken: list[tuple[int, str]] = []
    size, is_open = 0, True
    while is_open and size <= MAX_ROW_CHARACTERS:
        line = again.popleft() if again else next(upcoming, None)
        if line is None:
            break
        is_open = _is_odd(line[1]) != (is_open and bool(taken))
        size += len(line[1])
        taken.append(line)
    return taken


def _is_one_row(raw: str) -> bool:
    """Say whether quotes open and close where cells do; else one of them belongs to another row."""
    for delimiter in DELIMITERS:
        try:
            next(csv.reader([raw], delimiter=delimiter, strict=True))
        except csv.Error:
            continue
        return True
    return False


def _is_odd(text: str) -> bool:
    return text.count('"') % 2 == 1


def _read(source: str, heading: _Heading, row: _Row) -> Record | BrokenRecord:
    locator = f"line {row.line}"
    # Where a column holds names or the like, a row whose cells shifted could show them anywhere.
    shown = row.raw if heading.is_all_known else _NOT_SHOWN
    if len(row.raw) > MAX_ROW_CHARACTERS:
        detail = f"La ligne dépasse {MAX_ROW_CHARACTERS} caractères : la raccourcir."
        return broken(locator, "too_long", detail, shown)
    try:
        cells = _cells(row.raw, heading.delimiter)
    except csv.Error:
        detail = "La ligne n'est pas du CSV valable : vérifier guillemets et fins de ligne."
        return broken(locator, "not_csv", detail, shown)
    expected = len(heading.names)
    if row.is_open and len(cells) != expected:
        detail = "Un guillemet ouvert sur cette ligne n'est jamais fermé : le fermer ou le doubler."
        return broken(locator, TRUNCATED if row.is_last else "open_quote", detail, shown)
    if len(cells) < expected and row.is_last:
        detail = f"La dernière ligne s'arrête avant la fin ({len(cells)} colonnes sur {expected})."
        return broken(locator, TRUNCATED, detail, shown)
    if any(cell.strip() for cell in cells[expected:]):
        detail = f"La ligne compte {len(cells)} colonnes au lieu de {expected} : la corriger."
        return broken(locator, "wrong_columns", detail, shown)
    # A row may have fewer cells than a heading has names, and costs no more than it has.
    return admitted(source, entry_of(zip(heading.names, cells, strict=False), locator))


def _cells(raw: str, delimiter: str) -> list[str]:
    return next(csv.reader([raw], delimiter=delimiter), [])
