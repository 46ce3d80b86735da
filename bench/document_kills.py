"""Kill parts of the document workflow while it works; somebody asks the index all the time.

Each round brings a folder of generated papers in, kills one process with SIGKILL, waits until every
paper answers, and counts by SQL of its own what was lost or came twice. Every answer given meanwhile is
held against the version of the index that gave it: half an index never answers.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bench.kills import (
    RESUME_LIMIT_S,
    children_of,
    find,
    kill,
    living,
    parent_of,
    patiently,
    title,
)
from bench.real_system import RealSystem, wait_for
from include.documents.embedding import bm25
from include.documents.model import document_id
from participation.ledger import locks
from participation.ledger.connection import Connection
from participation.search import ask
from participation.settings import Settings

INTAKE = "document_intake"
TARGETS = ("reader", "task", "postgres")
"""What is killed. *reader*: the process that reads one paper. *task*: the one that started it. *postgres*:
all of PostgreSQL, when a part of the next index version is stored and a part is not."""

PAPERS = 26
PAPER_CHARACTERS = 300_000
"""So many that the index is built in two transactions: the kill comes between them."""

FEW_PAPERS = 4

LONG_PAGES = 1500
"""Of the paper whose reader is killed: some seconds of reading."""

END_LIMIT_S = 420
OLD_S = 60
"""A text that was just written would be watched to see whether it grows."""

STARTER = "include.documents.parsing.starter"
"""Whose forks read papers, each in a folder of its own."""

PAUSE_LOCK = 7_142_999
INDEX_LOCK = locks.index_lock(Settings().municipality, bm25.ENGINE)

_BEGINNINGS = [
    "bar",
    "cor",
    "dal",
    "fen",
    "gal",
    "hur",
    "jol",
    "ker",
    "lan",
    "mor",
    "nev",
    "pen",
    "quim",
    "ros",
    "stan",
    "tre",
    "vor",
]
_MIDDLES = ["a", "e", "i", "o", "u", "an", "en", "in", "on", "ou"]
_ENDINGS = ["bec", "dec", "gar", "lin", "mat", "nec", "pic", "rel", "sot", "tan", "vel", "zec"]


@dataclass
class DocumentRound:
    """What one kill did.

    Attributes:
        number: Of the round, from 0; with the seed it makes the round repeatable.
        target: What was killed.
        pids: Its processes.
        filled: Papers of the next index version whose entries were stored when it was killed.
        answers: How many questions were answered during the round.
        versions: How many versions of the index gave them.
        resumed_s: Until an attempt or a reader began that was not there before.
        searchable_s: Until every paper of the round answered.
        seconds: The whole round.
        wrong: What is lost, doubled, half or late; empty when all is well.
    """

    number: int
    target: str
    pids: list[int] = field(default_factory=list)
    filled: int = 0
    answers: int = 0
    versions: int = 0
    resumed_s: float | None = None
    searchable_s: float | None = None
    seconds: float = 0.0
    wrong: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)


class Asker(threading.Thread):
    """Asks for one word that stands once in every paper, and compares each answer with the version.

    An answer counts when the same version was live before and after the question, or when it is the
    answer of one of the two.
    """

    def __init__(self, system: RealSystem, word: str) -> None:
        super().__init__(daemon=True)
        self.answers = 0
        self.versions: set[int] = set()
        self.wrong: list[str] = []
        self._system = system
        self._word = word
        self._end = threading.Event()

    def run(self) -> None:
        """Ask until told to stop; a database on its way back is waited for."""
        while not self._end.is_set():
            try:
                with self._system.ledger() as ledger:
                    while not self._end.is_set():
                        self._ask(ledger)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                self._end.wait(0.2)

    def stop(self) -> None:
        """End the asking."""
        self._end.set()
        self.join(60)

    def _ask(self, ledger: Connection) -> None:
        before = self._live(ledger)
        hits = ask(ledger, Settings().municipality, self._word, top_k=10 * PAPERS)
        after = self._live(ledger)
        found = {hit.document_id for hit in hits}
        # When one was replaced twice during the question, the one between is not known any more.
        if len({before[0], after[0]}) > 1 and after[0] > before[0] + 1:
            return
        self.answers += 1
        self.versions.add(after[0])
        if found not in (before[1], after[1]):
            self.wrong.append(
                f"version {before[0]} or {after[0]} holds {len(before[1])} or {len(after[1])} of the "
                f"papers, {len(found)} answered"
            )
        self._end.wait(0.05)

    def _live(self, ledger: Connection) -> tuple[int, set[str]]:
        """Return the live version and the papers of the round that it holds.

        What a version holds is settled before it goes live; its count must be that of its papers.
        """
        row = ledger.execute(
            "SELECT v.index_id, v.document_count, count(d.document_id)::int,"
            " array_agg(d.document_id) FILTER (WHERE d.document_id IN"
            "  (SELECT document_id FROM document_origin WHERE metadata ->> 'name' LIKE %s"
            "   AND metadata ->> 'name' LIKE '%%.txt'))"
            " FROM index_version v JOIN index_document d USING (index_id)"
            " WHERE v.engine = %s AND v.state = 'live' GROUP BY 1, 2",
            (f"%{self._word}%", bm25.ENGINE),
        ).fetchone()
        if row is None:
            return 0, set()
        if row[1] != row[2]:
            self.wrong.append(f"version {row[0]} says {row[1]} documents and holds {row[2]}")
        return int(row[0]), set(row[3] or ())


def kill_round(system: RealSystem, target: str, *, seed: int, number: int) -> DocumentRound:
    """Bring papers in, kill the target while it works on them, and count afterwards.

    Args:
        system: A healthy one.
        target: One of :data:`TARGETS`.
        seed: With the number it decides on the papers.
        number: Of the round.
    """
    began = time.monotonic()
    dice = random.Random(f"{seed}/{number}/{target}")
    name = f"{target}{seed}x{number}"
    word = "zk" + "".join(dice.choices("bcdfghjklmnpqrstvwxz", k=10))
    done = DocumentRound(number, target)
    ids = _bring(system, f"{name}-{word}", word, dice, is_long=target != "postgres")
    asker = Asker(system, word)
    asker.start()
    try:
        killed_at = _kill_in_the_middle(system, name, f"{name}-{word}", ids, done)
        wait_for(lambda: _all_answer(system, ids), END_LIMIT_S, "an answer from every paper", 0.5)
        with patiently(system) as ledger:
            done.searchable_s = round((_now(ledger) - killed_at).total_seconds(), 1)
        if (ended := system.finished(INTAKE, name, END_LIMIT_S)) != "success":
            done.wrong.append(f"the intake ended as {ended}")
    finally:
        asker.stop()
    with patiently(system) as ledger:
        if target != "reader":
            done.resumed_s = _resumed_s(ledger, killed_at)
            if done.resumed_s is None or done.resumed_s > RESUME_LIMIT_S:
                done.wrong.append(f"not at work again within {RESUME_LIMIT_S} s")
        done.wrong += faults_of_documents(ledger, ids)
    done.wrong += asker.wrong[:5]
    done.answers, done.versions = asker.answers, len(asker.versions)
    if not asker.answers:
        done.wrong.append("nobody could ask anything")
    if left := [each.pid for each in readers(system) if reads(each, ids)]:
        done.wrong.append(f"readers are left: {left}")
    done.seconds = round(time.monotonic() - began, 1)
    return done


def readers(system: RealSystem) -> list[psutil.Process]:
    """List the processes that read papers now: forks of those that were started for it."""
    below = children_of(system.supervisor, recursive=True)
    starters = {each.pid for each in below if STARTER in title(each)}
    return [each for each in below if STARTER in title(each) and parent_of(each) in starters]


def reads(reader: psutil.Process, ids: list[str]) -> bool:
    """Say whether a reader has one of these papers in its hands."""
    try:
        request = (Path(reader.cwd()) / "request").read_text()
    except (OSError, psutil.Error):
        return False
    return any(each in request for each in ids)


def faults_of_documents(ledger: Connection, ids: list[str]) -> list[str]:
    """Say what is lost or doubled among papers that must all be read and searchable; empty when well."""
    names = {"ids": ids, "count": len(ids), "engine": bm25.ENGINE}
    return [
        f"{name}: {found}"
        for name, query in CHECKS.items()
        if (found := ledger.execute(query, names).fetchone()) != (0,)
    ]


CHECKS = {
    "papers not read": (
        "SELECT %(count)s - count(*)::int FROM document WHERE document_id = ANY(%(ids)s)"
        " AND parsed_at IS NOT NULL"
    ),
    "papers set aside": (
        "SELECT count(*)::int FROM document_set_aside WHERE document_id = ANY(%(ids)s)"
        " AND resolved_at IS NULL"
    ),
    "papers whose pages do not add up": (
        "SELECT count(*)::int FROM document d WHERE document_id = ANY(%(ids)s) AND page_count <>"
        " (SELECT count(*) FROM page p WHERE p.document_id = d.document_id)"
    ),
    "events missing or twice": (
        "SELECT count(*)::int FROM unnest(%(ids)s::text[]) AS i (id) CROSS JOIN"
        " (VALUES ('document_parsed'), ('document_chunked'), ('chunks_embedded')) AS t (topic)"
        " WHERE 1 <> (SELECT count(*) FROM outbox o WHERE o.topic = t.topic"
        "  AND o.payload ->> 'document_id' = i.id)"
    ),
    "papers cut more or less than once": (
        "SELECT count(*)::int FROM unnest(%(ids)s::text[]) AS i (id) WHERE 1 <>"
        " (SELECT count(*) FROM document_chunking c WHERE c.document_id = i.id)"
    ),
    "chunks without a vector": (
        "SELECT count(*)::int FROM chunk c WHERE document_id = ANY(%(ids)s) AND NOT is_parent"
        " AND NOT EXISTS (SELECT FROM embedding e WHERE e.engine = %(engine)s"
        "  AND e.content_hash = c.content_hash)"
    ),
    "papers that do not answer with each chunk once": (
        "SELECT count(*)::int FROM unnest(%(ids)s::text[]) AS i (id) WHERE"
        " (SELECT array_agg(chunk_id ORDER BY chunk_id) FROM chunk"
        "  WHERE document_id = i.id AND NOT is_parent) IS DISTINCT FROM"
        " (SELECT array_agg(e.chunk_id ORDER BY e.chunk_id) FROM index_version v"
        "  JOIN index_entry e ON e.base_id = v.base_id AND e.added_in <= v.index_id"
        "   AND (e.removed_in IS NULL OR e.removed_in > v.index_id)"
        "  WHERE v.state = 'live' AND v.engine = %(engine)s AND e.document_id = i.id)"
    ),
    "index versions left half built": (
        "SELECT count(*)::int FROM index_version WHERE state = 'building' AND engine = %(engine)s"
    ),
}
"""Name of what must not be there, and the query that counts it; each must answer 0."""


def _bring(
    system: RealSystem, folder: str, word: str, dice: random.Random, *, is_long: bool
) -> list[str]:
    """Write many papers, or a long one and some, old enough to be taken at once; the long one first."""
    place = system.inbox / "documents" / folder
    place.mkdir(parents=True)
    papers = []
    if is_long:
        papers.append(place / f"{word}.pdf")
        papers[0].write_bytes(_long_pdf(word[::-1]))
    vocabulary = [a + b + c for a in _BEGINNINGS for b in _MIDDLES for c in _ENDINGS]
    for number in range(FEW_PAPERS if is_long else PAPERS):
        text = " ".join(dice.choices(vocabulary, k=PAPER_CHARACTERS // 7))
        papers.append(place / f"{word}-{number}.txt")
        papers[-1].write_text(f"Le quai du port, {word}, projet {number}.\n\n{text}\n", "utf-8")
    for paper in papers:
        os.utime(paper, (time.time() - OLD_S,) * 2)
    return [document_id(paper.read_bytes()) for paper in papers]


def _long_pdf(mark: str) -> bytes:
    """Write a PDF of many pages with a line each."""
    objects = [b"<</Type/Catalog/Pages 2 0 R>>", b""]
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>")
    kids = []
    for number in range(LONG_PAGES):
        text = f"BT /F1 10 Tf 60 780 Td (Page {number} de la commune, {mark}) Tj ET".encode()
        objects.append(b"<</Length %d>>stream\n%s\nendstream" % (len(text), text))
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>"
            b"/Contents %d 0 R>>" % len(objects)
        )
        kids.append(b"%d 0 R" % len(objects))
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (len(kids), b" ".join(kids))
    out, offsets = bytearray(b"%PDF-1.5\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(offsets) + 1, len(out))
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(offsets) + 1)
    return bytes(out) + head + table + end


def _kill_in_the_middle(
    system: RealSystem, run_id: str, folder: str, ids: list[str], done: DocumentRound
) -> datetime:
    conf = {"folder": f"documents/{folder}", "ocr": False}
    if done.target == "postgres":
        return _kill_half_a_build(system, run_id, conf, ids, done)
    system.start_run(INTAKE, run_id, conf)

    def reading() -> psutil.Process | None:
        return next((each for each in readers(system) if reads(each, ids[:1])), None)

    reader = wait_for(reading, END_LIMIT_S, "the reader of the long paper", 0.02)
    with system.ledger() as ledger:
        killed_at = _now(ledger)
    starter = psutil.Process(parent_of(reader))
    done.pids = [reader.pid if done.target == "reader" else parent_of(starter)]
    kill(done.pids[0])
    if done.target == "task":
        wait_for(lambda: not living([reader]), 10, "the end of the orphaned reader")
    return killed_at


def _kill_half_a_build(
    system: RealSystem, run_id: str, conf: dict[str, Any], ids: list[str], done: DocumentRound
) -> datetime:
    with system.ledger() as holder, _build_stops_at(system, max(ids)):
        locks.hold_for_session(holder, PAUSE_LOCK)
        # Nobody begins a version before all papers have their vectors: it will hold all of them.
        locks.hold_for_session(holder, INDEX_LOCK)
        system.start_run(INTAKE, run_id, conf)
        wait_for(lambda: _embedded(holder, ids), END_LIMIT_S, "a vector for each chunk", 0.2)
        locks.unlock(holder, INDEX_LOCK)
        done.filled = wait_for(
            lambda: _filled(holder, ids), END_LIMIT_S, "a version that is half built", 0.1
        )
        killed_at = _now(holder)
        done.pids = find(system, "postgres", holder)
        for pid in done.pids:
            kill(pid)
    return killed_at


@contextmanager
def _build_stops_at(system: RealSystem, last_id: str) -> Iterator[None]:
    """Let whoever adds this paper's entries to an index wait for a lock that dies with PostgreSQL."""
    with system.ledger() as ledger:
        ledger.execute(
            "CREATE FUNCTION pause_build() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            f" IF NEW.document_id = '{last_id}' THEN"
            f" PERFORM pg_advisory_xact_lock({PAUSE_LOCK}); END IF; RETURN NEW; END $$;"
            "CREATE TRIGGER pause_build BEFORE INSERT ON index_entry"
            " FOR EACH ROW EXECUTE FUNCTION pause_build()"
        )
    try:
        yield
    finally:
        with patiently(system) as ledger:
            ledger.execute("DROP FUNCTION pause_build() CASCADE")


