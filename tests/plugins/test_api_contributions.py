"""Submitting by REST: once, with a receipt; and what a receipt tells to whom."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from include.contributions.receipts import ALPHABET, is_whole
from participation.ledger import connect, outbox
from participation.ledger.books import reconcile
from tests.plugins.api_rows import decide, judge_as

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
BENCH = "Le banc du quai d'Audierne est cassé, il faudrait le réparer."


def submit(client, *texts, **more):
    return client.post(
        "/contributions", json={"contributions": [{"text": text, **more} for text in texts]}
    )


def codes(answer):
    return [each["receipt"] for each in answer.json()["receipts"]]


def test_a_contribution_is_kept_as_it_was_sent(caller, ledger):
    """Both parts, the category and the sender's id; and a receipt that nobody guesses."""
    sent = {
        "constat_factuel": "Le banc est cassé.",
        "idees_ameliorations": "Le réparer.",
        "category": "Écologie",
        "source": "n8n",
        "external_id": "41",
        "submitted_on": "2026-01-12",
    }

    answer = caller("user").post("/contributions", json=sent)

    assert answer.status_code == 201
    (receipt,) = answer.json()["receipts"]
    assert is_whole(receipt["receipt"])
    assert receipt["is_new"] is True
    row = ledger.execute(
        "SELECT constat_factuel, idees_ameliorations, declared_category, source, external_id,"
        " received_on::text, state FROM contribution"
    ).fetchone()
    assert row == (
        "Le banc est cassé.",
        "Le réparer.",
        "ecologie",
        "n8n",
        "41",
        "2026-01-12",
        "pending",
    )
    assert ledger.execute(
        "SELECT locator, external_id, declared_category FROM receipt"
    ).fetchall() == [("api/n8n", "41", "Écologie")]


def test_the_same_text_is_one_contribution_and_one_receipt(caller, ledger):
    """Never a conflict: whoever sends it again is told what was told first."""
    sender = caller("user")

    first = submit(sender, BENCH)
    again = submit(sender, BENCH.replace(" ", "  "))
    twice = submit(sender, "Un autre texte sur le port.", BENCH, BENCH)

    assert (first.status_code, again.status_code, twice.status_code) == (201, 200, 201)
    assert codes(again) == codes(first)
    assert codes(twice)[1:] == codes(first) * 2
    assert [each["is_new"] for each in twice.json()["receipts"]] == [True, False, False]
    assert ledger.execute("SELECT count(*) FROM contribution").fetchone() == (2,)
    assert ledger.execute("SELECT count(*) FROM receipt").fetchone() == (2,)


def test_a_text_that_a_file_brought_has_a_receipt_too(caller, ledger, fill):
    """Whichever way it came first."""
    fill(ledger, count=1)

    answer = submit(caller("user"), "Le banc a0 du quai d'Audierne est cassé.")

    assert answer.status_code == 200
    assert len(codes(answer)) == 1
    assert ledger.execute("SELECT count(*) FROM contribution").fetchone() == (1,)
    assert ledger.execute("SELECT count(*) FROM receipt").fetchone() == (2,)


def test_all_of_a_request_is_kept_or_nothing(caller, ledger):
    """Each entry that is wrong is named, and none of the others is stored."""
    entries = [{"text": BENCH}, {"txt": "x"}, {"text": "a", "constat_factuel": "b"}, {"text": " "}]

    answer = caller("user").post("/contributions", json={"contributions": entries})

    assert answer.status_code == 422
    named = {each["field"] for each in answer.json()["errors"]}
    assert {"contributions[1].txt", "contributions[2]", "contributions[3]"} <= named
    assert not any(field.startswith("contributions[0]") for field in named)
    assert ledger.execute("SELECT count(*) FROM contribution").fetchone() == (0,)


def test_a_thousand_at_once_and_not_one_more(caller, ledger):
    """The receipts come back in the order of the request."""
    texts = [f"Le banc numéro {n} du quai est cassé." for n in range(1_001)]
    sender = caller("user")

    assert submit(sender, *texts).status_code == 422
    answer = submit(sender, *texts[:1_000])

    assert answer.status_code == 201
    assert len(set(codes(answer))) == 1_000
    for position in (0, 500, 999):
        (text,) = ledger.execute(
            "SELECT constat_factuel FROM contribution JOIN receipt_code USING (contribution_id)"
            " WHERE code = %s",
            (codes(answer)[position],),
        ).fetchone()
        assert text == texts[position]


def test_sixteen_clients_at_once_leave_each_text_once(caller, ledger, ledger_dsn):
    """The same texts in other orders, alone and in batches: one contribution, one receipt, one code."""
    texts = [f"La rue {n} d'Esquibien manque de lumière." for n in range(120)]

    def client(number):
        order = random.Random(number).sample(texts, len(texts))  # noqa: S311 - the same each time
        sender, seen = caller("user"), {}
        at = 0
        while at < len(order):
            some = order[at : at + (1 if number % 2 else 40)]
            answer = submit(sender, *some, external_id="7")
            assert answer.status_code in {200, 201}, answer.text
            seen.update(zip(some, codes(answer), strict=True))
            at += len(some)
        return seen

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(client, range(16)))

    assert all(each == found[0] for each in found)
    assert len(set(found[0].values())) == len(texts)
    for table in ("contribution", "receipt", "receipt_code"):
        assert ledger.execute(f"SELECT count(*) FROM {table}").fetchone() == (len(texts),)
    with connect(ledger_dsn) as other:
        (day,) = other.execute("SELECT DISTINCT received_on FROM contribution").fetchone()
        assert reconcile(other, TOWN, day)["submitted"] == len(texts)


