"""The pages about documents, asked for as a browser does, over a real ledger."""

from datetime import UTC, datetime

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from include.documents import themes
from include.documents.model import Media, ParsedDocument, SetAside, Theme
from include.documents.near_duplicates import NearDuplicate
from include.documents.report import LISTED
from participation.ledger.attempt import Attempt
from participation.ledger.datasets import LedgerDatasets
from participation.ledger.metrics import close_metric, open_metric
from tests.integration.document_steps import PARSER, TOWN, Steps, kept, page, pages, sha

pytestmark = pytest.mark.postgres

HOSTILE = "<script>alert(1)</script> Arrêté \u202e\"'><img src=x>"
QUAY = "Le stationnement est interdit sur le quai d'Audierne pendant la fête de la mer. " * 6


@pytest.fixture
def steps(ledger):
    return Steps(ledger)


def run(steps):
    steps.chunk()
    steps.embed()
    steps.indexing.build()


def attempt(connection, dag_id="document_intake", task_id="find", town=TOWN, **ended):
    one = Attempt(dag_id, "run+1", task_id, ended.pop("map_index", -1), 1)
    open_metric(connection, town, one, ended.pop("step", task_id))
    if ended:
        close_metric(connection, one, ended.pop("status", "success"), **ended)


PATHS = (
    "/documents",
    "/documents/set-aside",
    f"/documents/{sha('a')}",
    f"/documents/{sha('a')}.json",
)


@pytest.mark.parametrize("path", PATHS)
def test_documents_are_for_those_who_may_see_the_intake(browser, doors, path):
    """Whoever may not see runs of document_intake sees no document; each page asks for just that."""
    doors.allowed = {"daily_chain", "document_chunking"}

    assert browser.get(path).status_code == 403
    assert doors.asked == [("GET", "RUN", "document_intake")]


def test_a_run_is_for_those_who_may_see_its_dag(browser, doors, ledger, see):
    """The DAG in the address is the one that is asked for."""
    attempt(ledger, docket={"new": 1})
    doors.allowed = {"document_intake"}

    see("/runs/report?dag_id=document_intake&run_id=run%2B1")
    assert browser.get("/runs/report?dag_id=document_chunking&run_id=run%2B1").status_code == 403


def test_a_run_that_shows_a_day_asks_for_the_days_too(browser, doors, see):
    """Some other DAG's run leads to citizens' texts only who may see the daily reports."""
    doors.allowed = {"contribution_analysis"}

    path = "/runs/report?dag_id=contribution_analysis&run_id=x"
    assert browser.get(path).status_code == 403
    doors.allowed = {"contribution_analysis", "daily_chain"}
    see(path, 404)


@pytest.mark.parametrize(
    "name", ["x", "0" * 64, "%00", "..%2f..%2fetc", "A" * 64, "0" * 64 + "%0A"]
)
@pytest.mark.parametrize("ending", ["", ".json"])
def test_an_unknown_document_is_not_found(browser, name, ending):
    """Whatever stands in the address: 404, never an error of the server."""
    assert browser.get(f"/documents/{name}{ending}").status_code == 404


def test_a_hostile_title_stays_text(see, steps, ledger):
    """Title, file name, theme, page, warning and reason come from a file: none becomes markup."""
    steps.keep(f"/srv/depot/{HOSTILE}.pdf", "a")
    steps.parse("a", HOSTILE + QUAY, title=HOSTILE, warnings=(HOSTILE,), act_number=HOSTILE)
    LedgerDatasets(ledger, TOWN).save_themes(sha("a"), themes.ENGINE, [Theme(HOSTILE, 1.0)], "h")
    steps.keep("/srv/depot/b.pdf", "b")
    steps.documents.set_aside(HOSTILE, sha("b"), "parse", SetAside("odd", HOSTILE), PARSER)
    attempt(ledger, status="failed", item=HOSTILE, error_message=HOSTILE)
    run(steps)

    for path in (*PATHS[:3], "/runs/report?dag_id=document_intake&run_id=run%2B1"):
        shown = see(path)
        assert "&lt;script&gt;" in shown
        assert shown.count("<script") == shown.count('<script src="') == 1
        assert "<img" not in shown
        assert "\u202e" not in shown


def test_another_towns_documents_are_invisible(see, ledger):
    """They are in no list and no count, and their address is that of nothing."""
    other = Steps(ledger, town="ailleurs")
    other.keep("/srv/ailleurs/secret.pdf", "a")
    other.parse("a", QUAY, title="Secret d'ailleurs")
    other.keep("/srv/ailleurs/b.pdf", "b")
    other.documents.set_aside(
        "/srv/b", sha("b"), "parse", SetAside("encrypted", "Secret d'ailleurs")
    )
    run(other)
    attempt(ledger, town="ailleurs", docket={"new": 1})

    for path in PATHS[:2]:
        assert "ailleurs" not in see(path)
    assert "0\u00a0document," in see("/documents")
    see(PATHS[2], 404)
    see(PATHS[3], 404)
    see("/runs/report?dag_id=document_intake&run_id=run%2B1", 404)


