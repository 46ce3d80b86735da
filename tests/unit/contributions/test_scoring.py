import json
import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contributions.model import (
    Article,
    Category,
    Classification,
    Decision,
    Evidence,
    Validation,
    Violation,
)
from include.contributions.scoring import (
    KINDS,
    Gate,
    Sample,
    Score,
    load_samples,
    score_reviewer,
    wilson,
)
from include.errors import ConfigurationError, PermanentError

SAMPLES = load_samples()
BY_TEXT = {(s.constat_factuel, s.idees_ameliorations): s for s in SAMPLES}


def answer(contribution, decision, confidence, engine="double"):
    """A consistent validation of any outcome, quoting the first ten characters."""
    quote = contribution.text[:10]
    refused = decision is Decision.REFUSAL_PROPOSED
    return Validation(
        decision=decision,
        is_valid={Decision.ACCEPT: True, Decision.REFUSAL_PROPOSED: False}.get(decision),
        violations=(Violation(article=Article.SPAM, message="Publicité."),) if refused else (),
        encouraged_aspects=("proposition",) if decision is Decision.ACCEPT else (),
        reasoning="Selon la règle.",
        confidence=confidence,
        assessed={},
        evidence=(Evidence(rule="first", start=0, end=len(quote), quote=quote),),
        review_reason="asked" if decision is Decision.REVIEW else None,
        engine=engine,
        rubric_version="double-1",
    )


def subject(category, second=None):
    """A classification by the double."""
    return Classification(
        category=category,
        second_category=second,
        reasoning="Selon la règle.",
        confidence=0.9,
        engine="double",
        rubric_version="double-1",
    )


class SameForAll:
    """Gives every text one outcome and one category."""

    engine = "double"
    rubric_version = "double-1"

    def __init__(self, decision, confidence=0.9):
        self.decision = decision
        self.confidence = confidence

    def validate(self, contribution):
        return answer(contribution, self.decision, self.confidence)

    def classify(self, contribution):
        return subject(contribution.category or Category.ECONOMIE)


class KnowsTheAnswers(SameForAll):
    """Looks every text up: what a perfect engine would score."""

    def __init__(self):
        super().__init__(None, 1.0)

    def validate(self, contribution):
        sample = BY_TEXT[contribution.constat_factuel, contribution.idees_ameliorations]
        return answer(contribution, min(sample.expected_decisions), 1.0)

    def classify(self, contribution):
        sample = BY_TEXT[contribution.constat_factuel, contribution.idees_ameliorations]
        return subject(min(sample.expected_categories, default="undetermined"))


class Raises(SameForAll):
    """Never answers."""

    def validate(self, contribution):
        raise PermanentError(f"no rules for {contribution.contribution_id}")


def values(card):
    """The figures alone."""
    return {name: score.value for name, score in card.scores.items()}


def sample(kind="clean", expected=("accept",), categories=(), **changes):
    """One labelled text."""
    fields = {
        "sample_id": "s",
        "constat_factuel": "Le quai est cassé.",
        "kind": kind,
        "expected_decisions": list(expected),
        "expected_categories": list(categories),
        "provenance": "test",
    }
    return Sample.from_mapping({**fields, **changes})


def test_the_perfect_engine_passes():
    """Every score at its best, on the labelled texts of the repository."""
    card = score_reviewer(SAMPLES, KnowsTheAnswers())

    assert values(card) == {
        "leak": 0,
        "manipulation_accepted": 0,
        "clean_refusal_proposed": 0,
        "trap_refusal_proposed": 0,
        "coverage": 1,
        "outcome_agreement": 1,
        "category_top1": 1,
        "category_top2": 1,
        "brier": 0,
        "ece": 0,
        "output_format": 1,
        "evidence_faithful": 1,
        "failed": 0,
    }
    assert Gate().verdict(card).passed
    assert card.mistakes == ()


def test_always_accepting_fails():
    """It leaks everything, and is as wrong as it is sure."""
    card = score_reviewer(SAMPLES, SameForAll(Decision.ACCEPT))

    found, verdict = values(card), Gate().verdict(card)
    assert (found["leak"], found["manipulation_accepted"], found["coverage"]) == (1, 1, 1)
    assert found["outcome_agreement"] < 0.6
    assert found["brier"] > 0.35
    assert found["ece"] > 0.35
    assert not verdict.passed
    assert [reason.split()[0] for reason in verdict.reasons] == ["leak", "manipulation_accepted"]


def test_always_refusing_fails():
    """It leaks nothing and settles nothing."""
    card = score_reviewer(SAMPLES, SameForAll(Decision.REFUSAL_PROPOSED))

    found, verdict = values(card), Gate().verdict(card)
    assert (found["leak"], found["clean_refusal_proposed"], found["coverage"]) == (0, 1, 0)
    assert found["trap_refusal_proposed"] == 1
    assert not verdict.passed
    assert [reason.split()[0] for reason in verdict.reasons] == [
        "clean_refusal_proposed",
        "coverage",
    ]


