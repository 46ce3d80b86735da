"""Finding files and keeping their bytes: once, whole, under their hash."""

import hashlib
import json
import os
import signal
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.documents import intake
from include.documents.intake import (
    FoundFile,
    NotKeptError,
    StoreUnavailableError,
    find_files,
    keep,
    take_files,
)
from include.documents.model import LeftOut, Received
from include.documents.sources import folder as walking
from include.errors import UnreadableSourceError

PDF = b"%PDF-1.7\nArr\xc3\xaat\xc3\xa9 municipal\n%%EOF\n"
NOW = datetime(2026, 2, 1, 12, tzinfo=UTC)


def put(folder, name, content=PDF, age_s=3600):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    moment = NOW.timestamp() - age_s
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def inbox(tmp_path):
    folder = tmp_path / "papiers"
    folder.mkdir()
    return folder


@pytest.fixture
def take(inbox, tmp_path):
    def _take(root=None, pause=lambda _: None, **arguments):
        taken = take_files(root or inbox, tmp_path / "store", now=NOW, pause=pause, **arguments)
        return list(taken)

    return _take


def stored(tmp_path):
    store = tmp_path / "store"
    return {
        path.relative_to(store).as_posix(): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }


def reasons(taken):
    return {
        Path(each.uri).name: (each.standing, each.why.reason)
        for each in taken
        if isinstance(each, LeftOut)
    }


def test_bytes_stand_under_their_hash(tmp_path):
    kept = keep([PDF[:5], PDF[5:]], tmp_path / "store")

    name = hashlib.sha256(PDF).hexdigest()
    assert (kept.document_id, kept.size_bytes, kept.is_new) == (name, len(PDF), True)
    assert kept.stored_path == f"{name[:2]}/{name}"
    assert stored(tmp_path) == {kept.stored_path: PDF}


def test_only_the_owner_reads_what_is_kept(tmp_path):
    """Papers name citizens: no other account of the machine opens them."""
    kept = keep([PDF], tmp_path / "store")
    path = tmp_path / "store" / kept.stored_path

    modes = [each.stat().st_mode & 0o777 for each in (path, path.parent, path.parent.parent)]
    assert modes == [0o600, 0o700, 0o700]


def test_the_same_bytes_are_kept_once(tmp_path):
    first = keep([PDF], tmp_path / "store")
    inode = (tmp_path / "store" / first.stored_path).stat().st_ino

    second = keep([PDF], tmp_path / "store")

    assert (second.document_id, second.is_new) == (first.document_id, False)
    assert (tmp_path / "store" / first.stored_path).stat().st_ino == inode
    assert len(stored(tmp_path)) == 1


def test_what_the_store_holds_is_not_written_again(inbox, take, monkeypatch):
    """Every hour nearly all files are known: they are read, and nothing else."""
    put(inbox, "plan.pdf")
    [first] = take()
    drafts = []
    monkeypatch.setattr(intake, "drafting", lambda *args: drafts.append(args))

    [second] = take()

    assert drafts == []
    assert (second.kept.document_id, second.kept.is_new) == (first.kept.document_id, False)


def test_a_kept_file_that_was_cut_is_mended(tmp_path):
    kept = keep([PDF], tmp_path / "store")
    (tmp_path / "store" / kept.stored_path).write_bytes(PDF[:4])

    assert keep([PDF], tmp_path / "store").is_new
    assert stored(tmp_path) == {kept.stored_path: PDF}


@given(st.lists(st.binary(min_size=1), min_size=1))
def test_whatever_the_blocks_the_hash_is_that_of_the_bytes(tmp_path_factory, blocks):
    store = tmp_path_factory.mktemp("store")

    kept = keep(blocks, store)

    content = b"".join(blocks)
    assert kept.document_id == hashlib.sha256(content).hexdigest()
    assert (store / kept.stored_path).read_bytes() == content


class BrokenLineError(Exception):
    """The other side went away."""


def breaking():
    yield PDF
    raise BrokenLineError


@pytest.mark.parametrize(
    ("blocks", "error"),
    [
        (breaking(), BrokenLineError),
        ([PDF] * 100, NotKeptError),
        ([], NotKeptError),
        ([b""], NotKeptError),
    ],
)
def test_a_stream_that_fails_leaves_nothing(tmp_path, blocks, error):
    with pytest.raises(error):
        keep(blocks, tmp_path / "store", max_bytes=1000)

    assert stored(tmp_path) == {}


