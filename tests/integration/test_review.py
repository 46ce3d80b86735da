"""What waits for a person, on a real PostgreSQL: asked once, recorded once, decided by who may."""

import threading
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from include.errors import ConfigurationError, PermanentError
from include.review.model import Option, Person
from participation.ledger import connect
from participation.ledger.appeals import file_appeal
from participation.ledger.books import reconcile
from participation.ledger.delays import delays, waiting_times
from participation.ledger.review import MAX_OPEN, Held, alive
from tests.integration.review_steps import (
    DAY,
    PRECISION,
    TOWN,
    add_case,
    answered,
    asked_about,
    decide_once,
    reviews,
    settle,
    state,
)
from tests.unit.review.questions import ANNE, BRUNO

pytestmark = pytest.mark.postgres

CLARA = Person("6", "Clara")


def expire(ledger):
    ledger.execute("UPDATE review_question SET claimed_until = now() - interval '1 second'")


def woken(ledger):
    return [
        why
        for (why,) in ledger.execute(
            "SELECT payload ->> 'why' FROM outbox WHERE topic = 'review_due' ORDER BY outbox_id"
        ).fetchall()
    ]


def test_the_oldest_come_first_whatever_they_speak_of(ledger):
    """By the day that the citizen has waited since, not by when the rules last changed."""
    for number in range(10):
        add_case(ledger, number, hours=number, opened_hours=10 - number, group=number % 2 == 1)

    reviews(ledger).claim(6)

    assert asked_about(ledger, "run-1") == [f"form:{number}" for number in range(9, 3, -1)]


def test_what_a_person_just_sent_comes_before_the_rest(ledger):
    """However many wait: an answer that did not count is asked again next, then an appeal."""
    for number in range(3):
        add_case(ledger, number)
    decide_once(ledger, "form:0", "first")
    (again,) = ledger.execute(
        "SELECT question_id FROM review_question WHERE contribution_id = 'form:2'"
    ).fetchone()
    for number in range(10, 40):
        add_case(ledger, number, hours=100)
    file_appeal(ledger, TOWN, "form:0", "Je ne vends rien.")
    reviews(ledger, "first").send_back(again, "Un refus demande un motif.")

    reviews(ledger).claim(20)

    assert asked_about(ledger, "run-1")[:2] == ["form:2", "form:0"]


def test_texts_that_name_a_group_wait_no_longer(ledger):
    """Of cases that came in turn, both kinds are asked in turn: no kind is passed over."""
    for number in range(60):
        add_case(ledger, number, hours=100 - number, group=number % 3 == 0)

    for run in range(3):
        reviews(ledger, f"run-{run}").claim(20)
        asked = asked_about(ledger, f"run-{run}")
        groups = sum(int(each.removeprefix("form:")) % 3 == 0 for each in asked)
        assert groups in (6, 7)


def test_two_runs_at_once_never_ask_twice(ledger, ledger_dsn):
    """Eight runs that choose at the same moment take different cases, and all of them."""
    for number in range(100):
        add_case(ledger, number)
    gate = threading.Barrier(8)

    def claim(run):
        with connect(ledger_dsn) as own:
            gate.wait()
            return [each.question_id for each in reviews(own, f"run-{run}").claim(20)]

    with ThreadPoolExecutor(8) as pool:
        claimed = [each for run in pool.map(claim, range(8)) for each in run]

    assert len(claimed) == len(set(claimed)) == 100
    twice = ledger.execute(
        "SELECT count(*) FROM (SELECT FROM review_question WHERE closed_at IS NULL"
        " GROUP BY contribution_id HAVING count(*) > 1) AS twice"
    ).fetchone()
    assert twice == (0,)


