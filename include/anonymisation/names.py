"""Find where a text names persons: by titles, first names, surnames, what introduces or signs them.

What nobody vouches for (a word with a capital that neither French nor the town nor the list of public
names knows) is found as well, as ``NOM``: it may be a person's, and is replaced for that. What a name
was once, it is everywhere else in the text.
"""

from collections.abc import Iterator

from include.anonymisation.lines import (
    label_end,
    mark_after_label,
    mark_signatures,
    mark_speakers,
)
from include.anonymisation.model import Doubt, Found, Kind, Reason
from include.anonymisation.places import mark_places
from include.anonymisation.reading import (
    ARTICLES,
    SHORTEST_NAME,
    SHORTEST_SMALL_NAME,
    VERBS,
    Reading,
)
from include.anonymisation.vocabulary import Vocabulary
from include.anonymisation.words import Gap, Word

MOST_BETWEEN = 5
"""Words between a title and the name: ``M. et Mme la directrice``."""

LEAST_WORDS_OF_ONE_CASE = 6
"""Of a shorter text the case tells nothing."""

_ARTICLES_OF_NAMES = frozenset({"le", "ar", "an", "er"})
_ABBREVIATED = frozenset({"mme", "mmes", "mlle", "mlles", "mr", "dr", "m"})
_PRONOUNS = frozenset({"nous", "vous", "moi", "toi", "lui", "elle", "eux", "elles"})


def names_in(text: str, vocabulary: Vocabulary) -> tuple[list[Found], list[Doubt]]:
    """Give the passages of a flat text that name somebody or may, and where a name may be left."""
    reading = Reading(text, vocabulary)
    mark_places(reading)
    mark_speakers(reading)
    mark_signatures(reading)
    for at, word in enumerate(reading.words):
        if not reading.persons[at]:
            _look_behind(reading, at, word)
            is_taken = reading.persons[at] or reading.places[at] or reading.is_title(at)
            if not is_taken:
                _look_at(reading, at, word)
    _mark_again(reading)
    _mark_unknown(reading)
    found = [*_runs(reading, reading.persons, Kind.PERSONNE)]
    found += _runs(reading, reading.unknown, Kind.NOM)
    return found, list(_doubts(reading))


def _look_behind(reading: Reading, at: int, word: Word) -> None:
    """Mark the name that a word announces."""
    v = reading.vocabulary
    colon = label_end(reading, at)
    if reading.is_title(at):
        _after_title(reading, at)
    elif word.folded in v.kin or word.folded in v.before_names:
        _after(reading, at, skips_plural=True)
    elif colon is not None:
        mark_after_label(reading, at, colon)
    elif word.folded in v.offices:
        _after(reading, at)
    elif _introduces(reading, at, word):
        _after(reading, at, is_sure=True)


def _look_at(reading: Reading, at: int, word: Word) -> None:
    """Mark a word that is a name by itself."""
    if reading.is_first_name(at):
        reading.mark_name(reading.back(at), reading.run(at))
    elif reading.is_small_first_name(at):
        reading.mark_name(at, reading.small_run(at))
    elif word.is_capital:
        _look_at_capital(reading, at, word)
    elif word.folded in {"le", "la"} and reading.is_small_surname(at + 1):
        reading.mark_name(at, at + 2)
    elif (
        reading.is_surname(at) and not reading.known[at] and len(word.folded) > SHORTEST_SMALL_NAME
    ):
        reading.mark_name(at, at + 1)


def _look_at_capital(reading: Reading, at: int, word: Word) -> None:
    if word.folded in _ARTICLES_OF_NAMES and reading.is_capital_at(at + 1):
        if _is_article_of_name(reading, at, word):
            reading.mark_name(reading.back(at), reading.run(at))
    elif len(word.surface) == 1:
        _after_initial(reading, at, word)
    elif not reading.known[at]:
        if not reading.is_name_word(at):
            return
        if _is_second_name(reading, at, word):
            reading.mark_name(at, reading.run(at))
        elif reading.is_surname(at) or reading.looks_breton(at):
            reading.mark_name(reading.with_initial(at), at + 1)
    elif reading.is_surname(at) and _is_somebody(reading, at, word):
        reading.mark_name(reading.with_initial(at), at + 1)


