"""Datasets: the same content is the same version, and no document stands in two splits."""

import io
import json
import random
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest

from include.documents.chunking import ChunkSizes, chunk
from include.documents.dataset import (
    Example,
    build,
    chunk_examples,
    split_of,
    theme_example,
    to_jsonl,
    to_parquet,
)
from include.documents.model import Theme, document_id
from include.errors import PermanentError

SIZES = ChunkSizes(chunk_size=200, chunk_overlap=20, child_size=80, child_overlap=10)
PROVENANCE = {"title": "Arrêté", "parser_version": "1", "dated_on": None}


def _id(number):
    return document_id(str(number).encode())


def _examples(number, group=None):
    pages = [f"La commune entretient le chemin {number}. " * 6, "Fin."]
    text = "\n\n".join(pages)
    themes = (Theme("chemin", 1.0), Theme("entretien", 0.5))
    return [
        *chunk_examples(_id(number), chunk(pages, SIZES), PROVENANCE, group),
        theme_example(_id(number), text, themes, PROVENANCE, group),
    ]


@pytest.fixture
def examples():
    return [example for number in range(40) for example in _examples(number)]


def test_order_and_repetition_change_nothing(examples):
    """Late, repeated and out-of-order documents end in the same version."""
    mixed = [*examples, *examples[:7]]
    random.Random(1).shuffle(mixed)  # noqa: S311 - a seeded order

    first, second = build(examples), build(mixed)

    assert first == second
    assert to_jsonl(first) == to_jsonl(second)
    assert to_parquet(first) == to_parquet(second)
    assert len(first.examples) == len(examples)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"text": "Autre chose."}, id="text"),
        pytest.param({"labels": ("autre",)}, id="labels"),
        pytest.param({"provenance": {"parser_version": "2"}}, id="provenance"),
        pytest.param({"last_page": 9}, id="pages"),
    ],
)
def test_any_change_is_another_version(examples, change):
    """A hash that missed a change would keep an old version under a new name."""
    changed = [replace(examples[0], **change), *examples[1:]]

    assert build(changed).content_hash != build(examples).content_hash


def test_no_document_stands_in_two_splits(examples):
    """Nothing of a document seen in training is asked in the test; all three splits are used."""
    splits = {}
    for example in build(examples).examples:
        splits.setdefault(example.document_id, set()).add(example.split)

    assert all(len(found) == 1 for found in splits.values())
    assert set.union(*splits.values()) == {"train", "validation", "test"}


def test_near_duplicates_stay_together():
    """A second version of a document goes where the first is, for all of 30 pairs."""
    for number in range(30):
        pair = [*_examples(number), *_examples(1_000 + number, group=_id(number))]

        assert len({example.split for example in build(pair).examples}) == 1


def test_a_document_in_two_groups_is_refused():
    """Two answers to where a document belongs would tear it."""
    with pytest.raises(PermanentError, match="two groups"):
        build([*_examples(1), *_examples(1, group=_id(2))])


def test_splits_have_their_shares_and_never_move():
    """Some 80, 10 and 10 of a hundred; fixed by the id alone."""
    shares = Counter(split_of(_id(number)) for number in range(5_000))

    assert shares["train"] == pytest.approx(4_000, rel=0.03)
    assert shares["validation"] == pytest.approx(500, rel=0.15)
    assert shares["test"] == pytest.approx(500, rel=0.15)
    assert [split_of(_id(number)) for number in range(4)] == [
        "train",
        "train",
        "train",
        "validation",
    ]


def test_both_files_hold_the_same_rows(examples):
    """A reader of either file gets every example with its provenance."""
    dataset = build(examples)

    lines = [json.loads(line) for line in to_jsonl(dataset).decode().splitlines()]
    table = pq.read_table(io.BytesIO(to_parquet(dataset)))
    rows = [row | {"provenance": json.loads(row["provenance"])} for row in table.to_pylist()]

    assert lines == rows == [example.content for example in dataset.examples]
    assert table.schema.metadata[b"content_hash"].decode() == dataset.content_hash
    assert lines[0]["provenance"]["title"] == "Arrêté"


def test_chunk_examples_are_the_parents_in_reading_order():
    """What a model is given, each with its span in the document's text."""
    pages = [f"La commune entretient le chemin {number}. " * 6 for number in range(3)]
    parents = [each for each in chunk(pages, SIZES) if each.parent is None]

    made = build(chunk_examples(_id(1), chunk(pages, SIZES), PROVENANCE)).examples

    assert [example.text for example in made] == [parent.text for parent in parents]
    assert [(example.provenance["start"], example.first_page) for example in made] == [
        (parent.start, parent.first_page) for parent in parents
    ]


def test_a_number_that_is_none_is_refused(examples):
    """JSON has no word for it, and a file that readers refuse is no dataset."""
    bad = replace(examples[0], provenance={"confidence": float("nan")})

    with pytest.raises(PermanentError, match="JSON"):
        build([bad])


def test_an_empty_dataset_is_written():
    """No example is a valid, if sad, version."""
    empty = build(())

    assert to_jsonl(empty) == b""
    assert pq.read_table(io.BytesIO(to_parquet(empty))).num_rows == 0
    assert empty.counts == {}


def test_labelled_examples_count_beside_the_others(examples):
    """Counts by split and by kind add up to the examples."""
    labelled = Example("labelled", _id(1), _id(1), "Un banc ?", ("ecologie",), None, None, {})

    dataset = build([*examples, labelled])

    counts = dataset.counts
    assert counts["labelled"] == 1
    assert counts["chunk"] + counts["themes"] + 1 == len(dataset.examples)
    assert sum(counts[split] for split in ("train", "validation", "test")) == len(dataset.examples)
