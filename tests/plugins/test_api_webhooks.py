"""Telling partners: what is owed is owed with the change, and arrives signed, at least once, in order."""

import base64
import json
import random
from collections import defaultdict
from datetime import UTC, date, datetime

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

import psycopg
from airflow.sdk.exceptions import AirflowSkipException

from include.documents.addresses import AddressGuard
from include.errors import PermanentError, ProcessingError
from include.signing import is_signed, new_secret
from participation import steps, webhook_tasks
from participation.hooks.webhooks import Target, target
from participation.ledger import alerts, reports, webhooks
from participation.ledger.alerts import Outcome
from participation.ledger.submissions import receive
from participation.ledger.webhooks import EVENTS
from tests.plugins.api_rows import decide, judge_as, record
from tests.stub_site import page, running

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
SECRET = new_secret()


@pytest.fixture
def receiver():
    """A partner's server that takes everything."""
    with running() as site:
        site.pages["/hook"] = page(b"ok")
        yield site


@pytest.fixture
def deliver(instance, ledger, receiver, monkeypatch):
    """Run the task that delivers, against the receiver of the test."""
    monkeypatch.setattr(webhook_tasks, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(webhook_tasks, "LONGEST_WAIT_S", 0.05)
    goal = Target(receiver.url("/hook"), SECRET, guard=AddressGuard(allowed=[receiver.endpoint]))

    def deliver(stay_s=20.0, **more):
        instance.try_number += 1
        with steps.visit("deliver") as here:
            return webhook_tasks.deliver(here, stay_s=stay_s, find=lambda _: goal, **more)

    return deliver


@pytest.fixture
def subscribed(ledger):
    """Somebody wants to hear of everything."""
    return webhooks.subscribe(
        ledger, TOWN, list(EVENTS), "olga", url="https://partner.example/hook", sealed_secret="x"
    )


@pytest.fixture
def received(ledger):
    """Contributions that wait; their codes."""

    def received(count, source="api"):
        records = [
            record(f"Le banc {n} du quai est cassé.", source, str(n + 1)) for n in range(count)
        ]
        return [each.code for each in receive(ledger, TOWN, records, "uma")]

    return received


def told(receiver):
    return [json.loads(seen.body) for seen in receiver.seen]


def event_of(receiver, request):
    """Read the body of the request that is being answered; others come at the same time."""
    told_now = request.headers["webhook-id"]
    return next(each for each in reversed(told(receiver)) if each["id"] == told_now)


def test_half_of_the_answers_are_lost_and_every_event_arrives_in_order(
    deliver, ledger, receiver, received, subscribed
):
    """Several events of each of thirty contributions: each once taken, none before the one before it."""
    dice, taken = random.Random(7), defaultdict(list)  # noqa: S311 - the same each time

    def fails_half_the_time(request):
        event = event_of(receiver, request)
        if dice.random() < 0.5:
            page(b"busy", 503)(request)
        else:
            taken[event["data"]["contribution_id"]].append(event["id"])
            page(b"ok")(request)

    receiver.pages["/hook"] = fails_half_the_time
    codes = received(30)
    for code in codes:
        judge_as(ledger, code, "review")
    for outcome in ("accepted", "refused", "review", "accepted"):
        for code in codes:
            decide(ledger, code, outcome)

    docket = deliver()

    owed = defaultdict(list)
    for subject, event_id, kind in ledger.execute(
        "SELECT subject, event_id::text, kind FROM webhook_event ORDER BY position"
    ):
        owed[subject].append((event_id, kind))
    assert len(owed) == 30
    for subject, events in owed.items():
        assert [event_id for event_id, _ in events] == list(dict.fromkeys(taken[subject]))
        assert [kind for _, kind in events] == [
            "contribution.accepted",
            "contribution.decided",
            "contribution.decided",
            "contribution.decided",
            "contribution.accepted",
            "contribution.decided",
        ]
    assert docket["left"] == 0
    assert docket["failed_attempts"] > 50
    assert webhooks.waiting(ledger, TOWN) == 0


def test_the_label_holds_four_things_and_no_violation(
    deliver, ledger, receiver, received, subscribed
):
    """``issueNumber, is_valid, category, confidence``, and by what to find the contribution again."""
    code, other = received(2, source="github-issues")
    judge_as(ledger, code, "accepted", violations=["spam"], category="logement", confidence=0.91)
    judge_as(ledger, other, "review", violations=["spam"])

    deliver()

    (event,) = told(receiver)
    assert event["type"] == "contribution.accepted"
    label = {
        key: event["data"].pop(key) for key in ("issueNumber", "is_valid", "category", "confidence")
    }
    assert label == {"issueNumber": 1, "is_valid": True, "category": "logement", "confidence": 0.91}
    assert set(event["data"]) == {"contribution_id", "receipt", "source"}
    assert "spam" not in receiver.seen[0].body.decode()


def test_the_ledger_takes_no_label_that_says_more(ledger):
    """Whoever writes the event: what is held against a text cannot stand in it."""
    for data in ({"is_valid": True, "violations": []}, {"is_valid": False}, {}):
        with pytest.raises(psycopg.errors.CheckViolation):
            ledger.execute(
                "INSERT INTO webhook_event (municipality, kind, subject, data)"
                " VALUES ('t', 'contribution.accepted', 'c', %s)",
                (json.dumps(data),),
            )


def test_nothing_is_told_before_it_is_accepted(deliver, ledger, received, subscribed):
    """What waits, what a person reads and what a machine would refuse is nobody else's business."""
    for code, state in zip(received(3), ("pending", "review", "refusal_proposed"), strict=True):
        if state != "pending":
            judge_as(ledger, code, state)

    with pytest.raises(AirflowSkipException):
        deliver()


def test_an_acceptance_that_no_longer_stands_is_withheld(
    deliver, ledger, receiver, received, subscribed
):
    """The label of a text that is doubted again is not sent; what a person decided is."""
    doubted, refused = received(2)
    for code in (doubted, refused):
        judge_as(ledger, code, "accepted")
    judge_as(ledger, doubted, "review")
    decide(ledger, refused, "refused")

    docket = deliver()

    assert [each["type"] for each in told(receiver)] == ["contribution.decided"]
    assert told(receiver)[0]["data"]["outcome"] == "refused"
    assert docket["withheld"] == 2


def test_an_event_is_owed_with_what_happened_or_not_at_all(ledger, received, subscribed):
    """In one transaction: a change that is taken back owes nothing."""
    (code,) = received(1)

    with ledger.transaction(force_rollback=True):
        judge_as(ledger, code, "accepted")
        assert webhooks.waiting(ledger, TOWN) == 1

    assert webhooks.waiting(ledger, TOWN) == 0
    judge_as(ledger, code, "accepted")
    assert webhooks.waiting(ledger, TOWN) == 1
    topics = ledger.execute("SELECT count(*) FROM outbox WHERE topic = 'webhook_due'").fetchone()
    assert topics == (1,)


def test_who_did_not_subscribe_is_owed_nothing(ledger, received):
    """Neither before, nor after the end, nor for another town or another event."""
    codes = received(3)
    judge_as(ledger, codes[0], "accepted")
    ended = webhooks.subscribe(
        ledger, TOWN, ["contribution.accepted"], "o", conn_id="participation_webhook"
    )
    assert webhooks.end(ledger, TOWN, ended, "o")
    webhooks.subscribe(ledger, "quimper", list(EVENTS), "o", conn_id="participation_webhook")
    webhooks.subscribe(ledger, TOWN, ["report.published"], "o", conn_id="participation_webhook")

    judge_as(ledger, codes[1], "accepted")
    decide(ledger, codes[2], "accepted")

    assert ledger.execute("SELECT count(*) FROM webhook_delivery").fetchone() == (0,)


def test_a_report_is_told_each_time_it_is_written(deliver, ledger, receiver, subscribed):
    """The day and where it stands."""
    for _ in range(2):
        reports.save_report(
            ledger,
            TOWN,
            date(2026, 1, 12),
            html_path="h",
            markdown_path="m",
            figures={},
            dag_id="daily_chain",
            run_id="r",
        )

    deliver()

    days = [(each["type"], each["data"]["day"]) for each in told(receiver)]
    assert days == [("report.published", "2026-01-12")] * 2


def test_every_event_is_signed(deliver, ledger, receiver, received, subscribed):
    """The receiver knows who sent which body and when; a changed byte, id or time shows."""
    judge_as(ledger, *received(1), "accepted")

    deliver()

    (seen,) = receiver.seen
    now = int(seen.headers["webhook-timestamp"])
    assert seen.headers["webhook-id"] == json.loads(seen.body)["id"]
    assert is_signed(SECRET, seen.headers, seen.body, now)
    assert not is_signed(new_secret(), seen.headers, seen.body, now)
    assert not is_signed(SECRET, seen.headers, seen.body + b" ", now)
    assert not is_signed(SECRET, seen.headers | {"webhook-id": "other"}, seen.body, now)
    assert not is_signed(SECRET, seen.headers, seen.body, now + 301)
    assert SECRET not in str(seen.headers)
    assert "authorization" not in seen.headers


def test_one_that_fails_holds_up_nobody_else(deliver, ledger, receiver, received, subscribed):
    """One contribution's events are refused for ever; those of all others arrive."""
    codes = received(5)
    for code in codes:
        judge_as(ledger, code, "accepted")

    def refuses_one(request):
        number = event_of(receiver, request)["data"]["issueNumber"]
        page(b"", 500 if number == 1 else 204)(request)

    receiver.pages["/hook"] = refuses_one
    docket = deliver(stay_s=0.5)

    assert docket["delivered"] == 4
    assert docket["left"] == 1
    assert any("answered 500" in each for each in docket["warnings"])


def test_what_is_given_up_turns_the_run_red(deliver, ledger, receiver, received, subscribed):
    """After three days, and not in silence."""
    receiver.pages["/hook"] = page(b"", 500)
    judge_as(ledger, *received(1), "accepted")
    deliver(stay_s=0.1)
    ledger.execute("UPDATE webhook_event SET occurred_at = now() - interval '4 days'")
    ledger.execute("UPDATE webhook_delivery SET due_at = now()")

    with pytest.raises(ProcessingError) as red:
        deliver()

    assert isinstance(red.value.cause, PermanentError)
    assert "given up" in str(red.value)
    (shown,) = webhooks.listed(ledger, TOWN)
    assert (shown.waiting, shown.dropped) == (0, 1)


def test_a_receiver_inside_the_house_is_not_asked(ledger, receiver, received, subscribed, deliver):
    """The guard looks again at each delivery: a name may lead elsewhere by then."""
    judge_as(ledger, *received(1), "accepted")
    inside = Target(receiver.url("/hook"), SECRET)
    sent = webhook_tasks._send(inside, webhooks.due(ledger, subscribed, 1)[0])

    assert "réseau interne" in sent[0]
    assert receiver.seen == []


# By REST


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook",
        "https://127.0.0.1/hook",
        "https://169.254.169.254/latest",
        "https://[::1]/hook",
        "https://10.0.0.1/hook",
        "https://2130706433/hook",
        "https://user:word@1.1.1.1/hook",
        "https://1.1.1.1:22/hook",
        "http://1.1.1.1/hook",
        "ftp://1.1.1.1/hook",
    ],
)
def test_an_address_inside_the_house_is_refused(caller, ledger, url):
    """However it is written; and nothing goes out unencrypted."""
    answer = caller("op").post("/webhooks", json={"url": url, "events": list(EVENTS)})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "url"
    assert ledger.execute("SELECT count(*) FROM webhook").fetchone() == (0,)


