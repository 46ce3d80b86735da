import base64
import dataclasses
import hashlib
import json
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from include.contributions import report, wording
from include.contributions.model import STATES
from include.contributions.report import (
    AcceptedText,
    Case,
    CategoryCount,
    CategoryTexts,
    CitizenText,
    DayReport,
    Delay,
    Finding,
    HumanDecision,
    Measure,
    Notice,
    QuarantinedItem,
    SampleEvaluation,
    StepTime,
)
from include.pages import Listing

NOW = datetime(2025, 12, 22, 5, 0, tzinfo=UTC)
DAY = date(2025, 12, 21)
HOSTILE = (
    "<script>alert(1)</script> {{ 7*7 }} {% raw %} [x](javascript:alert(1)) "
    "<img src=x onerror=alert(1)> **gras** | `code` <!-- --> ]]> &amp; ![i](http://a.example/i.png) "
    "www.b.example"
    "\n\n# Titre\n1. un\n- deux\n> cité\n===\n```\n</div></section></style></details>\n\u202egauche"
)


def a_report(**changes):
    states = dict.fromkeys(STATES, 0) | {"accepted": 2, "review": 1}
    plain = DayReport(
        municipality="port-test", day=DAY, generated_at=NOW, states=states, submitted=3
    )
    return dataclasses.replace(plain, **changes)


def a_text(words, idees=""):
    return CitizenText("form:1", words, idees, len(words) + len(idees))


def full_of(words):
    """Build a report that shows the same words at every place where words from outside go."""
    text = dataclasses.replace(a_text(words, words), notes=(words,))
    case = Case(text, words, NOW, 60, words, words, (Finding(words, words, (words,)),), words)
    quarantined = tuple(
        QuarantinedItem(kind, words, words, words, words, words, NOW, words, words)
        for kind in ("record", "contribution")
    )
    accepted = AcceptedText(text, words, words, words, words, words)
    return a_report(
        states=dict.fromkeys(STATES, 1),
        submitted=6,
        categories=(CategoryCount(words, accepted=1),),
        accepted=(CategoryTexts(words, Listing((accepted,), 1)),),
        waiting=Listing((case,), 1),
        refusals=Listing((case,), 1),
        decisions=Listing((HumanDecision(text, words, words, words, words, NOW),), 1),
        quarantine=Listing(quarantined, 2),
        notices=(Notice(words, 2, words),),
        steps=(StepTime(words, 1, 0, 0, 0, 10, 10, 1, 100),),
        engines=(report.EngineVersion(words, words, 1),),
        evaluation=SampleEvaluation(
            words,
            words,
            1,
            passed=True,
            evaluated_at=NOW,
            received_on=DAY,
            measures=(Measure(words, words),),
        ),
        oldest_of_day=report.OldestOpen(words, words, DAY, NOW, 60),
        oldest_of_all=report.OldestOpen(words, words, DAY, NOW, 60),
    )