def test_no_more_than_200_are_open_over_all_runs(ledger, ledger_dsn):
    """Runs that choose at once share the room that is left; an answer makes room for one more."""
    for number in range(MAX_OPEN + 30):
        add_case(ledger, number)

    def claim(run):
        with connect(ledger_dsn) as own:
            return len(reviews(own, f"run-{run}").claim(20))

    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(claim, range(12)))

    store = reviews(ledger, "late")
    assert sum(counts) == store.open_count() == MAX_OPEN
    assert (store.claim(20), store.due_count()) == ([], 30)
    (question_id,) = ledger.execute("SELECT min(question_id) FROM review_question").fetchone()
    settle(store, question_id, answered())
    assert len(store.claim(20)) == 1


def test_a_run_that_is_repeated_asks_the_same_in_the_same_places(ledger):
    """An instance keeps the page of its first try, so it never gets another question."""
    for number in range(5):
        add_case(ledger, number, hours=5 - number)
    store = reviews(ledger)
    first = store.claim(3)
    settle(store, first[0].question_id, answered())

    again = store.claim(20)

    assert again[:3] == first
    assert [each.position for each in again] == [0, 1, 2, 3, 4]


def test_a_run_asks_at_most_its_limit(ledger):
    """Repeated or not."""
    for number in range(5):
        add_case(ledger, number)

    assert [len(reviews(ledger).claim(2)) for _ in range(3)] == [2, 2, 2]


def test_only_this_day_and_only_this_reason(ledger):
    """What the form asks for, and no case of another town."""
    add_case(ledger, 1, reason="mention_de_groupe")
    add_case(ledger, 2, day=DAY.replace(day=13))
    add_case(ledger, 3, town="elsewhere")

    reviews(ledger, "reason").claim(20, None, "mention_de_groupe")
    reviews(ledger, "day").claim(20, DAY.replace(day=13))
    reviews(ledger, "rest").claim(20)

    assert asked_about(ledger, "reason") == ["form:1"]
    assert asked_about(ledger, "day") == ["form:2"]
    assert asked_about(ledger, "rest") == []


def test_what_the_machine_settled_meanwhile_is_not_asked(ledger):
    """Other rules closed the case before anybody was asked."""
    add_case(ledger, 1)
    ledger.execute("UPDATE review_case SET closed_at = now()")

    assert reviews(ledger).claim(20) == []


def test_a_question_that_died_is_asked_again(ledger):
    """Its run failed or was deleted: the claim is given back, and the next run asks."""
    add_case(ledger, 1)
    (claimed,) = reviews(ledger).claim(20)
    assert reviews(ledger, "run-2").claim(20) == []

    assert reviews(ledger).give_up([claimed.question_id]) == 1

    assert len(reviews(ledger, "run-2").claim(20)) == 1
    assert asked_about(ledger, "run-2") == ["form:1"]


def test_only_claims_that_ran_out_are_looked_for(ledger):
    """A run that is just being started has no task instances yet; its own are never in doubt."""
    add_case(ledger, 1)
    (claimed,) = reviews(ledger).claim(20)
    other = reviews(ledger, "run-2")
    assert other.lapsed() == []

    expire(ledger)

    assert [each.question_id for each in other.lapsed()] == [claimed.question_id]
    assert reviews(ledger).lapsed() == []
    other.renew([claimed.question_id])
    assert other.lapsed() == []


@pytest.mark.parametrize(
    ("states", "lives"),
    [
        pytest.param({"ask_1": "awaiting_input", "record_1": None}, True, id="waits"),
        pytest.param({"ask_1": None}, True, id="about_to_be_asked"),
        pytest.param({"ask_1": "up_for_retry"}, True, id="between_tries"),
        pytest.param({"ask_1": "success", "record_1": None}, True, id="about_to_be_recorded"),
        pytest.param({"ask_1": "success", "record_1": "running"}, True, id="being_recorded"),
        pytest.param({"ask_1": "failed", "record_1": "upstream_failed"}, False, id="failed"),
        pytest.param({"ask_1": "success", "record_1": "failed"}, False, id="not_recorded"),
        pytest.param({"ask_1": "success"}, False, id="record_is_gone"),
        pytest.param({"ask_1": "removed"}, False, id="removed"),
        pytest.param({"ask_0": "awaiting_input"}, False, id="another_place"),
        pytest.param({}, False, id="run_deleted"),
    ],
)
def test_airflow_says_whether_a_question_still_waits(states, lives):
    """The instance that holds it must still be there, with something left to do."""
    held = [Held(5, "contribution_review", "run-1", 1, is_answered=False)]
    over = {"success", "failed", "upstream_failed", "skipped", "removed"}

    found = alive(held, lambda dag, runs: {"run-1": states}, "ask", "record", over)

    assert found == ({5} if lives else set())


