"""Fetching addresses from a site that does everything wrong, and once in a while right."""

import gzip
import hashlib
import io
import socket
import ssl
import threading
import tracemalloc
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
import requests
import stamina

from include.documents.addresses import AddressGuard
from include.documents.intake import StoreUnavailableError, keep, stored_path
from include.documents.model import LeftOut, Received, Unchanged, Validators
from include.documents.sources.client import GuardedClient, NoAnswerError
from include.documents.sources.urls import take_urls
from tests.stub_site import in_turn, no_resolver, page, redirect, running

PDF = b"%PDF-1.7 arr\xc3\xaat\xc3\xa9 %%EOF"


@pytest.fixture
def site():
    with running() as started:
        yield started


@pytest.fixture(autouse=True)
def no_waiting():
    """All attempts, without the pauses between them."""
    stamina.set_testing(True, attempts=3)
    yield
    stamina.set_testing(False)


def client_of(*sites, deadline_s=5.0, names=(), **arguments):
    """Allow these stub sites by their endpoints, and resolve the given names to this machine."""

    def resolve(host, port):
        return ["127.0.0.1"] if host in names else no_resolver(host, port)

    allowed = [each.endpoint for each in sites]
    guard = AddressGuard(allowed=allowed, resolve=resolve)
    return GuardedClient(guard, deadline_s=deadline_s, **arguments)


@pytest.fixture
def take(site, tmp_path):
    def _take(*paths, known=None, max_bytes=1_000_000, **arguments):
        urls = [path if "://" in path else site.url(path) for path in paths]
        client = client_of(site, **arguments)
        return list(take_urls(urls, tmp_path / "store", client, known, max_bytes))

    return _take


def kept_files(tmp_path):
    store = tmp_path / "store"
    return sorted(path.name for path in store.rglob("*") if path.is_file())


def test_a_document_is_kept_with_what_the_site_says_about_it(site, take, tmp_path):
    site.pages["/a%20b/plan.pdf"] = page(
        PDF, ETag='"v1"', Last_Modified="Mon, 05 Jan 2026 10:00:00 GMT", Content_Type="text/html"
    )

    [received] = take("/a%20b/plan.pdf#page=2")

    assert isinstance(received, Received)
    assert received.uri.endswith("/a%20b/plan.pdf#page=2")
    assert (received.source, received.etag) == ("url", '"v1"')
    assert received.last_modified == "Mon, 05 Jan 2026 10:00:00 GMT"
    assert received.metadata["name"] == "plan.pdf"
    assert received.kept.document_id == hashlib.sha256(PDF).hexdigest()
    assert (tmp_path / "store" / received.kept.stored_path).read_bytes() == PDF
    assert site.seen[0].headers["host"] == site.endpoint


def test_an_unchanged_source_costs_one_request_and_no_bytes(site, take):
    conditional = []

    def answer(request):
        conditional.append(request.headers.get("If-None-Match"))
        same = request.headers.get("If-None-Match") == '"v1"'
        (page(b"", 304) if same else page(PDF, ETag='"v1"'))(request)

    site.pages["/plan.pdf"] = answer
    [first] = take("/plan.pdf")
    known = {first.uri: Validators(first.kept.document_id, first.etag, first.last_modified)}

    [second] = take("/plan.pdf", known=known)

    assert second == Unchanged(first.uri, first.kept.document_id)
    assert conditional == [None, '"v1"']


def test_a_changed_etag_brings_a_new_version_and_the_old_one_stays(site, take, tmp_path):
    site.pages["/plan.pdf"] = in_turn(page(PDF, ETag='"v1"'), page(PDF + b"2", ETag='"v2"'))
    [first] = take("/plan.pdf")

    [second] = take("/plan.pdf", known={first.uri: Validators(first.kept.document_id, first.etag)})

    assert site.seen[1].headers["if-none-match"] == '"v1"'
    assert second.etag == '"v2"'
    assert len(kept_files(tmp_path)) == 2


