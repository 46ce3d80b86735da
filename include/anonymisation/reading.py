"""A text as the search for names reads it: its words, what is known of each, and what was found.

The rules stand in :mod:`include.anonymisation.places`, ``lines`` and ``names``; here is what they share:
questions about a word, and how far a name reaches.
"""

import re
from collections.abc import Sequence

from include.anonymisation.vocabulary import Vocabulary
from include.anonymisation.words import Gap, Word, words_of

LONGEST_NAME = 6
"""Words of a name, its particles included."""

LONGEST_BACKWARDS = 3
"""Words of a surname that stands before its first name."""

SHORTEST_NAME = 3
SHORTEST_SMALL_NAME = 4
"""In small letters, shorter ones are mostly something else."""

LONGEST_ACRONYM = 5
"""In capitals, an unknown word as short as this names an association rather than somebody."""

ARTICLES = frozenset(
    """le la les l un une des du au aux ce cet cette ces mon ma mes ton ta tes son sa ses notre nos votre vos
    leur leurs""".split()  # noqa: SIM905 - a list of words reads best as a line
)
VERBS = frozenset(
    """a est dit dira etait avait habite veut demande propose fait pense sera viendra parle repond ne n se s m
    nous tient va doit peut aurait ferait disait dirige vend promet refuse accuse explique raconte insiste
    assure precise""".split()  # noqa: SIM905 - as above
)

_ROMAN = re.compile(r"[ivxlc]+(?:e|eme|er|re|nd)?")
_SURNAME = re.compile(
    r"(?:ker|quer|quem|guen|guer|gour|gouz|guil|corr|cosq|nede|prig|riou|scou|tangu)[a-z]{2,}"
    r"|[a-z]{2,}(?:ec|ic|ennou|igou|oc|och|ach|iou|adec|ellec|goff|bihan|guen|ven|meur|coz)"
)
"""How Breton surnames begin and end."""