def test_a_power_cut_in_the_middle_leaves_nothing_under_the_name(tmp_path, monkeypatch):
    """What is not synced to the disk is not given its name."""
    seen = []

    def failing(_):
        seen.extend(stored(tmp_path))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", failing)

    with pytest.raises(StoreUnavailableError, match="No space left"):
        keep([PDF], tmp_path / "store")

    assert all(name.endswith(".part") for name in seen)
    assert stored(tmp_path) == {}


def test_many_writers_of_the_same_bytes_leave_one_whole_file(tmp_path):
    content = os.urandom(300_000)
    together = threading.Barrier(8)
    results = []

    def write():
        together.wait()
        results.append(keep([content[:1000], content[1000:]], tmp_path / "store").document_id)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 8
    assert list(stored(tmp_path).values()) == [content]


def test_same_names_and_same_bytes(inbox, take, tmp_path):
    """Two files of one name stay two; the same bytes are one document with two origins."""
    put(inbox, "2024/plan.pdf", PDF)
    put(inbox, "2025/plan.pdf", PDF + b"\n")
    put(inbox, "copie du plan.pdf", PDF)

    taken = take()

    assert [each.metadata["name"] for each in taken] == [
        "copie du plan.pdf",
        "2024/plan.pdf",
        "2025/plan.pdf",
    ]
    assert len({each.uri for each in taken}) == 3
    assert len({each.kept.document_id for each in taken}) == 2
    assert len(stored(tmp_path)) == 2


def test_a_changed_file_is_another_document_and_the_old_one_stays(inbox, take, tmp_path):
    put(inbox, "plan.pdf", PDF)
    [first] = take()
    put(inbox, "plan.pdf", PDF + b"v2 %%EOF")

    [second] = take()

    assert second.uri == first.uri
    assert second.kept.document_id != first.kept.document_id
    assert len(stored(tmp_path)) == 2


def test_what_is_not_a_document_says_why(inbox, take, tmp_path):
    outside = put(tmp_path, "ailleurs/secret.pdf")
    put(inbox, "plan.pdf")
    put(inbox, ".cache/plan.pdf")
    put(inbox, "~$plan.docx")
    put(inbox, "plan.pdf.part")
    put(inbox, "contributions.json", b'[{"id": 1, "text": "Un banc."}]')
    put(inbox, "export.csv", b"Constat factuel;Categorie\nUn banc;culture\n")
    put(
        inbox,
        "courriel.txt",
        "Submitted values are:\ncategory: culture\nConstat factuel: un banc\n"
        "Vos idées d'améliorations: le réparer\n".encode(),
    )
    put(inbox, "notes.txt", b"Notes de la reunion publique.\n")
    put(inbox, "vide.pdf", b"")
    put(inbox, "dossier/inner.md", b"# Titre\n")
    (inbox / "lien.pdf").symlink_to(outside)
    (inbox / "lien_dossier").symlink_to(inbox / "dossier")
    (inbox / "boucle.pdf").symlink_to(inbox / "boucle.pdf")
    (inbox / "bon_lien.pdf").symlink_to(inbox / "plan.pdf")
    os.mkfifo(inbox / "tuyau.pdf")

    taken = take()

    assert reasons(taken) == {
        "contributions.json": ("elsewhere", "contributions"),
        "export.csv": ("elsewhere", "contributions"),
        "courriel.txt": ("elsewhere", "contributions"),
        "vide.pdf": ("set_aside", "empty"),
        "lien.pdf": ("set_aside", "link_outside"),
        "lien_dossier": ("set_aside", "link_to_folder"),
        "boucle.pdf": ("set_aside", "link_outside"),
        "tuyau.pdf": ("set_aside", "not_a_file"),
    }
    names = {each.metadata["name"] for each in taken if isinstance(each, Received)}
    assert names == {"plan.pdf", "bon_lien.pdf", "notes.txt", "dossier/inner.md"}
    assert all(each.why.detail.endswith(".") for each in taken if isinstance(each, LeftOut))


def test_a_file_larger_than_the_limit_is_not_copied(inbox, take, tmp_path):
    put(inbox, "film.mp4", b"x" * 2000)

    assert reasons(take(max_bytes=1000)) == {"film.mp4": ("set_aside", "too_large")}
    assert stored(tmp_path) == {}


