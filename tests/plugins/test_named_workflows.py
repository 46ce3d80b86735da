"""The two workflows of include/workflows: the same results as their DAGs and as a run in one process."""

import json
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException

from include.contributions.model import Contribution
from include.contributions.processors import judge
from include.contributions.reviewer import embedded_reviewer
from include.documents import themes
from include.documents.embedding import bm25
from include.errors import TransientError
from participation import (
    chunk_tasks,
    contribution_tasks,
    dataset_tasks,
    document_tasks,
    embed_tasks,
    find_tasks,
    index_tasks,
    steps,
    workflow_dags,
    workflow_documents,
)
from participation.ledger.attempt import Attempt
from participation.ledger.document_outputs import LedgerOutputs
from participation.ledger.locks import item_lock
from participation.ledger.workflows import status_of
from participation.search import ask
from participation.settings import Settings
from participation.steps import Visit
from participation.workflow_registry import REGISTRY, definitions
from participation.workflow_tasks import in_this_process
from tests.hostile import zipped
from tests.workflow_runs import Run, run_tasks

TOWN = "audierne-esquibien"

pytestmark = pytest.mark.postgres

DEFINITIONS = {each.name: each for each in definitions()[0]}
DOCUMENT = DEFINITIONS["document-processing"]
CONTRIBUTION = DEFINITIONS["contribution-analysis-single"]

TEXTS = [
    "Le quai de la rue Ernest Renan à Audierne est défoncé, il faudrait le refaire.",
    "Le maire est un voleur et un menteur, qu'il dégage.",
    "Achetez nos panneaux solaires sur www.example.com, promotion exceptionnelle !",
    "Bonjour.",
    "Il faudrait plus d'activités pour les jeunes d'Esquibien le mercredi après-midi.",
]


@pytest.fixture
def settings(inbox, unwatched, tmp_path, monkeypatch):
    """Let every task read and write the test's own folders."""
    monkeypatch.setattr(embed_tasks, "connected", lambda: None)
    made = Settings(
        municipality=TOWN,
        inbox=inbox,
        documents=tmp_path / "documents",
        datasets=str(tmp_path / "datasets"),
    )
    monkeypatch.setattr(steps, "Settings", lambda: made)
    return made


@pytest.fixture
def visit(ledger, instance, settings):
    attempt = Attempt("in_process", "alone", "alone", -1, 1)
    return Visit(ledger, attempt, settings, {"ti": instance})


def emptied(ledger):
    """Begin again with nothing: the next way of running must not find what the last one left."""
    ledger.execute("SET session_replication_role = replica")
    (names,) = ledger.execute(
        "SELECT string_agg(tablename, ', ') FROM pg_tables"
        " WHERE schemaname = 'participation' AND tablename <> 'migration'"
    ).fetchone()
    ledger.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
    ledger.execute("SET session_replication_role = DEFAULT")


def by_the_dags(visit):
    """Do what the five document DAGs do; the output of each document by its name."""
    find_tasks.find_documents(visit, {})
    readers = {reader: kind for kind, reader in document_tasks.READERS.items()}
    for reader in document_tasks.choose_readers(visit, ocr=False):
        document_tasks.read_kind(visit, readers[reader], ocr=False, on_error="continue")
    chunk_tasks.cut(visit)
    embed_tasks.embed(visit)
    index_tasks.build_index(visit, bm25.ENGINE)
    dataset_tasks.find_themes(visit)
    dataset_tasks.build_dataset(visit)
    return outputs(visit)


def outputs(visit):
    rows = visit.connection.execute(
        "SELECT DISTINCT uri, document_id FROM document_origin WHERE superseded_at IS NULL"
    ).fetchall()
    read = LedgerOutputs(visit.connection, TOWN, themes.ENGINE)
    return {
        Path(uri).name: read.of_documents([document_id])[0].as_dict() for uri, document_id in rows
    }