def test_an_answer_is_never_given_up(ledger):
    """A question that was answered is recorded, not asked again."""
    add_case(ledger, 1)
    store = reviews(ledger)
    (claimed,) = store.claim(20)
    store.accept(claimed.question_id, answered())

    assert store.give_up([claimed.question_id]) == 0
    assert reviews(ledger, "run-2").claim(20) == []


@pytest.mark.parametrize(
    ("option", "outcome", "open_cases"),
    [
        (Option.ACCEPT, "accepted", 0),
        (Option.REFUSE, "refused", 0),
        (Option.REPHRASE, "review", 1),
        (Option.ESCALATE, "review", 1),
    ],
)
def test_an_answer_moves_the_contribution(ledger, option, outcome, open_cases):
    """State, case and question follow in the transaction of the decision; the books balance."""
    contribution_id = add_case(ledger, 1)

    decide_once(ledger, contribution_id, "run-1", option)

    assert state(ledger, contribution_id) == outcome
    count = "SELECT count(*) FROM review_case WHERE closed_at IS NULL"
    assert ledger.execute(count).fetchone() == (open_cases,)
    ended = ledger.execute("SELECT closed_as FROM review_question").fetchall()
    assert ended == [("decided",)]
    assert reconcile(ledger, TOWN, DAY)[outcome] == 1


def test_a_decision_says_who_why_and_with_which_machine(ledger):
    """Law 5: everything stands in one row, as the citizen reads it and as it was."""
    contribution_id = add_case(ledger, 1)
    words = {"sentence": "Pas d'insultes.", "note": "récidive"}

    decide_once(ledger, contribution_id, "run-1", Option.REFUSE, ANNE, **words)

    row = ledger.execute(
        "SELECT decided_by, decided_by_id, reason, sentence, note, statement, evidence, machine,"
        " receipt_code, run_id FROM decision"
    ).fetchone()
    assert row[:5] == ("Anne", "4", "spam_ou_publicite", "Pas d'insultes.", "récidive")
    assert "l'article 2 de la charte" in row[5]
    assert row[6][0]["quote"] == "un idiot"
    assert row[7]["decision"] == "refusal_proposed"
    assert row[8] in row[5]
    assert row[9] == "run-1"


def test_an_answer_recorded_twice_is_one_decision(ledger):
    """The question's number is the key, whoever writes."""
    add_case(ledger, 1)
    store = reviews(ledger)
    (claimed,) = store.claim(20)
    settle(store, claimed.question_id, answered())

    with pytest.raises(psycopg.errors.UniqueViolation):
        settle(store, claimed.question_id, answered(Option.ACCEPT))

    assert ledger.execute("SELECT outcome FROM decision").fetchall() == [("refused",)]


def test_an_answer_that_does_not_count_is_asked_again_with_the_reason(ledger):
    """Nothing is decided; the next question says why, and somebody is woken to ask it."""
    contribution_id = add_case(ledger, 1)
    store = reviews(ledger)
    (claimed,) = store.claim(20)

    store.send_back(claimed.question_id, "Un refus demande un motif.")

    assert ledger.execute("SELECT count(*) FROM decision").fetchone() == (0,)
    assert state(ledger, contribution_id) == "refusal_proposed"
    assert woken(ledger) == ["returned"]
    (again,) = reviews(ledger, "run-2").claim(20)
    question = store.standing(again.question_id, PRECISION).question
    assert question.fault == "Un refus demande un motif."


