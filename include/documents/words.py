"""Words as every part of the document workflow compares them: lower case, without accents."""

import re
import unicodedata

WORD = re.compile(r"[^\W\d_]{1,40}|\d{1,40}")
"""Letters or digits, never both: ``PM2025-305`` is found by ``PM 2025 305`` as well.

What is longer than any word is cut, so that one broken page cannot fill a memory of words.
"""

_MARKS = re.compile("[\u0300-\u036f\u00ad\u200b-\u200d\u2060\ufeff]+")
_LIGATURES = str.maketrans({"œ": "oe", "æ": "ae"})


def fold(text: str) -> str:
    """Lower case, compatibility forms resolved, accents and invisible marks removed.

    >>> fold("L'ARRÊTÉ n° 12, cœur ﬁn")
    "l'arrete n° 12, coeur fin"
    """
    if text.isascii():
        return text.lower()
    plain = unicodedata.normalize("NFKD", text.lower().translate(_LIGATURES))
    return _MARKS.sub("", plain)


def words(text: str) -> list[str]:
    """List the folded words and numbers in reading order.

    >>> words("Arrêté PM2025-305")
    ['arrete', 'pm', '2025', '305']
    """
    return WORD.findall(fold(text))
