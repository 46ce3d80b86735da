"""The tasks of evaluate_reviewer: nothing asked twice, failures count, the gate is red, nothing leaks."""

import json
import math

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException

from include.contributions.answers import Answer
from include.contributions.model import Decision
from include.contributions.samples import load_all
from include.contributions.scoring import Gate
from include.errors import (
    ProcessingError,
    ProviderUnavailableError,
    ReviewerBelowGateError,
    RubricChangedError,
)
from participation import evaluation_tasks, steps
from participation.ledger.drift import LedgerDrift
from tests.plugins.evaluating import OWN, TOWN, stored
from tests.unit.contributions.engines import KnowsTheAnswers, SameForAll

pytestmark = pytest.mark.postgres


def test_a_perfect_engine_passes_and_its_page_is_there(do, engine, ledger, tmp_path):
    told = do.whole()

    row = stored(ledger)
    assert told == {"evaluation_id": row.evaluation_id, "bars": 6, "passed": True}
    assert (row.passed, row.reasons, row.sample_count) == (True, [], 3)
    page = (tmp_path / "evaluations" / f"{row.evaluation_id}.html").read_text("utf-8")
    assert "Les seuils sont tenus" in page
    assert (tmp_path / "evaluations" / f"{row.evaluation_id}.html").stat().st_mode & 0o777 == 0o640


def test_an_engine_that_accepts_everything_is_stopped(do, engine, ledger, tmp_path):
    """The run is red with each figure and its bar, and the page is written all the same."""
    engine(SameForAll(Decision.ACCEPT))

    with pytest.raises(ProcessingError, match=r"leak is 1 over 1 samples, above 0\.05") as caught:
        do.whole()

    assert isinstance(caught.value.cause, ReviewerBelowGateError)
    row = stored(ledger)
    assert not row.passed
    assert any("manipulation_accepted is 1" in reason for reason in row.reasons)
    page = (tmp_path / "evaluations" / f"{row.evaluation_id}.html").read_text("utf-8")
    assert "ne doit pas juger seul" in page
    assert page.count('<tr class="missed">') == 2


class Garbage(SameForAll):
    """Answers what no contract knows."""

    def __init__(self, broken):
        super().__init__(Decision.ACCEPT)
        self.broken = broken

    def validate(self, contribution):
        return self.broken(super().validate(contribution))


GARBAGE = {
    "nothing": lambda _: None,
    "nan": lambda good: good.model_copy(update={"confidence": math.nan}),
    "nul": lambda good: good.model_copy(update={"reasoning": "a\0b"}),
    "half_a_character": lambda good: good.model_copy(update={"reasoning": "a\ud800"}),
    "raises": lambda _: 1 / 0,
}


@pytest.mark.parametrize("broken", GARBAGE.values(), ids=GARBAGE)
def test_an_engine_that_answers_garbage_is_stopped(do, engine, ledger, broken):
    """What cannot be read or stored is a failed row, and a failed row counts in every score."""
    engine(Garbage(broken))

    with pytest.raises(ProcessingError, match="failed is 1 over 3 samples, above 0"):
        do.whole()

    scores = stored(ledger).scores["scores"]
    assert (scores["leak"]["value"], scores["coverage"]["value"]) == (1, 0)
    assert scores["noise_10_leak"]["value"] == 1
    assert ledger.execute("SELECT count(*) FROM sample_answer WHERE error IS NULL").fetchone() == (
        1,  # the category of the one sample that has one, asked without a validation
    )


def test_a_chunk_that_was_never_asked_counts_as_failed(do, engine, ledger, instance):
    """Scoring goes on without it, and the gate names the task."""
    do.collect()
    do("score")
    instance.states = {"run_engine_0": "failed", "collect": "success"}

    with pytest.raises(ProcessingError, match=r"failed is 1 over 3.*tasks .* failed: run_engine_0"):
        do("judge", Gate())

    assert stored(ledger).scores["scores"]["failed"]["value"] == 1
    assert {each["error"] for each in stored(ledger).details["mistakes"]} == {"no answer"}


def test_a_failed_task_makes_the_gate_red_whatever_the_scores(do, engine, instance):
    do("run_engine", do.collect()[0])
    do("score")
    instance.states = {"run_engine_0": "failed"}

    with pytest.raises(ProcessingError, match="tasks of this run failed: run_engine_0"):
        do("judge", Gate(min_coverage=0))


def test_what_no_gate_has_judged_has_not_passed(do, engine, ledger):
    do("run_engine", do.collect()[0])
    do("score")

    assert (stored(ledger).passed, stored(ledger).reasons) == (False, ["no gate has judged it yet"])


