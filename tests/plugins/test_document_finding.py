"""What the intake finds in folders and at addresses: asked again, never twice in each other's way."""

import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import stamina

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException

from participation import document_tasks, find_tasks
from participation.ledger.attempt import Attempt
from participation.settings import Settings
from participation.steps import Visit
from tests.stub_site import in_turn, page, running

TOWN = "audierne-esquibien"
TEXT = "Le conseil municipal est convoqué le 5 mars à la mairie.".encode()

pytestmark = pytest.mark.postgres


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def site(monkeypatch):
    """Run a site of this machine that the town's connection allows, each answer final at once."""
    stamina.set_testing(True, attempts=1)
    with running() as started:
        connection = {
            "conn_type": "http",
            "host": "127.0.0.1",
            "port": started.port,
            "schema": "http",
            "password": "jeton",
            "extra": {"allowed": [started.endpoint]},
        }
        monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_WEB", json.dumps(connection))
        yield started
    stamina.set_testing(False)


@pytest.fixture
def visit(ledger, inbox, tmp_path):
    settings = Settings(municipality=TOWN, inbox=inbox, documents=tmp_path / "documents")
    attempt = Attempt("document_intake", "run-1", "find", -1, 1)
    return Visit(ledger, attempt, settings, {"ti": SimpleNamespace(max_tries=2)})


def find(visit, *urls):
    return find_tasks.find_documents(visit, {"urls": list(urls)} if urls else {})


def aside(visit):
    """Name and reason of what is set aside now."""
    return visit.connection.execute(
        "SELECT uri, reason FROM document_set_aside WHERE resolved_at IS NULL ORDER BY uri"
    ).fetchall()


def time_passes(visit, hours):
    visit.connection.execute(
        "UPDATE document_address SET again_at = again_at - make_interval(hours => %s)", (hours,)
    )


def settled(path, content):
    """Write a file that nobody is writing to any more."""
    path.write_bytes(content)
    os.utime(path, (path.stat().st_mtime - 3600,) * 2)


def test_an_address_that_does_not_answer_is_on_record_and_asked_by_the_next_hourly_run(visit, site):
    url = site.url("/avis.txt")
    site.pages["/avis.txt"] = in_turn(page(b"", 503), page(TEXT))

    assert find(visit, url)["waits"] == 1
    assert aside(visit) == [(url, "server_error")]
    assert find(visit)["new"] == 0, "not within the same half hour"
    time_passes(visit, 1)

    assert find(visit)["new"] == 1
    assert aside(visit) == []


def test_an_address_that_answered_is_looked_at_again_a_day_later(visit, site):
    site.pages["/avis.txt"] = in_turn(page(TEXT, ETag='"v1"'), page(b"", 304))
    find(visit, site.url("/avis.txt"))
    time_passes(visit, 2)
    find(visit)
    assert len(site.seen) == 1
    time_passes(visit, 24)

    assert find(visit)["unchanged"] == 1
    assert site.seen[1].headers["if-none-match"] == '"v1"'


def test_an_address_without_an_answer_for_a_month_is_left_until_a_person_asks(visit, site):
    url = site.url("/avis.txt")
    site.pages["/avis.txt"] = page(b"", 404)
    find(visit, url)
    visit.connection.execute(
        "UPDATE document_address SET wanted_at = now() - interval '31 days', again_at = now()"
    )

    find(visit)
    assert len(site.seen) == 1
    find(visit, url)
    assert len(site.seen) == 2


def test_what_has_no_turn_in_time_comes_first_the_next_time(visit, site, monkeypatch):
    urls = [site.url(f"/{n}.txt") for n in range(3)]
    for n in range(3):
        site.pages[f"/{n}.txt"] = page(TEXT + str(n).encode())
    find(visit, urls[0])
    with monkeypatch.context() as short:
        short.setattr(find_tasks, "ADDRESSES_BUDGET_S", 0.0)
        told = find(visit, *urls)
    assert (told["new"], told["addresses_left"], len(site.seen)) == (0, 3, 1)

    monkeypatch.setattr(find_tasks, "ADDRESSES_A_RUN", 2)
    told = find(visit)

    assert site.paths() == ["/0.txt", "/1.txt", "/2.txt"]
    assert (told["new"], told["addresses_left"]) == (2, 1)


@pytest.mark.parametrize("path", ["/plan.txt", "/" + "long/" * 60 + "plan.txt"])
def test_an_address_that_was_gone_for_a_while_is_not_listed_for_ever(visit, site, path):
    """Also when the site then says "not modified", and however long the address is."""
    url = site.url(path)
    site.pages[path] = in_turn(page(TEXT, ETag='"v1"'), page(b"", 404), page(b"", 304))
    find(visit, url)
    find(visit, url)
    assert aside(visit) == [(url, "not_found")]

    assert find(visit, url)["unchanged"] == 1
    assert aside(visit) == []


