"""From bytes to vectors: what the ledger keeps, and that doing it twice is doing it once."""

import threading
from dataclasses import replace

import psycopg
import pytest

from include.documents.embedding import bm25
from include.documents.model import Media, ParsedDocument, SetAside, SparseVector, Theme
from include.documents.near_duplicates import NearDuplicate
from include.errors import ConfigurationError, ReconciliationError
from participation.ledger import connect, document_books
from participation.ledger.datasets import Example, LedgerDatasets
from participation.ledger.embeddings import Embedding, Engine, LedgerEmbeddings
from tests.integration.document_steps import PARSER, TOWN, Steps, kept, page, received, sha

pytestmark = pytest.mark.postgres

UNREADABLE = SetAside("encrypted", "Le fichier est protégé par un mot de passe.")


@pytest.fixture
def steps(ledger):
    return Steps(ledger)


def test_an_unchanged_file_is_one_origin_and_a_changed_one_two(steps):
    """The uri has one current row; what it held before stays on record as superseded."""
    assert steps.keep("a.pdf", "one", etag="v1") == "new"
    assert steps.keep("a.pdf", "one", etag="v2") == "unchanged"
    assert steps.documents.known_origin("a.pdf", fetched=False).etag == "v2"
    assert steps.keep("a.pdf", "two") == "changed"

    assert steps.rows(
        "SELECT document_id, superseded_at IS NULL FROM document_origin ORDER BY origin_id"
    ) == [(sha("one"), False), (sha("two"), True)]
    assert steps.documents.known_origin("a.pdf", fetched=False).document_id == sha("two")


def test_the_same_bytes_under_two_names_are_parsed_once(steps):
    """Two origins, one document."""
    steps.keep("a.pdf", "one")
    steps.keep("copy of a.pdf", "one")

    (waiting,) = steps.documents.to_parse(PARSER, ocr=False)

    assert (waiting.uri, waiting.kept) == ("a.pdf", replace(kept("one"), is_new=False))


