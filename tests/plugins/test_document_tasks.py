"""The document workflow's tasks, called as Airflow calls them but in this process, on a real ledger."""

import hashlib
import io
import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import psycopg
import pyarrow.parquet as pq
import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk import ObjectStoragePath
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.io import attach

from include.contributions.samples import load_samples
from include.dockets import fits
from include.documents import themes
from include.documents.chunking import ChunkSizes
from include.documents.embedding import bm25
from include.documents.intake import keep, stored_path
from include.documents.model import Page, ParsedDocument, Received
from include.errors import ConfigurationError, PermanentError, ReconciliationError, TransientError
from participation import (
    chunk_tasks,
    dataset_tasks,
    document_tasks,
    embed_tasks,
    find_tasks,
    index_tasks,
)
from participation.ledger import connect, document_books, metrics
from participation.ledger.attempt import Attempt
from participation.ledger.datasets import Example, LedgerDatasets
from participation.ledger.locks import item_lock
from participation.search import ask
from participation.settings import Settings
from participation.steps import Visit
from participation.triggers.outbox import MAX_ROWS_BYTES, event_of
from participation.turns import take_turns
from tests.hostile import hostile_files, pdf
from tests.plugins.conftest import Instance

SAMPLES = Path(__file__).parents[2] / "include" / "samples" / "documents"
TOWN = "audierne-esquibien"

pytestmark = pytest.mark.postgres


@pytest.fixture
def visit(ledger, inbox, unwatched, tmp_path, monkeypatch):
    """Be a task attempt whose ledger, inbox and stores are the test's own."""
    monkeypatch.setattr(embed_tasks, "connected", lambda: None)
    settings = Settings(
        municipality=TOWN,
        inbox=inbox,
        documents=tmp_path / "documents",
        datasets=str(tmp_path / "datasets"),
    )
    attempt = Attempt("document_intake", "run-1", "find", -1, 1)
    return Visit(ledger, attempt, settings, {"ti": Instance(states={}, max_tries=2)})


READERS = {reader: kind for kind, reader in document_tasks.READERS.items()}


def take_in(visit, **params):
    """Do what document_intake does, task by task; what ``reconcile`` says."""
    found = find_tasks.find_documents(visit, params)
    try:
        for reader in document_tasks.choose_readers(visit, ocr=False):
            document_tasks.read_kind(visit, READERS[reader], ocr=False, on_error="continue")
    except AirflowSkipException:
        pass
    return {**found, **document_tasks.reconcile_intake(visit, ocr=False)}


CHAIN = (
    (lambda visit: chunk_tasks.plan_chunking(visit, 2), chunk_tasks.cut),
    (lambda visit: embed_tasks.plan_embedding(visit, 2), embed_tasks.embed),
    (index_tasks.plan_indexing, lambda visit: index_tasks.build_index(visit, bm25.ENGINE)),
    (dataset_tasks.plan_dataset, dataset_tasks.find_themes),
)


def chain(visit):
    """Do what the DAGs after intake do; how many of them had work."""
    worked = 0
    for plan, work in CHAIN:
        try:
            plan(visit)
        except AirflowSkipException:
            continue
        work(visit)
        worked += 1
    if worked:
        dataset_tasks.build_dataset(visit)
    for reconcile in (
        chunk_tasks.reconcile_chunking,
        embed_tasks.reconcile_embedding,
        index_tasks.reconcile_indexing,
        dataset_tasks.reconcile_dataset,
    ):
        reconcile(visit)
    return worked


def moment(visit):
    return visit.connection.execute("SELECT now()").fetchone()[0]


def test_from_a_folder_to_an_answer_with_its_page(visit, inbox, tmp_path):
    """All five steps; then the second run finds nothing to do anywhere."""
    since = moment(visit)
    told = take_in(visit)
    assert told["new"] == len(list(inbox.iterdir()))
    assert told["books"]["parsed"] == told["new"]
    assert chain(visit) == 4

    hits = ask(visit.connection, TOWN, "Quels tarifs selon le quotient familial ?", top_k=3)
    assert hits[0].uri.endswith("deliberation_tarifs_cantine.txt")
    assert hits[0].first_page == 1
    assert "quotient familial" in hits[0].quote

    figures = document_books.of_intake(visit.connection, TOWN, "bm25-fr-1", since, "run-1")
    assert figures.documents == told["new"]
    assert figures.pages_in == figures.pages_read + figures.pages_set_aside
    assert figures.unanswered == 0
    assert (
        figures.chunks
        == visit.connection.execute(
            "SELECT chunk_count FROM index_version WHERE state = 'live'"
        ).fetchone()[0]
    )
    files = sorted(path.suffix for path in (tmp_path / "datasets" / TOWN).iterdir())
    assert files == [".jsonl", ".parquet"]

    again = take_in(visit)
    assert again["unchanged"] == told["new"]
    assert chain(visit) == 0


