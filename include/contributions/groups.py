"""Say whether a text names a group of people, by the town's own words for groups.

It only says that a group is named, never that anything is wrong with it: texts that name a group
must fare no worse than others, and somebody has to tell them apart to measure that.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from include.municipality import DATA, DEFAULT_MUNICIPALITY, load_municipality

GROUP_CLASS = "groupe"


@lru_cache(maxsize=4)
def group_finder(municipality: str = DEFAULT_MUNICIPALITY) -> Callable[[str], bool]:
    """Return the question for a town; a town whose lexicon has no such words names none.

    >>> names_group = group_finder()
    >>> names_group("Une permanence pour les Réfugiés"), names_group("Le banc du port")
    (True, False)
    """
    entries = load_municipality(DATA / municipality).entries
    phrases = {word for each in entries if each.klass == GROUP_CLASS for word in each.phrases}
    if not phrases:
        return lambda _text: False
    found = re.compile(rf"(?<!\w)(?:{'|'.join(sorted(map(_form, phrases)))})(?!\w)")
    return lambda text: found.search(_bare(text)) is not None


def _form(phrase: str) -> str:
    """Write a phrase of the lexicon as a pattern: ``=`` is as written, ``*`` any ending."""
    words = [re.escape(_bare(word.strip("=*?"))) for word in phrase.split()]
    ending = "" if "=" in phrase else r"\w*" if phrase.endswith("*") else "(?:e?s?|x)"
    return r"[\s’'-]+".join(words) + ending


def _bare(text: str) -> str:
    spread = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in spread if not unicodedata.combining(sign))
