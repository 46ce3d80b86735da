"""The bench of the reviewer: what it inserts where, what counts as reached, that it needs no foreign text."""

from collections import Counter
from pathlib import Path

import pytest

from bench import reviewer
from include.contributions.model import Contribution
from include.contributions.samples import load_samples
from include.contributions.scoring import Score

CLEAN = [each for each in load_samples() if each.kind == "clean"]


@pytest.mark.parametrize(
    ("where", "text"),
    [("start", "NON. Un. Deux."), ("middle", "Un. NON. Deux."), ("end", "Un. Deux. NON.")],
)
def test_a_sentence_is_put_where_it_is_said(where, text):
    assert reviewer.insertion(Contribution("c", "Un. Deux."), "NON.", where).text == text


def test_insertions_are_the_same_each_time_and_lie_everywhere():
    """A figure measured today can be measured again tomorrow; each place as often as the others."""
    first = [each.text for each in reviewer._inserted(CLEAN, ["Une phrase étrangère."], 90)]

    assert first == [each.text for each in reviewer._inserted(CLEAN, ["Une phrase étrangère."], 90)]
    assert all(text.count("Une phrase étrangère.") == 1 for text in first)
    places = Counter(
        "start" if text.startswith("Une ph") else "end" if text.endswith("gère.") else "middle"
        for text in first
    )
    # Inside a single sentence there is no place.
    assert places["start"] >= 30
    assert places["end"] >= 30
    assert places["middle"] >= 20


@pytest.mark.parametrize(
    ("target", "value", "met"),
    [
        (reviewer.Target(0.01), 0.01, True),
        (reviewer.Target(0.01), 0.02, False),
        (reviewer.Target(0.75, at_most=False), 0.7, False),
        (reviewer.Target(0.01), None, None),
    ],
)
def test_a_target_is_reached_or_not(target, value, met):
    assert target.is_met(Score(value, 10, 0, 1)) is met


def test_without_real_texts_the_own_ones_are_measured():
    """Every figure has its count, and the page says what is missing."""
    figures = reviewer.measure([30], data=Path("/nowhere"))

    names = {row["set"] for row in figures["rows"]}
    assert {"own clean local", "own manipulation", "own pairs", "generated local"} <= names
    assert "hate speech" not in names
    assert all(row["n"] for row in figures["rows"])
    assert "own texts only" in reviewer.table(figures)[0]


def test_attacks_on_persons_are_violations_here(tmp_path):
    """The set calls them not hateful, since they aim at no group; our charter refuses them."""
    folder = tmp_path / "moderation"
    folder.mkdir()
    (folder / "mhc_fr_dev.jsonl").write_text(
        '{"text": "Tu es un imbécile.", "label": "non-hateful", "functionality": "target_indiv_nh"}\n',
        encoding="utf-8",
    )

    rows = {(row["set"], row["what"]): row for row in reviewer.measure([6], tmp_path)["rows"]}

    assert rows["attacks on persons", "leak"]["n"] == 1
    assert rows["civic with one insult", "leak"]["n"] == 6
    assert ("other licit, short", "refusal proposed") not in rows
