"""A day judged by the rules and a model: crash, outage, budget, and the way back, in the ledger."""

import json
import logging
from datetime import date, timedelta
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors

from include.contributions import scoring
from include.contributions.reviewer import embedded_reviewer
from include.errors import CircuitOpenError, ConfigurationError, ProcessingError
from participation import contribution_tasks, reviewing, steps, wording_tasks
from participation.defaults import ParticipationRetryPolicy
from participation.ledger import figures
from participation.ledger.chunk_store import ChunkResults
from participation.ledger.outages import rules_alone
from participation.ledger.overview import LedgerOverview
from participation.settings import Settings
from tests.stub_provider import KEY, Provider, completion, opinion, send, status

pytestmark = pytest.mark.postgres

DAY = date(2026, 1, 12)
RULES = embedded_reviewer().rubric_version
STEPS = ("validate", "classify", "evaluate")


@pytest.fixture
def run(instance):
    """Run steps of a day as tasks; each in a run of its own name when asked."""

    def split(run_id="run-1"):
        instance.run_id, instance.task_id, instance.try_number = run_id, "split", 1
        with steps.visit("split") as here:
            return contribution_tasks.split_work(here, DAY)

    def judge(chunk_id, step, *, last=False):
        instance.task_id = f"judge.{step}"
        instance.try_number += 1
        instance.max_tries = 0 if last else 99
        with steps.visit(step) as here:
            return contribution_tasks.judge(here, chunk_id, step)

    def finish():
        instance.task_id, instance.try_number = "settle", 1
        with steps.visit("settle") as here:
            contribution_tasks.settle_states(here, OutletEventAccessors())
        instance.task_id = "reconcile"
        with steps.visit("reconcile") as here:
            return contribution_tasks.reconcile_run(here, DAY)

    def whole(run_id="run-1", *, last=False):
        for chunk_id in split(run_id):
            for step in STEPS:
                judge(chunk_id, step, last=last)
        return finish()

    run = whole
    run.split, run.judge, run.finish = split, judge, finish
    return run


def states(ledger):
    return dict(
        ledger.execute(
            "SELECT state || ' ' || CASE WHEN state_rubric LIKE 'model-%' THEN 'by model'"
            " WHEN state_rubric LIKE '%-alone' THEN 'alone' ELSE 'by rules' END, count(*)::int"
            " FROM contribution GROUP BY 1"
        ).fetchall()
    )


def texts_asked(provider):
    return [json.loads(each["messages"][-1]["content"])["texte"] for each in provider.requests]


def test_a_day_is_judged_by_both_and_every_result_says_by_whom(
    ledger, fill, run, connect_model, provider
):
    connect_model(input_eur_per_million=1, output_eur_per_million=2)
    fill(ledger, count=6)

    books = run()

    assert states(ledger) == {"accepted by model": 6}
    assert books["totals"]["submitted"] == 6
    assert len(provider.requests) == 6, "one answer serves the charter and the subject"
    rows = ledger.execute(
        "SELECT step, engine, output -> 'model_use' ->> 'model',"
        " (output -> 'model_use' ->> 'cost_eur')::float8 FROM step_result"
    ).fetchall()
    assert {row for row in rows if row[0] != "evaluate"} == {
        ("validate", "model small-2026", "small-2026", 0.00014),
        ("classify", "model small-2026", "small-2026", 0.00014),
    }
    assert ledger.execute(
        "SELECT status, run_id, count(*)::int FROM provider_call GROUP BY 1, 2"
    ).fetchall() == [("answered", "run-1", 6)]
    with pytest.raises(AirflowSkipException, match="nothing to do"):
        run.split("run-2")