def _embedded(ledger: Connection, ids: list[str]) -> bool:
    row = ledger.execute(
        "SELECT count(*) FROM document_embedding WHERE engine = %s AND document_id = ANY(%s)",
        (bm25.ENGINE, ids),
    ).fetchone()
    return row == (len(ids),)


def _filled(ledger: Connection, ids: list[str]) -> int:
    """Count the papers whose entries are stored, once the build waits at the last of them."""
    row = ledger.execute(
        "SELECT count(*)::int FROM index_version v JOIN index_document d USING (index_id)"
        " WHERE v.state = 'building' AND d.is_new AND d.is_filled AND d.document_id = ANY(%s)"
        " AND EXISTS (SELECT FROM pg_locks"
        "  WHERE locktype = 'advisory' AND objid = %s AND NOT granted)",
        (ids, PAUSE_LOCK),
    ).fetchone()
    return int(row[0]) if row else 0


def _all_answer(system: RealSystem, ids: list[str]) -> bool:
    with patiently(system) as ledger:
        row = ledger.execute(
            "SELECT count(*) FROM index_version v JOIN index_document d USING (index_id)"
            " WHERE v.state = 'live' AND v.engine = %s AND d.document_id = ANY(%s)",
            (bm25.ENGINE, ids),
        ).fetchone()
    return row == (len(ids),)


def _resumed_s(ledger: Connection, killed_at: datetime) -> float | None:
    row = ledger.execute(
        "SELECT extract(epoch FROM min(started_at) - %(at)s) FROM step_metric"
        " WHERE dag_id LIKE 'document%%' AND started_at > %(at)s",
        {"at": killed_at},
    ).fetchone()
    return round(float(row[0]), 1) if row and row[0] is not None else None


def _now(ledger: Connection) -> datetime:
    row = ledger.execute("SELECT clock_timestamp()").fetchone()
    assert row is not None  # noqa: S101 - a SELECT without FROM gives one row
    moment: datetime = row[0]
    return moment
