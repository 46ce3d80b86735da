"""The embedded reviewer: rules and data files, no key, no network, no model.

It reads a text once and answers the two questions of the :class:`include.ports.Reviewer` port. The
same text, rules and data give the same answer in every process and on every machine.
"""

import hashlib
import importlib.metadata
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from include.contributions import categories
from include.contributions.charter import Charter
from include.contributions.model import Classification, Contribution, Validation
from include.contributions.normalisation import Normaliser, Reading, Vocabulary, cut
from include.contributions.patterns import Findings, Matcher
from include.contributions.people import People
from include.contributions.precision import DEFAULT_TABLE, PrecisionTable, load_precision
from include.municipality import DATA, DEFAULT_MUNICIPALITY, Municipality, load_municipality

ENGINE = "embedded"

RULES = (
    "categories",
    "charter",
    "doubt",
    "evaluation",
    "model",
    "normalisation",
    "patterns",
    "people",
    "plainness",
    "precision",
    "reviewer",
)
"""Modules whose code is part of what a step stores; a change of any of them is another rubric."""

LANGUAGE_LIBRARIES = ("snowballstemmer", "pyspellchecker")
"""Their stems and words are part of the judgement, so their versions are part of the rubric."""

READINGS_KEPT = 4
"""A text is validated and then classified: it is read once. Few are kept, since texts are large."""


class EmbeddedReviewer:
    """Judges by the charter, the words and the places of one town."""

    engine: str = ENGINE

    def __init__(self, municipality: Municipality, precision: PrecisionTable) -> None:
        self.rubric_version = rubric_version(municipality, precision)
        stamp = {"engine": self.engine, "rubric_version": self.rubric_version}
        own_words = (
            word.strip("=*?")
            for entry in municipality.entries
            for phrase in entry.phrases
            for word in cut(phrase)
        )
        self._precision = precision
        self._stamp = stamp
        vocabulary = Vocabulary(own_words, municipality.listed, municipality.plain)
        self._normaliser = Normaliser(vocabulary)
        self._matcher = Matcher(
            municipality.entries,
            municipality.rules,
            municipality.masks,
            municipality.word_reasons,
        )
        self._charter = Charter(municipality, vocabulary, precision, stamp)
        self._read = lru_cache(maxsize=READINGS_KEPT)(self._read_text)
        self._limit = int(municipality.parameters["max_characters"])

    def validate(self, contribution: Contribution) -> Validation:
        """Hold the text against the charter; a text that is too long goes to a person unread."""
        text = contribution.text
        return self._charter.too_long(text) or self._charter.validate(*self._with_rules(text))

    def classify(self, contribution: Contribution) -> Classification:
        """Name the subject of the text, by its first 8,000 characters."""
        reading, findings = self._read(contribution.text[: self._limit])
        return categories.classify(
            reading, findings, contribution.category, self._precision, self._stamp
        )

    def warm_up(self, contributions: Iterable[Contribution]) -> None:
        """Prepare what is needed for every text, and remember the words of these.

        For a process that others are forked from: without it each of them takes half a second.
        """
        self._matcher.warm_up()
        for contribution in contributions:
            self.validate(contribution)

    def acceptance_rule(self, contribution: Contribution) -> str:
        """Name the kind of evidence on which a text would be accepted, for the precision table."""
        return (
            self._charter.acceptance_rule(*self._with_rules(contribution.text[: self._limit])) or ""
        )

    def category_rule(self, contribution: Contribution) -> str:
        """Name the way the category was decided, for the precision table."""
        reading, findings = self._read(contribution.text[: self._limit])
        hits = categories.category_hits(findings)
        scores = categories.score(hits, reading, findings)
        return categories.decide(scores, contribution.category).kind

    def _read_text(self, text: str) -> tuple[Reading, Findings]:
        reading = self._normaliser.read(text)
        return reading, self._matcher.entries(reading)

    def _with_rules(self, text: str) -> tuple[Reading, Findings]:
        reading, findings = self._read(text)
        return reading, self._matcher.with_rules(reading, People.resolve(reading, findings))


def rubric_version(municipality: Municipality, precision: PrecisionTable) -> str:
    """Name what an answer depends on besides the text: rules, data, charter, figures, libraries."""
    libraries = [f"{name} {importlib.metadata.version(name)}" for name in LANGUAGE_LIBRARIES]
    parts = [_code(), municipality.fingerprint, precision.fingerprint, *libraries]
    return f"{ENGINE}-{hashlib.sha256('|'.join(parts).encode()).hexdigest()[:12]}"


def _code() -> str:
    folder = Path(__file__).parent
    lines = (line for name in RULES for line in (folder / f"{name}.py").read_bytes().splitlines())
    return hashlib.sha256(b"\n".join(lines)).hexdigest()


@lru_cache(maxsize=4)
def embedded_reviewer(
    municipality: str = DEFAULT_MUNICIPALITY, precision_path: Path = DEFAULT_TABLE
) -> EmbeddedReviewer:
    """Return the reviewer of a town; built on the first call in a process, then the same one.

    Raises:
        ConfigurationError: A data file is missing or wrong.
    """
    return EmbeddedReviewer(load_municipality(DATA / municipality), load_precision(precision_path))
