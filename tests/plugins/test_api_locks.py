"""Law 8 at the REST API: who it is, how often, whether they may, and never by a cookie alone."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from fastapi import Request
from fastapi.routing import APIRoute

from participation.api.acting import OWN_HEADER
from participation.api.v1 import bodies, contributions, ledgers, locks
from participation.api.v1.app import app
from participation.api.v1.problems import ProblemError

pytestmark = pytest.mark.postgres

ROLES = (None, "viewer", "user", "op", "admin")

FIRST_ALLOWED = {
    ("GET", "/openapi.json"): "viewer",
    ("POST", "/workflows"): "user",
    ("GET", "/workflows"): "viewer",
    ("GET", "/workflows/{workflow_id}/status"): "viewer",
    ("GET", "/workflows/{workflow_id}/output"): "viewer",
    ("POST", "/workflows/{workflow_id}/cancel"): "user",
    ("POST", "/workflows/{workflow_id}/retry"): "user",
    ("POST", "/contributions"): "user",
    ("GET", "/contributions/{receipt}"): "viewer",
    ("POST", "/contributions/{receipt}/appeal"): "user",
    ("POST", "/validate"): "user",
    ("POST", "/validate/batch"): "user",
    ("GET", "/search"): "viewer",
    ("GET", "/documents/{document_id}"): "viewer",
    ("POST", "/events"): "user",
    ("POST", "/webhooks"): "op",
    ("GET", "/webhooks"): "op",
    ("DELETE", "/webhooks/{webhook_id}"): "op",
}
"""The least role that gets in, under SimpleAuth; a new route has to be put down here."""

NAMES = {
    "workflow_id": "document_intake.nothing",
    "receipt": "7K2M-9QX4-TVB0",
    "document_id": "0" * 64,
    "webhook_id": "1",
}

BODIES = [
    b"",
    b"null",
    b'"a"',
    b"[",
    b"NaN",
    b"\xff\xfe{}",
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b"[" * 150 + b"]" * 150,
    b'{"text": ' + b"9" * 5_000 + b"}",
    b'{"text": NaN}',
    b'{"text": 1}',
    b'{"text": "a\\u0000b"}',
    b'{"text": "a\\ud800"}',
    b'{"text": "a\\u0007"}',
    b'{"text": "   "}',
    b'{"text": "a", "te\\u0000xt": "b"}',
    b'{"text": "a", "submitted_on": 99999999999999999999}',
    b'{"text": "a", "submitted_on": "9999-12-31"}',
    b'{"text": "a", "external_id": "\\u202e"}',
    b'{"contributions": []}',
    b'{"contributions": [{"text": "Le banc est cass\xc3\xa9."}, {"text": "a\\ud800"}]}',
    b'{"texts": [{"id": "\\ud800", "text": "a"}]}',
    b'{"workflow": "document_intake", "input": {"chunk_size": 1e999}}',
    b'{"workflow": "document_intake", "input": {"chunk_size": 99999999999999999999}}',
    b'{"workflow": "document_intake", "input": {"folder": "\\u0000"}}',
    b'{"workflow": "document_intake", "input": {"folder": {"a": 1}}}',
    b'{"workflow": "document_intake", "input": {"other": 1}}',
    b'{"workflow": "../../etc", "input": {}}',
    b'{"topic": "index_live", "payload": {"a": 1}}',
    b'{"topic": "another", "payload": {}}',
    b'{"url": "http://\\ud800/", "events": ["report.published"]}',
    b'{"url": "https://[::1/", "events": ["report.published"]}',
    b'{"conn_id": "participation_db", "events": ["report.published"]}',
]

ROUTES = [
    (method, route.path)
    for route in app.routes
    if isinstance(route, APIRoute)
    for method in sorted(route.methods)
]
CHANGES = [(method, path) for method, path in ROUTES if method != "GET"]


def asked(client, method, path, **more):
    return client.request(
        method, path.format(**NAMES) + ("?q=x" if path == "/search" else ""), **more
    )


def test_every_route_is_in_the_walk():
    """A route that is added without a word on who may use it fails here."""
    assert set(ROUTES) == set(FIRST_ALLOWED)
    assert {type(route) for route in app.routes} == {APIRoute}


@pytest.mark.parametrize("role", ROLES, ids=str)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_lets_in_who_may_and_nobody_else(caller, method, path, role):
    """401 without a login, 403 without the right, and otherwise whatever the route has to say."""
    answer = asked(caller(role), method, path)

    if role is None:
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    elif ROLES.index(role) < ROLES.index(FIRST_ALLOWED[method, path]):
        assert answer.status_code == 403
    else:
        assert answer.status_code not in {401, 403, 500}, answer.text
    if answer.status_code >= 400:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


def test_the_same_doors_under_fab(ledger_connection, tmp_path):
    """The roles of a deployment, and one that may nothing; the whole server in a process of its own."""
    walk = [[method, path.format(**NAMES)] for method, path in FIRST_ALLOWED]
    asked = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fab_walk.py"))],
        input=json.dumps(walk),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ
        | {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
            "AIRFLOW_CONN_PARTICIPATION_DB": ledger_connection,
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
    )
    assert asked.returncode == 0, asked.stderr[-3000:]
    answers = json.loads(asked.stdout.splitlines()[-1])

    for (method, path), first in FIRST_ALLOWED.items():
        given = answers[f"{method} {path.format(**NAMES)}"]
        assert (given.pop("nobody"), given.pop("public")) == (401, 403), path
        for role, status in given.items():
            if ROLES.index(role) < ROLES.index(first):
                assert status == 403, (path, role)
            else:
                assert status not in {401, 403, 500}, (path, role)


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_a_cookie_alone_changes_nothing(caller, token_of, method, path):
    """Another site's page can send the cookie; it cannot send our header with our origin."""
    nobody = caller(None)
    cookie = {"Cookie": f"_token={token_of('admin')}"}
    own, other = {"Origin": "http://testserver"}, {"Origin": "http://other.example"}
    header = {OWN_HEADER: "1"}

    for insufficient in (
        {},
        own,
        header,
        header | other,
        header | {"Origin": "null"},
        header | own | {"Sec-Fetch-Site": "cross-site"},
    ):
        answer = asked(nobody, method, path, headers=cookie | insufficient)
        assert answer.status_code == 403, insufficient
    enough = asked(nobody, method, path, headers=cookie | header | own)
    assert enough.status_code not in {401, 403, 500}


