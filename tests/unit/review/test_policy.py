"""Which answers count: whatever comes back from a form is input from outside."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.review.model import (
    MAX_NOTE_CHARACTERS,
    MAX_SENTENCE_CHARACTERS,
    OPTION_LABELS,
    REFUSAL_REASONS,
    Answer,
    Fault,
    Option,
    Person,
)
from include.review.policy import read_answer
from tests.unit.review.questions import ANNE, BRUNO, earlier, form, question

REASON = "spam_ou_publicite"


@pytest.mark.parametrize(
    ("answer", "option", "reason"),
    [
        pytest.param(form("Accepter"), Option.ACCEPT, None, id="accept"),
        pytest.param(form("Refuser", reason=REASON), Option.REFUSE, REASON, id="refuse"),
        pytest.param(
            form("Refuser", reason="donnees_personnelles", sentence=None, note=None),
            Option.REFUSE,
            "donnees_personnelles",
            id="refuse_beyond_the_charter",
        ),
        pytest.param(form("Demander de reformuler"), Option.REPHRASE, None, id="rephrase"),
        pytest.param(
            form("Demander de reformuler", reason=REASON),
            Option.REPHRASE,
            REASON,
            id="why_rephrase",
        ),
        pytest.param(
            form("Transmettre", note="Je connais l'auteur."), Option.ESCALATE, None, id="on"
        ),
    ],
)
def test_a_whole_answer_counts(answer, option, reason):
    """The label on the button becomes a stable code; what was left empty stays empty."""
    read = read_answer(answer, question())

    assert isinstance(read, Answer)
    assert (read.option, read.reason, read.person) == (option, reason, BRUNO)


def test_what_was_written_is_kept_without_what_cannot_be_stored():
    """Spaces around go, a NUL is replaced; nothing else is changed."""
    read = read_answer(form("Accepter", sentence="  Merci\x00 ! ", note="vu"), question())

    assert (read.sentence, read.note) == ("Merci� !", "vu")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param(form("Refuser"), "motif", id="no_reason"),
        pytest.param(form("Refuser", reason=""), "motif", id="empty_reason"),
        pytest.param(form("Refuser", reason="parce que"), "liste", id="own_reason"),
        pytest.param(form("Refuser", reason=7), "texte", id="reason_is_a_number"),
        pytest.param(form("Accepter", reason=REASON), "contredit", id="accepted_with_a_reason"),
        pytest.param(form("Peut-être"), "réponse", id="unknown_option"),
        pytest.param(form("accept"), "réponse", id="code_instead_of_label"),
        pytest.param(form() | {"chosen_options": []}, "réponse", id="nothing_chosen"),
        pytest.param(
            form() | {"chosen_options": ["Accepter", "Refuser"]}, "une seule", id="two_chosen"
        ),
        pytest.param(form() | {"chosen_options": "Accepter"}, "réponse", id="no_list"),
        pytest.param(
            form(sentence="a" * (MAX_SENTENCE_CHARACTERS + 1)), "limite", id="long_sentence"
        ),
        pytest.param(form(note="a" * (MAX_NOTE_CHARACTERS + 1)), "limite", id="long_note"),
        pytest.param(form(decided_by="Anne"), "formulaire", id="another_field"),
        pytest.param(form() | {"params_input": ["reason"]}, "formulaire", id="no_form"),
        pytest.param(form() | {"responded_by_user": None}, "qui a répondu", id="default"),
        pytest.param(form(person=Person("", "")), "qui a répondu", id="nobody"),
        pytest.param({}, "réponse", id="nothing"),
        pytest.param(None, "réponse", id="none"),
    ],
)
def test_an_answer_that_cannot_count_says_why(answer, told):
    """One sentence for who gave it; never a decision."""
    read = read_answer(answer, question())

    assert isinstance(read, Fault)
    assert told in read.sentence


def test_the_longest_answers_count():
    """The limits are what the form says."""
    read = read_answer(
        form("Accepter", sentence="a" * MAX_SENTENCE_CHARACTERS, note="b" * MAX_NOTE_CHARACTERS),
        question(),
    )

    assert isinstance(read, Answer)


@pytest.mark.parametrize("kind", ["appeal", "escalation"])
@pytest.mark.parametrize(
    "same",
    [
        pytest.param(ANNE, id="same"),
        pytest.param(Person("9", "anne"), id="same_name"),
        pytest.param(Person("4", "A. Le Gall"), id="same_login"),
        pytest.param(Person("9", "ＡＮＮＥ"), id="full_width"),
        pytest.param(Person("9", "An\u200bne"), id="unseen_sign"),
        pytest.param(Person("9", "\u00a0Anne "), id="spaces"),
    ],
)
def test_a_second_look_is_another_persons(kind, same):
    """Whoever decided before may not answer, under another spelling either; anyone else may."""
    asked = question(kind=kind, earlier=(earlier(ANNE),))

    assert isinstance(read_answer(form("Accepter", person=same), asked), Fault)
    assert isinstance(read_answer(form("Accepter", person=BRUNO), asked), Answer)


def test_a_first_look_may_be_anybodys():
    """An author who did not rephrase: the same person may look again."""
    asked = question(earlier=(earlier(ANNE, outcome="review", reason="rephrase"),))

    assert isinstance(read_answer(form("Accepter", person=ANNE), asked), Answer)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["reason", "sentence", "note", "id", "name", "x"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)
labels = st.sampled_from([*OPTION_LABELS.values(), "", "refuse", "REFUSER"])
reasons = st.sampled_from([None, "", *REFUSAL_REASONS, "article_1", "spam"])
nearly = st.fixed_dictionaries(
    {
        "chosen_options": st.lists(labels, min_size=1, max_size=2),
        "params_input": st.fixed_dictionaries(
            {}, optional={"reason": reasons, "sentence": st.text(), "note": anything}
        ),
        "responded_by_user": st.sampled_from([{"id": "4", "name": "Anne"}, {"id": "4"}, None]),
    }
)


@settings(max_examples=500)
@given(
    nearly
    | st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(("chosen_options", "params_input", "responded_by_user"), anything),
    )
    | anything
)
def test_no_malformed_answer_becomes_a_decision(answer):
    """Law 1 for people: only one known button, a named person and a sound form make an answer."""
    read = read_answer(answer, question())

    if isinstance(read, Fault):
        assert read.sentence
        return
    assert answer["chosen_options"] == [OPTION_LABELS[read.option]]
    assert read.person.id.strip()
    assert read.person.name.strip()
    assert read.reason is None or read.reason in REFUSAL_REASONS
    assert (read.reason is not None) or read.option is not Option.REFUSE
    assert set(answer.get("params_input") or {}) <= {"reason", "sentence", "note"}


def test_codes_are_stable():
    """What is stored outlives a new word on a button."""
    assert [option.value for option in Option] == ["accept", "refuse", "rephrase", "escalate"]
    assert len(set(OPTION_LABELS.values())) == 4
    assert len(set(REFUSAL_REASONS)) == len(REFUSAL_REASONS)