def held(visit):
    """Count what the ledger holds, and what search answers."""
    tables = {
        table: visit.connection.execute(query).fetchall()
        for table, query in {
            "pages": "SELECT document_id, page_number, method, content FROM page ORDER BY 1, 2",
            "chunks": "SELECT document_id, is_parent, position, content_hash FROM chunk ORDER BY 1, 2, 3",
            "vectors": "SELECT content_hash, engine, sparse::text FROM embedding ORDER BY 1, 2",
            "themes": "SELECT document_id, label, weight FROM theme ORDER BY 1, 2",
            "likeness": "SELECT document_id, duplicate_of, similarity FROM document_likeness ORDER BY 1",
            "live": "SELECT document_count, chunk_count FROM index_version WHERE state = 'live'",
            # A split is chosen when a document comes, and kept: it tells in which order they came.
            "examples": "SELECT content - '{provenance,split}'::text[] FROM dataset_example"
            " JOIN dataset USING (dataset_id) WHERE version = (SELECT max(version) FROM dataset)"
            " ORDER BY 1",
        }.items()
    }
    hits = ask(visit.connection, TOWN, "tarifs de la cantine selon le quotient familial", top_k=3)
    return {**tables, "hits": [(hit.document_id, hit.first_page, hit.quote) for hit in hits]}


def test_a_document_comes_out_the_same_in_every_way(ledger, instance, settings, visit, inbox):
    """All sample documents: by the five DAGs, by the named workflow's tasks, in one process."""
    names = sorted(path.name for path in inbox.iterdir())
    expected = by_the_dags(visit)
    expected_held = held(visit)

    emptied(ledger)
    dag = workflow_dags.workflow_dag(DOCUMENT)
    by_tasks = {}
    for name in names:
        run = run_tasks(
            dag, instance, {"input": {"path": name, "ocr": False}}, run_id=f"run {name}"
        )
        assert run.states["finish"] == "success", run.said
        by_tasks[name] = status_of(ledger, DOCUMENT.name, f"run {name}")["output"]
    assert {name: each["document_id"] for name, each in by_tasks.items()} == {
        name: each["document_id"] for name, each in expected.items()
    }
    assert outputs(visit) == expected
    assert by_tasks == expected
    assert held(visit) == expected_held

    emptied(ledger)
    alone = {
        name: in_this_process(DOCUMENT, {"path": name, "ocr": False}, visit).outcome.output
        for name in names
    }
    assert json.loads(json.dumps(alone)) == expected
    assert held(visit) == expected_held
    assert set(next(iter(expected.values()))) == {
        "document_id",
        "extracted_themes",
        "contributions",
        "warnings",
    }


def test_a_document_that_the_town_has_is_named_by_its_id(ledger, instance, settings, visit):
    """The second run finds everything done, and gives the same."""
    dag = workflow_dags.workflow_dag(DOCUMENT)
    first = run_tasks(dag, instance, {"path": "guide_dechets.md"})
    output = first.handed_on["finish"]["output"]

    again = run_tasks(dag, instance, {"document_id": output["document_id"]}, run_id="run-2")

    assert again.handed_on["finish"]["output"] == output
    assert first.states["read_image"] == first.states["read_transcript"] == "skipped"
    assert first.said["read_image"] == "branch not taken: 'document' is not 'image'"


@pytest.mark.parametrize(
    ("name", "content", "branch"),
    [
        (
            "reunion.srt",
            "1\n00:00:01,000 --> 00:00:04,000\nLe quai du port d'Audierne.\n",
            "read_transcript",
        ),
        (
            "note.txt",
            "Le quai du port d'Audierne est fermé à la circulation.\n" * 5,
            "read_document",
        ),
    ],
)
def test_each_kind_goes_its_own_branch(ledger, instance, settings, inbox, name, content, branch):
    (inbox / name).write_text(content)

    run = run_tasks(workflow_dags.workflow_dag(DOCUMENT), instance, {"path": name})

    taken = {
        each for each in run.states if each.startswith("read_") and run.states[each] == "success"
    }
    assert taken == {branch}
    assert run.states["finish"] == "success"


