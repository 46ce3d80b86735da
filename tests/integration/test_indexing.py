"""A reader never sees half an index, and every order of the steps ends in the same one."""

import threading
from datetime import timedelta

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.documents.chunking import ChunkSizes, chunk
from include.errors import LeaseLostError, ReconciliationError
from participation.ledger import connect, indexing
from participation.ledger.search import LedgerSearch
from tests.integration.document_steps import Steps, sha

pytestmark = pytest.mark.postgres


@pytest.fixture
def steps(ledger):
    return Steps(ledger)


def add(steps, number, words="Le phare éclaire la baie."):
    steps.keep(f"{number}.pdf", f"{number}")
    steps.parse(f"{number}", f"{words} Document {number}.")


def town(steps, count=4):
    for number in range(count):
        add(steps, number)
    return steps.rest()


def found(steps, question="phare", top_k=50):
    return {hit.uri for hit in steps.ask(question, top_k)}


def entries(steps):
    """What the live version holds: the texts, whoever stored them and in which order."""
    return steps.rows(
        "SELECT e.document_id, c.position, c.content FROM index_version v"
        " JOIN index_entry e ON e.base_id = v.base_id AND e.added_in <= v.index_id"
        "  AND (e.removed_in IS NULL OR e.removed_in > v.index_id)"
        " JOIN chunk c USING (chunk_id) WHERE v.state = 'live' ORDER BY 1, 2"
    )


def term_counts(steps):
    """The counts as kept, and as they are when counted from the live entries."""
    kept = steps.rows(
        "SELECT term, sum(t.chunk_count)::int FROM index_term t JOIN index_version v USING (base_id)"
        " WHERE v.state = 'live' AND t.index_id <= v.index_id"
        " GROUP BY 1 HAVING sum(t.chunk_count) <> 0 ORDER BY 1"
    )
    counted = steps.rows(
        "SELECT term, count(*)::int FROM (SELECT unnest(e.terms) AS term FROM index_version v"
        " JOIN index_entry e ON e.base_id = v.base_id AND e.added_in <= v.index_id"
        "  AND (e.removed_in IS NULL OR e.removed_in > v.index_id)"
        " WHERE v.state = 'live') AS live GROUP BY 1 ORDER BY 1"
    )
    return kept, counted


def test_a_second_run_makes_no_new_version(steps):
    """Nothing is recomputed, nothing announced; one event says what went live."""
    live = town(steps)

    assert steps.rest() is None
    assert steps.indexing.live() == live
    assert steps.rows("SELECT count(*) FROM index_version") == [(1,)]
    assert steps.rows("SELECT payload FROM outbox WHERE topic = 'index_live'") == [
        ({"municipality": steps.town, "index_id": 1, "document_count": 4, "chunk_count": 4},)
    ]


def test_an_empty_town_has_no_index(steps):
    """No version of nothing."""
    assert steps.rest() is None
    assert steps.indexing.live() is None


def test_one_changed_document_costs_its_own_entries(steps):
    """The other entries are the same rows; the old text no longer answers."""
    town(steps)
    before = dict(steps.rows("SELECT document_id, xmin::text FROM index_entry"))
    steps.keep("2.pdf", "two, changed")
    steps.parse("two, changed", "Un phare tout neuf.")

    live = steps.rest()

    after = dict(
        steps.rows("SELECT document_id, xmin::text FROM index_entry WHERE removed_in IS NULL")
    )
    assert (live.document_count, live.chunk_count) == (4, 4)
    assert {key for key in after if after[key] == before.get(key)} == {sha(n) for n in "013"}
    assert found(steps) == {"0.pdf", "1.pdf", "2.pdf", "3.pdf"}
    assert [hit.document_id for hit in steps.ask("neuf")] == [sha("two, changed")]
    assert sha("2") not in {document for document, _, _ in entries(steps)}
    assert term_counts(steps)[0] == term_counts(steps)[1]


