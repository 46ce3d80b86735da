"""Find numbers and accounts of persons by their form.

Every pattern is bounded or possessive: the time is proportional to the text's length, whatever it holds.
A form that looks like a number of somebody counts even where its check digits are wrong: a number that
was mistyped is still somebody's.
"""

import re
from collections.abc import Iterator

from include.anonymisation.model import Found, Kind
from include.anonymisation.vocabulary import Vocabulary
from include.anonymisation.words import plain
from include.contributions.sources.blotting import PERSONAL

_GAP = r"[\s./()·_–-]{0,3}"
_PHONE = re.compile(
    rf"(?<![\w+])(?:(?:\+|00){_GAP}33{_GAP}(?:0{_GAP})?|\(?0{_GAP})[1-9](?:{_GAP}\d){{8}}(?!\d)"
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
    **dict.fromkeys(("FR", "MC", "IT"), 27),
    **dict.fromkeys(("DE", "GB", "IE"), 22),
    "BE": 16,
    "NL": 18,
    "LU": 20,
    "CH": 21,
    "ES": 24,
    "PT": 25,
}
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
_MONTHS = (
    "janvier|février|fevrier|mars|avril|mai|juin|juillet|août|aout|septembre|octobre|novembre|décembre"
    "|decembre"
)
_DATE = (
    r"(?:\d{1,2}[ ./-]{1,3}\d{1,2}[ ./-]{1,3}\d{2,4}|\d{4}-\d{1,2}-\d{1,2}"
    rf"|\d{{1,2}}(?:er)?\s{{1,3}}(?:{_MONTHS})\s{{1,3}}\d{{2,4}}|(?:1[89]|20)\d{{2}})(?!\d)"
)
_BIRTH = re.compile(
    rf"\b(?:née?s?(?:\(e\))?s?|né\(e\)s?|nee|naissance|anniversaire|DDN)\b[^\n\d]{{0,50}}(?P<value>{_DATE})",
    re.IGNORECASE,
)

_BY_FORM = (
    (Kind.TELEPHONE, _PHONE),
    (Kind.MAIL, _MAIL),
    (Kind.MAIL, _HIDDEN_MAIL),
    (Kind.COMPTE, _SITE),
    (Kind.COMPTE, _HANDLE),
    (Kind.IBAN, _RIB),
)
SOCIAL_DIGITS = 15


def contacts(text: str, words: Vocabulary) -> Iterator[Found]:
    """Give what a flat text holds of numbers and accounts, in no order."""
    for kind, pattern in _BY_FORM:
        yield from (Found(*match.span(), kind) for match in pattern.finditer(text))
    yield from (Found(*match.span("value"), Kind.NAISSANCE) for match in _BIRTH.finditer(text))
    yield from blots(text)
    for match in _SOCIAL.finditer(text):
        # Fifteen digits in a row may count anything; a number that is parted in this way does not.
        if not match.group().isdecimal() or social_key_holds(match.group()):
            yield Found(*match.span(), Kind.SECURITE_SOCIALE)
    for match in _IBAN.finditer(text):
        if end := _iban_end(text, match):
            yield Found(match.start(), end, Kind.IBAN)
    for match in _PLATE.finditer(text):
        if plain(match["letters"] or "") not in words.french:
            yield Found(*match.span(), Kind.PLAQUE)
    yield from _named_accounts(text, words)


def blots(text: str) -> Iterator[Found]:
    """Give what is blotted out of broken entries; of a text as written as well as of a flat one."""
    for match in PERSONAL.finditer(text):
        yield Found(*match.span(), _kind_of(match.group()))


def _named_accounts(text: str, words: Vocabulary) -> Iterator[Found]:
    for match in _NAMED_HANDLE.finditer(text):
        value = match["value"]
        is_account = not value.isalpha() or (
            not words.is_word(plain(value)) and (match["own"] is not None or value.islower())
        )
        if is_account and any(mark.isalpha() for mark in value):
            yield Found(*match.span("value"), Kind.COMPTE)


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
    whole = head.group() + "".join(mark for mark in rest.group() if mark.isalnum())
    length = _IBAN_LENGTHS.get(whole[:2].upper())
    for size in [length] if length else range(15, len(whole) + 1):
        if size <= len(whole) and int(_as_digits(whole[4:size] + whole[:4])) % 97 == 1:
            return ends[size - 5]
    if length and length <= len(whole):
        digits = sum(mark.isdigit() for mark in whole[:length])
        return ends[length - 5] if digits > length * 2 // 3 else None
    return None


def _as_digits(written: str) -> str:
    return "".join(str(int(mark, 36)) for mark in written)


def social_key_holds(number: str) -> bool:
    """Say whether the two last digits of a social security number fit the others.

    >>> social_key_holds("2 57 03 29 019 123 44"), social_key_holds("2 57 03 29 019 123 45")
    (True, False)
    """
    digits = re.sub(r"[^\dABab]", "", number).upper().replace("2A", "19").replace("2B", "18")
    return len(digits) == SOCIAL_DIGITS and 97 - int(digits[:-2]) % 97 == int(digits[-2:])
