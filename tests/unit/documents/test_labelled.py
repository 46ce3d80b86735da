"""Labelled examples: what is known about a text, from whom, and never torn between splits."""

from dataclasses import replace
from datetime import date

import pytest

from include.contributions.samples import load_samples
from include.documents.dataset import build
from include.documents.labelled import DecidedText, examples, fingerprint

TEXT = "Le banc du quai est cassé depuis la tempête de novembre et personne ne l'a réparé."


def decided(number=1, text=TEXT, **changes):
    fields = {
        "contribution_id": f"form:{number}",
        "constat_factuel": text,
        "idees_ameliorations": "Le réparer.",
        "declared_category": "logement",
        "outcome": "accepted",
        "decision_id": number,
        "decided_on": date(2026, 1, 20),
    }
    return DecidedText(**{**fields, **changes})


def test_a_decision_is_a_label_in_the_words_of_an_engine():
    """So that an answer can be compared with it."""
    accepted, refused = examples(
        (), [decided(1), decided(2, "Tout autre chose.", outcome="refused", declared_category=None)]
    )

    assert accepted.labels == ("decision:accept", "category:logement")
    assert accepted.text == f"{TEXT}\n\nLe réparer."
    assert (accepted.document_id, accepted.contribution_id) == (None, "form:1")
    assert accepted.provenance["decision_id"] == 1
    assert refused.labels == ("decision:refusal_proposed",)
    assert refused.provenance["outcome"] == "refused"


def test_every_sample_is_an_example_with_its_answers():
    samples = load_samples()

    made = list(examples(samples, ()))

    assert len(made) == len(samples)
    assert made[0].labels == ("decision:accept", "category:economie", "kind:clean")
    assert made[0].provenance["labelled_by"] == samples[0].provenance
    assert {each.split for each in build(made).examples} == {"train", "validation", "test"}


def test_texts_that_nearly_repeat_each_other_are_one_group():
    """A text that was sent again with one word more would otherwise give the answer away."""
    twice = [decided(1), decided(2, f"{TEXT} Merci."), decided(3, "La cantine est trop chère.")]

    groups = [each.group_id for each in examples((), twice)]

    assert groups == ["contribution:form:1", "contribution:form:1", "contribution:form:3"]


@pytest.mark.parametrize("change", ["expected_decisions", "constat_factuel"])
def test_other_samples_have_another_fingerprint(change):
    samples = load_samples()
    value = frozenset({"review"}) if change == "expected_decisions" else "Autre."

    changed = [replace(samples[0], **{change: value}), *samples[1:]]

    assert fingerprint(changed) != fingerprint(samples) == fingerprint(load_samples())
