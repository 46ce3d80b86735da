"""Evaluating a connected model: what it cost is told once, and an outage is no answer of the rules."""

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from include.contributions.reviewer import embedded_reviewer
from include.errors import ProcessingError
from participation import evaluation_tasks, steps
from tests.plugins.evaluating import stored
from tests.stub_provider import status

pytestmark = pytest.mark.postgres

RULES = embedded_reviewer().rubric_version


def test_a_model_is_evaluated_with_the_rules_and_paid_once_a_text(
    do,
    own,
    ledger,
    connect_model,
    provider,
):
    """Its rubric, its answers, its cost; the unaided question asks about the same text."""
    connect_model(input_eur_per_million=1, output_eur_per_million=2)
    (chunk,) = do.collect(noise=False)

    told = do("run_engine", chunk)
    do("score")

    row = stored(ledger)
    assert row.rubric_version.startswith("model-")
    assert (told["asked"], told["failed"]) == (4, 0)
    assert len(provider.requests) == 2, "an attempt at manipulation is not sent"
    cost = row.scores["scores"]["cost_mean"]
    assert (cost["n"], cost["value"]) == (3, pytest.approx(2 * 0.00014 / 3, abs=1e-5))
    assert row.details["cost_total"] == pytest.approx(2 * 0.00014, abs=1e-5)


def test_an_outage_is_a_failure_of_the_model_and_no_answer_of_the_rules(
    do,
    own,
    ledger,
    instance,
    connect_model,
    provider,
):
    """While another attempt follows the task waits for it; after the last one the samples failed."""
    (chunk,) = do.collect(noise=False)
    provider.lasting = status(500)
    instance.max_tries = 1
    with pytest.raises(ProcessingError, match=r"-alone|CircuitOpen"):
        do("run_engine", chunk)
    instance.try_number = 2

    told = do("run_engine", chunk)
    do("score")

    assert told["failed"] == 3
    assert stored(ledger).scores["scores"]["failed"]["value"] == 0.6667
    errors = ledger.execute("SELECT error FROM sample_answer WHERE error IS NOT NULL").fetchall()
    assert all("-alone" in error for (error,) in errors)


def test_without_a_provider_to_ask_the_rules_are_evaluated_as_what_they_are(
    do,
    own,
    ledger,
    connect_model,
    provider,
):
    """Under the rubric of the rules alone, when the run begins during an outage."""
    ledger.execute(
        "INSERT INTO provider_state (conn_id, failures, open_until, reason)"
        " VALUES ('participation_llm', 9, now() + interval '1 hour', 'away')"
    )

    (chunk,) = do.collect(noise=False)
    do("run_engine", chunk)
    do("score")

    assert stored(ledger).rubric_version == f"{RULES}-alone"
    assert stored(ledger).scores["scores"]["failed"]["value"] == 0
    assert provider.requests == []


def test_a_connected_model_is_the_reviewer_of_the_run(
    do,
    own,
    connect_model,
):
    do.collect()

    with steps.visit("run_engine") as here, evaluation_tasks.reviewer_for(here) as reviewer:
        assert reviewer.engine == "model"