class Page(HTMLParser):
    """What a browser finds in a page: elements with their attributes, and the words."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.words = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)


def tags(html):
    return [tag for tag, _ in Page(html).elements]


@pytest.fixture(scope="module")
def markdown_reader():
    """A CommonMark reader that lets HTML and tables through, so that a leak would show."""
    markdown_it = pytest.importorskip("markdown_it", reason="needs a Markdown reader to judge by")
    return markdown_it.MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def test_a_hostile_text_is_only_words_in_html():
    """Whatever a citizen, a model or a file name says makes no element and no attribute."""
    page = Page(report.render_html(full_of(HOSTILE)))

    assert {"script", "img", "iframe", "object", "link", "form"}.isdisjoint(
        tag for tag, _ in page.elements
    )
    attributes = [(name, value) for _, attrs in page.elements for name, value in attrs.items()]
    assert not [name for name, _ in attributes if name.startswith("on") or name in {"src", "style"}]
    assert all(value.startswith("#") for name, value in attributes if name == "href")
    said = "".join(page.words)
    assert said.count(wording.visible(HOSTILE)) >= 12
    assert "49" not in said
    assert tags(report.render_html(full_of(HOSTILE))) == tags(
        report.render_html(full_of("mot " * 100))
    )


def test_a_hostile_text_is_only_words_in_markdown(markdown_reader):
    """A Markdown reader that allows HTML finds none, no link, no heading and no code of theirs."""
    page = report.render_markdown(full_of(HOSTILE))
    tokens = markdown_reader.parse(page)

    types = [token.type for token in tokens]
    inline = [child.type for token in tokens for child in token.children or ()]
    assert {"html_block", "fence", "code_block"}.isdisjoint(types)
    assert {"html_inline", "link_open", "image", "code_inline"}.isdisjoint(inline)
    assert "{{" not in page
    assert "://" not in page
    assert "www." not in page
    assert "<" not in re.sub(r"&#\d+;", "", page)
    headings = [
        t.content
        for t, before in zip(tokens[1:], tokens, strict=False)
        if before.type == "heading_open" and t.content.startswith("Titre")
    ]
    assert headings == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(words=st.text(max_size=60))
def test_no_text_changes_the_shape_of_a_page(words):
    """The elements of the page are the same for any words."""
    assert tags(report.render_html(a_report(notices=(Notice(words),)))) == tags(
        report.render_html(a_report(notices=(Notice("mot"),)))
    )


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    words=st.text(
        alphabet=st.one_of(st.sampled_from("\\`*_{}[]()<>#+-.!|~&$:@/=1 \nwa"), st.characters()),
        max_size=40,
    )
)
def test_markdown_says_any_words_back(markdown_reader, words):
    """A reader of the Markdown sees the very words, in one paragraph, and nothing else."""
    line = " ".join(wording.visible(words).split())
    assume(line)
    escaped = wording.markdown(line)

    tokens = markdown_reader.parse(escaped)

    assert [token.type for token in tokens] == ["paragraph_open", "inline", "paragraph_close"]
    children = tokens[1].children
    assert {child.type for child in children} <= {"text", "text_special"}
    assert "".join(child.content for child in children) == line


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        pytest.param("a\u202eb", "a⟨U+202E⟩b", id="right_to_left_override"),
        pytest.param("a\u2066b\u2069", "a⟨U+2066⟩b⟨U+2069⟩", id="isolate"),
        pytest.param("a\x1b[31m", "a⟨U+001B⟩[31m", id="terminal_escape"),
        pytest.param("a\u200bb", "a⟨U+200B⟩b", id="zero_width"),
        pytest.param("a\U000e0041", "a⟨U+E0041⟩", id="invisible_tag_letter"),
        pytest.param("a\ud800", "a⟨U+D800⟩", id="lone_surrogate"),
        pytest.param("a\r\nb\tc", "a\nb\tc", id="line_ends_and_tabs_stay"),
        pytest.param("👩\u200d👧 œuf", "👩\u200d👧 œuf", id="joined_signs_stay"),
        pytest.param("z" + "\u0301" * 50, "z" + "\u0301" * 4 + "⟨…⟩", id="piled_up_marks"),
    ],
)
def test_hidden_characters_are_shown(hidden, shown):
    """A character that hides or reorders words is named instead of obeyed."""
    assert wording.visible(hidden) == shown


def test_the_page_needs_nothing_else():
    """The policy forbids everything but the page's own style, whose hash is right."""
    html = report.render_html(full_of("mot"))
    policy = next(
        attrs["content"]
        for tag, attrs in Page(html).elements
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()

    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert "url(" not in style
    assert "@import" not in style
    assert html.count("<style") == 1


@pytest.mark.parametrize("render", [report.render_html, report.render_markdown])
def test_books_that_do_not_balance_are_loud(render):
    """A sum that is off, or a file entry that is missing, is the first thing on the page."""
    fine, one_lost, entry_lost = (
        render(a_report()).lower(),
        render(a_report(submitted=4)).lower(),
        render(a_report(file_entries=(5, 4))).lower(),
    )

    assert "comptes ne sont pas justes" not in fine
    assert "comptes ne sont pas justes" in one_lost
    assert "comptes ne sont pas justes" in entry_lost


@pytest.mark.parametrize("render", [report.render_html, report.render_markdown])
def test_a_long_list_says_how_much_it_leaves_out(render):
    """The page holds the first entries and the exact number of the others."""
    case = Case(a_text("Un banc."), None, NOW, 60, "accusation")
    states = dict.fromkeys(STATES, 0) | {"review": 100_000}
    page = render(
        a_report(states=states, submitted=100_000, waiting=Listing((case,) * 200, 100_000))
    )

    assert page.count("Un banc.") == 200
    assert "99\u202f800\u00a0autres" in page
    assert len(page) < 500_000


def test_a_text_that_is_cut_says_so():
    """Nobody takes the beginning of a text for the whole."""
    cut = CitizenText("form:1", "mot " * 3_000, "", 20_000)
    accepted = CategoryTexts("culture", Listing((AcceptedText(cut, "culture"),), 1))

    assert "8\u202f000\u00a0caractères" in report.render_html(a_report(accepted=(accepted,)))
    assert "8\u202f000\u00a0caractères" in report.render_markdown(a_report(accepted=(accepted,)))


@pytest.mark.parametrize(
    ("counts", "sentence"),
    [
        pytest.param({}, "Aucune contribution n'a été reçue ce jour.", id="empty"),
        pytest.param({"accepted": 1}, "1 contribution reçue : 1 acceptée.", id="one"),
        pytest.param(
            {"accepted": 1200, "review": 2, "refusal_proposed": 1, "refused": 1, "pending": 4},
            "1 208 contributions reçues : 1 200 acceptées, 3 attendent une personne, 1 refusée, "
            "4 pas encore analysées.",
            id="many",
        ),
        pytest.param(
            {"quarantined": 2}, "2 contributions reçues : 2 mises de côté.", id="quarantined_only"
        ),
    ],
)
def test_headline(counts, sentence):
    """One sentence says the day, without what did not happen."""
    day = a_report(states=dict.fromkeys(STATES, 0) | counts, submitted=sum(counts.values()))

    assert re.sub(r"\s", " ", report.headline(day)) == sentence


def test_the_chart_is_to_scale_and_has_words():
    """Bars share one unit, fit the drawing, and the same figures stand in words and in a table."""
    counts = report.ordered_categories(
        {
            "culture": CategoryCount("culture", accepted=30, waiting=10),
            None: CategoryCount(None, other=20),
            "inconnue": CategoryCount("inconnue", accepted=1),
        }
    )
    bars = {bar.label: bar for bar in report.chart(a_report(categories=counts))}
    html = report.render_html(a_report(categories=counts))

    culture = bars["Culture et patrimoine"]
    assert culture.accepted + culture.waiting == pytest.approx(report.BAR_WIDTH)
    assert culture.accepted == pytest.approx(3 * culture.waiting)
    assert bars["Non classée"].other == pytest.approx(report.BAR_WIDTH / 2)
    assert len(bars) == 9
    assert "Culture et patrimoine : 40, " in html
    assert (
        '<th scope="row">Culture et patrimoine</th><td><b>40</b></td><td>30</td><td>10</td>' in html
    )


def test_figures_are_plain_json():
    """What the ledger keeps of a report is numbers under the names of the run's summary."""
    figures = report.figures_of(full_of("mot"))

    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    assert {state: figures[state] for state in STATES} == dict.fromkeys(STATES, 1)
    assert figures["loaded"] == figures["sum"] == 6
    assert figures["balanced"] is True
    assert report.figures_of(a_report(submitted=4))["balanced"] is False


def test_writing_twice_gives_the_same_files(tmp_path):
    """The same report is the same bytes; nothing else is left in the folder."""
    first = report.write(full_of(HOSTILE), tmp_path / "reports")
    before = first.html.read_bytes(), first.markdown.read_bytes()
    second = report.write(full_of(HOSTILE), tmp_path / "reports")

    assert (second.html.read_bytes(), second.markdown.read_bytes()) == before
    assert sorted(path.name for path in (tmp_path / "reports").iterdir()) == [
        "2025-12-21.html",
        "2025-12-21.md",
    ]


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    """When the disk refuses, readers keep the page they had, whole."""
    files = report.write(a_report(), tmp_path)
    before = files.html.read_bytes()

    def full_disk(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        report.write(full_of("autre"), tmp_path)

    assert files.html.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_town_says_its_reasons_in_its_own_words():
    """Review reasons come from the town's charter file; another town falls back to the code."""
    case = Case(a_text("Un banc."), None, NOW, 60, "personne_nommee")
    here = a_report(municipality="audierne-esquibien", waiting=Listing((case,), 1))
    elsewhere = dataclasses.replace(here, municipality="../audierne-esquibien")

    assert "Une personne est nommée." in report.render_html(here)
    assert "Personne nommee." in report.render_html(elsewhere)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        pytest.param("process_died", "s&#39;est arrêté net", id="process_died"),
        pytest.param("UnreadableAnswerError", "n&#39;était pas lisible", id="known_error"),
        pytest.param("KeyError", "que le programme n&#39;avait pas prévue", id="unforeseen"),
    ],
)
def test_a_failed_analysis_is_told_in_french_and_its_error_as_a_detail(code, words):
    """A clerk reads what happened; the English of the program is there for who asks for it."""
    item = QuarantinedItem(
        "contribution", "form", "1", code, "validate: it failed", "", NOW, "form:1", "validate"
    )
    page = a_report(quarantine=Listing((item,), 1))

    html = report.render_html(page)

    assert "L'analyse a échoué à l'étape validate</b> : " in html
    assert words in html
    technical = re.search(r"<details><summary>Détail technique</summary>(.*?)</details>", html)
    assert f"{code} · validate: it failed" in technical[1]
    assert html.count("it failed") == 1
    told, detail = [
        line for line in report.render_markdown(page).splitlines() if line.startswith("  - ")
    ][:2]
    assert "L'analyse a échoué à l'étape validate : " in told
    assert "it failed" not in told
    assert detail.startswith("  - Détail technique : ")


