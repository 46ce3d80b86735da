"""What a pattern of the data files may say."""

import pytest

from include.contributions.normalisation import Normaliser, Vocabulary
from include.contributions.patterns import Entry, Matcher, Rule
from include.errors import ConfigurationError

NORMALISER = Normaliser(Vocabulary())
ENTRIES = (
    Entry("e.chien", "bete", ("chien",)),
    Entry("e.pourri", "gate", ("pourri",), stems=False),
)


def found(pattern, text):
    """Say whether a pattern matches anywhere in a text."""
    matcher = Matcher(ENTRIES, (Rule("r", "loose", "", "x", (pattern,)),), {}, ["grief"])
    reading = NORMALISER.read(text)
    return bool(matcher.with_rules(reading, matcher.entries(reading)).rules)


@pytest.mark.parametrize(
    ("pattern", "hit", "miss"),
    [
        pytest.param("{bete} !=dort", "Le chien mange.", "Le chien dort.", id="none_of_these"),
        pytest.param("^ {bete}", "Chien perdu.", "Un chien perdu.", id="opens_the_sentence"),
        pytest.param("=perdu $", "Chien perdu. Merci.", "Chien perdu hier.", id="closes_it"),
        pytest.param("{gate}", "Un banc pourri.", "On pourrait.", id="without_its_stem"),
        pytest.param(
            "=un ...2 =banc", "un très grand banc", "un très grand et long banc", id="gap"
        ),
    ],
)
def test_a_pattern_says_what_it_must_and_must_not_meet(pattern, hit, miss):
    """Each sign of the pattern language holds both ways."""
    assert found(pattern, hit)
    assert not found(pattern, miss)


@pytest.mark.parametrize("pattern", ["!{bete} =dort", "?{bete} =dort", "{bete} ..."])
def test_a_pattern_begins_and_ends_with_a_word(pattern):
    """A pattern that could begin anywhere would be tried everywhere."""
    with pytest.raises(ConfigurationError, match="begins and ends with a word"):
        found(pattern, "Le chien dort.")