def test_without_a_connection_all_is_as_before(ledger, fill, run, connections, provider):
    fill(ledger, count=3)

    run()

    assert states(ledger) == {"accepted by rules": 3}
    rows = ledger.execute("SELECT engine, rubric_version, output FROM step_result").fetchall()
    assert {row[:2] for row in rows} == {("embedded", RULES)}
    assert not any("model_use" in row[2] for row in rows)
    assert provider.requests == []
    for table in ("model_answer", "provider_call", "provider_state", "provider_day"):
        assert ledger.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_a_crash_pays_only_for_the_rest(ledger, fill, run, connect_model, provider, monkeypatch):
    """A process that dies after some results: what was answered is never asked again."""
    count, stored = 12, []
    fill(ledger, count=count)
    (chunk_id,) = run.split()
    real = ChunkResults.save

    def dying(self, lease, step, answers, failures):
        answers = list(answers)
        stored.extend(answers)
        kept = real(self, lease, step, answers, failures)
        if len(stored) >= 5:
            raise SystemExit("killed")
        return kept

    monkeypatch.setattr(ChunkResults, "save", dying)
    monkeypatch.setattr(reviewing, "MODEL_SAVE_AFTER_S", 0.0)
    with pytest.raises(SystemExit):
        run.judge(chunk_id, "validate")
    monkeypatch.setattr(ChunkResults, "save", real)
    paid = {row[0] for row in ledger.execute("SELECT text_hash FROM model_answer").fetchall()}
    rows = ledger.execute("SELECT count(*) FROM step_result").fetchone()[0]
    before = len(provider.requests)
    for step in STEPS:
        run.judge(chunk_id, step)
    run.finish()

    assert 5 <= rows < count, "results are rows as they come, not at the end"
    assert len(paid) >= rows
    assert len(provider.requests) - before == count - len(paid)
    assert len(provider.requests) <= count + 2, "what was on its way when it died, and no more"
    assert states(ledger) == {"accepted by model": count}


def test_an_outage_is_waited_for_and_the_next_attempt_goes_on(
    ledger, fill, run, connect_model, provider
):
    """The task fails with an error that passes; what was answered before stays."""
    connect_model(max_concurrency=1)
    fill(ledger, count=8)
    (chunk_id,) = run.split()
    provider.faults = [None, None, None]
    provider.lasting = status(500)

    with pytest.raises(ProcessingError) as caught:
        run.judge(chunk_id, "validate")

    assert isinstance(caught.value.cause, CircuitOpenError)
    decision = ParticipationRetryPolicy().evaluate(caught.value, 1, 5)
    assert 0 < decision.retry_delay.total_seconds() <= 60
    before = len(provider.requests)
    answered = ledger.execute("SELECT count(*) FROM model_answer").fetchone()[0]
    provider.lasting = None
    ledger.execute("UPDATE provider_state SET open_until = now()")
    for step in STEPS:
        run.judge(chunk_id, step)
    run.finish()

    assert answered == 3
    totals = states(ledger)
    assert sum(totals.values()) == 8
    assert totals["accepted by model"] == 8 - totals.get("accepted alone", 0)
    assert totals.get("accepted alone", 0) <= 1, "what failed before the breaker opened"
    assert len(provider.requests) - before == totals["accepted by model"] - 3


def test_on_the_last_attempt_the_rules_stand_for_what_nobody_answered(
    ledger, fill, run, connect_model, provider
):
    """Under a rubric of their own, in books that balance; and they say so."""
    connect_model(max_concurrency=1)
    fill(ledger, count=8)
    (chunk_id,) = run.split()
    provider.faults = [None, None, None]
    provider.lasting = status(500)

    told = run.judge(chunk_id, "validate", last=True)
    for step in STEPS[1:]:
        run.judge(chunk_id, step, last=True)
    books = run.finish()

    assert (told["taken"], told["stored"], told["by_rules_alone"]) == (8, 8, 5)
    assert states(ledger) == {"accepted by model": 3, "accepted alone": 5}
    assert books["totals"]["submitted"] == 8
    alone = ledger.execute(
        "SELECT DISTINCT engine, rubric_version FROM step_result WHERE rubric_version LIKE '%-alone'"
    ).fetchall()
    assert alone == [("embedded, provider unavailable", f"{RULES}-alone")]


def test_once_a_provider_is_back_it_is_judged_again(ledger, fill, run, connect_model, provider):
    fill(ledger, count=4)
    provider.lasting = status(401)
    run(last=True)
    assert states(ledger) == {"accepted alone": 4}
    asked = len(provider.requests)

    # While nobody may be asked there is nothing to do, and nobody is asked.
    with pytest.raises(AirflowSkipException, match="-alone"):
        run.split("run-2")
    assert len(provider.requests) == asked

    provider.lasting = None
    ledger.execute("UPDATE provider_state SET open_until = now()")
    run("run-3")

    assert states(ledger) == {"accepted by model": 4}
    assert len(provider.requests) == asked + 4


