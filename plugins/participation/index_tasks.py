"""The tasks of the document workflow after intake: cut, embed, index, gather.

An event only wakes them: each asks the ledger what lacks its step, so that late, repeated and
reordered events end in the same state.
"""

import itertools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowSkipException

from include.contributions.scoring import load_samples
from include.documents import dataset, labelled, near_duplicates, themes
from include.documents.chunking import SPLITTER_VERSION, chunk
from include.documents.embedding.engine import EmbeddingEngine
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine
from include.documents.model import PAGE_BREAK
from include.documents.output import outputs_in
from include.documents.parsing import PARSER_VERSION
from include.errors import (
    ConfigurationError,
    PermanentError,
    ProviderUnavailableError,
    ReconciliationError,
)
from include.files import replacing
from participation.document_tasks import Outcome, check_run, take_turns, workers
from participation.hooks.embeddings import connected, embedded, known_as
from participation.ledger import document_books
from participation.ledger.chunks import LedgerChunks
from participation.ledger.datasets import Dataset, Example, LedgerDatasets
from participation.ledger.document_outputs import LedgerOutputs
from participation.ledger.documents import LedgerDocuments
from participation.ledger.embeddings import Embedding, LedgerEmbeddings
from participation.ledger.gathering import LedgerGathering
from participation.ledger.indexing import LedgerIndexing
from participation.steps import Visit

EMBED_TEXTS = 256
"""Vectors committed at a time; less than a second of work for the embedded engine."""

LONGEST_WAIT_S = 600.0
"""A provider that wants to rest longer ends the run: a waiting task would hold up every new paper."""

DATASET = "documents"
"""Name of the dataset that is made of all documents."""

DOCKET_OUTPUTS = 100
"""More never fit into a docket."""

THEME_CHARACTERS = 5_000
"""Beginning of a document that its themes are an example for."""

log = logging.getLogger(__name__)


# Cut


def plan_chunking(visit: Visit, cores: int) -> list[int]:
    """Number the workers for documents that are not cut as the town wants them."""
    chunks, chunking_id = _chunks(visit)
    return workers(visit, len(chunks.to_chunk(chunking_id)), cores, "every document is cut")


def cut(visit: Visit) -> dict[str, Any]:
    """Cut documents into parents and children, all of a text or none."""
    chunks, chunking_id = _chunks(visit)
    sizes = chunks.chosen()

    def cut_one(document_id: str) -> Outcome:
        if not chunks.to_chunk(chunking_id, document_id):
            return "elsewhere"
        text = chunks.text(document_id)
        is_new = chunks.save(text, chunking_id, chunk(text.pages, sizes))
        return "done" if is_new else "elsewhere"

    ids = chunks.to_chunk(chunking_id)
    return take_turns(visit, f"chunk {chunking_id}", ids, cut_one).docket(chunking_id=chunking_id)


def reconcile_chunking(visit: Visit) -> dict[str, Any]:
    """Say what is cut and what waits; red when a worker failed.

    Raises:
        PermanentError: Tasks of this run failed.
        ReconciliationError: A document or a page is nowhere.
    """
    chunks, chunking_id = _chunks(visit)
    return _balanced(visit, chunking_id=chunking_id, left=len(chunks.to_chunk(chunking_id)))


# Embed


def plan_embedding(visit: Visit, cores: int) -> list[int]:
    """Number the workers for documents that lack vectors of an engine."""
    waiting = sum(len(each.unfinished()) for _, each in _embeddings(visit))
    return workers(visit, waiting, cores, "every chunk has its vectors")