def test_a_changed_file_costs_one_document(visit, inbox):
    """The others are neither read nor cut nor embedded again, and the answer changes with the file."""
    take_in(visit)
    chain(visit)
    (inbox / "fiche_logement_saisonnier.md").write_text(
        "# Gîtes\n\nLe sémaphore de Lervily accueille désormais quatorze campeurs.\n"
    )

    assert take_in(visit)["changed"] == 1
    assert chunk_tasks.plan_chunking(visit, 2) == [0]
    assert chunk_tasks.cut(visit)["done"] == 1
    assert embed_tasks.embed(visit)["documents"] == {"bm25-fr-1": 1}
    index_tasks.build_index(visit, bm25.ENGINE)

    (hit,) = ask(visit.connection, TOWN, "combien de campeurs au sémaphore", top_k=1)
    assert hit.uri.endswith("fiche_logement_saisonnier.md")


def test_what_cannot_be_read_is_listed_with_its_reason(visit, inbox):
    """A file of no known kind, and one that lies about its kind; the rest goes on."""
    (inbox / "inconnu.bin").write_bytes(bytes(range(256)) * 40)
    (inbox / "cassé.pdf").write_bytes(b"%PDF-1.7\nrien de bon\n%%EOF\n")

    told = take_in(visit)

    assert told["books"]["set_aside"] == 2
    assert told["books"]["parsed"] == told["new"] - 2
    assert {Path(each["uri"]).name for each in told["set_aside"]} == {"inconnu.bin", "cassé.pdf"}
    assert all(each["detail"].endswith((".", "»")) for each in told["set_aside"])


def test_one_file_never_stops_the_intake(visit, inbox):
    """Names that no reader decodes, streams that do not inflate, and lists without end."""
    hostile = {each.name: each.content for each in hostile_files()}
    for name in ("nom-illisible.odt", "genre-dechire.odt", "noms-sans-fin.zip"):
        (inbox / name).write_bytes(hostile[name])

    told = take_in(visit)

    assert told["books"]["parsed"] == len(list(SAMPLES.iterdir()))
    assert sorted(each["reason"] for each in told["set_aside"]) == [
        "damaged",
        "damaged",
        "zip_bomb",
    ]


def test_a_name_that_no_index_holds_sets_its_file_aside(visit):
    """The error is the ledger's, and yet about this file alone."""
    name = "/".join(hashlib.sha512(b"%d" % n).hexdigest() for n in range(24))
    received = Received(name, "folder", keep([b"# Avis"], visit.settings.documents))

    assert find_tasks._noted(visit, document_tasks.documents_of(visit), received) == "set_aside"

    count, [(uri, reason, _)] = document_books.set_aside(visit.connection, TOWN)
    assert (count, reason) == (1, "name_too_long")
    assert (name.startswith(uri[:200]), name.endswith(uri[-400:])) == (True, True)


def test_a_scan_without_ocr_waits_and_the_run_says_how_to_go_on(visit, inbox):
    """The page is counted as set aside, the run is green, and its docket names the obstacle."""
    from PIL import Image, ImageDraw  # noqa: PLC0415 - this test alone draws

    picture = Image.new("L", (800, 400), 255)
    ImageDraw.Draw(picture).text((40, 40), "Avis de la mairie", fill=0)
    picture.save(inbox / "avis.png")

    told = take_in(visit)

    assert told["books"]["pages_set_aside"] == 1
    assert "OCR" in told["ocr"]


