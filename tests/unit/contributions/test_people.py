"""Nobody is judged in words that are all plain: who is meant, and in which frame."""

import pytest

from include.contributions.model import Contribution, Decision
from include.contributions.reviewer import embedded_reviewer

LOCAL = "Les trottoirs du quai Jean Jaurès à Audierne sont glissants quand il pleut."
IDEA = "Poser un revêtement antidérapant et ajouter un éclairage."


def validate(insert):
    """Hold a good text with one more sentence against the charter."""
    return embedded_reviewer().validate(Contribution("c", f"{LOCAL} {insert}", IDEA))


@pytest.mark.parametrize(
    ("insert", "rule"),
    [
        pytest.param("Le maire n'a jamais ouvert un plan.", "personnes.elu", id="office"),
        pytest.param("Le boulanger compte toujours mal.", "personnes.individu", id="trade_judged"),
        pytest.param("Vos idées sont bien petites.", "personnes.vous", id="readers"),
        pytest.param("Ceux d'en haut ne marchent jamais.", "personnes.eux", id="they"),
        pytest.param("Un jour il comprendra.", "personnes.pronom", id="he_without_a_name"),
        pytest.param(
            "Sa villa, elle, est goudronnée.", "personnes.pronom", id="his_without_a_name"
        ),
        pytest.param("Qu'ils aillent marcher ailleurs.", "gens.expulser", id="sent_away"),
        pytest.param("On se croirait dans un autre pays.", "gens.distance", id="not_like_us"),
        pytest.param("Le conseil est une basse-cour.", "gens.juges", id="said_to_be_something"),
        pytest.param("L'adjoint a dû être bercé.", "gens.conjecture", id="conjecture"),
        pytest.param("Devinez qui habite au bout.", "gens.sous-entendu", id="hint"),
        pytest.param("Bravo à la mairie.", "gens.ironie", id="irony"),
        pytest.param("On finira par le frapper.", "mot.chose.violence", id="threat"),
    ],
)
def test_a_sentence_on_people_in_plain_words_goes_to_a_person(insert, rule):
    """The same text is accepted without it, and the rule that saw it is named."""
    validation = validate(insert)

    assert validate("").decision is Decision.ACCEPT
    assert validation.decision is Decision.REVIEW
    assert rule in {item.rule for item in validation.evidence}


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("Le maire pourrait organiser une réunion.", id="asked"),
        pytest.param("Je remercie les élus de leur écoute.", id="thanked"),
        pytest.param("Les élus nous ont reçus en mars.", id="who_received"),
        pytest.param("Le boulanger organise une tournée dans le bourg.", id="trade_at_work"),
        pytest.param("Pourriez-vous publier le calendrier ?", id="readers_asked"),
        pytest.param("Les bancs manquent, ils sont partis en hiver.", id="they_are_things"),
        pytest.param("Ma fille a glissé, elle dit que la pierre bouge.", id="she_was_named"),
        pytest.param("Les parents attendent dehors.", id="people_in_general"),
        pytest.param("Il manque un banc et il faut une lampe.", id="nobody"),
    ],
)
def test_people_in_their_frames_cost_nothing(insert):
    """Asking, thanking, telling what somebody did for the town is no judgement."""
    assert validate(insert).decision is Decision.ACCEPT


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("Une réfugiée syrienne m'a appris à coudre.", id="who_taught"),
        pytest.param("Musulmane, je prépare les colis du quartier.", id="oneself"),
        pytest.param("Mon fils autiste joue sur le quai.", id="ones_own"),
        pytest.param("Deux Espagnols ont réparé la lampe.", id="who_mended"),
        pytest.param("Les filles du handball attendent le car.", id="a_team"),
    ],
)
def test_a_group_named_as_one_names_friends_costs_nothing(insert):
    """A text that names a group kindly waits no more than another."""
    assert validate(insert).decision is Decision.ACCEPT


@pytest.mark.parametrize(
    ("insert", "rule"),
    [
        pytest.param("Les clochards arrivent.", "mot.groupe", id="only_named"),
        pytest.param("Les réfugiées prennent la place.", "mot.groupe", id="blamed"),
        pytest.param("Les Espagnols ne partent jamais.", "mot.chose.groupe", id="complained_of"),
    ],
)
def test_a_group_named_in_another_way_goes_to_a_person(insert, rule):
    """Outside those frames the word itself is told."""
    validation = validate(insert)

    assert validation.decision is Decision.REVIEW
    assert rule in {item.rule for item in validation.evidence}


def test_those_who_opens_a_sentence_needs_a_frame():
    """*Ceux* as the subject of a sentence is said of people; inside one it may be said of lamps."""
    assert validate("Ceux du bourg ne saluent plus.").decision is Decision.REVIEW
    assert (
        validate("Les bancs du bourg restent, ceux du quai manquent.").decision is Decision.ACCEPT
    )
    assert validate("Une salle pour ceux qui chantent faux.").decision is Decision.ACCEPT
