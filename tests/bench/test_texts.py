"""The generated contributions: the same for the same seed, and as many of each kind as promised."""

import json
from collections import Counter

import pytest

from bench import texts


def test_the_same_seed_writes_the_same_lines():
    """A figure measured today can be measured again tomorrow on the same texts."""
    first = [made.as_line() for made in texts.contributions(300, seed=5)]

    assert first == [made.as_line() for made in texts.contributions(300, seed=5)]
    assert first != [made.as_line() for made in texts.contributions(300, seed=6)]


@pytest.mark.parametrize("count", [1, 2, 7, 100, 1001])
def test_every_kind_comes_as_often_as_promised(count):
    """What goes in is known exactly, so that what comes out can be held against it."""
    made = list(texts.contributions(count))

    assert len(made) == count
    assert Counter(each.kind for each in made) == +Counter(texts.kind_counts(count))


def test_only_duplicates_repeat_a_text():
    """Distinct texts = all minus the duplicates; a duplicate repeats one that came before it."""
    seen: set[tuple[str, str]] = set()
    for made in texts.contributions(3000):
        assert (made.text in seen) == (made.kind == "duplicate")
        seen.add(made.text)


def test_the_days_share_the_texts_evenly():
    """Three days hold a third each, duplicates apart, which stay on their first text's day."""
    days = Counter(made.received_on for made in texts.contributions(3000, days=3))

    assert len(days) == 3
    assert max(days.values()) - min(days.values()) < 100


def test_a_file_holds_what_the_counts_say(tmp_path):
    """The counts returned are those of the lines written."""
    counts = texts.write_jsonl(tmp_path / "in.jsonl", texts.contributions(250))
    lines = (tmp_path / "in.jsonl").read_text(encoding="utf-8").splitlines()

    assert sum(counts.values()) == len(lines) == 250
    assert all(json.loads(line)["constat_factuel"] for line in lines)