def test_the_old_text_answers_until_the_new_one_is_ready(steps):
    """A changed file that is only parsed, or that cannot be read, takes nothing away."""
    town(steps)
    steps.keep("2.pdf", "two, changed")
    assert steps.index() is None
    steps.parse("two, changed", "Un quai tout neuf.")
    steps.chunk()
    assert steps.index() is None
    assert "2.pdf" in found(steps)

    steps.embed()
    steps.index()

    assert "2.pdf" not in found(steps)
    assert found(steps, "quai") == {"2.pdf"}


def test_a_document_read_anew_stays_as_it_was_until_ready(steps):
    """OCR of a page, or another parser: other documents move on meanwhile."""
    town(steps)
    steps.parse("2", "Le phare et la page lue depuis.", version="2")
    add(steps, 9)
    text = steps.chunks.text(sha("9"))
    steps.chunks.save(text, steps.chunking_id, chunk(text.pages, steps.sizes))
    steps.embed()
    steps.index()
    assert found(steps) == {f"{n}.pdf" for n in (0, 1, 2, 3, 9)}
    assert found(steps, "page lue") == set()

    steps.rest()

    assert found(steps, "page lue") == {"2.pdf"}
    assert len(found(steps)) == 5


def test_a_file_that_goes_back_to_earlier_bytes_is_found_again(steps):
    """Nothing is computed anew, yet an event wakes the index."""
    town(steps)
    steps.keep("2.pdf", "two, changed")
    steps.parse("two, changed", "Un quai tout neuf.")
    steps.rest()
    events = len(steps.topics())

    steps.keep("2.pdf", "2")

    assert steps.topics()[events:] == ["document_parsed"]
    assert steps.embed() == 0
    assert steps.rest().document_count == 4
    assert "2.pdf" in found(steps)
    assert found(steps, "quai") == set()


def test_a_reader_never_sees_half_a_build(steps, ledger_dsn):
    """Asked between any two steps of a build, and before its last commit, the old one answers."""
    town(steps)
    for number in range(4, 9):
        add(steps, number)
    steps.keep("0.pdf", "zero, changed")
    steps.parse("zero, changed", "Plus rien de tel.")
    steps.chunk()
    steps.embed()
    old = {f"{n}.pdf" for n in range(4)}
    new = {f"{n}.pdf" for n in range(1, 9)}
    with connect(ledger_dsn) as other:
        reader = Steps(other)
        build = steps.indexing.begin()
        seen = [found(reader)]
        while steps.indexing.fill(build, limit=1):
            seen.append(found(reader))
        with steps.connection.transaction():
            steps.indexing.switch(build)
            seen.append(found(reader))
            counts = reader.searching.count_terms([0])
        assert found(reader) == new
        assert reader.searching.count_terms([0]).chunk_count == 9

    assert len(seen) == 8
    assert all(answer == old for answer in seen)
    assert counts.chunk_count == 4


def test_readers_in_a_stream_see_the_old_or_the_new_index(steps, ledger_dsn):
    """While versions come and go, a searching thread never meets a mixture."""
    town(steps, 3)
    stop, seen = threading.Event(), []

    def read():
        with connect(ledger_dsn) as connection:
            reader = Steps(connection)
            while not stop.is_set():
                seen.append(frozenset(found(reader)))

    thread = threading.Thread(target=read)
    thread.start()
    allowed = {frozenset(f"{n}.pdf" for n in range(3))}
    for upto in range(3, 9):
        add(steps, upto)
        steps.rest()
        allowed.add(frozenset(f"{n}.pdf" for n in range(upto + 1)))
    stop.set()
    thread.join()

    assert len(seen) > 5
    assert set(seen) <= allowed


