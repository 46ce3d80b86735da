"""Days as forms, mails and exports write them, in French and in English.

A moment with a zone becomes its day in Europe/Paris; one without is taken as Paris time, where the
forms are filled in.
"""

import re
import unicodedata
from collections.abc import Iterator
from datetime import date, datetime
from email.utils import parsedate_to_datetime
from zoneinfo import ZoneInfo

PARIS = ZoneInfo("Europe/Paris")
"""A contribution belongs to the day on which it was received there."""

EARLIEST = date(1990, 1, 1)
"""No form of the town is older; an earlier day is a clock or a default value."""

_MONTHS = (
    ("janvier", "january", "janv", "jan"),
    ("fevrier", "february", "fevr", "fev", "feb"),
    ("mars", "march", "mar"),
    ("avril", "april", "avr", "apr"),
    ("mai", "may"),
    ("juin", "june", "jun"),
    ("juillet", "july", "juil", "jul"),
    ("aout", "august", "aug"),
    ("septembre", "september", "sept", "sep"),
    ("octobre", "october", "oct"),
    ("novembre", "november", "nov"),
    ("decembre", "december", "dec"),
)
_MONTH_OF = {name: number for number, names in enumerate(_MONTHS, 1) for name in names}
_WEEKDAYS = (
    ("lundi", "lun", "monday", "mon"),
    ("mardi", "mar", "tuesday", "tue"),
    ("mercredi", "mer", "wednesday", "wed"),
    ("jeudi", "jeu", "thursday", "thu"),
    ("vendredi", "ven", "friday", "fri"),
    ("samedi", "sam", "saturday", "sat"),
    ("dimanche", "dim", "sunday", "sun"),
)
_WEEKDAY_OF = {name: number for number, names in enumerate(_WEEKDAYS) for name in names}

_WEEKDAY = r"(?:(?P<weekday>[a-z]{3,9})\.?,?\s+)?(?:le\s+)?"
_TIME = r"(?:,?\s*(?:-|a|at)?\s*\d{1,2}\s?[:h]\s?\d{0,2}(?::\d{2})?(?:\s?[ap]m)?)?"
_MONTH = r"(?P<month>[a-z]{3,9})\.?"
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}.*)?")
# Basic form, of a plausible year only: eight digits may as well be somebody's number.
_ISO_BASIC = re.compile(
    r"(?:19|20)\d{6}(?:T\d{4}(?:\d{2}(?:[.,]\d{1,6})?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?"
)
_NUMERIC = re.compile(
    rf"{_WEEKDAY}(?P<first>\d{{1,2}})([/.-])(?P<second>\d{{1,2}})\3(?P<year>\d{{4}}|\d{{2}}){_TIME}"
)
_WORDED = (
    re.compile(
        rf"{_WEEKDAY}{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>\d{{4}}){_TIME}"
    ),
    re.compile(
        rf"{_WEEKDAY}(?P<day>\d{{1,2}})(?:er|st|nd|rd|th)?\s+{_MONTH},?\s+(?P<year>\d{{4}}){_TIME}"
    ),
)
_MAIL_HEADER = re.compile(r"(?:[A-Za-z]{3}, )?\d{1,2} [A-Za-z]{3} \d{4} \d{2}:\d{2}(?::\d{2})? .+")

_LONGEST = 100
"""Characters; no written date is longer, and patterns stay quick on what is not one."""


def parse_day(text: str) -> date | None:
    """Read a written moment or day; None when the whole text is not one.

    >>> parse_day("Mardi, décembre 30, 2025 - 13:53")
    datetime.date(2025, 12, 30)
    >>> parse_day("dim, 21/12/2025 - 08:08")
    datetime.date(2025, 12, 21)
    >>> parse_day("20251221T0808")
    datetime.date(2025, 12, 21)
    >>> parse_day("2026-01-19T23:30:00Z")
    datetime.date(2026, 1, 20)
    """
    written = text.strip()
    if not written or len(written) > _LONGEST:
        return None
    try:
        if _ISO.fullmatch(written) or _ISO_BASIC.fullmatch(written):
            return _paris_day(datetime.fromisoformat(written))
        if _MAIL_HEADER.fullmatch(written):
            return _paris_day(parsedate_to_datetime(written))
    except (ValueError, OverflowError):
        return None
    return next(_readings(_plain(written)), None)


def _paris_day(moment: datetime) -> date:
    return moment.date() if moment.tzinfo is None else moment.astimezone(PARIS).date()


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.lower())
    return " ".join("".join(c for c in decomposed if not unicodedata.combining(c)).split())


def _readings(text: str) -> Iterator[date]:
    if match := _NUMERIC.fullmatch(text):
        yield from _numeric_readings(match)
    for pattern in _WORDED:
        match = pattern.fullmatch(text)
        if match and _known_weekday(match) and match["month"] in _MONTH_OF:
            yield from _day(int(match["year"]), _MONTH_OF[match["month"]], int(match["day"]))


def _numeric_readings(match: re.Match[str]) -> Iterator[date]:
    if not _known_weekday(match):
        return
    year = int(match["year"]) + (2000 if len(match["year"]) == len("26") else 0)
    first, second = int(match["first"]), int(match["second"])
    readings = [*_day(year, second, first), *_day(year, first, second)]
    # Day before month is the French habit; a weekday that fits only the other reading corrects it.
    weekday = _WEEKDAY_OF.get(match["weekday"] or "")
    yield from (day for day in readings if day.weekday() == weekday)
    yield from readings


def _known_weekday(match: re.Match[str]) -> bool:
    return match["weekday"] is None or match["weekday"] in _WEEKDAY_OF


def _day(year: int, month: int, day: int) -> Iterator[date]:
    try:
        yield date(year, month, day)
    except ValueError:
        return
