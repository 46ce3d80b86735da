"""The document workflow on a real Airflow: from a folder, event by event, to an answer with its page."""

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airflow_client import FINAL_STATES
from bench.real_system import ROOT, wait_for
from participation.ledger.locks import item_lock
from participation.search import ask
from participation.settings import Settings
from tests.hostile import hostile_files

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

INTAKE = "document_intake"
FOLLOWING = ("document_chunking", "document_embedding", "document_indexing", "dataset_creation")
TOWN = Settings().municipality

CHOSEN = {
    "vide.pdf": "empty",
    "mot-de-passe.pdf": "encrypted",
    "entites.docx": "unsafe_xml",
    "hasard.txt": "unknown_content_type",
    "page-web.pdf": None,
}
"""Hostile files beside the samples, and the reason for which each is set aside."""

CHUNK_SIZE = 2000

ANNOUNCED = {
    "document_parsed": "document",
    "document_chunked": "document_chunking",
    "chunks_embedded": "document_embedding",
}
"""Topic of an event, and the rows that it tells of, one by one."""

COUNTED = {
    "origins": "document_origin",
    "documents": "document",
    "set aside": "document_set_aside",
    "chunks": "chunk",
    "cut": "document_chunking",
    "vectors": "embedding",
    "embedded": "document_embedding",
    "versions": "index_version",
    "entries": "index_entry",
    "datasets": "dataset",
    "events": "outbox",
}
"""Rows of the document workflow: what grows when something is computed."""