def test_a_copy_in_another_town_is_not_named(see, steps, ledger):
    """A near duplicate that only another town has met leaves no trace on this town's page."""
    other = Steps(ledger, town="ailleurs")
    other.keep("/srv/ailleurs/secret.pdf", "old")
    other.parse("old", QUAY, title="Secret d'ailleurs")
    steps.keep("/srv/depot/a.pdf", "a")
    steps.parse("a", QUAY, title="Fête de la mer")
    other.keep("/srv/ailleurs/a.pdf", "a")
    other.documents.mark_duplicates([NearDuplicate(sha("a"), sha("old"), 0.9)])

    for path in PATHS[2:]:
        shown = see(path)
        assert "ailleurs" not in shown
        assert sha("old")[:12] not in shown


def test_the_list_counts_every_page_and_filters(see, steps):
    """Pages in = read + set aside on top; a filter shows its own and keeps the totals."""
    steps.keep("/srv/depot/a.pdf", "a")
    steps.parse("a", QUAY, QUAY, title="Fête de la mer", act_kind="arrete")
    run(steps)
    steps.keep("/srv/depot/b.pdf", "b")
    parsed = ParsedDocument((*pages(QUAY), page(2, "", "needs_ocr")), title="Bulletin d'été")
    steps.documents.add_document(kept("b"), Media.PDF, parsed, PARSER)
    steps.keep("/srv/depot/c.pdf", "c")
    steps.documents.set_aside("/srv/depot/c.pdf", sha("c"), "parse", SetAside("encrypted", "Clé."))
    steps.keep("/srv/depot/d.pdf", "d")

    shown = see("/documents")
    assert "4\u00a0documents, 4\u00a0pages : 3\u00a0lues et 1\u00a0mise de côté" in shown
    assert "pas justes" not in shown
    for name in ("Fête de la mer", "Bulletin d&#39;été", "c.pdf", "d.pdf"):
        assert name in shown
    for query, found in {
        "standing=answers": "Fête de la mer",
        "standing=read": "Bulletin d&#39;été",
        "standing=set_aside": "c.pdf",
        "standing=waits": "d.pdf",
        "act_kind=arrete": "Fête de la mer",
    }.items():
        filtered = see(f"/documents?{query}")
        assert found in filtered
        assert filtered.count('<th scope="row"') == 1
        assert "4\u00a0documents" in filtered
    assert "aucune page lisible" not in shown
    steps.keep("/srv/depot/e.pdf", "e")
    steps.documents.add_document(
        kept("e"), Media.PDF, ParsedDocument((page(1, "", "broken"),)), PARSER
    )
    run(steps)
    assert "e.pdf" in see("/documents?standing=unreadable")
    assert see("/documents?standing=answers").count('<th scope="row"') == 2
    assert see("/documents?standing=nonsense").count('<th scope="row"') == 5


def test_themes_of_another_version_of_the_engine_are_not_mixed_in(see, steps, ledger):
    """Those it found before stay on record, and out of the list."""
    steps.keep("/srv/depot/a.pdf", "a")
    steps.parse("a", QUAY)
    datasets = LedgerDatasets(ledger, TOWN)
    datasets.save_themes(sha("a"), themes.ENGINE, [Theme("fête de la mer", 1.0)], "h")
    datasets.save_themes(sha("a"), "themes-fr-0", [Theme("ancien thème", 1.0)], "h")

    for path in ("/documents", f"/documents/{sha('a')}"):
        shown = see(path)
        assert "fête de la mer" in shown
        assert "ancien thème" not in shown


def test_what_the_town_talks_about_stands_on_the_list(see, ledger):
    """Those of the newest search; none of another engine or town."""
    assert "De quoi parlent" not in see("/documents")
    datasets = LedgerDatasets(ledger, TOWN)
    datasets.save_town_themes(themes.ENGINE, [Theme("ancien", 1.0)])
    datasets.save_town_themes(themes.ENGINE, [Theme("cale", 0.5), Theme("école <b>", 1.0)])
    datasets.save_town_themes("themes-fr-0", [Theme("autre", 1.0)])
    LedgerDatasets(ledger, "ailleurs").save_town_themes(themes.ENGINE, [Theme("loin", 1.0)])

    shown = see("/documents")

    assert 'De quoi parlent les documents</h2>\n<p lang="fr">école &lt;b&gt; · cale</p>' in shown