def test_a_warning_keeps_its_technical_words_apart():
    """The sentence stands alone; what the program said folds away."""
    page = a_report(notices=(Notice("Étape split : une panne passagère", 2, "TransientError: x"),))

    html, markdown = report.render_html(page), report.render_markdown(page)

    assert '<p class="meta">TransientError: x</p></details>' in html
    assert (
        "- Étape split : une panne passagère (× 2)\n  - Détail technique : TransientError: x"
        in markdown
    )


@pytest.mark.parametrize("render", [report.render_html, report.render_markdown])
def test_an_entry_set_aside_names_its_file_and_not_the_machine(render):
    """The reader finds the file by its name and the reason in French."""
    item = QuarantinedItem(
        "record", "/srv/depots/mai.jsonl", "line 7", "no_text", "À compléter.", "", NOW
    )

    page = render(a_report(quarantine=Listing((item,), 1)))

    assert "mai.jsonl" in page
    assert "/srv/depots" not in page
    assert "aucun texte" in page
    assert "no_text" not in page.replace('title="no_text"', "")


@pytest.mark.parametrize("render", [report.render_html, report.render_markdown])
def test_both_delays_stand_beside_each_other(render):
    """Whoever reads the page sees whether texts that name a group wait longer."""
    delays = (
        Delay(names_group=True, waiting=2, median_since=NOW - timedelta(hours=3), oldest_since=NOW),
        Delay(names_group=False),
    )

    page = render(a_report(delays=delays))

    assert "groupe de personnes" in page
    assert "3\u00a0heures" in page
    assert "–" in page
    assert "groupe de personnes" not in render(a_report())