def _is_article_of_name(reading: Reading, at: int, word: Word) -> bool:
    """Tell ``Le Goff`` from ``Le port``: by the capital behind, and by the article's own in a sentence."""
    following = reading.words[at + 1]
    v = reading.vocabulary
    if reading.places[at + 1] or following.folded in v.capitals | v.offices:
        return False
    if reading.known[at + 1]:
        return reading.is_surname(at + 1) and not word.begins
    if word.is_upper != following.is_upper:
        return not word.begins
    return following.surface not in v.acronyms and len(following.surface) >= SHORTEST_NAME


def _is_second_name(reading: Reading, at: int, word: Word) -> bool:
    """See ``Prénom Nom`` and ``Prénom NOM`` whose first name is in no list."""
    following = reading.joined(at + 1)
    v = reading.vocabulary
    if following is None or not following.is_capital or reading.places[at + 1]:
        return False
    if following.folded in v.offices | v.titles:
        return False
    if following.is_upper and not word.is_upper:
        return following.surface not in v.acronyms
    return (
        not reading.known[at + 1]
        and reading.is_name_word(at + 1)
        and word.is_upper == following.is_upper
    )


def _is_somebody(reading: Reading, at: int, word: Word) -> bool:
    """Tell ``Boucher`` from a butcher: a capital inside a sentence without an article before."""
    before = reading.words[at - 1] if at else None
    following = reading.joined(at + 1)
    neighbours = [each for each in (before, following) if each is not None]
    if word.is_upper and (before is None or any(each.is_upper for each in neighbours)):
        return False
    if not word.begins:
        return before is not None and before.folded not in ARTICLES
    if following is None:
        return False
    is_pair = following.folded == "et" and reading.is_surname(at + 2)
    return following.folded in VERBS or (is_pair and reading.is_capital_at(at + 2))


def _after_initial(reading: Reading, at: int, word: Word) -> None:
    following = reading.joined(at + 1)
    if (
        reading.text[word.end : word.end + 1] == "."
        and following is not None
        and following.is_capital
        and len(following.surface) >= SHORTEST_NAME
        and (not reading.known[at + 1] or reading.is_surname(at + 1))
    ):
        reading.mark_name(at, reading.run(at))


def _after_title(reading: Reading, at: int) -> None:
    """Follow ``M. et Mme``, ``Madame la directrice`` to the name."""
    nxt = _behind_titles(reading, at + 1)
    word = reading.joined(nxt)
    if word is None or reading.persons[nxt]:
        return
    v = reading.vocabulary
    if word.is_capital or word.folded in v.particles:
        end = reading.run(nxt, after_title=True)
        if end > nxt:
            reading.mark_name(nxt, end)
            return
    is_name = reading.is_unknown_small(nxt) or (
        reading.words[at].folded in _ABBREVIATED
        and not word.is_capital
        and len(word.surface) >= SHORTEST_NAME
        and word.folded not in ARTICLES | VERBS | v.offices
    )
    if is_name:
        end = nxt + 1
        while end <= nxt + 1 and reading.is_unknown_small(end):
            end += 1
        reading.mark_name(nxt, end)


def _behind_titles(reading: Reading, at: int) -> int:
    v = reading.vocabulary
    for nxt in range(at, at + MOST_BETWEEN):
        word = reading.joined(nxt)
        if word is None:
            return nxt
        following = reading.joined(nxt + 1)
        is_before_office = (
            word.folded in {"la", "le", "l"}
            and following is not None
            and following.folded in v.offices | v.kin
        )
        is_between = (
            word.folded in v.titles
            or word.folded in v.offices
            or (word.folded == "et" and reading.is_title(nxt + 1))
            or is_before_office
        )
        if not is_between:
            return nxt
    return at + MOST_BETWEEN


