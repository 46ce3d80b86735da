"""The town's words name the subject; the citizen's own category weighs more than a hint."""

import itertools

import pytest

from include.contributions.categories import decide
from include.contributions.model import Category, Contribution
from include.contributions.reviewer import embedded_reviewer


def classify(text, declared=None):
    """Classify with the real reviewer."""
    return embedded_reviewer().classify(Contribution("c", text, "", declared))


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Les pêcheurs de la criée manquent de glace.", Category.ECONOMIE),
        ("Le nid-de-poule devant la poste grandit, la voirie s'abîme.", Category.LOGEMENT),
        ("La chapelle mérite une exposition et un concert.", Category.CULTURE),
        ("Trop de déchets et de plastiques sur la plage.", Category.ECOLOGIE),
        ("Les bénévoles des associations cherchent un local.", Category.ASSOCIATIONS),
        ("Les élèves de l'école attendent une aire de jeux.", Category.JEUNESSE),
        ("Plus aucun médecin, la pharmacie est loin.", Category.ALIMENTATION),
    ],
)
def test_the_words_name_the_category_and_are_quoted(text, category):
    """One clear subject, with the words it rests on."""
    classification = classify(text)

    assert classification.category == category
    assert classification.evidence
    assert all(text[item.start : item.end] == item.quote for item in classification.evidence)


def test_no_word_of_any_category_is_undetermined():
    """Nothing is given to the first of the list."""
    classification = classify("Bonjour à tous et bonne journée.")

    assert classification.category == "undetermined"
    assert classification.evidence == ()


def test_the_citizens_category_is_kept_against_a_hint():
    """One word does not overrule a citizen; the other subject is told as a second one."""
    classification = classify("Le trottoir est sale.", Category.ECOLOGIE)

    assert classification.category == Category.ECOLOGIE
    assert classification.differs_from_declared is False
    assert classification.second_category == Category.LOGEMENT


def test_strong_evidence_overrules_and_says_so():
    """Several telling words of another subject set the choice aside, aloud."""
    classification = classify(
        "Le médecin part, la maison de santé est vide et la pharmacie ferme.", Category.CULTURE
    )

    assert classification.category == Category.ALIMENTATION
    assert classification.differs_from_declared is True
    assert "Vous aviez choisi" in classification.reasoning


@pytest.mark.parametrize("declared", [None, *Category])
def test_the_order_of_the_categories_never_decides(declared):
    """Every order of the same scores gives the same answer, ties included."""
    scores = {Category.CULTURE: 3.0, Category.ECOLOGIE: 3.0, Category.JEUNESSE: 1.5}

    answers = {decide(dict(order), declared) for order in itertools.permutations(scores.items())}

    assert len(answers) == 1
