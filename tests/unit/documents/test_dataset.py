"""Datasets: the same content is the same version, and no document stands in two splits."""

import io
import json
import random
from collections import Counter
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.documents.chunking import ChunkSizes, chunk
from include.documents.dataset import (
    Example,
    build,
    chunk_examples,
    places,
    split_of,
    theme_example,
    to_jsonl,
    to_parquet,
    without_contributions,
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


def test_splits_have_their_shares():
    """Some 80, 10 and 10 of a hundred; in a large collection by the id alone."""
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


@given(st.sets(st.integers(), min_size=1, max_size=60).map(sorted), st.data())
def test_growing_moves_nobody_and_leaves_no_split_empty(numbers, data):
    """In however many steps a collection grows; three groups that come together are enough."""
    standing = {}
    seen = []
    while numbers:
        count = data.draw(st.integers(1, len(numbers)))
        arrived, numbers = numbers[:count], numbers[count:]
        seen += [_id(number) for number in arrived]

        found = places(seen, standing)

        assert found.items() >= standing.items()
        assert found == places(reversed(seen), standing)
        assert len(set(found.values())) == min(3, len(seen))
        standing = found


@pytest.mark.parametrize("seed", range(50))
def test_documents_that_come_one_by_one_fill_every_split(seed):
    """The first three do; chance alone would leave the test split empty for a third of all tens."""
    standing = {}
    for number in range(3):
        group = _id(seed * 10 + number)
        standing = places([*standing, group], standing)

    assert set(standing.values()) == {"train", "validation", "test"}


def test_a_place_once_given_outlives_the_document():
    """One that is gone for a while comes back to where it was."""
    first = places([_id(1), _id(2), _id(3)], {})

    without = places([_id(1), _id(3)], first)
    again = places([_id(1), _id(2), _id(3)], {**first, **without})

    assert again == first


def test_few_labelled_examples_stand_in_every_split_beside_many_documents(examples):
    """Each kind is placed apart: a split without any label could not be used."""
    labelled = [
        Example("labelled", None, f"s{n}", f"Banc {n} ?", ("x",), None, None, {}) for n in range(3)
    ]

    made = build([*examples, *labelled]).examples

    assert len({each.split for each in made if each.kind == "labelled"}) == 3


def test_a_contribution_in_two_groups_is_refused():
    """The same for a contribution as for a document."""
    one = Example("labelled", None, "a", "Un banc", (), None, None, {}, contribution_id="c")

    with pytest.raises(PermanentError, match="two groups"):
        build([one, replace(one, group_id="b")])


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


def test_citizens_words_are_left_out_and_nothing_else_changes(examples):
    """What may leave the house: the same rows in the same splits, under a name of its own."""
    words = Example(
        "labelled", None, "c", "Un banc ?", ("ecologie",), None, None, {}, contribution_id="mail:1"
    )
    whole = build([*examples, words])

    left = without_contributions(whole)

    rest = [each for each in whole.examples if each.contribution_id is None]
    assert (list(left.examples), len(whole.examples)) == (rest, len(rest) + 1)
    assert b"Un banc" not in to_jsonl(left)
    assert left.content_hash != whole.content_hash
    assert without_contributions(left) == left


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
