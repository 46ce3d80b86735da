"""Sixty hostile files and a folder full of traps, through the real tasks of the intake."""

import functools
import json
import os
import shutil
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from include.dockets import fits
from include.documents.parsing import ParseLimits
from participation import document_tasks, find_tasks
from participation.ledger.attempt import Attempt
from participation.settings import Settings
from participation.steps import Visit
from tests.hostile import hostile_files
from tests.plugins.conftest import Instance

pytestmark = pytest.mark.postgres

SAMPLES = Path(__file__).parents[2] / "include" / "samples" / "documents"
STARTER = "include.documents.parsing.starter"
LIMITS = ParseLimits(wall_s=60, cpu_s=40, markup_cpu_s=8)
AT_THE_DOOR = {
    "empty_file": "empty",
}
"""What the reader would say of a file that is not even taken in."""


@pytest.fixture
def inbox(tmp_path):
    """Fill a folder with the samples, all hostile files under their names, and traps of a file system."""
    folder = tmp_path / "inbox"
    shutil.copytree(SAMPLES, folder)
    for file in hostile_files():
        (folder / file.name.rpartition("/")[2]).write_bytes(file.content)
    inner = folder / "dossier"
    inner.mkdir()
    (inner / "retour").symlink_to("..")
    (folder / "boucle-a.pdf").symlink_to("boucle-b.pdf")
    (folder / "boucle-b.pdf").symlink_to("boucle-a.pdf")
    (folder / "nulle-part.pdf").symlink_to("absent.pdf")
    (folder / "secret.txt").symlink_to("/etc/passwd")
    os.mkfifo(folder / "tuyau.pdf")
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            os.utime(path, (time.time() - 3600,) * 2)
    (folder / "grandit.txt").write_text("Le compte rendu que l'on est en train d'écrire")
    return folder


TRAPS = {
    "boucle-a.pdf": "link_outside",
    "boucle-b.pdf": "link_outside",
    "retour": "link_to_folder",
    "secret.txt": "link_outside",
    "tuyau.pdf": "not_a_file",
}


