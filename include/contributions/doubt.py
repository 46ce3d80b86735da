"""Why a person is asked, and on which characters of the citizen's text."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from include.contributions.normalisation import Reading, Token
from include.contributions.patterns import RuleHit


class Doubt(NamedTuple):
    """One reason to ask a person; ``start == end`` where no words can be quoted."""

    reason: str
    rule: str
    start: int
    end: int


def span_of(reading: Reading, first: int, last: int) -> tuple[int, int]:
    """Characters of ``tokens[first:last]``."""
    return reading.tokens[first].start, reading.tokens[last - 1].end


def of_hit(reading: Reading, hit: RuleHit, reason: str) -> Doubt:
    """Give the doubt that a rule raises."""
    return Doubt(reason, hit.rule.id, *span_of(reading, hit.first, hit.last))


def sentence_of(tokens: Sequence[Token], position: int) -> Iterator[int]:
    """Positions of the tokens of a sentence, from its first."""
    sentence = tokens[position].sentence
    left = position
    while left > 0 and tokens[left - 1].sentence == sentence:
        left -= 1
    while left < len(tokens) and tokens[left].sentence == sentence:
        yield left
        left += 1