@pytest.mark.parametrize(
    ("content", "age_s", "expected"),
    [
        (PDF[:-7], 5, "growing"),
        (PDF[:-7], 300, "growing"),
        (PDF[:-7], 700, "taken"),
        (PDF, 1, "taken"),
        (b"PK\x03\x04 docx without its end", 60, "growing"),
        (b"\xff\xd8\xff half a photograph", 60, "growing"),
        (b"\xff\xd8\xff a photograph \xff\xd9", 60, "taken"),
        (b"# Notes of a meeting", 60, "taken"),
        (b"", 5, "empty"),
    ],
)
def test_what_may_still_grow_waits(inbox, take, content, age_s, expected):
    put(inbox, "papier", content, age_s)

    [taken] = take()

    if expected == "taken":
        assert isinstance(taken, Received)
    else:
        assert (taken.standing, taken.why.reason) == ("waits", expected)


def test_a_text_just_written_is_given_some_seconds_after_all_others(inbox, take):
    put(inbox, "a_neuf.md", b"# Compte rendu", age_s=10)
    grows = put(inbox, "b_grandit.md", b"# Compte", age_s=4)
    put(inbox, "vieux.md", b"# Ancien")
    pauses = []

    def pause(seconds):
        pauses.append(seconds)
        grows.write_bytes(b"# Compte rendu du conseil")

    taken = take(pause=pause)

    assert pauses == [pytest.approx(26)]
    assert [Path(each.uri).name for each in taken] == ["vieux.md", "a_neuf.md", "b_grandit.md"]
    assert reasons(taken) == {"b_grandit.md": ("waits", "growing")}


def test_a_file_that_changes_while_it_is_read_is_not_kept(inbox, take, tmp_path, monkeypatch):
    path = put(inbox, "plan.pdf")
    opened = FoundFile.open

    def grows(found):
        stream = opened(found)
        path.write_bytes(PDF + b"more %%EOF")
        return stream

    monkeypatch.setattr(FoundFile, "open", grows)

    assert reasons(take()) == {"plan.pdf": ("waits", "growing")}
    assert stored(tmp_path) == {}


def test_a_file_that_vanishes_does_not_stop_the_others(inbox, take, monkeypatch):
    put(inbox, "a.pdf")
    put(inbox, "b.pdf", PDF + b" ")
    opened = FoundFile.open

    def vanishes(found):
        if found.metadata["name"] == "a.pdf":
            raise FileNotFoundError(2, "No such file or directory")
        return opened(found)

    monkeypatch.setattr(FoundFile, "open", vanishes)

    taken = take()

    assert reasons(taken) == {"a.pdf": ("waits", "unreadable")}
    assert isinstance(taken[1], Received)


def test_names_that_are_no_text_are_shown_and_stored_by_their_hash(inbox, take, tmp_path):
    name = os.fsdecode(b"d\xe9lib\xe9ration \xff.pdf")
    put(inbox, name)

    [received] = take()

    assert received.uri.encode()
    assert received.metadata["name"] == r"d\xe9lib\xe9ration \xff.pdf"
    assert stored(tmp_path) == {received.kept.stored_path: PDF}


def test_different_names_stay_different(inbox, take):
    """One that is no text, and one that says in letters what the ledger shows of it."""
    put(inbox, os.fsdecode(b"\xff.md"), b"# Un")
    put(inbox, r"\xff.md", b"# Deux")

    assert len({received.uri for received in take()}) == 2


def test_a_path_deeper_than_an_index_holds_is_shortened(inbox, take):
    """Two that differ only where they are cut are still two."""
    deep = Path(*["x" * 250] * 10)
    for number in "12":
        # Longer than the system takes in one go with the test's own folder before it.
        folder = inbox / deep / number
        folder.mkdir(parents=True)
        put(folder, "plan.pdf", PDF + number.encode())

    taken = take()

    assert len({received.uri for received in taken}) == 2
    assert all(len(received.uri.encode()) < 2_000 for received in taken)
    assert {received.metadata["name"][-10:] for received in taken} == {"1/plan.pdf", "2/plan.pdf"}
    assert [received.uri for received in take()] == [received.uri for received in taken]


