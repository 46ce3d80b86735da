"""How often a search finds the place that answers: BM25 beside plain baselines and dense engines.

``python -m bench.search_quality`` asks the questions of ``bench/search_questions.jsonl`` of the
sample documents. A chunk answers when it is of the right document and page and holds the words of
the answer. ``--beside FOLDER`` adds the texts of a folder (txt, md, pdf), none of which is an answer,
so that there is more to confuse.

The dense engines are those that need no model hub: latent semantic analysis of the very chunks, and
hashed letter n-grams. Each stands alone, and joined with BM25 by reciprocal rank as a search does it.
"""

import argparse
import json
import math
import statistics
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from include.documents.chunking import ChunkSizes, chunk
from include.documents.embedding import bm25
from include.documents.fusion import reciprocal_rank
from include.documents.model import Chunk
from include.documents.words import words

ROOT = Path(__file__).parent.parent
DOCUMENTS = ROOT / "include" / "samples" / "documents"
QUESTIONS = ROOT / "bench" / "search_questions.jsonl"
TOP_K = 5
FUSED = 4
"""As ``participation.search``: answers asked of each engine per answer given."""

LATENT = 200
HASHED = 1_024
"""Dimensions of the dense engines."""

GRAMS = (3, 4, 5)
SIZES = {
    "children of 1,500": ChunkSizes(),
    "children of 400": ChunkSizes(child_size=400, child_overlap=60),
}
"""The default, and one that makes more chunks of the same texts, hence a harder choice."""

Weights: TypeAlias = Mapping[int, float]
Method: TypeAlias = Callable[[str], Weights]


@dataclass(frozen=True, slots=True)
class Question:
    """A question and the one place that answers it."""

    question: str
    document: str
    page: int
    section: str
    answer: str

    def answered_by(self, document: str, found: Chunk) -> bool:
        """Say whether a chunk holds the answer."""
        pages = range(found.first_page, found.last_page + 1)
        return document == self.document and self.page in pages and self.answer in found.text