def test_a_long_scan_goes_on_where_the_last_run_stopped(visit, inbox, monkeypatch):
    """What OCR read is handed to the parser; a look that read nothing more is not counted as done."""
    for paper in inbox.iterdir():
        paper.unlink()
    (inbox / "scan.pdf").write_bytes(pdf([""] * 3))
    monkeypatch.setattr(document_tasks, "obstacle", lambda _settings: None)
    given, readable = [], [1]

    def parse(_path, _media, *, ocr, before):
        given.append([page.number for page in before if page.method == "ocr"])
        return ParsedDocument(
            tuple(
                Page(number, f"Page {number}.", "ocr", 0.9)
                if number <= readable[0]
                else Page(number, "", "set_aside", reason="needs_ocr")
                for number in (1, 2, 3)
            )
        )

    monkeypatch.setattr(document_tasks, "parse_file", parse)
    take_in(visit)
    with pytest.raises(AirflowSkipException):
        document_tasks.read_kind(visit, "document", ocr=True, on_error="continue")
    readable[0] = 3
    told = document_tasks.read_kind(visit, "document", ocr=True, on_error="continue")

    assert given == [[], [1], [1]]
    assert (told["done"], told["pages_ocr"]) == (1, 3)
    assert document_tasks._waiting(visit, ocr=True) == []


def test_a_document_that_fails_again_and_again_is_set_aside(visit, inbox, monkeypatch):
    """Three tries of one version of the parser; the others are read, and the next version tries anew."""
    (inbox / "mauvais.md").write_text("# Mauvais\n\nRien de bon ne vient de ce papier.\n")
    parse, tries = document_tasks.parse_file, []

    def fails(path, *args, **kwargs):
        if b"Mauvais" in path.read_bytes():
            tries.append(path)
            raise ValueError("unforeseen")
        return parse(path, *args, **kwargs)

    monkeypatch.setattr(document_tasks, "parse_file", fails)

    told = [take_in(visit) for _ in range(5)]

    assert len(tries) == 3
    assert [each["books"]["waiting"] for each in told] == [1, 1, 0, 0, 0]
    assert [each["reason"] for each in told[-1]["set_aside"]] == ["process_failed"]
    assert "(3 fois)" in told[-1]["set_aside"][0]["detail"]
    monkeypatch.setattr(document_tasks, "PARSER_VERSION", "next")
    take_in(visit)
    assert len(tries) == 4


def test_a_reader_that_cannot_start_is_not_the_documents_fault(visit, monkeypatch):
    """However often: nothing is set aside, all wait."""

    def fails(*_args, **_kwargs):
        raise OSError("no process that reads files could be started")

    monkeypatch.setattr(document_tasks, "parse_file", fails)

    told = [take_in(visit) for _ in range(4)]

    assert told[-1]["books"]["waiting"] == told[0]["new"]
    assert told[-1]["set_aside"] == []


@pytest.mark.parametrize("first", ["conseil.mp3", "conseil.srt"])
def test_a_recording_waits_for_its_transcript_and_no_longer(visit, inbox, first):
    """Whichever came first; one without a transcript stays set aside."""
    contents = {
        "conseil.mp3": b"ID3\x03" + bytes(99),
        "conseil.srt": b"1\n00:00:01,000 --> 00:00:04,000\nLe quai sera ferme en avril.\n",
    }
    (inbox / "autre.mp3").write_bytes(b"ID3\x03" + bytes(98))
    (inbox / first).write_bytes(contents.pop(first))
    told = take_in(visit)
    assert told["books"]["set_aside"] == 1 + (first == "conseil.mp3")
    for name, content in contents.items():
        (inbox / name).write_bytes(content)

    take_in(visit)
    told = take_in(visit)

    assert [Path(each["uri"]).name for each in told["set_aside"]] == ["autre.mp3"]
    assert told["books"]["waiting"] == 0
    chain(visit)
    assert chain(visit) == 0
    (hit,) = ask(visit.connection, TOWN, "quand le quai sera-t-il fermé", top_k=1)
    assert hit.uri.endswith("conseil.srt")


def test_new_sizes_cut_everything_again_and_the_old_index_answers_meanwhile(visit):
    """The newest sizes hold for the town, and a run that gives none leaves them."""
    take_in(visit)
    chain(visit)

    take_in(visit, chunk_size=2000, chunk_overlap=100)
    take_in(visit)

    chunks, _ = chunk_tasks.cut_as_chosen(visit)
    assert chunks.chosen() == ChunkSizes(chunk_size=2000, chunk_overlap=100)
    assert ask(visit.connection, TOWN, "cantine")
    documents = visit.connection.execute("SELECT count(*) FROM document").fetchone()[0]
    assert len(chunk_tasks.plan_chunking(visit, 64)) == documents
    assert chunk_tasks.cut(visit)["done"] == documents
    topics = visit.connection.execute(
        "SELECT count(*) FROM outbox WHERE topic = 'document_parsed' AND payload ? 'chunking_id'"
    ).fetchone()[0]
    assert topics == 1, "the new sizes wake the cutting once"