def test_copies_that_meet_in_one_name_leave_one_current_row(steps, ledger_dsn):
    """Eight attempts keep the same changed file at the same moment."""
    steps.keep("a.pdf", "one")
    outcomes = []

    def keep():
        with connect(ledger_dsn) as connection:
            outcomes.append(Steps(connection).keep("a.pdf", "two"))

    threads = [threading.Thread(target=keep) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["changed"] + ["unchanged"] * 7


def test_a_document_comes_with_its_pages_and_one_event(steps):
    """The counts add up; the same parse again changes and announces nothing."""
    parsed = ParsedDocument((page(1, "Un arrêté."), page(2, "", "unreadable_scan")), title="A")
    steps.keep("a.pdf", "one")

    stored = [
        steps.documents.add_document(kept("one"), Media.PDF, parsed, PARSER) for _ in range(2)
    ]

    assert stored == [True, False]
    assert steps.rows("SELECT page_count, pages_read, pages_set_aside, title FROM document") == [
        (2, 1, 1, "A")
    ]
    assert steps.rows("SELECT page_number, method, reason FROM page ORDER BY 1") == [
        (1, "text", None),
        (2, "set_aside", "unreadable_scan"),
    ]
    assert steps.rows("SELECT topic, emitter, payload ->> 'page_count' FROM outbox") == [
        ("document_parsed", None, "2")
    ]
    assert steps.documents.to_parse(PARSER, ocr=True) == []
    assert [waiting.is_unread for waiting in steps.documents.to_parse("2", ocr=True)] == [False]


def test_a_document_that_breaks_in_the_middle_leaves_nothing(steps):
    """Neither row nor page nor event: the transaction is one."""
    steps.keep("a.pdf", "one")
    twice = ParsedDocument((page(1, "un"), page(1, "deux")))

    with pytest.raises(psycopg.errors.UniqueViolation):
        steps.documents.add_document(kept("one"), Media.PDF, twice, PARSER)

    assert steps.rows("SELECT (SELECT count(*) FROM document), (SELECT count(*) FROM outbox)") == [
        (0, 0)
    ]


def test_pages_without_ocr_are_picked_up_later_and_never_taken_back(steps):
    """With OCR the document waits again; a late attempt without it stores nothing."""
    poor = ParsedDocument((page(1, "Un arrêté."), page(2, "", "needs_ocr")))
    steps.keep("a.pdf", "one")
    steps.documents.add_document(kept("one"), Media.PDF, poor, PARSER)
    steps.chunk()

    assert steps.documents.to_parse(PARSER, ocr=False) == []
    assert len(steps.documents.to_parse(PARSER, ocr=True)) == 1
    assert steps.parse("one", "Un arrêté.", "Une page lue par OCR.")
    assert not steps.documents.add_document(kept("one"), Media.PDF, poor, PARSER)

    assert steps.documents.to_parse(PARSER, ocr=True) == []
    assert steps.rows("SELECT pages_read, pages_set_aside FROM document") == [(2, 0)]
    assert steps.chunks.to_chunk(steps.chunking_id) == [sha("one")]


def test_a_parser_that_reads_the_same_words_costs_no_new_chunks(steps):
    """Chunks hang on the words, not on the version of the parser."""
    steps.keep("a.pdf", "one")
    steps.parse("one", "Un arrêté.")
    steps.chunk()

    assert steps.parse("one", "Un arrêté.", version="2")
    assert steps.chunks.to_chunk(steps.chunking_id) == []
    assert steps.parse("one", "Un autre texte.", version="3")
    assert steps.chunks.to_chunk(steps.chunking_id) == [sha("one")]


def test_what_is_set_aside_waits_for_another_version_or_other_bytes(steps):
    """One open row however often it fails; new bytes under the name close it."""
    steps.keep("a.pdf", "one")
    for _ in range(2):
        steps.documents.set_aside("a.pdf", sha("one"), "parse", UNREADABLE, PARSER)

    assert steps.rows("SELECT count(*) FROM document_set_aside") == [(1,)]
    assert steps.documents.to_parse(PARSER, ocr=False) == []
    assert len(steps.documents.to_parse("2", ocr=False)) == 1

    steps.keep("a.pdf", "two")

    assert [
        waiting.kept.document_id for waiting in steps.documents.to_parse(PARSER, ocr=False)
    ] == [sha("two")]
    assert steps.rows("SELECT resolution FROM document_set_aside") == [
        ("a newer version of the file",)
    ]


def test_a_set_aside_file_that_is_read_after_all_is_closed(steps):
    """Whoever opens the list of set-aside files sees only what is still unread."""
    steps.keep("a.pdf", "one")
    steps.documents.set_aside("a.pdf", sha("one"), "parse", UNREADABLE, PARSER)

    steps.parse("one", "Lu.", version="2")

    assert steps.rows("SELECT resolution FROM document_set_aside") == [("read",)]
    steps.documents.set_aside("b.pdf", None, "sniff", UNREADABLE)
    assert steps.documents.resolve("b.pdf", "tried again") == 1


def test_children_know_their_parents_and_a_text_is_cut_once(steps):
    """Every child hangs on the parent that holds its words; the second save stores nothing."""
    text = " ".join(f"La phrase numéro {n} parle du port." for n in range(60))
    steps.keep("a.pdf", "one")
    steps.parse("one", text, text)
    steps.chunk()
    before = steps.rows("SELECT * FROM chunk ORDER BY chunk_id")

    same = steps.chunks.text(sha("one"))
    assert not steps.chunks.save(same, steps.chunking_id, [])

    assert steps.rows("SELECT * FROM chunk ORDER BY chunk_id") == before
    assert steps.rows("SELECT count(*) > 20 FROM chunk WHERE NOT is_parent") == [(True,)]
    assert steps.rows(
        "SELECT count(*) FROM chunk c JOIN chunk p ON p.chunk_id = c.parent_id AND p.is_parent"
        " AND c.start_character >= p.start_character AND c.end_character <= p.end_character"
    ) == steps.rows("SELECT count(*) FROM chunk WHERE NOT is_parent")
    assert steps.topics() == ["document_parsed", "document_chunked"]


def test_a_text_is_cut_with_its_event_or_not_at_all(steps):
    """The database refuses the event: no chunk is there, and the text still waits."""
    steps.keep("a.pdf", "one")
    steps.parse("one", "Le port est ensablé.")
    steps.connection.execute(
        "CREATE FUNCTION refuse_event() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'refused'; END $$;"
        "CREATE TRIGGER refuse_event BEFORE INSERT ON outbox"
        " FOR EACH ROW EXECUTE FUNCTION refuse_event()"
    )
    try:
        with pytest.raises(psycopg.errors.RaiseException):
            steps.chunk()
    finally:
        steps.connection.execute("DROP FUNCTION refuse_event() CASCADE")

    assert steps.rows("SELECT count(*) FROM chunk") == [(0,)]
    assert steps.chunks.to_chunk(steps.chunking_id) == [sha("one")]


def test_a_document_that_is_nowhere_is_missed_by_the_books(steps):
    """Neither read nor set aside nor waiting: the sum is off, and that is said."""
    steps.keep("a.pdf", "one")
    steps.parse("one", "Le port est ensablé.")
    assert document_books.balance(steps.connection, TOWN, PARSER).documents == 1
    steps.connection.execute("UPDATE document SET parsed_at = NULL, page_count = NULL")
    steps.connection.execute("DELETE FROM page")

    with pytest.raises(ReconciliationError, match="documents do not add up"):
        document_books.balance(steps.connection, TOWN, PARSER)


def test_the_figures_of_an_intake_tell_what_waits_from_what_is_set_aside(steps):
    """Kept and neither read nor set aside; a trouble that another town has with the bytes is not ours."""
    since = steps.rows("SELECT now()")[0][0]
    for name in ("read", "waits", "aside"):
        steps.keep(f"{name}.pdf", name)
    for name in ("read", "aside"):
        steps.keep(f"copy of {name}.pdf", name)
    Steps(steps.connection, "ailleurs").keep("theirs.pdf", "read")
    steps.parse("read", "Le port est ensablé.")
    steps.documents.set_aside("aside.pdf", sha("aside"), "parse", UNREADABLE, PARSER)
    other = Steps(steps.connection, "ailleurs")
    other.documents.set_aside("waits.pdf", sha("waits"), "parse", UNREADABLE, PARSER)

    found = document_books.of_intake(steps.connection, TOWN, bm25.ENGINE, since, "run-1")

    assert (found.documents, found.documents_waiting, found.documents_set_aside) == (1, 1, 1)
    assert found.document_duplicates == 2


def test_chunks_of_a_text_that_is_gone_are_dropped(steps):
    """A slow attempt that cut the text of before stores nothing; the new text still waits."""
    steps.keep("a.pdf", "one")
    steps.parse("one", "Avant.")
    before = steps.chunks.text(sha("one"))
    steps.parse("one", "Après.", version="2")

    assert not steps.chunks.save(before, steps.chunking_id, [])

    assert steps.chunks.to_chunk(steps.chunking_id) == [sha("one")]


def test_a_document_without_words_is_cut_and_embedded_once(steps):
    """No chunk at all is an answer: the next run does not come back to it."""
    steps.keep("a.pdf", "one")
    steps.parse("one", "")
    steps.chunk()
    steps.embed()

    assert steps.chunks.to_chunk(steps.chunking_id) == []
    assert steps.topics() == ["document_parsed", "document_chunked", "chunks_embedded"]
    with pytest.raises(LookupError):
        steps.chunks.text(sha("nowhere"))


def test_the_same_words_are_embedded_once_and_every_document_is_announced(steps):
    """The second document brings no new text; its event comes all the same, once."""
    for name in ("one", "two"):
        steps.keep(f"{name}.pdf", name)
        steps.parse(name, "Le marché est déplacé sur le quai.")
        steps.chunk()

    assert steps.embed() == 1
    assert steps.embed() == 0

    assert steps.rows("SELECT count(*) FROM embedding") == [(1,)]
    assert steps.topics().count("chunks_embedded") == 2


def test_two_attempts_that_meet_in_a_text_store_one_vector(steps, ledger_dsn):
    """The later one waits for the earlier one's transaction and then stores nothing."""
    one = Embedding("h" * 64, bm25.document_vector("un quai"))
    with connect(ledger_dsn) as other:
        with other.transaction():
            assert Steps(other).embeddings.save([one]) == 1
            stored = []
            thread = threading.Thread(target=lambda: stored.append(steps.embeddings.save([one])))
            thread.start()
            thread.join(0.3)
            assert thread.is_alive()
        thread.join()

    assert stored == [0]


def test_a_vector_comes_back_as_it_was(steps):
    """In pgvector indices count from 1, in the ledger's own list of terms from 0."""
    steps.embeddings.save(
        [Embedding("h" * 64, SparseVector((0, 262_143), (0.5, 2.0), bm25.DIMENSIONS))]
    )

    assert steps.rows("SELECT sparse::text, terms, heaviest FROM embedding") == [
        ("{1:0.5,262144:2}/262144", [0, 262_143], 2.0)
    ]


def test_a_vector_of_another_form_is_refused(steps):
    """Wrong dimensions or the wrong kind store nothing; a taken name is said."""
    dense = LedgerEmbeddings(steps.connection, TOWN, Engine("d", "dense", 3), steps.chunking_id)
    dense.register()
    dense.save([Embedding("g" * 64, (0.1, 0.2, 0.3))])
    for vector in ((0.1, 0.2), bm25.document_vector("quai")):
        with pytest.raises(ConfigurationError, match="d gives dense vectors of 3"):
            dense.save([Embedding("h" * 64, vector)])
    with pytest.raises(ConfigurationError, match="another name"):
        LedgerEmbeddings(steps.connection, TOWN, Engine("d", "dense", 4), 1).register()

    assert steps.rows("SELECT dense::text FROM embedding") == [("[0.1,0.2,0.3]",)]


def test_a_dataset_is_stored_once_and_never_changes(steps):
    """The same content is the same version; other content is the next one."""
    datasets = LedgerDatasets(steps.connection, TOWN)
    lines = [Example("train", {"texte": "été"}, sha("one")), Example("test", {"texte": "b"})]

    first = datasets.add("chunks", "hash 1", lines, provenance={"index": 1}, files={"jsonl": "x"})
    again = datasets.add("chunks", "hash 1", lines, provenance={"index": 2})
    second = datasets.add("chunks", "hash 2", lines[:1], provenance={"index": 2})

    assert (first.version, first.is_new) == (1, True)
    assert (again.dataset_id, again.is_new) == (first.dataset_id, False)
    assert (second.version, second.example_count) == (2, 1)
    assert steps.topics() == ["dataset_created", "dataset_created"]
    for change in ("UPDATE dataset_example SET content = '{}'", "UPDATE dataset SET version = 7"):
        with pytest.raises(psycopg.errors.RestrictViolation):
            steps.connection.execute(change)


def test_themes_are_replaced_by_the_same_engine_only(steps):
    """A second run of an engine leaves its newest answer."""
    datasets = LedgerDatasets(steps.connection, TOWN)
    steps.keep("a.pdf", "one")
    steps.parse("one", "Le port.")

    datasets.save_themes(sha("one"), "n-grams-1", [Theme("quai", 0.5)], "h1")
    datasets.save_themes(sha("one"), "model-1", [Theme("mer", 1.0)], "h1")
    datasets.save_themes(sha("one"), "n-grams-1", [Theme("port", 0.5), Theme("pêche", 2.0)], "h2")

    assert datasets.themes(sha("one"), "n-grams-1") == [Theme("pêche", 2.0), Theme("port", 0.5)]
    assert datasets.themes(sha("one"), "model-1") == [Theme("mer", 1.0)]


def test_a_near_duplicate_is_marked_and_stays(steps):
    """Both remain documents."""
    for name in ("one", "two"):
        steps.documents.keep_origin(received(f"{name}.pdf", name))
        steps.parse(name, "Le port.")

    marks = [NearDuplicate(sha("two"), sha("one"), 0.97)]
    assert steps.documents.mark_duplicates(marks) == 1
    assert steps.documents.mark_duplicates(marks) == 0

    likeness = "SELECT document_id, duplicate_of, similarity FROM document_likeness"
    assert steps.rows(likeness) == [(sha("two"), sha("one"), pytest.approx(0.97))]
    assert steps.documents.mark_duplicates([replace(marks[0], similarity=0.85)]) == 1
    assert steps.rows(likeness) == [(sha("two"), sha("one"), pytest.approx(0.85))]
    assert Steps(steps.connection, town="ailleurs").documents.mark_duplicates([]) == 0
    assert len(steps.rows(likeness)) == 1, "another town's marks are its own"
    assert steps.documents.mark_duplicates([]) == 1, "a mark goes when the texts no longer agree"