def test_a_valid_answer_cannot_be_sent_back(ledger):
    """The first answer that counts stands."""
    add_case(ledger, 1)
    store = reviews(ledger)
    (claimed,) = store.claim(20)
    store.accept(claimed.question_id, answered(Option.ACCEPT))
    store.accept(claimed.question_id, answered(Option.REFUSE))

    store.send_back(claimed.question_id, "trop tard")

    standing = store.standing(claimed.question_id, PRECISION)
    assert (standing.closed_as, standing.answer.option) == (None, Option.ACCEPT)


def test_a_decision_made_elsewhere_overtakes_the_question(ledger):
    """By another service, or by hand: the open question is closed and asks no more."""
    contribution_id = add_case(ledger, 1)
    store = reviews(ledger)
    (claimed,) = store.claim(20)

    ledger.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
        " VALUES (%s, 'accepted', 'Clara', 'accept')",
        (contribution_id,),
    )

    assert store.standing(claimed.question_id, PRECISION).closed_as == "overtaken"
    assert store.put(claimed.question_id) is False
    assert reviews(ledger, "run-2").claim(20) == []


def test_a_question_of_nobody_is_an_error(ledger):
    """A number that the ledger does not know."""
    with pytest.raises(PermanentError, match="question 99"):
        reviews(ledger).standing(99, PRECISION)


def test_a_text_that_could_not_be_judged_is_asked_too(ledger):
    """No machine has a word in it; a person's decision takes it out of quarantine."""
    contribution_id = add_case(ledger, 1, kind="quarantined")

    decide_once(ledger, contribution_id, "run-1", Option.ACCEPT)

    assert state(ledger, contribution_id) == "accepted"
    assert ledger.execute("SELECT machine FROM decision").fetchone() == (None,)
    assert ledger.execute("SELECT count(*) FROM labelled_sample").fetchone() == (0,)


def test_what_was_passed_on_is_asked_at_once_and_not_of_the_same_person(ledger):
    """A second question of its own kind, shown with the first one's note; the database agrees."""
    contribution_id = add_case(ledger, 1)
    decide_once(ledger, contribution_id, "run-1", Option.ESCALATE, ANNE, note="Je le connais.")
    assert woken(ledger) == ["escalated"]

    store = reviews(ledger, "run-2")
    (claimed,) = store.claim(20)
    question = store.standing(claimed.question_id, PRECISION).question

    assert (question.kind, question.earlier[0].note) == ("escalation", "Je le connais.")
    assert question.excluded == (ANNE,)
    with pytest.raises(psycopg.errors.RestrictViolation, match="another person"):
        settle(store, claimed.question_id, answered(Option.REFUSE, ANNE))
    settle(store, claimed.question_id, answered(Option.ACCEPT, BRUNO))
    assert state(ledger, contribution_id) == "accepted"


def test_an_author_has_thirty_days_to_rephrase(ledger):
    """Meanwhile nobody is asked; afterwards a person is, and the same one may answer."""
    contribution_id = add_case(ledger, 1)
    decide_once(ledger, contribution_id, "run-1", Option.REPHRASE)
    assert reviews(ledger, "run-2").claim(20) == []

    ledger.execute("SET session_replication_role = replica")
    ledger.execute("UPDATE decision SET decided_at = now() - interval '31 days'")
    ledger.execute("SET session_replication_role = DEFAULT")

    decide_once(ledger, contribution_id, "run-3", Option.REFUSE)
    assert state(ledger, contribution_id) == "refused"


