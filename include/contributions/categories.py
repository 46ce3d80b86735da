"""Name the subject of a contribution by the town's words.

The citizen's own category is kept unless the words speak clearly for another; two categories that
weigh the same are no answer, whichever comes first in a list.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from include.contributions.model import (
    CATEGORY_NAMES,
    Category,
    Classification,
    Evidence,
    quoted_once,
)
from include.contributions.normalisation import Reading
from include.contributions.patterns import EntryHit, Findings
from include.contributions.precision import PrecisionTable

MIN_SCORE = 1.0
"""One weak word of a category; less names nothing."""

STRONG_SCORE = 6.0
"""At least two telling words: what it takes to contradict the citizen."""

STRONG_RATIO = 3.0
"""... and this many times the score of the citizen's own category."""

CLEAR_RATIO = 1.5
"""The first over the second: above it the answer is called clear."""

SECOND_RATIO = 0.2
"""A second category weighs at least this share of the first: most texts touch two subjects."""

SAID_FIRST = 0.009
"""Between equals the subject that is met first in the text is meant."""

REPEATED_WORD = 0.3
"""What a word adds when it is said again, up to three times."""

FIRST_WORD = 1.5
"""French says first what a text is about."""

LOCATIVE = 0.4
"""A thing after *devant*, *sur*, *autour de* says where something is, seldom what it is about."""

LOCATIVE_REACH = 3

ADDRESS_REACH = 3
"""A capital so close behind *rue*, *école*, *place* makes an address of it."""

MAX_REPEATS = 3
MAX_EVIDENCE = 6

_VALUES = frozenset(category.value for category in Category)


class Answer(NamedTuple):
    """What the words say, before it is put into French.

    Attributes:
        category: One of the seven, or undetermined.
        second: Another one that the text is about as well.
        kind: The rule that decided, as the precision table names it.
        differs: True when the citizen's own category was set aside.
    """

    category: Category | Literal["undetermined"]
    second: Category | None
    kind: str
    differs: bool = False


def category_hits(findings: Findings) -> list[EntryHit]:
    """Words and phrases of the categories, longest first where they overlap."""
    hits = [hit for hit in findings.entries if hit.entry.klass in _VALUES]
    phrases = [hit for hit in hits if hit.last - hit.first > 1]
    if not phrases:
        return hits
    return [
        hit
        for hit in hits
        if not any(
            phrase.first <= hit.first
            and hit.last <= phrase.last
            and phrase.last - phrase.first > hit.last - hit.first
            for phrase in phrases
        )
    ]


def score(hits: Sequence[EntryHit], reading: Reading, findings: Findings) -> dict[Category, float]:
    """Weigh the categories: each word once in full, repeated words and places a little."""
    seen: dict[tuple[str, str], int] = defaultdict(int)
    scores: dict[Category, float] = defaultdict(float)
    opening: int | None = None
    met: dict[Category, float] = {}
    for hit in hits:
        words = " ".join(token.form.folded for token in reading.tokens[hit.first : hit.last])
        key = (hit.entry.klass, words)
        seen[key] += 1
        if seen[key] > MAX_REPEATS:
            continue
        weight = hit.entry.weight * (1 if seen[key] == 1 else REPEATED_WORD)
        if _is_locative(reading, findings, hit.first):
            weight *= LOCATIVE
        elif opening is None or opening == hit.first:
            opening = hit.first
            weight *= FIRST_WORD
        category = Category(hit.entry.klass)
        scores[category] += weight
        met.setdefault(category, SAID_FIRST * (1 - hit.first / len(reading.tokens)))
    return {category: round(scores[category] + met[category], 5) for category in sorted(scores)}


def _is_locative(reading: Reading, findings: Findings, position: int) -> bool:
    sentence = reading.tokens[position].sentence
    if "{voie}" in findings.labels[position] and any(
        token.capital and token.sentence == sentence
        for token in reading.tokens[position + 1 : position + 1 + ADDRESS_REACH]
    ):
        return True
    return any(
        "{locatif}" in findings.labels[other] and reading.tokens[other].sentence == sentence
        for other in range(max(0, position - LOCATIVE_REACH), position)
    )


