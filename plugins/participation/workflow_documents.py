"""The document workflow's steps for one document, for named workflows.

They are the steps of the five document DAGs and write what those write, so that whichever comes first
does the work and the other finds it done. Each result says what the ledger holds at the end, whoever
put it there.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.documents import themes
from include.documents.model import KIND_OF, Kind
from include.errors import PermanentError, TransientError
from participation import (
    chunk_tasks,
    dataset_tasks,
    document_tasks,
    embed_tasks,
    find_tasks,
    index_tasks,
)
from participation.ledger.datasets import LedgerDatasets
from participation.ledger.document_outputs import LedgerOutputs
from participation.ledger.documents import LedgerDocuments
from participation.ledger.locks import item_lock
from participation.steps import Visit

WAIT_S = 120.0
"""How long another worker is waited for; the attempt then fails and the task is tried again."""


class BusyError(TransientError):
    """Another worker has the document in its hands."""


def take_in(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Take a file of the inbox in, or find a document that the town has."""
    path, document_id = inputs.get("path"), inputs.get("document_id")
    if (path is None) == (document_id is None):
        raise PermanentError("give one of path and document_id")
    if path is not None:
        document_id = find_tasks.take_document(visit, path)
    met = LedgerDocuments(visit.connection, visit.settings.municipality).met(str(document_id))
    if met is None:
        raise PermanentError(f"the town has no document {document_id}: take it in by its path")
    return {
        "document_id": met.kept.document_id,
        "uri": met.uri,
        "size_bytes": met.kept.size_bytes,
    }


def sniff(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Say by a document's bytes which branch it goes; an unknown kind is an error."""
    waiting, media = document_tasks.medium_of(visit, inputs["document_id"])
    return {
        "document_id": waiting.kept.document_id,
        "kind": str(KIND_OF[media]),
        "media": str(media),
    }


def read_document(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Read PDF, HTML, Markdown, text, DOCX or ODT page by page."""
    return _read(inputs, visit, Kind.DOCUMENT)


def read_image(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Read an image with OCR."""
    return _read(inputs, visit, Kind.IMAGE)


def read_transcript(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Read the transcript of a meeting or film; a recording needs one of the same name."""
    return _read(inputs, visit, Kind.VIDEO)


def chunk(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Cut a document into parents and children."""
    document_id = inputs["document_id"]
    chunks, chunking_id = chunk_tasks.cut_as_chosen(visit)
    with _turn(visit, chunk_tasks.turn(chunking_id), document_id):
        chunk_tasks.cut_one(chunks, chunking_id, document_id)
    if chunks.to_chunk(chunking_id, document_id):
        raise TransientError(f"the text of {document_id} changed while it was cut")
    return {"document_id": document_id, "chunk_count": chunks.count(document_id, chunking_id)}


def embed(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Give a document's chunks their vectors, by every engine that is connected."""
    document_id = inputs["document_id"]
    engines = []
    for engine, embeddings in embed_tasks.embeddings_of(visit):
        with _turn(visit, embed_tasks.turn(embeddings), document_id):
            for _ in embed_tasks.embed_one_document(engine, embeddings, document_id):
                pass
            embeddings.finish()
        if embeddings.unfinished(document_id):
            raise TransientError(f"{engine.name}: chunks of {document_id} lack their vectors still")
        engines.append(engine.name)
    return {"document_id": document_id, "engines": engines}


def index(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Let the next version of each index answer, with this document in it."""
    for each in index_tasks.indexes(visit):
        if each.waiting():
            # None: another run built it; the steps of two builds take turns.
            each.build()
    return {"document_id": inputs["document_id"]}


def find_themes(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Find what a document talks about, and which older one it nearly repeats."""
    document_id = inputs["document_id"]
    with _turn(visit, dataset_tasks.THEMES_TURN, document_id):
        dataset_tasks.themes_of_one(visit, document_id)
    dataset_tasks.mark_likeness(visit)
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    found = datasets.themes(document_id, themes.ENGINE)
    return {"document_id": document_id, "themes": [theme.label for theme in found]}


def add_to_dataset(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Make the next dataset version, with this document's examples; the same content is the same version.

    ``dataset_creation`` announces it on its asset, when it runs next.
    """
    with suppress(AirflowSkipException):  # a version says the same already
        dataset_tasks.build_dataset(visit)
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    document_id = inputs["document_id"]
    newest = datasets.newest(dataset_tasks.DATASET_NAME)
    examples = datasets.examples_of(newest[0].dataset_id, document_id) if newest else 0
    return {"document_id": document_id, "examples": examples}


def describe(inputs: Mapping[str, Any], visit: Visit) -> dict[str, Any]:
    """Give what the document workflow gives for one document."""
    outputs = LedgerOutputs(visit.connection, visit.settings.municipality, themes.ENGINE)
    found = outputs.of_documents([inputs["document_id"]])
    if not found:
        raise PermanentError(f"the town has no document {inputs['document_id']}")
    return found[0].as_dict()


def _read(inputs: Mapping[str, Any], visit: Visit, kind: Kind) -> dict[str, Any]:
    document_id = inputs["document_id"]
    _, media = document_tasks.medium_of(visit, document_id)
    if KIND_OF[media] is not kind:
        raise PermanentError(f"{document_id} is a {KIND_OF[media]} ({media}), not a {kind}")
    with _turn(visit, "parse", document_id):
        document_tasks.read_one(visit, document_id, ocr=inputs.get("ocr") is not False)
    counts = LedgerDocuments(visit.connection, visit.settings.municipality).page_counts(document_id)
    if counts is None:
        raise TransientError(f"{document_id} was not read: another run changed it meanwhile")
    read, aside, characters, title = counts
    return {
        "document_id": document_id,
        "pages": read + aside,
        "pages_read": read,
        "pages_set_aside": aside,
        "characters": characters,
        "title": title,
    }


@contextmanager
def _turn(visit: Visit, step: str, document_id: str) -> Iterator[None]:
    """Take a document's turn at a step, after whoever has it now.

    Raises:
        BusyError: They had it for two minutes.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        with item_lock(visit.connection, step, document_id) as taken:
            if taken:
                yield
                return
        if time.monotonic() > deadline:
            raise BusyError(f"{step} of {document_id}: another worker had it for {WAIT_S:g} s")
        time.sleep(0.2)
