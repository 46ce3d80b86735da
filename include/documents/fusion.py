"""Join what several engines found into one ranking."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

DAMPING = 60
"""How little the very first places differ; the constant that reciprocal rank fusion is known with."""

Item = TypeVar("Item", bound=Hashable)


def reciprocal_rank(
    rankings: Sequence[Sequence[Item]], k: int = DAMPING
) -> list[tuple[Item, float]]:
    """Rank items by the sum of 1 / (k + place) over the rankings that hold them, best first.

    Scores of different engines cannot be compared, places can. Within one ranking only an item's
    best place counts; equals keep the order in which they are met, ranking by ranking.

    >>> [item for item, _ in reciprocal_rank([["a", "b", "c"], ["b", "d"]])]
    ['b', 'a', 'd', 'c']
    """
    scores: dict[Item, float] = {}
    for ranking in rankings:
        for place, item in enumerate(dict.fromkeys(ranking), start=1):
            scores[item] = scores.get(item, 0.0) + 1 / (k + place)
    return sorted(scores.items(), key=lambda entry: -entry[1])
