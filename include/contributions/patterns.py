"""Find words, phrases and patterns in a reading; the data files say which.

An *entry* is a list of words and phrases of one class, such as the insults or the names of the
quarters. A *rule* is a list of patterns over words and classes. Both have an id, so that evidence can
name what fired. A pattern is written as words, one after the other:

=============  ===========================================================================
``trottoir``   this word in any inflection, by its stem; short words and stems by their endings
``=port``      exactly this spelling, accents aside
``pollu*``     every word that begins so
``{insulte}``  any word of this class
``a|{b}``      one or the other
``?tous``      may be missing
``!a|{b}``      any word that is neither of these
``...``        up to three words in between (``...6``: up to six), in the same sentence
``^`` ``$``    before the first word: it opens its sentence; after the last: it closes it
=============  ===========================================================================

Matching is a walk with bounded gaps, so its cost grows with the length of the text and no further.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Generic, NamedTuple, TypeVar

from snowballstemmer import stemmer

from include.contributions.normalisation import CACHE_SIZE, Form, Reading, Token, cut, fold
from include.errors import ConfigurationError

SHORT_WORD = 4
"""Words up to this length are compared as written or with an ending: stems of short words collide."""

SHORT_STEM = 5
"""So do short stems: *pourri* and *pourrait* share one. They count only where an entry says so."""

STEM_PREFIX = 3
"""No stem is shorter, so words that differ here share none."""

ENDINGS = ("", "s", "x", "e", "es")

DEFAULT_GAP = 3

_stem = stemmer("french").stemWord


@dataclass(frozen=True, slots=True)
class Entry:
    """Words and phrases of one class.

    Attributes:
        id: Names the entry in evidence.
        klass: The class its words belong to.
        phrases: Written as in a pattern.
        weight: How much one word says, where that matters.
        derived: True when relatives with a short common stem count too (*ouvrir*, *ouverture*): right
            for signs of good will, too loose for what may be held against a text.
        stems: False when only the words themselves and their plurals count: *pourri*, not *pourrait*.
    """

    id: str
    klass: str
    phrases: tuple[str, ...]
    weight: float = 1.0
    derived: bool = False
    stems: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """Patterns that mean the same thing.

    Attributes:
        id: Names the rule in evidence.
        layer: ``strict`` proposes a refusal, ``loose`` asks a person, ``sign`` is only evidence,
            ``frame`` is a place where a class of words (its ``reason``) may stand.
        article: The article concerned, by its key in the charter; empty for positive evidence.
        reason: The review reason when a person is asked.
        patterns: Any of them is enough.
    """

    id: str
    layer: str
    article: str
    reason: str
    patterns: tuple[str, ...]


class EntryHit(NamedTuple):
    """An entry found at ``tokens[first:last]``."""

    entry: Entry
    first: int
    last: int


class RuleHit(NamedTuple):
    """A rule found at ``tokens[first:last]``."""

    rule: Rule
    first: int
    last: int


class Findings(NamedTuple):
    """What was found in a reading, in the order of the text."""

    entries: tuple[EntryHit, ...]
    rules: tuple[RuleHit, ...]
    labels: tuple[frozenset[str], ...]


class _Element(NamedTuple):
    labels: frozenset[str]
    gap: int
    optional: bool = False
    negated: bool = False
    opens: bool = False
    closes: bool = False

    def fits(self, labels: frozenset[str]) -> bool:
        """Say whether a word with these labels may stand here."""
        return self.labels.isdisjoint(labels) is self.negated


Pattern = tuple[_Element, ...]
Owner = TypeVar("Owner", bound=Entry | Rule)
_Start = tuple[frozenset[int], Pattern, Owner]
"""The elements that a pattern requires, the pattern, and whose it is."""


class _Starts(NamedTuple, Generic[Owner]):
    """Patterns that may begin at a word: those that require nothing more, the others by a key."""

    free: tuple[tuple[Pattern, Owner], ...]
    keys: frozenset[int]
    keyed: dict[int, list[_Start[Owner]]]


@dataclass(slots=True)
class _Index:
    """From a spelling to the labels that patterns ask for."""

    exact: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    waiting: dict[str, list[tuple[str, str, bool]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    stems: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    prefixes: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    stemmed: set[str] = field(default_factory=set)

    def add(self, word: str, label: str, *, derived: bool = False, stems: bool = True) -> None:
        """Let every spelling that ``word`` stands for carry ``label``."""
        folded = fold(word.strip("=*"))
        if word.endswith("*"):
            self.prefixes[folded].add(label)
        elif word.startswith("="):
            self.exact[folded].add(label)
        else:
            for ending in ENDINGS:
                self.exact[folded + ending].add(label)
            if stems and len(folded) > SHORT_WORD:
                self.waiting[folded[:STEM_PREFIX]].append((word.lower(), label, derived))

    def labels(self, form: Form) -> frozenset[str]:
        """Every label of a word form."""
        folded = form.folded
        found = set(self.exact.get(folded, ()))
        if len(folded) > SHORT_WORD:
            prefix = folded[:STEM_PREFIX]
            if prefix in self.waiting:
                self.stem_waiting(prefix)
            if prefix in self.stemmed:
                found.update(self.stems.get(fold(_stem(form.lower)), ()))
        if self.prefixes:
            for length in range(2, len(folded) + 1):
                found.update(self.prefixes.get(folded[:length], ()))
        return frozenset(found)

    def stem_waiting(self, prefix: str) -> None:
        """Stem the entries that begin like a word that was met; most are never needed.

        With their accents and without, since citizens write both.
        """
        for word, label, derived in self.waiting.pop(prefix):
            for stem in {fold(_stem(word)), _stem(fold(word))}:
                if derived or len(stem) >= SHORT_STEM:
                    self.stems[stem].add(label)
        self.stemmed.add(prefix)


class Matcher:
    """Entries and rules, compiled once.

    Raises:
        ConfigurationError: A pattern cannot be read; the message names its entry or rule.
    """

    def __init__(
        self,
        entries: Sequence[Entry],
        rules: Sequence[Rule],
        masks: Mapping[str, frozenset[str]],
        listed: Iterable[str] = (),
    ) -> None:
        """Compile.

        Args:
            entries: Words and phrases with their classes.
            rules: Patterns over words and classes.
            masks: For a class, the classes that its words lose inside one of its phrases:
                ``bitte d'amarrage`` is of the harmless kind, whatever else *bitte* may be.
            listed: Classes of listed words; a pattern writes them ``{mot.<class>}``.
        """
        self._index = _Index()
        self._masks = masks
        self._classes = {entry.klass for entry in entries}
        self._classes |= {f"mot.{klass}" for klass in listed}
        self._single: dict[str, Entry] = {}
        self._phrases: dict[str, list[_Start[Entry]]] = defaultdict(list)
        self._patterns: dict[str, list[_Start[Rule]]] = defaultdict(list)
        self._elements: dict[frozenset[str], int] = {}
        self._elements_of: dict[str, set[int]] = defaultdict(set)
        for entry in entries:
            for phrase in entry.phrases:
                self._add_phrase(phrase, entry)
        for rule in rules:
            for written in rule.patterns:
                pattern = self._compile(written, rule.id)
                for label in pattern[0].labels:
                    self._patterns[label].append((self._required(pattern), pattern, rule))
        self._word = lru_cache(maxsize=CACHE_SIZE)(self._labels_and_entries)
        self._carried = lru_cache(maxsize=CACHE_SIZE)(self._carried_elements)
        self._phrase_starts = lru_cache(maxsize=CACHE_SIZE)(partial(_starts, self._phrases))
        self._rule_starts = lru_cache(maxsize=CACHE_SIZE)(partial(_starts, self._patterns))

    def warm_up(self) -> None:
        """Do now what is otherwise done when a word first needs it: half a second, once."""
        for prefix in tuple(self._index.waiting):
            self._index.stem_waiting(prefix)

    def entries(self, reading: Reading) -> Findings:
        """Find every entry, and no rule: all that the subject of a text depends on."""
        tokens = reading.tokens
        hits: list[EntryHit] = []
        labels: list[frozenset[str]] = []
        for position, token in enumerate(tokens):
            own, entries = self._word(token.form)
            labels.append(own)
            if entries:
                hits += [EntryHit(entry, position, position + 1) for entry in entries]
        phrase_hits = [
            EntryHit(entry, first, last)
            for first, last, entry in _search(
                tokens, labels, self._phrase_starts, self._present(labels)
            )
        ]
        if phrase_hits:
            hits, labels = self._with_phrases(hits, phrase_hits, labels)
        hits.sort(key=lambda hit: (hit.first, -hit.last, hit.entry.id))
        return Findings(tuple(hits), (), tuple(labels))

    def with_rules(self, reading: Reading, findings: Findings) -> Findings:
        """Add the rules to the entries that were found."""
        labels = findings.labels
        rules = [
            RuleHit(rule, first, last)
            for first, last, rule in _search(
                reading.tokens, labels, self._rule_starts, self._present(labels)
            )
        ]
        rules.sort(key=lambda hit: (hit.first, -hit.last, hit.rule.id))
        return findings._replace(rules=tuple(rules))

    def _present(self, labels: Iterable[frozenset[str]]) -> frozenset[int]:
        """Numbers of every pattern element that some word of the text could be."""
        return frozenset[int]().union(*map(self._carried, set(labels)))

    def _carried_elements(self, labels: frozenset[str]) -> frozenset[int]:
        empty: set[int] = set()
        return frozenset().union(*(self._elements_of.get(label, empty) for label in labels))

    def _required(self, pattern: Pattern) -> frozenset[int]:
        """Elements without which a pattern cannot match; asked before any search."""
        required = set()
        for element in pattern[1:]:
            if element.optional or element.negated:
                continue
            number = self._elements.setdefault(element.labels, len(self._elements))
            for label in element.labels:
                self._elements_of[label].add(number)
            required.add(number)
        return frozenset(required)

    def _with_phrases(
        self,
        hits: list[EntryHit],
        phrase_hits: list[EntryHit],
        labels: list[frozenset[str]],
    ) -> tuple[list[EntryHit], list[frozenset[str]]]:
        """Let the words of a phrase carry its class, and lose the classes that it masks."""
        removed: dict[int, frozenset[str]] = {}
        for hit in phrase_hits:
            masked = self._masks.get(hit.entry.klass, frozenset())
            for position in range(hit.first, hit.last):
                labels[position] |= {f"{{{hit.entry.klass}}}"}
                removed[position] = removed.get(position, frozenset()) | masked
        for position, classes in removed.items():
            labels[position] -= {f"{{{klass}}}" for klass in classes}
        kept = [
            hit
            for hit in (*hits, *phrase_hits)
            if hit.entry.klass not in removed.get(hit.first, frozenset())
        ]
        return kept, labels

    def _add_phrase(self, phrase: str, entry: Entry) -> None:
        words = cut(phrase)
        if len(words) == 1 and not phrase.startswith("{") and "|" not in phrase:
            marker = f"#{entry.id}"
            self._index.add(words[0], marker, derived=entry.derived, stems=entry.stems)
            self._single[marker] = entry
            return
        pattern = self._compile(phrase, entry.id, stems=entry.stems)
        for label in pattern[0].labels:
            self._phrases[label].append((self._required(pattern), pattern, entry))

    def _compile(self, written: str, owner: str, *, stems: bool = True) -> Pattern:
        elements: list[_Element] = []
        gap = 0
        pieces = cut(written)
        opens, closes = pieces[0] == "^", pieces[-1] == "$"
        for piece in pieces[opens : len(pieces) - closes]:
            if piece.startswith("..."):
                gap = int(piece[3:] or DEFAULT_GAP)
                continue
            parts = piece.lstrip("?!").split("|")
            labels = frozenset(self._label(part, owner, stems=stems) for part in parts)
            mark = piece[: len(piece) - len(piece.lstrip("?!"))]
            elements.append(_Element(labels, gap, optional="?" in mark, negated="!" in mark))
            gap = 0
        if not elements or elements[0].optional or elements[0].negated or gap:
            raise ConfigurationError(f"{owner}: a pattern begins and ends with a word: {written!r}")
        elements[0] = elements[0]._replace(opens=opens)
        elements[-1] = elements[-1]._replace(closes=closes)
        return tuple(elements)

    def _label(self, part: str, owner: str, *, stems: bool) -> str:
        if part.startswith("{"):
            if part.strip("{}") not in self._classes:
                raise ConfigurationError(f"{owner}: there is no class {part}")
            return part
        label = f"~{part}" if stems else f"~={part}"
        self._index.add(part, label, stems=stems)
        return label

    def _labels_and_entries(self, form: Form) -> tuple[frozenset[str], tuple[Entry, ...]]:
        found = self._index.labels(form)
        entries = [self._single[label] for label in sorted(found) if label in self._single]
        classes = {f"{{{entry.klass}}}" for entry in entries}
        plain = {label for label in found if not label.startswith("#")}
        if form.klass:
            classes.add(f"{{mot.{form.klass}}}")
        return frozenset(plain | classes), tuple(entries)


def _starts(index: Mapping[str, Sequence[_Start[Owner]]], labels: frozenset[str]) -> _Starts[Owner]:
    """Patterns that may begin at a word, by the element of each that was numbered last.

    Common elements are met early and have low numbers, so the last one is the rarest.
    """
    keyed: dict[int, list[_Start[Owner]]] = defaultdict(list)
    free: list[tuple[Pattern, Owner]] = []
    for label in sorted(labels):
        for start in index.get(label, ()):
            required, pattern, owner = start
            if required:
                keyed[max(required)].append(start)
            else:
                free.append((pattern, owner))
    return _Starts(tuple(free), frozenset(keyed), dict(keyed))


def _search(
    tokens: Sequence[Token],
    labels: Sequence[frozenset[str]],
    starts: Callable[[frozenset[str]], _Starts[Owner]],
    present: frozenset[int],
) -> set[tuple[int, int, Owner]]:
    """Find every owner once per span; a set, since two labels may lead to one pattern."""
    possible: dict[frozenset[str], list[tuple[Pattern, Owner]]] = {}
    for own in set(labels):
        begin: _Starts[Owner] = starts(own)
        possible[own] = [
            *begin.free,
            *(
                (pattern, owner)
                for key in begin.keys & present
                for required, pattern, owner in begin.keyed[key]
                if required <= present
            ),
        ]
    return {
        (position, last, owner)
        for position, own in enumerate(labels)
        for pattern, owner in possible[own]
        if not (pattern[0].opens and _continues(tokens, position))
        and (last := _end_of(pattern, 1, position + 1, tokens, labels))
    }


def _continues(tokens: Sequence[Token], position: int) -> bool:
    """Say whether a token belongs to the sentence of the one before it."""
    return 0 < position < len(tokens) and tokens[position - 1].sentence == tokens[position].sentence


def _end_of(
    pattern: Pattern,
    step: int,
    position: int,
    tokens: Sequence[Token],
    labels: Sequence[frozenset[str]],
) -> int:
    """Return where the rest of a pattern ends, or 0 when it does not match from here."""
    if step == len(pattern):
        return 0 if pattern[-1].closes and _continues(tokens, position) else position
    element = pattern[step]
    sentence = tokens[position - 1].sentence
    for candidate in range(position, min(position + element.gap + 1, len(tokens))):
        if tokens[candidate].sentence != sentence:
            break
        if element.fits(labels[candidate]):
            end = _end_of(pattern, step + 1, candidate + 1, tokens, labels)
            if end:
                return end
    if element.optional:
        return _end_of(pattern, step + 1, position, tokens, labels)
    return 0
