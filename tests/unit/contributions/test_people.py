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
        pytest.param("Qu'on les renvoie chez eux.", "gens.expulser", id="they_sent_away"),
        pytest.param("Ces gens ne se lavent guère.", "gens.codes", id="dirty"),
        pytest.param("Logez ceux qui n'ont jamais cotisé.", "gens.codes", id="no_worker"),
        pytest.param("Vider le foyer de ses occupants.", "gens.codes", id="emptied"),
        pytest.param("Un type venu de Charente y traîne.", "gens.codes", id="some_fellow"),
        pytest.param("Vous avez vendu la place.", "personnes.vous", id="readers_accused"),
        pytest.param("On garderait le jardin entre blancs.", "gens.codes", id="among_whites"),
        pytest.param("Que les familles gardent leurs épaves.", "gens.codes", id="the_old"),
        pytest.param("On a élu une portée de cochons.", "gens.codes", id="a_litter"),
        pytest.param("Laissons le budget aux hommes.", "gens.codes", id="left_to_men"),
        pytest.param("Ma boutique du quai solde ses maillots.", "pub.vente", id="own_shop"),
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
        pytest.param("Qu'on nomme un référent pour les clubs.", id="somebody_named"),
        pytest.param("Je me permets d'attirer votre attention sur la cale.", id="attention"),
        pytest.param("Vous avez abattu les pins du parking.", id="decision_told"),
        pytest.param("Mesdames et messieurs les élus, je propose un abri.", id="salutation"),
        pytest.param("Il faut loger une infirmière remplaçante.", id="some_stand_in"),
        pytest.param("Un bénévole par boîte à livres suffirait.", id="box_and_not_drink"),
        pytest.param("Il reste une balançoire sans siège.", id="seat_and_no_salute"),
        pytest.param("Un projet pareil existe en Mayenne.", id="another_county"),
        pytest.param("Il faudrait dautres bancs quon voit de larrêt.", id="apostrophes"),
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


@pytest.mark.parametrize(
    ("insert", "rule"),
    [
        pytest.param(
            "Un panneau ferait mieux à la place de Paul Kerdreux.", "personnes.nom", id="instead_of"
        ),
        pytest.param("Le garage de Paul Kerdreux est vide.", "personnes.nom", id="owner"),
        pytest.param(
            "On apprend peu à l'école de Marie Kerdreux.", "personnes.nom", id="school_of"
        ),
        pytest.param("Mieux vaut parler à Drumont.", "mot.inconnu", id="spoken_to"),
        pytest.param("Le banc reste droit, au contraire de Kerdreux.", "mot.inconnu", id="unlike"),
        pytest.param("Une lampe à la place de Drumont éclairerait.", "mot.inconnu", id="surname"),
    ],
)
def test_a_person_compared_or_replaced_is_not_a_place(insert, rule):
    """*Place*, *école* and *garage* excuse the name of a street, not that of their owner."""
    validation = validate(insert)

    assert validation.decision is Decision.REVIEW
    assert rule in {item.rule for item in validation.evidence}


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("La rue Jean Moulin et la place de la République aussi.", id="streets"),
        pytest.param("Un banc à la place de la cabine.", id="a_thing_instead_of_a_thing"),
        pytest.param("Je vais à Kerlosquet-Vras à pied.", id="hamlet_of_two_words"),
    ],
)
def test_the_names_of_places_still_cost_nothing(insert):
    """A street takes a first name as it is."""
    assert validate(insert).decision is Decision.ACCEPT


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("Un lit pour des infirmes, ces poids morts.", id="dead_weight"),
        pytest.param("Le foyer est un mouroir de légumes.", id="vegetables"),
        pytest.param("Payer un car aux retraités qui ne rapportent plus.", id="worth"),
        pytest.param("Pourquoi nourrir trois vieillards au foyer.", id="grudged"),
        pytest.param("Autant les garder en institution.", id="locked_away"),
        pytest.param("Des bouches à nourrir de plus au bourg.", id="mouths"),
    ],
)
def test_people_made_things_or_a_burden_go_to_a_person(insert):
    """Every word is plain; what they make of people is not."""
    validation = validate(insert)

    assert validation.decision is Decision.REVIEW
    assert {item.rule for item in validation.evidence} & {"gens.chosifier", "gens.codes"}


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("Le 88 revient toujours.", id="number"),
        pytest.param("La remigration en marche.", id="sending_back"),
        pytest.param("Le bourg change de peuple.", id="replacement"),
        pytest.param("Esquibien toute blanche.", id="white"),
        pytest.param("Regardez les prénoms sur les cahiers.", id="first_names"),
        pytest.param("Plus de berceaux dans les bonnes familles.", id="lineage"),
        pytest.param("Audierne aux Audiernais.", id="ours_alone"),
        pytest.param("Rester entre gens du même sang.", id="blood"),
    ],
)
def test_hate_in_codes_goes_to_a_person(insert):
    """Numbers, half words and hints to those who know."""
    validation = validate(insert)

    assert validation.decision is Decision.REVIEW
    assert "gens.codes" in {item.rule for item in validation.evidence}


