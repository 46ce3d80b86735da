"""The two languages of the pages: sentences from a dictionary, numbers, days and ages as each writes them.

``include/words/fr.yaml`` and ``en.yaml`` hold the same keys; a test holds them against each other and
against the templates. What citizens read outside the pages (reports, statements, reasons) is French and
stays with :mod:`include.contributions.wording`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import yaml
from markupsafe import Markup

from include.contributions import wording
from include.contributions.model import Assessment
from include.contributions.sources.dates import PARIS
from include.documents import wording as documents
from include.documents.parsing.sentences import pages_phrase

FOLDER = Path(__file__).parent / "words"

LANGUAGES = ("fr", "en")

ENGLISH_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
ENGLISH_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


FRENCH_LABELS: dict[str, Mapping[Any, str]] = {
    "states": wording.STATE_LABELS,
    "outcomes": {**wording.OUTCOME_LABELS, "quarantined": "mise de côté"},
    "categories": {**wording.CATEGORY_LABELS, "none": wording.category_label(None)},
    "articles": wording.ARTICLE_LABELS,
    "reasons": wording.REASON_LABELS,
    "records": wording.RECORD_REASONS,
    "assessments": {each.value: each.value for each in Assessment},
    "act_kinds": {**documents.ACT_KINDS, "none": documents.act_kind(None)},
    "media": documents.MEDIA,
    "origins": documents.SOURCES,
    "methods": documents.METHODS,
    "standings": documents.STANDINGS,
    "standing_sentences": documents.STANDING_SENTENCES,
    "steps": documents.STEPS,
    "statuses": documents.STATUSES,
    "figures": documents.FIGURES,
    "document_reasons": documents.REASONS,
    "page_reasons": {code: each.short for code, each in documents.PAGE_REASONS.items()},
    "failures": {**wording.FAILURE_WORDS, "unforeseen": wording.UNFORESEEN_FAILURE},
    "page_advice": {code: each.advice for code, each in documents.PAGE_REASONS.items()},
}
"""French words that the domain says itself; the other language has them in its dictionary."""


@dataclass(frozen=True)
class Language:
    """How one language says what is on a page."""

    code: str
    words: Mapping[str, Any]

    def say(self, key: str, **names: Any) -> str:
        """Say a sentence of the dictionary; numbers among the names are written as the language does.

        >>> language("en").say("site.page_of", page=2, last=1200)
        'page 2 of 1,200'

        Raises:
            KeyError: The dictionary does not have it.
        """
        text = self._of(key)
        shown = {name: self._written(value) for name, value in names.items()}
        if any(hasattr(value, "__html__") for value in names.values()):
            return Markup(text).format(**shown)  # noqa: S704 - the dictionary is ours, names are escaped
        return str(text.format(**shown))

    def counted(self, count: int, noun: str) -> str:
        r"""Write a count with a noun of the dictionary.

        >>> language("fr").counted(0, "contribution"), language("en").counted(0, "contribution")
        ('0\xa0contribution', '0\xa0contributions')
        """
        one, many = self._of(f"nouns.{noun}")
        is_one = abs(count) < 2 if self.code == "fr" else abs(count) == 1  # noqa: PLR2004 - French
        return f"{self.number(count)}\u00a0{one if is_one else many}"

    def label(self, table: str, code: str | None, default: str | None = None) -> str:
        """Name a code by its table; one that nobody foresaw keeps its own words."""
        key = "none" if code is None else str(code)
        found = self._of(f"labels.{table}").get(key)
        if found is None:
            return default if default is not None else key.replace("_", " ")
        return str(found)

    def reason(self, code: str, municipality: str) -> str:
        """Say why a person was asked or decided: in the town's words where the dictionary has none.

        >>> language("en").reason("personne_nommee", "audierne-esquibien")
        'A person is named'
        """
        towns = _reasons_of(municipality)
        if self.code == "fr":
            return wording.reason_label(code, towns)
        return self.label("reasons", code, towns.get(code) or wording.reason_label(code))

    def failure(self, *told: str) -> str:
        """Say why something failed, by the first code that is known in what was told of it.

        >>> language("en").failure("ProcessingError: validate failed: TransientError: away")
        'a passing failure'
        """
        french = wording.failure_words(*told)
        known = {words: code for code, words in wording.FAILURE_WORDS.items()}
        return self.label("failures", known.get(french, "unforeseen"))

    def pages(self, numbers: Iterable[int]) -> str:
        """Name pages in a sentence.

        >>> language("en").pages([7, 1, 2, 3]), language("fr").pages([3])
        ('pages 1 to 3, 7', 'page 3')
        """
        phrase = pages_phrase(sorted(numbers))
        return phrase if self.code == "fr" else phrase.replace(" à ", " to ")

    def number(self, value: float, digits: int = 0) -> str:
        r"""Write a number.

        >>> language("fr").number(12345.6, 1), language("en").number(12345.6, 1)
        ('12\u202f345,6', '12,345.6')
        """
        return wording.number(value, digits) if self.code == "fr" else f"{value:,.{digits}f}"

    def percent(self, share: float | None) -> str:
        r"""Write a share.

        >>> language("fr").percent(0.936), language("en").percent(0.936), language("en").percent(None)
        ('94\xa0%', '94%', '–')
        """
        if share is None:
            return "–"
        return f"{share * 100:.0f}\u00a0%" if self.code == "fr" else f"{share * 100:.0f}%"

    def day(self, day: date) -> str:
        """Write a day in words.

        >>> language("en").day(date(2025, 12, 1))
        'Monday 1 December 2025'
        """
        if self.code == "fr":
            return wording.day_words(day)
        return f"{ENGLISH_DAYS[day.weekday()]} {day.day} {ENGLISH_MONTHS[day.month - 1]} {day.year}"

    def short_day(self, day: date) -> str:
        """Write a day in figures, as people here do in either language."""
        return day.strftime("%d/%m/%Y") if self.code == "fr" else day.strftime("%d %b %Y")

    def moment(self, at: datetime) -> str:
        """Write a moment on the town's clock, to the minute."""
        if self.code == "fr":
            return wording.moment(at)
        return at.astimezone(PARIS).strftime("%d %b %Y, %H:%M")

    def clock(self, at: datetime) -> str:
        """Write the time of day on the town's clock, to the second."""
        return at.astimezone(PARIS).strftime("%H:%M:%S")

    def age(self, seconds: float) -> str:
        r"""Write how long something has waited.

        >>> language("en").age(3 * 86_400 + 7_200), language("en").age(30)
        ('3\xa0days and 2\xa0hours', 'less than a minute')
        """
        if self.code == "fr":
            return wording.age(seconds)
        minutes = int(seconds // 60)
        if minutes < 1:
            return "less than a minute"
        days, hours, rest = minutes // 1440, minutes // 60 % 24, minutes % 60
        told = [
            self.counted(days, "day") if days else "",
            self.counted(hours, "hour") if hours else "",
            self.counted(rest, "minute") if rest and not days else "",
        ]
        return " and ".join(part for part in told if part)

    def duration(self, milliseconds: float) -> str:
        r"""Write how long some work took.

        >>> language("en").duration(1_234)
        '1.23\u202fs'
        """
        written = wording.duration(milliseconds)
        return written if self.code == "fr" else re.sub(r"(\d),(\d)", r"\1.\2", written)

    def size(self, size_bytes: int) -> str:
        r"""Write how large a file is.

        >>> language("en").size(20_480), language("fr").size(3_500_000)
        ('20\xa0kB', '3,3\xa0Mo')
        """
        octets, kilo, mega = self._of("labels.sizes").values()
        if size_bytes < 1 << 10:
            return f"{size_bytes}\u00a0{octets}"
        if size_bytes < 1 << 20:
            return f"{size_bytes >> 10}\u00a0{kilo}"
        return f"{self.number(size_bytes / (1 << 20), 1)}\u00a0{mega}"

    def _written(self, value: Any) -> Any:
        is_count = isinstance(value, int | float) and not isinstance(value, bool)
        return self.number(value) if is_count else value

    def _of(self, key: str) -> Any:
        found: Any = self.words
        for part in key.split("."):
            found = found[part]
        return found


@cache
def language(code: str) -> Language:
    """Return a language by its code; the codes are :data:`LANGUAGES`."""
    words = yaml.safe_load((FOLDER / f"{code}.yaml").read_text(encoding="utf-8"))
    if code == "fr":
        for table, labels in FRENCH_LABELS.items():
            known = {str(key): label for key, label in labels.items()}
            words["labels"][table] = {**known, **words["labels"].get(table, {})}
    return Language(code, words)


def chosen(asked: str | None, kept: str | None, accepted: str | None, default: str) -> str:
    """Choose a language: the one asked for, else the one kept, else what the browser says, else the default.

    >>> chosen(None, None, "de-DE,en;q=0.8,fr;q=0.5", "fr"), chosen("en", "fr", None, "fr")
    ('en', 'en')
    >>> chosen("xx", None, "de", "fr")
    'fr'
    """
    for code in (asked, kept):
        if code in LANGUAGES:
            return str(code)
    wishes = []
    for place, wish in enumerate((accepted or "")[:500].split(",")):
        name, _, weight = wish.partition(";q=")
        with_code = name.strip().lower().partition("-")[0]
        if with_code in LANGUAGES:
            wishes.append((-_weight(weight), place, with_code))
    return min(wishes)[2] if wishes else default


def _weight(text: str) -> float:
    try:
        return float(text) if text else 1.0
    except ValueError:
        return 0.0


@lru_cache(maxsize=4)
def _reasons_of(municipality: str) -> Mapping[str, str]:
    """Keep a town's words: reading its files takes longer than the page."""
    return wording.review_reasons(municipality)