def embed(visit: Visit) -> dict[str, Any]:
    """Give the chunks of each document their vectors, a batch at a time.

    The embedded engine comes first and is finished whatever the connected one says.

    Raises:
        PermanentError: The provider refuses, or wants to rest for long; the next run asks it again.
        TransientError: It does not answer, or not as it should; what it gave is stored.
    """
    stored = 0
    done: dict[str, int] = {}
    for engine, embeddings in _embeddings(visit):

        def embed_one(
            document_id: str,
            engine: EmbeddingEngine = engine,
            embeddings: LedgerEmbeddings = embeddings,
        ) -> Outcome:
            nonlocal stored
            if not embeddings.unfinished(document_id):
                return "elsewhere"
            for batch in embeddings.to_embed(_texts_at_once(engine), document_id):
                contents = {text.content_hash: text.content for text in batch}
                vectors = engine.embed_documents(list(contents.values()))
                stored += embeddings.save(
                    Embedding(content_hash, vector)
                    for content_hash, vector in zip(contents, vectors, strict=True)
                )
            return "done"

        try:
            step = f"embed {engine.name} {embeddings.chunking_id}"
            turns = take_turns(
                visit, step, embeddings.unfinished(), embed_one, amount=lambda: f"{stored} vectors"
            )
            done[engine.name] = turns.done
        except AirflowSkipException:
            log.info("%s: nothing left for this worker", engine.name)
        except ProviderUnavailableError as error:
            if (error.retry_after_s or 0.0) > LONGEST_WAIT_S:
                raise PermanentError(f"{engine.name} rests for long, a later run asks") from error
            raise
        finally:
            embeddings.finish()
    if not done:
        raise AirflowSkipException("nothing left for this worker: the others did it")
    return {"vectors": stored, "documents": done}


def reconcile_embedding(visit: Visit) -> dict[str, Any]:
    """Say what has its vectors and what waits; red when a worker failed.

    Raises:
        ConfigurationError: The connection of the connected engine makes none.
        PermanentError: Tasks of this run failed.
        ReconciliationError: A document or a page is nowhere.
    """
    left = {engine.name: len(each.unfinished()) for engine, each in _embeddings(visit)}
    told = _balanced(visit, left=left)
    connected()  # a wrong connection stops nothing before, and must not go unseen
    return told


def _texts_at_once(engine: EmbeddingEngine) -> int:
    # One request is stored before the next is paid for.
    return engine.batch_size if isinstance(engine, OpenAICompatibleEngine) else EMBED_TEXTS


# Index


def plan_indexing(visit: Visit) -> list[int]:
    """Number the engines whose live index differs from what it should hold."""
    waiting = [position for position, each in enumerate(_indexes(visit)) if each.waiting()]
    visit.output_size = len(waiting)
    if not waiting:
        raise AirflowSkipException("nothing to do: the live index holds everything")
    return waiting


def build_index(visit: Visit, engine: int) -> dict[str, Any]:
    """Build the next version beside the live one, check it, and switch in one transaction."""
    index = _indexes(visit)[engine]
    visit.item = f"index {index.engine}"
    live = index.build()
    if live is None:
        raise AirflowSkipException("nothing to do: another run was faster")
    visit.output_size = live.chunk_count
    return {
        "engine": index.engine,
        "index_id": live.index_id,
        "document_count": live.document_count,
        "chunk_count": live.chunk_count,
    }


def reconcile_indexing(visit: Visit) -> dict[str, Any]:
    """Say what answers now; red when a build failed.

    Raises:
        PermanentError: Tasks of this run failed.
        ReconciliationError: A document or a page is nowhere.
    """
    live = {each.engine: each.live() for each in _indexes(visit)}
    return _balanced(
        visit,
        live={
            engine: {"index_id": one.index_id, "documents": one.document_count}
            for engine, one in live.items()
            if one
        },
    )


# Gather


def plan_dataset(visit: Visit) -> list[int]:
    """Number one worker when the newest dataset is not of the live index; skipped otherwise.

    Finding themes costs about a millisecond a document: a second worker would cost more.
    """
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    gathering = LedgerGathering(visit.connection, visit.settings.municipality)
    lacking = len(datasets.to_theme(themes.ENGINE))
    versions = _versions(visit)
    current = versions["index_id"] is None or gathering.made_with(DATASET) == versions
    visit.input_size = lacking
    if current and not lacking:
        raise AirflowSkipException("nothing to do: the newest dataset is of the live index")
    return [0]