def measure(beside: Path | None = None) -> dict[str, Any]:
    """Ask every question of every method, for each way to cut."""
    questions = [Question(**json.loads(line)) for line in QUESTIONS.read_text("utf-8").splitlines()]
    pages = dict(_texts(DOCUMENTS)) | (dict(_texts(beside)) if beside else {})
    return {
        "questions": len(questions),
        "documents": len(pages),
        "sizes": {
            name: _compare(questions, pages, sizes) | _embedding_speed(pages, sizes)
            for name, sizes in SIZES.items()
        },
    }


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown."""
    lines = [
        f"{figures['questions']} questions over {figures['documents']} documents.",
        "",
        f"| cut | chunks | method | recall@{TOP_K} | MRR |",
        "|---|---:|---|---:|---:|",
    ]
    for name, size in figures["sizes"].items():
        lines += [
            f"| {name} | {size['chunks']} | {method} | {row['recall']:.2f} | {row['mrr']:.2f} |"
            for method, row in size["methods"].items()
        ]
    return lines


def _compare(
    questions: Sequence[Question], pages: Mapping[str, list[str]], sizes: ChunkSizes
) -> dict[str, Any]:
    children = [
        (document, each)
        for document, texts in pages.items()
        for each in chunk(texts, sizes)
        if each.parent is not None
    ]
    counts = Counter(index for _, each in children for index in bm25.term_indices(each.text))
    texts = [each.text for _, each in children]
    methods = _methods(len(children), counts)
    dense = {"latent (LSA)": _latent(texts), "hashed n-grams": _hashed(texts)}
    ranked = {
        name: _ranked(questions, texts, of_document, of_question)
        for name, (of_document, of_question) in (methods | dense).items()
    }
    for name in dense:
        pairs = zip(ranked["BM25"], ranked[name], strict=True)
        ranked[f"BM25 and {name}, joined"] = [_joined(*pair) for pair in pairs]
    return {
        "chunks": len(children),
        "methods": {name: _scores(questions, children, each) for name, each in ranked.items()},
    }


def _joined(one: Sequence[int], other: Sequence[int]) -> list[int]:
    asked = FUSED * TOP_K
    return [at for at, _ in reciprocal_rank([one[:asked], other[:asked]])]


def _dense(vector: np.ndarray) -> Weights:
    length = float(np.linalg.norm(vector)) or 1.0
    return dict(enumerate((vector / length).tolist()))


def _latent(texts: Sequence[str]) -> tuple[Method, Method]:
    """Fit the directions in which the chunks differ most, from their weighted stems."""
    in_chunks = Counter(term for text in texts for term in set(bm25.terms(text)))
    column = {term: at for at, term in enumerate(sorted(in_chunks))}

    def weighted(text: str) -> np.ndarray:
        row = np.zeros(len(column))
        for term, times in Counter(bm25.terms(text)).items():
            if term in column:
                rarity = math.log((len(texts) + 1) / in_chunks[term])
                row[column[term]] = (1 + math.log(times)) * rarity
        return row

    matrix = np.array([weighted(text) for text in texts])
    directions = np.linalg.svd(matrix, full_matrices=False)[2][: min(LATENT, len(texts) // 2)]

    def latent(text: str) -> Weights:
        return _dense(directions @ weighted(text))

    return latent, latent


def _hashed(texts: Sequence[str]) -> tuple[Method, Method]:
    """Hash the pieces of words, rare ones counting more: spelling and endings matter less."""
    in_chunks = Counter(gram for text in texts for gram in set(_grams(text)))

    def hashed(text: str) -> Weights:
        vector = np.zeros(HASHED)
        for gram, times in Counter(_grams(text)).items():
            if gram in in_chunks:
                place = zlib.crc32(gram.encode())
                sign = 1 if place & 0x10000 else -1
                rarity = math.log((len(texts) + 1) / in_chunks[gram])
                vector[place % HASHED] += sign * math.sqrt(times) * rarity
        return _dense(vector)

    return hashed, hashed


def _grams(text: str) -> list[str]:
    framed = [f"^{form}$" for form in words(text) if form not in bm25.stop_words()]
    return [
        form[at : at + size]
        for form in framed
        for size in GRAMS
        for at in range(len(form) - size + 1)
    ]


def _methods(count: int, counts: Mapping[int, int]) -> dict[str, tuple[Method, Method]]:
    def bm25_document(text: str) -> Weights:
        vector = bm25.document_vector(text)
        return dict(zip(vector.indices, vector.values, strict=True))

    def bm25_question(text: str) -> Weights:
        vector = bm25.query_vector(text, count, counts)
        return dict(zip(vector.indices, vector.values, strict=True))

    def tf_idf(text: str) -> Weights:
        found = Counter(bm25.index_of(term) for term in bm25.terms(text))
        weights = {
            index: times * math.log(count / counts[index])
            for index, times in found.items()
            if counts[index]
        }
        length = math.sqrt(sum(weight**2 for weight in weights.values())) or 1.0
        return {index: weight / length for index, weight in weights.items()}

    def overlap(text: str) -> Weights:
        return dict.fromkeys(bm25.term_indices(text), 1.0)

    return {
        "BM25": (bm25_document, bm25_question),
        "tf-idf, cosine": (tf_idf, tf_idf),
        "overlap of terms": (overlap, overlap),
    }


def _ranked(
    questions: Sequence[Question], texts: Sequence[str], of_document: Method, of_question: Method
) -> list[list[int]]:
    """Order the chunks for each question, best first; those that score nothing are left out."""
    vectors = [of_document(text) for text in texts]
    # Equal scores come in an order that knows nothing of which document was read first.
    lots = [zlib.crc32(text.encode()) for text in texts]
    ranked = []
    for question in questions:
        asked = of_question(question.question)
        scores = [sum(asked.get(i, 0.0) * v for i, v in vector.items()) for vector in vectors]
        found = (at for at, score in enumerate(scores) if score > 0)
        ranked.append(sorted(found, key=lambda at: (-scores[at], lots[at])))
    return ranked


def _scores(
    questions: Sequence[Question],
    children: Sequence[tuple[str, Chunk]],
    ranked: Sequence[Sequence[int]],
) -> dict[str, Any]:
    places = [
        next(
            (
                place
                for place, at in enumerate(order, start=1)
                if question.answered_by(*children[at])
            ),
            None,
        )
        for question, order in zip(questions, ranked, strict=True)
    ]
    return {
        "recall": statistics.mean(place is not None and place <= TOP_K for place in places),
        "mrr": statistics.mean(1 / place if place else 0.0 for place in places),
        "missed": [
            question.question
            for question, place in zip(questions, places, strict=True)
            if place is None or place > TOP_K
        ],
    }


def _embedding_speed(pages: Mapping[str, list[str]], sizes: ChunkSizes) -> dict[str, Any]:
    texts = [
        each.text
        for page in pages.values()
        for each in chunk(page, sizes)
        if each.parent is not None
    ]
    rounds = max(1, 2_000 // len(texts))
    began = time.process_time()
    for _ in range(rounds):
        for text in texts:
            bm25.document_vector(text)
    return {"chunks_per_cpu_s": round(rounds * len(texts) / (time.process_time() - began))}


def _texts(folder: Path) -> Iterator[tuple[str, list[str]]]:
    for path in sorted(folder.iterdir()):
        if path.suffix in {".txt", ".md"}:
            yield path.name, path.read_text("utf-8").split("\f")
        elif path.suffix == ".pdf":
            yield path.name, _pdf_pages(path)


def _pdf_pages(path: Path) -> list[str]:
    import pypdfium2  # noqa: PLC0415 - only where a folder with PDFs is named

    document = pypdfium2.PdfDocument(path)
    return [page.get_textpage().get_text_bounded() for page in document]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path, help="folder of texts that answer nothing")
    parser.add_argument("--missed", action="store_true", help="print what BM25 did not find")
    chosen = parser.parse_args()
    figures = measure(chosen.beside)
    print("\n".join(table(figures)))
    for name, size in figures["sizes"].items():
        print(f"{name}: {size['chunks_per_cpu_s']:,} chunks embedded in a CPU second")
        if chosen.missed:
            print("\n".join(f"  {missed}" for missed in size["methods"]["BM25"]["missed"]))


if __name__ == "__main__":
    main()