def test_a_wrong_token_is_nobody(caller):
    """Forged, cut or of another kind: 401, as without one."""
    for wrong in ("x", "a.b.c", "é"):
        answer = caller(None).get(
            "/workflows", headers={"Authorization": f"Bearer {wrong}".encode()}
        )
        assert answer.status_code == 401


def drip(taken, blocks=400, size=64 * 1024):
    """Send a body without a length, and count what of it is taken."""
    for _ in range(blocks):
        taken.append(size)
        yield b" " * size


def test_no_body_is_read_before_it_is_known_who_sends_it(caller):
    """Neither for nobody nor for who may not."""
    for role, status in ((None, 401), ("viewer", 403)):
        taken = []
        answer = caller(role).post("/contributions", content=drip(taken))
        assert (answer.status_code, len(taken)) == (status, 0)


def test_a_body_is_capped_while_it_is_read():
    """Also where nobody said how long it is; the rest is left unread."""
    taken = []
    blocks = drip(taken)

    async def receive():
        return {"type": "http.request", "body": next(blocks), "more_body": True}

    scope = {"type": "http", "method": "POST", "headers": [(b"transfer-encoding", b"chunked")]}
    with pytest.raises(ProblemError) as refused:
        asyncio.run(bodies.received(Request(scope, receive), contributions.MAX_BODY))

    assert refused.value.status == 413
    assert contributions.MAX_BODY < sum(taken) <= contributions.MAX_BODY + 64 * 1024


def test_a_long_body_without_a_length_is_refused(caller):
    """On its way through the whole server."""
    headers = {"Content-Type": "application/json"}

    answer = caller("user").post("/contributions", content=drip([]), headers=headers)

    assert answer.status_code == 413


def test_a_body_that_never_ends_is_not_waited_for(monkeypatch):
    """A slow drip holds no connection for ever."""
    monkeypatch.setattr(bodies, "READ_LIMIT_S", 0.05)

    async def receive():
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(ProblemError) as refused:
        asyncio.run(bodies.received(Request({"type": "http", "headers": []}, receive), 1000))

    assert refused.value.status == 408