def find_themes(visit: Visit) -> dict[str, Any]:
    """Find the themes of each document, and mark those that nearly repeat an older one."""
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    texts = LedgerChunks(visit.connection, visit.settings.municipality)
    extractor = themes.extractor(visit.settings.municipality)

    def find(document_id: str) -> Outcome:
        if not datasets.to_theme(themes.ENGINE, document_id):
            return "elsewhere"
        text = texts.text(document_id)
        found = extractor.of_document(PAGE_BREAK.join(text.pages))
        datasets.save_themes(document_id, themes.ENGINE, found, text.text_hash)
        return "done"

    lacking = datasets.to_theme(themes.ENGINE)
    done = take_turns(visit, "themes", lacking, find).done if lacking else 0
    gathering = LedgerGathering(visit.connection, visit.settings.municipality)

    def text_of(document_id: str) -> str:
        return PAGE_BREAK.join(texts.text(document_id).pages)

    version = near_duplicates.SKETCH_VERSION
    for document_id in gathering.unsketched(version):
        text = texts.text(document_id)
        made = near_duplicates.sketch(PAGE_BREAK.join(text.pages))
        gathering.save_sketch(text.text_hash, version, made)
    found = list(near_duplicates.find(gathering.sketches(version), text_of))
    documents = LedgerDocuments(visit.connection, visit.settings.municipality)
    changed = documents.mark_duplicates(found)
    visit.output_size = done
    return {"documents": done, "near_duplicates": len(found), "marks_changed": changed}


def build_dataset(visit: Visit) -> dict[str, Any]:
    """Write the next dataset version as JSONL and Parquet, then put it on record.

    Raises:
        AirflowSkipException: The documents say what the newest version says already.
    """
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    gathering = LedgerGathering(visit.connection, visit.settings.municipality)
    versions = _versions(visit)
    made = dataset.build(_examples(visit), datasets.standing(DATASET))
    if not made.examples:
        gathering.note_made_with(DATASET, versions)
        raise AirflowSkipException("nothing to do: no document has a word, and nothing is labelled")
    known = datasets.known(DATASET, made.content_hash)
    files = {} if known else _written(visit, made)
    version = known or datasets.add(
        DATASET,
        made.content_hash,
        [
            Example(each.content["split"], each.content, document_id=each.document_id)
            for each in made.examples
        ],
        provenance=versions,
        files=files,
    )
    gathering.note_made_with(DATASET, versions)
    return _described(visit, version, made)


def reconcile_dataset(visit: Visit) -> dict[str, Any]:
    """Check that the newest version holds what it says, and that no group is in two splits.

    The docket carries the outputs of the documents whose themes this run found, as many as fit.

    Raises:
        ReconciliationError: It does not, or a document or a page is nowhere.
        PermanentError: Tasks of this run failed.
    """
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    newest = datasets.newest(DATASET)
    if newest is None:
        return _balanced(visit)
    held, torn = LedgerGathering(visit.connection, visit.settings.municipality).held(
        newest[0].dataset_id
    )
    if held != newest[0].example_count or torn:
        raise ReconciliationError(
            f"dataset {DATASET} version {newest[0].version} holds {held} examples, not "
            f"{newest[0].example_count}, and {torn} documents or groups stand in two splits"
        )
    balanced = _balanced(visit, version=newest[0].version, examples=held)
    outputs = LedgerOutputs(visit.connection, visit.settings.municipality, themes.ENGINE)
    ids = outputs.of_run(visit.attempt.dag_id, visit.attempt.run_id)
    return outputs_in(balanced, outputs.of_documents(ids[:DOCKET_OUTPUTS]), len(ids))


# How


