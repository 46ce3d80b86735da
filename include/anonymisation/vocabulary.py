"""The words by which a name is told from the rest, read once per town.

Neighbours: the data files of :mod:`include.data`, and the vocabulary of French that a spelling library
brings, which holds no proper names.
"""

import gzip
import importlib.resources
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from include.anonymisation.words import WORD, plain
from include.documents.words import fold
from include.errors import ConfigurationError
from include.municipality import DATA, DEFAULT_MUNICIPALITY

_TOWN_FILES = ("gazetteer.yaml", "national.yaml", "categories.yaml")

SIMPLE_ENDINGS = ("s", "x", "e", "es", "aise", "aises", "ment")

SHORTEST_STEM = 5
SHORTEST_PART = 3

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Folded words by kind.

    Attributes:
        french: Words that French knows, none of them a proper name.
        own: Words of the town's data files.
        stems: Beginnings of the town's words that are given by their beginning.
        places: Names of places and institutions, public figures of the past included, by first word,
            longest first.
        bare_names: Those of the town's places that are a person's name: a place only behind what it is.
    """

    french: frozenset[str]
    own: frozenset[str]
    stems: tuple[str, ...]
    places: Mapping[str, tuple[Parts, ...]]
    bare_names: Mapping[str, tuple[Parts, ...]]
    titles: frozenset[str]
    offices: frozenset[str]
    particles: frozenset[str]
    acronyms: frozenset[str]
    first_names: frozenset[str]
    surnames: frozenset[str]
    voies: frozenset[str]
    place_kinds: frozenset[str]
    regions: frozenset[str]
    kin: frozenset[str]
    before_names: frozenset[str]
    weak_before_names: frozenset[str]
    closings: frozenset[Parts]
    labels: frozenset[str]
    speakers: frozenset[str]
    no_signature: frozenset[str]
    capitals: frozenset[str]

    def is_word(self, folded: str) -> bool:
        """Say whether French or the town knows a word as one that names nobody."""
        return (
            folded in self.french
            or folded in self.own
            or folded in self.capitals
            or folded in self.titles
            or folded in self.offices
            or folded in self.labels
            or folded in self.voies
            or (bool(self.stems) and folded.startswith(self.stems))
            or any(
                folded.endswith(ending) and folded[: -len(ending)] in self.french
                for ending in SIMPLE_ENDINGS
                if len(folded) > len(ending) + SHORTEST_PART
            )
        )


@lru_cache(maxsize=4)
def vocabulary(municipality: str = DEFAULT_MUNICIPALITY) -> Vocabulary:
    """Read the data files.

    Raises:
        ConfigurationError: A file is missing or not in its form.
    """
    names = _read(DATA / "themes_fr.yaml")
    words = _read(DATA / "anonymisation_fr.yaml")
    town = [_read(DATA / municipality / name) for name in _TOWN_FILES]
    try:
        entries = [entry for file in town for entry in file["entries"]]
        first_names = _folded(names["first_names"]) | _whole(words["first_names"])
        gazetteer = [
            parts
            for entry in town[0]["entries"]
            for name in entry["words"]
            if (parts := _parts(name))
        ]
        public = [_parts(name) for name in (*words["public"], *words["public_names"])]
        named = [each for each in gazetteer if each[0] in first_names and len(each) > 1]
        stems = {
            parts[0]
            for entry in entries
            for word in entry["words"]
            if str(word).endswith("*") and len(parts := _parts(word)) == 1
        }
        return Vocabulary(
            french=french_words(),
            own=frozenset(
                part
                for entry in entries
                for word in entry["words"]
                for part in _own_parts(str(word))
            ),
            stems=tuple(sorted(stem for stem in stems if len(stem) >= SHORTEST_STEM)),
            places=_by_first([*(e for e in gazetteer if e not in named), *public]),
            bare_names=_by_first(named),
            titles=_folded(names["titles"]),
            offices=_folded(names["offices"]),
            particles=_folded(names["particles"]) - {"al", "ben", "el"}
            | {"l", "d", "le", "la", "les"},
            acronyms=frozenset(names["acronyms"].split()),
            first_names=first_names,
            surnames=_whole(words["surnames"]) - first_names,
            voies=_folded(words["voies"]),
            place_kinds=_folded(words["place_kinds"]),
            regions=_folded(words["regions"]),
            kin=_folded(words["kin"]) - {"grand"},
            before_names=_folded(words["before_names"]),
            weak_before_names=_folded(words["weak_before_names"]),
            closings=frozenset(_parts(each) for each in words["closings"].split()),
            labels=_folded(words["labels"]) - {"vice"},
            speakers=_folded(words["speakers"]),
            no_signature=_folded(words["no_signature"]),
            capitals=_folded(words["capitals"]) | _folded(words["elided"]),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(
            f"{DATA}: a file of names is not in its form: {error!r}"
        ) from error


@lru_cache(maxsize=1)
def french_words() -> frozenset[str]:
    """Fold the words of the spelling library's French list."""
    packed = importlib.resources.files("spellchecker").joinpath("resources/fr.json.gz")
    return frozenset(fold("\n".join(json.loads(gzip.decompress(packed.read_bytes())))).split("\n"))


def _own_parts(name: str) -> list[str]:
    """Take a name of one word, and the small words of a longer one: the others may be somebody's."""
    parts = WORD.findall(name)
    return [plain(part) for part in parts if len(parts) == 1 or part.islower()]


def _by_first(names: Iterable[Parts]) -> dict[str, tuple[Parts, ...]]:
    found: dict[str, set[Parts]] = {}
    for parts in names:
        found.setdefault(parts[0], set()).add(parts)
    return {first: tuple(sorted(each, key=lambda p: (-len(p), p))) for first, each in found.items()}


def _parts(name: str) -> Parts:
    return tuple(plain(part) for part in WORD.findall(str(name)))


def _folded(text: str) -> frozenset[str]:
    return frozenset(_parts(text))


def _whole(text: str) -> frozenset[str]:
    """Take first names; each part of a compound one is a first name as well when it is long enough."""
    return frozenset(
        part for name in text.split() for part in _parts(name) if len(part) >= SHORTEST_PART
    )


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_bytes())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
