"""A question on the page: everything needed is there, and the citizen's words stay words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contributions.model import Article, Decision, Evidence
from include.contributions.reviewer import embedded_reviewer
from include.contributions.scoring import load_samples
from include.contributions.wording import visible
from include.review import page
from include.review.model import raises_doubt
from tests.unit.review.questions import ANNE, earlier, question, quoted, validation

HOSTILE = (
    "{{ 7*7 }} {% for x in y %} ![i](http://evil.example/a.png) [clic](javascript:alert(1))\n"
    "<img src=x onerror=alert(1)> <b>gras</b> <!-- --> &lt;b&gt; **fort** ~~rayé~~ `code`\n"
    "# Titre\n- liste\n> citation\n1. un\n    retrait\n\n---\n| a | b |\n|---|---|\n```\nbloc\n"
    "www.evil.example https://evil.example bob@evil.example HTTPS://EVIL.example "
    "[x]: http://evil.example\n\u202eenvers\u200b \ue000privé\ue001"
)


@pytest.fixture(scope="module")
def reader():
    """Read Markdown as the UI does: with tables, and with bare addresses made links."""
    markdown_it = pytest.importorskip("markdown_it", reason="needs a Markdown reader to judge by")
    pytest.importorskip("linkify_it", reason="the reader's links need it")
    return markdown_it.MarkdownIt("gfm-like", {"html": True, "linkify": True})


def read(reader, markdown):
    """List the inline and block tokens of a page, flat."""
    for token in reader.parse(markdown):
        yield token
        yield from token.children or ()


def test_a_question_holds_all_that_a_person_needs():
    """Words, why, what the machine says and how sure it is, and what each answer does."""
    asked = question(ideas="Le réparer.")

    body = page.body(asked)

    for part in (
        "Le maire est ⟦**un idiot**⟧, le banc du port est cassé.",
        "> Le réparer.",
        "reçue le mercredi 14 janvier 2026",
        "attend depuis le **14/01/2026 à 09:00**",
        "La machine propose un refus. Seule une personne refuse.",
        "Ces mots visent une personne.",
        "| Article 1 de la charte («\u00a0Pas d'attaque personnelle",
        "Confiance 90\u00a0%",
        "avait raison 8 fois sur 9",
        "- **Refuser** : choisir un **motif**",
    ):
        assert part in body


def test_what_is_kept_for_days_says_since_when_and_not_how_long():
    """Airflow shows the page as it was when the question was put; an age would be wrong the next hour."""
    soon, late = question(waited_s=60.0), question(waited_s=9 * 86_400.0)

    assert page.subject(soon) == page.subject(late)
    assert page.body(soon) == page.body(late)


def test_the_list_says_what_waits_and_since_when():
    """The kind, the first words and the age; short enough that twenty fit a docket."""
    assert page.subject(question()) == (
        "Refus proposé · « Le maire est un idiot, le banc du port est cassé. » · "
        "attend depuis le 14/01/2026 à 09:00"
    )
    for text in ("é" * 60_000, "\u200b" * 1000, "🙂 " * 1000, " "):
        subject = page.subject(question(text, judged=None, kind="case"))
        assert len(subject.encode()) * 20 < 8_000


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({"judged": validation(decision="review")}, "À examiner"),
        ({"judged": None}, "Non analysée"),
        ({"kind": "escalation"}, "Second avis"),
        ({"kind": "appeal"}, "Refus contesté"),
        ({"fault": "Un refus demande un motif."}, "À reprendre, refus proposé"),
    ],
)
def test_each_kind_of_question_has_its_name(changes, title):
    """A moderator sees in the list what they are about to be asked."""
    assert page.subject(question(**changes)).startswith(f"{title} · ")


def test_a_fault_is_told_first():
    """Whoever gave the answer sees at once that nothing was decided, and why."""
    body = page.body(question(fault="Un refus demande un motif."))

    assert body.startswith("> ⚠ **La réponse précédente n'a pas été enregistrée.**")
    assert "Un refus demande un motif. Rien n'a été décidé." in body


def test_a_second_look_shows_the_first_one():
    """Who decided what and why, the author's words against it, and who may not answer."""
    before = earlier(ANNE, sentence="Pas d'insultes.", note="Récidive.")
    body = page.body(question(kind="appeal", earlier=(before,), appeal="Je ne visais personne."))

    for part in (
        "> Je ne visais personne.",
        "**Refusée** par Anne",
        "l'article 2 de la charte",
        "À l'auteur : Pas d'insultes.",
        "Note : Récidive.",
        "**Une autre personne que Anne doit répondre.**",
    ):
        assert part in body


def test_what_speaks_for_a_text_is_not_marked_against_it():
    """A model that doubts quotes the proposal as well; a place of the town is no reason to look."""
    spans = (
        quoted("banc", article=None, rule="modele.proposition"),
        quoted("port", article=None, rule="gaz.lieu.port"),
    )

    body = page.body(question(judged=validation(*spans, decision="review")))

    assert "⟦" not in body
    assert "Autres mots" not in body


