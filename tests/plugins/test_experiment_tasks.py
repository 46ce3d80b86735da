"""Sending evaluations to Opik: what is sent, what is kept back, and a green task whatever the site does."""

import json
from uuid import UUID

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowSkipException

from participation import experiment_tasks, steps
from tests.plugins.evaluating import OWN
from tests.stub_site import in_turn, page, running

pytestmark = pytest.mark.postgres

ROOT = "/opik/api/v1/private"


@pytest.fixture
def site(nearby, monkeypatch):
    with running() as stub:
        for path in ("datasets", "datasets/items", "experiments", "experiments/items/bulk"):
            stub.pages[f"{ROOT}/{path}"] = page(b"", 204)
        connection = Connection(
            conn_id="participation_opik", conn_type="http", host=stub.url("/opik/api"), password="k"
        )
        monkeypatch.setattr(BaseHook, "get_connection", lambda _conn_id: connection)
        yield stub


@pytest.fixture
def publish(do, engine, decide, instance):
    """Evaluate with one sample of a person's, and send it."""
    decide(0, "accepted")
    do.whole()

    def run():
        instance.task_id = "publish_to_opik"
        with steps.visit("publish_to_opik") as here:
            return experiment_tasks.publish(here)

    return run


def bodies(site, path):
    return [json.loads(seen.body) for seen in site.seen if seen.path == f"{ROOT}/{path}"]


def test_an_evaluation_is_an_experiment_without_citizens_words(site, publish):
    told = publish()

    assert told == {"sent": 3, "kept_back": 1, "warnings": []}
    (experiment,) = bodies(site, "experiments")
    assert experiment["metadata"]["scores"]["leak"] == 0
    (bulk,) = bodies(site, "experiments/items/bulk")
    items = {
        each["id"]: each["data"]["text"] for each in bodies(site, "datasets/items")[0]["items"]
    }
    assert [items[each["dataset_item_id"]] for each in bulk["items"]] == [
        each.contribution.text for each in OWN
    ]
    assert {UUID(each["trace"]["id"]).version for each in bulk["items"]} == {7}
    assert bulk["items"][0]["feedback_scores"] == [
        {"name": "outcome", "value": 1.0, "source": "sdk"},
        {"name": "output_format", "value": 1.0, "source": "sdk"},
        {"name": "category", "value": 1.0, "source": "sdk"},
    ]
    assert "Le banc a0" not in "".join(seen.body.decode() for seen in site.seen)


def test_it_is_sent_once(site, publish):
    publish()
    asked = len(site.seen)

    with pytest.raises(AirflowSkipException, match="evaluation 1 is at"):
        publish()

    assert len(site.seen) == asked


def test_a_failing_site_is_a_warning_and_the_next_attempt_goes_on(
    site, publish, ledger, monkeypatch
):
    """The task is green, the docket and the ledger say why, and nothing is sent twice over."""
    monkeypatch.setattr(experiment_tasks, "BATCH_RESULTS", 2)
    good = site.pages[f"{ROOT}/experiments/items/bulk"]
    site.pages[f"{ROOT}/experiments/items/bulk"] = in_turn(good, page(b"no", 401), good)

    told = publish()

    assert (told["sent"], len(told["warnings"])) == (2, 1)
    assert ledger.execute(
        "SELECT sent_count, warning IS NOT NULL, published_at FROM evaluation_publication"
    ).fetchone() == (2, True, None)
    assert publish()["sent"] == 1
    assert len(bodies(site, "experiments")) == 1


def test_without_a_connection_it_is_skipped(publish, no_connection):
    with pytest.raises(AirflowSkipException, match="no connection participation_opik"):
        publish()


def test_a_wrong_address_is_a_warning(publish, monkeypatch):
    connection = Connection(conn_id="participation_opik", conn_type="http", host="ftp://x")
    monkeypatch.setattr(BaseHook, "get_connection", lambda _conn_id: connection)

    assert "http(s) address" in publish()["warnings"][0]
