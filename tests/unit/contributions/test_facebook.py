"""A Facebook export: bytes that became letters, posts, comments, and moments in Paris."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources import detect
from include.contributions.sources.encodings import fingerprint
from include.contributions.sources.facebook import repaired
from include.ports import SourceFile

LATE_EVENING = 1768865400  # 2026-01-19 23:30 UTC, already the 20th in Paris


def torn(text):
    """Write a text as the export does: each byte of its UTF-8 as a letter."""
    return text.encode().decode("latin-1")


def post(text, **changes):
    entry = {
        "timestamp": LATE_EVENING,
        "attachments": [{"data": [{"media": {"uri": "photo.jpg"}}]}],
        "data": [{"update_timestamp": LATE_EVENING}, {"post": torn(text)}],
        "title": "Jeanne Le Gall updated her status.",
    }
    return {**entry, **changes}


def comment(text, **changes):
    inner = {"timestamp": LATE_EVENING, "comment": torn(text), "author": "Jeanne Le Gall"}
    return {
        "timestamp": LATE_EVENING,
        "data": [{"comment": inner}],
        "title": "Jeanne Le Gall commented on Yann Kerloc'h's post.",
        **changes,
    }


@pytest.fixture
def read(tmp_path):
    def _read(value, name="your_posts_1.json"):
        path = tmp_path / name
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        seen = fingerprint(path)
        source = detect(path, seen.head)
        file = SourceFile(path, name, seen.sha256, seen.size_bytes, source.form, seen.encoding)
        return source.form, list(source.records(file))

    return _read


def test_posts_come_out_as_they_were_written(read):
    form, [record] = read([post("Le marché d’été est à « l’abri » 🙂", fbid="123")])

    assert form == "facebook"
    assert record == Record(
        source="your-posts-1",
        external_id="123",
        constat_factuel="Le marché d’été est à « l’abri » 🙂",
        idees_ameliorations="",
        declared_category=None,
        submitted_on=date(2026, 1, 20),
        locator="[0], line 1",
        metadata={"kind": "post", "submitted_at": "2026-01-20T00:30:00+01:00"},
    )


@pytest.mark.parametrize("key", ["comments_v2", "group_comments_v2"])
def test_comments_come_out_without_anybodys_name(read, key):
    form, [record] = read({key: [comment("Tout à fait d'accord avec ça")]}, "comments.json")

    assert form == "facebook"
    assert record.constat_factuel == "Tout à fait d'accord avec ça"
    assert record.metadata["kind"] == "comment"
    assert "Jeanne" not in repr(record)
    assert "Yann" not in repr(record)


def test_the_parts_of_the_form_are_told_apart(read):
    body = "**Constat factuel :**\nLe quai est sale.\n\n**Vos idées d'améliorations :**\nLe laver."

    _, [record] = read([post(body)])

    assert (record.constat_factuel, record.idees_ameliorations) == (
        "Le quai est sale.",
        "Le laver.",
    )


def test_a_post_without_words_is_no_entry(read):
    photograph = {"timestamp": LATE_EVENING, "attachments": [], "title": "Jeanne shared a photo."}

    _, records = read([post("Un banc"), photograph, post("", data=[{"post": ""}]), post("Un quai")])

    assert [record.constat_factuel for record in records] == ["Un banc", "Un quai"]
    assert [record.locator for record in records] == ["[0], line 1", "[3], line 1"]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (post("x", data=[{"post": ["x"]}]), "wrong_type"),
        (post("x" * 70_000), "too_long"),
        (post("   "), "no_text"),
        ("text", "wrong_type"),
    ],
)
def test_an_entry_that_cannot_be_used_stands_alone(read, entry, reason):
    _, [sound, broken] = read([post("Un banc"), entry])

    assert isinstance(sound, Record)
    assert isinstance(broken, BrokenRecord)
    assert broken.reason == reason
    assert "Jeanne" not in broken.raw


@pytest.mark.parametrize("moment", [10**30, -(10**30), "hier", None, True, 1.5, 0])
def test_a_moment_that_is_none_costs_the_day_alone(read, moment):
    _, [_, record] = read([post("Un quai"), post("Un banc", timestamp=moment)])

    assert record.constat_factuel == "Un banc"
    assert record.submitted_on is None


def test_an_export_that_was_cut_says_so(read):
    text = json.dumps([post("Un banc"), post("Un quai")])

    _, records = read(text[:-40])

    assert [type(record) for record in records] == [Record, BrokenRecord]
    assert records[1].reason == "truncated"


@pytest.mark.parametrize(
    "value",
    [
        [{"id": 1, "text": "Un banc."}],
        {"contributions": [{"id": 1, "text": "Un banc.", "timestamp": 1768865400}]},
        [{"timestamp": 1768865400, "text": "Un banc."}],
    ],
)
def test_other_json_is_not_taken_for_an_export(read, value):
    form, [record] = read(value, "contributions.json")

    assert form == "json"
    assert record.constat_factuel == "Un banc."


@pytest.mark.parametrize(
    "text",
    ["", "Un banc", "Été à l’abri", "déjà bien écrit", "À Ploërmel", "œuvre — « 3 € »", "日本"],
)
def test_a_sound_text_is_left_alone(text):
    assert repaired(text) == text


def test_what_was_cut_in_the_middle_of_a_letter_keeps_the_rest():
    assert repaired(torn("Été à la plage é")[:-1]) == "Été à la plage Ã"


@given(st.text())
def test_whatever_was_torn_apart_is_joined_again(text):
    encodable = text.encode("utf-8", "replace").decode()

    assert repaired(torn(encodable)) == encodable
