"""This project's own path without Airflow: keep, parse, cut, embed, and index in the ledger.

Run in the project's environment, with the functions that the tasks of the five document DAGs call.
"""

import tempfile
from functools import partial
from pathlib import Path

from bench.peers import hashed, team
from include.documents.chunking import SPLITTER_VERSION, ChunkSizes, chunk
from include.documents.intake import take_files
from include.documents.model import Media, Received, SetAside
from include.documents.parsing import PARSER_VERSION, OcrSettings, parse_file
from include.documents.sniffing import sniff
from participation.ledger import connect
from participation.ledger.chunks import LedgerChunks
from participation.ledger.connection import Connection
from participation.ledger.documents import LedgerDocuments
from participation.ledger.embeddings import Embedding, Engine, LedgerEmbeddings
from participation.ledger.indexing import LedgerIndexing

TOWN = "bench"
ENGINE = Engine("hashed-256", "dense", hashed.DIMENSIONS)
BATCH = 256


def member(task: team.Task) -> team.TakeFile:
    """Open the ledger and start the process that reads, as the others load their libraries."""
    task.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=task.folder) as first:
        first.write("Avis au public : la mairie est ouverte le samedi.")
        first.flush()
        parse_file(Path(first.name), Media.TEXT, ocr=OcrSettings(enabled=False))
    return partial(take, task, connect(task.dsn))


def take(task: team.Task, connection: Connection, path: Path) -> None:
    """Take one file from its folder to its vectors."""
    documents = LedgerDocuments(connection, TOWN)
    for received in take_files(path, task.folder):
        if not isinstance(received, Received):
            continue
        documents.keep_origin(received)
        stored = task.folder / received.kept.stored_path
        with stored.open("rb") as stream:
            media = sniff(stream, path.name)
        if not isinstance(media, SetAside):
            parsed = parse_file(stored, media, ocr=OcrSettings(enabled=task.ocr))
            if not isinstance(parsed, SetAside):
                documents.add_document(received.kept, media, parsed, PARSER_VERSION)
                cut_and_embed(connection, received.kept.document_id)


def cut_and_embed(connection: Connection, document_id: str) -> None:
    """Cut one document and give its children their vectors."""
    chunks, embeddings = LedgerChunks(connection, TOWN), _embeddings(connection)
    text = chunks.text(document_id)
    chunks.save(text, embeddings.chunking_id, chunk(text.pages, ChunkSizes()))
    for batch in embeddings.to_embed(document_id, BATCH):
        embeddings.save(
            Embedding(each.content_hash, tuple(hashed.vector(each.content))) for each in batch
        )


def finish(task: team.Task) -> None:
    """Build the index and let it answer."""
    with connect(task.dsn) as connection:
        embeddings = _embeddings(connection)
        embeddings.finish()
        LedgerIndexing(connection, TOWN, ENGINE.name, embeddings.chunking_id).build()


def _embeddings(connection: Connection) -> LedgerEmbeddings:
    chunking_id = LedgerChunks(connection, TOWN).chunking_id(ChunkSizes(), SPLITTER_VERSION)
    embeddings = LedgerEmbeddings(connection, TOWN, ENGINE, chunking_id)
    embeddings.register()
    return embeddings


if __name__ == "__main__":
    team.run(team.asked(), member, finish=finish)
