"""How long an answer takes in a large collection, and how long its index takes to build.

``python bench/search_scale.py [--chunks 100000] [--questions 300]`` makes documents of words that are
as unevenly spread as those of a language, takes them through the real ledger of an embedded PostgreSQL
with the product's settings, and asks questions whose answering document is known. It writes
``bench/results/search_scale.json``.
"""

import argparse
import hashlib
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "plugins")]

from bench import meter  # noqa: E402 - the path comes first
from databases import prepare  # noqa: E402 - the same
from include.documents.chunking import SPLITTER_VERSION, chunk  # noqa: E402 - the same
from include.documents.embedding import bm25  # noqa: E402 - the same
from include.documents.model import Kept, Media, Page, ParsedDocument, Received  # noqa: E402 - the same
from include.documents.words import words  # noqa: E402 - the same
from participation.ledger import connect, migrate  # noqa: E402 - the same
from participation.ledger.chunks import LedgerChunks  # noqa: E402 - the same
from participation.ledger.connection import Connection  # noqa: E402 - the same
from participation.ledger.documents import LedgerDocuments  # noqa: E402 - the same
from participation.ledger.embeddings import (  # noqa: E402 - the same
    Embedding,
    Engine,
    LedgerEmbeddings,
)
from participation.ledger.indexing import LedgerIndexing  # noqa: E402 - the same
from participation.ledger.search import Filters  # noqa: E402 - the same
from participation.search import ask  # noqa: E402 - the same
from postgres import running  # noqa: E402 - the same

RESULT = ROOT / "bench" / "results" / "search_scale.json"
SAMPLES = ROOT / "include" / "samples" / "documents"
TOWN = "bench"
TOP_K = 5
PAGES = 30
"""Of a document; with pages of some 2,200 characters it has about fifty children."""

SENTENCES = 20
SENTENCE_WORDS = (8, 26)
RARE_WORDS = 60_000
SYLLABLES = (
    "ba be bi bo cha che da de di fou ga gue ja lan le li lo ma men mi mo na ni nou pa pe pi "
)
SYLLABLES += "plou qué ra ré ri ro sa se si so ta té ti tou va vé vi vo"
ACTS = ("arrete", "deliberation", "bulletin", "compte_rendu")
BATCH = 1_000