class Reading:
    """The words of a text and what the rules have found so far."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self.text = text
        self.vocabulary = vocabulary
        self.words: Sequence[Word] = words_of(text)
        self.persons = bytearray(len(self.words))
        self.unknown = bytearray(len(self.words))
        self.places = bytearray(len(self.words))
        self.known = bytearray(vocabulary.is_word(word.folded) for word in self.words)

    def joined(self, at: int) -> Word | None:
        """Give a word that belongs to the one before it."""
        if at >= len(self.words) or self.words[at].gap is Gap.STOP:
            return None
        return self.words[at]

    def before(self, at: int) -> Word | None:
        """Give the word that this one belongs to, on the same line."""
        return self.words[at - 1] if at and self.words[at].gap is Gap.JOIN else None

    def mark_name(self, start: int, end: int) -> None:
        """Note that words name a person."""
        if end > start:
            self.persons[start:end] = b"\x01" * (end - start)

    def is_capital_at(self, at: int) -> bool:
        """Say whether a word with a capital follows directly."""
        word = self.joined(at)
        return word is not None and word.is_capital and word.gap is Gap.JOIN

    def is_surname(self, at: int) -> bool:
        """Say whether a word is in the list of surnames."""
        return at < len(self.words) and self.words[at].folded in self.vocabulary.surnames

    def looks_breton(self, at: int) -> bool:
        """Say whether a word is built like a Breton surname."""
        return _SURNAME.fullmatch(self.words[at].folded) is not None

    def is_name_word(self, at: int) -> bool:
        """Say whether a word may be a name at all: no acronym, no number of a century."""
        word = self.words[at]
        return (
            len(word.surface) >= SHORTEST_NAME
            and not self.places[at]
            and word.surface not in self.vocabulary.acronyms
            and not (word.is_upper and len(word.surface) <= LONGEST_ACRONYM)
            and not _ROMAN.fullmatch(word.folded)
        )

    def is_unknown(self, at: int) -> bool:
        """Say whether a word follows that neither French nor the town knows."""
        word = self.joined(at)
        return (
            word is not None
            and word.gap is Gap.JOIN
            and not self.known[at]
            and not self.places[at]
            and len(word.surface) >= SHORTEST_NAME
        )

    def is_unknown_small(self, at: int) -> bool:
        """Say the same of a word in small letters."""
        return self.is_unknown(at) and not self.words[at].is_capital

    def is_small_surname(self, at: int) -> bool:
        """Say whether small letters spell a surname."""
        return self.is_unknown_small(at) and (self.is_surname(at) or self.looks_breton(at))

    def is_title(self, at: int) -> bool:
        """Say whether a word is a title that something follows."""
        if at >= len(self.words):
            return False
        word, following = self.words[at], self.joined(at + 1)
        if word.folded not in self.vocabulary.titles or following is None:
            return False
        if word.surface == "m":
            has_point = self.text[word.end : word.end + 1] == "."
            return has_point and (self.is_surname(at + 1) or not self.known[at + 1])
        if word.folded in {"m", "mm", "me", "pr"}:
            return word.is_capital and word.surface != "ME"
        return True

    def is_first_name(self, at: int) -> bool:
        """Say whether a capital begins a first name that stands for somebody."""
        word = self.words[at]
        if (
            not word.is_capital
            or len(word.surface) == 1
            or self.places[at]
            or word.folded not in self.vocabulary.first_names
            or word.surface in self.vocabulary.acronyms
        ):
            return False
        return not self.known[at] or self._is_somebody(at, word)

    def _is_somebody(self, at: int, word: Word) -> bool:
        """Tell ``Marine`` from the navy, and Noël from the feast."""
        before, following = self.before(at), self.joined(at + 1)
        if following is not None and following.is_capital and not self.known[at + 1]:
            return True
        if word.folded == "noel":
            return following is not None and following.folded in VERBS
        if before is None:
            return True
        return before.folded not in ARTICLES and not (word.is_upper and before.is_upper)

    def is_small_first_name(self, at: int) -> bool:
        """Say whether small letters spell a first name that is no word, or that a surname follows."""
        word = self.words[at]
        if (
            word.is_capital
            or len(word.surface) < SHORTEST_SMALL_NAME
            or word.folded not in self.vocabulary.first_names
        ):
            return False
        if not self.known[at]:
            return True
        before = self.words[at - 1].folded if at else ""
        return before not in ARTICLES and self.is_unknown_small(at + 1)

    def run(self, at: int, *, after_title: bool = False) -> int:
        """Follow a name to its end; a particle belongs to it when a capital comes after."""
        end = at
        for position in range(at, min(len(self.words), at + LONGEST_NAME)):
            word = self.words[position]
            if position > at and not self._goes_on(at, position):
                break
            if self._is_particle(word):
                continue
            if not word.is_capital or word.folded in self.vocabulary.offices:
                break
            if word.folded in self.vocabulary.titles and len(word.surface) > 1:
                break
            is_first = position == at or (after_title and position == at + 1)
            if not is_first and self._is_other_thing(position, word):
                break
            end = position + 1
        return end

    def _is_particle(self, word: Word) -> bool:
        return word.folded in self.vocabulary.particles and (
            not word.is_capital or word.is_upper or len(word.surface) <= len("Van")
        )

    def _goes_on(self, at: int, position: int) -> bool:
        word = self.words[position]
        if word.gap is not Gap.LINE:
            return word.gap is Gap.JOIN
        # Papers break their lines inside names; the next line's first word is more often no name.
        if position - at > 1 or ":" in self.text[word.end : word.end + 3]:
            return False
        if not word.is_capital:
            return self._is_particle(word) and self.is_capital_at(position + 1)
        return not self.known[position] or self.is_surname(position)

    def _is_other_thing(self, position: int, word: Word) -> bool:
        """See a place, or a word that people write with a capital, behind a name."""
        is_long_place = self.places[position] and (
            self.places[position - 1]
            or (position + 1 < len(self.words) and self.places[position + 1])
        )
        return bool(is_long_place) or (
            word.gap is Gap.JOIN
            and not word.is_upper
            and word.folded in self.vocabulary.capitals
            and word.folded not in self.vocabulary.first_names
        )

    def small_run(self, at: int) -> int:
        """Follow a name in small letters: words that nobody knows, and ``le`` before one."""
        end = at + 1
        while end < min(len(self.words), at + LONGEST_NAME):
            word = self.words[end]
            if word.gap is not Gap.JOIN:
                break
            if not self.known[end] and (self.is_unknown(end) or self.is_surname(end)):
                end += 1
            elif word.folded in {"le", "la", "de"} and self.is_unknown_small(end + 1):
                end += 2
            else:
                break
        return end

    def back(self, at: int) -> int:
        """Take the surname in capitals, or one that is no word, before a first name."""
        start = at
        while start > at - LONGEST_BACKWARDS and self._is_surname_before(start, at):
            start -= 1
        if start < at:
            before = self.before(start)
            if before is not None and before.folded in {"le", "la", "ar"}:
                return start - 1
            if self.known[start] and self.words[start].folded in self.vocabulary.particles:
                return start + 1 if start + 1 == at else start
        return start

    def _is_surname_before(self, start: int, first_name: int) -> bool:
        before = self.before(start)
        if before is None or not before.is_capital or self.places[start - 1]:
            return False
        v = self.vocabulary
        if before.surface in v.acronyms or before.folded in v.titles | v.offices | v.labels:
            return False
        if before.folded in v.particles:
            return before.is_upper
        if len(before.surface) < SHORTEST_NAME:
            return False
        if not self.known[start - 1]:
            return True
        return before.is_upper and (
            self.is_surname(start - 1) or not self.words[first_name].is_upper
        )

    def with_initial(self, at: int) -> int:
        """Take the initial before a surname along."""
        before = self.before(at)
        is_initial = (
            before is not None
            and len(before.surface) == 1
            and before.is_capital
            and self.text[before.end : before.end + 1] == "."
        )
        return at - 1 if is_initial else at