def test_lost_pages_are_said_loudly(see, steps, ledger):
    """A count that is off stands on top of the list, in words."""
    steps.keep("/srv/depot/a.pdf", "a")
    steps.parse("a", QUAY)
    assert "pas justes" not in see("/documents")
    ledger.execute("ALTER TABLE document DROP CONSTRAINT document_check")
    try:
        ledger.execute("UPDATE document SET page_count = 2")
        assert "Les comptes ne sont pas justes" in see("/documents")
    finally:
        ledger.execute("UPDATE document SET page_count = 1")
        ledger.execute(
            "ALTER TABLE document ADD CONSTRAINT document_check"
            " CHECK (page_count = pages_read + pages_set_aside)"
        )


def test_a_long_list_is_turned_page_by_page(see, steps):
    """Every document is on one page of the list and on one only."""
    for number in range(LISTED + 3):
        steps.keep(f"/srv/depot/{number:03}.pdf", str(number))

    first, second = see("/documents"), see("/documents?page=2")

    names = [f"{number:03}.pdf" for number in range(LISTED + 3)]
    assert all((name in first) != (name in second) for name in names)
    assert second.count('<th scope="row"') == 3
    assert 'rel="next"' in first
    assert 'rel="prev"' in second
    assert see("/documents?page=99").count('<th scope="row"') == 0


def test_the_report_of_a_document(see, steps, ledger):
    """Pages with method and confidence, chunks, themes, what was set aside, versions and steps."""
    steps.keep("/srv/depot/quai.pdf", "old")
    steps.keep("/srv/depot/quai.pdf", "a")
    steps.keep("/srv/autre/copie.pdf", "a")
    one, two, three = page(1, QUAY), page(2, QUAY), page(3, "", "unreadable_scan")
    scanned = type(two)(2, QUAY, "ocr", confidence=0.62, rotation=180)
    parsed = ParsedDocument((one, scanned, three), title="Fête de la mer", act_kind="arrete")
    steps.documents.set_aside(
        "/srv/depot/quai.pdf", sha("a"), "parse", SetAside("timeout", "Trop long.")
    )
    steps.documents.add_document(kept("a"), Media.PDF, parsed, PARSER)
    text_hash = steps.chunks.text(sha("a")).text_hash
    LedgerDatasets(ledger, TOWN).save_themes(
        sha("a"), themes.ENGINE, [Theme("quai", 1.0), Theme("fête de la mer", 0.5)], text_hash
    )
    run(steps)

    shown = see(f"/documents/{sha('a')}")

    assert "Page 3 : numérisée, illisible même par OCR." in shown
    assert "Numériser la page de nouveau" in shown
    assert "62\u00a0%" in shown
    assert "180°" in shown
    assert "cherchable" in shown
    assert shown.index(">quai<") < shown.index(">fête de la mer<")
    assert "copie.pdf" in shown
    assert f'href="../documents/{sha("old")}"' in shown
    assert "Trop long." in shown
    assert "réglé le" in shown
    order = [
        shown.rindex(f"<li>{step}")
        for step in ("Recherche", "Lecture", "Découpage", "Vecteurs", "Index")
    ]
    assert order == sorted(order)
    ((chunks,),) = steps.rows("SELECT count(*) FROM chunk WHERE NOT is_parent")
    for gave in (
        f"{chunks}\u00a0passages",
        f"{chunks}\u00a0vecteurs, bm25-fr-1",
        "2\u00a0thèmes",
        "version 1, bm25-fr-1",
    ):
        assert f"\u00a0: {gave}<br>" in shown
    old = see(f"/documents/{sha('old')}")
    assert "ancienne version" in old
    assert f'href="../documents/{sha("a")}"' in old


def test_the_output_of_a_document_as_json(browser, steps, ledger):
    """The four fields of a document's output, and a hostile title only as a JSON string."""
    steps.keep("/srv/depot/a.pdf", "a")
    steps.keep("/srv/depot/b.pdf", "b")
    parsed = ParsedDocument((*pages(QUAY), page(2, "", "empty")), warnings=(HOSTILE,))
    steps.documents.add_document(kept("a"), Media.PDF, parsed, PARSER)
    LedgerDatasets(ledger, TOWN).save_themes(
        sha("a"), themes.ENGINE, [Theme("quai", 0.5), Theme("fête", 1.0)], "h"
    )
    steps.documents.set_aside(
        "/srv/depot/b.pdf", sha("b"), "parse", SetAside("encrypted", "Protégé.")
    )

    answer = browser.get(f"/documents/{sha('a')}.json")

    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "document_id": sha("a"),
        "extracted_themes": ["fête", "quai"],
        "contributions": [],
        "warnings": [HOSTILE, "Page 2 : vide."],
    }
    assert browser.get(f"/documents/{sha('b')}.json").json()["warnings"] == ["Protégé."]