def _die(builder, build, where, killer):
    """Go so far in one transaction, which the server then ends from outside."""
    victim = builder.connection
    with victim.transaction():
        if where == "inside_a_batch":
            builder.indexing.fill(build, limit=2)
        if where == "before_the_switch":
            while builder.indexing.fill(build):
                pass
            builder.indexing.switch(build)
        killer.execute("SELECT pg_terminate_backend(%s)", (victim.info.backend_pid,))
        victim.execute("SELECT 1")


@pytest.mark.parametrize("where", ["between_batches", "inside_a_batch", "before_the_switch"])
def test_a_killed_build_is_gone_on_with(steps, ledger_dsn, where):
    """The server ends the builder's session: the old index answers, the next run finishes the build."""
    town(steps)
    for number in range(4, 9):
        add(steps, number)
    steps.chunk()
    steps.embed()
    with connect(ledger_dsn) as victim:
        builder = Steps(victim)
        build = builder.indexing.begin()
        builder.indexing.fill(build, limit=2)
        with pytest.raises(psycopg.OperationalError):
            _die(builder, build, where, steps.connection)

    assert len(found(steps)) == 4
    assert steps.rows("SELECT count(*) FROM index_document WHERE is_new AND is_filled") != [(0,)]
    live = steps.index()

    assert live.index_id == build.index_id
    assert len(found(steps)) == 9
    assert len(entries(steps)) == 9
    assert term_counts(steps)[0] == term_counts(steps)[1]


def test_a_build_left_behind_is_replaced_when_the_town_has_moved_on(steps):
    """Its entries go; the late attempt is told so and changes nothing."""
    town(steps)
    add(steps, 4)
    steps.chunk()
    steps.embed()
    left = steps.indexing.begin()
    steps.indexing.fill(left)
    add(steps, 5)

    live = steps.rest()

    assert live.index_id > left.index_id
    assert len(found(steps)) == 6
    for late in (steps.indexing.fill, steps.indexing.switch):
        with pytest.raises(LeaseLostError):
            late(left)
    assert steps.rows("SELECT index_id, state FROM index_version ORDER BY 1") == [
        (1, "retired"), (left.index_id, "failed"), (live.index_id, "live"),
    ]  # fmt: skip