@pytest.mark.parametrize(
    "folder",
    [
        "../elsewhere",
        "file:///etc",
        "http://169.254.169.254/latest",
        "ftp://host/x",
        "simplecache::file:///etc",
        "s3::file:///etc",
    ],
)
def test_a_folder_leads_nowhere_else(visit, folder):
    """Outside of the inbox there are object stores, and nothing of the machine or of the web."""
    with pytest.raises(ConfigurationError):
        find_tasks.find_documents(visit, {"folder": folder})


def test_an_address_of_the_machine_itself_is_set_aside(visit):
    """The list of addresses goes through the guarded client, and the inbox is left alone."""
    told = find_tasks.find_documents(visit, {"urls": ["http://127.0.0.1:9/x.pdf"]})

    assert (told["set_aside"], told["new"]) == (1, 0)


def test_a_document_in_other_hands_is_left_to_them(visit, ledger_dsn):
    """Two workers share the documents: what one holds the other passes by, and nothing waits."""
    with connect(ledger_dsn) as other, item_lock(other, "step", "b"):
        done = []
        turns = take_turns(visit, "step", "abc", lambda i: done.append(i) or "done")

    assert (done, turns.done, turns.elsewhere) == (["a", "c"], 2, 1)
    assert take_turns(visit, "step", "b", lambda _i: "done").done == 1


def test_a_worker_that_finds_nothing_left_is_skipped(visit):
    """Never a green task that did nothing."""
    with pytest.raises(AirflowSkipException, match="the others did it"):
        take_turns(visit, "step", ["a"], lambda _id: "elsewhere")


def broken_at_b(document_id):
    if document_id == "b":
        raise ValueError("unforeseen")
    return "set_aside" if document_id == "s" else "done"


def test_continue_leaves_a_failed_document_for_the_next_run(visit):
    """The others go on, and the docket names what failed."""
    turns = take_turns(visit, "step", "abc", broken_at_b, "continue")

    assert (turns.done, turns.failed) == (2, ["b: ValueError: unforeseen"])


def test_retry_does_the_others_first(visit):
    """The task is tried again for what is left."""
    with pytest.raises(TransientError, match="1 documents failed: b"):
        take_turns(visit, "step", "abc", broken_at_b, "retry")

    assert visit.output_size == 2


POISON = {
    "a_value_no_column_takes": "SELECT 'x'::int",
    "a_key_that_is_there": "INSERT INTO chunking_choice VALUES ('x', -1)",
    "too_long_for_an_index": "CREATE TEMPORARY TABLE odd AS SELECT"
    " (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 20000) n) AS words;"
    " CREATE INDEX ON odd (words)",
}


@pytest.mark.parametrize("query", POISON.values(), ids=POISON)
def test_what_the_ledger_does_not_take_of_one_document_stops_no_other(visit, query):
    """In a fixed order the task would end at the same document each time."""

    def work(document_id):
        if document_id == "a":
            visit.connection.execute(query)
        return "done"

    turns = take_turns(visit, "step", "abc", work, "continue")

    assert (turns.done, len(turns.failed)) == (2, 1)


def test_a_ledger_that_is_gone_ends_the_work_at_once(visit, ledger_dsn):
    """Every other document would meet the same."""
    asked = []

    def work(document_id):
        asked.append(document_id)
        visit.connection.execute("SET LOCAL statement_timeout = '10ms'; SELECT pg_sleep(5)")

    with pytest.raises(psycopg.OperationalError):
        take_turns(visit, "step", "abc", work, "continue")

    assert asked == ["a"]


@pytest.mark.parametrize("ids", ["abc", "asc"])
def test_stop_ends_at_the_first_trouble(visit, ids):
    """A failure or a document set aside; what comes after it is not begun."""
    begun = []

    def work(document_id):
        begun.append(document_id)
        return broken_at_b(document_id)

    with pytest.raises(PermanentError, match="stopped at document"):
        take_turns(visit, "step", ids, work, "stop")

    assert begun == list(ids[:2])


