"""Find numbers, addresses and accounts of persons by their form.

Every pattern is bounded or possessive: the time is proportional to the text's length, whatever it holds.
A form that looks like a number of somebody counts even where its check digits are wrong: a number that
was mistyped is still somebody's.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from include.anonymisation.model import Doubt, Kind, Reason
from include.anonymisation.vocabulary import Vocabulary
from include.contributions.sources.blotting import PERSONAL
from include.documents.words import fold


class Found(NamedTuple):
    """A passage to replace; of two that overlap the lower rank gives the kind."""

    start: int
    end: int
    kind: Kind


_GAP = r"[\s./()·_–-]{0,3}"
_PHONE = re.compile(
    rf"(?<![\w+])(?:(?:\+|00){_GAP}33{_GAP}(?:0{_GAP})?|\(?0)[1-9](?:{_GAP}\d){{8}}(?!\d)"
)

_TLD = r"(?:fr|com|org|net|bzh|eu|info|gouv|be|ch|uk|de|es|it|io|me|name|pro|example|exemple)"
_DOT = r"(?:\s?\.\s?|\s?[(\[{<]\s?(?:\.|point|dot)\s?[)\]}>]\s?|\s(?:point|dot)\s)"
_AT = r"(?:\s?[(\[{<]\s?(?:at|arobase|arobas|chez|@|à|a)\s?[)\]}>]\s?|\s(?:arobase|arobas|at|@)\s|\s@|@\s)"
_MAIL = re.compile(
    r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]++@[\w-]{1,63}(?:\.[\w-]{1,63})*"
)
_HIDDEN_MAIL = re.compile(
    rf"(?<![\w.+-])[\w.+-]++{_AT}[\w-]{{1,63}}"
    rf"(?:(?:\.[\w-]{{1,63}}){{0,4}}(?:{_DOT}{_TLD}\b)|(?:{_DOT}[\w-]{{1,63}}){{1,2}}(?:{_DOT}{_TLD}\b))",
    re.IGNORECASE,
)
_OWN_HOSTS = (
    r"facebook\.com|fb\.me|fb\.com|instagram\.com|twitter\.com|x\.com|linkedin\.com|t\.me|tiktok\.com"
    r"|youtube\.com|youtu\.be|github\.com|mastodon\.\w{2,20}|wa\.me|snapchat\.com|pinterest\.\w{2,3}"
)
_SITE = re.compile(
    rf"(?:https?://)?(?:(?:www\.|m\.|[a-z]{{2}}\.)?(?:{_OWN_HOSTS})/[^\s<>\"'()\[\],;]{{1,200}}"
    r"|(?<![\w.-])[\w-]{1,63}\.(?:wix\.com|wixsite\.com|blogspot\.\w{2,3}|wordpress\.com|over-blog\.\w{2,3}"
    r"|free\.fr|e-monsite\.com|canalblog\.com|skyrock\.com)(?:/[^\s<>\"'()\[\],;]{0,200})?)",
    re.IGNORECASE,
)
_HANDLE = re.compile(r"(?<![\w.@/+-])@[\w.-]{1,40}\w")
_NAMED_HANDLE = re.compile(
    r"\b(?:fb|facebook|insta(?:gram)?|twitter|tiktok|snap(?:chat)?|discord|telegram|skype|mastodon|linkedin"
    r"|(?P<own>pseudo(?:nyme)?|identifiant|compte))\s{0,2}[:=]\s{0,2}(?P<value>@?[\w.#-]{2,40})(?![\w@])",
    re.IGNORECASE,
)
_IBAN = re.compile(r"(?<!\w)[A-Z]{2}\d{2}(?=[ .-]?[A-Z0-9])", re.IGNORECASE)
_IBAN_REST = re.compile(r"(?:[ .-]?[A-Z0-9]){11,30}", re.IGNORECASE)
_IBAN_LENGTHS = {
    "FR": 27, "MC": 27, "IT": 27, "DE": 22, "GB": 22, "IE": 22, "BE": 16, "ES": 24, "PT": 25, "LU": 20, "CH": 21, "NL": 18,
}  # fmt: skip
_RIB = re.compile(r"(?<!\w)\d{5}[ .-]?\d{5}[ .-]?[A-Z0-9]{11}[ .-]?\d{2}(?!\w)", re.IGNORECASE)
_SOCIAL = re.compile(
    r"(?<!\w)[1-478][\s.-]?\d{2}[\s.-]?(?:0[1-9]|1[0-2]|[2-9]\d)[\s.-]?(?:\d{2}|2[ABab])[\s.-]?\d{3}[\s.-]?\d{3}"
    r"(?:[\s./-]{0,3}\d{2})?(?!\w)"
)
_PLATE = re.compile(
    r"(?<![\w-])(?:[A-HJ-NP-TV-Z]{2}[ .·-]?\d{3}[ .·-]?[A-HJ-NP-TV-Z]{2}"
    r"|[a-hj-np-tv-z]{2}-\d{3}-[a-hj-np-tv-z]{2}"
    r"|\d{1,4}(?P<gap>[ -])(?P<letters>[A-Z]{2,3})(?P=gap)(?:\d{2}|2[AB]))(?![\w-])"
)
_MONTHS = "janvier|février|fevrier|mars|avril|mai|juin|juillet|août|aout|septembre|octobre|novembre|décembre|decembre"
_DATE = (
    r"(?:\d{1,2}[ ./-]{1,3}\d{1,2}[ ./-]{1,3}\d{2,4}|\d{4}-\d{1,2}-\d{1,2}"
    rf"|\d{{1,2}}(?:er)?\s{{1,3}}(?:{_MONTHS})\s{{1,3}}\d{{2,4}}|(?:1[89]|20)\d{{2}})(?!\d)"
)
_BIRTH = re.compile(
    rf"\b(?:née?s?(?:\(e\))?s?|né\(e\)s?|nee|naissance|anniversaire|DDN)\b[^\n\d]{{0,50}}(?P<value>{_DATE})",
    re.IGNORECASE,
)
_STRICT_VOIES = (
    r"rues?|ruelle|avenue|av\.?|boulevard|bd\.?|bld\.?|blvd\.?|chemin|ch\.|impasse|imp\.?|allées?|quai|route|rte\.?"
    r"|venelle|sentier|hameau|lotissement|lot\.|faubourg|fbg\.?|rond-point|esplanade|montée|corniche|hent|straed"
    r"|plasenn|kae|lieu-dit|lieudit"
)
_LOOSE_VOIES = (
    r"place|pl\.?|square|cours|passage|résidence|rés\.?|cité|villa|côte|cale|voie|clos|domaine|parc"
)
_SMALL = (
    r"(?i:(?:de|du|des|de la|la|le|les|aux?|à la|et|ar|an|sur|sous|en)\s{1,2}|de l['’]|d['’]|l['’])"
)
_CAPITAL = r"(?:[A-ZÀ-ÖØ-ÞŒ][\w'’.-]{0,40}|\d{1,4}(?![\w€%])|\d{1,2}er)"
_NAME = rf"(?:{_SMALL}){{0,3}}(?!(?i:est|a|sont|sera|doit|qui|que|pour|et|ou|où|ne|n)\b)[\w][\w'’-]{{0,40}}(?:\s{{1,2}}(?:{_SMALL}){{0,2}}{_CAPITAL}){{0,5}}(?:\s[\w'’-]{{1,40}}(?=\s?[,.;\n]|$))?"
_CAPITAL_NAME = rf"(?:{_SMALL}){{0,3}}{_CAPITAL}(?:\s{{1,2}}(?:{_SMALL}){{0,2}}{_CAPITAL}){{0,5}}"
_NUMBER = r"(?<![\w/.,€-])(?i:(?:n°\s?)?\d{1,4}(?:\s?(?:bis|ter|quater|[a-dA-D])\b)?(?:\s?(?:-|/|à|et)\s?\d{1,4})?(?!\w)\s{0,2},?\s{0,2}(?:de la |du |de l['’]|des )?)"
_STREET = re.compile(
    rf"{_NUMBER}(?:(?i:{_STRICT_VOIES})\s{{1,2}}{_NAME}|(?i:{_LOOSE_VOIES})\s{{1,2}}{_CAPITAL_NAME})"
)
_TOWN = re.compile(
    r"(?<![\w.,])(?:F-?\s?)?(?:0[1-9]|[1-8]\d|9[0-58])\d{3}\s{1,2}(?!(?i:euros?|habitants?|km|tonnes)\b)"
    r"[A-ZÀ-ÖØ-Þ][\w'’]{1,30}(?:[ -](?:(?:sur|en|le|la|les|de|du|l['’])[ -])?[A-ZÀ-ÖØ-Þ][\w'’]{0,30}){0,5}"
)
_SMALL_TOWN = re.compile(
    r"(?<![\w.,])(?:0[1-9]|[1-8]\d|9[0-58])\d{3}\s{1,2}(?P<town>[a-zà-ÿ]{4,30})(?:-[a-zà-ÿ'’-]{1,40})?"
)
_AT_PLACE = re.compile(
    rf"\b(?i:au|adresse\s{{0,2}}:|habite)\s{{1,2}}(?P<value>{_NUMBER}(?i:{_LOOSE_VOIES})\s{{1,2}}{_NAME})"
)
_LIVES = re.compile(
    r"\b(?i:habit(?:e|es|ons|ez|ent|ais|ait|er|ant)|demeur(?:e|es|ons|ant)|résid(?:e|es|ons|ant)"
    r"|domicilié(?:e|s|es)?|logé(?:e|s|es)?|adresse\s{0,2}:)\s{1,2}(?:à\s)?(?i:au\s|dans\s|en\s|sur\s)?(?:la\s|le\s|l['’])?"
    rf"(?P<value>(?i:{_STRICT_VOIES})\s{{1,2}}{_NAME}|(?i:{_LOOSE_VOIES})\s{{1,2}}{_CAPITAL_NAME})"
)
_LONG_NUMBER = re.compile(
    r"(?<![\w€])(?!(?:19|20)\d{2}-\d{2}-\d{2})\d(?:[ .·-]?\d){8,60}(?!\w)(?!\s?(?:€|euros?\b|m²|habitants))"
)
_RUN = re.compile(r"[^\W_]{40,}")
_BAD = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ue000-\uf8ff]+|Ã[\x80-\xbf©¨ª´§]")
_FOREIGN = re.compile(
    "[\u0370-\u1dff\u2c00-\u2dff\u2e80-\ua7ff\ua800-\ud7ff\uf900-\ufaff\ufb1d-\ufdff\ufe70-\ufeff\U00010000-\U0001d3ff"
    "\U0001d800-\U0001efff\U00020000-\U000323af]+"
)
_SPACED = re.compile(r"(?<!\w)[^\W\d_](?:[ ._*-][^\W\d_]){3,40}(?!\w)")
_DISGUISED = re.compile(
    r"(?<![\w@/.-])[A-ZÀ-Þa-zà-ÿ]{1,20}[0134578@$€]{1,3}[A-Za-zà-ÿ]{1,20}(?![\w@])"
)
_NUMBER_WORDS = frozenset(
    "zero un une deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize vingt vingts trente "
    "quarante cinquante soixante septante huitante nonante cent".split()
)
_WORD = re.compile(r"[^\W\d_]+")
_LEAST_NUMBER_WORDS = 6


def contacts(text: str, words: Vocabulary) -> Iterator[Found]:
    """Give what a flat text holds of numbers, addresses and accounts, in no order."""
    for kind, pattern in (
        (Kind.TELEPHONE, _PHONE),
        (Kind.MAIL, _MAIL),
        (Kind.MAIL, _HIDDEN_MAIL),
        (Kind.COMPTE, _SITE),
        (Kind.COMPTE, _HANDLE),
        (Kind.SECURITE_SOCIALE, _SOCIAL),
        (Kind.IBAN, _RIB),
        (Kind.ADRESSE, _STREET),
        (Kind.ADRESSE, _TOWN),
    ):
        yield from (Found(*match.span(), kind) for match in pattern.finditer(text))
    for match in _IBAN.finditer(text):
        if end := _iban_end(text, match):
            yield Found(match.start(), end, Kind.IBAN)
    for match in _PLATE.finditer(text):
        if fold(match["letters"] or "") not in words.french:
            yield Found(*match.span(), Kind.PLAQUE)
    for match in _SMALL_TOWN.finditer(text):
        if fold(match["town"]) not in words.french:
            yield Found(*match.span(), Kind.ADRESSE)
    for kind, pattern in (
        (Kind.NAISSANCE, _BIRTH),
        (Kind.ADRESSE, _LIVES),
        (Kind.ADRESSE, _AT_PLACE),
    ):
        yield from (Found(*match.span("value"), kind) for match in pattern.finditer(text))
    for match in _NAMED_HANDLE.finditer(text):
        value = match["value"]
        is_own = match["own"] is not None and not words.is_word(fold(value))
        if any(mark.isalpha() for mark in value) and (is_own or not value.isalpha()):
            yield Found(*match.span("value"), Kind.COMPTE)
    for match in PERSONAL.finditer(text):
        yield Found(*match.span(), _kind_of(match.group()))


def contact_doubts(text: str) -> Iterator[Doubt]:
    """Give what may hold a number or a name that no form shows."""
    for reason, pattern in (
        (Reason.UNREADABLE, _BAD),
        (Reason.UNREADABLE, _RUN),
        (Reason.FOREIGN_SCRIPT, _FOREIGN),
        (Reason.SPACED_LETTERS, _SPACED),
        (Reason.DISGUISED_WORD, _DISGUISED),
        (Reason.UNEXPLAINED_NUMBER, _LONG_NUMBER),
    ):
        yield from (Doubt(reason, *match.span()) for match in pattern.finditer(text))
    yield from _numbers_in_words(text)


def _numbers_in_words(text: str) -> Iterator[Doubt]:
    run: list[tuple[int, int]] = []
    for match in _WORD.finditer(text):
        folded = fold(match.group())
        if folded in _NUMBER_WORDS and (not run or match.start() - run[-1][1] <= 3):
            run.append(match.span())
        elif folded != "et" or not run:
            if len(run) >= _LEAST_NUMBER_WORDS:
                yield Doubt(Reason.NUMBER_IN_WORDS, run[0][0], run[-1][1])
            run = [match.span()] if folded in _NUMBER_WORDS else []
    if len(run) >= _LEAST_NUMBER_WORDS:
        yield Doubt(Reason.NUMBER_IN_WORDS, run[0][0], run[-1][1])


def _kind_of(surface: str) -> Kind:
    if "@" in surface or "\\u0040" in surface:
        return Kind.MAIL
    if ":" in surface or re.fullmatch(r"(?:\d{1,3}\.){3}\d{1,3}", surface):
        return Kind.RESEAU
    return Kind.TELEPHONE


def _iban_end(text: str, head: re.Match[str]) -> int | None:
    """Follow an account number to its end: what its check digits prove, or one that is mistyped."""
    rest = _IBAN_REST.match(text, head.end())
    if rest is None:
        return None
    ends = [rest.start() + at + 1 for at, mark in enumerate(rest.group()) if mark.isalnum()]
    plain = head.group() + "".join(mark for mark in rest.group() if mark.isalnum())
    length = _IBAN_LENGTHS.get(plain[:2].upper())
    for size in [length] if length else range(15, len(plain) + 1):
        if size <= len(plain) and int(_as_digits(plain[4:size] + plain[:4])) % 97 == 1:
            return ends[size - 5]
    if length and length <= len(plain):
        digits = sum(mark.isdigit() for mark in plain[:length])
        return ends[length - 5] if digits > length * 2 // 3 else None
    return None


def _as_digits(written: str) -> str:
    return "".join(str(int(mark, 36)) for mark in written)


def social_key_holds(number: str) -> bool:
    """Say whether the two last digits of a social security number fit the others.

    >>> social_key_holds("2 57 03 29 019 123 44"), social_key_holds("2 57 03 29 019 123 45")
    (True, False)
    """
    plain = re.sub(r"[^\dABab]", "", number).upper().replace("2A", "19").replace("2B", "18")
    return len(plain) == 15 and 97 - int(plain[:13]) % 97 == int(plain[13:])
