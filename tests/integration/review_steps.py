"""Cases that wait for a person, put into a ledger as the analysis leaves them."""

from datetime import date

from include.contributions.precision import PrecisionTable
from include.review.cases import decide, new_receipt_code
from include.review.model import Answer, Option
from participation.ledger.attempt import Attempt
from participation.ledger.review import Reviews
from tests.unit.review.questions import ANNE, TEXT, quoted, validation

TOWN = "audierne-esquibien"
DAY = date(2026, 1, 12)
RUBRIC = "embedded-1"
PRECISION = PrecisionTable({})


def attempt(run_id="run-1", task_id="select", map_index=-1):
    return Attempt("contribution_review", run_id, task_id, map_index, 1)


def reviews(connection, run_id="run-1", **more):
    return Reviews(connection, TOWN, attempt(run_id, **more))


def add_case(connection, number, *, kind="refusal_proposed", hours=0, group=False, day=DAY, **more):
    """Insert a contribution that the machine left to a person; its id."""
    contribution_id = f"form:{number}"
    words = f"{more.get('text', TEXT)} {number}"
    found = validation(
        quoted("un idiot", words, rule="personnes.groupe" if group else "attaque.fonction"),
        decision="review" if kind == "review" else "refusal_proposed",
        rubric_version=RUBRIC,
    )
    with connection.transaction():
        connection.execute("SELECT set_config('participation.emitter', 'test', true)")
        (input_hash,) = connection.execute(
            "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
            " constat_factuel, received_on, received_at)"
            " VALUES (%s, %s, 'form', %s, %s, %s, now() - make_interval(hours => %s))"
            " RETURNING input_hash",
            (contribution_id, more.get("town", TOWN), str(number), words, day, hours),
        ).fetchone()
        connection.execute(
            "INSERT INTO receipt (contribution_id, locator) VALUES (%s, 'test')", (contribution_id,)
        )
        if kind != "quarantined":
            connection.execute(
                "INSERT INTO step_result (item_id, step, input_hash, rubric_version, output, engine)"
                " VALUES (%s, 'validate', %s, %s, %s, 'embedded')",
                (contribution_id, input_hash, RUBRIC, found.model_dump_json()),
            )
        connection.execute(
            "UPDATE contribution SET state = %s, state_rubric = %s WHERE contribution_id = %s",
            (kind, RUBRIC, contribution_id),
        )
        connection.execute(
            "INSERT INTO review_case (contribution_id, input_hash, rubric_version, kind, reason,"
            " opened_at) VALUES (%s, %s, %s, %s, %s, now() - make_interval(hours => %s))",
            (
                contribution_id,
                input_hash,
                RUBRIC,
                kind,
                more.get("reason", kind),
                more.get("opened_hours", hours),
            ),
        )
    return contribution_id


def answered(option=Option.REFUSE, person=ANNE, reason="spam_ou_publicite", **words):
    return Answer(
        option,
        reason if option is Option.REFUSE else None,
        words.get("sentence", ""),
        words.get("note", ""),
        person,
    )


def settle(store, question_id, answer):
    """Take an answer and record it, as the two tasks do; the decision's id."""
    store.accept(question_id, answer)
    standing = store.standing(question_id, PRECISION, lock=True)
    return store.record(question_id, decide(standing.question, answer, new_receipt_code()))


def decide_once(connection, contribution_id, run_id, option=Option.REFUSE, person=ANNE, **more):
    """Ask about what is due and answer for one contribution; the decision's id."""
    store = reviews(connection, run_id)
    for claimed in store.claim(20):
        standing = store.standing(claimed.question_id, PRECISION)
        if standing.question.contribution.contribution_id == contribution_id:
            return settle(store, claimed.question_id, answered(option, person, **more))
    raise AssertionError(f"{contribution_id} is not asked")


def state(connection, contribution_id):
    return connection.execute(
        "SELECT state FROM contribution WHERE contribution_id = %s", (contribution_id,)
    ).fetchone()[0]


def asked_about(connection, run_id):
    return [
        contribution_id
        for (contribution_id,) in connection.execute(
            "SELECT contribution_id FROM review_question WHERE run_id = %s ORDER BY position",
            (run_id,),
        ).fetchall()
    ]