def test_a_lost_page_turns_the_run_red(visit):
    """Pages in = read + set aside is counted on the rows themselves."""
    take_in(visit)
    visit.connection.execute("DELETE FROM page WHERE ctid = (SELECT ctid FROM page LIMIT 1)")

    with pytest.raises(ReconciliationError, match="pages do not add up"):
        document_tasks.reconcile_intake(visit, ocr=False)


def test_a_failed_worker_turns_the_run_red(visit):
    """The books balance, and the run says which tasks failed all the same."""
    visit.context["ti"].states = {"find": "success", "work": "failed"}

    with pytest.raises(PermanentError, match="'work'"):
        chunk_tasks.reconcile_chunking(visit)


def test_documents_that_repeat_each_other_stay_in_one_split(visit, inbox):
    """The copy is marked, kept, and never trains what the other tests."""
    original = (inbox / "guide_dechets.md").read_text(encoding="utf-8")
    (inbox / "guide_dechets_copie.md").write_text(original + "\nImprimé par nos soins.\n")
    take_in(visit)
    chain(visit)

    marked = visit.connection.execute(
        "SELECT count(*) FROM document_likeness WHERE similarity > 0.8"
    ).fetchone()[0]
    splits = visit.connection.execute(
        "SELECT content ->> 'group_id', count(DISTINCT split), count(DISTINCT document_id)"
        " FROM dataset_example GROUP BY 1 ORDER BY 3 DESC"
    ).fetchall()
    assert marked == 1
    assert splits[0][2] == 2
    assert {row[1] for row in splits} == {1}
    assert LedgerDatasets(visit.connection, TOWN).newest("documents")[0].version == 1


class Shown(dict):
    """What Airflow shows beside a running task; refuses to be written when it is broken."""

    broken = False

    def set(self, key, value):
        if self.broken:
            raise RuntimeError("the API server is away")
        self.setdefault(key, []).append(value)


def test_a_worker_says_how_far_it_is(visit, caplog):
    """N of M with what was read so far, in the log, beside the task, and as its name in the grid."""
    caplog.set_level(logging.INFO, logger="participation.progress")
    shown = visit.context["task_state_store"] = Shown()
    pages = document_tasks.Pages()

    def read(document_id):
        pages.add([Page(1, "", "ocr"), Page(2, "", "set_aside", reason="empty")])
        return "set_aside" if document_id == "b" else "done"

    take_turns(visit, "step", "abc", read, amount=lambda: str(pages))

    assert caplog.messages[:2] == [
        "1 of 3: document a (0 done)",
        "2 of 3: document b (1 done, 2 pages, 1 by OCR, 1 set aside)",
    ]
    end = "2 done, 1 set aside, 6 pages, 3 by OCR, 3 set aside"
    assert shown["progress"] == ["1 of 3: document a (0 done)", end]
    assert visit.context["progress"] == end


def test_work_goes_on_where_its_progress_cannot_be_shown(visit):
    """What is shown beside a task never decides whether its work is done."""
    visit.context["task_state_store"] = Shown()
    visit.context["task_state_store"].broken = True

    assert take_turns(visit, "step", "ab", lambda _id: "done").done == 2


def test_the_dataset_run_carries_the_outputs_of_its_documents(visit, inbox, ledger):
    """Of those whose themes it found, and of no others."""
    (inbox / "cassé.pdf").write_bytes(b"%PDF-1.7\nrien de bon\n%%EOF\n")
    take_in(visit)
    chain(visit)
    themed = visit.connection.execute("SELECT count(*) FROM document_theme").fetchone()[0]
    visit = replace(visit, attempt=replace(visit.attempt, dag_id="dataset_creation"))

    assert dataset_tasks.reconcile_dataset(visit)["outputs"] == []
    metrics.open_metric(ledger, TOWN, visit.attempt, "themes")
    assert dataset_tasks.reconcile_dataset(visit)["outputs"] == [], "others found them, before"
    ledger.execute("UPDATE step_metric SET started_at = now() - interval '1 hour'")
    told = dataset_tasks.reconcile_dataset(visit)

    assert len(told["outputs"]) + told["outputs_left_out"] == themed
    assert all(each["extracted_themes"] for each in told["outputs"])
    assert fits(told)


def test_an_event_stays_a_docket():
    """As many payloads as fit in 8 KB; the count is of all rows."""
    rows = [(n, {"document_id": "é" * 64, "page_count": n}) for n in range(500)]

    event = event_of("document_parsed", rows)

    assert event["row_count"] == 500
    assert 10 < len(event["rows"]) < 500
    assert len(str(event["rows"]).encode()) < 2 * MAX_ROWS_BYTES