def test_two_builders_share_the_work(steps, ledger_dsn):
    """Both end well and one version goes live."""
    for number in range(8):
        add(steps, number)
    steps.chunk()
    steps.embed()

    def build():
        with connect(ledger_dsn) as connection:
            Steps(connection).index()

    threads = [threading.Thread(target=build) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not any(thread.is_alive() for thread in threads)
    assert steps.rows("SELECT state, chunk_count FROM index_version") == [("live", 8)]
    assert len(entries(steps)) == 8


def test_an_index_that_is_not_whole_does_not_go_live(steps):
    """An entry lost on the way stops the switch with its document's name."""
    town(steps)
    add(steps, 4)
    steps.chunk()
    steps.embed()
    build = steps.indexing.begin()
    steps.indexing.fill(build)
    steps.connection.execute("DELETE FROM index_entry WHERE document_id = %s", (sha("4"),))

    with pytest.raises(ReconciliationError, match=sha("4")):
        steps.indexing.switch(build)

    assert len(found(steps)) == 4
    assert steps.indexing.live().index_id == 1
    again = steps.index()
    assert again.index_id > build.index_id, "the next build begins anew"
    assert len(found(steps)) == 5


def test_an_entry_without_a_vector_cannot_be_stored(steps):
    """What has no vector would never be found."""
    town(steps)

    with pytest.raises(psycopg.errors.CheckViolation):
        steps.connection.execute("UPDATE index_entry SET sparse = NULL, terms = NULL")


def test_old_versions_are_dropped_but_one(steps, monkeypatch):
    """After many changes only the live version's entries and one behind it remain."""
    monkeypatch.setattr(indexing, "KEEP_S", 0)
    town(steps)
    for change in range(5):
        steps.keep("0.pdf", f"zero {change}")
        steps.parse(f"zero {change}", f"Le phare, version {change}.")
        steps.rest()

    states = [state for (state,) in steps.rows("SELECT state FROM index_version ORDER BY index_id")]
    assert states == ["dropped"] * 4 + ["retired", "live"]
    assert steps.rows("SELECT count(*) FROM index_entry") == [(5,)]
    assert len(entries(steps)) == 4
    assert term_counts(steps)[0] == term_counts(steps)[1]


def test_a_question_outlives_every_switch_made_meanwhile(steps, ledger_dsn, monkeypatch):
    """It began under a version that was replaced three times before it looked for its chunks."""
    town(steps)
    scored = LedgerSearch._scored

    def after_three_switches(self, *arguments):
        monkeypatch.setattr(LedgerSearch, "_scored", scored)
        with connect(ledger_dsn) as beside:
            builder = Steps(beside)
            for change in range(3):
                builder.keep("0.pdf", f"zero {change}")
                builder.parse(f"zero {change}", f"Le phare, version {change}.")
                builder.rest()
        return scored(self, *arguments)

    before = {hit.document_id for hit in steps.ask("Le phare", top_k=20)}
    monkeypatch.setattr(LedgerSearch, "_scored", after_three_switches)
    during = {hit.document_id for hit in steps.ask("Le phare", top_k=20)}

    assert len(before) > 1
    assert during == before


def test_another_way_to_cut_replaces_every_entry(steps):
    """One by one as they are ready, and in the end all of them."""
    town(steps)
    other = Steps(steps.connection, sizes=ChunkSizes(100, 10, 20, 5))

    other.rest()

    assert len(found(other)) == 4
    assert len(entries(other)) > 4
    assert steps.rows(
        "SELECT DISTINCT chunking_id FROM index_entry JOIN chunk USING (chunk_id)"
        " WHERE removed_in IS NULL"
    ) == [(other.chunking_id,)]


FILES = {
    "a.pdf": ("a1", "Le phare de la baie."),
    "b.pdf": ("b1", "La criée du port."),
    "copy of b.pdf": ("b1", "La criée du port."),
    "c.pdf": ("c1", "Le phare de la baie."),
}
EVENTS = [
    *(("take_in", uri) for uri in FILES),
    *(("late_parse", uri) for uri in FILES),
    ("chunk", ""), ("embed", ""), ("index", ""), ("killed_build", ""),
]  # fmt: skip


def play(steps, event):
    step, uri = event
    if step == "take_in":
        steps.keep(uri, FILES[uri][0])
        steps.parse(*FILES[uri])
    elif step == "late_parse":
        if steps.rows("SELECT FROM document_origin WHERE uri = %s", uri):
            steps.parse(*FILES[uri])
    elif step == "killed_build":
        build = steps.indexing.begin()
        if build:
            steps.indexing.fill(build, limit=1)
    else:
        getattr(steps, step)()


@settings(
    max_examples=25,
    deadline=timedelta(seconds=30),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(events=st.lists(st.sampled_from(EVENTS), max_size=14))
def test_any_order_of_the_steps_ends_in_the_same_index(steps, events):
    """Repeated, late, out of order, interrupted: after the last event the state is one and the same."""
    _empty(steps)
    for uri in FILES:
        play(steps, ("take_in", uri))
    steps.rest()
    expected = (entries(steps), term_counts(steps))
    assert len(expected[0]) == 3

    _empty(steps)
    for event in events:
        play(steps, event)
    for uri in FILES:
        play(steps, ("take_in", uri))
    steps.rest()

    assert (entries(steps), term_counts(steps)) == expected
    assert steps.rest() is None
    topics = steps.topics()
    assert [topics.count(t) for t in ("document_chunked", "chunks_embedded")] == [3, 3]


def _empty(steps):
    steps.connection.execute(
        "TRUNCATE document, document_origin, outbox, embedding, index_version CASCADE"
    )
