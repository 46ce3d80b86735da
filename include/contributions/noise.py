"""Spoil texts as typing, scanning and copying do: the same text and share give the same noise."""

import random
from dataclasses import replace

from include.contributions.model import Contribution

NEIGHBOURS = {
    "a": "zqe", "b": "vnh", "c": "xvd", "d": "sfe", "e": "rzd", "f": "dgr", "g": "fht", "h": "gjb",
    "i": "uok", "j": "hkn", "k": "jli", "l": "kmo", "m": "lpù", "n": "bhj", "o": "ipl", "p": "om",
    "q": "sa", "r": "etf", "s": "qdz", "t": "ryg", "u": "yij", "v": "cbf", "w": "xs", "x": "wcs",
    "y": "tug", "z": "aes", "é": "eè", "è": "eé", "à": "a", "ç": "c", "0": "o9", "1": "l2", "5": "4s",
}  # fmt: skip
"""Keys that lie side by side on a French keyboard, and what a scanner takes for each other."""


def spoiled(contribution: Contribution, percent: int) -> Contribution:
    """Spoil a share of the characters of both parts; at least one in a text that has any.

    >>> spoiled(Contribution("c", "Le banc du port est cassé."), 5).constat_factuel
    'Le banc du port rst cassé.'
    """
    parts = (contribution.constat_factuel, contribution.idees_ameliorations)
    first, second = (
        _spoiled(text, percent, random.Random(f"{percent} {part} {text}"))  # noqa: S311 - seeded noise
        for part, text in enumerate(parts)
    )
    return replace(contribution, constat_factuel=first, idees_ameliorations=second)


def _spoiled(text: str, percent: int, chance: random.Random) -> str:
    places = [place for place, sign in enumerate(text) if sign.isalnum()]
    wanted = min(len(places), max(1, round(len(text) * percent / 100)))
    letters = list(text)
    for place in sorted(chance.sample(places, wanted), reverse=True):
        letters[place : place + 2] = _slip(letters[place : place + 2], chance)
    return "".join(letters)


def _slip(pair: list[str], chance: random.Random) -> list[str]:
    """Mistype the first of two characters."""
    sign, rest = pair[0], pair[1:]
    match chance.randrange(4):
        case 0:
            return rest
        case 1:
            return [sign, sign, *rest]
        case 2 if rest and rest[0].isalnum():
            return [*rest, sign]
    near = chance.choice(NEIGHBOURS.get(sign.lower(), "eait"))
    return [near.upper() if sign.isupper() else near, *rest]