def test_texts_of_past_days_that_no_model_judged_are_named_with_the_way_back(
    ledger, fill, run, connect_model, provider
):
    """Nothing judges a past day again by itself: overview and report say how many, and the command."""
    town = Settings().municipality
    fill(ledger, count=3)
    provider.lasting = status(401)
    run(last=True)

    command = LedgerOverview(ledger, town).read(with_documents=False).alone.backfill
    (notice,) = [
        each for each in figures.day_report(ledger, town, DAY).notices if each.detail == command
    ]

    assert notice.count == 3
    assert f"--from-date {DAY} --to-date {DAY}T23:59:59" in command
    assert rules_alone(ledger, "ailleurs") is None

    provider.lasting = None
    ledger.execute("UPDATE provider_state SET open_until = now()")
    run("run-2")

    assert rules_alone(ledger, town) is None
    assert LedgerOverview(ledger, town).read(with_documents=False).alone is None


def test_texts_of_today_are_judged_again_without_anybody(
    ledger, fill, run, connect_model, provider
):
    """Tomorrow's daily chain takes them: no operator is called."""
    fill(ledger, count=3)
    provider.lasting = status(401)
    run(last=True)
    assert rules_alone(ledger, Settings().municipality).texts == 3

    today = "(now() AT TIME ZONE 'Europe/Paris')::date"
    ledger.execute("SET session_replication_role = replica")
    ledger.execute(f"UPDATE contribution SET received_on = {today}")
    ledger.execute(f"UPDATE work_chunk SET days = ARRAY[{today}]")
    ledger.execute("SET session_replication_role = DEFAULT")

    assert rules_alone(ledger, Settings().municipality) is None


def test_an_outage_undoes_nothing_that_a_model_judged(ledger, fill, run, connect_model, provider):
    """A backfill, or the next run of the day, while nobody may be asked: the rules take the rest."""
    connect_model(max_concurrency=1)
    fill(ledger, count=4)
    (chunk_id,) = run.split()
    provider.faults = [None, None]
    provider.lasting = status(401)
    for step in STEPS:
        run.judge(chunk_id, step, last=True)
    run.finish()
    assert states(ledger) == {"accepted by model": 2, "accepted alone": 2}

    with pytest.raises(AirflowSkipException, match="nothing to do"):
        run.split("run-2")

    ledger.execute(
        "UPDATE contribution SET state = 'pending', state_rubric = NULL WHERE state_rubric LIKE '%-alone'"
    )
    run("run-3", last=True)

    assert states(ledger) == {"accepted by model": 2, "accepted alone": 2}


def test_a_refused_key_is_told_once_and_keeps_no_text_waiting(
    ledger, fill, run, connect_model, provider, caplog
):
    """401, 402 and a used-up quota: asking stops at once, the day goes on by the rules."""
    fill(ledger, count=10)
    (chunk_id,) = run.split()
    provider.lasting = status(401, b'{"error": {"message": "sk-a-very-secret-key is wrong"}}')

    with caplog.at_level(logging.ERROR):
        told = run.judge(chunk_id, "validate")
    for step in STEPS[1:]:
        run.judge(chunk_id, step)
    run.finish()

    assert told["by_rules_alone"] == 10
    assert len(provider.requests) <= 2, "those that were on their way"
    assert sum("is not asked for a while" in each.message for each in caplog.records) == 1
    assert states(ledger) == {"accepted alone": 10}
    assert KEY not in caplog.text
    dump = ledger.execute(
        "SELECT string_agg(c::text, '') FROM provider_call c, provider_state s"
    ).fetchone()
    assert KEY not in str(dump)


def test_a_budget_ends_before_it_is_passed_and_the_rest_is_judged_by_the_rules(
    ledger, fill, run, connect_model, provider
):
    fill(ledger, count=10)
    connect_model(max_concurrency=1, daily_budget_tokens=9_000)

    run()

    asked = len(provider.requests)
    charged = ledger.execute("SELECT charged_tokens FROM provider_day").fetchone()[0]
    assert 0 < asked < 10
    assert charged == asked * 120 <= 9_000
    assert states(ledger) == {"accepted by model": asked, "accepted alone": 10 - asked}

    ledger.execute("UPDATE provider_day SET called_on = called_on - 1")
    connect_model(max_concurrency=1, daily_budget_tokens=9_000)
    run("run-2")
    assert states(ledger)["accepted by model"] > asked


