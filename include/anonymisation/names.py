"""Find where a text names persons: by titles, first names, surnames, what introduces or signs them.

What nobody vouches for (a word with a capital that neither French nor the town nor the list of public
names knows) is found as well, as ``NOM``: it may be a person's, and is replaced for that. What a name
was once, it is everywhere else in the text.
"""

import re
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import NamedTuple

from include.anonymisation.contacts import Found
from include.anonymisation.model import Doubt, Kind, Reason
from include.anonymisation.vocabulary import Parts, Vocabulary
from include.documents.words import fold

LONGEST_NAME = 6
"""Words of a name, its particles included."""

LONGEST_CLOSING = 4
LONGEST_SIGNATURE = 5
LONGEST_SPEAKER = 5
SHORTEST_LOWER_NAME = 4
SHORTEST_UNKNOWN = 3
LONGEST_ACRONYM = 6

_WORD = re.compile(r"[^\W\d_]+")
_BETWEEN = re.compile(r"(?:[ \t]{0,3}|\s?['’`´-]\s?|\.[ -]{0,2})(?:\n?)[ \t]{0,3}")
_ENDS_SENTENCE = frozenset('.!?…:;\n«“"(•–—-*>[]|/')
_ROMAN = re.compile(r"[ivxlc]+(?:e|eme|er|re|nd)?")
_BRETON = re.compile(
    r"(?:ker|quer|quem|guen|guer|gour|gouz|guil|kerv|corr|cosq|nede|prig|riou|scou|tangu)[a-z]{2,}"
    r"|[a-z]{2,}(?:ec|ic|ennou|igou|oc|och|ach|iou|adec|ellec|goff|bihan|guen|ven|meur|coz)"
)
_STAMPED = re.compile(
    r"^[\s>*_-]{0,6}[\[(]?\d{1,2}[:h.]\d{2}(?:[:.]\d{2})?(?:[.,]\d{1,3})?[\])]?[ \t:–-]{0,4}",
    re.MULTILINE,
)
_LINE = re.compile(r"[^\n]{1,200}")
_SPEAKER_END = re.compile(r"[ \t]{0,2}(?::|[–—]|\n|$|\*\*)")
_VERBS = frozenset(
    "a est dit dira etait avait habite veut demande propose fait pense sera viendra parle repond ne n se s m nous tient va "
    "doit peut aurait ferait disait dirige vend promet refuse accuse explique raconte insiste assure precise".split()
)
_ARTICLES = frozenset(
    "le la les l un une des du au aux ce cet cette ces mon ma mes ton ta tes son sa ses notre nos votre vos leur leurs".split()
)
_OF = frozenset({"de", "du", "la", "l", "d", "le", "des", "les"})
_SAINTS = frozenset({"saint", "sainte", "saints", "st", "ste"})
_BRETON_ARTICLES = frozenset({"le", "ar", "an", "er"})


class Gap(IntEnum):
    """What stands between a word and the one before."""

    JOIN = 0
    LINE = 1
    STOP = 2


class Word(NamedTuple):
    """A word of a flat text.

    Attributes:
        start: First character.
        end: After the last.
        surface: As it stands.
        folded: Lower case without accents.
        is_capital: It begins with a capital.
        is_upper: It has no other letters, and more than one.
        gap: What parts it from the word before.
        begins: A sentence, a line or an item begins with it.
    """

    start: int
    end: int
    surface: str
    folded: str
    is_capital: bool
    is_upper: bool
    gap: Gap
    begins: bool


def words_of(text: str) -> list[Word]:
    """Cut a text into words."""
    words: list[Word] = []
    before = 0
    for match in _WORD.finditer(text):
        surface = match.group()
        between = text[before : match.start()]
        if len(between) > 8:
            between = between[:4] + between[-4:]
        words.append(
            Word(
                match.start(),
                match.end(),
                surface,
                fold(surface),
                surface[0].isupper(),
                len(surface) > 1 and surface.isupper(),
                _gap(between, words[-1] if words else None),
                not words or _begins(between),
            )
        )
        before = match.end()
    return words