@dataclass
class Collection:
    """Makes documents, and remembers for some of them what to ask."""

    dice: random.Random
    wanted: int
    questions: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Put the words of the samples first, then made-up ones, each rarer than the one before."""
        known = [
            word for path in sorted(SAMPLES.iterdir()) for word in words(path.read_text("utf-8"))
        ]
        common = sorted(set(known), key=lambda word: (-known.count(word), word))
        syllables = SYLLABLES.split()
        made = {
            "".join(self.dice.choices(syllables, k=self.dice.randint(2, 5)))
            for _ in range(RARE_WORDS)
        }
        self.vocabulary = [*common, *sorted(made)]
        self.weights = list(accumulate(1 / (place + 3) for place in range(len(self.vocabulary))))

    def pages(self) -> list[str]:
        """Write one document."""
        return [" ".join(self._sentence() for _ in range(SENTENCES)) for _ in range(PAGES)]

    def remember(self, document_id: str, text: str) -> None:
        """Ask for a passage of a document by some of its telling words, as people do."""
        start = self.dice.randrange(max(1, len(text) - 600))
        telling = [word for word in words(text[start : start + 600]) if bm25.term_of(word)]
        asked = self.dice.sample(telling, min(len(telling), self.dice.randint(3, 7)))
        self.questions.append((f"Que dit la mairie de {' '.join(asked)} ?", document_id))

    def _sentence(self) -> str:
        count = self.dice.randint(*SENTENCE_WORDS)
        chosen = self.dice.choices(self.vocabulary, cum_weights=self.weights, k=count)
        return f"{' '.join(chosen).capitalize()}."


def measure(chunks: int, questions: int) -> dict[str, Any]:
    """Fill a ledger, build its index, ask; every figure with the size it was taken at."""
    machine = meter.machine()
    with tempfile.TemporaryDirectory(prefix="search-scale-") as folder:
        Path(folder).chmod(0o711)  # another account may run the server
        with running(Path(folder) / "postgres") as server:
            prepare(server.admin_dsn, server.passwords)
            migrate(server.ledger_dsn)
            with connect(server.ledger_dsn) as connection:
                return {"machine": machine} | _measured(connection, chunks, questions)


def _measured(connection: Connection, chunks: int, questions: int) -> dict[str, Any]:
    ledger = LedgerChunks(connection, TOWN)
    chunking_id = ledger.chunking_id(ledger.chosen(), SPLITTER_VERSION)
    engine = Engine(bm25.ENGINE, "sparse", bm25.DIMENSIONS)
    embeddings = LedgerEmbeddings(connection, TOWN, engine, chunking_id)
    embeddings.register()
    collection = Collection(random.Random(33), questions)
    filled_s, documents = _timed(lambda: _fill(connection, collection, chunking_id, chunks))
    embedded_s, _ = _timed(lambda: _embed(embeddings))
    index = LedgerIndexing(connection, TOWN, bm25.ENGINE, chunking_id)
    built_s, live = _timed(index.build)
    if live is None:
        raise SystemExit("no index went live")
    connection.execute("ANALYZE")
    asked = collection.dice.sample(collection.questions, min(questions, len(collection.questions)))
    filters = Filters(act_kind=ACTS[0])
    return {
        "documents": documents,
        "chunks": live.chunk_count,
        "chunk_and_store_s": round(filled_s, 1),
        "embed_s": round(embedded_s, 1),
        "index_build_s": round(built_s, 1),
        "questions": len(asked),
        "search": _answer(connection, asked, None),
        "search_filtered": _answer(connection, asked, filters),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _fill(connection: Connection, collection: Collection, chunking_id: int, chunks: int) -> int:
    documents = LedgerDocuments(connection, TOWN)
    ledger = LedgerChunks(connection, TOWN)
    sizes = ledger.chosen()
    stored = number = 0
    while stored < chunks:
        pages = collection.pages()
        content = "\f".join(pages)
        document_id = hashlib.sha256(content.encode()).hexdigest()
        kept = Kept(document_id, len(content), f"{document_id[:2]}/{document_id}", is_new=True)
        documents.keep_origin(Received(f"bench-{number}.txt", "folder", kept))
        parsed = ParsedDocument(
            tuple(Page(at, text, "text") for at, text in enumerate(pages, start=1)),
            act_kind=ACTS[number % len(ACTS)],
        )
        documents.add_document(kept, Media.TEXT, parsed, "bench")
        text = ledger.text(document_id)
        cut = chunk(text.pages, sizes)
        ledger.save(text, chunking_id, cut)
        stored += sum(each.parent is not None for each in cut)
        collection.remember(document_id, content)
        number += 1
    # Small collections have fewer documents than questions: ask several of each.
    for _ in range(max(0, collection.wanted - number)):
        known = collection.dice.choice(collection.questions[:number])[1]
        collection.remember(known, " ".join(ledger.text(known).pages))
    return number


def _embed(embeddings: LedgerEmbeddings) -> None:
    for document_id in embeddings.unfinished():
        for batch in embeddings.to_embed(document_id, BATCH):
            embeddings.save(
                Embedding(text.content_hash, bm25.document_vector(text.content)) for text in batch
            )
    embeddings.finish()


def _answer(
    connection: Connection, asked: Sequence[tuple[str, str]], filters: Filters | None
) -> dict[str, Any]:
    times, right = [], 0
    for question, document_id in asked:
        took_s, hits = _timed(partial(ask, connection, TOWN, question, TOP_K, filters))
        times.append(took_s * 1_000)
        right += any(hit.document_id == document_id for hit in hits)
    ordered = sorted(times)
    figures = {
        "p50_ms": round(statistics.median(ordered), 1),
        "p95_ms": round(ordered[int(len(ordered) * 0.95)], 1),
        "longest_ms": round(ordered[-1], 1),
    }
    # The filter leaves out most of the documents that were asked for.
    return figures if filters else figures | {"right_in_first_5": round(right / len(asked), 3)}


def _timed(call: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    result = call()
    return time.perf_counter() - began, result


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--out", type=Path, default=RESULT)
    chosen = parser.parse_args()
    figures = measure(chosen.chunks, chosen.questions)
    content = json.dumps(figures, indent=1, ensure_ascii=False)
    chosen.out.write_text(content + "\n", encoding="utf-8")
    print(content)


if __name__ == "__main__":
    main()