def test_always_asking_a_person_fails():
    """It is safe, makes no claim to calibrate, and is of no use."""
    card = score_reviewer(SAMPLES, SameForAll(Decision.REVIEW))

    assert values(card)["brier"] is None
    assert card.scores["ece"].n == 0
    assert [reason.split()[0] for reason in Gate().verdict(card).reasons] == ["coverage"]


def test_an_engine_cannot_improve_by_failing():
    """A row that raised counts against the engine in every score, and is never dropped."""
    card = score_reviewer(SAMPLES, Raises(Decision.ACCEPT))

    worst = {
        "leak": 1,
        "manipulation_accepted": 1,
        "clean_refusal_proposed": 1,
        "trap_refusal_proposed": 1,
        "coverage": 0,
        "outcome_agreement": 0,
        "category_top1": 0,
        "category_top2": 0,
        "brier": 1,
        "ece": 1,
        "output_format": 0,
        "evidence_faithful": 0,
        "failed": 1,
    }
    assert values(card) == worst
    assert card.scores["failed"].n == card.sample_count == len(SAMPLES)
    assert {mistake.got for mistake in card.mistakes} == {"failed"}
    assert not Gate().verdict(card).passed


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda _: None, id="nothing"),
        pytest.param(lambda _: {"decision": "accept"}, id="a_dictionary"),
        pytest.param(lambda good: good.model_copy(update={"confidence": math.nan}), id="nan"),
        pytest.param(lambda good: good.model_copy(update={"confidence": 7}), id="above_one"),
        pytest.param(lambda good: good.model_copy(update={"evidence": ()}), id="no_evidence"),
    ],
)
def test_an_answer_built_around_the_checks_is_a_failed_row(broken):
    """Whatever an engine hands back is checked again before it is counted."""

    class Careless(SameForAll):
        def validate(self, contribution):
            return broken(super().validate(contribution))

    card = score_reviewer([sample()], Careless(Decision.ACCEPT))

    assert values(card)["failed"] == 1
    assert values(card)["coverage"] == 0


def test_one_failed_row_keeps_the_gate_shut():
    """An engine that breaks on one text of many is not trusted with the day's work."""

    class BreaksOnce(KnowsTheAnswers):
        def validate(self, contribution):
            if contribution.contribution_id == "doubtful-003":
                raise ValueError("unforeseen")
            return super().validate(contribution)

    verdict = Gate().verdict(score_reviewer(SAMPLES, BreaksOnce()))

    assert [reason.split()[0] for reason in verdict.reasons] == ["failed", "evidence_faithful"]


def test_a_quote_that_is_not_in_the_text_is_found():
    """An engine that invents its evidence does not pass."""

    class Inventive(KnowsTheAnswers):
        def validate(self, contribution):
            good = super().validate(contribution)
            invented = Evidence(rule="first", start=0, end=3, quote="???")
            return good.model_copy(update={"evidence": (invented,)})

    card = score_reviewer(SAMPLES, Inventive())

    assert values(card)["evidence_faithful"] == 0
    assert not Gate().verdict(card).passed


def test_the_category_is_asked_for_without_the_declared_one():
    """Reading the answer off the form does not count as knowing it."""
    told = sample(categories=["culture"], declared_category="culture")

    card = score_reviewer([told], SameForAll(Decision.ACCEPT))

    assert values(card)["category_top1"] == 0


def test_a_second_category_counts_for_top_2_only():
    """Top-2 asks whether either of the two is right."""

    class Second(SameForAll):
        def classify(self, _contribution):
            return subject(Category.LOGEMENT, Category.CULTURE)

    found = values(score_reviewer([sample(categories=["culture"])], Second(Decision.ACCEPT)))

    assert (found["category_top1"], found["category_top2"]) == (0, 1)


def test_calibration_of_a_known_case():
    """Eight of ten right at 0.9: Brier 0.8 * 0.01 + 0.2 * 0.81, calibration error 0.1."""
    rows = [sample(sample_id=str(n)) for n in range(8)]
    rows += [sample("spam", ("review",), sample_id=str(n)) for n in range(8, 10)]

    card = score_reviewer(rows, SameForAll(Decision.ACCEPT, 0.9))

    assert card.scores["brier"].value == pytest.approx(0.17)
    assert card.scores["ece"].value == pytest.approx(0.1)
    assert card.scores["brier"].n == 10


@pytest.mark.parametrize(
    ("share", "n", "low", "high"),
    [(0.5, 10, 0.2366, 0.7634), (0.0, 10, 0.0, 0.2775), (1.0, 10, 0.7225, 1.0)],
)
def test_wilson_agrees_with_published_figures(share, n, low, high):
    """The 95 % intervals of 5, 0 and 10 out of 10."""
    assert wilson(share, n) == (low, high)


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_an_interval_holds_its_share(n, share):
    """Bounded by 0 and 1, around the share, at any size."""
    low, high = wilson(share, n)

    assert 0 <= low <= share + 1e-4
    assert share - 1e-4 <= high <= 1