def test_a_contested_refusal_is_a_second_question_to_another_person(ledger):
    """The second decision supersedes, both stay on record, and the appeal is closed."""
    contribution_id = add_case(ledger, 1)
    first = decide_once(ledger, contribution_id, "run-1", Option.REFUSE, ANNE)

    file_appeal(ledger, TOWN, contribution_id, "Je ne visais personne.")

    assert woken(ledger) == ["appeal"]
    assert state(ledger, contribution_id) == "refused"
    store = reviews(ledger, "run-2")
    (claimed,) = store.claim(20)
    question = store.standing(claimed.question_id, PRECISION).question
    assert (question.kind, question.appeal) == ("appeal", "Je ne visais personne.")
    assert question.excluded == (ANNE,)
    second = settle(store, claimed.question_id, answered(Option.ACCEPT, BRUNO))
    assert state(ledger, contribution_id) == "accepted"
    rows = ledger.execute(
        "SELECT decision_id, outcome, kind, supersedes FROM decision ORDER BY decision_id"
    ).fetchall()
    assert rows == [(first, "refused", "case", None), (second, "accepted", "appeal", first)]
    assert ledger.execute("SELECT count(*) FROM appeal WHERE closed_at IS NULL").fetchone() == (0,)
    assert reconcile(ledger, TOWN, DAY)["accepted"] == 1


@pytest.mark.parametrize("same", [ANNE, Person("9", "ANNE"), Person("4", "Anne Le Gall")])
def test_an_appeal_answered_by_the_same_person_is_refused(ledger, same):
    """The database refuses it too, whoever writes and however the name is spelled."""
    contribution_id = add_case(ledger, 1)
    decide_once(ledger, contribution_id, "run-1", Option.REFUSE, ANNE)
    file_appeal(ledger, TOWN, contribution_id, "Non.")
    store = reviews(ledger, "run-2")
    (claimed,) = store.claim(20)

    with pytest.raises(psycopg.errors.RestrictViolation, match="another person"):
        settle(store, claimed.question_id, answered(Option.REFUSE, same))

    assert ledger.execute("SELECT count(*) FROM decision").fetchone() == (1,)


def test_an_appeal_that_is_passed_on_stays_open(ledger):
    """The refusal is suspended until a third person decides."""
    contribution_id = add_case(ledger, 1)
    decide_once(ledger, contribution_id, "run-1", Option.REFUSE, ANNE)
    file_appeal(ledger, TOWN, contribution_id, "Non.")
    decide_once(ledger, contribution_id, "run-2", Option.ESCALATE, BRUNO)
    assert state(ledger, contribution_id) == "review"

    store = reviews(ledger, "run-3")
    (claimed,) = store.claim(20)
    question = store.standing(claimed.question_id, PRECISION).question

    assert (question.kind, question.excluded) == ("appeal", (ANNE, BRUNO))
    settle(store, claimed.question_id, answered(Option.REFUSE, CLARA))
    assert state(ledger, contribution_id) == "refused"
    with pytest.raises(ConfigurationError, match="confirmed"):
        file_appeal(ledger, TOWN, contribution_id, "Encore.")


def test_only_a_standing_refusal_can_be_contested(ledger):
    """With words of the author; filed twice it is one appeal."""
    contribution_id = add_case(ledger, 1)
    with pytest.raises(ConfigurationError, match="not refused"):
        file_appeal(ledger, TOWN, contribution_id, "Non.")
    with pytest.raises(ConfigurationError, match="not in the ledger"):
        file_appeal(ledger, TOWN, "form:99", "Non.")
    decide_once(ledger, contribution_id, "run-1", Option.REFUSE, ANNE)
    for words in ("", "  ", "a" * 4001):
        with pytest.raises(ConfigurationError, match="appeal"):
            file_appeal(ledger, TOWN, contribution_id, words)

    first = file_appeal(ledger, TOWN, contribution_id, "Non.")

    assert file_appeal(ledger, TOWN, contribution_id, "Non, non.") == first
    assert ledger.execute("SELECT words FROM appeal").fetchall() == [("Non.",)]


