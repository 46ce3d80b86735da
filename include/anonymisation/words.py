"""A flat text cut into words, and what parts each from the one before."""

import re
from enum import IntEnum
from typing import NamedTuple

from include.documents.words import fold

WORD = re.compile(r"[^\W\d_]+(?:(?<=[cC])['’][hH](?![^\W\d_]))?")
"""Letters; the ``c'h`` of Breton names is one of theirs."""

LONGEST_GAP = 8
"""Characters between two words that are looked at."""

ABBREVIATION = 3
"""Letters of what a point may end without ending a sentence."""

_JOINT = re.compile(r"(?:[ \t]{0,3}|\s?['’`´-]\s?|\.[ -]{0,2})\n?[ \t]{0,3}")
_TITLES_WITH_POINT = frozenset({"m", "mr", "dr", "pr", "mme", "mmes", "mlle"})
_ENDS = frozenset('.!?…:;«“"(•–—*>[]|/')
_APOSTROPHES = str.maketrans("", "", "'’")


class Gap(IntEnum):
    """What stands between a word and the one before."""

    JOIN = 0
    LINE = 1
    STOP = 2


class Word(NamedTuple):
    """A word of a flat text.

    Attributes:
        start: First character.
        end: After the last.
        surface: As it stands.
        folded: Lower case without accents.
        is_capital: It begins with a capital.
        is_upper: It has no other letters, and more than one.
        gap: What parts it from the word before.
        begins: A sentence, a line or an item begins with it.
    """

    start: int
    end: int
    surface: str
    folded: str
    is_capital: bool
    is_upper: bool
    gap: Gap
    begins: bool


def plain(word: str) -> str:
    """Fold a word, its apostrophe included.

    >>> plain("Kerloc’h")
    'kerloch'
    """
    return fold(word).translate(_APOSTROPHES)


def words_of(text: str) -> list[Word]:
    """Cut a text into words."""
    words: list[Word] = []
    before = 0
    for match in WORD.finditer(text):
        surface = match.group()
        between = text[before : match.start()]
        if len(between) > LONGEST_GAP:
            between = between[: LONGEST_GAP // 2] + between[-LONGEST_GAP // 2 :]
        words.append(
            Word(
                match.start(),
                match.end(),
                surface,
                plain(surface),
                surface[0].isupper(),
                len(surface) > 1 and surface.isupper(),
                _gap(between, words[-1] if words else None),
                not words or _begins(between),
            )
        )
        before = match.end()
    return words


def _gap(between: str, before: Word | None) -> Gap:
    if before is None or not _JOINT.fullmatch(between):
        return Gap.STOP
    if "." in between and before.folded not in _TITLES_WITH_POINT:
        is_short = before.is_capital and len(before.surface) <= ABBREVIATION
        return Gap.JOIN if is_short and "\n" not in between else Gap.STOP
    return Gap.LINE if "\n" in between else Gap.JOIN


def _begins(between: str) -> bool:
    stripped = between.strip(" \t'’")
    return "\n" in between or (bool(stripped) and stripped[-1] in _ENDS)