@pytest.fixture
def visit(ledger, inbox, tmp_path, monkeypatch):
    """Be a task attempt whose ledger, inbox, store and temporary folder are the test's own."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setattr(
        document_tasks, "parse_file", functools.partial(document_tasks.parse_file, limits=LIMITS)
    )

    def write_on(_seconds):
        with (inbox / "grandit.txt").open("a") as file:
            file.write(" et qui continue.")

    take = find_tasks.take_files
    monkeypatch.setattr(
        find_tasks, "take_files", lambda root, store: take(root, store, pause=write_on)
    )
    settings = Settings(
        inbox=inbox, documents=tmp_path / "documents", datasets=str(tmp_path / "datasets")
    )
    attempt = Attempt("document_intake", "run-1", "find", -1, 1)
    return Visit(ledger, attempt, settings, {"ti": Instance(states={}, max_tries=2)})


def test_no_name_and_no_address_ends_the_intake(visit, inbox, ledger):
    """Longer than an index holds, no text at all, or more of them than a docket has room for."""
    shutil.rmtree(inbox)
    deep = inbox.joinpath(*["x" * 250] * 12)
    deep.mkdir(parents=True)
    (deep / "plan.md").write_text("# Plan")
    (inbox / "page.md").write_text("# Page")
    (inbox / "page_metadata.json").write_text(json.dumps({"url": "https://x.fr/" + "漢" * 1_900}))
    (inbox / r"a\u0000.pdf").write_bytes(b"%PDF-1.4 unfinished")
    for number in range(10):
        (inbox / f"{number}{chr(0x1F40B) * 60}.pdf").write_bytes(b"%PDF-1.4 unfinished")
    (inbox / "grandit.txt").write_text("")

    found = find_tasks.find_documents(visit, {})
    urls = ["http://a..example/", "http://a.example/\0", "http://b.example/\udc80"]
    refused = find_tasks.find_documents(visit, {"urls": urls})

    assert (found["new"], found["set_aside"]) == (2, 0)
    assert found["waits"] == 12
    assert 0 < len(found["waiting"]) <= 10
    assert fits(found)
    assert refused["set_aside"] == 3
    assert len(document_tasks.reconcile_intake(visit, ocr=False)["set_aside"]) == 3


class Watch(threading.Thread):
    """Looks at the readers all the time: how many there were, and the most memory one of them took."""

    def __init__(self):
        super().__init__(daemon=True)
        self.seen = set()
        self.peak_bytes = 0
        self.end = threading.Event()

    def run(self):
        while not self.end.wait(0.02):
            for child in psutil.Process().children(recursive=True):
                try:
                    if STARTER in child.cmdline() and STARTER in child.parent().cmdline():
                        self.seen.add(child.pid)
                        self.peak_bytes = max(self.peak_bytes, child.memory_info().rss)
                except psutil.Error:
                    continue


def outcome(ledger, name):
    """What became of a file: its reason, ``read``, or ``page_set_aside`` when no page was read."""
    name = f"/{name}"
    aside = ledger.execute(
        "SELECT reason, detail FROM document_set_aside WHERE right(uri, length(%s)) = %s",
        (name, name),
    ).fetchall()
    if aside:
        ((reason, detail),) = aside
        assert detail.endswith((".", "»")), detail
        return reason
    texts = ledger.execute(
        "SELECT p.method, p.content FROM document_origin o JOIN page p USING (document_id)"
        " WHERE right(uri, length(%s)) = %s",
        (name, name),
    ).fetchall()
    if texts and all(method == "set_aside" for method, _ in texts):
        return "page_set_aside"
    return "read" if texts else "nowhere"


def test_each_ends_in_its_reason_and_nothing_is_left_behind(visit, inbox, tmp_path):
    """Taken in and read by the tasks themselves: reasons, sums, processes, memory, temporary files."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    watch = Watch()
    watch.start()
    try:
        found = find_tasks.find_documents(visit, {})
        for kind in document_tasks.READERS:
            if any(
                document_tasks._kind(visit, w) == kind
                for w in document_tasks._waiting(visit, ocr=False)
            ):
                document_tasks.read_kind(visit, kind, ocr=False, on_error="continue")
        told = document_tasks.reconcile_intake(visit, ocr=False)
    finally:
        watch.end.set()
        watch.join()

    wrong = {}
    for file in hostile_files():
        wanted = {AT_THE_DOOR.get(reason, reason) for reason in file.reasons} | file.reasons
        became = outcome(visit.connection, file.name.rpartition("/")[2])
        if became not in (wanted or {"read"}):
            wrong[file.name] = became
    assert wrong == {}
    assert {name: outcome(visit.connection, name) for name in TRAPS} == TRAPS
    assert found["waits"] == 2, "the file that grows, and the link that leads nowhere"
    assert outcome(visit.connection, "grandit.txt") == "nowhere"
    for sample in SAMPLES.iterdir():
        assert outcome(visit.connection, sample.name) == "read"

    books = told["books"]
    assert books["documents"] == books["parsed"] + books["set_aside"]
    assert books["waiting"] == 0
    assert (
        Counter(row[0] for row in visit.connection.execute("SELECT method FROM page").fetchall())[
            "set_aside"
        ]
        == books["pages_set_aside"]
    )
    assert watch.seen
    assert watch.peak_bytes < LIMITS.memory_bytes, f"{watch.peak_bytes >> 20} MiB"
    left = {child.pid: child for child in psutil.Process().children(recursive=True)}
    idle = [child for pid, child in left.items() if pid not in before]
    # The starter of the next reader may stand by; one that its reader killed is not replaced yet.
    assert [STARTER in child.cmdline() for child in idle] in ([True], [])
    assert [child.children() for child in idle] in ([[]], [])
    assert list((tmp_path / "temporary").iterdir()) == []
    assert not (tmp_path / "etc").exists()