def test_a_version_whose_task_died_after_the_record_is_announced_all_the_same(visit):
    """The next attempt ends green, so that the asset has its event; then it is said once."""
    take_in(visit)
    for plan, work in CHAIN:
        plan(visit)
        work(visit)
    first = dataset_tasks.build_dataset(visit)
    assert dataset_tasks.plan_dataset(visit) == [0], "a run that died left it to the next one"

    again = dataset_tasks.build_dataset(visit)

    assert again == first
    dataset_tasks.reconcile_dataset(visit)
    with pytest.raises(AirflowSkipException, match="says the same"):
        dataset_tasks.build_dataset(visit)
    with pytest.raises(AirflowSkipException):
        dataset_tasks.plan_dataset(visit)


def test_a_run_with_a_failed_task_leaves_the_event_to_the_next(visit):
    """What is not sure to have been announced is announced again."""
    take_in(visit)
    for plan, work in CHAIN:
        plan(visit)
        work(visit)
    dataset_tasks.build_dataset(visit)
    visit.context["ti"].states = {"build": "failed"}

    with pytest.raises(PermanentError, match="build"):
        dataset_tasks.reconcile_dataset(visit)

    assert dataset_tasks.plan_dataset(visit) == [0]


def test_a_dataset_holds_what_the_index_holds(visit, inbox):
    """A paper that is cut and not indexed yet is not of the index that the provenance names."""
    take_in(visit)
    chain(visit)
    (inbox / "new.md").write_text("# Phare\n\nLe phare de Raoulic est repeint. " * 20)
    take_in(visit)
    chunk_tasks.cut(visit)
    index_id = index_tasks.indexes(visit)[0].live().index_id

    def texts():
        return [each.text for each in dataset_tasks._examples(visit, index_id)]

    assert len(texts()) > 10
    assert not any("Raoulic est repeint" in text for text in texts())
    embed_tasks.embed(visit)
    index_id = index_tasks.build_index(visit, bm25.ENGINE)["index_id"]
    assert any("Raoulic est repeint" in text for text in texts())


def test_what_the_town_talks_about_is_found_and_handed_on(visit, inbox):
    """Of several papers, without their copies; replaced by the next run."""
    shutil.rmtree(inbox)
    inbox.mkdir()
    words = ("La cantine ouvre lundi. La cantine est bio.", "Une cantine neuve à la cantine.")
    for number, text in enumerate(words):
        (inbox / f"{number}.txt").write_text(f"{text} Les enfants mangent à midi.\n")
    take_in(visit)
    chunk_tasks.cut(visit)

    told = dataset_tasks.find_themes(visit)

    assert "cantine" in told["town_themes"]
    datasets = LedgerDatasets(visit.connection, TOWN)
    assert [each.label for each in datasets.town_themes(themes.ENGINE)] == told["town_themes"]
    assert fits(told)


def decide(visit, contribution_id, outcome):
    visit.connection.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
        " VALUES (%s, %s, 'anne-le-bris', 'motif')",
        (contribution_id, outcome),
    )


def labelled(visit):
    """Contribution, split and labels of the labelled examples of the newest version."""
    return visit.connection.execute(
        "SELECT content ->> 'contribution_id', split, content -> 'labels', content::text"
        " FROM dataset_example WHERE dataset_id = (SELECT max(dataset_id) FROM dataset)"
        " AND content ->> 'contribution_id' IS NOT NULL ORDER BY 1"
    ).fetchall()


def test_decisions_of_persons_are_labelled_examples(visit, fill):
    """The one that stands counts; what waits for a person, or nobody decided, is no label."""
    take_in(visit)
    chain(visit)
    fill(visit.connection, count=4)
    for number, outcome in ((0, "accepted"), (1, "accepted"), (1, "refused"), (2, "review")):
        decide(visit, f"a:{number}", outcome)

    assert dataset_tasks.plan_dataset(visit) == [0]
    told = dataset_tasks.build_dataset(visit)
    dataset_tasks.reconcile_dataset(visit)

    found = labelled(visit)
    assert [(row[0], row[2][0]) for row in found] == [
        ("a:0", "decision:accept"),
        ("a:1", "decision:refusal_proposed"),
    ]
    assert "anne-le-bris" not in str(found)
    assert (told["version"], told["counts"]["labelled"]) == (2, len(load_samples()) + 2)
    with pytest.raises(AirflowSkipException):
        dataset_tasks.plan_dataset(visit)