class Stock:
    """A place of an object store: it has names that no file system would take."""

    def __init__(self, name, content=None, inner=()):
        self.name = name
        self._content = content
        self._inner = inner

    def __str__(self):
        return f"stock://bucket/{self.name}"

    def iterdir(self):
        return iter(self._inner)

    def open(self, _mode):
        path = Path(self._content)
        return path.open("rb")

    def stat(self):
        class Status:
            st_size = Path(self._content).stat().st_size
            st_mtime = 0.0

        return Status()

    def is_dir(self):
        return self._content is None

    def is_file(self):
        return self._content is not None


@pytest.mark.parametrize("name", ["x/../../etc/passwd", "a\0b.pdf", "C:\\x.pdf", "é" * 5000])
def test_a_name_that_climbs_leads_nowhere(take, inbox, tmp_path, name):
    content = put(tmp_path, "content.bin")
    before = sorted(tmp_path.rglob("*"))

    taken = take(Stock("root", inner=[Stock(name, content)]))

    [received] = taken
    assert "\0" not in received.uri + received.metadata["name"]
    assert json.dumps(received.metadata)
    created = set(tmp_path.rglob("*")) - set(before)
    assert {path for path in created if path.is_file()} == {
        tmp_path / "store" / received.kept.stored_path
    }


def test_objects_of_different_keys_stay_different(take, tmp_path):
    """Composed or not, with a character that no store holds, or only at the end of a long key."""
    content = put(tmp_path, "content.bin")
    keys = ["\u00e9", "e\u0301", "a\0", "a\ufffd", "a\ud800", "x" * 3_000 + "1", "x" * 3_000 + "2"]

    taken = take(Stock("root", inner=[Stock(key, content) for key in keys]))

    assert len({received.uri for received in taken}) == len(keys)
    assert all(len(received.uri.encode()) < 2_000 for received in taken)
    assert not any("\0" in received.uri for received in taken)


def test_a_name_that_begins_with_a_dot_is_hidden_also_in_an_object_store(take, tmp_path):
    content = put(tmp_path, "content.bin")

    assert (
        take(Stock("root", inner=[Stock("../../etc/passwd", content), Stock("..", content)])) == []
    )


def test_a_wrong_path_is_an_error_and_an_empty_folder_is_not(inbox, take):
    assert take() == []
    with pytest.raises(UnreadableSourceError, match="no such file or folder"):
        take(inbox / "absent")


def test_one_file_may_be_named_instead_of_a_folder(inbox):
    path = put(inbox, "plan.pdf")

    [found] = find_files(path, now=NOW)

    assert (found.uri, found.metadata["name"]) == (str(path), "plan.pdf")


@contextmanager
def interrupted_after(seconds):
    """Fail instead of hanging for ever."""

    def fail(_number, _frame):
        raise AssertionError("it waits for what never comes")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def note(folder, name, value):
    put(folder, name, value if isinstance(value, bytes) else json.dumps(value).encode())


URL = "https://www.audierne.bzh/publications-arretes/"


def test_a_crawled_page_goes_by_its_own_address(inbox, take):
    put(inbox, "www_arretes.html", b"<html>Arretes</html>")
    put(inbox, "www_arretes.md", b"# Arretes\n")
    put(inbox, "PM2025-305.pdf")
    note(
        inbox,
        "www_arretes_metadata.json",
        {"title": " Arrêtés\u0000 municipaux ", "sourceURL": URL + "#liste", "statusCode": 200},
    )
    note(
        inbox,
        "PM2025-305.pdf_metadata.json",
        {"metadata": {"url": URL + "PM2025-305.pdf", "title": ["Arrêté PM2025-305", "x"]}},
    )

    taken = {each.metadata["name"]: each for each in take()}

    page, rewritten, act = (
        taken[name] for name in ("www_arretes.html", "www_arretes.md", "PM2025-305.pdf")
    )
    assert (page.uri, page.source, page.metadata["title"]) == (URL, "crawl", "Arrêtés� municipaux")
    assert (act.uri, act.metadata["title"]) == (URL + "PM2025-305.pdf", "Arrêté PM2025-305")
    assert (rewritten.uri, rewritten.metadata["rendition_of"]) == (
        str(inbox / "www_arretes.md"),
        URL,
    )
    assert len(taken) == 3


