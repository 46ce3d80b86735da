"""Asking, answering and recording, as tasks: what travels, what is kept, what a crash may cost."""

import json
from datetime import UTC, datetime, timedelta

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowSkipException, TaskAwaitingInput

from include.dockets import MAX_DOCKET_BYTES
from include.errors import LedgerUnavailableError, ProcessingError, TransientError
from include.review.model import OPTION_LABELS, Option
from participation import review_tasks, steps
from participation.defaults import DAG_DEFAULTS
from participation.ledger.appeals import file_appeal
from participation.ledger.review import MAX_OPEN, Reviews
from participation.operators import ask
from participation.operators.ask import AskPersonOperator
from tests.integration.review_steps import TOWN, add_case, state
from tests.unit.review.questions import ANNE, BRUNO, form

pytestmark = pytest.mark.postgres

HOSTILE = "{{ 7*7 }} {% if true %}ici{% endif %} un idiot"


@pytest.fixture
def run(instance, ledger):
    """Be a run of contribution_review whose tasks are called one by one."""
    return Run(instance, ledger)


class Run:
    """Calls the tasks of one run, each as an attempt of its own."""

    def __init__(self, instance, ledger):
        self.instance, self.ledger = instance, ledger
        instance.dag_id, instance.task_id = "contribution_review", "select"

    def be(self, task_id, map_index=-1, run_id=None, try_number=1):
        self.instance.task_id, self.instance.map_index = task_id, map_index
        self.instance.try_number = try_number
        self.instance.run_id = run_id or self.instance.run_id

    def select(self, limit=20, run_id=None):
        self.be("select", run_id=run_id)
        with steps.visit("select") as here:
            return review_tasks.select_questions(here, limit)

    def take(self, question_id, given, place=0):
        self.be("ask", place)
        with steps.visit("ask") as here:
            return review_tasks.take_answer(here, question_id, given)

    def record(self, taken, place=0):
        self.be("record", place)
        with steps.visit("record") as here:
            return review_tasks.record_answer(here, taken)

    def reconcile(self, **states):
        self.be("reconcile")
        self.instance.states = states
        with steps.visit("reconcile") as here:
            return review_tasks.reconcile_review(here)

    def decisions(self):
        return self.ledger.execute(
            "SELECT outcome, decided_by FROM decision ORDER BY decision_id"
        ).fetchall()

    def question(self):
        return self.select()[0]["question"]


def refusal(**more):
    return form("Refuser", reason="spam_ou_publicite", **more)


def test_twenty_questions_fit_a_docket(run):
    """Law 6: numbers and subjects travel, whatever twenty citizens wrote; the pages do not."""
    for number in range(20):
        add_case(run.ledger, number, text=f"{'🙂' * 9_000} un idiot")

    chosen = run.select()

    assert len(chosen) == 20
    assert len(json.dumps(chosen, ensure_ascii=False).encode()) < MAX_DOCKET_BYTES
    assert {tuple(each) for each in chosen} == {("question", "subject")}


def test_what_is_handed_on_holds_no_word_of_the_answer(run):
    """Sentence and note stay in the ledger."""
    add_case(run.ledger, 1)
    question_id = run.question()

    taken = run.take(question_id, refusal(sentence="Pas ici.", note="secret"))

    assert taken == {
        "question": question_id,
        "counts": True,
        "option": "refuse",
        "answered_by": "Bruno",
    }