def test_an_image_goes_to_the_branch_of_images(ledger, instance, settings, inbox):
    """Whether OCR is there decides what is read of it, not which way it goes."""
    from PIL import Image  # noqa: PLC0415 - slow to load, for one test

    Image.new("RGB", (400, 300), "white").save(inbox / "affiche.png")

    run = run_tasks(
        workflow_dags.workflow_dag(DOCUMENT),
        instance,
        {"path": "affiche.png", "ocr": False},
        only={"take", "sniff", "read_document", "read_image"},
    )

    assert run.handed_on["sniff"]["result"]["kind"] == "image"
    assert run.states["read_document"] == "skipped"
    assert run.states["read_image"] in {"success", "failed"}


def test_an_unknown_kind_fails_with_its_code(ledger, instance, settings, inbox):
    """Red at ``sniff``; nothing after it runs; set aside as the DAG would."""
    (inbox / "tableur.xlsx").write_bytes(zipped({"xl/workbook.xml": b"<x/>"}))

    run = run_tasks(workflow_dags.workflow_dag(DOCUMENT), instance, {"path": "tableur.xlsx"})

    assert run.states["sniff"] == "failed"
    assert "unknown_content_type" in run.said["sniff"]
    assert "unknown_content_type" in run.said["finish"]
    assert {run.states[name] for name in ("read_document", "chunk", "describe")} == {"skipped"}
    told = status_of(ledger, DOCUMENT.name, "run-1")
    assert told["state"] == "failed"
    assert "unknown_content_type" in told["steps"][1]["error"]["cause"]
    rows = ledger.execute(
        "SELECT reason, step FROM document_set_aside WHERE resolved_at IS NULL"
    ).fetchall()
    assert rows == [("unknown_content_type", "parse")]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "give one of path and document_id"),
        ({"path": "../secret.txt"}, "lies outside the inbox"),
        ({"path": "nowhere.txt"}, "nowhere.txt"),
        ({"path": "."}, "is a folder"),
        ({"document_id": "a" * 64}, "the town has no document"),
        ({"path": "x.txt", "document_id": "a" * 64}, "give one of path and document_id"),
    ],
)
def test_a_document_that_cannot_be_had_is_named(ledger, instance, settings, given, says):
    run = run_tasks(workflow_dags.workflow_dag(DOCUMENT), instance, given)

    assert run.states["take"] == "failed"
    assert says in run.said["take"]
    assert run.states["finish"] == "failed"


def test_a_dataset_that_fails_is_a_warning(ledger, instance, settings, monkeypatch):
    """Search answers with the document all the same."""

    def broken(_visit):
        raise OSError("the disk is full")

    monkeypatch.setattr(dataset_tasks, "build_dataset", broken)

    run = run_tasks(workflow_dags.workflow_dag(DOCUMENT), instance, {"path": "guide_dechets.md"})

    assert run.states["add_to_dataset"] == "skipped"
    assert run.handed_on["finish"]["state"] == "done_with_warnings"
    assert run.handed_on["finish"]["output"]["warnings"][-1] == (
        "add_to_dataset failed (1 attempt) and was left out: OSError: the disk is full"
    )
    assert ledger.execute(
        "SELECT document_count FROM index_version WHERE state = 'live'"
    ).fetchall() == [(1,)]


def test_a_version_that_says_the_same_is_no_failure(ledger, visit, monkeypatch):
    def same(_visit):
        raise AirflowSkipException("nothing to do")

    monkeypatch.setattr(dataset_tasks, "build_dataset", same)

    assert workflow_documents.add_to_dataset({"document_id": "a" * 64}, visit)["examples"] == 0


def test_a_document_in_other_hands_is_waited_for(ledger, ledger_dsn, visit, monkeypatch):
    """Law 3: two do not read one document at once; the second gives up after a while and comes back."""
    from participation.ledger import connect  # noqa: PLC0415 - a second session

    monkeypatch.setattr(workflow_documents, "WAIT_S", 0.3)

    with (
        connect(ledger_dsn) as other,
        item_lock(other, "parse", "d"),
        pytest.raises(workflow_documents.BusyError, match="another worker"),
        workflow_documents._turn(visit, "parse", "d"),
    ):
        pytest.fail("two had their turn")
    with workflow_documents._turn(visit, "parse", "d"):
        pass


