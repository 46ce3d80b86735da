"""The tasks of ``dataset_creation``: find themes, mark near duplicates, write dataset versions.

An event only wakes it: it asks the ledger what lacks the step, so that late, repeated and reordered
events end in the same state.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowSkipException

from include.contributions.samples import load_samples
from include.documents import dataset, labelled, near_duplicates, themes
from include.documents.chunking import SPLITTER_VERSION
from include.documents.model import PAGE_BREAK
from include.documents.output import outputs_in
from include.documents.parsing import PARSER_VERSION
from include.errors import ReconciliationError
from include.files import replacing
from participation.index_tasks import indexes
from participation.ledger.chunks import LedgerChunks
from participation.ledger.datasets import Dataset, Example, LedgerDatasets
from participation.ledger.document_outputs import LedgerOutputs
from participation.ledger.documents import LedgerDocuments
from participation.ledger.gathering import LedgerGathering
from participation.steps import Visit
from participation.turns import Outcome, balanced, take_turns

DATASET_NAME = "documents"
"""Name of the dataset that is made of all documents."""

THEMES_TURN = "themes"
"""Names the turns that workers take with a document."""

DOCKET_OUTPUTS = 100
"""More never fit into a docket."""

TOWN_DOCUMENTS = 2_000
"""The latest ones say what the town talks about; all would cost time and memory without end."""

THEME_CHARACTERS = 5_000
"""Beginning of a document that its themes are an example for."""


def plan_dataset(visit: Visit) -> list[int]:
    """Number one worker when the newest dataset is not of the live index; skipped otherwise.

    Finding themes costs about a millisecond a document: a second worker would cost more.
    """
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    gathering = LedgerGathering(visit.connection, visit.settings.municipality)
    lacking = len(datasets.to_theme(themes.ENGINE))
    versions = _versions(visit)
    current = versions["index_id"] is None or gathering.made_with(DATASET_NAME) == versions
    current = current and datasets.is_announced(DATASET_NAME)
    visit.input_size = lacking
    if current and not lacking:
        raise AirflowSkipException("nothing to do: the newest dataset is of the live index")
    return [0]


def find_themes(visit: Visit) -> dict[str, Any]:
    """Find the themes of each document and of the town, and mark what nearly repeats an older one."""
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    texts = LedgerChunks(visit.connection, visit.settings.municipality)
    extractor = themes.extractor(visit.settings.municipality)

    lacking = datasets.to_theme(themes.ENGINE)
    done = (
        take_turns(visit, THEMES_TURN, lacking, lambda each: themes_of_one(visit, each)).done
        if lacking
        else 0
    )
    found, changed, sketches = mark_likeness(visit)
    # A copy says nothing that its original did not say.
    copies = {each.document_id for each in found}
    originals = [document_id for document_id, _ in sketches if document_id not in copies]
    together = extractor.of_collection(
        PAGE_BREAK.join(texts.text(each).pages) for each in originals[-TOWN_DOCUMENTS:]
    )
    datasets.save_town_themes(themes.ENGINE, together)
    visit.output_size = done
    return {
        "documents": done,
        "near_duplicates": len(found),
        "marks_changed": changed,
        "town_themes": [theme.label[:100] for theme in together],
    }


def themes_of_one(visit: Visit, document_id: str) -> Outcome:
    """Find the themes of one document, unless its present text was asked for them already."""
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    if not datasets.to_theme(themes.ENGINE, document_id):
        return "elsewhere"
    text = LedgerChunks(visit.connection, visit.settings.municipality).text(document_id)
    found = themes.extractor(visit.settings.municipality).of_document(PAGE_BREAK.join(text.pages))
    datasets.save_themes(document_id, themes.ENGINE, found, text.text_hash)
    return "done"


def mark_likeness(
    visit: Visit,
) -> tuple[list[near_duplicates.NearDuplicate], int, list[tuple[str, near_duplicates.Sketch]]]:
    """Mark the documents that nearly repeat an older one; those, how many marks changed, all sketches."""
    texts = LedgerChunks(visit.connection, visit.settings.municipality)
    gathering = LedgerGathering(visit.connection, visit.settings.municipality)

    def text_of(document_id: str) -> str:
        return PAGE_BREAK.join(texts.text(document_id).pages)

    version = near_duplicates.SKETCH_VERSION
    for document_id in gathering.unsketched(version):
        text = texts.text(document_id)
        made = near_duplicates.sketch(PAGE_BREAK.join(text.pages))
        gathering.save_sketch(text.text_hash, version, made)
    sketches = gathering.sketches(version)
    found = list(near_duplicates.find(sketches, text_of))
    documents = LedgerDocuments(visit.connection, visit.settings.municipality)
    return found, documents.mark_duplicates(found), sketches


def build_dataset(visit: Visit) -> dict[str, Any]:
    """Write the next dataset version as JSONL and Parquet, then put it on record.

    A version whose task died between the record and its end counts as made by the next attempt:
    otherwise its asset event would never be.

    Raises:
        AirflowSkipException: The documents say what a version that is announced says already.
    """
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    gathering = LedgerGathering(visit.connection, visit.settings.municipality)
    versions = _versions(visit)
    made = dataset.build(_examples(visit, versions["index_id"]), datasets.standing(DATASET_NAME))
    if not made.examples:
        gathering.note_made_with(DATASET_NAME, versions)
        raise AirflowSkipException("nothing to do: no document has a word, and nothing is labelled")
    known = datasets.known(DATASET_NAME, made.content_hash)
    files = {} if known else _written(visit, made)
    version = known or datasets.add(
        DATASET_NAME,
        made.content_hash,
        [
            Example(each.content["split"], each.content, document_id=each.document_id)
            for each in made.examples
        ],
        provenance=versions,
        files=files,
    )
    gathering.note_made_with(DATASET_NAME, versions)
    if datasets.is_announced(DATASET_NAME):
        raise AirflowSkipException(
            f"nothing to do: version {version.version} says the same, {version.example_count} examples"
        )
    return _described(visit, version, made)


def reconcile_dataset(visit: Visit) -> dict[str, Any]:
    """Check that the newest version holds what it says, and that no group is in two splits.

    The docket carries the outputs of the documents whose themes this run found, as many as fit.

    Raises:
        ReconciliationError: It does not, or a document or a page is nowhere.
        PermanentError: Tasks of this run failed.
    """
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    newest = datasets.newest(DATASET_NAME)
    if newest is None:
        return balanced(visit)
    held, torn = LedgerGathering(visit.connection, visit.settings.municipality).held(
        newest[0].dataset_id
    )
    if held != newest[0].example_count or torn:
        raise ReconciliationError(
            f"dataset {DATASET_NAME} version {newest[0].version} holds {held} examples, not "
            f"{newest[0].example_count}, and {torn} documents or groups stand in two splits"
        )
    told = balanced(visit, version=newest[0].version, examples=held)
    # No task of the run failed, so Airflow has recorded the event of what was built.
    datasets.note_announced(DATASET_NAME)
    outputs = LedgerOutputs(visit.connection, visit.settings.municipality, themes.ENGINE)
    ids = outputs.of_run(visit.attempt.dag_id, visit.attempt.run_id)
    return outputs_in(told, outputs.of_documents(ids[:DOCKET_OUTPUTS]), len(ids))


def _written(visit: Visit, made: dataset.Dataset) -> dict[str, str]:
    if not visit.settings.may_write_citizens_words:
        made = dataset.without_contributions(made)
    folder = ObjectStoragePath(visit.settings.datasets) / visit.settings.municipality
    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    for form, content in (("jsonl", dataset.to_jsonl(made)), ("parquet", dataset.to_parquet(made))):
        # Named by content: a version that was written and not recorded is written over by the same.
        path = folder / f"{DATASET_NAME}-{made.content_hash[:16]}.{form}"
        if path.protocol in {"file", "local"}:
            with replacing(Path(path.path), 0o600) as file:
                file.write(content)
        else:
            path.write_bytes(content)
        files[form] = str(path)
    return files


def _described(visit: Visit, version: Dataset, made: dataset.Dataset) -> dict[str, Any]:
    visit.item = f"dataset {DATASET_NAME} version {version.version}"
    visit.output_size = version.example_count
    return {
        "dataset_id": version.dataset_id,
        "version": version.version,
        "examples": version.example_count,
        "counts": made.counts,
    }


def _examples(visit: Visit, index_id: int | None) -> Iterator[dataset.Example]:
    datasets = LedgerDatasets(visit.connection, visit.settings.municipality)
    gathering = LedgerGathering(visit.connection, visit.settings.municipality)
    for each in gathering.documents(index_id):
        provenance = {
            "title": each.title,
            "uri": each.uri,
            "parser": each.parser_version,
            "splitter": SPLITTER_VERSION,
            "themes": themes.ENGINE,
        }
        parents = gathering.parents(each)
        yield from dataset.chunk_examples(each.document_id, parents, provenance, each.group_id)
        if found := datasets.themes(each.document_id, themes.ENGINE):
            text = "".join(itertools.islice((each.text for each in parents), 1))[:THEME_CHARACTERS]
            yield dataset.theme_example(each.document_id, text, found, provenance, each.group_id)
    yield from labelled.examples(load_samples(), gathering.decided())


def _versions(visit: Visit) -> dict[str, Any]:
    """Name what a dataset is made with; the same names again would give the same dataset."""
    index = indexes(visit)[0]
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