def test_the_same_words_said_of_things_cost_nothing():
    """Vegetables are eaten, lamps replaced, cradles counted."""
    for insert in (
        "Un panier de légumes pour les écoles.",
        "Le remplacement des lampes et des 88 bancs.",
        "La crèche compte douze berceaux.",
        "La station d'épuration déborde.",
    ):
        assert validate(insert).decision is Decision.ACCEPT


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("Les panneaux penchent. Les mettre droits et les dégager.", id="things_moved"),
        pytest.param("Les bancs anciens sont lourds.", id="old_things"),
        pytest.param("Les maisons de pêcheurs sont humides.", id="houses_named_after_people"),
        pytest.param("Des potiers exposent chez eux.", id="at_home"),
        pytest.param("Il faut se battre auprès du département.", id="fight_for"),
        pytest.param("Un poste reste sans candidat.", id="a_job"),
        pytest.param("Je tourne en rond chez moi.", id="of_oneself"),
        pytest.param("Ancien facteur, je connais le chemin.", id="former_trade"),
        pytest.param("Le chien du voisin aboie.", id="a_dog"),
        pytest.param("On ferme la baignade en août.", id="closed_beach"),
        pytest.param("J'arrive de Lille et j'aimerais aider.", id="where_one_comes_from"),
        pytest.param("Signer une charte avec les loueurs.", id="a_charter_between_others"),
    ],
)
def test_ordinary_turns_cost_nothing(insert):
    """A harsh word in a turn that is said of things or of oneself judges nobody."""
    assert validate(insert).decision is Decision.ACCEPT


@pytest.mark.parametrize(
    "insert",
    [
        pytest.param("Des tentes sont au stade. Les dégager.", id="who_sleeps_there"),
        pytest.param("Les gens débordent. Les dégager.", id="people_moved"),
        pytest.param("Les anciens sont lourds.", id="the_old"),
        pytest.param("Le chien du voisin vaut mieux que lui.", id="a_comparison"),
        pytest.param("La conserverie tourne, mais le maire tourne en rond.", id="of_another"),
        pytest.param("Ferme la.", id="silenced"),
        pytest.param("Je sais que le maire ne sait rien.", id="what_one_knows_of_him"),
        pytest.param("Le port mérite mieux que cette équipe.", id="deserves_better"),
        pytest.param("La grosse du mercredi attend.", id="a_body"),
    ],
)
def test_the_same_turns_said_of_somebody_go_to_a_person(insert):
    """The turn is let through, the judgement is not."""
    assert validate(insert).decision is Decision.REVIEW


@pytest.mark.parametrize(
    ("text", "decision"),
    [
        pytest.param(f"{LOCAL} {IDEA}".upper(), Decision.ACCEPT, id="habit"),
        pytest.param(f"{LOCAL} {IDEA} !!".upper(), Decision.REVIEW, id="shouted"),
        pytest.param(f"{LOCAL.upper()} Il faut un banc.", Decision.REVIEW, id="raised_voice"),
    ],
)
def test_capitals_throughout_are_a_habit(text, decision):
    """Who writes in capitals alone is read like anybody; who raises the voice is not."""
    assert embedded_reviewer().validate(Contribution("c", text)).decision is decision


def test_words_side_by_side_are_one_quote():
    """A moderator reads what was said, not its words one by one."""
    validation = validate("La nappe est polluée, c'est prouvé.")

    assert "c'est prouvé" in {item.quote for item in validation.evidence}
    assert "« c'est prouvé »" in validation.reasoning
