"""What a citizen is told: what, which article, which words, that a machine helped, how to answer back."""

import re

import pytest

from include.contributions.model import Article, Evidence
from include.review.cases import decide, machine_of, names_group, new_receipt_code
from include.review.model import Answer, Option
from include.review.page import body
from tests.unit.review.questions import (
    ANNE,
    BRUNO,
    PRECISION,
    TEXT,
    earlier,
    question,
    quoted,
    validation,
)

CODE = "K7QF-3M2P"
ATTACK = Article.PERSONAL_ATTACK.value


def answer(option=Option.REFUSE, reason=ATTACK, sentence="", note="", person=BRUNO):
    return Answer(option, reason if option is Option.REFUSE else None, sentence, note, person)


def told(asked=None, **changes):
    return decide(asked or question(), answer(**changes), CODE).statement


def test_a_refusal_says_all_that_it_must():
    """Verdict, article by number and title, the citizen's own words, the person's, the machine's part."""
    words = told(sentence="On peut critiquer une décision, pas insulter.")

    for part in (
        "Votre contribution reçue le mercredi 14 janvier 2026 n'est pas acceptée.",
        "Motif : l'article 1 de la charte (« Pas d'attaque personnelle",
        "« un idiot »",
        "La personne qui a décidé vous écrit : On peut critiquer une décision, pas insulter.",
        "une personne a lu votre texte et a décidé",
        "une machine l'avait comparé à la charte et avait proposé de la refuser",
        "cette règle avait raison 8 fois sur 9",
        "Moteur : embedded, version embedded-1.",
        f"en indiquant le code {CODE}",
        "une autre personne réexaminera",
    ):
        assert part in words


def test_words_within_other_words_are_quoted_once():
    """Three matches of one insult are one insult: the author, the list and the page say so."""
    text = "Les gens du voyage sont tous des voleurs."
    spans = ["gens du voyage sont tous des voleurs", "du voyage sont tous des voleurs", "voleurs"]
    asked = question(text, judged=validation(*(quoted(words, text) for words in spans)))

    words = told(asked)

    assert "« gens du voyage sont tous des voleurs »." in words
    assert "« du voyage" not in words
    assert "«\u00a0du voyage" not in body(asked)


def test_who_decided_and_the_inner_note_stay_inside():
    """The ledger knows the person; the citizen is told that it was one."""
    words = told(note="Troisième fois cette semaine.", person=ANNE)

    assert "Anne" not in words
    assert "Troisième" not in words


@pytest.mark.parametrize(
    ("option", "part"),
    [
        (Option.ACCEPT, "est acceptée"),
        (Option.REPHRASE, "nous vous invitons à la reformuler"),
        (Option.ESCALATE, "est transmise à une autre personne"),
    ],
)
def test_every_answer_has_its_statement(option, part):
    """Each of them says that a person read the text, and how to write back."""
    words = told(option=option)

    assert part in words
    assert "une personne a lu votre texte" in words
    assert CODE in words


def test_only_the_words_of_the_reason_are_held_against_the_author():
    """Refused as an advertisement, an insult that the machine saw is no ground."""
    spam = quoted("port", article=Article.SPAM)
    asked = question(judged=validation(quoted("un idiot"), spam))

    words = told(asked, reason=Article.SPAM.value)

    assert "« port »" in words
    assert "idiot" not in words


def test_a_refusal_without_quotes_says_that_the_whole_text_is_meant():
    """The machine saw nothing of that kind; no words are made up."""
    words = told(reason="deja_publiee")

    assert "Motif : même proposition déjà publiée." in words
    assert "La décision porte sur l'ensemble de votre texte." in words


def test_where_no_machine_judged_none_is_named():
    """A text whose analysis failed is decided by a person alone."""
    words = told(question(judged=None))

    assert "Aucune machine n'a proposé de réponse." in words
    assert "Moteur" not in words


def test_an_appeal_is_answered_as_one():
    """Confirmed or lifted, and what is left to do after it."""
    asked = question(kind="appeal", earlier=(earlier(ANNE),), appeal="Je ne visais personne.")

    confirmed, lifted = told(asked), told(asked, option=Option.ACCEPT)

    assert "Une autre personne a réexaminé votre contribution" in confirmed
    assert "le refus est confirmé" in confirmed
    assert "Défenseur des droits" in confirmed
    assert "une autre personne réexaminera" not in confirmed
    assert "le refus est levé, elle est acceptée" in lifted


def test_every_quote_is_a_part_of_the_text():
    """Nobody is answered with words they did not write."""
    asked = question(judged=validation(quoted("Le maire"), quoted("un idiot")))

    quotes = re.findall(r"« ([^»]+) »", told(asked).split("dont il s'agit")[1].split("\n")[0])

    assert quotes == ["Le maire", "un idiot"]
    assert all(quote in TEXT for quote in quotes)


@pytest.mark.parametrize(
    ("machine", "option", "expected", "overruled"),
    [
        ("refusal_proposed", Option.ACCEPT, "accept", True),
        ("refusal_proposed", Option.REFUSE, "refusal_proposed", False),
        ("review", Option.ACCEPT, "accept", False),
        ("review", Option.REFUSE, "refusal_proposed", False),
        ("accept", Option.REFUSE, "refusal_proposed", True),
        ("refusal_proposed", Option.REPHRASE, None, False),
        ("refusal_proposed", Option.ESCALATE, None, False),
    ],
)
def test_a_machine_is_overruled_by_its_opposite(machine, option, expected, overruled):
    """One that asked for a person was not wrong; one that is not settled teaches nothing."""
    decision = decide(question(judged=validation(decision=machine)), answer(option), CODE)

    assert (decision.expected, decision.overruled) == (expected, overruled)


def test_a_decision_carries_what_it_rests_on():
    """The quoted spans, the machine's proposal with its precision, and who decided."""
    decision = decide(question(), answer(), CODE)

    assert decision.quotes[0]["quote"] == "un idiot"
    assert TEXT[decision.quotes[0]["start"] : decision.quotes[0]["end"]] == "un idiot"
    assert (decision.machine.correct, decision.machine.fired) == (8, 9)
    assert (decision.outcome, decision.reason, decision.person) == ("refused", ATTACK, BRUNO)


def test_receipt_codes_can_be_copied_by_hand():
    """Two groups of four, without letters and digits that look alike; no two are equal."""
    codes = {new_receipt_code() for _ in range(500)}

    assert len(codes) == 500
    assert all(re.fullmatch(r"[2-9A-HJ-NP-Z]{4}-[2-9A-HJ-NP-Z]{4}", code) for code in codes)


@pytest.mark.parametrize(
    ("judged", "is_group"),
    [
        pytest.param(None, False, id="not_judged"),
        pytest.param(validation(), False, id="a_person"),
        pytest.param(validation(quoted("maire", rule="personnes.groupe")), True, id="evidence"),
        pytest.param(validation(quoted("maire", rule="discrimination.etre")), True, id="strict"),
        pytest.param(
            validation(decision="review", review_reason="mention_de_groupe"), True, id="reason"
        ),
    ],
)
def test_texts_that_name_a_group_are_told_apart(judged, is_group):
    """By the rule that fired or by the reason why a person is asked."""
    assert names_group(judged) is is_group


def test_a_rule_that_was_never_measured_is_said_to_be_so():
    """No figure is invented for it."""
    evidence = Evidence(rule="x", article=Article.SPAM, start=0, end=2, quote="Le")
    found = validation(evidence, decision="review", review_reason="unheard_of")

    words = told(question(judged=found, machine=machine_of(found, PRECISION)))

    assert "n'a pas encore été mesurée" in words
