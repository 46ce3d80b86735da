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
_NUMBER_PART = re.compile(r"[^\W\d_]+|\d{1,2}(?!\d)")
_SPREAD_PHONE = re.compile(
    r"(?<!\w)[0Oo][1-9Il](?:(?:[^\w\n]|_){0,6}(?:(?:puis|et|point|tiret)\s)?[\dOoIl]{2}){4}(?![\dOoIl])"
)
"""Ten digits in pairs, whatever stands between them, and letters that look like digits."""
_GLUED_PHONE = re.compile(r"(?<=[^\W\d_])0[1-9]\d{8}(?!\d)")
_LOOSE_PLATE = re.compile(
    r"(?<!\w)(?:[A-Za-z]{2}(?:[^\w\s]\s?|\s[^\w\s]\s?)?\d{3}(?:[^\w\s]\s?|\s[^\w\s]\s?)?[A-Za-z]{2}"
    r"|\d{3,4}[a-z]{2,3}\d{2})(?!\w)"
)
_KEPT_NUMBER = re.compile(
    r"\b(?:passeport|allocataire|matricule|permis|identité|cni|dossier|adhérent|adhérente)\b"
    r"[^\n\d]{0,20}[\dA-Z]{0,6}\d{5}",
    re.IGNORECASE,
)
_HOUSE_NUMBER = re.compile(
    r"(?<!\w)(?:(?:deux|trois|quatre|cinq|six|sept|huit|neuf|dix|onze|douze|treize|quatorze|quinze|seize|vingt)"
    r"[ ,]{1,2}(?:de la )?rue\b|\d{1,4}[ ,]{1,2}r\.? (?:de|du|des)\b"
    r"|(?:rue|impasse|chemin|avenue|quai)\s[^\n,.;\d]{1,40},?\s(?:n°|numéro|au)\s?\d{1,3}(?![\w%€:]|\s?h))",
    re.IGNORECASE,
)
_MAIL_HOST = re.compile(
    r"(?<![^\W\d_])(?:gmail|hotmail|wanadoo|yahoo|outlook|protonmail|proton\.me|icloud|gmx|laposte\.net"
    r"|(?:orange|free|sfr|bbox)\.fr|live\.(?:fr|com))(?![^\W_])",
    re.IGNORECASE,
)
_LEFT_OF_MAIL = re.compile(
    r"\w(?:\s\.\s?|\s(?:point|dot|tiret)\s)[^\W_][\w-]{0,40}\s?(?:@|arobase|\[at\]|\(at\))",
    re.IGNORECASE,
)
_BROKEN_NAME = re.compile(r"(?<!\w)[A-ZÀ-Þ][^\W\d_]{0,30}-\n[ \t]{0,8}[^\W\d_]+")
"""A word with a capital that goes on in the next line."""


def suspicions(text: str) -> Iterator[Doubt]:
    """Give the doubtful passages of a flat text."""
    for reason, pattern in (
        (Reason.UNREADABLE, _UNREADABLE),
        (Reason.UNREADABLE, _LONG_RUN),
        (Reason.FOREIGN_SCRIPT, _FOREIGN),
        (Reason.SPACED_LETTERS, _SPACED),
        (Reason.DISGUISED_WORD, _DISGUISED),
        (Reason.UNEXPLAINED_NUMBER, _LONG_NUMBER),
        (Reason.UNEXPLAINED_NUMBER, _SPREAD_PHONE),
        (Reason.UNEXPLAINED_NUMBER, _GLUED_PHONE),
        (Reason.UNEXPLAINED_NUMBER, _LOOSE_PLATE),
        (Reason.UNEXPLAINED_NUMBER, _KEPT_NUMBER),
        (Reason.UNEXPLAINED_NUMBER, _HOUSE_NUMBER),
        (Reason.DISGUISED_WORD, _MAIL_HOST),
        (Reason.DISGUISED_WORD, _LEFT_OF_MAIL),
        (Reason.NAME_POSITION, _BROKEN_NAME),
    ):
        yield from (Doubt(reason, *match.span()) for match in pattern.finditer(text))
    yield from _numbers_in_words(text)


def _numbers_in_words(text: str) -> Iterator[Doubt]:
    """Find a number of which a part at least is written out."""
    start = end = count = written = 0
    for match in _NUMBER_PART.finditer(text):
        word = fold(match.group())
        is_written = word in _NUMBER_WORDS
        is_number = is_written or word.isdecimal()
        goes_on = count > 0 and match.start() - end <= BETWEEN_NUMBERS
        if word == "et" and goes_on:
            end = match.end()
        elif is_number and goes_on:
            count, written, end = count + 1, written + is_written, match.end()
        else:
            if count >= LEAST_NUMBER_WORDS and written:
                yield Doubt(Reason.NUMBER_IN_WORDS, start, end)
            count, written = int(is_number), int(is_written)
            start, end = match.span()
    if count >= LEAST_NUMBER_WORDS and written:
        yield Doubt(Reason.NUMBER_IN_WORDS, start, end)
