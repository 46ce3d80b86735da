"""A stronger recogniser of names, where somebody installed one and named it.

The setting is ``spacy:`` and the name of a model that stands on this machine, such as
``spacy:fr_core_news_lg``. Nothing is downloaded: a model that is not there is an error, not a fetch.
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from include.anonymisation.model import NameRecogniser
from include.errors import ConfigurationError

PERSON_LABELS = frozenset({"PER", "PERSON", "PERS"})


@dataclass(frozen=True, slots=True)
class SpacyRecogniser:
    """Takes what a spaCy model labels as a person."""

    name: str
    model: Any

    def names(self, text: str) -> Iterator[tuple[int, int]]:
        """Give the spans of the persons that the model sees."""
        for entity in self.model(text).ents:
            if entity.label_ in PERSON_LABELS:
                yield entity.start_char, entity.end_char


@lru_cache(maxsize=2)
def recogniser_of(setting: str) -> NameRecogniser | None:
    """Load the recogniser that a setting names; None for an empty one.

    Raises:
        ConfigurationError: The setting names no recogniser, or one that is not installed.

    >>> recogniser_of("") is None
    True
    """
    if not setting:
        return None
    library, _, model = setting.partition(":")
    if library != "spacy" or not model:
        raise ConfigurationError(
            f"name recogniser {setting!r}: give spacy:<name of an installed model>, or nothing"
        )
    try:
        loaded = importlib.import_module("spacy").load(model)
    except (ImportError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"name recogniser {setting!r} is not installed here ({type(error).__name__}); install spaCy and "
            "the model into the environment of the workers, or leave the setting empty"
        ) from error
    version = loaded.meta.get("version", "")
    return SpacyRecogniser(f"{setting}-{version}", loaded)