def test_a_submission_wakes_the_analysis(caller, ledger):
    """Its day is announced as any other service's would be, once per transaction that added a text."""
    sender = caller("user")
    submit(sender, BENCH, "Le port manque de bornes.")
    submit(sender, BENCH)

    found = outbox.waiting_days(ledger, TOWN, None)

    (day,) = ledger.execute("SELECT received_on::text FROM contribution LIMIT 1").fetchone()
    assert found.days == (day,)
    assert (found.row_count, found.contribution_count) == (1, 2)


def test_a_receipt_tells_a_slip_of_the_pen_from_nothing(caller):
    """A wrong symbol is 422, another town's or nobody's receipt 404; how it is written is all the same."""
    sender = caller("user")
    (code,) = codes(submit(sender, BENCH))
    reader = caller("viewer")

    assert reader.get(f"/contributions/{code.lower().replace('-', '')}").json()["receipt"] == code
    wrong = Counter(
        reader.get(f"/contributions/{code[:-1]}{symbol}").status_code for symbol in ALPHABET
    )
    assert wrong == {200: 1, 422: len(ALPHABET) - 1}
    assert reader.get("/contributions/7K2M-9QX4-TVB0").status_code == 404


def test_another_town_s_receipt_is_nobody_s(caller, monkeypatch):
    """What one town received is not shown by another."""
    (code,) = codes(submit(caller("user"), BENCH))
    monkeypatch.setenv("PARTICIPATION_MUNICIPALITY", "quimper")

    assert caller("admin").get(f"/contributions/{code}").status_code == 404


@pytest.mark.parametrize(
    ("state", "decision", "shown"),
    [
        ("review", "review", "in_review"),
        ("refusal_proposed", "refusal_proposed", "in_review"),
        ("accepted", "accept", "accepted"),
    ],
)
def test_what_the_machine_thinks_is_for_who_may_judge(caller, ledger, state, decision, shown):
    """A viewer hears that a person reads the text, and nothing of what a machine proposed."""
    (code,) = codes(submit(caller("user"), BENCH))
    judge_as(ledger, code, state, violations=["spam"])

    seen = caller("viewer").get(f"/contributions/{code}")
    whole = caller("user").get(f"/contributions/{code}").json()

    assert seen.json()["state"] == shown
    assert "machine" not in seen.json()
    assert not any(word in seen.text for word in ("refusal_proposed", "r-", "violations", "spam"))
    assert whole["machine"]["state"] == state
    assert whole["machine"]["validation"]["decision"] == decision


def test_a_receipt_says_why(caller, ledger):
    """The person's statement; for what a machine accepted its words to the citizen."""
    sender, reader = caller("user"), caller("viewer")
    waiting, accepted, refused = codes(
        submit(sender, BENCH, "Le port est beau.", "Achetez mes montres.")
    )
    judge_as(ledger, accepted, "accepted")
    decide(ledger, refused, "refused", "Ce texte fait de la publicité (article 2).")

    def told(code):
        found = reader.get(f"/contributions/{code}").json()
        return found["state"], found["statement"]["decided_by"], found["statement"]["text"]

    assert told(waiting)[:2] == ("received", "nobody")
    assert told(accepted) == ("accepted", "machine", "Parce que.")
    assert told(refused) == ("refused", "person", "Ce texte fait de la publicité (article 2).")


def test_only_a_refusal_is_contested(caller, ledger):
    """Nothing else can be appealed against; nobody who only reads may appeal."""
    (code,) = codes(submit(caller("user"), BENCH))
    body = {"text": "Ce n'est pas de la publicité."}
    address = f"/contributions/{code}/appeal"

    assert caller("user").post(address, json=body).status_code == 409
    decide(ledger, code, "refused")
    assert caller("viewer").post(address, json=body).status_code == 403
    first, again = (caller("user").post(address, json=body) for _ in range(2))

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    assert first.json()["state"] == "open"
    assert caller("viewer").get(f"/contributions/{code}").json()["appeal"] == first.json()
    assert ledger.execute("SELECT words FROM appeal").fetchall() == [(body["text"],)]
    topics = ledger.execute("SELECT count(*) FROM outbox WHERE topic = 'review_due'").fetchone()
    assert topics[0] >= 1


def test_the_code_of_a_statement_finds_its_contribution(caller, ledger, fill):
    """What a citizen was told to quote, also for a text that came with a file."""
    fill(ledger, count=1)
    ledger.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason, receipt_code)"
        " SELECT contribution_id, 'refused', 'Anne', 'off_topic', 'ABCD-2345' FROM contribution"
    )

    found = caller("viewer").get("/contributions/abcd2345").json()
    filed = caller("user").post("/contributions/ABCD-2345/appeal", json={"text": "Si."})

    assert (found["state"], found["receipt"]) == ("refused", "ABCD-2345")
    assert filed.status_code == 201
    assert caller("viewer").get("/contributions/ABCD-2346").status_code == 404
