"""What may be asked on the network: nothing that is not public, however it is written."""

from contextlib import suppress
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.documents.addresses import AddressGuard, AddressRefusedError, is_public, shown_url

PUBLIC = "93.184.215.14"


def guard(*addresses, **arguments):
    return AddressGuard(resolve=lambda _host, _port: addresses or [PUBLIC], **arguments)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1/", "refused_address"),
        ("http://127.1/", "refused_address"),
        ("http://2130706433/", "refused_address"),
        ("http://0x7f000001/", "refused_address"),
        ("http://0177.0.0.1/", "refused_address"),
        ("http://0x7f.1/", "refused_address"),
        ("http://127.0.0.1./", "refused_address"),
        ("http://１２７.０.０.１/", "refused_address"),
        ("http://①②⑦.⓪.⓪.①/", "refused_address"),
        ("http://134744072/", "refused_address"),
        ("http://10.0.0.5/", "refused_address"),
        ("http://172.16.0.1/", "refused_address"),
        ("http://192.168.1.1/admin", "refused_address"),
        ("http://169.254.169.254/latest/meta-data/", "refused_address"),
        ("http://168.63.129.16/", "refused_address"),
        ("http://100.100.100.200/", "refused_address"),
        ("http://224.0.0.1/", "refused_address"),
        ("http://240.0.0.1/", "refused_address"),
        ("http://192.0.0.8/", "refused_address"),
        ("http://192.88.99.1/", "refused_address"),
        ("http://[3fff::1]/", "refused_address"),
        ("http://[2002:c058:6301::]/", "refused_address"),
        ("http://255.255.255.255/", "refused_address"),
        ("http://0.0.0.0/", "refused_address"),
        ("http://[::1]/", "refused_address"),
        ("http://[::]/", "refused_address"),
        ("http://[::ffff:127.0.0.1]/", "refused_address"),
        ("http://[::ffff:a9fe:a9fe]/", "refused_address"),
        ("http://[64:ff9b::7f00:1]/", "refused_address"),
        ("http://[2002:7f00:1::]/", "refused_address"),
        ("http://[fe80::1%25eth0]/", "refused_address"),
        ("http://[fc00::1]/", "refused_address"),
        ("http://[fec0::1]/", "refused_address"),
        ("http://[fd00:ec2::254]/", "refused_address"),
        ("http://[ff02::1]/", "refused_address"),
        ("http://[2001:db8::1]/", "refused_address"),
        ("file:///etc/passwd", "refused_scheme"),
        ("gopher://example.org/", "refused_scheme"),
        ("ftp://example.org/x", "refused_scheme"),
        ("data:text/html,x", "refused_scheme"),
        ("//example.org/x", "refused_scheme"),
        ("", "refused_scheme"),
        ("http://user:secret@example.org/", "refused_credentials"),
        ("http://example.org@127.0.0.1/", "refused_credentials"),
        ("http://example.org:22/", "refused_port"),
        ("http://93.184.215.14:6379/", "refused_port"),
        ("http://example.org:99999/", "bad_url"),
        ("http://example.org:x/", "bad_url"),
        ("http://", "bad_url"),
        ("http://[::1/", "bad_url"),
        ("http://exa mple.org/", "bad_url"),
        ("http://example.org/\r\nHost: x", "bad_url"),
        ("http://example.org\\@127.0.0.1/", "bad_url"),
        ("http://example.org/" + "a" * 3000, "bad_url"),
        ("http://example.org/" + "é" * 1000, "bad_url"),
        ("http://example.org/\udc80", "bad_url"),
        ("http://example.org/\0", "bad_url"),
    ],
)
def test_what_is_refused_as_written(url, reason):
    with pytest.raises(AddressRefusedError) as refused:
        guard().checked(url)

    assert refused.value.reason == reason
    assert refused.value.detail.endswith(".")
    assert "secret" not in refused.value.detail


@pytest.mark.parametrize(
    "url",
    [
        "https://www.audierne.bzh/publications-arretes/",
        "http://93.184.215.14/plan.pdf",
        "https://[2606:4700::1111]/plan.pdf",
        "https://www.audierne.bzh:443/a%20b.pdf?x=1",
        "https://mairie-été.example/",
        "https://1and1.example/",
    ],
)
def test_what_passes(url):
    assert guard().checked(url + "#page=3") == url


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        [PUBLIC, "10.0.0.1"],
        ["::1"],
        ["::ffff:10.0.0.1"],
        ["fe80::1%eth0"],
    ],
)
def test_a_name_that_stands_for_something_internal_is_refused(answers):
    """Also when only one of its addresses does."""
    with pytest.raises(AddressRefusedError, match="réseau interne"):
        guard(*answers).addresses("innocent.example", 443)


def test_a_public_name_gives_its_addresses_once_each():
    assert guard(PUBLIC, "8.8.8.8", PUBLIC).addresses("a.example", 443) == [PUBLIC, "8.8.8.8"]


def test_the_port_counts_where_the_connection_is_made_too():
    with pytest.raises(AddressRefusedError, match="port 22"):
        guard().addresses("a.example", 22)


def test_one_endpoint_is_allowed_and_nothing_beside_it():
    allowing = guard("127.0.0.1", allowed=["127.0.0.1:8123", "[::1]:8123"])

    assert allowing.checked("http://127.0.0.1:8123/x")
    assert allowing.checked("http://[::1]:8123/x")
    assert allowing.addresses("local.example", 8123) == ["127.0.0.1"]
    for url in ("http://127.0.0.1/", "http://127.0.0.1:8124/", "http://127.0.0.2:8123/"):
        with pytest.raises(AddressRefusedError):
            allowing.checked(url)
    with pytest.raises(AddressRefusedError):
        guard("10.0.0.1", allowed=["127.0.0.1:8123"]).addresses("local.example", 8123)


def test_nothing_is_allowed_by_the_environment(monkeypatch):
    for name in ("PARTICIPATION_ALLOWED", "NO_PROXY", "ALLOWED", "HTTP_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1:8123")

    with pytest.raises(AddressRefusedError):
        AddressGuard().checked("http://127.0.0.1:8123/")


@given(st.integers(0, 2**32 - 1))
def test_an_address_packed_in_another_is_judged_as_itself(number):
    plain = ip_address(number)
    packed = (f"::ffff:{plain}", f"64:ff9b::{plain}")

    assert {is_public(ip_address(each)) for each in packed} == {is_public(plain)}


@given(st.text(max_size=80))
def test_any_text_is_refused_or_passes_but_never_fails_otherwise(text):
    for url in (text, f"http://{text}", f"https://example.org/{text}"):
        with suppress(AddressRefusedError):
            assert guard().checked(url).startswith("http")


def test_what_is_shown_holds_no_password():
    assert "geheim" not in shown_url("https://x:geheim@example.org/")