def test_nothing_to_ask_is_a_skip_with_its_figures(run):
    """Law 9: an empty queue and a full one are told apart."""
    with pytest.raises(AirflowSkipException, match="no case is due that fits; 0 questions"):
        run.select()
    for number in range(MAX_OPEN + 1):
        add_case(run.ledger, number)
    for each in range(MAX_OPEN // 20):
        run.select(run_id=f"run-{each}")

    with pytest.raises(AirflowSkipException, match="200 questions are open, at most 200"):
        run.select(run_id="one-more")


def test_an_answer_is_taken_and_recorded(run):
    """The decision is Airflow's record of who answered; the contribution has its state."""
    contribution_id = add_case(run.ledger, 1)

    recorded = run.record(run.take(run.question(), refusal()))

    assert run.decisions() == [("refused", "Bruno")]
    assert recorded["decision"] == 1
    assert state(run.ledger, contribution_id) == "refused"


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(form("Refuser"), id="no_reason"),
        pytest.param(form("Refuser", reason="autre"), id="unknown_reason"),
        pytest.param(form("Oui"), id="unknown_option"),
        pytest.param(form("Accepter", sentence="a" * 601), id="long_sentence"),
        pytest.param(form("Accepter") | {"responded_by_user": None}, id="a_default"),
        pytest.param({}, id="nothing"),
    ],
)
def test_an_answer_that_cannot_count_is_recorded_nowhere(run, given):
    """The record is skipped with the reason, and the next run asks again, saying why."""
    contribution_id = add_case(run.ledger, 1)
    taken = run.take(run.question(), given)

    assert taken["counts"] is False
    with pytest.raises(AirflowSkipException, match="asked again") as skipped:
        run.record(taken)

    assert taken["fault"] in str(skipped.value)
    assert run.decisions() == []
    assert state(run.ledger, contribution_id) == "refusal_proposed"
    assert run.reconcile(ask_0="success", record_0="skipped")["returned"] == 1
    (again,) = run.select(run_id="run-2")
    assert again["subject"].startswith("À reprendre")


def test_the_same_person_cannot_answer_an_appeal(run):
    """It is asked again with the explanation; another person's answer supersedes."""
    contribution_id = add_case(run.ledger, 1)
    run.record(run.take(run.question(), refusal(person=ANNE)))
    file_appeal(run.ledger, TOWN, contribution_id, "Je ne visais personne.")
    (asked,) = run.select(run_id="run-2")

    refused = run.take(asked["question"], refusal(person=ANNE))

    assert "Anne a déjà décidé" in refused["fault"]
    (again,) = run.select(run_id="run-3")
    run.record(run.take(again["question"], form("Accepter", person=BRUNO)))
    assert run.decisions() == [("refused", "Anne"), ("accepted", "Bruno")]
    assert state(run.ledger, contribution_id) == "accepted"


def test_an_answer_that_comes_too_late_is_skipped(run):
    """Somebody decided meanwhile; nothing is recorded and it is said."""
    contribution_id = add_case(run.ledger, 1)
    question_id = run.question()
    run.ledger.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
        " VALUES (%s, 'accepted', 'Clara', 'accept')",
        (contribution_id,),
    )

    with pytest.raises(AirflowSkipException, match="too late"):
        run.take(question_id, refusal())

    assert run.decisions() == [("accepted", "Clara")]


def test_a_crash_between_answer_and_record_costs_nothing(run, monkeypatch):
    """The answer was kept; a record that broke off left nothing, and repeated it is one decision."""
    add_case(run.ledger, 1)
    taken = run.take(run.question(), refusal())
    with monkeypatch.context() as broken:
        broken.setattr(Reviews, "_label", lambda *_: 1 / 0)
        with pytest.raises(ProcessingError, match="ZeroDivision"):
            run.record(taken)
    assert run.decisions() == []

    first, second = run.record(taken), run.record(taken)

    assert first == second
    assert run.decisions() == [("refused", "Bruno")]


def test_a_crash_before_the_hand_over_asks_nobody_again(run, monkeypatch):
    """The next try finds the kept answer and hands it on without a question."""
    add_case(run.ledger, 1)
    question_id = run.question()
    taken = run.take(question_id, refusal())
    monkeypatch.setattr("airflow.providers.standard.operators.hitl.upsert_hitl_detail", pytest.fail)
    run.be("ask", 0, try_number=2)

    again = operator(question_id).execute({})

    assert again == taken


def test_a_second_answer_to_the_same_question_changes_nothing(run):
    """A repeated try that brings other words takes the ones that were kept."""
    add_case(run.ledger, 1)
    question_id = run.question()
    run.take(question_id, refusal())

    taken = run.take(question_id, form("Accepter"))

    assert taken["option"] == "refuse"