def test_doubts_are_told_from_what_speaks_for_a_text():
    """Over every labelled sample: all quotes of a review raise a doubt, none of an acceptance does."""
    reviewer = embedded_reviewer()
    for sample in load_samples():
        found = reviewer.validate(sample.contribution)
        doubts = {raises_doubt(evidence) for evidence in found.evidence}
        assert doubts <= {found.decision is not Decision.ACCEPT}, sample.sample_id


def test_words_of_no_article_are_marked_too():
    """A word that nobody knows raises a doubt and breaks nothing."""
    found = validation(quoted("banc", article=None, rule="mot.inhabituel"), decision="review")

    body = page.body(question(judged=found))

    assert "le ⟦**banc**⟧ du port" in body
    assert "Autres mots relevés : «\u00a0banc\u00a0»." in body


def test_an_unreadable_judgement_is_said_to_be_one():
    """No machine's word is made up where there is none."""
    assert "Rien : l'analyse n'a pas abouti" in page.body(question(judged=None))


def test_a_text_beyond_the_page_says_how_much_is_left_out():
    """A quarantined text may be longer than anybody reads."""
    assert "Suite non montrée : 48\u202f000\u00a0caractères." in page.body(question("a" * 60_000))


def test_a_hostile_text_is_only_words(reader):
    """No link, no picture, no HTML, no heading, no list, no code of the citizen's; no template either."""
    found = validation(quoted("![i](http", HOSTILE), quoted("**fort**", HOSTILE))
    before = earlier(ANNE, note=HOSTILE.replace("\n", " "))
    asked = question(HOSTILE, judged=found, kind="appeal", earlier=(before,), appeal=HOSTILE)

    tokens = list(read(reader, page.body(asked)))

    kinds = {token.type for token in tokens}
    assert not kinds & {
        "link_open",
        "image",
        "html_inline",
        "html_block",
        "fence",
        "code_block",
        "code_inline",
        "s_open",
        "hr",
        "ordered_list_open",
    }
    headings = [
        tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"
    ]
    assert headings == [
        "Ce que l'auteur conteste",
        "Le texte",
        "Pourquoi cette question",
        "Ce que dit la machine",
        "Déjà décidé",
        "Comment répondre",
    ]
    words = "".join(token.content for token in tokens if token.type == "text")
    for part in ("{{ 7*7 }}", "<img src=x onerror=alert(1)>", "[clic](javascript:alert(1))"):
        assert part in words
    assert "⟨U+202E⟩envers⟨U+200B⟩ ⟨U+E000⟩privé⟨U+E001⟩" in words


def test_no_bare_address_is_left_to_be_found(reader):
    """The UI makes links of addresses in what a reader of Markdown has already understood."""
    asked = question(HOSTILE, judged=validation(quoted("www.evil.example", HOSTILE)))

    words = "".join(token.content for token in read(reader, page.body(asked)))

    assert "evil.example" in words
    assert not re.search(r"https?://|www\.|[-.\w+]@", words, re.IGNORECASE)


def strong(reader, markdown):
    """List what stands in bold."""
    tokens, found, depth = list(read(reader, markdown)), [], 0
    for token in tokens:
        if token.type == "strong_open":
            depth, words = depth + 1, []
        elif token.type == "strong_close":
            depth -= 1
            found.append("".join(words))
        elif depth and token.type == "text":
            words.append(token.content)
    return found


@given(
    text=st.text(
        st.sampled_from("ab *_[](){}<>!#`~|\n'-1.@:/\\«é🙂\u0301"), min_size=1, max_size=60
    ),
    cuts=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=4),
)
def test_marking_loses_and_adds_no_word(reader, text, cuts):
    """Whatever is marked where, a reader of the page sees the text's own characters in their order."""
    spans = [(start, min(start + length, len(text))) for start, length in cuts if start < len(text)]
    evidence = [
        Evidence(rule="r", article=Article.SPAM, start=start, end=end, quote=text[start:end])
        for start, end in spans
    ]

    marked = page.highlighted(text, evidence)

    shown = "".join(token.content for token in read(reader, f"x {marked}") if token.type == "text")
    kept = re.sub(r"[\s⟦⟧\u2060]", "", shown)
    assert kept == "x" + re.sub(r"\s", "", visible(text))
    for token in read(reader, marked):
        assert token.type not in {"link_open", "image", "html_inline", "code_inline", "em_open"}


def test_the_marked_words_are_those_of_the_evidence(reader):
    """Across both parts, over a line's end, and overlapping."""
    constat, ideas = "Un\nidiot de maire", "Le virer"
    whole = f"{constat}\n\n{ideas}"
    spans = [quoted("Un\nidiot", whole), quoted("idiot de", whole), quoted("virer", whole)]

    body = page.body(question(constat, judged=validation(*spans), ideas=ideas))

    text = body.split("### Pourquoi")[0]
    assert [words for words in strong(reader, text) if words in whole] == [
        "Un",
        "idiot",
        "de",
        "virer",
    ]
