"""A person decides, on a real Airflow by REST: asked, answered, asked again, contested, recorded."""

from datetime import date

import pytest

from participation.ledger.appeals import file_appeal
from participation.settings import Settings
from tests.review_cases import ATTACK, REVIEW, TEMPLATE, answer, asked, decision, judged

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

DAY = date(2024, 6, 1)

SPAM = "spam_ou_publicite"


@pytest.fixture(scope="module")
def cases(system):
    """Leave four texts of one day to people and have them asked; the question of each."""
    texts = {f"review-rest:{n}": f"{ATTACK} ({n})" for n in range(3)}
    texts["review-rest:template"] = TEMPLATE
    judged(system, DAY, texts)
    system.start_run(REVIEW, "e2e-review", {"only_day": DAY.isoformat()})
    return {name: asked(system, name) for name in texts}


def decisions(ledger, contribution_id):
    return ledger.execute(
        "SELECT outcome, decided_by FROM decision WHERE contribution_id = %s ORDER BY decision_id",
        (contribution_id,),
    ).fetchall()


def test_only_who_may_decide_is_heard(system, cases, ledger):
    """Law 8: a viewer is refused by the API, and so is an option that was never offered."""
    question = cases["review-rest:0"]

    assert answer(system, question, "viewer", "Accepter").status_code == 403
    assert answer(system, question, "moderator1", "Peut-être").status_code == 400

    assert system.get(f"{question.path}/hitlDetails", "admin").json()["response_received"] is False
    assert decisions(ledger, "review-rest:0") == []


def test_a_text_is_shown_as_it_was_written(cases):
    """Subject and body are templates in Airflow; the citizen's words never are."""
    detail = cases["review-rest:template"].detail

    assert "{{ 7*7 }}" in detail["subject"]
    # Words that raised the doubt are marked; without the marks they stand as they were written.
    unmarked = detail["body"].replace("⟦**", "").replace("**⟧", "")
    assert r"\{\{ 7\*7 \}\}" in unmarked
    assert "49" not in unmarked.partition("du quai")[0].rpartition("Le banc")[2]
    assert "49" not in detail["subject"]
    assert "](http" not in detail["body"]
    assert "https://" not in detail["body"]
    assert detail["options"] == ["Accepter", "Refuser", "Demander de reformuler", "Transmettre"]
    assert set(detail["params"]) == {"reason", "sentence", "note"}


def test_an_answer_is_recorded_while_others_still_wait(system, cases, ledger):
    """One by one, as they come; who answered is Airflow's word."""
    assert answer(system, cases["review-rest:1"], "moderator1", "Accepter").status_code == 200

    outcome, who, _, statement, state = decision(system, "review-rest:1")

    assert (outcome, who, state) == ("accepted", "moderator1", "accepted")
    assert "est acceptée" in statement
    assert decisions(ledger, "review-rest:0") == []
    run_id = cases["review-rest:1"].path.split("/dagRuns/")[1].split("/")[0]
    assert system.client.run(REVIEW, run_id)["state"] == "running"
    sample = ledger.execute(
        "SELECT expected_decision, overruled FROM labelled_sample"
        " WHERE contribution_id = 'review-rest:1'"
    ).fetchall()
    assert sample == [("accept", True)]


def test_a_refusal_without_a_reason_is_asked_again(system, cases, ledger):
    """Nothing is recorded; the new question says why, and a whole answer to it counts."""
    question = cases["review-rest:0"]
    assert answer(system, question, "moderator1", "Refuser").status_code == 200

    again = asked(system, "review-rest:0", after=question.question_id)

    assert decisions(ledger, "review-rest:0") == []
    assert again.detail["subject"].startswith("À reprendre")
    assert "Un refus demande un motif" in again.detail["body"]
    answer(system, again, "moderator1", "Refuser", reason=SPAM, sentence="Pas ici.", note=None)
    outcome, who, reason, statement, state = decision(system, "review-rest:0")
    assert (outcome, who, reason, state) == ("refused", "moderator1", SPAM, "refused")
    assert "article 2 de la charte" in statement
    assert "Pas ici." in statement


def test_a_contested_refusal_goes_to_another_person(system, cases, ledger):
    """Asked within seconds; the same person is heard out and asked to leave it to another."""
    if not decisions(ledger, "review-rest:0"):
        pytest.skip("the refusal that would be contested was not made")
    last = ledger.execute(
        "SELECT max(question_id) FROM review_question WHERE contribution_id = 'review-rest:0'"
    ).fetchone()[0]
    file_appeal(ledger, Settings().municipality, "review-rest:0", "Je ne vends rien.")
    question = asked(system, "review-rest:0", after=last)
    assert question.kind == "appeal"
    assert "Je ne vends rien." in question.detail["body"]

    answer(system, question, "moderator1", "Refuser", reason=SPAM)
    again = asked(system, "review-rest:0", after=question.question_id)

    assert "moderator1 a déjà décidé" in again.detail["body"]
    assert decisions(ledger, "review-rest:0") == [("refused", "moderator1")]
    answer(system, again, "moderator2", "Accepter")
    outcome, who, _, statement, state = decision(system, "review-rest:0", count=2)
    assert (outcome, who, state) == ("accepted", "moderator2", "accepted")
    assert "le refus est levé" in statement
    assert decisions(ledger, "review-rest:0")[0] == ("refused", "moderator1")


def test_a_run_whose_questions_are_answered_ends_well(system, cases):
    """The last ones; then reconcile holds Airflow's answers against the decisions."""
    for name in ("review-rest:2", "review-rest:template"):
        answer(
            system, cases[name], "moderator2", "Demander de reformuler", sentence="Sans insulte."
        )
        assert decision(system, name)[0] == "review"

    run_id = cases["review-rest:2"].path.split("/dagRuns/")[1].split("/")[0]
    # A task that the machine lost on the way waits up to 90 s before each of its next tries.
    assert system.finished(REVIEW, run_id, 600) == "success"
    books = system.xcom(REVIEW, run_id, "reconcile")
    assert books["decided"] + books["returned"] == books["questions"]
