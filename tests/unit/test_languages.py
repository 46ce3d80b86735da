"""Both dictionaries say the same things, and every page finds its words."""

import re
from pathlib import Path
from string import Formatter

import pytest
import yaml

from include.contributions.model import STATES, Article, Category
from include.contributions.wording import review_reasons
from include.documents import wording as documents
from include.languages import FOLDER, FRENCH_LABELS, LANGUAGES, chosen, language
from include.municipality import DATA
from include.pages import TEMPLATES
from include.review.model import Option

SAID = re.compile(r'say\("([a-z_]+\.[a-z_]*[a-z])"[,) ]')
COUNTED = re.compile(r'\|counted\("([a-z_]+)"\)')
LABELLED = re.compile(r'label\("([a-z_]+)"')


def flat(words, prefix=""):
    for key, value in words.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def dictionary(code):
    text = (FOLDER / f"{code}.yaml").read_text(encoding="utf-8")
    return dict(flat(yaml.safe_load(text)))


FRENCH_ALONE = {"report.html.j2", "evaluation.html.j2", "evaluations.html.j2"}
"""Written by a task to open by themselves, in the language of the town."""


def templates():
    return {
        path.name: path.read_text(encoding="utf-8")
        for path in sorted(TEMPLATES.glob("*.html.j2"))
        if path.name not in FRENCH_ALONE
    }


def fields(text):
    return {name for _, name, _, _ in Formatter().parse(str(text)) if name}


def test_both_languages_have_the_same_words():
    """But for the codes whose French the domain says itself."""
    french, english = dictionary("fr"), dictionary("en")
    said_by_the_domain = {f"labels.{table}" for table in FRENCH_LABELS}

    missing = english.keys() - french.keys()

    assert french.keys() - english.keys() == set()
    assert {key.rpartition(".")[0] for key in missing} <= said_by_the_domain
    for key, text in french.items():
        assert fields(text) == fields(english[key]), key


@pytest.mark.parametrize("code", LANGUAGES)
def test_every_word_a_template_asks_for_is_there(code):
    words = dict(flat(language(code).words))
    tables = language(code).words["labels"]
    text = "\n".join(templates().values())

    assert set(SAID.findall(text)) - words.keys() == set()
    assert {f"nouns.{noun}" for noun in COUNTED.findall(text)} - words.keys() == set()
    assert set(LABELLED.findall(text)) - tables.keys() == set()


@pytest.mark.parametrize("table", FRENCH_LABELS)
def test_every_code_has_its_english_words(table):
    """A code added to the domain without them would stand on an English page as it is."""
    known = {str(code) for code in FRENCH_LABELS[table]}

    assert known - language("en").words["labels"][table].keys() == set()


@pytest.mark.parametrize(
    "municipality",
    [folder.name for folder in sorted(DATA.iterdir()) if (folder / "charter.yaml").exists()],
)
def test_every_reason_of_a_town_has_its_english_words(municipality):
    """A reason added to a charter alone would stand in French on an English page."""
    reasons = review_reasons(municipality)

    assert reasons.keys() - language("en").words["labels"]["reasons"].keys() == set()


@pytest.mark.parametrize("code", LANGUAGES)
def test_no_word_is_written_twice(code):
    """Of two lines with one key YAML takes the last and is silent."""

    def keys(node):
        if isinstance(node, yaml.MappingNode):
            named = [key.value for key, _ in node.value]
            assert sorted(named) == sorted(set(named))
            for _, value in node.value:
                keys(value)

    keys(yaml.compose((FOLDER / f"{code}.yaml").read_text(encoding="utf-8")))


@pytest.mark.parametrize("code", LANGUAGES)
def test_the_codes_of_the_domain_are_named(code):
    labels = language(code).words["labels"]

    assert set(STATES) <= labels["outcomes"].keys() & labels["states"].keys()
    assert {each.value for each in Category} <= labels["categories"].keys()
    assert {each.value for each in Article} <= labels["articles"].keys()
    assert {each.value for each in Option} <= labels["options"].keys()
    assert set(documents.STEPS) <= labels["steps"].keys()


def test_no_word_of_a_page_stands_in_its_template():
    """What people read is in the dictionaries: a template that speaks is of one language only."""
    for name, text in templates().items():
        bare = re.sub(r"\{[%{#].*?[%}#]\}|<[^>]*>", " ", text, flags=re.DOTALL)
        words = set(re.findall(r"[A-Za-zÀ-ÿ]{3,}", bare))
        assert words <= {"FR", "EN", "page", "ébauche", "Constat", "factuel"} | {
            "Idées",
            "améliorations",
        }, name


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "found"),
    [
        pytest.param("en", "fr", "fr", "en", id="asked for"),
        pytest.param(None, "en", "fr", "en", id="kept"),
        pytest.param("nl", "xx", "en-GB,fr;q=0.4", "en", id="the browser's"),
        pytest.param(None, None, "br,fr;q=0.5,en;q=0.9", "en", id="the browser's weights"),
        pytest.param(None, None, "de;q=1,*", "fr", id="none of ours"),
        pytest.param(None, None, "fr;q=x,en;q=", "en", id="a weight that is none"),
        pytest.param("\x00", "../../etc", "q=;;;,,", "fr", id="nonsense"),
    ],
)
def test_the_language_is_chosen(asked, kept, accepted, found):
    assert chosen(asked, kept, accepted, "fr") == found


def test_a_name_in_a_sentence_is_no_format():
    """What is put into a sentence is not read as one."""
    assert language("fr").say("contributions.decided_by", name="{0.__class__}") == (
        "décidée par {0.__class__}"
    )


def test_the_files_are_found_from_anywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    assert Path(FOLDER).is_absolute()