def test_an_overruled_machine_becomes_a_labelled_sample(ledger):
    """With person and day, and without a copy of the citizen's words."""
    contribution_id = add_case(ledger, 1)

    decision_id = decide_once(ledger, contribution_id, "run-1", Option.ACCEPT)

    row = ledger.execute(
        "SELECT contribution_id, decision_id, expected_decision, machine_decision, engine,"
        " rubric_version, overruled, superseded_at FROM labelled_sample"
    ).fetchone()
    assert row == (
        contribution_id,
        decision_id,
        "accept",
        "refusal_proposed",
        "embedded",
        "embedded-1",
        True,
        None,
    )
    provenance, today = ledger.execute(
        "SELECT provenance, to_char(now() AT TIME ZONE 'Europe/Paris', 'YYYY-MM-DD')"
        " FROM labelled_sample"
    ).fetchone()
    assert provenance == f"decided by Anne on {today}"
    whole = ledger.execute("SELECT to_jsonb(s)::text FROM labelled_sample s").fetchone()[0]
    assert "idiot" not in whole


def test_a_superseded_answer_is_no_sample_any_more(ledger):
    """After an appeal the second decision teaches, the first one does not."""
    contribution_id = add_case(ledger, 1)
    decide_once(ledger, contribution_id, "run-1", Option.REFUSE, ANNE)
    file_appeal(ledger, TOWN, contribution_id, "Non.")
    decide_once(ledger, contribution_id, "run-2", Option.ACCEPT, BRUNO)

    standing = ledger.execute(
        "SELECT expected_decision, overruled FROM labelled_sample WHERE superseded_at IS NULL"
    ).fetchall()
    assert standing == [("accept", True)]
    assert ledger.execute("SELECT count(*) FROM labelled_sample").fetchone() == (2,)


def test_no_machine_undoes_what_a_person_decided_by_a_question(ledger):
    """Law 4 holds for these decisions as well."""
    contribution_id = add_case(ledger, 1)
    decide_once(ledger, contribution_id, "run-1", Option.ACCEPT)

    with pytest.raises(psycopg.errors.RestrictViolation, match="decided by a person"):
        ledger.execute("UPDATE contribution SET state = 'refusal_proposed'")


def test_both_delays_are_counted_apart(ledger):
    """Median and oldest of texts that name a group, and of the others; of two, the longer wait."""
    for number, hours in enumerate((1, 5, 9)):
        add_case(ledger, number, hours=hours, group=True)
    for number, hours in enumerate((2, 4)):
        add_case(ledger, 10 + number, hours=hours)
    add_case(ledger, 20, hours=50, town="elsewhere")

    times = waiting_times(ledger, TOWN)

    def in_hours(kind):
        return [round(times[kind][name] / 3600) for name in ("median_s", "oldest_s")]

    assert (times["group"]["waiting"], in_hours("group")) == (3, [5, 9])
    assert (times["others"]["waiting"], in_hours("others")) == (2, [4, 4])


def test_nothing_that_waits_is_no_delay(ledger):
    """Zero and no moment, for both kinds."""
    for delay in delays(ledger, TOWN):
        assert (delay.waiting, delay.median_since, delay.oldest_since) == (0, None, None)


@pytest.mark.parametrize(
    ("output", "is_group"),
    [
        ('{"review_reason": "mention_de_groupe"}', True),
        ('{"evidence": [{"rule": "a"}, {"rule": "doute.groupe-hostile"}]}', True),
        ('{"evidence": [{"rule": "discrimination.etre"}]}', True),
        ('{"review_reason": "accusation", "evidence": [{"rule": "attaque.fonction"}]}', False),
        ('{"evidence": null}', False),
        ('{"evidence": "groupe"}', False),
        ("[]", False),
        (None, False),
    ],
)
def test_the_ledger_tells_texts_that_name_a_group_apart(ledger, output, is_group):
    """As the domain does; whatever an older version stored is no group."""
    assert ledger.execute("SELECT names_group(%s::jsonb)", (output,)).fetchone() == (is_group,)
