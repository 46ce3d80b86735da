"""Reading a model's answer: the right shape and the right text, or one clear error; quotes that stand."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.anonymisation import anonymise
from include.contributions.model import Article, Decision
from include.contributions.model_answers import (
    AnswerForm,
    SentText,
    find,
    read_answer,
    read_wording,
)
from include.errors import UnreadableAnswerError
from tests.stub_provider import opinion

ASKED = {"id": "texte-1", "texte": "Réparer le banc du quai, près de la criée d'Audierne."}
SOUND = opinion(ASKED)


def without(name):
    return {key: value for key, value in SOUND.items() if key != name}


def test_a_sound_answer_is_read():
    answer = read_answer(json.dumps(SOUND), "texte-1")

    assert answer.decision is Decision.ACCEPT
    assert answer.positives[0].quote == "Réparer le banc du quai, près"


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```", "\n ```JSON\n{}\n ``` \n"])
def test_a_fence_around_a_sound_answer_is_taken_off(fence):
    assert read_answer(fence.replace("{}", json.dumps(SOUND)), "texte-1").confidence == 0.95


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="nothing"),
        pytest.param("null", id="null"),
        pytest.param("[]", id="a_list"),
        pytest.param("{}", id="an_empty_object"),
        pytest.param("accept", id="a_word"),
        pytest.param(json.dumps(SOUND)[:-20], id="truncated"),
        pytest.param(json.dumps(SOUND) * 2, id="two_answers"),
        pytest.param("Voici :\n" + json.dumps(SOUND), id="words_around"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param(json.dumps(SOUND | {"confidence": 95}), id="confidence_95"),
        pytest.param(json.dumps(SOUND | {"confidence": -0.1}), id="confidence_below_0"),
        pytest.param(json.dumps(SOUND | {"confidence": float("nan")}), id="confidence_nan"),
        pytest.param(json.dumps(SOUND | {"confidence": float("inf")}), id="confidence_infinite"),
        pytest.param(json.dumps(SOUND | {"confidence": "0.95"}), id="confidence_text"),
        pytest.param(json.dumps(SOUND | {"confidence": True}), id="confidence_true"),
        pytest.param(json.dumps(SOUND | {"decision": "accepted"}), id="unknown_decision"),
        pytest.param(json.dumps(SOUND | {"category": "sport"}), id="unknown_category"),
        pytest.param(json.dumps(SOUND | {"violations": "aucune"}), id="violations_text"),
        pytest.param(json.dumps(SOUND | {"verdict": "ok"}), id="a_field_too_many"),
        pytest.param(json.dumps(SOUND | {"id": "texte-2"}), id="wrong_id"),
        pytest.param(json.dumps(without("id")), id="missing_id"),
        pytest.param(json.dumps(without("decision")), id="missing_decision"),
        pytest.param(json.dumps(SOUND)[:-1] + ', "decision": "accept"}', id="a_field_twice"),
    ],
)
def test_what_is_not_of_the_form_is_no_answer(content):
    with pytest.raises(UnreadableAnswerError):
        read_answer(content, "texte-1")


@given(st.text() | st.dictionaries(st.sampled_from(sorted(SOUND)), st.text()).map(json.dumps))
def test_no_text_is_read_by_chance(content):
    """Whatever comes, there is an answer of the whole form or the one error."""
    try:
        answer = read_answer(content, "texte-1")
    except UnreadableAnswerError:
        return
    assert isinstance(answer, AnswerForm)


def test_a_complaint_does_not_repeat_the_answer():
    """The answer may quote the citizen, and the complaint goes to a log."""
    secret = json.dumps(SOUND | {"confidence": "06 12 34 56 78"})

    with pytest.raises(UnreadableAnswerError) as caught:
        read_answer(secret, "texte-1")

    assert "06 12" not in str(caught.value)


def test_a_wording_is_read_or_there_is_none():
    assert read_wording('{"id": "t", "suggestion": null}', "t").suggestion is None
    with pytest.raises(UnreadableAnswerError):
        read_wording('{"id": "other", "suggestion": "x"}', "t")


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("le banc du quai", "le banc du quai"),
        ("« le  banc\n du quai »", "le banc du quai"),
        ("criée d’Audierne", "criée d'Audierne"),
        ("le mur du quai", None),
        ("banc criée", None),
        ("le", None),
        ("", None),
        ("...", None),
    ],
)
def test_a_quote_stands_in_the_text_or_is_dropped(quote, found):
    span = find(ASKED["texte"], quote)

    assert (span and ASKED["texte"][slice(*span)]) == found


ORIGINAL = "Bonjour M. Yann Kerloc'h, le banc est cassé. Tél : 06 12 34 56 78. Merci, Jeanne Riou"
SENT = "Bonjour M. [PERSONNE_1], le banc est cassé. Tél : [TELEPHONE_1]. Merci, [PERSONNE_2]"


@pytest.mark.parametrize(
    ("quote", "own_words"),
    [
        ("le banc est cassé", "le banc est cassé"),
        ("est cassé. Tél : [TELEPHONE_1]", "est cassé. Tél : 06 12 34 56 78"),
        ("M. [PERSONNE_1], le banc", "M. Yann Kerloc'h, le banc"),
        ("Merci, [PERSONNE_2]", "Merci, Jeanne Riou"),
        ("M. [PERSONNE_1] est un menteur", None),
        ("06 12 34 56 78", None),
    ],
)
def test_a_quote_of_an_anonymised_text_becomes_the_citizens_own_words(quote, own_words):
    text = SentText(ORIGINAL, anonymise(ORIGINAL))
    span = text.locate(quote)

    assert text.sent == SENT
    assert (span and ORIGINAL[slice(*span)]) == own_words


@given(
    pieces=st.lists(
        st.one_of(st.text(max_size=12), st.sampled_from([" Mme Jeanne Riou ", " 06 12 34 56 78 "])),
        max_size=6,
    ),
    quote=st.text(max_size=20),
)
def test_a_quote_is_never_beside_the_text(pieces, quote):
    """Whatever was taken out, what is found is a span of the citizen's own text."""
    own = "".join(pieces)
    text = SentText(own, anonymise(own))

    for asked in (quote, *pieces, text.sent):
        span = text.locate(asked)
        assert span is None or 0 <= span[0] < span[1] <= len(own)


def test_words_of_an_article_and_of_an_aspect_are_keys_of_the_charter():
    """What the form allows is what the charter knows."""
    articles = AnswerForm.model_json_schema()["$defs"]["Article"]["enum"]

    assert set(articles) == {article.value for article in Article}