def _after(reading: Reading, at: int, *, skips_plural: bool = False, is_sure: bool = False) -> None:
    """Mark the name right behind a word such as ``voisin``, ``chez`` or ``je suis``."""
    nxt = at + 1
    word = reading.joined(nxt)
    if skips_plural and word is not None and word.surface == "les":
        nxt += 1
        word = reading.joined(nxt)
    if word is None or reading.persons[nxt] or reading.places[nxt] or reading.is_title(nxt):
        return
    if word.folded in _PRONOUNS:
        return
    if word.is_capital:
        if not reading.known[nxt] or _may_be_name(reading, nxt, word):
            reading.mark_name(nxt, reading.run(nxt))
    elif word.folded in {"le", "la"} and reading.is_capital_at(nxt + 1):
        if not reading.known[nxt + 1] or reading.is_surname(nxt + 1):
            reading.mark_name(nxt, reading.run(nxt))
    elif reading.is_small_surname(nxt) or (is_sure and reading.is_unknown_small(nxt)):
        reading.mark_name(nxt, reading.small_run(nxt))


def _may_be_name(reading: Reading, at: int, word: Word) -> bool:
    v = reading.vocabulary
    return reading.is_first_name(at) or not (
        word.is_upper or word.folded in v.capitals | v.offices | v.kin | ARTICLES
    )


def _introduces(reading: Reading, at: int, word: Word) -> bool:
    """See ``je suis X``, ``c'est X``, ``mon nom est X``."""
    before = reading.words[at - 1].folded if at else ""
    if word.folded == "suis" and before == "je":
        return reading.joined(at + 1) is not None and not reading.known[at + 1]
    if word.folded != "est" or word.is_capital:
        return False
    return before in {"nom", "prenom"} or (
        before == "c" and reading.is_capital_at(at + 1) and not reading.known[at + 1]
    )


def _mark_again(reading: Reading) -> None:
    """Mark what was a name once wherever it stands; the feast of somebody called Noël stays one."""
    particles = reading.vocabulary.particles
    names = {
        word.folded
        for at, word in enumerate(reading.words)
        if reading.persons[at] and len(word.surface) > 1 and word.folded not in particles
    } - {"noel"}
    for at, word in enumerate(reading.words):
        if (
            word.folded in names
            and not reading.places[at]
            and (word.is_capital or not reading.known[at])
        ):
            reading.persons[at] = 1


def _mark_unknown(reading: Reading) -> None:
    for at, word in enumerate(reading.words):
        if (
            (word.is_capital or reading.looks_breton(at))
            and not reading.persons[at]
            and not reading.known[at]
            and reading.is_name_word(at)
        ):
            reading.unknown[at] = 1


def _runs(reading: Reading, marked: bytearray, kind: Kind) -> Iterator[Found]:
    start = end = -1
    for at, word in enumerate(reading.words):
        if not marked[at]:
            continue
        if start >= 0 and (not marked[at - 1] or word.gap is Gap.STOP):
            yield Found(start, end, kind)
            start = -1
        start = word.start if start < 0 else start
        end = word.end
    if start >= 0:
        yield Found(start, end, kind)


def _doubts(reading: Reading) -> Iterator[Doubt]:
    """Give the capitals that stand where a name does, on words that French knows, and texts without any."""
    words = [word for word in reading.words if len(word.surface) > 1]
    if len(words) >= LEAST_WORDS_OF_ONE_CASE and (
        not any(word.is_capital for word in words) or all(word.is_upper for word in words)
    ):
        yield Doubt(Reason.ONE_CASE, words[0].start, words[-1].end)
    v = reading.vocabulary
    ordinary = v.capitals | v.titles | v.offices | v.kin
    for at, word in enumerate(reading.words):
        before = reading.before(at)
        if (
            before is not None
            and before.folded in v.weak_before_names
            and word.is_capital
            and not word.is_upper
            and len(word.surface) >= SHORTEST_NAME
            and word.folded not in ordinary
            and not (reading.persons[at] or reading.unknown[at] or reading.places[at])
        ):
            yield Doubt(Reason.NAME_POSITION, word.start, word.end)
