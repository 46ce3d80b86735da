"""The page of an evaluation: what it says, where its points lie, and that no text on it does anything."""

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime
from html.parser import HTMLParser

import pytest

from include.contributions import evaluation_report
from include.contributions.evaluation_report import (
    DRIFT_HEIGHT,
    DRIFT_WIDTH,
    LEFT,
    SIDE,
    TOP,
    Bar,
    EvaluationReport,
    MissedCategory,
    ShownMistake,
    Week,
    bars_of,
    drift_lines,
    missed_categories_of,
    mistakes_of,
    reliability_marks,
    risk_line,
)
from include.contributions.model import Contribution, Decision
from include.contributions.samples import Sample
from include.contributions.scoring import Gate, Score, score_answers, wilson
from include.pages import Listing
from tests.unit.contributions.engines import SameForAll, sample

BAD = "<script>alert('x')</script> & {{ 7*7 }} \u202e <img src=x onerror=y>"


def share(value, n):
    return Score(value, n, *wilson(value, n))


def report(**changes):
    """A page with something in every part of it."""
    fields = {
        "evaluation_id": 7,
        "municipality": "audierne-esquibien",
        "engine": "embedded",
        "rubric_version": "embedded-1",
        "sample_count": 12,
        "passed": False,
        "created_at": datetime(2026, 1, 12, 5, tzinfo=UTC),
        "scores": {"leak": share(0.25, 8), "coverage": share(0.5, 4), "category_top1": share(1, 2)},
        "agreement_by_kind": {"clean": share(0.5, 4)},
        "top1_by_category": {"culture": share(1, 2)},
        "top2_by_category": {"culture": share(1, 2)},
        "leak_by_kind": {"spam": share(0.25, 8)},
        "bars": (Bar("leak", "at most", 0.05, share(0.25, 8)),),
        "reliability": ((0.8, share(0.5, 4)),),
        "curve": ((0.9, 0.5, 0.25),),
        "mistakes": Listing(
            (ShownMistake("s-1", "project", "spam", "accept", ("review",), 0.9, text="Achetez."),),
            1,
        ),
        "weeks": (Week(date(2026, 1, 5), "embedded-1", {"leak": share(0.25, 8)}),),
        "origins": {"project": 12, "person": 0},
    }
    return EvaluationReport(**{**fields, **changes})


class Tags(HTMLParser):
    """Collects what a browser would see as elements and attributes."""

    def __init__(self, page):
        super().__init__()
        self.seen = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def test_the_page_says_what_was_missed():
    page = evaluation_report.render(report())

    assert "Les seuils ne sont pas tenus" in page
    assert page.count('<tr class="missed">') == 1
    assert "25,0\u00a0%" in page
    assert "Achetez." in page
    assert evaluation_report.render(report()) == page, "the same report gives the same bytes"


def test_a_text_on_the_page_is_inert():
    """A script in a sample, a reasoning, a quote, an error, an id or a rubric stays a text."""
    shown = ShownMistake(
        BAD, "person", BAD, BAD, (BAD,), 0.9, BAD, text=BAD, reasoning=BAD, quotes=(BAD,)
    )
    page = evaluation_report.render(
        report(
            mistakes=Listing((shown,), 1),
            missed_categories=Listing((MissedCategory(BAD, (BAD,), (BAD,), BAD),), 1),
            rubric_version=BAD,
            engine=BAD,
            run=BAD,
            failed_tasks=(BAD,),
            leak_by_kind={BAD: share(0, 1)},
            scores={BAD: share(0, 1), "leak": share(0, 1)},
        )
    )

    tags = Tags(page).seen
    assert not {"script", "img", "iframe", "link", "object", "form"} & {tag for tag, _ in tags}
    assert not [name for _, attrs in tags for name in attrs if name.startswith("on")]
    assert "49" not in re.sub(r"[\d.,]{3,}", "", page[page.index("<body>") :])
    assert "\u202e" not in page
    assert "&lt;script&gt;" in page


def test_nothing_on_the_page_comes_from_elsewhere():
    page = evaluation_report.render(report())

    for _, attrs in Tags(page).seen:
        for name in ("src", "href", "xlink:href", "action"):
            assert not (attrs.get(name) or "").startswith(("http", "//")), attrs
    assert "@import" not in page
    assert "url(" not in page


def test_a_citizen_s_words_are_not_shown_without_the_right():
    hidden = ShownMistake("person:1", "person", "spam", "accept", ("review",), 0.9)

    page = evaluation_report.render(report(mistakes=Listing((hidden,), 1)))

    assert "texte d'un citoyen, non montré" in page.replace("&#39;", "'")
    assert "il faut le droit de lire les contributions" in page


