"""A connection's credentials go to its own site; what it allows is allowed, and nothing else."""

import base64
import json
import traceback
from collections import Counter

import fsspec
import pytest
import requests
from airflow.sdk import Connection, ObjectStoragePath
from airflow.sdk.io import attach

from include.documents.addresses import AddressGuard, AddressRefusedError
from include.documents.intake import take_files
from include.documents.sources.client import GuardedClient, UnusableAnswerError
from include.errors import ConfigurationError, cause_chain
from participation.hooks.web import OwnSiteAuth, site_of, web_client
from tests.stub_site import page, redirect, running


@pytest.fixture
def sites():
    with running() as own, running() as other:
        yield own, other


def connection(site, **fields):
    extra = {"allowed": [site.endpoint], **fields.pop("extra", {})}
    return Connection(
        conn_id="site",
        conn_type="http",
        host="127.0.0.1",
        schema="http",
        port=site.port,
        extra=json.dumps(extra),
        **fields,
    )


def test_a_token_is_sent_to_its_own_site_with_the_headers_of_the_connection(sites):
    own, _ = sites
    own.pages["/x"] = page(b"ok")

    client = web_client(
        connection(own, password="t0ken", extra={"headers": {"X-Town": "Audierne"}})
    )
    answer = client.ask(own.url("/x"))

    assert (answer.status, answer.content) == (200, b"ok")
    assert own.seen[0].headers["authorization"] == "Bearer t0ken"
    assert own.seen[0].headers["x-town"] == "Audierne"


def test_a_login_is_sent_as_basic(sites):
    own, _ = sites
    own.pages["/x"] = page(b"ok")

    web_client(connection(own, login="agent", password="pw")).ask(own.url("/x"))

    expected = base64.b64encode(b"agent:pw").decode()
    assert own.seen[0].headers["authorization"] == f"Basic {expected}"


def test_nothing_of_the_credentials_follows_a_redirect_to_another_site(sites):
    own, other = sites
    own.pages["/x"] = redirect(other.url("/y"))
    other.pages["/y"] = page(b"ok")
    extra = {"allowed": [own.endpoint, other.endpoint], "headers": {"X-Key": "geheim"}}

    web_client(connection(own, password="t0ken", extra=extra)).ask(own.url("/x"))

    assert own.seen[0].headers["authorization"] == "Bearer t0ken"
    assert {"authorization", "x-key"}.isdisjoint(other.seen[0].headers)


def test_without_a_connection_nothing_internal_is_asked(sites):
    own, _ = sites

    assert isinstance(web_client(), GuardedClient)
    with pytest.raises(AddressRefusedError):
        web_client().ask(own.url("/x"))
    assert own.seen == []


def test_a_connection_allows_what_it_names_and_not_its_own_host(sites):
    """An internal site is asked when somebody wrote its endpoint down for that, not by being a host."""
    own, _ = sites
    silent = connection(own, extra={"allowed": []})

    with pytest.raises(AddressRefusedError):
        web_client(silent).ask(own.url("/x"))


def test_a_connection_is_found_by_its_id(sites, monkeypatch):
    own, _ = sites
    own.pages["/x"] = page(b"ok")
    monkeypatch.setenv("AIRFLOW_CONN_TOWN_SITE", connection(own, password="t0ken").as_json())

    web_client("town_site").ask(own.url("/x"))

    assert own.seen[0].headers["authorization"] == "Bearer t0ken"


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "api.github.com"}, "https://api.github.com"),
        ({"host": "https://forge.example/api/v3/"}, "https://forge.example/api/v3"),
        ({"host": "mairie.example", "schema": "http", "port": 8080}, "http://mairie.example:8080"),
        ({"host": "http://mairie.example:81", "port": 8080}, "http://mairie.example:81"),
    ],
)
def test_the_site_of_a_connection(fields, url):
    assert site_of(Connection(conn_id="site", conn_type="http", **fields)) == url