def test_an_answer_whose_record_died_is_recorded_by_the_next_run(run):
    """Nobody is asked for the same answer twice."""
    contribution_id = add_case(run.ledger, 1)
    run.take(run.question(), refusal())
    run.ledger.execute("UPDATE review_question SET claimed_until = now() - interval '1 minute'")
    run.instance.states = {}

    with pytest.raises(AirflowSkipException, match="nothing to ask"):
        run.select(run_id="run-2")

    assert run.decisions() == [("refused", "Bruno")]
    assert state(run.ledger, contribution_id) == "refused"


def test_a_question_whose_task_is_gone_is_asked_again(run):
    """And one whose task still waits is left alone, however long ago it was claimed."""
    add_case(run.ledger, 1)
    add_case(run.ledger, 2)
    run.select()
    run.ledger.execute("UPDATE review_question SET claimed_until = now() - interval '1 day'")
    states = {"ask_0": "awaiting_input", "ask_1": "failed", "record_1": "upstream_failed"}
    run.instance.get_task_states = lambda dag_id, run_ids: {"run-1": states}

    chosen = run.select(run_id="run-2")

    assert len(chosen) == 1
    assert run.ledger.execute(
        "SELECT position, closed_as FROM review_question WHERE run_id = 'run-1' ORDER BY position"
    ).fetchall() == [(0, None), (1, "died")]


def test_an_answer_to_a_question_of_another_run_is_refused(run):
    """A docket that was carried over by hand cannot close what another run asks."""
    add_case(run.ledger, 1)
    question_id = run.question()
    run.be("ask", 0, run_id="run-2")

    with pytest.raises(ProcessingError, match="belongs to another run"):
        run.take(question_id, refusal())


def test_a_task_marked_by_hand_hands_nothing_on(run):
    """Without an answer there is no decision; the error says what happens."""
    with pytest.raises(ProcessingError, match="marked by hand"):
        run.record(None)


def test_an_answered_question_that_was_not_recorded_is_loud(run):
    """By the ledger's word, and by Airflow's."""
    add_case(run.ledger, 1)
    question_id = run.question()
    run.take(question_id, refusal())

    with pytest.raises(ProcessingError, match=rf"not on record \[{question_id}\]"):
        run.reconcile(ask_0="success", record_0="success")


def test_a_question_that_was_marked_done_by_hand_is_loud(run):
    """Airflow says it was answered, the ledger knows no answer: it is asked again."""
    add_case(run.ledger, 1)
    question_id = run.question()

    with pytest.raises(ProcessingError, match=rf"not on record \[{question_id}\]"):
        run.reconcile(ask_0="success", record_0="skipped")

    assert len(run.select(run_id="run-2")) == 1


def test_a_failed_question_makes_its_run_red_and_is_given_back(run):
    """The case is due again at once."""
    add_case(run.ledger, 1)
    run.question()

    with pytest.raises(ProcessingError, match=r"ask_0.*1 without an answer"):
        run.reconcile(ask_0="failed", record_0="upstream_failed")

    assert len(run.select(run_id="run-2")) == 1


def test_a_run_whose_questions_are_all_decided_is_green(run):
    """Its docket says how many, and how long others wait."""
    for number in range(3):
        add_case(run.ledger, number)
    for place, each in enumerate(run.select()):
        run.record(run.take(each["question"], form("Transmettre"), place), place)

    books = run.reconcile(**{f"record_{place}": "success" for place in range(3)})

    assert (books["questions"], books["decided"], books["died"]) == (3, 3, 0)
    assert books["waiting"]["others"]["waiting"] == 3


def operator(question_id, **more):
    with DAG("contribution_review", schedule=None, default_args={**DAG_DEFAULTS, **more}):
        return AskPersonOperator(task_id="ask", question=question_id, subject="À examiner")


@pytest.mark.parametrize(
    "limits",
    [
        {},
        {"execution_timeout": timedelta(minutes=1)},
        {"response_timeout": timedelta(minutes=1)},
    ],
)
def test_no_limit_of_a_dag_cuts_a_question_off(limits):
    """Airflow turns an execution_timeout into the time after which a default is taken."""
    made = operator(1, **limits)

    assert made.execution_timeout is None
    assert made.response_timeout is None
    assert made.defaults is None