def test_nothing_is_asked_twice(do, engine, ledger, instance):
    """A crash in the middle, a second run, a clear: each question is put once under a rubric."""
    asked = []

    class Counted(KnowsTheAnswers):
        def validate(self, contribution):
            asked.append(contribution.text)
            if len(asked) == 5:
                raise KeyboardInterrupt
            return super().validate(contribution)

    engine(Counted(OWN))
    (chunk,) = do.collect()
    with pytest.raises(KeyboardInterrupt):
        do("run_engine", chunk)
    instance.try_number = 2
    told = do("run_engine", chunk)
    instance.run_id = "run-2"
    (again,) = do.collect()

    with pytest.raises(AirflowSkipException, match="answered samples 1 to 3 already"):
        do("run_engine", again)

    assert told["stored"] == 13 - 5
    assert len(asked) == 12 + 1, "the one that was cut off is asked again"
    assert ledger.execute(
        "SELECT count(*), count(DISTINCT run_id) FROM sample_answer"
    ).fetchone() == (
        13,
        1,
    )


def test_another_rubric_is_another_question(do, engine, ledger):
    do("run_engine", do.collect()[0])
    newer = engine(KnowsTheAnswers(OWN))
    newer.rubric_version = "double-2"

    with pytest.raises(ProcessingError, match="start a new run") as caught:
        do("run_engine", {"chunk": 0, "first": 0, "last": 3})

    assert isinstance(caught.value.cause, RubricChangedError)
    assert do("run_engine", do.collect()[0])["stored"] == 13


def test_what_passes_by_itself_is_tried_again_and_then_counts(do, engine, ledger, instance):
    """While an attempt follows it fails the task; on the last it is a failed row; no retry of that."""

    class Away(KnowsTheAnswers):
        def validate(self, contribution):
            raise ProviderUnavailableError("503")

    engine(Away(OWN))
    (chunk,) = do.collect()
    instance.max_tries, instance.try_number = 1, 1
    with pytest.raises(ProcessingError, match="503"):
        do("run_engine", chunk)
    instance.try_number = 2

    assert do("run_engine", chunk)["failed"] == 12
    engine(KnowsTheAnswers(OWN))
    with pytest.raises(AirflowSkipException):
        do("run_engine", chunk)
    instance.run_id = "run-2"
    assert do("run_engine", do.collect()[0])["stored"] == 12, "another run asks again"


def test_a_late_copy_changes_no_answer(do, engine, ledger, instance):
    """What was answered stands; a failure does not give way to its own run."""
    do("run_engine", do.collect()[0])
    before = ledger.execute("SELECT * FROM sample_answer ORDER BY 1, 2, 3").fetchall()
    keys = ledger.execute("SELECT sample_id, variant, input_hash FROM sample_answer").fetchall()
    with steps.visit("run_engine") as here:
        store = evaluation_tasks._samples(here)
        changed = store.add_answers((Answer(*key, error="late") for key in keys), "x", "double-1")

    assert changed == 0
    assert ledger.execute("SELECT * FROM sample_answer ORDER BY 1, 2, 3").fetchall() == before


def test_people_s_answers_are_samples_and_stay_apart(do, engine, ledger, decide):
    """With their provenance, and counted by origin; they do not move the project's own scores."""
    decide(0, "accepted")
    decide(1, "refused", reason="spam_ou_publicite")
    engine(SameForAll(Decision.ACCEPT))

    (chunk,) = do.collect()
    do("run_engine", chunk)
    told = do("score")

    assert (chunk["project"], chunk["person"]) == (3, 2)
    assert told["origins"] == {"project": 3, "person": 2}
    people = stored(ledger).details["by_origin"]["person"]
    assert (people["leak"]["value"], people["leak"]["n"]) == (1, 1)
    assert (people["coverage"]["value"], people["coverage"]["n"]) == (1, 1)
    assert stored(ledger).scores["scores"]["leak"]["n"] == 1


def test_leaks_on_people_s_texts_close_the_gate_when_there_are_enough(do, engine, decide):
    decide(0, "refused", reason="spam_ou_publicite")

    class LeaksCitizens(KnowsTheAnswers):
        def validate(self, contribution):
            if contribution.contribution_id.startswith("person:"):
                return SameForAll(Decision.ACCEPT).validate(contribution)
            return super().validate(contribution)

    engine(LeaksCitizens(OWN))
    assert do.whole()["passed"]

    with pytest.raises(ProcessingError, match="people's answers: leak is 1 over 1 samples"):
        do("judge", Gate(min_coverage=0, min_people=1))


