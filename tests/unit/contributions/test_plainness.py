"""A text passes word by word: each is plain, the town's own, or explained by where it stands."""

import pytest

from include.contributions.model import Contribution, Decision
from include.contributions.normalisation import UNKNOWN, Vocabulary
from include.contributions.reviewer import embedded_reviewer

LOCAL = "Les trottoirs du quai Jean Jaurès à Audierne sont glissants quand il pleut."
IDEA = "Poser un revêtement antidérapant et ajouter un éclairage."


def validate(insert):
    """Hold a good text with one more sentence against the charter."""
    return embedded_reviewer().validate(Contribution("c", f"{LOCAL} {insert}", IDEA))


@pytest.mark.parametrize(
    ("insert", "reason", "rule"),
    [
        pytest.param("Le projet est une gabegie.", "accusation", "mot.grief", id="blame"),
        pytest.param("La guillotine reste au musée.", "menace_possible", "mot.violence", id="harm"),
        pytest.param("Une secte arrive.", "mot_sensible", "mot.sensible", id="sensitive"),
        pytest.param(
            "Le drigo, le vorti et le mazek du brulon.",
            "mot_inhabituel",
            "mot.inconnu",
            id="unknown",
        ),
        pytest.param(
            "La gentille Trugdualine passe.", "mot_inhabituel", "mot.inconnu", id="unknown_name"
        ),
    ],
)
def test_a_word_that_is_not_plain_goes_to_a_person_who_is_told_it(insert, reason, rule):
    """The same text is accepted without it; the word is quoted under the id of its class."""
    validation = validate(insert)

    assert validate("").decision is Decision.ACCEPT
    assert validation.decision is Decision.REVIEW
    assert reason in {validation.review_reason, *_told(validation)}
    assert rule in {item.rule for item in validation.evidence}


def _told(validation):
    """Give the ids of the reasons whose sentences stand in the reasoning."""
    town = embedded_reviewer()._charter._town
    return {name for name, told in town.review_reasons.items() if told.text in validation.reasoning}


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("Le PLU et le CCAS en parlent.", id="acronyms"),
        pytest.param("Il faut 30km de fil, 2026 vis et 12m2 de bâche.", id="figures"),
        pytest.param("Rue Ledru-Rollin aussi.", id="name_after_street"),
        pytest.param("À Kerlosquet-Vihan aussi.", id="breton_name_after_a_preposition"),
        pytest.param("Les ganivelles protègent les oyats.", id="municipal_vocabulary"),
        pytest.param("Le chemain est etroite.", id="slips_of_the_pen"),
        pytest.param("Un tournebroque serait utile.", id="one_stranger_beside_nobody"),
        pytest.param("La canalisation pourrie fuit.", id="said_of_a_thing"),
        pytest.param("Le comité accueille cinquante Irlandais en mai.", id="a_nation_welcomed"),
        pytest.param("Un plan en anglais serait utile.", id="a_language"),
        pytest.param("Des microcapteurs suffiraient.", id="learned_prefix"),
    ],
)
def test_ordinary_writing_costs_nothing(insert):
    """What a citizen of the town may well write does not call for a person."""
    assert validate(insert).decision is Decision.ACCEPT


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("Les habitants pourris passent.", id="a_thing_word_said_of_people"),
        pytest.param("Les Irlandais sont trop nombreux.", id="a_nation_judged"),
        pytest.param("Une tombola avec tous ces migrnats.", id="slip_near_a_group"),
        pytest.param("Le soutr, le vorti, le mazek et le glipo.", id="many_unknown_words"),
        pytest.param("Le Kervannec décide seul.", id="a_name_that_is_no_place"),
        pytest.param("Un lemairedemoncoin arrive.", id="glued_words"),
    ],
)
def test_what_explains_a_word_has_limits(insert):
    """The nearer to people, the fewer words pass; forgiveness for slips is bounded."""
    assert validate(insert).decision is Decision.REVIEW


@pytest.mark.parametrize(
    ("lower", "folded", "klass"),
    [
        pytest.param("pêche", "peche", "", id="accent_of_the_plain_word"),
        pytest.param("pédé", "pede", "attaque", id="accent_of_the_listed_word"),
        pytest.param("peche", "peche", "", id="without_accents_the_frequent_one"),
        pytest.param("enculé", "encule", "attaque", id="listed"),
        pytest.param("encule", "encule", "attaque", id="harm_without_its_accent"),
        pytest.param("plu", "plu", "", id="own_word"),
        pytest.param("zgrumpf", "zgrumpf", UNKNOWN, id="no_word"),
    ],
)
def test_accents_count_where_the_citizen_wrote_them(lower, folded, klass):
    """A word without its accents is what it could be, harm first unless it is rare."""
    vocabulary = Vocabulary(
        [], {"péché": "sensible", "pédé": "attaque", "enculé": "attaque"}, ["plu"]
    )

    assert vocabulary.klass(lower, folded) == klass


def test_a_civic_word_does_not_excuse_a_listed_one():
    """The town's vocabulary explains what is unknown or delicate, never what harms."""
    vocabulary = Vocabulary([], {"crapule": "attaque", "offre": "vente"}, ["crapule", "offre"])

    assert vocabulary.klass("crapule", "crapule") == "attaque"
    assert vocabulary.klass("offre", "offre") == ""


def test_a_word_of_suspicion_passes_only_where_nobody_is_meant():
    """Boxes fly off in the wind; who flies off with the till is for a person to read."""
    assert validate("Les barquettes volent dans les jardins.").decision is Decision.ACCEPT
    for insert in ("Les gens volent.", "La mairie pille le port."):
        assert "mot.chose.soupcon" in {item.rule for item in validate(insert).evidence}


def test_a_breton_name_is_one_word():
    """*c'h* is a letter: the name is quoted whole, and known as a place after what leads to one."""
    assert validate("La croix de Kerc'hoaz penche.").decision is Decision.ACCEPT