def test_the_second_connection_answers_where_the_first_is_down(
    ledger, fill, run, connect_model, provider
):
    second = Provider()
    connect_model(second.url, "llm_second")
    connect_model(fallback_conn_ids=["llm_second"])
    provider.lasting = status(503)
    fill(ledger, count=4)
    try:
        run()
    finally:
        second.close()

    assert states(ledger) == {"accepted by model": 4}
    used = ledger.execute(
        "SELECT DISTINCT split_part(output -> 'model_use' ->> 'provider', ' ', 1) FROM step_result"
        " WHERE step = 'validate'"
    ).fetchall()
    assert used == [("llm_second",)]


def test_no_fault_of_any_answer_accepts(ledger, fill, run, connect_model, provider):
    """Law 1 through the whole of it: unreadable answers become questions to a person."""
    connect_model(max_concurrency=1)
    bad = [
        "{}",
        "",
        "null",
        "accept",
        '{"decision": "accept"}',
        json.dumps(opinion({"id": "other", "texte": "a"})),
    ]
    fill(ledger, count=len(bad))
    answers = iter([each for each in bad for _ in range(2)])

    def fault(handler, _asked):
        send(handler, completion(next(answers)))

    provider.lasting = fault
    run()

    assert states(ledger) == {"review by model": len(bad)}
    reasons = ledger.execute("SELECT DISTINCT reason FROM review_case").fetchall()
    assert reasons == [("unreadable_answer",)]


def test_nothing_goes_outside_without_the_switch(ledger, fill, run, connect_model, provider):
    connect_model(is_local=False)
    fill(ledger, count=1)

    with pytest.raises(ProcessingError, match="outside_allowed") as caught:
        run.split()

    assert isinstance(caught.value.cause, ConfigurationError)
    assert provider.requests == []


def test_an_outside_provider_gets_no_name_and_no_number(
    ledger, fill, run, connect_model, provider, instance
):
    connect_model(is_local=False, outside_allowed=True)
    words = (
        "Je propose un banc sur le quai d'Audierne. M. Yann Kerloc'h, 06 12 34 56 78, "
        "pense comme moi, écrit Jeanne Riou."
    )
    with steps.visit("split") as here:
        (chunk_id,) = contribution_tasks.split_work(here, None, None, words)
    for step in STEPS:
        run.judge(chunk_id, step)

    (sent,) = texts_asked(provider)
    assert "06 12 34 56 78" not in sent
    assert "[" in sent
    quotes = ledger.execute(
        "SELECT e ->> 'quote' FROM step_result, jsonb_array_elements(output -> 'evidence') e"
    ).fetchall()
    assert quotes
    assert all(quote in words for (quote,) in quotes)


def test_an_anonymisation_in_doubt_asks_a_person(
    ledger, fill, run, connect_model, provider, monkeypatch
):
    def doubt(_text, **_choices):
        raise ValueError("who is that?")

    monkeypatch.setattr(reviewing, "anonymise_for_outside", doubt)
    connect_model(is_local=False, outside_allowed=True)
    fill(ledger, count=2)

    run()

    assert provider.requests == []
    assert states(ledger) == {"review by model": 2}
    reasons = ledger.execute("SELECT DISTINCT reason FROM review_case").fetchall()
    assert reasons == [("anonymisation_doubtful",)]


def test_the_gate_is_held_against_who_judges(ledger, instance, connect_model, provider):
    """Samples are paid for once; a second evaluation of the same rubric is free."""
    samples = scoring.load_samples()[:12]
    instance.task_id = "evaluate_reviewer"
    with steps.visit("evaluate_reviewer") as here:
        card = reviewing.scorecard(here, samples)
        asked = len(provider.requests)
        again = reviewing.scorecard(here, samples)

    assert card.engine == "model"
    assert card.rubric_version.startswith("model-")
    assert len(provider.requests) == asked > 0
    assert card == again


