"""Chunks keep every word, their order, their limits and their pages."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.documents.chunking import WORD_REACH, ChunkSizes, chunk
from include.documents.model import PAGE_BREAK
from include.errors import ConfigurationError

SMALL = ChunkSizes(chunk_size=400, chunk_overlap=60, child_size=90, child_overlap=20)

ODD = st.text(st.sampled_from("aé œ.\n\t\u00a0\u200d😀e\u0301—,"), max_size=600)
PROSE = st.lists(
    st.sampled_from(["Le", "maire", "arrête", "la circulation.", "\n\n", "n° 305;", "x" * 130]),
    max_size=250,
).map(" ".join)
PAGES = st.lists(st.one_of(ODD, PROSE, st.just("")), max_size=6)
SIZES = st.builds(
    lambda child, more, child_overlap, overlap: ChunkSizes(
        chunk_size=child + more,
        chunk_overlap=min(overlap, (child + more) // 2),
        child_size=child,
        child_overlap=min(child_overlap, child // 2),
    ),
    child=st.integers(2, 200),
    more=st.integers(0, 800),
    child_overlap=st.integers(0, 60),
    overlap=st.integers(0, 300),
)


def _kinds(chunks):
    parents = [each for each in chunks if each.parent is None]
    return parents, [each for each in chunks if each.parent is not None]


@settings(deadline=None)
@given(PAGES, SIZES)
def test_every_character_is_covered_in_order_and_within_limits(pages, sizes):
    """Law of the workflow: nothing of a document is lost on the way to its chunks."""
    text = PAGE_BREAK.join(pages)

    parents, children = _kinds(chunk(pages, sizes))

    for kind, limit in ((parents, sizes.chunk_size), (children, sizes.child_size)):
        covered = set()
        for each in kind:
            assert each.text == text[each.start : each.end]
            assert each.text.strip()
            assert len(each.text) <= limit
            covered.update(range(each.start, each.end))
        left_out = "".join(text[at] for at in range(len(text)) if at not in covered)
        assert not left_out.strip()
        assert [each.position for each in kind] == list(range(len(kind)))
        assert [each.end for each in kind] == sorted({each.end for each in kind})
        assert [each.start for each in kind] == sorted(each.start for each in kind)


@settings(deadline=None)
@given(PAGES, SIZES)
def test_children_lie_inside_their_parent(pages, sizes):
    """What is found in the index can always be shown with its surroundings."""
    parents, children = _kinds(chunk(pages, sizes))

    assert {child.parent for child in children} == {parent.position for parent in parents}
    for child in children:
        parent = parents[child.parent]
        assert parent.start <= child.start < child.end <= parent.end


@settings(deadline=None)
@given(PAGES, SIZES)
def test_the_overlap_is_as_asked(pages, sizes):
    """A neighbour reaches back by the overlap, less at most what makes it begin with a word."""
    text = PAGE_BREAK.join(pages)

    parents, children = _kinds(chunk(pages, sizes))

    for kind, overlap in ((parents, sizes.chunk_overlap), (children, sizes.child_overlap)):
        for before, after in pairwise(kind):
            floor = parents[after.parent].start if after.parent is not None else 0
            new = text[before.end : after.end]
            # White space that made no chunk of its own counts as part of the way back.
            skipped = len(new) - len(new.lstrip())
            reached = before.end - after.start
            assert reached <= overlap
            assert reached >= min(before.end - floor, overlap - WORD_REACH) - skipped


@settings(deadline=None)
@given(PAGES)
def test_pages_are_those_of_the_words(pages):
    """An answer names the page where its words stand, whatever empty pages lie between."""
    at_page = [number for number, text in enumerate(pages, 1) for _ in text + PAGE_BREAK]

    for each in chunk(pages, SMALL):
        words = [
            at for at in range(each.start, each.end) if not each.text[at - each.start].isspace()
        ]
        assert (each.first_page, each.last_page) == (at_page[words[0]], at_page[words[-1]])


def test_real_overlap_on_prose():
    """On prose without long words the second chunk repeats the last words of the first."""
    text = " ".join(f"mot{number}" for number in range(400))

    parents, children = _kinds(chunk([text], SMALL))

    for kind, overlap in ((parents, 60), (children, 20)):
        shared = [
            before.end - after.start
            for before, after in pairwise(kind)
            if after.parent == before.parent
        ]
        assert len(shared) > 3
        assert all(overlap - 7 <= each <= overlap for each in shared)
    assert all(text[each.start - 1].isspace() for each in parents[1:])


def test_the_defaults():
    """Pages longer than a parent: parents of at most 15,000 characters, children of at most 1,500."""
    pages = ["La commune entretient les chemins et les sentiers du littoral. " * 300] * 3

    parents, children = _kinds(chunk(pages, ChunkSizes()))

    assert max(len(each.text) for each in parents) in range(14_000, 15_001)
    assert max(len(each.text) for each in children) in range(1_400, 1_501)


@pytest.mark.parametrize("pages", [[], [""], ["", " \n ", ""]], ids=["none", "empty", "blank"])
def test_pages_without_words_give_no_chunk(pages):
    """A document of unread scans has nothing to search."""
    assert chunk(pages, ChunkSizes()) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"chunk_size": 0}, id="no_size"),
        pytest.param({"chunk_overlap": -1}, id="negative_overlap"),
        pytest.param({"child_overlap": 800}, id="overlap_above_half"),
        pytest.param({"child_size": 16_000}, id="child_above_parent"),
    ],
)
def test_impossible_sizes_are_refused(wrong):
    """A form field filled in wrongly is said before any document is cut."""
    with pytest.raises(ConfigurationError, match="size"):
        ChunkSizes(**wrong)