def decide(scores: Mapping[Category, float], declared: Category | None) -> Answer:
    """Choose between the words and the citizen; the order of the list never decides.

    >>> decide({Category.CULTURE: 3, Category.ECOLOGIE: 3}, None).category
    'undetermined'
    >>> decide({Category.CULTURE: 3, Category.ECOLOGIE: 3}, Category.ECOLOGIE).category
    <Category.ECOLOGIE: 'ecologie'>
    """
    ranked = sorted(scores.items(), key=lambda item: -item[1])
    top, first = ranked[0] if ranked else (None, 0.0)
    others = [item for item in ranked[1:] if item[1] >= max(MIN_SCORE, SECOND_RATIO * first)]
    if declared is not None:
        return _beside(declared, scores, top)
    if top is None or first < MIN_SCORE:
        return Answer("undetermined", None, "categorie.indeterminee")
    second, next_score = ranked[1] if len(ranked) > 1 else (None, 0.0)
    if next_score == first:
        return Answer("undetermined", None, "categorie.indeterminee")
    alone = len(others) == 1 or (others and others[0][1] > others[1][1])
    kind = "categorie.nette" if first >= CLEAR_RATIO * next_score else "categorie.partagee"
    return Answer(top, second if alone else None, kind)


def _beside(declared: Category, scores: Mapping[Category, float], top: Category | None) -> Answer:
    own = scores.get(declared, 0.0)
    best = max(scores.values(), default=0.0)
    if top is None or own == best:
        return Answer(declared, None, "categorie.declaree")
    tied = sum(1 for value in scores.values() if value == best) > 1
    if not tied and best >= STRONG_SCORE and best >= STRONG_RATIO * own:
        return Answer(
            top, declared if own >= MIN_SCORE else None, "categorie.corrigee", differs=True
        )
    return Answer(declared, top if best >= MIN_SCORE and not tied else None, "categorie.declaree")


def classify(
    reading: Reading,
    findings: Findings,
    declared: Category | None,
    precision: PrecisionTable,
    stamp: Mapping[str, str],
) -> Classification:
    """Name the subject of a text that was read.

    Args:
        reading: The text in words.
        findings: What the town's words found in it.
        declared: The citizen's own category.
        precision: How often each way of deciding is right.
        stamp: ``engine`` and ``rubric_version``.
    """
    hits = category_hits(findings)
    scores = score(hits, reading, findings)
    answer = decide(scores, declared)
    evidence = tuple(_evidence(reading, hits, answer))
    return Classification(
        category=answer.category,
        second_category=answer.second,
        declared_category=declared,
        differs_from_declared=answer.differs,
        scores=scores,
        evidence=evidence,
        reasoning=_reasoning(answer, declared, evidence),
        confidence=precision.confidence(answer.kind),
        engine=stamp["engine"],
        rubric_version=stamp["rubric_version"],
    )


def _evidence(reading: Reading, hits: Sequence[EntryHit], answer: Answer) -> Iterator[Evidence]:
    wanted = [hit for hit in hits if hit.entry.klass == answer.category]
    wanted.sort(key=lambda hit: (-hit.entry.weight, hit.first))
    for hit in sorted(wanted[:MAX_EVIDENCE], key=lambda hit: hit.first):
        start, end = reading.tokens[hit.first].start, reading.tokens[hit.last - 1].end
        yield Evidence(rule=hit.entry.id, start=start, end=end, quote=reading.text[start:end])


def _reasoning(answer: Answer, declared: Category | None, evidence: Sequence[Evidence]) -> str:
    quotes = ", ".join(f"« {quote} »" for quote in quoted_once(evidence))
    if answer.category == "undetermined":
        return "Les mots du texte ne désignent pas une catégorie plutôt qu'une autre."
    name = CATEGORY_NAMES[answer.category]
    if answer.differs and declared is not None:
        sentence = (
            f"Vous aviez choisi « {CATEGORY_NAMES[declared]} » ; "
            f"les mots du texte ({quotes}) parlent nettement de « {name} »."
        )
    elif declared is not None and not evidence:
        sentence = f"La catégorie choisie par vous, « {name} », est gardée."
    elif declared is not None:
        sentence = f"La catégorie choisie par vous, « {name} », est gardée ; le texte dit {quotes}."
    else:
        sentence = f"Le texte parle de « {name} » : {quotes}."
    if answer.second is not None:
        sentence += f" Il touche aussi à « {CATEGORY_NAMES[answer.second]} »."
    return sentence