def by_contribution_analysis(visit, text):
    """Do what contribution_analysis does with one text; its whole result."""
    chunks = contribution_tasks.split_work(visit, None, text=text)
    for step in ("validate", "classify", "evaluate"):
        for chunk_id in chunks:
            contribution_tasks.judge(visit, chunk_id, step)
    visit.analysis.settle("test")
    found = contribution_tasks.report_single(visit, text, None)
    return {name: found[name] for name in ("validate", "classify", "evaluate")}


@pytest.mark.parametrize("text", TEXTS)
def test_a_contribution_is_judged_the_same_in_every_way(ledger, instance, visit, text):
    """By its DAG, by the named workflow's tasks, in one process, and by the plain function."""
    expected = by_contribution_analysis(visit, text)

    run = run_tasks(workflow_dags.workflow_dag(CONTRIBUTION), instance, {"input": {"text": text}})
    output = status_of(ledger, CONTRIBUTION.name, "run-1")["output"]

    assert set(run.states.values()) == {"success"}
    assert {name: output[key] for name, key in KEYS.items()} == expected
    alone = in_this_process(CONTRIBUTION, {"text": text}, visit).outcome.output
    assert {name: alone[key] for name, key in KEYS.items()} == expected
    judged = judge(Contribution("x", text), embedded_reviewer(TOWN)).model_dump(mode="json")
    assert {name: judged[key] for name, key in KEYS.items()} == expected
    assert ledger.execute("SELECT count(*) FROM contribution").fetchone() == (1,)


KEYS = {"validate": "validation", "classify": "classification", "evaluate": "evaluation"}


def test_an_empty_text_is_refused(ledger, instance, visit):
    run = run_tasks(workflow_dags.workflow_dag(CONTRIBUTION), instance, {"input": {"text": "  "}})

    assert run.states["finish"] == "failed"
    assert "the text is empty" in run.said["finish"]


def test_processors_give_what_the_registry_says(ledger, instance, visit, inbox):
    """A reference that a definition may write is one that a result has."""
    document = in_this_process(DOCUMENT, {"path": "guide_dechets.md"}, visit)
    text = in_this_process(CONTRIBUTION, {"text": TEXTS[0]}, visit)
    tried = set()
    for read, made in ((DOCUMENT, document), (CONTRIBUTION, text)):
        for step in read.steps:
            if made.records[step.id].result is not None:
                # Only a model that was asked is on record as used.
                gives = REGISTRY[step.processor].gives - {"model_use"}
                assert set(made.records[step.id].result) == gives, step.id
                tried.add(step.processor)
    assert set(REGISTRY) - tried == {"read_image", "read_transcript"}
    assert REGISTRY["read_image"].gives == REGISTRY["read_document"].gives


def test_the_metrics_of_a_run_are_those_of_its_tasks(ledger, instance, settings, metrics_of):
    run: Run = run_tasks(
        workflow_dags.workflow_dag(DOCUMENT), instance, {"path": "guide_dechets.md"}
    )

    told = {step: status for step, status, _ in metrics_of(ledger)}
    assert told == run.states


def test_who_validated_sorts_as_well(ledger, instance, visit, monkeypatch):
    """Two answers under two rubrics are no judgement: the model came back in between."""
    from include.contributions import named_steps  # noqa: PLC0415 - beside its use

    rules = embedded_reviewer(TOWN)
    inputs = {"text": TEXTS[0]}
    validation = named_steps.validate(inputs, rules)
    classification = {**named_steps.classify(inputs, rules), "rubric_version": "another"}

    with pytest.raises(TransientError, match="validated under"):
        named_steps.evaluate({**inputs, "validation": validation, "classification": classification})


def test_steps_that_may_ask_a_model_take_turns(monkeypatch):
    monkeypatch.setenv("PARTICIPATION_LLM_POOL", "models")

    dag = workflow_dags.workflow_dag(CONTRIBUTION)

    assert {task.task_id: task.pool for task in dag.tasks} == {
        "validate": "models",
        "classify": "models",
        "evaluate": "default_pool",
        "finish": "default_pool",
    }