def test_without_validators_the_hash_tells(site, take, tmp_path):
    site.pages["/plan.pdf"] = page(PDF)

    first, second = take("/plan.pdf")[0], take("/plan.pdf")[0]

    assert second.kept.document_id == first.kept.document_id
    assert (first.kept.is_new, second.kept.is_new) == (True, False)
    assert len(kept_files(tmp_path)) == 1


def test_lost_bytes_are_asked_for_again(site, take, tmp_path):
    """A site that says "not modified" would never bring them back."""
    site.pages["/plan.pdf"] = page(PDF, ETag='"v1"')
    [first] = take("/plan.pdf")
    (tmp_path / "store" / first.kept.stored_path).unlink()

    [second] = take("/plan.pdf", known={first.uri: Validators(first.kept.document_id, '"v1"')})

    assert "if-none-match" not in site.seen[1].headers
    assert second.kept.is_new


def test_not_modified_to_a_plain_question_is_no_answer(site, take, tmp_path):
    site.pages["/plan.pdf"] = page(b"", 304)

    [left] = take("/plan.pdf")

    assert (left.standing, left.why.reason) == ("set_aside", "unexpected_answer")


def test_a_redirect_to_the_metadata_service_is_never_followed(site, take, tmp_path):
    site.pages["/go"] = redirect("http://169.254.169.254/latest/meta-data/")

    [left] = take("/go")

    assert (left.standing, left.why.reason) == ("set_aside", "refused_address")
    assert kept_files(tmp_path) == []


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("file:///etc/passwd", "refused_scheme"),
        ("http://user:pw@127.0.0.1/", "refused_credentials"),
        ("http://127.0.0.1:1/", "refused_address"),
        ("//[::1]/", "refused_address"),
        ("http://2130706433/", "refused_address"),
    ],
)
def test_each_redirect_is_checked_again(site, take, location, reason):
    site.pages["/one"] = redirect("/two")
    site.pages["/two"] = redirect(location, 307)

    [left] = take("/one")

    assert left.why.reason == reason
    assert site.paths() == ["/one", "/two"]


@pytest.mark.parametrize(
    "location",
    [
        b"http://[::1/x",
        b"//[x]/x",
        "http://a\u2100b/x".encode(),
        b"http://a\xbdb/",
        b"http://a..fr/",
    ],
)
def test_a_redirect_to_what_is_no_address_costs_only_this_one(site, take, location):
    """The library reads redirects that it does not follow, and each of these stops it in its own way."""

    def answer(request):
        request.wfile.write(
            b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
        )

    site.pages["/bad"] = answer
    site.pages["/plan.pdf"] = page(PDF)

    left, received = take("/bad", "/plan.pdf")

    assert (left.standing, left.why.reason) == ("set_aside", "bad_url")
    assert isinstance(received, Received)


def test_a_signed_address_that_a_site_answers_with_is_not_noted_whole(site, take):
    """It opens the file for whoever reads it, and goes into every dataset as provenance."""
    site.pages["/plan.pdf"] = redirect("/stock?page=2&X-Amz-Signature=geheim&access_token=geheim")
    site.pages["/stock"] = page(PDF)

    [received] = take("/plan.pdf")

    assert "geheim" not in repr(received)
    assert received.metadata["final_url"].endswith("/stock?page=2&X-Amz-Signature=…&access_token=…")


def test_the_body_of_a_redirect_is_not_read(site, take):
    """It may be endless, and nobody looks at it."""
    sent = []

    def endless(request):
        request.wfile.write(b"HTTP/1.1 302 Found\r\nLocation: /plan.pdf\r\n\r\n")
        while len(sent) < 1_000:
            request.wfile.write(b"x" * 65536)
            sent.append(1)

    site.pages["/endless"] = endless
    site.pages["/plan.pdf"] = page(PDF)

    [received] = take("/endless")

    assert isinstance(received, Received)
    assert len(sent) < 500