@pytest.mark.parametrize("allowed", [False, True])
def test_decided_contributions_leave_the_house_only_where_a_setting_says_so(visit, fill, allowed):
    """The version in the ledger is whole either way."""
    attach("memory", fs=fsspec.filesystem("memory"))
    store = f"memory://datasets-{allowed}"
    changes = {"datasets": store, "datasets_take_citizens_words": allowed}
    visit.settings = visit.settings.model_copy(update=changes)
    fill(visit.connection, count=1)
    decide(visit, "a:0", "accepted")

    dataset_tasks.build_dataset(visit)

    files = {path.suffix: path.read_bytes() for path in (ObjectStoragePath(store) / TOWN).iterdir()}
    rows = [json.loads(line) for line in files[".jsonl"].splitlines()]
    assert len(rows) == len(load_samples()) + allowed
    assert [row["contribution_id"] for row in rows if row["contribution_id"]] == ["a:0"] * allowed
    assert pq.read_table(io.BytesIO(files[".parquet"])).num_rows == len(rows)
    assert [row[0] for row in labelled(visit)] == ["a:0"]


def test_few_documents_fill_every_split_and_keep_their_place(visit, inbox):
    """Nine samples stand in all three splits; a version more moves none of them."""
    spare = sorted(inbox.iterdir())[5:]
    kept = {path: path.read_bytes() for path in spare}
    for path in spare:
        path.unlink()
    take_in(visit)
    chain(visit)

    def places():
        rows = visit.connection.execute(
            "SELECT DISTINCT document_id, split FROM dataset_example"
            " WHERE dataset_id = (SELECT max(dataset_id) FROM dataset) AND document_id IS NOT NULL"
        ).fetchall()
        assert len(dict(rows)) == len(rows), "a document stands in two splits"
        return dict(rows)

    before = places()
    for path, content in kept.items():
        path.write_bytes(content)
    take_in(visit)
    chain(visit)

    assert set(before.values()) == {"train", "validation", "test"}
    assert len(places()) == len(before) + len(kept)
    assert places().items() >= before.items()


def test_a_torn_group_turns_the_run_red(visit):
    """Counted on the rows of the version itself."""
    take_in(visit)
    chain(visit)
    visit.connection.execute("SET session_replication_role = replica")
    visit.connection.execute(
        "UPDATE dataset_example SET split = CASE split WHEN 'test' THEN 'train' ELSE 'test' END"
        " WHERE position = (SELECT min(position) FROM dataset_example"
        "  WHERE content ->> 'kind' = 'chunk')"
    )
    visit.connection.execute("SET session_replication_role = DEFAULT")

    with pytest.raises(ReconciliationError, match="two splits"):
        dataset_tasks.reconcile_dataset(visit)


def test_a_group_never_gets_a_second_place(visit):
    """Two runs that placed it differently: the second one stores nothing."""
    datasets = LedgerDatasets(visit.connection, TOWN)
    for split in ("train", "test"):
        example = Example(split, {"group_id": "g", "text": split})
        if split == "train":
            datasets.add("d", split, [example], provenance={})
            continue
        with pytest.raises(ReconciliationError, match="another place"):
            datasets.add("d", split, [example], provenance={})

    assert datasets.newest("d")[0].version == 1


def test_lost_bytes_set_one_paper_aside_until_they_are_back(visit, inbox, monkeypatch):
    """A new parser wants to read everything; the paper whose bytes are gone holds up no other."""
    paper = "guide_dechets.md"
    take_in(visit)
    (document_id,) = visit.connection.execute(
        "SELECT document_id FROM document_origin WHERE uri LIKE %s", (f"%{paper}",)
    ).fetchone()
    lost = visit.settings.documents / stored_path(document_id)
    lost.unlink()
    (inbox / paper).rename(inbox.parent / paper)
    monkeypatch.setattr(document_tasks, "PARSER_VERSION", "next")

    told = take_in(visit)

    assert [each["reason"] for each in told["set_aside"]] == ["missing_bytes"]
    assert told["books"]["parsed"] == told["unchanged"] + 1
    (inbox.parent / paper).rename(inbox / paper)
    told = take_in(visit)
    assert told["set_aside"] == []
    assert lost.is_file()
