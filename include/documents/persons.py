"""Find where a text names persons, so that nobody becomes a theme.

Names are seen by a title before them, by a first name, or by a surname in capitals after a word that
French does not know. What the town's gazetteer knows as a place is none, unless it is itself a bare
name: the quay named after somebody counts, the somebody does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

LONGEST_NAME = 6
"""Words of a name, its particles included."""


class Token(NamedTuple):
    """A word of a text, or a break between words that belong apart (``folded`` is empty).

    Attributes:
        surface: As it stands.
        folded: Lower case without accents.
        is_capital: It begins with a capital letter.
        start: First character in the text.
    """

    surface: str
    folded: str
    is_capital: bool
    start: int


@dataclass(frozen=True, slots=True)
class NameSigns:
    """Folded words by which names are seen; see ``include/data/themes_fr.yaml``."""

    titles: frozenset[str]
    offices: frozenset[str]
    particles: frozenset[str]
    first_names: frozenset[str]
    acronyms: frozenset[str]


def name_positions(
    tokens: Sequence[Token], signs: NameSigns, places: frozenset[int], known: frozenset[str]
) -> set[int]:
    """Tell which tokens belong to persons' names.

    Args:
        tokens: Of one text, in order.
        signs: What names are seen by.
        places: Positions that name a place and are left alone.
        known: Folded words of the text that are French, hence no part of a name by themselves.
    """
    found: set[int] = set()
    for position, token in enumerate(tokens):
        if position in found or position in places or not token.is_capital:
            continue
        if token.folded in signs.titles:
            found.update(_run(tokens, position + 1, signs))
        elif token.folded in signs.first_names or _before_capitals(tokens, position, signs, known):
            found.update(_run(tokens, position, signs))
            if _is_surname(tokens[position - 1] if position else None, signs, known):
                found.add(position - 1)
    surnames = {
        tokens[position].folded
        for position in found
        if tokens[position].is_capital and tokens[position].folded not in signs.particles
    }
    found.update(
        position
        for position, token in enumerate(tokens)
        if token.is_capital and token.folded in surnames and position not in places
    )
    return found


def _run(tokens: Sequence[Token], start: int, signs: NameSigns) -> list[int]:
    """Follow a name to its end; a particle belongs to it when a capital comes after."""
    run: list[int] = []
    waiting: list[int] = []
    for position in range(start, min(len(tokens), start + LONGEST_NAME)):
        token = tokens[position]
        if token.folded in signs.particles:
            waiting.append(position)
        elif token.is_capital and token.folded not in signs.offices | signs.titles:
            run += [*waiting, position]
            waiting = []
        else:
            break
    return run


def _before_capitals(
    tokens: Sequence[Token], position: int, signs: NameSigns, known: frozenset[str]
) -> bool:
    """See a ``Prénom NOM`` whose first name is in no list."""
    token = tokens[position]
    following = tokens[position + 1] if position + 1 < len(tokens) else None
    return (
        not token.surface.isupper()
        and token.folded not in known
        and _is_surname(following, signs, frozenset())
    )


def _is_surname(token: Token | None, signs: NameSigns, known: frozenset[str]) -> bool:
    return (
        token is not None
        and len(token.surface) > 1
        and token.surface.isupper()
        and token.surface not in signs.acronyms
        and token.folded not in known
    )
