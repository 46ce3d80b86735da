"""Places come first: a quay that is called after somebody names nobody."""

from collections.abc import Sequence

from include.anonymisation.reading import Reading
from include.anonymisation.vocabulary import Parts
from include.anonymisation.words import Gap

_OF = frozenset({"de", "du", "la", "l", "d", "le", "des", "les"})
_SAINTS = frozenset({"saint", "sainte", "saints", "st", "ste"})
_MOST_SMALL_WORDS = 2
"""As in ``de la``; a line of them costs no time."""


def mark_places(reading: Reading) -> None:
    """Note which words name what is public, or are the name of a street, a saint, a commune."""
    v = reading.vocabulary
    at = 0
    while at < len(reading.words):
        first = reading.words[at].folded
        length = _length(reading, at, v.places.get(first, ()))
        if not length and at and _kind_before(reading, at, v.place_kinds | v.voies):
            length = _length(reading, at, v.bare_names.get(first, ()))
        if length:
            reading.places[at : at + length] = b"\x01" * length
        at += max(1, length)
    for position in range(1, len(reading.words)):
        _mark_called_after(reading, position)


def _length(reading: Reading, at: int, names: Sequence[Parts]) -> int:
    for parts in names:
        here = reading.words[at : at + len(parts)]
        if (
            tuple(word.folded for word in here) == parts
            and all(word.gap is not Gap.STOP for word in here[1:])
            and any(word.is_capital for word in here)
        ):
            return len(parts)
    return 0


def _kind_before(reading: Reading, at: int, kinds: frozenset[str]) -> bool:
    return reading.words[_before_small_words(reading, at - 1)].folded in kinds


def _before_small_words(reading: Reading, at: int) -> int:
    for _ in range(_MOST_SMALL_WORDS):
        word = reading.words[at]
        if at and word.gap is Gap.JOIN and word.folded in _OF:
            at -= 1
    return at


def _mark_called_after(reading: Reading, at: int) -> None:
    """Leave ``rue Surcouf``, ``Saint-Tugen`` and ``maire de Plouhinec`` alone."""
    v = reading.vocabulary
    word, before = reading.words[at], reading.words[at - 1]
    if word.gap is not Gap.JOIN or not word.is_capital or reading.places[at]:
        return
    if before.folded in _SAINTS:
        # Behind a first name it is a surname.
        if at == 1 or not reading.is_first_name(at - 2):
            reading.places[at - 1 : at + 1] = b"\x01\x01"
    elif word.folded not in v.first_names | v.titles:
        kind = _before_small_words(reading, at - 1)
        called = v.voies if kind == at - 1 else v.voies | v.regions
        reading.places[at] = reading.words[kind].folded in called