def _gap(between: str, before: Word | None) -> Gap:
    if before is None or not _BETWEEN.fullmatch(between):
        return Gap.STOP
    # A point ends a sentence but behind an initial or an abbreviation.
    if "." in between and (len(before.surface) > 3 or not before.is_capital):
        return (
            Gap.JOIN
            if before.folded in {"mme", "mmes", "mlle", "mr", "dr", "pr", "m"}
            else Gap.STOP
        )
    return Gap.LINE if "\n" in between else Gap.JOIN


def _begins(between: str) -> bool:
    stripped = between.strip(" \t'’")
    return bool(stripped) and stripped[-1] in _ENDS_SENTENCE and stripped != "-" or "\n" in between


class Names:
    """The search through one text; see the module."""

    def __init__(self, text: str, vocabulary: Vocabulary) -> None:
        self._text = text
        self._v = vocabulary
        self._words = words_of(text)
        size = len(self._words)
        self._persons = bytearray(size)
        self._unknown = bytearray(size)
        self._places = bytearray(size)
        self._known = bytearray(vocabulary.is_word(word.folded) for word in self._words)

    def found(self) -> Iterator[Found]:
        """Give the passages that name somebody, or may."""
        self._mark_places()
        self._mark_speakers()
        self._mark_signatures()
        for at, word in enumerate(self._words):
            if not self._persons[at]:
                self._look_at(at, word)
        self._mark_again()
        self._mark_unknown()
        yield from self._runs(self._persons, Kind.PERSONNE)
        yield from self._runs(self._unknown, Kind.NOM)

    def doubts(self) -> Iterator[Doubt]:
        """Give the capitals that stand where a name does, on words that French knows."""
        for at, word in enumerate(self._words):
            if (
                word.is_capital
                and not word.is_upper
                and not word.begins
                and word.gap is Gap.JOIN
                and not self._is_taken(at)
                and word.folded
                not in self._v.capitals | self._v.titles | self._v.offices | self._v.kin
                and self._words[at - 1].folded in self._v.weak_before_names
                and len(word.surface) > 2
                and not self._places[at]
            ):
                yield Doubt(Reason.NAME_POSITION, word.start, word.end)

    # Places come first: a quay that is called after somebody names nobody.

    def _mark_places(self) -> None:
        at = 0
        while at < len(self._words):
            word = self._words[at]
            length = self._place_at(at, self._v.places.get(word.folded, ()))
            if not length and at and self._is_place_kind(at - 1):
                length = self._place_at(at, self._v.bare_names.get(word.folded, ()))
            if length:
                self._places[at : at + length] = b"\x01" * length
            at += max(1, length)
        for at in range(1, len(self._words)):
            self._mark_called_after(at)

    def _place_at(self, at: int, names: Sequence[Parts]) -> int:
        for parts in names:
            here = self._words[at : at + len(parts)]
            if (
                len(here) == len(parts)
                and all(word.folded == part for word, part in zip(here, parts, strict=True))
                and all(word.gap is not Gap.STOP for word in here[1:])
                and any(word.is_capital for word in here)
            ):
                return len(parts)
        return 0

    def _is_place_kind(self, at: int) -> bool:
        at = self._before_particles(at)
        return self._words[at].folded in self._v.place_kinds | self._v.voies

    def _before_particles(self, at: int) -> int:
        """Step over ``de la``: two small words, not more, so that a line of them costs no time."""
        for _ in range(2):
            word = self._words[at]
            if at and word.gap is Gap.JOIN and word.folded in _OF:
                at -= 1
        return at

    def _mark_called_after(self, at: int) -> None:
        """Leave ``rue Surcouf``, ``Saint-Tugen`` and ``maire de Plouhinec`` alone."""
        word, before = self._words[at], self._words[at - 1]
        if word.gap is not Gap.JOIN or not word.is_capital or self._places[at]:
            return
        if before.folded in _SAINTS and (at < 2 or not self._is_first_name(at - 2)):
            self._places[at - 1 : at + 1] = b"\x01\x01"
            return
        if word.folded in self._v.first_names or word.folded in self._v.titles:
            return
        kind = self._before_particles(at - 1)
        known = self._v.voies if kind == at - 1 else self._v.voies | self._v.regions
        if self._words[kind].folded in known and kind < at:
            self._places[at] = 1

    # A person is shown by what stands before, by what it is, or by what stands after.

    def _look_at(self, at: int, word: Word) -> None:
        v = self._v
        if self._is_title(at):
            self._after_title(at)
        elif word.folded in v.kin or word.folded in v.offices:
            self._after(at, is_strict=False)
        elif word.folded in v.before_names and not (
            word.folded == "chez" and self._is_next(at, "nous", "vous", "moi")
        ):
            self._after(at, is_strict=False)
        elif self._is_labelled(at):
            self._after_label(at)
        elif self._introduces(at):
            self._after(at, is_strict=True)
        if self._persons[at] or self._places[at]:
            return
        if self._is_first_name(at):
            self._mark_name(self._back(at), self._run(at))
        elif self._is_lower_first_name(at):
            self._mark_name(at, self._lower_run(at))
        elif word.is_capital:
            self._look_at_capital(at, word)
        elif word.folded in {"le", "la"} and self._is_lower_surname(at + 1):
            self._mark_name(at, at + 2)
        elif (
            word.folded in v.surnames
            and not self._known[at]
            and len(word.folded) > SHORTEST_LOWER_NAME
        ):
            self._mark_name(at, at + 1)

    def _look_at_capital(self, at: int, word: Word) -> None:
        v = self._v
        following = self._joined(at + 1)
        if word.folded in _BRETON_ARTICLES and following is not None and following.is_capital:
            if self._is_article_of_name(at, following):
                self._mark_name(self._back(at), self._run(at))
        elif not self._known[at] and self._is_name_word(at):
            if (
                following is not None
                and following.is_capital
                and self._is_second_name(at, following)
            ):
                self._mark_name(at, self._run(at))
            elif word.folded in v.surnames or _BRETON.fullmatch(word.folded):
                self._mark_name(self._initial_before(at), at + 1)
        elif word.folded in v.surnames and self._is_surname_here(at, word):
            self._mark_name(self._initial_before(at), at + 1)
        elif len(word.surface) == 1 and "." in self._text[word.end : word.end + 1]:
            if following is not None and following.is_capital and len(following.surface) > 2:
                if not self._known[at + 1] or following.folded in v.surnames:
                    self._mark_name(at, self._run(at))

    def _is_article_of_name(self, at: int, following: Word) -> bool:
        if self._places[at + 1] or following.folded in self._v.capitals | self._v.offices:
            return False
        word = self._words[at]
        if word.is_upper != following.is_upper and len(following.surface) > 1:
            return (
                word.folded == "le"
                and following.is_upper
                and not self._known[at + 1]
                and not word.begins
            )
        if not self._known[at + 1]:
            return following.folded not in self._v.acronyms and len(following.surface) > 2
        return (
            not word.begins
            and not word.is_upper
            and not self._known[at + 1]
            or (following.folded in self._v.surnames and not word.begins)
        )

    def _is_second_name(self, at: int, following: Word) -> bool:
        """See ``Prénom Nom`` and ``Prénom NOM`` whose first name is in no list."""
        word = self._words[at]
        if self._places[at + 1] or following.folded in self._v.offices | self._v.titles:
            return False
        if following.is_upper and not word.is_upper:
            return following.surface not in self._v.acronyms
        return (
            not self._known[at + 1]
            and self._is_name_word(at + 1)
            and word.is_upper == following.is_upper
        )

    def _is_surname_here(self, at: int, word: Word) -> bool:
        """Tell ``Boucher`` from a butcher: a capital inside a sentence without an article before."""
        before = self._words[at - 1] if at else None
        following = self._joined(at + 1)
        if word.is_upper and (
            before is None or before.is_upper or (following and following.is_upper)
        ):
            return False
        if word.begins:
            return following is not None and (
                following.folded in _VERBS
                or (following.folded == "et" and self._is_capital_surname(at + 2))
            )
        return before is not None and before.folded not in _ARTICLES

    def _is_capital_surname(self, at: int) -> bool:
        return (
            at < len(self._words)
            and self._words[at].is_capital
            and self._words[at].folded in self._v.surnames
        )

    def _is_name_word(self, at: int) -> bool:
        word = self._words[at]
        return (
            len(word.surface) >= SHORTEST_UNKNOWN
            and not self._places[at]
            and word.surface not in self._v.acronyms
            and not (word.is_upper and len(word.surface) <= LONGEST_ACRONYM - 1)
            and not _ROMAN.fullmatch(word.folded)
        )

    def _is_title(self, at: int) -> bool:
        word = self._words[at]
        if word.folded not in self._v.titles:
            return False
        following = self._joined(at + 1)
        if following is None:
            return False
        if word.surface == "m":
            return self._text[word.end : word.end + 1] == "." and (
                following.folded in self._v.surnames or not self._known[at + 1]
            )
        if word.folded in {"mm", "me", "pr", "m"}:
            return word.is_capital and word.surface != "ME"
        return True

    def _after_title(self, at: int) -> None:
        """Follow ``M. et Mme``, ``Madame la directrice`` to the name."""
        nxt = at + 1
        for _ in range(5):
            word = self._joined(nxt)
            if word is None:
                return
            if word.folded in self._v.titles or word.folded == "et" and self._is_title(nxt + 1):
                nxt += 1
            elif (
                word.folded in self._v.offices
                or word.folded in {"la", "le", "l"}
                and self._is_office(nxt + 1)
            ):
                nxt += 1
            else:
                break
        word = self._joined(nxt)
        if word is None or self._persons[nxt]:
            return
        if word.is_capital or word.folded in self._v.particles:
            end = self._run(nxt, after_title=True)
            if end > nxt:
                self._mark_name(nxt, end)
                return
        abbreviated = self._words[at].folded in {"mme", "mmes", "mlle", "mlles", "mr", "dr", "m"}
        if self._is_lower_surname(nxt) or (
            abbreviated
            and not word.is_capital
            and word.folded not in _ARTICLES | _VERBS
            and len(word.surface) > 2
            and word.folded not in self._v.offices
        ):
            end = nxt + 1
            while end < min(len(self._words), nxt + 3) and self._is_unknown_lower(end):
                end += 1
            self._mark_name(nxt, end)

    def _is_office(self, at: int) -> bool:
        return at < len(self._words) and self._words[at].folded in self._v.offices | self._v.kin

    def _after(self, at: int, *, is_strict: bool) -> None:
        """Mark the name right behind a word such as ``voisin``."""
        nxt = at + 1
        word = self._joined(nxt)
        if word is not None and word.folded in {"les", "des"} and not word.is_capital:
            nxt += 1
            word = self._joined(nxt)
        if word is None or self._persons[nxt] or self._places[nxt]:
            return
        if word.folded in self._v.titles and self._is_title(nxt):
            return
        if word.is_capital or word.folded in {"le", "la"} and self._is_capital_at(nxt + 1):
            if word.is_capital and self._known[nxt] and not self._is_first_name(nxt):
                if not is_strict and (
                    word.folded in self._v.capitals
                    or word.is_upper
                    or word.folded in self._v.offices | _ARTICLES
                ):
                    return
            end = self._run(nxt)
            if not word.is_capital and end <= nxt + 1:
                return
            self._mark_name(nxt, end)
        elif is_strict and self._is_unknown_lower(nxt):
            self._mark_name(nxt, self._lower_run(nxt))
        elif self._is_lower_surname(nxt) and not self._known[nxt]:
            self._mark_name(nxt, self._lower_run(nxt))

    def _introduces(self, at: int) -> bool:
        """See ``je suis X``, ``moi c'est X``, ``c'est X qui``, ``mon nom est X``."""
        word = self._words[at]
        before = self._words[at - 1].folded if at else ""
        if word.folded == "suis" and before == "je":
            following = self._joined(at + 1)
            return following is not None and not self._known[at + 1]
        if word.folded == "est" and before in {"nom", "prenom"}:
            return True
        return (
            word.folded == "est"
            and before == "c"
            and not word.is_capital
            and self._is_capital_at(at + 1)
        )

    def _is_labelled(self, at: int) -> bool:
        word = self._words[at]
        return word.folded in self._v.labels and _LABEL_END.match(self._text, word.end) is not None

    def _after_label(self, at: int) -> None:
        colon = _LABEL_END.match(self._text, self._words[at].end)
        nxt = at + 1
        while nxt < len(self._words) and colon and self._words[nxt].start < colon.end():
            nxt += 1
        if nxt >= len(self._words) or self._words[nxt].start - (colon.end() if colon else 0) > 3:
            return
        if "\n" in self._text[self._words[at].end : self._words[nxt].start]:
            return
        word = self._words[nxt]
        if self._is_title(nxt) or word.folded in self._v.no_signature or not word.is_capital:
            if word.is_capital or not self._is_lower_first_name(nxt):
                return
        if (
            self._known[nxt]
            and not self._is_first_name(nxt)
            and word.folded not in self._v.surnames
        ):
            following = self._joined(nxt + 1)
            if following is None or not following.is_capital or self._known[nxt + 1]:
                return
        self._mark_name(nxt, self._run(nxt))

    def _is_first_name(self, at: int) -> bool:
        word = self._words[at]
        if not word.is_capital or word.folded not in self._v.first_names or self._places[at]:
            return False
        if word.surface in self._v.acronyms or len(word.surface) == 1:
            return False
        if not self._known[at] and word.folded != "noel":
            return True
        before = self._words[at - 1] if at and word.gap is Gap.JOIN else None
        following = self._joined(at + 1)
        is_followed = following is not None and following.is_capital and not self._known[at + 1]
        if is_followed or (before is None and word.folded != "noel"):
            return True
        if word.folded == "noel":
            return following is not None and following.folded in _VERBS
        return before.folded not in _ARTICLES and not (word.is_upper and before.is_upper)

    def _is_lower_first_name(self, at: int) -> bool:
        word = self._words[at]
        if word.is_capital or word.folded not in self._v.first_names:
            return False
        if not self._known[at]:
            return len(word.folded) >= SHORTEST_LOWER_NAME
        before = self._words[at - 1].folded if at else ""
        return (
            self._is_unknown_lower(at + 1)
            and before not in _ARTICLES
            and len(word.folded) >= SHORTEST_LOWER_NAME
        )

    def _lower_run(self, at: int) -> int:
        end = at + 1
        while end < min(len(self._words), at + LONGEST_NAME):
            word = self._words[end]
            if word.gap is not Gap.JOIN:
                break
            if (
                self._is_unknown_lower(end)
                or (word.is_capital and not self._known[end])
                or word.folded in self._v.surnames - self._v.french
            ):
                end += 1
            elif word.folded in {"le", "la", "de"} and self._is_unknown_lower(end + 1):
                end += 2
            else:
                break
        return min(end, len(self._words))

    def _is_unknown_lower(self, at: int) -> bool:
        return self._is_unknown_at(at) and not self._words[at].is_capital

    def _is_unknown_at(self, at: int) -> bool:
        if at >= len(self._words):
            return False
        word = self._words[at]
        return (
            word.gap is Gap.JOIN
            and not self._known[at]
            and not self._places[at]
            and len(word.surface) >= SHORTEST_UNKNOWN
        )

    def _is_lower_surname(self, at: int) -> bool:
        if not self._is_unknown_lower(at):
            return False
        folded = self._words[at].folded
        return (
            folded in self._v.surnames
            or _BRETON.fullmatch(folded) is not None
            or self._is_titled(at)
        )

    def _is_titled(self, at: int) -> bool:
        return at > 0 and self._words[at - 1].folded in self._v.titles

    def _is_capital_at(self, at: int) -> bool:
        return (
            at < len(self._words) and self._words[at].is_capital and self._words[at].gap is Gap.JOIN
        )

    def _is_next(self, at: int, *folded: str) -> bool:
        following = self._joined(at + 1)
        return following is not None and following.folded in folded

    def _joined(self, at: int) -> Word | None:
        if at >= len(self._words) or self._words[at].gap is Gap.STOP:
            return None
        return self._words[at]

    def _is_taken(self, at: int) -> bool:
        return bool(self._persons[at] or self._unknown[at])

    def _run(self, at: int, *, after_title: bool = False) -> int:
        """Follow a name to its end; a particle belongs to it when a capital comes after."""
        end = at
        for position in range(at, min(len(self._words), at + LONGEST_NAME)):
            word = self._words[position]
            if position > at and word.gap is Gap.STOP:
                break
            if position > at and word.gap is Gap.LINE and not self._crosses_line(at, position):
                break
            if word.is_capital and word.folded in self._v.titles and len(word.surface) > 1:
                break
            is_particle = word.folded in self._v.particles and (
                not word.is_capital or word.is_upper or len(word.surface) < 4
            )
            if is_particle:
                continue
            if not word.is_capital or word.folded in self._v.offices:
                break
            if position > at and self._places[position] and self._is_long_place(position):
                break
            if position > at and self._ends_before(
                position, word, after_title=after_title and position == at + 1
            ):
                break
            end = position + 1
        return end

    def _ends_before(self, position: int, word: Word, *, after_title: bool) -> bool:
        """Stop before a word that goes on after the name: ``Marie Maire de ...``, a label."""
        if after_title or word.gap is Gap.LINE:
            return False
        return (
            word.folded in self._v.capitals
            and word.folded not in self._v.first_names
            and not word.is_upper
        )

    def _is_long_place(self, at: int) -> bool:
        return (at + 1 < len(self._words) and bool(self._places[at + 1])) or bool(
            self._places[at - 1]
        )

    def _crosses_line(self, at: int, position: int) -> bool:
        word = self._words[position]
        if (
            position - at > 1
            or _SPEAKER_END.match(self._text, word.end)
            and ":" in self._text[word.end : word.end + 3]
        ):
            return False
        return word.is_capital and (not self._known[position] or word.folded in self._v.surnames)

    def _back(self, at: int) -> int:
        """Take a surname in capitals, or one that no word is, that stands before the first name."""
        start = at
        while start > 0 and at - start < 3 and self._words[start].gap is Gap.JOIN:
            before = self._words[start - 1]
            is_surname = (
                before.is_capital
                and (len(before.surface) > 2 or before.folded in self._v.particles)
                and not self._places[start - 1]
                and before.surface not in self._v.acronyms
                and (
                    not self._known[start - 1]
                    or (before.is_upper and before.folded in self._v.surnames | self._v.particles)
                )
                and before.folded not in self._v.titles
            )
            if not is_surname:
                break
            start -= 1
        while (
            start < at
            and self._words[start].folded in self._v.particles
            and self._known[start]
            and start + 1 == at
        ):
            start += 1
        return start

    def _initial_before(self, at: int) -> int:
        if at and self._words[at].gap is Gap.JOIN:
            before = self._words[at - 1]
            if (
                len(before.surface) == 1
                and before.is_capital
                and "." in self._text[before.end : before.end + 1]
            ):
                return at - 1
        return at

    def _mark_name(self, start: int, end: int) -> None:
        if end > start:
            self._persons[start:end] = b"\x01" * (end - start)

    # Lines: who speaks in a transcript, and who signs.

    def _mark_speakers(self) -> None:
        starts = {word.start: at for at, word in enumerate(self._words)}
        stamped = {match.end() for match in _STAMPED.finditer(self._text)}
        for line in _LINE.finditer(self._text):
            for begin in (
                sorted(
                    {self._first_in(line), *(s for s in stamped if line.start() <= s <= line.end())}
                )
                if stamped
                else [self._first_in(line)]
            ):
                at = starts.get(begin)
                if at is not None:
                    self._mark_speaker(at, is_stamped=begin in stamped)

    def _first_in(self, line: re.Match[str]) -> int:
        found = _WORD.search(self._text, line.start(), line.end())
        return found.start() if found else -1

    def _mark_speaker(self, at: int, *, is_stamped: bool) -> None:
        end = at
        while end < min(len(self._words), at + LONGEST_SPEAKER):
            word = self._words[end]
            if end > at and word.gap is not Gap.JOIN:
                break
            if not (word.is_capital or is_stamped or word.folded in self._v.particles):
                break
            end += 1
        if end == at or self._words[at].folded in self._v.speakers:
            return
        finish = _SPEAKER_END.match(self._text, self._words[end - 1].end)
        if finish is None or (not is_stamped and ":" not in finish.group()):
            return
        here = range(at, end)
        is_small = not all(
            self._words[each].is_capital or self._words[each].folded in self._v.particles
            for each in here
        )
        if is_small and ":" not in finish.group():
            return
        if is_stamped and not all(
            self._known[each] and not self._is_first_name(each) for each in here
        ):
            self._mark_name(at, end)
        elif (
            any(
                self._is_first_name(each) or (not self._known[each] and self._is_name_word(each))
                for each in here
            )
            and end - at > 1
        ):
            if all(
                not self._known[e]
                or self._words[e].folded
                in self._v.surnames | self._v.particles | self._v.first_names
                for e in here
            ):
                self._mark_name(at, end)

    def _mark_signatures(self) -> None:
        for at, word in enumerate(self._words):
            for length in range(1, LONGEST_CLOSING + 1):
                parts = tuple(each.folded for each in self._words[at : at + length])
                if parts in self._v.closings and (word.begins or word.is_capital):
                    self._mark_signature(at + length)
                    break

    def _mark_signature(self, at: int) -> None:
        if at >= len(self._words):
            return
        between = self._text[self._words[at - 1].end : self._words[at].start]
        if len(between) > 12 or not set(between) <= set(" \t\n,.!;:-–—\r"):
            return
        if not any(mark in between for mark in "\n,.!:-–—") and not self._words[at].is_capital:
            return
        end = at
        while end < min(len(self._words), at + LONGEST_SIGNATURE):
            word = self._words[end]
            if end > at and word.gap is not Gap.JOIN:
                break
            end += 1
        here = self._words[at:end]
        if any(word.folded in self._v.no_signature for word in here[:2]) or self._text[
            here[-1].end : here[-1].end + 1
        ] in {":"}:
            return
        is_short = end - at < LONGEST_SIGNATURE
        for position, word in enumerate(here, start=at):
            is_name = word.is_capital and word.folded not in self._v.offices | self._v.titles
            if is_short and (is_name or (not self._known[position] and not self._places[position])):
                self._mark_name(position, position + 1)

    # What was a name once is one everywhere.

    def _mark_again(self) -> None:
        names: set[str] = set()
        for at, word in enumerate(self._words):
            if self._persons[at] and len(word.surface) > 1 and word.folded not in self._v.particles:
                names.add(word.folded)
        # Of somebody called Jean-Noël; the feast stays one.
        names.discard("noel")
        for at, word in enumerate(self._words):
            if (
                word.folded in names
                and not self._places[at]
                and (word.is_capital or not self._known[at])
            ):
                self._persons[at] = 1

    def _mark_unknown(self) -> None:
        for at, word in enumerate(self._words):
            if (
                (word.is_capital or _BRETON.fullmatch(word.folded))
                and not self._persons[at]
                and not self._known[at]
                and self._is_name_word(at)
            ):
                self._unknown[at] = 1

    def _runs(self, marked: bytearray, kind: Kind) -> Iterator[Found]:
        start = -1
        for at, word in enumerate(self._words):
            if not marked[at]:
                continue
            if start < 0 or not marked[at - 1] or word.gap is Gap.STOP:
                if start >= 0:
                    yield Found(start, end, kind)
                start = word.start
            end = word.end
        if start >= 0:
            yield Found(start, end, kind)


_LABEL_END = re.compile(r"(?:\(e?s?\)|·e?s?|-e)?[ \t]{0,2}:[ \t]{0,3}[`\[*_]{0,3}")
