"""A suggested wording keeps the citizen's meaning, as far as simple means can tell, or is not shown."""

import asyncio
import json

import pytest

from include.anonymisation import AnonymisationError
from include.contributions.model import Contribution
from include.contributions.model_wording import objection, suggest_wording
from include.contributions.reviewer import embedded_reviewer
from include.errors import ProviderRefusedError
from include.ports import Reply
from tests.model_doubles import TOWN, ScriptedModel

TEXT = Contribution(
    "a:1", "Le banc du quai d'Audierne est pourri depuis 2 ans, c'est nul, il faut le réparer."
)
KINDER = "Le banc du quai d'Audierne est abîmé depuis 2 ans ; il faudrait le réparer."


def suggested(answer, text=TEXT, anonymise=None):
    model = ScriptedModel(answer)
    found = asyncio.run(suggest_wording(text, model, TOWN, embedded_reviewer(), anonymise))
    return found, model


def saying(words):
    return lambda asked: {"id": asked["id"], "suggestion": words}


def test_a_suggestion_that_holds_is_shown_beside_the_original():
    found, model = suggested(saying(KINDER))

    assert (found.text, found.objection) == (KINDER, None)
    assert model.asked[0].purpose == "wording"
    assert TEXT.text not in model.asked[0].instructions
    assert model.asked[0].data["texte"] == TEXT.text


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (KINDER.replace("2 ans", "5 ans"), "new_number"),
        (KINDER.replace("réparer", "réparer, comme à Douarnenez"), "new_name"),
        (KINDER + " Voir www.bancs.example.", "new_address"),
        (
            KINDER + " De plus, cela coûterait moins cher à la commune, et tous en seraient ravis.",
            "longer",
        ),
        ("La piscine municipale mérite une rénovation complète rapidement.", "another_text"),
        ("Le banc du quai d'Audierne est pourri, le maire est un sale con.", "worse_by_the_rules"),
        ("  ", "nothing_to_suggest"),
        (None, "nothing_to_suggest"),
    ],
)
def test_a_suggestion_that_adds_something_is_not_shown(words, why):
    found, _ = suggested(saying(words))

    assert (found.text, found.objection) == (None, why)


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (lambda _: "{}", "unreadable_answer"),
        (lambda _: json.dumps({"id": "other", "suggestion": KINDER}), "unreadable_answer"),
        (lambda _: Reply("", "declined", "house", "small"), "model_declined"),
        (lambda _: Reply("{", "cut_off", "house", "small"), "model_cut_off"),
    ],
)
def test_an_answer_that_is_none_is_no_suggestion(answer, why):
    found, _ = suggested(answer)

    assert (found.text, found.objection) == (None, why)


def test_a_refusal_of_the_provider_is_the_tasks_to_tell():
    with pytest.raises(ProviderRefusedError):
        suggested(lambda _: ProviderRefusedError("401"))


@pytest.mark.parametrize("error", [AnonymisationError("who?"), ValueError("odd")])
def test_a_failed_anonymisation_stops_the_call(error):
    def anonymise(_text):
        raise error

    found, model = suggested(saying(KINDER), anonymise=anonymise)

    assert (found.text, found.objection) == (None, "anonymisation_doubtful")
    assert model.asked == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("[nom] propose un banc sur le quai.", None),
        ("[nom] et [coordonnées] : un banc sur le quai.", "new_name"),
    ],
)
def test_what_was_taken_out_stays_out(words, why):
    assert objection("[nom] demande un banc sur le quai du port.", words) == why