def test_what_is_stored_of_mistakes_holds_no_citizen_s_words():
    """The project's words are kept, a citizen's stay in the ledger's contribution."""
    own = sample("spam", ("review",), sample_id="own", constat_factuel="Achetez mes fenêtres.")
    theirs = Sample.of_person(
        "person:1",
        Contribution("c", "Mot de citoyen."),
        Decision.REFUSAL_PROPOSED,
        "hors_sujet",
        "a person",
    )
    engine = SameForAll(Decision.ACCEPT)
    given = [
        evaluation_report_answer
        for each in (own, theirs)
        for evaluation_report_answer in asked(each, engine)
    ]
    card = score_answers([own, theirs], given, "double", "double-1", noise_levels=())

    kept = mistakes_of(card, [own, theirs], given)

    assert {each["sample_id"] for each in kept["mistakes"]} == {"own", "person:1"}
    assert "Achetez mes fenêtres." in json.dumps(kept, ensure_ascii=False)
    assert "Mot de ci" not in json.dumps(kept, ensure_ascii=False)
    assert missed_categories_of([own, theirs], given)["missed_category_count"] == 0


def asked(labelled, engine):
    from include.contributions.answers import ask, questions  # noqa: PLC0415 - one helper needs it

    return [ask(each, engine) for each in questions(labelled, ())]


def test_a_missed_category_is_listed():
    wrong = sample(categories=["culture"], sample_id="wrong", constat_factuel="La chapelle.")
    right = sample(categories=["economie"], sample_id="right", constat_factuel="Le marché.")
    given = [each for one in (wrong, right) for each in asked(one, SameForAll(Decision.ACCEPT))]

    found = missed_categories_of([wrong, right], given)

    assert found["missed_categories"] == [
        {
            "sample_id": "wrong",
            "expected": ["culture"],
            "got": ["economie"],
            "text": "La chapelle.",
        }
    ]


def test_points_lie_where_they_should():
    """Half of the answers right at 0.8: four fifths to the right, half way up."""
    (mark,) = reliability_marks([(0.8, share(0.5, 4))])

    assert (mark.x, mark.y) == (LEFT + 0.8 * SIDE, TOP + SIDE / 2)
    assert mark.low > mark.y > mark.high, "the whisker holds its point; y grows downwards"


@pytest.mark.parametrize(
    ("risk", "top"), [(0.0, 0.1), (0.05, 0.1), (0.2, 0.25), (0.5, 0.5), (0.8, 1.0)]
)
def test_the_curve_fills_its_frame(risk, top):
    """The scale is the smallest of a few that holds the worst risk."""
    line = risk_line([(0.9, 0.5, risk)])

    assert line.points == ((LEFT + SIDE / 2, round(TOP + (1 - risk / top) * SIDE, 2)),)


def test_weeks_lie_by_their_days_and_gaps_stay_gaps():
    weeks = [
        Week(date(2026, 1, 5), "a", {"leak": share(0, 5)}),
        Week(date(2026, 1, 12), "", {}),
        Week(date(2026, 2, 2), "b", {"leak": share(1, 5)}),
    ]

    leak = drift_lines(weeks)[0]

    assert leak.points == ((LEFT, TOP + DRIFT_HEIGHT), (DRIFT_WIDTH - 10, TOP))
    assert drift_lines([]) == ()


def test_bars_are_laid_beside_their_figures():
    """Missed ones first; people's texts only where there are enough."""
    gate = Gate(min_people=3)
    stored = {
        "scores": {name: list(bar) for name, bar in gate.bars().items()},
        "min_people": gate.min_people,
    }
    scores = {
        name: share(0 if side == "at most" else 1, 9) for name, (side, _) in gate.bars().items()
    }

    held = bars_of(stored, scores, {"leak": share(1, 2)})
    missed = bars_of(stored, scores, {"leak": share(1, 3)})

    assert all(bar.held for bar in held)
    assert (missed[0].name, missed[0].is_people, missed[0].held) == ("leak", True, False)
    assert not Bar("leak", "at most", 0.5, None).held
    assert bars_of({}, scores, {}) == ()


def test_short_ones_and_unjudged_ones_say_so():
    short = evaluation_report.render(
        report(is_short=True, bars=(), weeks=(), mistakes=Listing(), is_judged=False)
    )

    assert "Aucun seuil" in short
    assert "Courbe risque-couverture" not in short


def test_a_file_appears_whole(tmp_path):
    path = evaluation_report.write(report(), tmp_path / "evaluations")
    again = evaluation_report.write(replace(report(), passed=True), tmp_path / "evaluations")

    assert path == again
    assert path.name == "7.html"
    assert "Les seuils sont tenus" in path.read_text("utf-8")
    assert [each.name for each in path.parent.iterdir()] == ["7.html"]


def test_the_list_says_when_there_is_none():
    assert "evaluate_reviewer" in evaluation_report.render_list("audierne-esquibien", [])
