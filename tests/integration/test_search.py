"""A question finds the document, the page and the words; what it finds is exact."""

from datetime import date

import pytest

from include.documents.embedding import bm25
from include.documents.quoting import QUOTE_CHARACTERS, quote
from participation.ledger import search
from participation.ledger.embeddings import Embedding, Engine, LedgerEmbeddings
from participation.ledger.indexing import LedgerIndexing
from participation.ledger.search import Filters, LedgerSearch
from tests.integration.document_steps import TOWN, Steps, sha

pytestmark = pytest.mark.postgres

PORT = "Le maire arrête que la pêche est interdite dans le port. L'arrêté vaut jusqu'en juin."
MARKET = "Le marché du samedi se tient sur la place de la République. Les halles sont fermées."
SCHOOL = "La rentrée de l'école Pierre-Le-Lec aura lieu lundi. La cantine ouvre mardi."


@pytest.fixture
def steps(ledger):
    return Steps(ledger)


def town(steps):
    """Three documents of different kinds, dates and sources, indexed."""
    for name, source, about, texts in (
        ("port", "folder", {"act_kind": "arrete", "dated_on": date(2025, 3, 1)}, (SCHOOL, PORT)),
        ("market", "crawl", {"act_kind": "bulletin", "dated_on": date(2024, 6, 1)}, (MARKET,)),
        ("school", "url", {"title": "La rentrée"}, (SCHOOL,)),
    ):
        steps.keep(f"{name}.pdf", name, source=source)
        steps.parse(name, *texts, **about)
    steps.rest()


def names(hits):
    return [hit.uri.removesuffix(".pdf") for hit in hits]


def test_an_answer_carries_document_page_and_words(steps):
    """The page is the one on which the quote stands, though the chunk begins on the page before."""
    town(steps)

    (hit,) = steps.ask("pêche interdite")

    assert (hit.document_id, hit.uri, hit.title) == (sha("port"), "port.pdf", "port.pdf")
    assert (hit.first_page, hit.last_page) == (2, 2)
    assert "la pêche est interdite dans le port" in hit.quote
    assert hit.score > 0


def test_a_title_is_shown_where_there_is_one(steps):
    """Else the name under which the bytes were met."""
    town(steps)

    assert [hit.title for hit in steps.ask("cantine", filters=Filters(source="url"))] == [
        "La rentrée"
    ]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        pytest.param(Filters(), {"port", "school"}, id="none"),
        pytest.param(Filters(act_kind="arrete"), {"port"}, id="act_kind"),
        pytest.param(Filters(source="url"), {"school"}, id="source"),
        pytest.param(Filters(dated_from=date(2025, 3, 1)), {"port"}, id="from_that_day"),
        pytest.param(Filters(dated_to=date(2025, 2, 28)), set(), id="until_the_day_before"),
        pytest.param(Filters(kind="video"), set(), id="kind"),
    ],
)
def test_filters_choose_among_documents(steps, filters, found):
    """Every answer is of a document that the filters let through, and none of those is missing."""
    town(steps)

    assert set(names(steps.ask("la cantine de l'école", filters=filters))) == found


def test_words_that_stand_nowhere_find_nothing(steps):
    """No answer is better than the nearest wrong one; an empty ledger answers nothing too."""
    assert steps.ask("cantine") == []
    town(steps)

    assert steps.ask("zoologie") == []
    assert steps.ask("de la") == []
    assert steps.ask("cantine", top_k=0) == []


def test_a_page_answers_once(steps):
    """Eight chunks of one page hold the word; the other document is not crowded out."""
    steps.keep("long.pdf", "long")
    steps.parse(
        "long", " ".join(f"Le phare numéro {n} éclaire la baie de loin." for n in range(20))
    )
    steps.keep("short.pdf", "short")
    steps.parse("short", "Un phare, et bien d'autres choses que la commune entretient chaque été.")
    steps.rest()

    assert sorted(names(steps.ask("phare", top_k=2))) == ["long", "short"]
    assert len(steps.ask("phare", top_k=10)) == 2