def _written(visit: Visit, made: dataset.Dataset) -> dict[str, str]:
    if not visit.settings.may_write_citizens_words:
        made = dataset.without_contributions(made)
    folder = ObjectStoragePath(visit.settings.datasets) / visit.settings.municipality
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for form, content in (("jsonl", dataset.to_jsonl(made)), ("parquet", dataset.to_parquet(made))):
        # Named by content: a version that was written and not recorded is written over by the same.
        path = folder / f"{DATASET}-{made.content_hash[:16]}.{form}"
        if path.protocol in {"file", "local"}:
            with replacing(Path(path.path)) as file:
                file.write(content)
        else:
            path.write_bytes(content)
        files[form] = str(path)
    return files


def _described(visit: Visit, version: Dataset, made: dataset.Dataset) -> dict[str, Any]:
    if not version.is_new:
        raise AirflowSkipException(
            f"nothing to do: version {version.version} says the same, {version.example_count} examples"
        )
    visit.item = f"dataset {DATASET} version {version.version}"
    visit.output_size = version.example_count
    return {
        "dataset_id": version.dataset_id,
        "version": version.version,
        "examples": version.example_count,
        "counts": made.counts,
    }


def _examples(visit: Visit) -> Iterator[dataset.Example]:
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    gathering = LedgerGathering(visit.connection, visit.settings.municipality)
    _, chunking_id = _chunks(visit)
    for each in gathering.documents(chunking_id):
        provenance = {
            "title": each.title,
            "uri": each.uri,
            "parser": each.parser_version,
            "splitter": SPLITTER_VERSION,
            "themes": themes.ENGINE,
        }
        parents = gathering.parents(each, chunking_id)
        yield from dataset.chunk_examples(each.document_id, parents, provenance, each.group_id)
        if found := datasets.themes(each.document_id, themes.ENGINE):
            text = "".join(itertools.islice((each.text for each in parents), 1))[:THEME_CHARACTERS]
            yield dataset.theme_example(each.document_id, text, found, provenance, each.group_id)
    yield from labelled.examples(load_samples(), gathering.decided())


def _versions(visit: Visit) -> dict[str, Any]:
    """Name what a dataset is made with; the same names again would give the same dataset."""
    index = _indexes(visit)[0]
    live = index.live()
    return {
        "index_id": live.index_id if live else None,
        "chunking_id": index.chunking_id,
        "embedding": index.engine,
        "themes": themes.ENGINE,
        "parser": PARSER_VERSION,
        "splitter": SPLITTER_VERSION,
        "dataset": dataset.DATASET_VERSION,
        "samples": labelled.fingerprint(load_samples()),
        "last_decision": LedgerGathering(
            visit.connection, visit.settings.municipality
        ).last_decision(),
    }


def _balanced(visit: Visit, **more: Any) -> dict[str, Any]:
    books = document_books.balance(visit.connection, visit.settings.municipality, PARSER_VERSION)
    visit.input_size, visit.output_size = books.documents, books.parsed
    check_run(visit)
    return {"books": books.as_dict(), **more}


def _chunks(visit: Visit) -> tuple[LedgerChunks, int]:
    chunks = LedgerChunks(visit.connection, visit.settings.municipality)
    return chunks, chunks.chunking_id(chunks.chosen(), SPLITTER_VERSION)


def _embeddings(visit: Visit) -> list[tuple[EmbeddingEngine, LedgerEmbeddings]]:
    _, chunking_id = _chunks(visit)
    found = []
    for engine in _engines():
        embeddings = LedgerEmbeddings(
            visit.connection, visit.settings.municipality, known_as(engine), chunking_id
        )
        embeddings.register()
        found.append((engine, embeddings))
    return found


def _engines() -> list[EmbeddingEngine]:
    """List those that can be used, the embedded one first: search works as soon as it is done."""
    try:
        other = connected()
    except ConfigurationError as error:
        log.warning("without the connected engine: %s", error)
        other = None
    return [embedded(), *([other] if other else [])]


def _indexes(visit: Visit) -> list[LedgerIndexing]:
    return [
        LedgerIndexing(
            visit.connection,
            visit.settings.municipality,
            engine.name,
            embeddings.chunking_id,
            visit.attempt.run_id,
        )
        for engine, embeddings in _embeddings(visit)
    ]