def test_what_is_set_aside_comes_with_what_to_do(see, steps):
    """Documents with their sentence, pages by reason with advice; what was settled is gone."""
    steps.keep("/srv/depot/a.pdf", "a")
    parsed = ParsedDocument(
        (page(1, "", "needs_ocr"), *[page(n, "", "needs_ocr") for n in (2, 3)], page(4, QUAY)),
        title="Arrêté numérisé",
    )
    steps.documents.add_document(kept("a"), Media.PDF, parsed, PARSER)
    steps.keep("/srv/depot/b.pdf", "b")
    steps.documents.set_aside(
        "/srv/depot/b.pdf", sha("b"), "parse", SetAside("encrypted", "Protégé.")
    )
    steps.documents.set_aside("/srv/depot/c", None, "find", SetAside("link_outside", "Raccourci."))
    steps.documents.set_aside("/srv/depot/d", None, "find", SetAside("empty", "Déjà réglé."))
    steps.documents.resolve("/srv/depot/d", "taken in")

    shown = see("/documents/set-aside")

    assert "2\u00a0documents ou fichiers, et 3\u00a0pages" in shown
    assert "Protégé." in shown
    assert "Raccourci." in shown
    assert "Déjà réglé." not in shown
    assert "pages 1 à 3" in shown
    assert "tesseract-ocr-fra" in shown


def test_the_report_of_an_intake_says_what_it_met(see, steps, ledger):
    """Counts of the sources, the documents it read, and what it set aside with the reason."""
    steps.keep("/srv/depot/before.pdf", "before")
    steps.parse("before", QUAY, title="Lu bien avant")
    ledger.execute("UPDATE document SET parsed_at = now() - interval '1 day'")
    steps.documents.set_aside("/srv/depot/x", None, "find", SetAside("empty", "D'avant."))
    attempt(ledger, docket={"new": 1200, "unchanged": 7, "waiting": ["gros.pdf: en cours."]})
    attempt(
        ledger,
        task_id="read_documents",
        step="parse",
        map_index=0,
        docket={"done": 2, "failed": []},
    )
    attempt(
        ledger,
        task_id="read_documents",
        step="parse",
        map_index=1,
        docket={"done": 3, "failed": ["abc: TransientError: x"]},
    )
    attempt(ledger, task_id="choose", status="skipped", error_message="nothing to do: all is read")
    attempt(ledger, task_id="reconcile")
    steps.keep("/srv/depot/now.pdf", "now")
    parsed = ParsedDocument((page(1, QUAY), page(2, "", "broken")), title="Lu pendant")
    steps.documents.add_document(kept("now"), Media.PDF, parsed, PARSER)
    steps.keep("/srv/depot/bad.pdf", "bad")
    type(steps.documents)(ledger, TOWN, "run+1").set_aside(
        "/srv/depot/bad.pdf", sha("bad"), "parse", SetAside("truncated", "Fichier incomplet ici.")
    )

    path = "/runs/report?dag_id=document_intake&run_id=run%2B1"
    shown = see(path)

    assert "encore en cours" in shown
    assert "fichiers nouveaux\u00a0: 1\u202f200" in shown
    assert "documents traités\u00a0: 5" in shown
    assert "gros.pdf" in shown
    assert "1\u00a0page mise de côté sur 2" in shown
    assert "une panne passagère" in shown
    assert "nothing to do: all is read" in shown
    assert "Lu pendant" in shown
    assert "Lu bien avant" not in shown
    assert "Fichier incomplet ici." in shown
    assert "D'avant." not in shown
    assert "1\u00a0autre document" in shown
    assert "gros.pdf" in see(path.replace("%2B", "+"))
    see("/runs/report?dag_id=document_intake&run_id=another", 404)


def test_the_report_of_a_later_step_shows_its_figures(see, steps, ledger):
    """A short page: what the run handed on, and the outputs of its documents."""
    steps.keep("/srv/depot/quai.pdf", "a")
    output = {"document_id": sha("a"), "extracted_themes": ["quai"], "warnings": [HOSTILE]}
    attempt(
        ledger,
        "dataset_creation",
        "reconcile",
        docket={"version": 3, "examples": 1520, "outputs": [output], "outputs_left_out": 4},
    )

    shown = see("/runs/report?dag_id=dataset_creation&run_id=run%2B1")

    assert "exemples du jeu de données\u00a0: 1\u202f520" in shown
    assert f'href="../documents/{sha("a")}">quai.pdf<' in shown
    assert "terminée en" in shown


def test_times_are_those_of_the_ledger(see, steps, ledger):
    """The moment of a step is shown on the town's clock."""
    steps.keep("/srv/depot/a.pdf", "a")
    steps.parse("a", QUAY)
    ledger.execute(
        "UPDATE document SET parsed_at = %s", (datetime(2030, 7, 14, 22, 5, tzinfo=UTC),)
    )

    assert "15/07/2030 à 00:05" in see(f"/documents/{sha('a')}")