def place(folder, name, content):
    """Write a file that is so old that nobody waits whether it grows."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    os.utime(path, (time.time() - 3600,) * 2)
    return path


def counts(ledger):
    return {
        name: ledger.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for name, table in COUNTED.items()
        if name != "events"
    } | {
        "events": ledger.execute(
            "SELECT count(*) FROM outbox WHERE topic <> 'contributions_received'"
        ).fetchone()[0]
    }


def states(system, dag_id, run_id):
    """State of each task of a run; of mapped ones the only state they all have."""
    found = {}
    for task, state in system.client.task_states(dag_id, run_id):
        found.setdefault(task, set()).add(state)
    return {task: state.pop() if len(state) == 1 else state for task, state in found.items()}


def tries(system, run_id, task):
    path = f"/api/v2/dags/{INTAKE}/dagRuns/{run_id}/taskInstances"
    found = system.get(path, "admin").json()["task_instances"]
    return max(each["try_number"] for each in found if each["task_id"] == task)


def message(ledger, run_id, step):
    row = ledger.execute(
        "SELECT error_message FROM step_metric WHERE run_id = %s AND step = %s"
        " AND status = 'failed' ORDER BY metric_id LIMIT 1",
        (run_id, step),
    ).fetchone()
    return row[0] if row else ""


def is_at_rest(system, ledger):
    """Whether every paper that was read answers, the dataset is of that index, and nothing runs."""
    (unanswered,) = ledger.execute(
        "SELECT count(*) FROM document d JOIN document_origin o USING (document_id)"
        " WHERE o.superseded_at IS NULL AND NOT EXISTS (SELECT FROM index_version v"
        "  JOIN index_document i USING (index_id) WHERE v.state = 'live'"
        "  AND (i.document_id, i.text_hash) = (d.document_id, d.text_hash)"
        "  AND i.chunking_id IN (SELECT chunking_id FROM chunking_choice))"
    ).fetchone()
    (stale,) = ledger.execute(
        "SELECT count(*) FROM index_version v WHERE state = 'live' AND index_id <> coalesce((SELECT"
        " (provenance ->> 'index_id')::bigint FROM dataset ORDER BY dataset_id DESC LIMIT 1), 0)"
    ).fetchone()
    if unanswered or stale:
        return False
    runs = [run["state"] for dag in FOLLOWING for run in runs_of(system, dag)]
    return set(runs) <= FINAL_STATES


def runs_of(system, dag_id):
    path = f"/api/v2/dags/{dag_id}/dagRuns?limit=100&order_by=-id"
    return system.get(path, "admin").json()["dag_runs"]


@pytest.fixture(scope="module")
def taken_in(system):
    """Take the samples and some hostile files in, and wait until all five DAGs are at rest."""
    # The hourly run may come first; what it takes in is not left for this one.
    wait_for(lambda: {r["state"] for r in runs_of(system, INTAKE)} <= FINAL_STATES, 300, "peace")
    folder = system.inbox / "documents"
    for file in hostile_files():
        if file.name in CHOSEN:
            place(folder, file.name, file.content)
    conf = {"folder": "documents", "chunk_size": CHUNK_SIZE, "chunk_overlap": 100}
    run_id = system.start_run(INTAKE, "e2e-documents", conf)
    assert system.finished(INTAKE, run_id, 300) == "success", states(system, INTAKE, run_id)
    with system.ledger() as ledger:
        wait_for(lambda: is_at_rest(system, ledger), 300, "the end of the document workflow", 1)
    return run_id


def test_only_the_branches_with_work_run(system, taken_in):
    """Documents and unknown bytes are there, images and transcripts are not: skipped, not green."""
    found = states(system, INTAKE, taken_in)

    assert found["set_aside_unknown"] == "success"
    assert "success" in found["read_documents"]
    assert "failed" not in found["read_documents"]
    assert found["read_images"] == found["read_transcripts"] == "skipped"
    assert found["reconcile"] == "success"


def test_every_file_is_read_or_set_aside_with_its_reason(system, taken_in, ledger):
    """The docket of the last task lists what is set aside; the books balance by a count of our own."""
    docket = system.xcom(INTAKE, taken_in, "reconcile")
    named = {Path(each["uri"]).name: each["reason"] for each in docket["set_aside"]}
    pages, read = ledger.execute(
        "SELECT count(*), count(*) FILTER (WHERE method <> 'set_aside') FROM page"
    ).fetchone()

    parsed = ledger.execute(
        "SELECT DISTINCT ON (document_id) uri FROM document_origin JOIN document USING (document_id)"
        " WHERE superseded_at IS NULL AND parsed_at IS NOT NULL"
    ).fetchall()

    assert named == {name: reason for name, reason in CHOSEN.items() if reason}
    assert docket["set_aside_count"] == len(named)
    assert docket["books"]["parsed"] == len(parsed)
    samples = (ROOT / "include" / "samples" / "documents").iterdir()
    assert {each.name for each in samples} <= {Path(uri).name for (uri,) in parsed}
    assert (docket["books"]["pages_in"], docket["books"]["pages_read"]) == (pages, read)


def test_each_step_is_woken_by_an_event_of_the_one_before(system, taken_in, ledger):
    """Nobody triggered the four DAGs; each document is announced once by each step."""
    for dag in FOLLOWING:
        runs = runs_of(system, dag)
        # Where the tests begin in the small hours, the net of the night looks once as well.
        assert {run["run_type"] for run in runs} - {"scheduled"} == {"asset_triggered"}, dag
        assert "success" in {run["state"] for run in runs}, dag
    # Papers that other services announced in their own way are not asked for.
    ours = (
        "(SELECT document_id FROM document_origin WHERE uri LIKE"
        f" '{system.inbox.resolve()}/documents/%%')"
    )
    for topic, table in ANNOUNCED.items():
        done = ledger.execute(
            f"SELECT document_id, count(*) FROM {table} WHERE document_id IN {ours}"
            " GROUP BY 1 ORDER BY 1"
        ).fetchall()
        assert done
        assert done == (
            ledger.execute(
                "SELECT payload ->> 'document_id', count(*) FROM outbox WHERE topic = %s"
                f" AND payload ->> 'document_id' IN {ours} GROUP BY 1 ORDER BY 1",
                (topic,),
            ).fetchall()
        ), topic


def test_an_answer_names_document_page_and_words(system, taken_in):
    """From the shell, as ``make search`` asks."""
    asked = subprocess.run(
        [sys.executable, ROOT / "scripts" / "search.py", "--json", "prix du repas à la cantine"],
        env=os.environ
        | {
            "STATE": str(system.state.folder),
            "PYTHONPATH": os.pathsep.join((str(ROOT), str(ROOT / "plugins"))),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert asked.returncode == 0, asked.stderr
    best = json.loads(asked.stdout)[0]
    assert best["uri"].endswith("/deliberation_tarifs_cantine.txt")
    assert best["first_page"] == 1
    sample = ROOT / "include" / "samples" / "documents" / "deliberation_tarifs_cantine.txt"
    assert best["quote"].strip("… ") in " ".join(sample.read_text("utf-8").split())


def test_the_sizes_of_the_form_hold(taken_in, ledger):
    """Every parent is as long as asked at most, and one is longer than a child may be."""
    (longest,) = ledger.execute(
        "SELECT max(end_character - start_character) FROM chunk JOIN chunking_choice"
        " USING (chunking_id) WHERE is_parent"
    ).fetchone()

    assert 1500 < longest <= CHUNK_SIZE


def test_a_second_intake_computes_nothing(system, taken_in, ledger):
    """The same files: every step says that there is nothing to do, and no row is added."""
    before = counts(ledger)

    run_id = system.start_run(INTAKE, "e2e-documents-again", {"folder": "documents"})

    assert system.finished(INTAKE, run_id) == "success"
    found = states(system, INTAKE, run_id)
    assert found["choose"] == found["plan_documents"] == found["read_documents"] == "skipped"
    assert counts(ledger) == before
    docket = system.xcom(INTAKE, run_id, "find")
    assert (docket["new"], docket["changed"]) == (0, 0)


def test_one_changed_file_costs_one_document(system, taken_in, ledger):
    """A new version beside the old one: one more document, cut and embedded; the others stay."""
    before = counts(ledger)
    changed = "# Gîtes\n\nLe sémaphore de Lervily accueille désormais quatorze campeurs.\n"
    place(system.inbox / "documents", "fiche_logement_saisonnier.md", changed.encode())

    run_id = system.start_run(INTAKE, "e2e-documents-changed", {"folder": "documents"})

    assert system.finished(INTAKE, run_id) == "success"
    wait_for(lambda: is_at_rest(system, ledger), 240, "the answer from the changed file", 1)
    after = counts(ledger)
    grown = {name: after[name] - before[name] for name in before}
    assert {name: grown[name] for name in ("origins", "documents", "cut", "embedded")} == {
        "origins": 1,
        "documents": 1,
        "cut": 1,
        "embedded": 1,
    }
    assert grown["vectors"] == 1, "one short chunk, and no other was computed again"
    assert (grown["versions"], grown["set aside"]) == (1, 0)
    (hit,) = ask(ledger, TOWN, "combien de campeurs au sémaphore", top_k=1)
    assert (Path(hit.uri).name, hit.first_page) == ("fiche_logement_saisonnier.md", 1)


def test_private_addresses_are_set_aside_and_nothing_else_is_touched(system, taken_in, ledger):
    """The form takes addresses; those of the machine and of its network are not asked."""
    urls = ["http://127.0.0.1:5432/", "http://169.254.169.254/latest/", "file:///etc/passwd"]

    run_id = system.start_run(INTAKE, "e2e-private", {"urls": urls})

    assert system.finished(INTAKE, run_id) == "success"
    assert system.xcom(INTAKE, run_id, "find")["set_aside"] == len(urls)
    reasons = ledger.execute(
        "SELECT reason FROM document_set_aside WHERE run_id = %s ORDER BY 1", (run_id,)
    ).fetchall()
    assert reasons == [("refused_address",), ("refused_address",), ("refused_scheme",)]


def test_a_folder_outside_the_inbox_fails_at_once_with_a_sentence(system, taken_in, ledger):
    """No retry helps, so none is made."""
    run_id = system.start_run(INTAKE, "e2e-outside", {"folder": "../state"})

    assert system.finished(INTAKE, run_id) == "failed"
    assert tries(system, run_id, "find") == 1
    assert "outside the inbox" in message(ledger, run_id, "find")


@pytest.mark.parametrize(
    "conf",
    [
        pytest.param({"chunk_size": 10}, id="chunk_too_small"),
        pytest.param({"urls": "http://example.org/"}, id="no_list"),
        pytest.param({"on_error": "hope"}, id="no_such_strategy"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door(system, taken_in, conf):
    """400 with the name of the field, and no run."""
    body = {"dag_run_id": "e2e-no-sense", "logical_date": None, "conf": conf}

    answer = system.post(f"/api/v2/dags/{INTAKE}/dagRuns", body)

    assert answer.status_code == 400
    assert next(iter(conf)) in answer.text
    assert system.get(f"/api/v2/dags/{INTAKE}/dagRuns/e2e-no-sense", "admin").status_code == 404


def test_on_error_stop_continue_retry(system, taken_in, ledger):
    """One bad file and one that the ledger does not take: each strategy does what its name says."""
    folder = system.inbox / "documents" / "strategies"
    bad = next(file for file in hostile_files() if file.name == "coupe.docx")
    place(folder, bad.name, bad.content)
    text = "# Avis\n\nLa fontaine de Poulgoazec sera vidangée en octobre par le service des eaux.\n"
    good = place(folder, "fontaine.md", text.encode())
    digest = hashlib.sha256(good.read_bytes()).hexdigest()

    with item_lock(ledger, "parse", digest) as held:
        assert held
        run_id = system.start_run(
            INTAKE, "e2e-stop", {"folder": "documents/strategies", "on_error": "stop"}
        )
        assert system.finished(INTAKE, run_id) == "failed"
    assert tries(system, run_id, "read_documents") == 1
    assert "stopped at document" in message(ledger, run_id, "parse")

    ledger.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '22000'; END $$"
    )
    ledger.execute(
        "CREATE TRIGGER refused BEFORE INSERT ON document FOR EACH ROW"
        f" WHEN (NEW.document_id = '{digest}') EXECUTE FUNCTION refuse()"
    )
    conf = {"folder": "documents/strategies"}
    run_id = system.start_run(INTAKE, "e2e-continue", {**conf, "on_error": "continue"})
    assert system.finished(INTAKE, run_id) == "success"
    assert system.xcom(INTAKE, run_id, "reconcile")["books"]["waiting"] == 1

    run_id = system.start_run(INTAKE, "e2e-retry", {**conf, "on_error": "retry"})
    wait_for(lambda: message(ledger, run_id, "parse"), 120, "the failure of the first try")
    ledger.execute("DROP FUNCTION refuse CASCADE")
    assert system.finished(INTAKE, run_id) == "success"
    assert digest[:12] in message(ledger, run_id, "parse")
    assert tries(system, run_id, "read_documents") == 2
    assert system.xcom(INTAKE, run_id, "reconcile")["books"]["waiting"] == 0
