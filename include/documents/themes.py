"""Say what a document talks about, in its own words and never with a person's name.

Candidates are runs of one to three telling words. They are weighed by how often they stand in the
text and by the square root of how rare their words are: in French at large for one document, in the
collection for a collection. A document's themes so depend on its text alone. A word that is neither
French nor the town's nor ever written small is a proper name that nobody vouched for, and no theme.
"""

import gzip
import importlib.resources
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from include.documents.embedding import bm25
from include.documents.model import Theme
from include.documents.parsing import language
from include.documents.persons import NameSigns, Token, name_positions
from include.documents.words import fold
from include.errors import ConfigurationError
from include.municipality import DATA, DEFAULT_MUNICIPALITY

ENGINE = "themes-fr-2"
"""Changes when the same text would have other themes."""

LONGEST_THEME = 3
"""Telling words in a theme; the small words between them come on top."""

LENGTH_BONUS = (0.0, 1.0, 1.9, 2.4)
"""By number of words: ``stationnement`` stands more often than ``stationnement payant``, says less."""

COMMON = 20_000
CAP = 6.0
"""A word met so often in the frequency list counts little; one that is not in it counts no more than
the cap: it may be a misreading."""

EVERYWHERE = frozenset({"gaz.commune", "gaz.pays"})
"""Entries of the gazetteer that stand in every paper of the town: nothing is about them."""

READ_CHARACTERS = 200_000
"""Of one text; what a long document is about shows in its first hundred pages."""

_TOKEN = re.compile(r"[^\W\d_]+|\n\s*\n|[.,;:!?()\[\]«»“”\"•|/…–—]|\d+")
_ADDRESS = re.compile(r"\S*@\S+|https?:\S+|www\.\S+")

SHORT_TEXT = 600
"""Words and breaks; a text of a page or two says most things once, a longer one repeats what counts."""

SHORTEST_WORD = 3
MAX_LABEL_CHARACTERS = 100
"""A longer one is no subject, and an index of the ledger holds no label without end."""

LONGEST_PLACE = 5

CACHED_FORMS = 100_000
"""Written words whose folded form is remembered."""

Stems: TypeAlias = tuple[str, ...]


@dataclass(slots=True)
class _Candidate:
    """How often a run of stems stands in a text, and how it is written there."""

    words: tuple[str, ...]
    label: str
    count: float


