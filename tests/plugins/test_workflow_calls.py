"""The http steps of named workflows, against a site on this machine that also answers wrongly."""

import json

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk import Connection

from include.anonymisation import AnonymisationError
from include.documents.addresses import AddressGuard
from participation import steps, workflow_calls, workflow_dags
from participation.ledger.workflows import status_of
from participation.settings import Settings
from tests.stub_site import in_turn, page, redirect, running
from tests.workflow_files import definition
from tests.workflow_runs import run_tasks

pytestmark = pytest.mark.postgres

CALL = """
steps:
  - id: ask
    kind: http
    connection: town_site
    method: {method}
    path: {path}
    {more}
output: {{said: "${{steps.ask.body}}", status: "${{steps.ask.status}}"}}
"""


@pytest.fixture
def site():
    with running() as site:
        yield site


@pytest.fixture
def connected(site, monkeypatch):
    """Make the connection of the definition, and let workflows call its host."""

    def connected(*, hosts=None, extra=None, **fields):
        given = {"allowed": [site.endpoint]} if extra is None else extra
        made = Connection(
            conn_id="town_site",
            **{
                "conn_type": "http",
                "host": "127.0.0.1",
                "schema": "http",
                "port": site.port,
                "extra": json.dumps(given),
                **fields,
            },
        )
        monkeypatch.setenv("AIRFLOW_CONN_TOWN_SITE", made.as_json())
        allowed = site.endpoint if hosts is None else hosts
        monkeypatch.setattr(steps, "Settings", lambda: Settings(workflow_hosts=allowed))

    return connected


@pytest.fixture
def ask(ledger, instance, tmp_path):
    def ask(path="/x", method="GET", more="", given=None, run_id="run-1"):
        read = definition(tmp_path, CALL.format(path=path, method=method, more=more))
        run = run_tasks(workflow_dags.workflow_dag(read), instance, given or {}, run_id=run_id)
        return run, status_of(ledger, "small", run_id)

    return ask


def test_an_answer_is_the_steps_result(site, connected, ask):
    connected(password="t0ken")
    site.pages["/people/ab-1"] = page(b'{"name": "Le Bihan"}')

    run, told = ask("/people/${input.kind}", given={"kind": "ab-1"})

    assert run.states == {"ask": "success", "finish": "success"}
    assert told["output"] == {"said": {"name": "Le Bihan"}, "status": 200, "warnings": []}
    assert site.seen[0].headers["authorization"] == "Bearer t0ken"


def test_what_is_sent_is_built_from_the_input(site, connected, ask):
    """Sent with a key that says that the second time is the same request."""
    connected()
    site.pages["/x"] = in_turn(page(b"later", 503), page(b"taken", 201))

    run, told = ask(
        method="POST",
        more="json: {n: '${input.value}', say: 'kind ${input.kind}'}\n"
        "    query: {lang: fr, n: '${input.value}'}\n"
        "    on_error: retry\n    retry: {attempts: 2, wait_s: 0}",
        given={"value": 7, "kind": "quai"},
    )

    assert told["output"]["said"] == "taken"
    assert [seen.path for seen in site.seen] == ["/x?lang=fr&n=7"] * 2
    assert json.loads(site.seen[1].body) == {"n": 7, "say": "kind quai"}
    keys = {seen.headers["idempotency-key"] for seen in site.seen}
    assert len(keys) == 1
    assert run.tries["ask"] == 2


def test_put_is_put(site, connected, ask):
    connected()
    site.pages["/x"] = page(b"{}")

    ask(method="PUT", more="json: {}")

    assert [(seen.method, seen.body) for seen in site.seen] == [("PUT", b"{}")]


@pytest.mark.parametrize(
    ("answer", "says", "tries"),
    [
        (page(b"", 500), "HTTP 500", 3),
        (page(b"", 429, Retry_After="9"), "HTTP 429", 3),
        (page(b"", 401), "look at the connection's key", 1),
        (page(b"", 404), "does not take this request", 1),
        (page(b"x" * 200_000), "is no JSON", 1),
        (page(b"half", Content_Length="400"), "nouvel essai plus tard", 3),
    ],
    ids=["500", "429", "401", "404", "no_json", "cut_off"],
)
def test_an_answer_that_is_none_fails_the_step(site, connected, ask, answer, says, tries):
    """Tried again where that may help, and only there."""
    connected()
    site.pages["/x"] = answer

    run, told = ask(more="on_error: retry\n    retry: {attempts: 3, wait_s: 1}")

    assert run.states == {"ask": "failed", "finish": "failed"}
    assert says in told["steps"][0]["error"]["cause"]
    assert run.tries["ask"] == tries
    assert told["steps"][0]["tries"] == tries
    if says == "HTTP 429":
        assert run.waits["ask"] == [9.0, 9.0]


def test_a_redirect_is_not_followed(site, connected, ask):
    """Not even to the same site: where a request goes is the connection's to say."""
    connected()
    site.pages["/x"] = redirect(site.url("/y"))
    site.pages["/y"] = page(b"{}")

    run, _ = ask()

    assert site.paths() == ["/x"]
    assert "HTTP 302, a redirect" in run.said["ask"]


def test_a_host_that_is_not_on_the_list_is_not_called(site, connected, ask):
    connected(hosts="api.example.org, 127.0.0.1")

    run, _ = ask()

    assert site.seen == []
    assert f"{site.endpoint} is not among the hosts" in run.said["ask"]


