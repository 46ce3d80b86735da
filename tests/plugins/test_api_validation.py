"""Judging while the caller waits: the same answer as a run, ids in are ids out, nothing stored."""

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from fastapi.testclient import TestClient

from include.contributions.model import Contribution
from include.contributions.processors import judge
from include.contributions.reviewer import embedded_reviewer
from participation.api.v1 import validation
from participation.api.v1.app import app

pytestmark = pytest.mark.postgres

TEXTS = [
    "Le banc du quai d'Audierne est cassé, il faudrait le réparer.",
    "Achetez mes montres à -50 % sur www.montres.example !!!",
    "Le maire est un imbécile.",
    "asdf",
]


@pytest.mark.parametrize("text", TEXTS)
def test_one_text_is_judged_as_a_run_judges_it(caller, text):
    """Engine, rubric, words and figures: all of it."""
    answer = caller("user").post(
        "/validate", json={"id": "c-1", "text": text, "category": "culture"}
    )

    expected = judge(Contribution("c-1", text, "", "culture"), embedded_reviewer())
    assert answer.status_code == 200
    assert answer.json() == expected.model_dump(mode="json")


def test_as_many_answers_as_texts_each_under_its_id(caller):
    """In the order given, also where an id comes twice; fifty, and not one more."""
    ids = [f"t {n % 49}" for n in range(50)]
    texts = [{"id": each, "text": f"{TEXTS[n % 4]} {n}"} for n, each in enumerate(ids)]
    sender = caller("user")

    answer = sender.post("/validate/batch", json={"texts": texts})

    assert [each["id"] for each in answer.json()["results"]] == ids
    assert [each["judgement"]["id"] for each in answer.json()["results"]] == ids
    assert sender.post("/validate/batch", json={"texts": [*texts, texts[0]]}).status_code == 422


def test_a_text_that_cannot_be_judged_is_no_acceptance(caller, monkeypatch):
    """Its place has an error and no judgement; the others have theirs. The words stay in the house."""
    whole = embedded_reviewer()

    class Broken:
        engine, rubric_version = whole.engine, whole.rubric_version
        classify = whole.classify

        def validate(self, contribution):
            if "banc" in contribution.text:
                raise ValueError(contribution.text)
            return whole.validate(contribution)

    monkeypatch.setattr(validation, "reviewer", Broken)
    texts = [{"id": "a", "text": "Le banc."}, {"id": "b", "text": "Le port."}]

    batch = caller("user").post("/validate/batch", json={"texts": texts}).json()["results"]
    alone = caller("user").post("/validate", json={"text": "Le banc."})

    assert (batch[0]["judgement"], batch[0]["error"]) == (None, "the step validate failed")
    assert batch[1]["judgement"]["id"] == "b"
    assert alone.status_code == 500
    assert "banc" not in alone.text


def test_nothing_is_stored(caller, ledger):
    """Asking is not submitting."""
    caller("user").post("/validate", json={"text": TEXTS[0]})

    for table in ("contribution", "receipt", "step_result", "outbox", "review_case"):
        assert ledger.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_the_reviewer_is_ready_before_the_first_caller(api_server):
    """When the server starts, and not when a module is imported: a task imports it too."""
    embedded_reviewer.cache_clear()

    with TestClient(app):
        assert embedded_reviewer.cache_info().currsize == 1
