"""Disguises are undone for comparison, and every token points into the citizen's own text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contributions.normalisation import Normaliser, Vocabulary

NORMALISER = Normaliser(Vocabulary(["audierne", "salope", "nul"]))


def words(text):
    """Read a text and list how its words are understood."""
    return [token.form.folded for token in NORMALISER.read(text).tokens]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        pytest.param("ÉCOLE", "ecole", id="capitals_and_accents"),
        pytest.param("m\u0430ire", "maire", id="cyrillic_homoglyph"),
        pytest.param("ma\u200bire", "maire", id="zero_width"),
        pytest.param("ｍａｉｒｅ", "maire", id="full_width"),
        pytest.param("h4ndicapé", "handicape", id="leet_inside"),
        pytest.param("0rdures", "ordures", id="leet_at_the_start"),
        pytest.param("s@lope", "salope", id="sign_for_letter"),
        pytest.param("nuuuuul", "nul", id="stretched"),
        pytest.param("d é t e s t e", "deteste", id="spaced_out"),
        pytest.param("d.é.t.e.s.t.e", "deteste", id="dotted"),
    ],
)
def test_a_disguised_word_is_read_and_flagged_where_it_hides(written, read):
    """One word is found, as a reader would read it."""
    tokens = NORMALISER.read(written).tokens

    assert [token.form.folded for token in tokens] == [read]
    assert tokens[0].form.disguised is (read != "ecole")
    assert (tokens[0].start, tokens[0].end) == (0, len(written))


@pytest.mark.parametrize("honest", ["30km", "co2", "2026", "RD765", "2ème", "5G", "H2O"])
def test_figures_with_letters_are_left_alone(honest):
    """Digits count as letters only where a word comes out."""
    (token,) = NORMALISER.read(honest).tokens

    assert token.form.disguised is False
    assert any(char.isdigit() for char in token.form.folded)


def test_short_words_in_a_row_are_not_spaced_out_letters():
    """``il y a à faire`` is French, not a disguise."""
    assert words("il y a à faire") == ["il", "y", "a", "a", "faire"]


def test_sentences_end_at_stops_but_not_after_monsieur():
    """A rule that looks inside a sentence must not be cut by a title."""
    sentences = [token.sentence for token in NORMALISER.read("M. Riou passe. Il salue.").tokens]

    assert sentences == [0, 0, 0, 1, 1]


@given(st.text(max_size=200))
def test_tokens_are_ordered_spans_of_the_text(text):
    """Whatever the text, spans are inside it, not empty, and do not overlap."""
    position = 0
    for token in NORMALISER.read(text).tokens:
        assert position <= token.start < token.end <= len(text)
        position = token.end
