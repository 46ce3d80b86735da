"""The document workflow in small, for tests of the ledger: no file, no parser, no Airflow."""

from include.documents.chunking import SPLITTER_VERSION, ChunkSizes, chunk
from include.documents.embedding import bm25
from include.documents.model import (
    Kept,
    Media,
    Page,
    ParsedDocument,
    Received,
    document_id,
)
from participation.ledger.chunks import LedgerChunks
from participation.ledger.documents import LedgerDocuments
from participation.ledger.embeddings import Embedding, Engine, LedgerEmbeddings
from participation.ledger.indexing import LedgerIndexing
from participation.ledger.search import LedgerSearch

TOWN = "audierne-esquibien"
PARSER = "1"
SIZES = ChunkSizes(chunk_size=400, chunk_overlap=40, child_size=120, child_overlap=20)
ENGINE = Engine(bm25.ENGINE, "sparse", bm25.DIMENSIONS)


def sha(name):
    return document_id(name.encode())


def kept(name):
    return Kept(sha(name), len(name), f"{sha(name)[:2]}/{sha(name)}", is_new=True)


def received(uri, name, **changes):
    return Received(uri, changes.pop("source", "folder"), kept(name), **changes)


def page(number, text, reason=None):
    return Page(number, "" if reason else text, "set_aside" if reason else "text", reason=reason)


def pages(*texts):
    return tuple(page(number, text) for number, text in enumerate(texts, start=1))


class Steps:
    """Each step of the workflow as a task would call it, over one connection."""

    def __init__(self, connection, town=TOWN, sizes=SIZES):
        self.connection = connection
        self.town = town
        self.documents = LedgerDocuments(connection, town)
        self.chunks = LedgerChunks(connection, town)
        self.chunking_id = self.chunks.chunking_id(sizes, SPLITTER_VERSION)
        self.sizes = sizes
        self.embeddings = LedgerEmbeddings(connection, town, ENGINE, self.chunking_id)
        self.embeddings.register()
        self.indexing = LedgerIndexing(connection, town, ENGINE.name, self.chunking_id)
        self.searching = LedgerSearch(connection, town, ENGINE.name)

    def keep(self, uri, name, **changes):
        return self.documents.keep_origin(received(uri, name, **changes))

    def parse(self, name, *texts, version=PARSER, **about):
        parsed = ParsedDocument(pages(*texts), **about)
        return self.documents.add_document(kept(name), Media.PDF, parsed, version)

    def chunk(self):
        for identifier in self.chunks.to_chunk(self.chunking_id):
            text = self.chunks.text(identifier)
            self.chunks.save(text, self.chunking_id, chunk(text.pages, self.sizes))

    def embed(self, limit=50):
        stored = 0
        for identifier in self.embeddings.unfinished():
            for batch in self.embeddings.to_embed(identifier, limit):
                stored += self.embeddings.save(
                    Embedding(text.content_hash, bm25.document_vector(text.content))
                    for text in batch
                )
        self.embeddings.finish()
        return stored

    def index(self):
        return self.indexing.build()

    def rest(self):
        self.chunk()
        self.embed()
        return self.index()

    def ask(self, question, top_k=5, filters=None):
        indices = bm25.term_indices(question)
        counts = self.searching.count_terms(indices)
        vector = bm25.query_vector(question, counts.chunk_count, counts.counts_of_terms)
        return self.searching.search(question, vector, top_k, filters)

    def topics(self):
        rows = self.connection.execute("SELECT topic FROM outbox ORDER BY outbox_id").fetchall()
        return [topic for (topic,) in rows]

    def rows(self, query, *values):
        return self.connection.execute(query, values).fetchall()
