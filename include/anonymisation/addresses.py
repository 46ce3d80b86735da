"""Find where somebody lives: a number and a street, a postcode and a town, a street that is lived in.

A street without a number, or a place of the town, is no address of anybody.
"""

import re
from collections.abc import Iterator

from include.anonymisation.model import Found, Kind
from include.anonymisation.vocabulary import Vocabulary
from include.anonymisation.words import plain

_STREETS = (
    r"rues?|ruelle|avenue|av\.?|boulevard|bd\.?|bld\.?|blvd\.?|chemin|ch\.|impasse|imp\.?|allées?|quai"
    r"|route|rte\.?|venelle|sentier|hameau|lotissement|lot\.|faubourg|fbg\.?|rond-point|esplanade|montée"
    r"|corniche|hent|straed|plasenn|kae|lieu-dit|lieudit"
)
_WORDS_AS_WELL = (
    r"place|pl\.?|square|cours|passage|résidence|rés\.?|cité|villa|côte|cale|voie|clos|domaine|parc"
)
"""``3 places`` and ``2 cours de danse`` are none: here a capital must follow."""

_SMALL = (
    r"(?i:(?:de|du|des|de la|la|le|les|aux?|à la|et|ar|an|sur|sous|en)\s{1,2}|de l['’]|d['’]|l['’])"
)
_CAPITAL = r"(?:[A-ZÀ-ÖØ-ÞŒ][\w'’.-]{0,40}|\d{1,4}(?![\w€%])|\d{1,2}er)"
_MORE = rf"(?:\s{{1,2}}(?:{_SMALL}){{0,2}}{_CAPITAL}){{0,5}}"
_VERB = r"(?!(?i:est|a|sont|sera|doit|qui|que|pour|et|ou|où|ne|n)\b)"
_LAST = r"(?:\s[\w'’-]{1,40}(?=\s?[,.;\n]|$))?"
_NAME = rf"(?:{_SMALL}){{0,3}}{_VERB}\w[\w'’-]{{0,40}}{_MORE}{_LAST}"
_CAPITAL_NAME = rf"(?:{_SMALL}){{0,3}}{_CAPITAL}{_MORE}"
_STREET_NAME = rf"(?i:{_STREETS})\s{{1,2}}{_NAME}"
_PLACE_NAME = rf"(?i:{_WORDS_AS_WELL})\s{{1,2}}{_CAPITAL_NAME}"
_NUMBER = (
    r"(?<![\w/.,€-])(?i:(?:n°\s?)?\d{1,4}(?:\s?(?:bis|ter|quater|[a-d])\b)?(?:\s?(?:-|/|à|et)\s?\d{1,4})?(?!\w)"
    r"\s{0,2},?\s{0,2}(?:de la |du |de l['’]|des )?)"
)
_DEPARTMENT = r"(?:0[1-9]|[1-8]\d|9[0-58])"
_NUMBERED = re.compile(rf"{_NUMBER}(?:{_STREET_NAME}|{_PLACE_NAME})")
_AT_PLACE = re.compile(
    rf"\b(?i:au|adresse\s{{0,2}}:|habite)\s{{1,2}}(?P<value>{_NUMBER}(?i:{_WORDS_AS_WELL})\s{{1,2}}{_NAME})"
)
_LIVED_IN = re.compile(
    r"\b(?i:habit(?:e|es|ons|ez|ent|ais|ait|er|ant)|demeur(?:e|es|ons|ant)|résid(?:e|es|ons|ant)"
    r"|domicilié(?:e|s|es)?|logé(?:e|s|es)?|adresse\s{0,2}:)\s{1,2}(?:à\s)?(?i:au\s|dans\s|en\s|sur\s)?"
    rf"(?:la\s|le\s|l['’])?(?P<value>{_STREET_NAME}|{_PLACE_NAME})"
)
_TOWN = re.compile(
    rf"(?<![\w.,])(?:F-?\s?)?{_DEPARTMENT}\d{{3}}\s{{1,2}}(?!(?i:euros?|habitants?|km|tonnes)\b)"
    r"[A-ZÀ-ÖØ-Þ][\w'’]{1,30}(?:[ -](?:(?:sur|en|le|la|les|de|du|l['’])[ -])?[A-ZÀ-ÖØ-Þ][\w'’]{0,30}){0,5}"
)
_SMALL_TOWN = re.compile(
    rf"(?<![\w.,]){_DEPARTMENT}\d{{3}}\s{{1,2}}(?P<town>[a-zà-ÿ]{{4,30}})(?:-[a-zà-ÿ'’-]{{1,40}})?"
)


def addresses(text: str, words: Vocabulary) -> Iterator[Found]:
    """Give the addresses of a flat text."""
    for pattern in (_NUMBERED, _TOWN):
        yield from (Found(*match.span(), Kind.ADRESSE) for match in pattern.finditer(text))
    for pattern in (_AT_PLACE, _LIVED_IN):
        yield from (Found(*match.span("value"), Kind.ADRESSE) for match in pattern.finditer(text))
    for match in _SMALL_TOWN.finditer(text):
        if plain(match["town"]) not in words.french:
            yield Found(*match.span(), Kind.ADRESSE)
