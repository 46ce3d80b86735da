"""Show a quote without the signs of Markdown; what is stored and searched keeps them."""

import re

_MARKS = (
    (re.compile(r"(?:^|(?<=\s))#{1,6}\s+"), ""),  # a heading, wherever lines were joined
    (re.compile(r"^>\s+"), ""),
    (re.compile(r"(?:^|(?<=\s))\|?(?:\s*:?-{3,}:?\s*\|)+(?:\s*:?-{3,}:?(?=\s|$))?"), "|"),
    (re.compile(r"!?\[([^\]\[]+)\]\([^()\s]*\)"), r"\1"),
    (re.compile(r"\*\*|(?<!\w)__(?=\w)|(?<=\w)__(?!\w)|`+"), ""),
    (re.compile(r"(?<![\w*])\*(?=\S)([^*]*[^\s*])\*(?![\w*])"), r"\1"),
    (re.compile(r"^\s*[*+]\s+"), ""),
    (re.compile(r"^[\s|]+|[\s|]+$"), ""),
    (re.compile(r"\s*\|[\s|]*"), " · "),  # cells of a table
)
"""Signs of Markdown in a quote whose white space is folded, and what is shown instead."""


def plain_words(words: str) -> str:
    """Return a quote without the signs of Markdown, for people to read; for nobody to look up.

    >>> plain_words("## Horaires **Mardi** : [9 h](https://x.example) | fermé |")
    'Horaires Mardi : 9 h · fermé'
    >>> plain_words("Le lot n° 3, 2 * 4 m, en C# et snake_case")
    'Le lot n° 3, 2 * 4 m, en C# et snake_case'
    """
    for mark, instead in _MARKS:
        words = mark.sub(instead, words)
    return words