@pytest.mark.parametrize(
    "fields",
    [
        {"host": ""},
        {"host": "ftp://x.example"},
        {"host": "x.example", "extra": '{"allowed": "127.0.0.1:1"}'},
        {"host": "x.example", "extra": '{"headers": ["a"]}'},
        {"host": "x.example", "password": "s3cret\nX-More: 1"},
        {"host": "x.example", "extra": '{"headers": {"X-Key": "s3cret\\u0000"}}'},
        {"host": "http://agent:s3cret@x.example"},
        {"host": "[s3cret"},
    ],
)
def test_a_connection_that_cannot_be_used_says_why(fields):
    """And does not repeat what may be a password, though a host is no secret."""
    with pytest.raises(ConfigurationError, match="connection site") as caught:
        web_client(Connection(conn_id="site", conn_type="http", **fields))

    assert "s3cret" not in cause_chain(caught.value).replace("https://[s3cret", "")


def test_a_token_loses_the_line_end_that_came_with_it(sites):
    own, _ = sites
    own.pages["/x"] = page(b"ok")

    web_client(connection(own, password="t0ken\n")).ask(own.url("/x"))

    assert own.seen[0].headers["authorization"] == "Bearer t0ken"


def test_a_request_that_cannot_be_made_does_not_repeat_its_token(sites):
    """Whatever brings credentials of its own: the library would name them in its error."""
    own, _ = sites

    def signed():
        session = requests.Session()
        session.auth = OwnSiteAuth(own.url(""), None, "s3cret\n", {})
        return session

    with pytest.raises(UnusableAnswerError) as caught:
        GuardedClient(AddressGuard(allowed=[own.endpoint]), signed).ask(own.url("/x"))

    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_what_a_redirection_says_beside_its_address_is_not_read(sites):
    """A body of it may be without end, or grow without end when it is unpacked."""
    own, _ = sites
    sent = Counter()

    def pour(request):
        request.send_response(302)
        request.send_header("Location", own.url("/there"))
        request.end_headers()
        for _ in range(200):
            sent["bytes"] += request.wfile.write(b" " * 1024 * 1024)

    own.pages |= {"/here": pour, "/there": page(b"ok")}

    answer = GuardedClient(AddressGuard(allowed=[own.endpoint])).ask(own.url("/here"))

    assert answer.content == b"ok"
    assert sent["bytes"] < 20 * 1024 * 1024


def test_an_object_storage_path_is_walked_like_a_folder(tmp_path):
    """As the operator gives it; on this machine its links are seen as well."""
    inbox = tmp_path / "papiers"
    (inbox / "2025").mkdir(parents=True)
    (inbox / "2025" / "plan.pdf").write_bytes(b"%PDF-1.7 %%EOF")
    (tmp_path / "secret.pdf").write_bytes(b"%PDF-1.7 secret %%EOF")
    (inbox / "lien.pdf").symlink_to(tmp_path / "secret.pdf")

    link, plan = take_files(ObjectStoragePath(f"file://{inbox}"), tmp_path / "store")

    assert link.why.reason == "link_outside"
    assert plan.metadata["name"] == "2025/plan.pdf"


def test_an_object_store_is_walked_like_a_folder(tmp_path):
    attach("memory", fs=fsspec.filesystem("memory"))
    root = ObjectStoragePath("memory://papiers-intake")
    (root / "2025").mkdir(parents=True)
    (root / "2025" / "plan.pdf").write_bytes(b"%PDF-1.7 %%EOF")
    (root / "contributions.jsonl").write_bytes(b'{"text": "Un banc"}\n')
    (root / ".cache.pdf").write_bytes(b"%PDF")

    left, plan = take_files(root, tmp_path / "store")

    assert left.standing == "elsewhere"
    assert plan.uri == "memory://papiers-intake/2025/plan.pdf"
    assert plan.kept.size_bytes == 14