def test_a_secret_is_shown_once_and_kept_sealed(caller, ledger):
    """The ledger does not hold it in clear, no answer repeats it, and the task can read it."""
    op = caller("op")
    made = op.post(
        "/webhooks", json={"url": "https://1.1.1.1/hook", "events": ["report.published"]}
    )
    secret = made.json()["secret"]

    (row,) = ledger.execute("SELECT url, sealed_secret, conn_id FROM webhook").fetchall()

    assert made.status_code == 201
    assert secret not in str(row)
    assert base64.b64decode(secret.removeprefix("whsec_")) not in str(row).encode()
    assert target(*row).secret == secret
    assert secret not in repr(target(*row))
    assert secret.removeprefix("whsec_") not in op.get("/webhooks").text
    number = made.json()["webhook_id"]
    assert op.delete(f"/webhooks/{number}").status_code == 204
    assert op.delete(f"/webhooks/{number}").status_code == 404
    assert op.get("/webhooks").json() == {"webhooks": []}


def test_a_connection_may_allow_what_an_address_may_not(caller, monkeypatch, receiver):
    """Its password signs and is not sent; one without a good secret, or that is not there, is refused."""
    op, body = (
        caller("op"),
        {"conn_id": "participation_webhook_town", "events": ["report.published"]},
    )
    assert op.post("/webhooks", json=body).status_code == 422
    known = {
        "conn_type": "http",
        "host": receiver.url("/hook"),
        "password": "short",
        "extra": {"allowed": [receiver.endpoint], "headers": {"X-Partner": "town"}},
    }
    monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_WEBHOOK_TOWN", json.dumps(known))
    assert op.post("/webhooks", json=body).status_code == 422
    known["password"] = SECRET
    monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_WEBHOOK_TOWN", json.dumps(known))

    assert op.post("/webhooks", json=body).json() == {"webhook_id": 1}
    goal = target(None, None, "participation_webhook_town")
    answer = goal.client.ask(goal.url, goal.headers, b"{}")

    assert answer.status == 200
    assert receiver.seen[0].headers["x-partner"] == "town"
    assert "authorization" not in receiver.seen[0].headers


def test_a_failed_run_is_told_signed_and_waits_for_a_receiver_that_is_down(
    deliver, ledger, receiver, subscribed
):
    """The run that delivers stays green; the alert is owed until the receiver takes it."""
    ended = datetime.now(UTC)
    outcome = Outcome("daily_chain", "run-1", "failed", "task_failure", None, ended)
    alerts.note_outcome(ledger, TOWN, outcome, by_mail=False)
    alerts.note_late(ledger, TOWN, "daily_chain", "run-1", "late", None, "failed", by_mail=False)
    receiver.pages["/hook"] = page(b"down", 503)

    docket = deliver(stay_s=0.0)

    assert (docket["delivered"], docket["left"]) == (0, 2)
    receiver.pages["/hook"] = page(b"ok")
    assert deliver()["delivered"] == 2
    failed, late = told(receiver)[-2:]
    assert (failed["type"], failed["timestamp"]) == ("run.failed", ended.isoformat())
    assert failed["data"] == {
        "dag_id": "daily_chain",
        "run_id": "run-1",
        "message": "failed: task_failure",
    }
    assert late["type"] == "run.late"
    seen = receiver.seen[-1]
    assert is_signed(SECRET, seen.headers, seen.body)
