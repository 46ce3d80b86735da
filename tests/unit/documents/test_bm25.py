"""BM25 as sparse vectors: the words that count, for how much, and how many at most."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.documents.embedding import bm25
from include.documents.fusion import reciprocal_rank

ROOT = Path(__file__).parents[3]


def _weights(vector):
    return dict(zip(vector.indices, vector.values, strict=True))


def _score(question, document, count=100, counts=None):
    counts = counts or dict.fromkeys(bm25.term_indices(question), 3)
    asked = _weights(bm25.query_vector(question, count, counts))
    held = _weights(bm25.document_vector(document))
    return sum(weight * held.get(index, 0) for index, weight in asked.items())


@pytest.mark.parametrize(
    ("written", "asked"),
    [
        pytest.param("ARRETE MUNICIPAL", "arrêtés municipaux", id="capitals_and_plural"),
        pytest.param("la déchèterie", "dechèteries", id="half_the_accents"),
        pytest.param("Arrêté PM2025-305", "arrete pm 2025 305", id="act_number"),
        pytest.param("l’école d'Esquibien", "ecole esquibien", id="elision"),
        pytest.param("cœur de bourg", "coeur bourg", id="ligature"),
    ],
)
def test_forms_of_a_word_meet(written, asked):
    """People ask without accents, in another number, and copy an act's number as they please."""
    assert bm25.terms(written) == bm25.terms(asked)


def test_stop_words_say_nothing():
    """A question of small words alone matches nothing instead of everything."""
    assert bm25.terms("Est-ce que l'on peut y être avec eux ?") == []
    assert bm25.query_vector("Qu'est-ce que c'est ?", 10, {}).indices == ()


def test_the_inner_product_is_bm25():
    """The two vectors together give the known formula."""
    document = "banc banc fontaine"
    index = bm25.index_of("banc")
    length = 0.5 + 0.5 * 3 / bm25.AVERAGE_LENGTH
    expected = math.log1p((100 - 4 + 0.5) / 4.5) * 2 * 2.2 / (2 + 1.2 * length)

    assert _score("banc", document, 100, {index: 4}) == pytest.approx(expected)


def test_rarer_words_weigh_more():
    """A word that stands everywhere decides little."""
    counts = {bm25.index_of("banc"): 1, bm25.index_of("port"): 90}

    weights = _weights(bm25.query_vector("banc port", 100, counts))

    assert weights[bm25.index_of("banc")] > 5 * weights[bm25.index_of("port")] > 0


def test_words_of_no_chunk_are_left_out():
    """A word that the collection does not hold can match nothing, and counts above it are capped."""
    counts = {bm25.index_of("banc"): 500}

    vector = bm25.query_vector("banc zeppelin", 100, counts)

    assert vector.indices == (bm25.index_of("banc"),)
    assert vector.values[0] > 0


def test_at_most_a_thousand_entries_the_heaviest():
    """More are refused by the index of pgvector; the words said most often stay."""
    often = [f"often{letter}" for letter in "abcdefghij"]
    text = " ".join(f"{number}" for number in range(10_000, 13_000)) + " " + " ".join(often * 3)

    vector = bm25.document_vector(text)

    assert len(vector.indices) == bm25.MAX_NONZEROS
    assert {bm25.index_of(term) for word in often for term in bm25.terms(word)} <= set(
        vector.indices
    )


@given(st.text(max_size=1_500))
def test_any_text_has_a_vector_that_pgvector_takes(text):
    """Whatever a page holds: ascending places in range, finite weights above 0, not too many."""
    vector = bm25.document_vector(text)

    assert list(vector.indices) == sorted(set(vector.indices))
    assert all(0 <= index < bm25.DIMENSIONS for index in vector.indices)
    assert all(math.isfinite(value) and value > 0 for value in vector.values)
    assert len(vector.indices) <= bm25.MAX_NONZEROS
    assert set(vector.indices) == bm25.term_indices(text)


def test_another_process_gives_the_same_vector():
    """Vectors of two workers are compared: nothing may depend on a process's own hash seed."""
    text = "Le quai Anatole France est fermé à la circulation du 2 au 27 mars 2026."
    code = (
        "import sys; from include.documents.embedding import bm25; "
        "print(bm25.document_vector(sys.argv[1]).literal)"
    )

    others = {
        subprocess.run(
            [sys.executable, "-c", code, text],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }

    assert others == {bm25.document_vector(text).literal}


def test_a_vector_does_not_change_between_releases():
    """Stored vectors carry the engine's name: a change here needs a new name."""
    assert bm25.ENGINE == "bm25-fr-1"
    vector = bm25.document_vector("Les bacs jaunes sont ramassés le jeudi.")

    assert vector.literal == ("{43137:1.35932,59715:1.35932,74288:1.35932,240729:1.35932}/262144")


def test_fusion_prefers_what_both_found():
    """Second in two rankings beats first in one; an item named twice counts once."""
    fused = reciprocal_rank([["a", "b", "b"], ["c", "b"]])

    assert [item for item, _ in fused] == ["b", "a", "c"]
    assert fused[0][1] == pytest.approx(2 / 62)
