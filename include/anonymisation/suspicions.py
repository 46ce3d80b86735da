"""Find what may hold a number or a name that no form shows: the reasons to doubt a result."""

import re
from collections.abc import Iterator

from include.anonymisation.model import Doubt, Reason
from include.documents.words import fold

LEAST_NUMBER_WORDS = 6
"""A telephone number written out has five numbers, most of them of two words."""

BETWEEN_NUMBERS = 3
"""Characters between two words of one number."""

_LONG_NUMBER = re.compile(
    r"(?<![\w€])(?!(?:19|20)\d{2}-\d{2}-\d{2})\d(?:[ .·-]?\d){8,60}(?!\w)(?!\s?(?:€|euros?\b|m²|habitants))"
)
_LONG_RUN = re.compile(r"[^\W_]{40,}")
_UNREADABLE = re.compile(
    "[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]+|Ã[\x80-\xbf©¨ª´§]"
)
_FOREIGN = re.compile(
    "[\u0370-\u1dff\u2c00-\u2dff\u2e80-\ua7ff\ua800-\ud7ff\uf900-\ufaff\ufb1d-\ufdff\ufe70-\ufeff"
    "\U00010000-\U0001d3ff\U0001d800-\U0001efff\U00020000-\U000323af]+"
)
_SPACED = re.compile(r"(?<!\w)[^\W\d_](?:[ ._*-][^\W\d_]){3,40}(?!\w)")
_DISGUISED = re.compile(
    r"(?<![\w@/.-])[A-ZÀ-Þa-zà-ÿ]{1,20}(?:[0134578@$€]{1,3}[A-Za-zà-ÿ]{1,20}){1,4}(?![\w@])"
)
_NUMBER_WORDS = frozenset(
    fold(
        """zéro un une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize
        vingt vingts trente quarante cinquante soixante septante huitante nonante cent"""
    ).split()
)
_WORD = re.compile(r"[^\W\d_]+")


def suspicions(text: str) -> Iterator[Doubt]:
    """Give the doubtful passages of a flat text."""
    for reason, pattern in (
        (Reason.UNREADABLE, _UNREADABLE),
        (Reason.UNREADABLE, _LONG_RUN),
        (Reason.FOREIGN_SCRIPT, _FOREIGN),
        (Reason.SPACED_LETTERS, _SPACED),
        (Reason.DISGUISED_WORD, _DISGUISED),
        (Reason.UNEXPLAINED_NUMBER, _LONG_NUMBER),
    ):
        yield from (Doubt(reason, *match.span()) for match in pattern.finditer(text))
    yield from _numbers_in_words(text)


def _numbers_in_words(text: str) -> Iterator[Doubt]:
    start = end = count = 0
    for match in _WORD.finditer(text):
        word = fold(match.group())
        goes_on = count > 0 and match.start() - end <= BETWEEN_NUMBERS
        if word == "et" and goes_on:
            end = match.end()
        elif word in _NUMBER_WORDS and goes_on:
            count, end = count + 1, match.end()
        else:
            if count >= LEAST_NUMBER_WORDS:
                yield Doubt(Reason.NUMBER_IN_WORDS, start, end)
            count = int(word in _NUMBER_WORDS)
            start, end = match.span()
    if count >= LEAST_NUMBER_WORDS:
        yield Doubt(Reason.NUMBER_IN_WORDS, start, end)
