"""What the workflow asks of an embedding engine, and the embedded one behind that port."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from include.documents.embedding import bm25
from include.documents.model import SparseVector

DenseVector: TypeAlias = tuple[float, ...]
Vector: TypeAlias = SparseVector | DenseVector


class EmbeddingEngine(Protocol):
    """Gives texts their vectors; the same text has the same vector under one name."""

    @property
    def name(self) -> str:
        """Changes whenever a text's vector would; vectors of two names are never compared."""

    @property
    def kind(self) -> Literal["sparse", "dense"]:
        """Which of the two kinds of vector."""

    @property
    def dimensions(self) -> int:
        """Of every vector."""

    def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """Give one vector per text, in the order given; all of them or an error."""

    def embed_query(self, text: str) -> Vector:
        """Give the vector of a question, to be compared by inner product."""


@dataclass(frozen=True, slots=True)
class CollectionCounts:
    """What BM25 must know of a collection to weigh a question.

    Attributes:
        chunk_count: Chunks in the collection.
        counts_of_terms: In how many of them each asked term stands; absent means in none.
    """

    chunk_count: int
    counts_of_terms: Mapping[int, int]


CountTerms: TypeAlias = Callable[[Collection[int]], CollectionCounts]


@dataclass(frozen=True, slots=True)
class Bm25Engine:
    """The embedded default: needs no key, no network and no model.

    Attributes:
        count_terms: Reads the live collection; called once per question with its terms.
    """

    count_terms: CountTerms
    name: str = bm25.ENGINE
    kind: Literal["sparse", "dense"] = "sparse"
    dimensions: int = bm25.DIMENSIONS

    def embed_documents(self, texts: Sequence[str]) -> list[Vector]:
        """Weigh the words of each text; nothing is read from the collection."""
        return [bm25.document_vector(text) for text in texts]

    def embed_query(self, text: str) -> Vector:
        """Weigh the question's words by how rare they are in the collection."""
        counts = self.count_terms(bm25.term_indices(text))
        return bm25.query_vector(text, counts.chunk_count, counts.counts_of_terms)