def test_the_index_gives_the_counts_that_the_question_is_weighed_by(steps):
    """As counted from the chunks themselves, after an update too."""
    town(steps)
    steps.keep("port.pdf", "port, second")
    steps.parse("port, second", PORT + " La criée rouvre.")
    steps.rest()
    texts = [text for (text,) in steps.rows(
        "SELECT content FROM chunk JOIN index_entry USING (chunk_id) WHERE removed_in IS NULL"
    )]  # fmt: skip
    asked = bm25.term_indices(f"{PORT} {SCHOOL} zoologie")

    counts = steps.searching.count_terms(asked)

    assert counts.chunk_count == len(texts)
    assert counts.counts_of_terms == {
        index: count
        for index in asked
        if (count := sum(index in bm25.term_indices(text) for text in texts))
    }


@pytest.mark.parametrize("share", [0.0, 0.02, 0.1, 0.5])
def test_rare_terms_first_gives_what_all_chunks_give(steps, monkeypatch, share):
    """Whatever counts as rare, the answers and their order are those of the full scan."""
    for n in range(120):
        steps.keep(f"{n}.pdf", f"{n}")
        words = ["conseil", *(f"mot{chr(97 + d)}" for d in range(20) if n % (d + 2) == 0)]
        steps.parse(f"{n}", " ".join(words * (1 + n % 3)))
    steps.rest()
    questions = ["conseil mota", "motb motc motk", "mots conseil motd", "conseil", "motr mota"]

    monkeypatch.setattr(search, "RARE_SHARE", -1.0)
    exact = [steps.ask(question, top_k=7) for question in questions]
    monkeypatch.setattr(search, "RARE_SHARE", share)

    assert all(exact)
    assert [steps.ask(question, top_k=7) for question in questions] == exact


def test_dense_vectors_are_searched_by_inner_product(steps):
    """Another engine is another index: its questions meet its own vectors only."""
    town(steps)
    engine = Engine("stub-3", "dense", 3)
    store = LedgerEmbeddings(steps.connection, TOWN, engine, steps.chunking_id)
    store.register()
    vectors = {PORT: (1.0, 0.0, 0.0), MARKET: (0.0, 1.0, 0.0), SCHOOL: (0.0, 0.0, 1.0)}
    for batch in (each for one in store.unfinished() for each in store.to_embed(one, 100)):
        store.save(
            Embedding(text.content_hash, next(
                (v for known, v in vectors.items() if known[:20] in text.content), (0.1, 0.1, 0.1)
            )) for text in batch
        )  # fmt: skip
    store.finish()
    LedgerIndexing(steps.connection, TOWN, engine.name, steps.chunking_id).build()

    hits = LedgerSearch(steps.connection, TOWN, engine.name).search(
        "la place", (0.2, 0.9, 0.0), top_k=1
    )

    assert names(hits) == ["market"]
    assert "la place de la République" in hits[0].quote
    assert names(steps.ask("marché")) == ["market"]


def test_another_town_is_not_asked(steps):
    """The same server holds several towns; an answer is of the one that was asked."""
    town(steps)

    assert Steps(steps.connection, town="douarnenez").ask("cantine") == []


def test_a_quote_is_whole_sentences_around_the_words():
    """The run of sentences that holds the most of what was asked, within the limit."""
    text = f"{'Rien à voir ici. ' * 30}Le port ferme lundi. La pêche est interdite. {'Fin. ' * 80}"
    weights = dict.fromkeys(bm25.term_indices("port pêche"), 1.0)

    words = quote(text, weights)

    assert "Le port ferme lundi. La pêche est interdite." in words
    assert len(words) <= QUOTE_CHARACTERS
    assert words in text


def test_a_quote_of_an_endless_sentence_is_cut_at_words():
    """A table without a full stop still gives the words that were asked, none of them cut."""
    text = " ".join(
        [*(f"colonne{n}" for n in range(100)), "phare", *(f"suite{n}" for n in range(99))]
    )

    words = quote(text, dict.fromkeys(bm25.term_indices("phare"), 1.0))

    assert "phare" in words.split()
    assert set(words.split()) <= set(text.split())
    assert len(words) <= QUOTE_CHARACTERS


def test_a_quote_without_an_asked_word_is_the_beginning():
    """Dense engines find chunks that share no word with the question."""
    assert quote("Un texte court.", {}) == "Un texte court."
    assert len(quote("mot " * 400, {})) <= QUOTE_CHARACTERS
