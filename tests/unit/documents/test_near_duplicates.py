"""Near duplicates are found by their words, confirmed exactly, and point to the older document."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from include.documents import near_duplicates
from include.documents.near_duplicates import NearDuplicate, find, similarity, sketch, words_hash

WORDS = [f"mot{letter}{other}" for letter in "abcdefghijklmnop" for other in "abcdefghijklmnop"]


def _text(seed, length=400):
    lots = random.Random(seed)  # noqa: S311 - the same text each time
    return " ".join(lots.choices(WORDS, k=length))


def _found(documents, **options):
    texts = dict(documents)
    sketches = [(name, sketch(text)) for name, text in documents]
    return list(find(sketches, texts.__getitem__, **options))


def test_the_same_words_in_another_layout():
    """Case, accents, line ends and punctuation are no difference."""
    documents = [
        ("old", "Arrêté du Maire :\nplage fermée."),
        ("new", "ARRETE DU MAIRE plage fermee"),
    ]

    assert words_hash(documents[0][1]) == words_hash(documents[1][1])
    assert _found(documents) == [NearDuplicate("new", "old", 1.0)]


def test_a_changed_word_is_near_and_its_similarity_exact():
    """One word of 400 changed touches five runs of words; the figure is no estimate."""
    old = _text(1)
    new = old.split()
    new[200] = "autre"

    [found] = _found([("old", old), ("other", _text(2)), ("new", " ".join(new))])

    assert (found.document_id, found.duplicate_of) == ("new", "old")
    assert found.similarity == similarity(old, " ".join(new)) == pytest.approx(391 / 401)


def test_the_nearest_of_several_is_named():
    """A third version points to the second, which it is nearer to."""
    first = _text(3).split()
    second = [*first[:370], *_text(4, 30).split()]
    third = [*second[:395], *_text(5, 5).split()]
    documents = [(name, " ".join(text)) for name, text in zip("abc", (first, second, third))]  # noqa: B905

    assert [(each.document_id, each.duplicate_of) for each in _found(documents)] == [
        ("b", "a"),
        ("c", "b"),
    ]


def test_acts_of_one_form_are_not_duplicates():
    """Two orders share their formulas and differ in what they order."""
    form = _text(6, 60)
    documents = [(str(number), f"{form} {_text(100 + number, 40)}") for number in range(20)]

    assert _found(documents) == []


def test_candidates_of_the_sketch_are_confirmed(monkeypatch):
    """The sketch proposes generously, and nothing below the threshold is marked."""
    monkeypatch.setattr(near_duplicates, "CANDIDATE_MARGIN", 0.7)
    base = _text(7).split()
    half = [*base[:250], *_text(8, 150).split()]
    asked = []
    texts = {"old": " ".join(base), "half": " ".join(half)}

    def text_of(document_id):
        asked.append(document_id)
        return texts[document_id]

    sketches = [(name, sketch(text)) for name, text in texts.items()]

    assert list(find(sketches, text_of)) == []
    assert asked == ["half", "old"]


def test_documents_without_words_are_like_nothing():
    """Two unread scans are not one document; a document given twice is not its own copy."""
    documents = [("a", ""), ("b", " \n—"), ("c", "un banc"), ("c", "un banc")]

    assert _found(documents) == []


@pytest.mark.parametrize(
    ("changed", "read"), [(3, 2), (10, 1 + near_duplicates.MAX_CANDIDATES)], ids=["same", "near"]
)
def test_many_papers_of_one_form_are_read_a_few_times_each(changed, read):
    """Sixty orders that differ in a date, or in some lines: no comparing of all pairs."""
    base = _text(11, 800).split()
    texts = {}
    for number in range(60):
        words = list(base)
        for place in range(changed):
            words[place * 37] = f"jour{number}x{place}"
        texts[f"{number:03}"] = " ".join(words)
    asked = []

    def text_of(document_id):
        asked.append(document_id)
        return texts[document_id]

    found = list(find([(name, sketch(text)) for name, text in texts.items()], text_of))

    assert len(found) == 59
    assert len(asked) <= read * 59


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(0, 30), min_size=2, max_size=8), st.integers(0, 10_000))
@example(cuts=[14, 7], seed=1404)
def test_nothing_near_is_missed(cuts, seed):
    """Against comparing all pairs: every document that repeats an earlier one is found.

    Only one that is like a repetition alone, and hardly, is not: it is no repetition of the first.
    """
    base = _text(seed, 120).split()
    documents = [
        (str(number), " ".join([*base[cut:], *_text(seed + number, cut).split()]))
        for number, cut in enumerate(cuts)
    ]

    found = {each.document_id: each for each in _found(documents)}
    texts = dict(documents)
    sure = near_duplicates.THRESHOLD + 1 - near_duplicates.SAME

    for number, (document_id, text) in enumerate(documents):
        best = max((similarity(text, other) for _, other in documents[:number]), default=0.0)
        assert document_id in found or best < sure
        if document_id in found:
            named = found[document_id]
            assert named.similarity == similarity(text, texts[named.duplicate_of])
            assert named.similarity >= min(best, near_duplicates.SAME) - (
                1 - near_duplicates.SAME
            ), "nothing much nearer"
            assert named.similarity >= near_duplicates.THRESHOLD
