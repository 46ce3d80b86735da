"""BM25 as an inner product of two sparse vectors.

A document's side holds how much each of its terms counts in it; the question's side holds how rare
each asked term is in the live collection. The document's side depends on its text alone (the average
length is a constant), so nothing is fitted and a vector never changes as the collection grows.
"""

import math
import zlib
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from heapq import nsmallest
from pathlib import Path

import snowballstemmer

from include.documents.model import SparseVector
from include.documents.words import words

ENGINE = "bm25-fr-1"
"""Changes when the same text would give another vector."""

DIMENSIONS = 262_144
"""Terms are hashed into so many places; the column ``embedding.sparse`` has the same width."""

MAX_NONZEROS = 1_000
"""pgvector indexes no sparse vector with more."""

AVERAGE_LENGTH = 130
"""Terms of a typical child of 1,500 characters, as French municipal texts have them."""

SATURATION = 1.2
LENGTH_WEIGHT = 0.5
"""BM25's k1 and b. Children are of nearly one length, so length says less than in whole documents."""

STOP_WORDS_FILE = Path(__file__).parent.parent.parent / "data" / "french_stop_words.txt"

CACHED_FORMS = 100_000
"""Word forms whose term is remembered: more than French texts of a town hall ever hold."""


def terms(text: str) -> list[str]:
    """Reduce a text to the stems of its telling words and its numbers, in reading order.

    Accents go before the stem is taken: people leave them out, and capitals often have none.

    >>> terms("Les arrêtés de voirie de l'année 2025"), terms("ARRETE DE VOIRIE")
    (['arret', 'voir', 'anne', '2025'], ['arret', 'voir'])
    """
    return [term for form in words(text) if (term := term_of(form))]


def index_of(term: str) -> int:
    """Say in which place of the vector a term counts, from 0."""
    return zlib.crc32(term.encode()) % DIMENSIONS


def term_indices(text: str) -> frozenset[int]:
    """Name the places that a text's terms take: what a caller counts before it asks."""
    return frozenset(_indices(text))


def document_vector(text: str) -> SparseVector:
    """Weigh each term of a text by how often it stands in it, dampened, for the text's length.

    A text with more than 1,000 different terms (a child never has so many, a parent might) keeps
    the heaviest; among equals those of the lower place, so that the choice is always the same.
    """
    found = _indices(text)
    length = 1 - LENGTH_WEIGHT + LENGTH_WEIGHT * len(found) / AVERAGE_LENGTH
    counts = Counter(found)
    return _vector(
        {
            index: count * (SATURATION + 1) / (count + SATURATION * length)
            for index, count in counts.items()
        }
    )


def query_vector(text: str, chunk_count: int, counts_of_terms: Mapping[int, int]) -> SparseVector:
    """Weigh each term of a question by how rare it is.

    Args:
        text: The question.
        chunk_count: Chunks in the collection.
        counts_of_terms: In how many chunks each of :func:`term_indices` stands. A term that stands
            in none is left out: it can match nothing.
    """
    weights = {}
    for index, asked in Counter(_indices(text)).items():
        count = min(counts_of_terms.get(index, 0), chunk_count)
        if count > 0:
            weights[index] = asked * math.log1p((chunk_count - count + 0.5) / (count + 0.5))
    return _vector(weights)


def _vector(weights: Mapping[int, float]) -> SparseVector:
    ordered = sorted(weights.items())
    if len(ordered) > MAX_NONZEROS:
        ordered = sorted(nsmallest(MAX_NONZEROS, ordered, key=lambda entry: (-entry[1], entry[0])))
    return SparseVector(
        tuple(index for index, _ in ordered), tuple(weight for _, weight in ordered), DIMENSIONS
    )


def _indices(text: str) -> list[int]:
    return [index_of(term) for term in terms(text)]


@lru_cache(maxsize=CACHED_FORMS)
def term_of(form: str) -> str | None:
    """Give the stem of a folded word; None for a stop word or a lone letter."""
    if form in stop_words() or (len(form) == 1 and not form.isdigit()):
        return None
    stem: str = _stemmer().stemWord(form)
    return stem


@lru_cache(maxsize=1)
def stop_words() -> frozenset[str]:
    """Folded words of French that say nothing about a subject."""
    lines = STOP_WORDS_FILE.read_text(encoding="utf-8").splitlines()
    return frozenset(form for line in lines if not line.startswith("#") for form in words(line))


@lru_cache(maxsize=1)
def _stemmer() -> "snowballstemmer.stemmer":
    return snowballstemmer.stemmer("french")