def test_a_gate_can_be_moved():
    """Every bar is adjustable, and a reason gives figure, count and bar."""
    card = score_reviewer(SAMPLES, SameForAll(Decision.ACCEPT))

    assert Gate(max_leak=1, max_manipulation_accepted=1).verdict(card).passed
    assert "leak is 1 over 55 samples, above 0.05" in Gate().verdict(card).reasons


def test_what_was_not_measured_does_not_pass():
    """No samples, or none of a kind, is a reason of its own."""
    nothing = Gate().verdict(score_reviewer([], KnowsTheAnswers()))
    clean_only = Gate().verdict(
        score_reviewer([s for s in SAMPLES if s.kind == "clean"], KnowsTheAnswers())
    )

    assert len(nothing.reasons) == 6
    assert clean_only.reasons == (
        "leak was not measured: no sample of that kind",
        "manipulation_accepted was not measured: no sample of that kind",
    )


@pytest.mark.parametrize("name", ["leak", "coverage"])
def test_a_figure_that_is_no_number_does_not_pass(name):
    """NaN compares false with everything, so no bar is held."""
    scores = dict(score_reviewer(SAMPLES, KnowsTheAnswers()).scores)
    scores[name] = Score(math.nan, 10, 0, 1)

    assert len(Gate().reasons(scores)) == 1


@pytest.mark.parametrize("reviewer", [KnowsTheAnswers(), Raises(None), SameForAll(Decision.ACCEPT)])
def test_a_scorecard_is_a_docket(reviewer):
    """Plain JSON with finite numbers, under 8 KB even when everything is a mistake."""
    plain = score_reviewer(SAMPLES, reviewer).as_dict()

    text = json.dumps(plain, allow_nan=False)

    assert json.loads(text) == plain
    assert len(text.encode()) < 8192
    assert plain["mistake_count"] >= len(plain["mistakes"])


def test_scoring_twice_gives_the_same_card():
    """The same samples and rubric give the same figures, in any order."""
    reviewer = SameForAll(Decision.REFUSAL_PROPOSED)

    first = score_reviewer(SAMPLES, reviewer)

    assert score_reviewer(SAMPLES, reviewer) == first
    assert score_reviewer(reversed(SAMPLES), reviewer).scores == first.scores


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "unknown"},
        {"expected_decisions": []},
        {"expected_decisions": ["maybe"]},
        {"expected_categories": ["sport"]},
        {"declared_category": "sport"},
        {"provenance": None, "kind": ["clean"]},
    ],
)
def test_a_wrong_label_is_refused(changes):
    """A label nobody can meet would make every engine look bad."""
    with pytest.raises(ConfigurationError, match="labelled sample"):
        sample(**changes)


@pytest.mark.parametrize("text", ["[1]\n", "{not json}\n", "\xff"])
def test_an_unreadable_file_of_samples_is_named(text, tmp_path):
    """The error says which file or line."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(ConfigurationError, match="labelled sample"):
        load_samples(path)


def test_a_sample_id_comes_once(tmp_path):
    """Two samples of one id would overwrite each other in the ledger."""
    line = json.dumps(
        {
            "sample_id": "s",
            "constat_factuel": "Le quai.",
            "kind": "clean",
            "expected_decisions": ["accept"],
            "expected_categories": [],
            "provenance": "test",
        }
    )
    (tmp_path / "twice.jsonl").write_text(f"{line}\n{line}\n", encoding="utf-8")

    with pytest.raises(ConfigurationError, match="comes twice"):
        load_samples(tmp_path / "twice.jsonl")


def test_the_labelled_texts_cover_every_kind_and_category():
    """At least 120, at least eight of each kind and six of each category, none written twice."""
    kinds = Counter(sample.kind for sample in SAMPLES)
    clean = [sample for sample in SAMPLES if sample.kind == "clean"]
    categories = Counter(name for sample in clean for name in sample.expected_categories)

    assert len(SAMPLES) >= 120
    assert len(BY_TEXT) == len(SAMPLES)
    assert min(kinds[kind] for kind in KINDS) >= 8
    assert min(categories[category] for category in Category) >= 6
    assert all(sample.provenance for sample in SAMPLES)


def test_labels_keep_the_laws():
    """No violation and no manipulation may be accepted, and no clean text refused."""
    for labelled in SAMPLES:
        if labelled.kind in ("clean", "licit_trap"):
            assert Decision.ACCEPT in labelled.expected_decisions, labelled.sample_id
            assert Decision.REFUSAL_PROPOSED not in labelled.expected_decisions
        elif labelled.kind != "doubtful":
            assert Decision.ACCEPT not in labelled.expected_decisions, labelled.sample_id
            assert Decision.REVIEW in labelled.expected_decisions, labelled.sample_id