def test_an_address_of_the_house_is_refused_unless_the_connection_names_it(site, connected, ask):
    """On the list or not: a list of names is no leave to ask this machine."""
    connected(extra={})

    run, _ = ask()

    assert site.seen == []
    assert "réseau interne" in run.said["ask"]


def test_a_name_that_leads_into_the_house_is_refused(site, connected, ask, monkeypatch):
    """The name is on the list, and a resolver says that it is this machine."""
    connected(hosts=f"api.example.org:{site.port}", extra={}, host="api.example.org")
    original = AddressGuard.__init__

    def resolved(self, *arguments, **named):
        original(
            self, *arguments, **{**named, "ports": {site.port}, "resolve": lambda *_: ["127.0.0.1"]}
        )

    monkeypatch.setattr(AddressGuard, "__init__", resolved)

    run, _ = ask()

    assert site.seen == []
    assert "réseau interne" in run.said["ask"]


@pytest.mark.parametrize(
    "path", ["/a/../b", "/a//b", "/a?b=1", "/%2e%2e/b", "/a\\\\b", "/./a", "/a#b"]
)
def test_a_path_stays_below_the_connection(site, connected, ask, path):
    connected()

    run, _ = ask(path)

    assert site.seen == []
    assert run.states["ask"] == "failed"


@pytest.mark.parametrize("value", ["../admin", "a/b", "x?y", "@evil.example"])
def test_a_value_is_one_part_of_a_path(site, connected, ask, value):
    connected()

    run, _ = ask("/people/${input.kind}", given={"kind": value})

    assert site.seen == []
    assert "is no part of a path" in run.said["ask"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [({"conn_type": "postgres"}, "through http only"), ({"host": ""}, "town_site")],
)
def test_a_connection_of_another_kind_is_refused(site, connected, ask, fields, says):
    connected(**fields)

    run, _ = ask()

    assert says in run.said["ask"]


def test_a_missing_connection_is_named(connected, ask, monkeypatch):
    connected()
    monkeypatch.delenv("AIRFLOW_CONN_TOWN_SITE")

    run, _ = ask()

    assert "there is no connection town_site" in run.said["ask"]


NOTE = "Contactez Mme Marie Le Goff au 06 12 34 56 78 pour la visite du port d'Audierne."
KIND = "json: {texts: ['${input.kind}'], sent_by: Mairie Le Goff}"


@pytest.fixture
def outside(monkeypatch):
    """Let the site of the test stand outside, unless its connection says otherwise."""

    def placed(_host, extra=None):
        return "local" if (extra or {}).get("is_local") is True else "outside"

    monkeypatch.setattr(workflow_calls, "location_of", placed)


@pytest.mark.usefixtures("outside")
def test_persons_stay_in_the_house(site, connected, ask):
    """Law 7: what a run puts in is anonymised; what the definition says itself is not its to change."""
    connected()
    site.pages["/x"] = page(b"{}")

    ask(method="POST", more=KIND, given={"kind": NOTE})

    sent = json.loads(site.seen[0].body)
    assert sent["sent_by"] == "Mairie Le Goff"
    assert "Marie" not in sent["texts"][0]
    assert "06 12" not in sent["texts"][0]
    assert "pour la visite du port" in sent["texts"][0]


@pytest.mark.usefixtures("outside")
def test_a_question_in_the_address_loses_its_persons_too(site, connected, ask):
    connected()
    site.pages["/x"] = page(b"{}")

    ask(more="query: {q: '${input.kind}'}", given={"kind": NOTE})

    assert "Marie" not in site.seen[0].path
    assert "q=" in site.seen[0].path


@pytest.mark.usefixtures("outside")
def test_the_name_of_a_document_is_sent_as_it_is(site, connected, ask):
    connected()
    site.pages["/x"] = page(b"{}")

    ask(method="POST", more=KIND, given={"kind": "ab12" * 16})

    assert json.loads(site.seen[0].body)["texts"] == ["ab12" * 16]


@pytest.mark.usefixtures("outside")
def test_a_site_of_the_towns_own_is_told_everything(site, connected, ask):
    connected(extra={"allowed": [site.endpoint], "is_local": True})
    site.pages["/x"] = page(b"{}")

    ask(method="POST", more=KIND, given={"kind": NOTE})

    assert json.loads(site.seen[0].body)["texts"] == [NOTE]


@pytest.mark.parametrize("error", [AnonymisationError("in doubt"), RuntimeError("no words")])
@pytest.mark.usefixtures("outside")
def test_an_anonymisation_that_fails_stops_the_call(site, connected, ask, monkeypatch, error):
    """In doubt as well: nothing is sent that may tell who somebody is."""

    def broken(_text, **_named):
        raise error

    connected()
    monkeypatch.setattr(workflow_calls, "anonymise_for_outside", broken)

    run, _ = ask(method="POST", more=KIND, given={"kind": NOTE})

    assert site.seen == []
    assert run.states["ask"] == "failed"


def test_an_error_repeats_nothing_of_what_was_sent_or_said(site, connected, ask):
    """Neither the citizen's words nor the token reach the log by way of an error."""
    connected(password="t0ken")
    site.pages["/x"] = page(b"you sent quai", 400)

    run, told = ask(method="POST", more="json: {text: '${input.kind}'}", given={"kind": "quai"})

    written = json.dumps([run.said, told["steps"], told["reason"]])
    assert "quai" not in written
    assert "t0ken" not in written


def test_a_number_that_is_none_is_no_json(site, connected, ask):
    connected()
    site.pages["/x"] = page(b'{"n": NaN}')

    _, told = ask()

    assert told["output"]["said"] == '{"n": NaN}'
