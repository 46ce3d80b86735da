"""Which language a text is in, and whether it is language at all.

Function words come first: a quarter to a half of the words of running French are among some 180, and
no fitted model is needed to count them. Only what they leave open goes to a language identifier.
"""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.contributions.normalisation import Vocabulary

FRENCH_GATE = 0.12
"""Below this share of function words a page is not running French: garbage, a list or a table."""

CERTAIN = 0.22
"""Above this share a language is settled without a model; lists of names in French reach 0.30."""

MIN_WORDS = 20
"""Fewer words prove nothing: a slide's title or a stamp's number may hold no function word."""

KNOWN_SHARE = 0.4
"""Of the words of a legible list of names; a font that lost its letters leaves below a fifth."""

_SAMPLE_CHARACTERS = 20_000
_ADDRESS = re.compile(r"(?<!\S)\S{1,200}@\S+|\b(?:https?://|www\.)\S+")
_WORD = re.compile(r"[^\W\d_]{2,}|[àÀyYaA]\b")


def words(text: str) -> list[str]:
    """Lower-case words of two letters and more, and the words of one letter.

    >>> words("L'arrêté n° 12 interdit à tous")
    ['arrêté', 'interdit', 'à', 'tous']
    """
    return [word.lower() for word in _WORD.findall(text)]


def has_word(text: str) -> bool:
    """Whether :func:`words` would list any."""
    return _WORD.search(text) is not None


@lru_cache
def stop_words(language: str) -> frozenset[str]:
    """Function words of a language, by its two letters."""
    data = resources.files(__package__).joinpath("stop_words.json").read_text("utf-8")
    return frozenset(json.loads(data)[language].split())


def stop_word_ratio(text: str, language: str = "fr") -> float:
    """Share of function words, 0 to 1; 0 for a text without words.

    >>> stop_word_ratio("Le maire est dans la salle")
    0.666...
    """
    return stop_word_share(words(text), language)


def stop_word_share(found: Sequence[str], language: str = "fr") -> float:
    """Share of function words among :func:`words`, 0 to 1; 0 when there are none."""
    known = stop_words(language)
    return sum(word in known for word in found) / len(found) if found else 0.0


def known_share(text: str) -> float:
    """Share of the words that a French vocabulary holds; costs a third of a second once."""
    found = [word for word in words(_ADDRESS.sub(" ", text)) if len(word) > 2]  # noqa: PLR2004 - shorter ones fit by chance
    folded = [_fold(word) for word in found]
    vocabulary = _vocabulary()
    return sum(word in vocabulary for word in folded) / len(folded) if folded else 0.0


def language_of(text: str) -> str | None:
    """Two letters, or None for too little text."""
    sample = text[:_SAMPLE_CHARACTERS]
    found = words(sample)
    if len(found) < MIN_WORDS:
        return None
    ratios = {name: stop_word_share(found, name) for name in ("fr", "en", "br")}
    best = max(ratios, key=lambda name: ratios[name])
    if ratios[best] >= CERTAIN:
        return best
    import py3langid  # noqa: PLC0415 - its model is loaded for the few texts that need it

    return str(py3langid.classify(sample)[0])


@lru_cache
def _vocabulary() -> "Vocabulary":
    from include.contributions.normalisation import Vocabulary  # noqa: PLC0415 - slow to fill

    return Vocabulary()


def _fold(word: str) -> str:
    from include.contributions.normalisation import fold  # noqa: PLC0415 - see _vocabulary

    return fold(word)