def test_a_body_that_says_it_is_too_long_is_not_read(caller):
    """The length alone is enough."""
    long = b'{"text": "' + b"a" * contributions.MAX_BODY + b'"}'
    answer = caller("user").post(
        "/contributions", content=long, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 413
    assert "larger than 4 MB" in answer.json()["detail"]


def test_one_user_cannot_take_the_server_for_itself(caller, monkeypatch):
    """429 and when to come back; who else asks is served."""
    monkeypatch.setenv("PARTICIPATION_API_BURST", "3")
    monkeypatch.setenv("PARTICIPATION_API_PER_SECOND", "0.1")
    locks.buckets.cache_clear()
    hasty = caller("user")

    statuses = [hasty.get("/workflows").status_code for _ in range(5)]
    refused = hasty.post("/contributions", json={"text": "Le banc est cassé."})

    assert statuses == [200, 200, 200, 429, 429]
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 10
    assert caller("viewer").get("/workflows").status_code == 200


@pytest.mark.parametrize("path", [path for method, path in CHANGES if method == "POST"])
def test_hostile_bodies_are_the_sender_s_mistake(caller, ledger, path):
    """Never a 500, and nothing is stored."""
    sender = caller("admin")
    headers = {"Content-Type": "application/json"}

    for body in BODIES:
        answer = asked(sender, "POST", path, content=body, headers=headers)
        assert 400 <= answer.status_code < 500, (body[:100], answer.text)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert "Traceback" not in answer.text
    assert ledger.execute("SELECT count(*) FROM contribution").fetchone() == (0,)


@pytest.mark.parametrize(
    "address",
    [
        "/search?q=%00",
        "/search?q=%ED%A0%80",
        "/search?q=a&k=99999999999999999999999",
        "/search?q=a&since=0000-00-00",
        "/search?q=a&kind=%00",
        "/workflows?cursor=%00",
        "/workflows?cursor=LTE",
        "/workflows?cursor=OTk5OTk5OTk5OTk5OTk5OQ",
        "/workflows?since=9999-99-99",
        "/workflows?workflow=%00",
        "/workflows/document_intake.%00/status",
        "/contributions/%00",
        "/contributions/7K2M-9QX4-TVB1",
        f"/documents/{'g' * 64}",
        "/webhooks?after=-1",
    ],
)
def test_hostile_addresses_are_the_sender_s_mistake(caller, address):
    """Whatever stands in a path or a query."""
    answer = caller("admin").get(address)

    assert answer.status_code in {200, 404, 422}
    if "search?q=%ED" not in address:  # which is read as characters that say nothing
        assert answer.status_code != 200


def test_another_type_of_content_is_refused(caller):
    """A form of another site is no JSON."""
    answer = caller("user").post("/contributions", data={"text": "Le banc est cassé."})

    assert answer.status_code == 415


@pytest.mark.parametrize(
    ("given", "is_kept"),
    [("order-17.a_B", True), ("a b", False), ("x" * 65, False), ("a\tb", False), ("", False)],
)
def test_a_request_has_an_id(caller, given, is_kept):
    """The caller's own where it may stand in a log, else a new one."""
    answer = caller("viewer").get("/workflows", headers={"X-Request-ID": given})

    assert (answer.headers["X-Request-ID"] == given) is is_kept
    assert len(answer.headers["X-Request-ID"]) <= 64


def test_a_mistake_of_ours_says_nothing_of_the_inside(caller, monkeypatch, caplog):
    """500 with the id under which the log has the rest."""

    def broken(*_, **__):
        raise RuntimeError("a secret of the house")

    monkeypatch.setattr("participation.api.v1.search._search", broken)

    answer = caller("viewer").get("/search?q=banc")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "a secret of the house" in caplog.text


def test_a_ledger_that_is_away_is_said(caller, monkeypatch):
    """503 and when to come back, not a 500."""
    nowhere = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "schema": "none"}
    monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_DB", json.dumps(nowhere))
    monkeypatch.setattr(ledgers, "WAIT_S", 0.2)
    ledgers.close()

    answer = caller("viewer").get("/search?q=banc")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"


def test_the_description_is_whole(caller):
    """Every route, every body, and the problems that any of them may answer."""
    document = caller("viewer").get("/openapi.json").json()

    described = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert described == set(ROUTES) - {("GET", "/openapi.json")}
    text = json.dumps(document)
    for name in set(text.split('"#/components/schemas/')[1:]):
        assert name.partition('"')[0] in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], path
            assert "default" in operation["responses"]
            takes_body = method == "post" and not path.endswith(("cancel", "retry"))
            assert ("requestBody" in operation) is takes_body


def test_no_answer_is_kept_or_run(caller):
    """Whatever a browser makes of it: nothing in it runs, and no cache keeps it."""
    for role in (None, "viewer"):
        headers = caller(role).get("/workflows").headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
