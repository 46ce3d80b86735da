import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contributions.evaluation import completeness, evaluate, is_error_text, output_format
from include.contributions.model import Category, Classification, Contribution, Validation

GOOD = {
    "decision": "accept",
    "is_valid": True,
    "violations": [],
    "encouraged_aspects": ["proposition concrète"],
    "reasoning": "Une proposition concrète pour le port.",
    "confidence": 0.9,
}


def validation(confidence=0.9, rubric="r-1", **changes):
    """A doubtful validation, unless changed."""
    fields = {
        "decision": "review",
        "is_valid": None,
        "violations": (),
        "encouraged_aspects": (),
        "reasoning": "Une personne doit lire ce texte.",
        "confidence": confidence,
        "assessed": {},
        "evidence": (),
        "review_reason": "no_positive_evidence",
        "engine": "words",
        "rubric_version": rubric,
    }
    return Validation(**{**fields, **changes})


def classification(confidence=0.7, rubric="r-1"):
    """An undetermined classification."""
    return Classification(
        category="undetermined",
        reasoning="Rien de net.",
        confidence=confidence,
        engine="words",
        rubric_version=rubric,
    )


@pytest.mark.parametrize(
    ("changes", "score"),
    [
        pytest.param({}, 1.0, id="good"),
        pytest.param({"is_valid": False}, 1.0, id="refused"),
        pytest.param({"is_valid": None, "decision": "review"}, 1.0, id="review"),
        pytest.param({"is_valid": None}, 0.8, id="null_beside_accept"),
        pytest.param({"is_valid": 1}, 0.8, id="one_is_not_true"),
        pytest.param({"is_valid": "true"}, 0.8, id="text_is_not_true"),
        pytest.param({"violations": "none"}, 0.8, id="violations_as_text"),
        pytest.param({"violations": {}}, 0.8, id="violations_as_object"),
        pytest.param({"is_valid": False, "encouraged_aspects": None}, 0.8, id="no_aspects_field"),
        pytest.param({"encouraged_aspects": []}, 0.9, id="valid_without_aspect"),
        pytest.param({"is_valid": False, "encouraged_aspects": []}, 1.0, id="refused_no_aspect"),
        pytest.param({"encouraged_aspects": "oui"}, 0.7, id="valid_with_untyped_aspects"),
        pytest.param({"reasoning": ""}, 0.8, id="empty_reasoning"),
        pytest.param({"reasoning": " \n"}, 0.8, id="blank_reasoning"),
        pytest.param({"reasoning": None}, 0.6, id="no_reasoning"),
        pytest.param({"reasoning": "Error: connection refused"}, 0.5, id="error_text"),
        pytest.param({"confidence": 1}, 1.0, id="integer_confidence"),
        pytest.param({"confidence": 0}, 1.0, id="no_confidence_at_all"),
        pytest.param({"confidence": "0.9"}, 0.8, id="confidence_as_text"),
        pytest.param({"confidence": True}, 0.8, id="true_is_no_number"),
        pytest.param({"confidence": None}, 0.8, id="confidence_missing"),
        pytest.param({"confidence": 1.01}, 0.9, id="above_one"),
        pytest.param({"confidence": -0.01}, 0.9, id="below_zero"),
        pytest.param({"confidence": 10**400}, 0.9, id="longer_than_a_float"),
        pytest.param({"confidence": math.nan}, 0.7, id="nan"),
        pytest.param({"confidence": math.inf}, 0.7, id="infinite"),
    ],
)
def test_output_format(changes, score):
    """Each rule of the documented score, alone."""
    assert output_format({**GOOD, **changes}) == score


def test_output_format_adds_the_rules_up():
    """Two typed fields of five, an error text and a confidence out of range: 0.4 - 0.6, so 0."""
    assert output_format({"reasoning": "Traceback (most recent call last)", "confidence": 7}) == 0
    assert output_format({"is_valid": True, "violations": [], "reasoning": "Bien."}) == 0.5


@pytest.mark.parametrize("answer", [None, "valid", 3, [], {}])
def test_what_is_no_answer_scores_nothing(answer):
    """An engine that answers something else is scored, not fatal."""
    assert output_format(answer) == 0


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(sorted(GOOD)), anything))
def test_output_format_is_a_share_whatever_comes(answer):
    """Any mapping at all gives a finite number from 0 to 1."""
    assert 0 <= output_format(answer) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "Error: 429 Too Many Requests",
        "Erreur : le service ne répond pas",
        "Erreur lors de la validation du texte",
        "Échec de l'analyse",
        "La validation a échoué (ValueError: bad json)",
        "The request timed out",
        "HTTP 503 from the provider",
        "Traceback (most recent call last):",
        "pydantic.ValidationError: 1 validation error",
        "Failed to parse the answer",
    ],
)
def test_error_texts_are_recognised(text):
    """What programs and providers write when they fail is no reasoning."""
    assert is_error_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "Le texte signale une erreur sur le panneau du port.",
        "Le citoyen écrit « HTTP 404 » à propos du site de la mairie.",
        "L'échec scolaire est décrit avec des faits.",
        "Proposition argumentée, sans attaque.",
        "Erreur de date possible dans le texte : une personne doit vérifier.",
        "À l'exception du dernier point, la demande est concrète.",
        "",
    ],
)
def test_reasons_are_not_taken_for_errors(text):
    """A reason may speak of errors, and may quote one."""
    assert not is_error_text(text)


@pytest.mark.parametrize(
    ("contribution", "share"),
    [
        (Contribution("c", "Le banc.", "Le réparer.", Category.LOGEMENT), 1.0),
        (Contribution("c", "Le banc.", "Le réparer."), 0.6667),
        (Contribution("c", "Le banc.", " \n", Category.LOGEMENT), 0.6667),
        (Contribution("c", "", "Le réparer."), 0.3333),
    ],
)
def test_completeness(contribution, share):
    """The share of the two parts and the category; blank is not given."""
    assert completeness(contribution) == share


def test_the_lower_confidence_counts():
    """A chain holds as much as its weaker link."""
    contribution = Contribution("c", "Le banc est cassé.")

    low_second = evaluate(contribution, validation(0.9), classification(0.7), "r-1")
    low_first = evaluate(contribution, validation(0.2), classification(0.7), "r-1")

    assert (low_second.confidence, low_first.confidence) == (0.7, 0.2)
    assert low_second.output_format == 1.0
    assert low_second.warnings == ()


def test_an_evaluation_says_what_is_wrong_with_the_answers():
    """A poor form and two rubric versions are named, after the notes handed in."""
    found = evaluate(
        Contribution("c", "Le banc est cassé."),
        validation(reasoning="TimeoutError: 30 s"),
        classification(rubric="r-2"),
        "r-1",
        ("Note.",),
    )

    assert found.output_format == 0.5
    assert found.warnings[0] == "Note."
    assert "0.50 sur 1" in found.warnings[1]
    assert "r-1, r-2" in found.warnings[2]