def test_an_address_with_a_password_is_refused_and_kept_nowhere(visit, site):
    assert find(visit, "http://agent:geheim@example.org/x")["set_aside"] == 1

    assert "geheim" not in str(aside(visit))
    assert visit.connection.execute("SELECT count(*) FROM document_address").fetchone() == (0,)


def test_the_connection_of_the_town_allows_and_signs(visit, site):
    site.pages["/avis.txt"] = page(TEXT)

    assert find(visit, site.url("/avis.txt"))["new"] == 1
    assert site.seen[0].headers["authorization"] == "Bearer jeton"


def test_without_the_connection_an_internal_site_is_refused(visit, site, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_PARTICIPATION_WEB")

    find(visit, site.url("/avis.txt"))

    assert aside(visit) == [(site.url("/avis.txt"), "refused_address")]
    assert site.seen == []


def test_a_crawl_does_not_take_back_what_the_address_gave(visit, site, inbox):
    """The copy in the folder and the page itself stand beside each other, whoever looks last."""
    url = site.url("/page.html")
    settled(inbox / "page.html", b"<html><body><p>Avant.</p></body></html>")
    settled(inbox / "page_metadata.json", json.dumps({"sourceURL": url}).encode())
    site.pages["/page.html"] = page(b"<html><body><p>Maintenant.</p></body></html>", ETag='"v1"')
    find(visit)
    find(visit, url)

    again = [find(visit), find(visit, url), find(visit)]

    assert [each["changed"] for each in again] == [0, 0, 0]
    assert [each["new"] for each in again] == [0, 0, 0]
    assert visit.connection.execute(
        "SELECT source, uri FROM document_origin WHERE superseded_at IS NULL ORDER BY 1"
    ).fetchall() == [("crawl", url), ("url", url)]


def test_what_was_set_aside_in_a_folder_and_is_no_trouble_any_more_is_closed(visit, inbox):
    """A note that was mended, a link that was removed, a file that was empty for a while."""
    settled(inbox / "page.html", b"<html><body><p>La page.</p></body></html>")
    settled(inbox / "page_metadata.json", b"{")
    settled(inbox / "avis.txt", TEXT)
    (inbox / "hosts.txt").symlink_to("/etc/hosts")
    (inbox / "dossier").mkdir()
    settled(inbox / "dossier" / "vide.txt", b"")
    find(visit)
    settled(inbox / "avis.txt", b"")
    find(visit)
    assert [(Path(uri).name, reason) for uri, reason in aside(visit)] == [
        ("avis.txt", "empty"),
        ("vide.txt", "empty"),
        ("hosts.txt", "link_outside"),
        ("page_metadata.json", "unreadable_metadata"),
    ]

    settled(inbox / "page_metadata.json", b"{}")
    settled(inbox / "avis.txt", TEXT)
    (inbox / "hosts.txt").unlink()
    find_tasks.find_documents(visit, {"folder": "dossier"})
    assert len(aside(visit)) == 4, "nobody looked at the other folders"
    find(visit)

    assert [Path(uri).name for uri, _ in aside(visit)] == ["vide.txt"]


def test_nothing_is_closed_where_the_look_could_not_reach(visit, inbox, monkeypatch):
    """A folder that cannot be listed may still hold what was set aside in it."""
    (inbox / "dossier").mkdir()
    settled(inbox / "dossier" / "vide.txt", b"")
    find(visit)
    listed = Path.iterdir

    def refuse(path):
        if path.name == "dossier":
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    find(visit)

    assert [Path(uri).name for uri, _ in aside(visit)] == ["vide.txt"]


def test_the_kinds_share_the_cores(visit, inbox):
    """All workers of a run together are no more than the cores, or one for each kind."""
    for n in range(6):
        settled(inbox / f"avis-{n}.txt", TEXT + str(n).encode())
    subtitles = "1\n00:00:01,000 --> 00:00:04,000\nBonsoir à tous.\n{}\n"
    for n in range(3):
        settled(inbox / f"seance-{n}.srt", subtitles.format(n).encode())
    find(visit)

    def planned(cores):
        return [
            len(document_tasks.plan_reading(visit, kind, cores, ocr=False))
            for kind in ("document", "video")
        ]

    assert document_tasks.choose_readers(visit, ocr=False) == ["plan_documents", "plan_transcripts"]
    assert [planned(cores) for cores in (1, 2, 4, 64)] == [[1, 1], [1, 1], [3, 1], [6, 3]]
    with pytest.raises(AirflowSkipException):
        document_tasks.plan_reading(visit, "image", 4, ocr=False)