@pytest.mark.parametrize(
    "url",
    [
        "http://a..example/x",
        f"http://{'a' * 64}.example/",
        "http://a.example/\0",
        "http://a.example/\udc80",
    ],
)
def test_an_address_that_no_site_can_have_costs_only_this_one(site, tmp_path, url):
    """The system's resolver refuses a part that is empty or too long before it asks anybody."""
    site.pages["/plan.pdf"] = page(PDF)
    client = GuardedClient(AddressGuard(allowed=[site.endpoint]))

    left, received = take_urls([url, site.url("/plan.pdf")], tmp_path / "store", client)

    assert (left.standing, left.why.reason) == ("set_aside", "bad_url")
    assert isinstance(received, Received)
    left.uri.encode()


def test_five_redirects_are_followed_and_a_loop_is_not(site, take):
    for number in range(5):
        site.pages[f"/{number}"] = redirect(f"/{number + 1}", 301)
    site.pages["/5"] = page(PDF)
    site.pages["/loop"] = redirect("/loop")

    received, left = take("/0", "/loop")

    assert received.metadata["final_url"].endswith("/5")
    assert left.why.reason == "too_many_redirects"
    assert site.paths().count("/loop") == 6


def test_a_name_is_resolved_once_and_the_connection_made_to_that_address(site, tmp_path):
    """A name that is public when it is checked and internal when it is used has one answer only."""
    asked = []

    def rebinding(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    site.pages["/plan.pdf"] = page(PDF)
    client = GuardedClient(AddressGuard(allowed=[site.endpoint], resolve=rebinding))

    [received] = take_urls([site.url("/plan.pdf", "mairie.example")], tmp_path / "store", client)

    assert isinstance(received, Received)
    assert asked == ["mairie.example"]
    assert site.seen[0].headers["host"] == f"mairie.example:{site.port}"


def test_a_name_that_stands_for_this_machine_is_not_connected_to(site, tmp_path):
    guard = AddressGuard(ports=[site.port], resolve=lambda _host, _port: ["127.0.0.1"])

    [left] = take_urls([site.url("/x", "evil.example")], tmp_path / "store", GuardedClient(guard))

    assert left.why.reason == "refused_address"
    assert site.seen == []


def test_a_proxy_of_the_environment_does_not_lead_past_the_guard(site, take, monkeypatch):
    monkeypatch.setenv("http_proxy", site.url("/"))
    monkeypatch.setenv("all_proxy", site.url("/"))

    [left] = take("http://10.0.0.1/x")

    assert left.why.reason == "refused_address"
    assert site.seen == []


def test_certificate_and_server_name_are_those_of_the_name(tmp_path):
    context, authority = certificate(tmp_path, "mairie.example")

    def session():
        made = requests.Session()
        made.verify = authority
        return made

    with running(context) as site:
        site.pages["/plan.pdf"] = page(PDF)
        client = client_of(site, names=["mairie.example", "autre.example"], sessions=session)
        urls = [
            f"https://{name}:{site.port}/plan.pdf" for name in ("mairie.example", "autre.example")
        ]
        right, wrong = take_urls(urls, tmp_path / "store", client)

    assert isinstance(right, Received)
    assert (site.names[0], site.seen[0].headers["host"]) == (
        "mairie.example",
        f"mairie.example:{site.port}",
    )
    assert (wrong.standing, wrong.why.reason) == ("waits", "unreachable")
    assert "certificat" in wrong.why.detail
    assert len(site.seen) == 1


def test_a_passing_error_is_tried_again_and_the_others_go_on(site, take):
    site.pages["/flaky"] = in_turn(page(b"", 500), page(PDF))
    site.pages["/down"] = page(b"", 503)
    site.pages["/later"] = page(b"", 503, Retry_After="3600")
    site.pages["/gone"] = page(b"", 410)
    site.pages["/closed"] = page(b"", 403)
    site.pages["/empty"] = page(b"")
    site.pages["/fine"] = page(PDF + b"3")

    taken = take("/flaky", "/down", "/later", "/gone", "/closed", "/empty", "/fine", "/fine")

    assert [
        (each.standing, each.why.reason) if isinstance(each, LeftOut) else "received"
        for each in taken
    ] == [
        "received",
        ("waits", "server_error"),
        ("waits", "server_error"),
        ("set_aside", "not_found"),
        ("set_aside", "forbidden"),
        ("set_aside", "empty"),
        "received",
    ]
    assert [site.paths().count(path) for path in ("/flaky", "/down", "/later", "/gone")] == [
        2,
        3,
        1,
        1,
    ]


def test_blank_and_repeated_addresses_are_passed_over(site, tmp_path):
    site.pages["/plan.pdf"] = page(PDF)
    urls = ["", "  ", site.url("/plan.pdf"), f" {site.url('/plan.pdf')}\n"]

    assert len(list(take_urls(urls, tmp_path, client_of(site)))) == 1
    assert len(site.seen) == 1


def test_a_password_in_an_address_is_shown_to_nobody(take):
    [left] = take("http://agent:geheim@example.org/x")

    assert "geheim" not in repr(left)


@pytest.mark.parametrize("part", ["header", "body"])
def test_a_slow_drip_does_not_outlive_the_deadline(site, take, tmp_path, part):
    """Each byte comes in time, the whole never does."""
    stop = threading.Event()

    def drip(request):
        if part == "body":
            request.send_response(200)
            request.send_header("Content-Length", "1000")
            request.end_headers()
        else:
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not stop.wait(0.02):
            request.wfile.write(b"x")

    site.pages["/drip"] = drip
    stamina.set_testing(True, attempts=1)
    started = monotonic()
    try:
        [left] = take("/drip", deadline_s=0.5)
    finally:
        stop.set()

    assert (left.standing, left.why.reason) == ("waits", "timeout")
    assert monotonic() - started < 10
    assert kept_files(tmp_path) == []


def test_a_body_without_length_that_the_deadline_cut_is_not_taken_for_whole(site, take, tmp_path):
    stop = threading.Event()

    def drip(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while not stop.wait(0.02):
            request.wfile.write(b"x")

    site.pages["/drip"] = drip
    stamina.set_testing(True, attempts=1)
    try:
        [left] = take("/drip", deadline_s=0.5)
    finally:
        stop.set()

    assert left.why.reason == "timeout"
    assert kept_files(tmp_path) == []


def test_a_handshake_that_never_ends_is_cut(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        guard = AddressGuard(allowed=[f"127.0.0.1:{port}"], resolve=no_resolver)
        started = monotonic()
        with pytest.raises(NoAnswerError) as error:
            GuardedClient(guard, deadline_s=0.4).ask(f"https://127.0.0.1:{port}/")

    assert error.value.reason == "timeout"
    assert monotonic() - started < 10


def test_a_resolver_that_does_not_answer_is_left_behind():
    release = threading.Event()

    def stuck(_host, _port):
        release.wait(60)
        return []

    started = monotonic()
    with pytest.raises(NoAnswerError) as error:
        GuardedClient(AddressGuard(resolve=stuck), deadline_s=0.3).ask("http://slow.example/")
    release.set()

    assert error.value.reason == "timeout"
    assert monotonic() - started < 10


def test_an_endless_body_is_cut_at_the_limit(site, take, tmp_path):
    sent = []

    def endless(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        while len(sent) < 10_000:
            request.wfile.write(b"x" * 65536)
            sent.append(1)

    site.pages["/endless"] = endless

    [left] = take("/endless", max_bytes=300_000)

    assert (left.standing, left.why.reason) == ("set_aside", "too_large")
    assert len(sent) < 1_000
    assert kept_files(tmp_path) == []


def test_an_announced_size_above_the_limit_is_not_even_read(site, take):
    site.pages["/large"] = page(b"x", Content_Length="999999999")

    site.pages["/huge"] = page(b"x", Content_Length="9" * 5_000)

    assert [left.why.reason for left in take("/large", "/huge")] == ["too_large"] * 2


def test_a_body_shorter_than_announced_is_not_kept(site, take, tmp_path):
    site.pages["/short"] = page(PDF, Content_Length=str(len(PDF) + 10))

    [left] = take("/short")

    assert (left.standing, left.why.reason) == ("waits", "incomplete")
    assert site.paths() == ["/short"] * 3
    assert kept_files(tmp_path) == []


def test_a_chunked_body_that_breaks_off_is_not_kept(site, take, tmp_path):
    def broken(request):
        request.wfile.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n50\r\nx"
        )

    site.pages["/chunked"] = broken

    assert take("/chunked")[0].why.reason == "incomplete"
    assert kept_files(tmp_path) == []


def test_a_compressed_answer_is_kept_decoded(site, take, tmp_path):
    site.pages["/page"] = page(gzip.compress(PDF), Content_Encoding="gzip")

    [received] = take("/page")

    assert (tmp_path / "store" / received.kept.stored_path).read_bytes() == PDF


def test_a_gzip_bomb_is_cut_at_the_limit_in_little_memory(site, take, tmp_path):
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb") as stream:
        for _ in range(300):
            stream.write(b"\0" * 1_000_000)
    site.pages["/bomb"] = page(packed.getvalue(), Content_Encoding="gzip")

    tracemalloc.start()
    [left] = take("/bomb")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert left.why.reason == "too_large"
    assert peak < 10_000_000
    assert kept_files(tmp_path) == []


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip, gzip, gzip, gzip, gzip, gzip"])
def test_a_body_that_is_not_compressed_as_it_says(site, take, tmp_path, encoding):
    site.pages["/false"] = page(b"not compressed", Content_Encoding=encoding)

    [left] = take("/false")

    assert (left.standing, left.why.reason) == ("set_aside", "bad_encoding")
    assert kept_files(tmp_path) == []


def test_a_site_that_is_not_there_waits_for_the_next_run(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    guard = AddressGuard(allowed=[f"127.0.0.1:{port}"], resolve=no_resolver)
    urls = [f"http://127.0.0.1:{port}/", "http://unknown.example/"]

    taken = list(take_urls(urls, tmp_path, GuardedClient(guard)))

    assert [(each.standing, each.why.reason) for each in taken] == [("waits", "unreachable")] * 2


def test_a_header_that_no_request_could_carry_is_not_noted(site, take):
    site.pages["/plan.pdf"] = page(PDF, ETag='"' + "x" * 5000 + '"')

    assert take("/plan.pdf")[0].etag is None


def test_a_full_store_stops_the_list(site, take, tmp_path, monkeypatch):
    """It is no fault of the address, and the next one would fare no better."""
    site.pages["/plan.pdf"] = page(PDF)
    monkeypatch.setattr("os.fsync", full_disk)

    with pytest.raises(StoreUnavailableError, match="No space left"):
        take("/plan.pdf")

    assert kept_files(tmp_path) == []


def full_disk(_descriptor):
    raise OSError(28, "No space left on device")


def test_bytes_known_from_elsewhere_are_kept_once(site, take, tmp_path):
    keep([PDF], tmp_path / "store")
    site.pages["/plan.pdf"] = page(PDF)

    [received] = take("/plan.pdf")

    assert not received.kept.is_new
    assert received.kept.stored_path == stored_path(hashlib.sha256(PDF).hexdigest())


def certificate(folder, name):
    """Make a certificate for one name, and the bundle that trusts it."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = folder / "public.pem"
    private = folder / "private.pem"
    public.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, str(public)