def test_the_machine_s_own_answers_are_never_samples(do, engine, ledger, decide):
    """What it accepted, what an engine signed, what was superseded or says something else: none."""
    decide(0, "accepted", decided_by="embedded")
    decide(1, "refused")
    decide(1, "accepted")
    decide(2, "review")
    mislabelled = decide(3, "accepted")
    ledger.execute(
        "UPDATE labelled_sample SET expected_decision = 'refusal_proposed' WHERE decision_id = %s",
        (mislabelled,),
    )
    ledger.execute("UPDATE contribution SET state = 'accepted' WHERE contribution_id = 'a:4'")

    with steps.visit("collect") as here:
        found = evaluation_tasks._samples(here).of_people(100)

    assert [(each.contribution.text[:12], each.kind) for each in found] == [
        ("Le banc a1 d", "clean")
    ]
    assert "personne" in found[0].provenance


def test_a_run_keeps_the_samples_it_began_with(do, engine, ledger, decide):
    """What a person decides meanwhile counts in the next run."""
    decide(0, "accepted")
    (chunk,) = do.collect()
    decide(0, "refused")
    decide(1, "accepted")

    do("run_engine", chunk)

    assert do("score")["origins"] == {"project": 3, "person": 1}


def test_scoring_twice_has_scored_once(do, engine, ledger):
    do.whole()
    first = stored(ledger).evaluation_id
    do("score")

    assert stored(ledger).evaluation_id == first
    assert not stored(ledger).passed, "the gate judges again"
    assert ledger.execute("SELECT count(*) FROM evaluation").fetchone() == (1,)


def test_overruled_by_hand_count(do, ledger, decide):
    """Of two acceptances one overruled, of three refusals one; questions are no proposals."""
    decide(0, "accepted", machine="accept")
    decide(1, "refused", machine="accept")
    decide(2, "refused", machine="refusal_proposed")
    decide(3, "refused", machine="refusal_proposed")
    decide(4, "accepted", machine="refusal_proposed")
    decide(5, "accepted", machine="review")

    found = LedgerDrift(ledger, TOWN).overruled()

    assert (found["overruled"].value, found["overruled"].n) == (0.4, 5)
    assert (found["overruled_acceptance"].value, found["overruled_acceptance"].n) == (0.5, 2)
    assert (found["overruled_refusal"].value, found["overruled_refusal"].n) == (0.3333, 3)


def test_drift_by_week(do, engine, ledger, decide):
    """One line a week: what was scored last in it, and what was answered to the texts of it."""
    decide(0, "accepted", machine="accept")
    decide(1, "accepted", machine="review")
    ledger.execute("UPDATE step_result SET created_at = now()")
    do.whole()
    ledger.execute(
        "INSERT INTO evaluation (municipality, engine, rubric_version, sample_count, scores, passed,"
        " created_at) VALUES (%s, 'e', 'old', 1, %s, true, now() - interval '8 days')",
        (TOWN, json.dumps({"scores": {"leak": {"value": 0.2, "n": 5, "low": 0, "high": 1}}})),
    )

    weeks = LedgerDrift(ledger, TOWN).weeks(upto=100)

    received = next(week for week in weeks if str(week.week) == "2026-01-12")
    assert (received.outcomes["accept"].value, received.outcomes["accept"].n) == (0.5, 2)
    scored = [week for week in weeks if week.scores]
    assert [week.rubric_version for week in scored] == ["old", "double-1"]
    assert scored[0].scores["leak"].value == 0.2


def test_without_scores_there_is_nothing_to_show(do, engine):
    with pytest.raises(AirflowSkipException, match="scored nothing"):
        do("publish_page")
    with pytest.raises(ProcessingError, match="never fixed: see collect"):
        do("score")


def test_the_embedded_engine_on_everything(do, ledger, tmp_path, decide):
    """The real thing once: every sample, every question, every figure with its count."""
    decide(0, "accepted")
    chunks = do.collect(chunk_size=100)
    for chunk in chunks:
        do("run_engine", chunk)
    told = do("score")
    do("publish_page")

    scores = stored(ledger).scores["scores"]
    assert told["sample_count"] == len(load_all()) + 1
    assert all((each["value"] is None) == (each["low"] is None) for each in scores.values()), (
        "each figure has its interval"
    )
    assert scores["failed"]["value"] == 0
    assert scores["evidence_faithful"]["value"] == 1
    assert scores["group_coverage"]["n"] >= 20
    assert scores["latency_p95_ms"]["n"] == len([s for s in load_all() if s.kind != "paired"])