@dataclass(frozen=True)
class ThemeExtractor:
    """Finds themes in the papers of one town.

    Attributes:
        signs: What names of persons are seen by.
        stop_words: Telling words that say nothing in a municipal paper.
        linkers: Small words that may stand inside a theme.
        places: The town's places, folded, one space between their words.
        frequencies: How often a folded word stands in French at large.
    """

    signs: NameSigns
    stop_words: frozenset[str]
    linkers: frozenset[str]
    places: frozenset[str]
    frequencies: Mapping[str, int]

    @cached_property
    def first_words(self) -> frozenset[str]:
        """With which words a place may begin."""
        return frozenset(place.split(" ", 1)[0] for place in self.places)

    def of_document(self, text: str, count: int = 8) -> tuple[Theme, ...]:
        """Name at most so many themes, heaviest first; weights are shares of the heaviest."""
        candidates = self._candidates(text)
        return _chosen({k: (c, self._rarity(c.words)) for k, c in candidates.items()}, count)

    def of_collection(self, texts: Iterable[str], count: int = 20) -> tuple[Theme, ...]:
        """Name what several documents talk about; read once, one text in memory at a time.

        A document counts for a theme with the square root of how often it says it, so that one long
        paper does not speak for the town. What stands in one document only is left out.
        """
        spread = Counter[Stems]()
        together: dict[Stems, _Candidate] = {}
        size = 0
        for text in texts:
            size += 1
            for stems, found in self._candidates(text).items():
                spread[stems] += 1
                one = together.setdefault(stems, _Candidate(found.words, found.label, 0.0))
                one.count += math.sqrt(found.count)
        return _chosen(
            {
                stems: (one, self._rarity(one.words) * math.log1p(size / spread[stems]))
                for stems, one in together.items()
                if spread[stems] > 1
            },
            count,
        )

    def _rarity(self, words: Sequence[str]) -> float:
        each = [
            min(CAP, math.log1p(COMMON / (1 + self.frequencies.get(word, 0)))) for word in words
        ]
        return sum(each) / len(each)

    def _candidates(self, text: str) -> dict[Stems, _Candidate]:
        clean = _ADDRESS.sub("|", unicodedata.normalize("NFC", text[:READ_CHARACTERS]))
        tokens = self._with_places(tokens_of(clean), clean)
        stems = self._stems(tokens)
        spans: dict[Stems, list[tuple[int, int]]] = {}
        for start, stem in enumerate(stems):
            if stem:
                for key, end in self._runs_from(tokens, stems, start):
                    spans.setdefault(key, []).append((start, end))
        is_short = len(tokens) < SHORT_TEXT
        found = {
            key: _candidate(clean, tokens, stems, places, self.signs.acronyms)
            for key, places in spans.items()
            # Said once, three words in a row are a sentence rather than a subject.
            if len(places) > 1 or (is_short and len(key) < LONGEST_THEME)
        }
        return {k: each for k, each in found.items() if len(each.label) <= MAX_LABEL_CHARACTERS}

    def _runs_from(
        self, tokens: Sequence[Token], stems: Sequence[str], start: int
    ) -> Iterator[tuple[Stems, int]]:
        key: Stems = ()
        for end in range(start, min(len(tokens), start + 2 * LONGEST_THEME)):
            if stems[end]:
                key += (stems[end],)
                yield key, end
                if len(key) == LONGEST_THEME:
                    return
            elif tokens[end].folded not in self.linkers:
                return

    def _stems(self, tokens: Sequence[Token]) -> list[str]:
        """Give each token that may begin or end a theme its singular, and the others nothing."""
        known = self._known(tokens)
        usable = {word for word in known - self.stop_words if word and len(word) >= SHORTEST_WORD}
        names = self._names(tokens)
        return [
            _singular(token.folded) if token.folded in usable and at not in names else ""
            for at, token in enumerate(tokens)
        ]

    def _names(self, tokens: Sequence[Token]) -> set[int]:
        places = frozenset(at for at, token in enumerate(tokens) if " " in token.folded)
        return name_positions(tokens, self.signs, places, self._known(tokens))

    def _known(self, tokens: Sequence[Token]) -> frozenset[str]:
        small = Counter(token.folded for token in tokens if not token.is_capital)
        # Written small twice, an unknown word is a word; once, it may be a misreading.
        return frozenset(
            token.folded
            for token in tokens
            if token.folded in self.frequencies
            or token.folded in self.places
            or token.surface in self.signs.acronyms
            or small[token.folded] > 1
        )

    def _with_places(self, tokens: Sequence[Token], text: str) -> list[Token]:
        """Join the words of a place of the town into one token."""
        joined: list[Token] = []
        at = 0
        while at < len(tokens):
            token = tokens[at]
            length = self._place_length(tokens, at) if token.folded in self.first_words else 0
            if length > 1:
                last = tokens[at + length - 1]
                surface = text[token.start : last.start + len(last.surface)]
                folded = " ".join(each.folded for each in tokens[at : at + length])
                token = Token(surface, folded, token.is_capital, token.start)
            joined.append(token)
            at += max(1, length)
        return joined

    def _place_length(self, tokens: Sequence[Token], at: int) -> int:
        for length in range(min(LONGEST_PLACE, len(tokens) - at), 0, -1):
            if " ".join(each.folded for each in tokens[at : at + length]) in self.places:
                return length
        return 0


