import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.documents.plain import plain_words


@pytest.mark.parametrize(
    ("quote", "shown"),
    [
        pytest.param("# Horaires La mairie ouvre.", "Horaires La mairie ouvre.", id="heading"),
        pytest.param("ouvre. ### Mardi 9 h", "ouvre. Mardi 9 h", id="heading_inside"),
        pytest.param("la **déchèterie** est *fermée*", "la déchèterie est fermée", id="emphasis"),
        pytest.param("est **fermée le", "est fermée le", id="cut_in_the_middle"),
        pytest.param("| Mardi | 9 h | --- | --- |", "Mardi · 9 h", id="rule_of_a_table"),
        pytest.param(
            "Jour | Heure | |:---|---:| | Lundi | 9 h - 12 h |",
            "Jour · Heure · Lundi · 9 h - 12 h",
            id="table",
        ),
        pytest.param("voir [le plan](http://a.example/p.pdf).", "voir le plan.", id="link"),
        pytest.param("> cité par `le maire`", "cité par le maire", id="quote_and_code"),
        pytest.param("* un banc", "un banc", id="bullet"),
    ],
)
def test_people_read_words_and_no_signs(quote, shown):
    """As the paper would be read aloud."""
    assert plain_words(quote) == shown


@pytest.mark.parametrize(
    "quote",
    [
        "Arrêté n° 12-2025, art. L. 2212-1 [du code] (modifié)",
        "2 * 3 m * 4 m, C#, #port, a_b__c, 5 > 3",
        "lundi - mardi -- jeudi",
        "1. Le banc",
    ],
)
def test_what_is_no_sign_stays(quote):
    """Numbers, dashes and names are the paper's own."""
    assert plain_words(quote) == quote


@given(st.text(alphabet="#*|-_[]()>`: ab\n", max_size=300))
def test_no_letter_is_lost_and_nothing_is_added(words):
    """Signs go, an address behind a link with them; every other letter stays in its order."""
    kept = [letter for letter in plain_words(words) if letter in "ab"]

    letters = iter(letter for letter in words if letter in "ab")
    assert all(letter in letters for letter in kept)
    if "](" not in words:
        assert len(kept) == sum(letter in "ab" for letter in words)
