"""Find the day a document bears: the day it was signed, not those of the laws it quotes."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import lru_cache
from typing import NamedTuple

_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "janvier janv jan", "fevrier fevr fev", "mars", "avril avr", "mai", "juin",
            "juillet juil", "aout", "septembre sept sep", "octobre oct", "novembre nov",
            "decembre dec",
        ),
        start=1,
    )
    for name in names.split()
}  # fmt: skip
_MONTH = "|".join(sorted(_MONTHS, key=len, reverse=True))
_WRITTEN = re.compile(
    rf"\b(1\s?er|1\s?[°*'’\"]{{1,2}}|[0-3]?\s?\d|[1-3]\s?[oq])\s*({_MONTH})\b\.?,?\s*((?:19|20)\d\d)\b",
)
_NUMERIC = re.compile(
    r"(?<![\d./-])([0-3]?\d)\s?[/.-]\s?([01]?\d)\s?[/.-]\s?((?:19|20)\d\d)(?![\d/-])"
)
_ISO = re.compile(r"(?<![\d-])((?:19|20)\d\d)-(\d\d)-(\d\d)(?![\d-])")
_MONTH_YEAR = re.compile(rf"\b({_MONTH})\s+((?:19|20)\d\d)\b")
_NUMERIC_MONTH = re.compile(r"(?<![\d/.-])(0[1-9]|1[0-2])[ /.-]((?:19|20)\d\d)(?![\d/.-])")
_DIGITS = re.compile(r"\D")
_ZERO = str.maketrans("oq", "00")
"""A date stamp's zero as OCR reads it; the letters of *1er* are dropped first."""

SIGNED = re.compile(r"\b(?:fait|donne|signe|etabli)\b[^\n]{0,60}\ble\s*:?\s*$")
PLACE = re.compile(
    r"(?:^|\n)\s*(?:a\s+)?[a-z][a-z' -]{2,40},\s*le\s*:?\s*(?:[a-z]+di\s+|dimanche\s+)?$"
)
TITLED = re.compile(
    r"(?:^|\n)[^\w\n]*"
    r"(?:arrete|deliberation|decision|avis|reglement|proces[- ]verbal|compte[- ]rendu|convocation)\b"
    r"[^\n.;]{0,80}\b(?:du|en date du|le)\s+(?:[a-z]+di\s+|dimanche\s+)?$"
)
SITTING = re.compile(
    r"\b(?:seance|reunion|session|conseil municipal)\b[^\n.;]{0,60}\s(?:du\s+)?(?:[a-z]+di\s+)?$"
)
QUOTED = re.compile(
    r"\b(?:loi|decret|ordonnance|directive|circulaire|code|arretes?|approbation|modifiee?|prescrite?)\b[^\n]{0,70}$"
)
VISA = re.compile(r"^\W*(?:vu|considerant|sur (?:la |le )?(?:proposition|rapport|avis)|attendu)\b")

HEAD_CHARACTERS = 1500
_CONTEXT = 120
_VISA_CHARACTERS = 800
_EARLIEST = date(1900, 1, 1)
_AHEAD = timedelta(days=730)


class FoundDate(NamedTuple):
    """A day in a text, and where it begins."""

    day: date
    start: int


def plain(text: str) -> str:
    """Lower case without accents, every character at its place.

    >>> plain("Le 1er AOÛT")
    'le 1er aout'
    """
    return "".join(map(_plain, text))


@lru_cache(maxsize=4096)
def _plain(character: str) -> str:
    """One character for one; a text has few different ones, and a document many of each."""
    return unicodedata.normalize("NFD", character)[0].lower()[0]


def dates_in(folded: str) -> Iterator[FoundDate]:
    """Yield every whole date of a text made plain, by kind of writing."""
    for found in _WRITTEN.finditer(folded):
        day = _DIGITS.sub("", found[1].translate(_ZERO))
        yield from _made(found[3], _MONTHS[found[2]], day, found.start())
    for found in _NUMERIC.finditer(folded):
        yield from _made(found[3], found[2], found[1], found.start())
    for found in _ISO.finditer(folded):
        yield from _made(found[1], found[2], found[3], found.start())


def own_date(first_page: str, others: Iterable[str], today: date) -> date | None:
    """Find the day a document bears, in its head or where it is signed.

    Args:
        first_page: Text of the first page that was read.
        others: Pages on which it may be signed.
        today: Days far ahead of it are misreadings.
    """
    candidates = [*_ranked(plain(first_page), head=True)]
    for page in others:
        candidates += _ranked(plain(page), head=False)
    sound = [(rank, day) for rank, day in candidates if _EARLIEST <= day <= today + _AHEAD]
    if sound:
        return min(sound, key=lambda ranked: ranked[0])[1]
    return None


def own_month(first_page: str) -> date | None:
    """Find the first day of the month that a magazine bears."""
    head = plain(first_page[:HEAD_CHARACTERS])
    if written := _MONTH_YEAR.search(head):
        return date(int(written[2]), _MONTHS[written[1]], 1)
    numeric = _NUMERIC_MONTH.search(head)
    return date(int(numeric[2]), int(numeric[1]), 1) if numeric else None


def _ranked(folded: str, *, head: bool) -> Iterator[tuple[int, date]]:
    """Rank the dates of a page: signed, in its title, after a place, of the sitting, in the head."""
    for found in sorted(dates_in(folded), key=lambda found: found.start):
        before = folded[max(0, found.start - _CONTEXT) : found.start]
        in_head = head and found.start < HEAD_CHARACTERS
        if SIGNED.search(before):
            yield 0, found.day
        elif _is_in_visa(folded[: found.start]):
            continue
        elif in_head and TITLED.search(before):
            yield 1, found.day
        elif QUOTED.search(before):
            continue
        elif PLACE.search(before):
            yield 2, found.day
        elif in_head and SITTING.search(before):
            yield 3, found.day
        elif in_head:
            yield 4, found.day


def _is_in_visa(before: str) -> bool:
    """Whether the sentence that ends here began with what an act refers to, lines ago perhaps."""
    *above, line = before[-_VISA_CHARACTERS:].split("\n")
    if VISA.match(line):
        return True
    for earlier in reversed(above):
        if not earlier.strip() or earlier.rstrip().endswith((";", ".", ":")):
            return False
        if VISA.match(earlier):
            return True
    return False


def _made(year: str, month: int | str, day: str, start: int) -> Iterator[FoundDate]:
    try:
        yield FoundDate(date(int(year), int(month), int(day)), start)
    except ValueError:
        return