def test_the_question_of_the_dag_waits_as_long_as_it_takes():
    """As it stands in contribution_review: no limit, no default, and it is tried again."""
    made = (
        DagBag(str(steps.__file__.replace("plugins/participation/steps.py", "dags")))
        .dags["contribution_review"]
        .get_task("ask")
    )

    assert (made.execution_timeout, made.response_timeout, made.defaults) == (None, None, None)
    assert made.retries >= 1
    assert made.options == list(OPTION_LABELS.values())
    assert not made.multiple


def shown(monkeypatch, question_id):
    """Put a question as Airflow does, templates first, and return what people would see."""
    seen = {}
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail",
        lambda **all_: seen.update(all_),
    )
    made = operator(question_id)
    made.render_template_fields({"ti": None})
    with pytest.raises(TaskAwaitingInput) as parked:
        made.execute({"task_instance": type("Instance", (), {"id": "0"})})
    return seen, parked.value


def test_a_template_in_a_text_stays_as_it_was_written(run, monkeypatch):
    """Whoever writes {{ 7*7 }} is shown to have written that."""
    add_case(run.ledger, 1, text=HOSTILE)
    question_id = run.question()
    run.be("ask", 0)

    seen, parked = shown(monkeypatch, question_id)

    assert "{{ 7*7 }}" in seen["subject"]
    assert r"\{\{ 7\*7 \}\}" in seen["body"]
    assert "49" not in seen["subject"] + seen["body"]
    assert r"\{% if true %\}ici" in seen["body"]
    assert parked.timeout is None
    assert "body" not in AskPersonOperator.template_fields


def test_the_form_asks_for_all_that_an_answer_may_hold(run, monkeypatch):
    """A closed list of reasons with their labels, two texts, and nothing is required to be filled in."""
    add_case(run.ledger, 1)
    question_id = run.question()
    run.be("ask", 0)

    seen, _ = shown(monkeypatch, question_id)

    assert set(seen["params"]) == {"reason", "sentence", "note"}
    for param in seen["params"].values():
        assert param["value"] is None
        assert param["schema"]["type"] == ["null", "string"]
    reasons = seen["params"]["reason"]["schema"]
    assert set(reasons["values_display"]) == {"null", *filter(None, reasons["enum"])}
    assert seen["defaults"] is None


def test_a_question_that_was_decided_is_not_put(run, monkeypatch):
    """A cleared instance skips, and says why."""
    add_case(run.ledger, 1)
    question_id = run.question()
    run.ledger.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
        " VALUES ('form:1', 'accepted', 'Clara', 'accept')"
    )
    run.be("ask", 0)

    with pytest.raises(AirflowSkipException, match="overtaken"):
        operator(question_id).execute({})


def test_the_operator_checks_what_comes_back(run):
    """Through its own door: Airflow's event in, a docket out."""
    add_case(run.ledger, 1)
    question_id = run.question()
    run.be("ask", 0)

    taken = operator(question_id).execute_complete(
        {}, refusal() | {"responded_at": datetime.now(UTC)}
    )

    assert (taken["counts"], taken["option"]) == (True, Option.REFUSE)


def test_an_answer_is_held_while_the_ledger_is_away():
    """Airflow forgets an answer when its task fails: it is held, for a while."""
    calls, now = [], iter(range(100))

    def call():
        calls.append(1)
        if len(calls) < 4:
            raise ProcessingError(
                "ask", "q", 1, LedgerUnavailableError("away"), failed_at=datetime.now(UTC)
            )
        return "kept"

    assert ask.patiently(call, patience_s=50, pause_s=0, clock=lambda: next(now)) == "kept"
    with pytest.raises(LedgerUnavailableError):
        ask.patiently(
            lambda: (_ for _ in ()).throw(LedgerUnavailableError("away")),
            patience_s=3,
            pause_s=0,
            clock=lambda: next(now),
        )
    with pytest.raises(TransientError):
        ask.patiently(lambda: (_ for _ in ()).throw(TransientError("other")), pause_s=0)