@lru_cache(maxsize=4)
def extractor(municipality: str = DEFAULT_MUNICIPALITY) -> ThemeExtractor:
    """Read the data files and the frequency list once per process.

    Raises:
        ConfigurationError: A file is missing or not in its form.
    """
    words = _read(DATA / "themes_fr.yaml")
    gazetteer = _read(DATA / municipality / "gazetteer.yaml")
    try:
        signs = NameSigns(
            titles=_folded(words["titles"]),
            offices=_folded(words["offices"]),
            particles=_folded(words["particles"]),
            first_names=_folded(words["first_names"]),
            acronyms=frozenset(words["acronyms"].split()),
        )
        everywhere = frozenset(
            word
            for entry in gazetteer["entries"]
            if entry["id"] in EVERYWHERE
            for name in entry["words"]
            for word in _folded_list(name)
        )
        places = [
            _folded_list(name)
            for entry in gazetteer["entries"]
            if entry["class"] == "lieu" and entry["id"] not in EVERYWHERE
            for name in entry["words"]
        ]
        return ThemeExtractor(
            signs=signs,
            stop_words=_folded(words["stop_words"])
            | everywhere
            | bm25.stop_words()
            | _folded(" ".join(language.stop_words("en"))),
            linkers=_folded(words["linkers"]),
            # A place called by a bare name cannot be told from the person.
            places=frozenset(" ".join(p) for p in places if p and p[0] not in signs.first_names),
            frequencies=_frequencies(),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{DATA}: a file of words is not in its form: {error!r}"
        ) from error


def _chosen(candidates: Mapping[Stems, tuple[_Candidate, float]], count: int) -> tuple[Theme, ...]:
    weights = {
        stems: found.count * math.sqrt(rarity) * LENGTH_BONUS[len(stems)]
        for stems, (found, rarity) in candidates.items()
    }
    chosen: list[Stems] = []
    taken: set[str] = set()
    for stems in sorted(weights, key=lambda stems: (-weights[stems], stems)):
        if len(chosen) == count:
            break
        # A theme that repeats a word of a heavier one adds little.
        words = {word for stem in stems for word in stem.split()}
        if taken.isdisjoint(words):
            chosen.append(stems)
            taken |= words
    heaviest = weights[chosen[0]] if chosen else 1.0
    return tuple(
        Theme(candidates[stems][0].label, round(weights[stems] / heaviest, 4)) for stems in chosen
    )


def _candidate(
    text: str,
    tokens: Sequence[Token],
    stems: Sequence[str],
    spans: Sequence[tuple[int, int]],
    acronyms: frozenset[str],
) -> _Candidate:
    # As it is mostly written, and small where it can be: capitals are mostly those of a heading.
    forms = Counter(tokens[end].folded for _, end in spans)
    start, end = max(
        spans, key=lambda span: (forms[tokens[span[1]].folded], not tokens[span[0]].is_capital)
    )
    last = tokens[end]
    label = " ".join(text[tokens[start].start : last.start + len(last.surface)].split())
    words = tuple(tokens[at].folded for at in range(start, end + 1) if stems[at])
    is_heading = label.isupper() and label not in acronyms
    return _Candidate(words, label.lower() if is_heading else label, len(spans))


def tokens_of(text: str) -> list[Token]:
    """Cut a text into words and breaks."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        surface = match.group()
        if not surface[0].isalpha():
            # An abbreviation's point does not part a title from the name after it.
            if surface != "." or not tokens or len(tokens[-1].folded) not in {1, 2}:
                tokens.append(Token(surface, "", False, match.start()))  # noqa: FBT003 - a row
            continue
        tokens.append(Token(surface, _fold_form(surface), surface[0].isupper(), match.start()))
    return tokens


@lru_cache(maxsize=CACHED_FORMS)
def _fold_form(surface: str) -> str:
    return fold(surface)


def _singular(word: str) -> str:
    """Take plurals as their singular; a stem would take ``accueillis`` for ``accueil`` as well."""
    return word[:-1] if len(word) > SHORTEST_WORD and word[-1] in "sx" else word


@lru_cache(maxsize=1)
def _frequencies() -> dict[str, int]:
    packed = importlib.resources.files("spellchecker").joinpath("resources/fr.json.gz")
    counts: dict[str, int] = json.loads(gzip.decompress(packed.read_bytes()))
    folded: Counter[str] = Counter()
    for word, count in zip(fold("\n".join(counts)).split("\n"), counts.values(), strict=True):
        folded[word] += count
    return dict(folded)


def _folded_list(text: str) -> list[str]:
    return [token.folded for token in tokens_of(text) if token.folded]


def _folded(text: str) -> frozenset[str]:
    return frozenset(_folded_list(text))


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