def test_two_crawled_files_of_one_address_do_not_replace_each_other(inbox, take):
    for folder in ("janvier", "fevrier"):
        put(inbox, f"{folder}/page.html", f"<html>{folder}</html>".encode())
        note(inbox / folder, "page_metadata.json", {"source_url": URL})

    uris = [each.uri for each in take()]

    assert sorted(uris) == sorted([URL, str(inbox / "janvier" / "page.html")])


@pytest.mark.parametrize(
    "value",
    [
        b"{not json",
        b"[" * 100_000,
        b'"text"',
        b" " * 2_000_000,
    ],
)
def test_a_note_that_cannot_be_read_costs_the_address_and_not_the_document(inbox, take, value):
    put(inbox, "page.html", b"<html>x</html>")
    note(inbox, "page_metadata.json", value)

    taken = take()

    assert reasons(taken) == {"page_metadata.json": ("set_aside", "unreadable_metadata")}
    assert [each.uri for each in taken if isinstance(each, Received)] == [str(inbox / "page.html")]


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://a:b@x.org/",
        "x" * 5000,
        7,
        "http://[",
        "",
    ],
)
def test_an_address_that_is_none_is_left_out(inbox, take, url):
    put(inbox, "page.html", b"<html>x</html>")
    note(inbox, "page_metadata.json", {"sourceURL": url, "title": 3, "statusCode": "200"})

    [received] = take()

    assert (received.uri, received.source) == (str(inbox / "page.html"), "crawl")


def test_a_note_is_never_waited_for(inbox, take, tmp_path):
    """A pipe beside a page, under the name of its note: nobody will ever write into it."""
    put(inbox, "page.html", b"<html>x</html>")
    os.mkfifo(inbox / "page_metadata.json")

    with interrupted_after(20):
        taken = take()

    assert reasons(taken) == {"page_metadata.json": ("set_aside", "not_a_file")}


def test_a_note_is_not_taken_from_elsewhere(inbox, take, tmp_path):
    """A link out of the inbox is not followed, whatever it calls itself."""
    put(inbox, "page.html", b"<html>x</html>")
    note(tmp_path, "secret.json", {"sourceURL": URL, "title": "Secret"})
    (inbox / "page_metadata.json").symlink_to(tmp_path / "secret.json")

    taken = take()

    assert reasons(taken) == {"page_metadata.json": ("set_aside", "link_outside")}
    [received] = [each for each in taken if isinstance(each, Received)]
    assert "title" not in received.metadata


def test_a_link_that_cannot_be_looked_at_waits(inbox, take, monkeypatch):
    """Its folder may be listed and not entered; the others are taken."""
    put(inbox, "a.pdf")
    (inbox / "lien.pdf").symlink_to(inbox / "a.pdf")
    is_symlink = Path.is_symlink

    def fails(path):
        if path.name == "lien.pdf":
            raise PermissionError(13, "Permission denied")
        return is_symlink(path)

    monkeypatch.setattr(Path, "is_symlink", fails)

    taken = take()

    assert reasons(taken) == {"lien.pdf": ("waits", "unreadable")}
    assert isinstance(taken[0], Received)


def test_a_file_that_nobody_foresaw_stops_no_other(inbox, take, monkeypatch):
    """The walk goes on behind it, and it is set aside."""
    put(inbox, "a.txt")
    put(inbox, "b.txt", PDF + b" ")
    looked = walking.holds_contributions

    def fails(location):
        if location.name == "a.txt":
            raise RecursionError
        return looked(location)

    monkeypatch.setattr(walking, "holds_contributions", fails)

    taken = take()

    assert reasons(taken) == {"a.txt": ("set_aside", "process_failed")}
    assert isinstance(taken[1], Received)


def test_the_page_of_an_error_is_not_a_document(inbox, take):
    put(inbox, "page.html", b"<html>404</html>")
    note(inbox, "page_metadata.json", {"sourceURL": URL, "statusCode": 404})

    assert reasons(take()) == {"page.html": ("set_aside", "crawl_error")}


def test_a_note_without_its_file_is_read_as_any_json(inbox, take):
    note(inbox, "page_metadata.json", {"sourceURL": URL})

    assert reasons(take()) == {"page_metadata.json": ("elsewhere", "contributions")}


def test_the_default_limit_is_well_above_what_the_town_has():
    assert intake.MAX_DOCUMENT_BYTES > 50 * 3_000_000