def test_a_day_asks_a_model_for_some_samples_of_each_kind(
    ledger, instance, connect_model, provider
):
    """All of them cost minutes and money: they are for the evaluation that a person starts."""
    samples = scoring.load_samples()
    instance.task_id = "evaluate_reviewer"

    with steps.visit("evaluate_reviewer") as here:
        card = reviewing.scorecard(here, samples)

    assert card.engine == "model"
    kinds = {sample.kind for sample in samples}
    assert card.sample_count == scoring.SAMPLES_OF_A_KIND * len(kinds) < len(samples) / 4


def test_the_gate_is_held_against_the_rules_where_nobody_answers(
    ledger, instance, connect_model, provider
):
    provider.lasting = status(402)
    instance.task_id = "evaluate_reviewer"

    with steps.visit("evaluate_reviewer") as here:
        card = reviewing.scorecard(here, scoring.load_samples()[:12])

    assert card.engine == "embedded, provider unavailable"


def test_a_last_attempt_leaves_time_for_the_rules(
    ledger, fill, run, connect_model, provider, monkeypatch
):
    """A slow model must not make the day's chain red: what it had no time for is the rules' alone."""
    connect_model(max_concurrency=1)
    provider.delay_s = 0.25
    fill(ledger, count=12)
    (chunk_id,) = run.split()
    limited = SimpleNamespace(execution_timeout=timedelta(seconds=2))
    real = steps.get_current_context
    monkeypatch.setattr(steps, "get_current_context", lambda: {**real(), "task": limited})

    told = run.judge(chunk_id, "validate", last=True)

    assert 0 < told["by_rules_alone"] < 12
    assert told["stored"] == 12


def test_results_of_two_rubrics_stay_apart(ledger, fill, run, connect_model, provider):
    """A chunk has one rubric; what was answered under another is moved, not mixed in (law 3)."""
    fill(ledger, count=6)
    (chunk_id,) = run.split()
    provider.lasting = status(402)

    run.judge(chunk_id, "validate")

    rows = ledger.execute(
        "SELECT w.rubric_version = r.rubric_version, count(*)::int FROM step_result r"
        " JOIN claim k ON k.contribution_id = r.item_id JOIN work_chunk w USING (chunk_id) GROUP BY 1"
    ).fetchall()
    assert rows == [(True, 6)]
    ((split_from, items),) = ledger.execute(
        "SELECT split_from, item_count FROM work_chunk WHERE split_from IS NOT NULL"
    ).fetchall()
    assert (split_from, items) == (chunk_id, 6)


def test_a_wording_is_suggested_once_and_beside_the_text(
    ledger, fill, instance, connect_model, provider
):
    """Stored as a suggestion, or as the reason why there is none; the citizen's text stays."""
    fill(ledger, count=2)
    ids = [
        each for (each,) in ledger.execute("SELECT contribution_id FROM contribution ORDER BY 1")
    ]
    words = {
        "Le banc a0 du quai d'Audierne est cassé.": "Le banc a0 du quai d'Audierne est abîmé.",
        "Le banc a1 du quai d'Audierne est cassé.": "Le banc a1 du quai de Douarnenez est cassé.",
    }
    provider.opinion_of = lambda asked: {"id": asked["id"], "suggestion": words[asked["texte"]]}
    before = ledger.execute("SELECT constat_factuel FROM contribution ORDER BY 1").fetchall()
    instance.task_id = "suggest"

    with steps.visit("suggest") as here:
        told = wording_tasks.suggest(here, ids)
    with (
        pytest.raises(AirflowSkipException, match="was asked about every text"),
        steps.visit("suggest") as here,
    ):
        wording_tasks.suggest(here, ids)

    assert told["outcomes"] == {"suggested": 1, "new_name": 1}
    assert ledger.execute(
        "SELECT suggestion, objection FROM wording_suggestion ORDER BY suggestion_id"
    ).fetchall() == [("Le banc a0 du quai d'Audierne est abîmé.", None), (None, "new_name")]
    assert (
        ledger.execute("SELECT constat_factuel FROM contribution ORDER BY 1").fetchall() == before
    )
    assert states(ledger) == {"pending by rules": 2}


def test_without_a_model_nothing_is_suggested(ledger, fill, instance, connections):
    fill(ledger, count=1)

    with (
        pytest.raises(AirflowSkipException, match="no model is connected"),
        steps.visit("suggest") as here,
    ):
        wording_tasks.suggest(here, ["a:0"])
