"""The served pages of evaluations: who sees which words, and what the tab of a run opens."""

import json

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from participation.ledger.evaluations import LedgerEvaluations
from tests.plugins.evaluating import OWN
from tests.unit.contributions.engines import KnowsTheAnswers, SameForAll

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
WORDS = "Le banc a0 du quai d'Audierne"


@pytest.fixture
def evaluated(do, engine, decide, ledger):
    """An evaluation in which a citizen's text was let in that a person had refused."""
    decide(0, "refused", reason="hors_sujet")

    class LeaksCitizens(KnowsTheAnswers):
        def validate(self, contribution):
            if contribution.contribution_id.startswith("person:"):
                return SameForAll("accept").validate(contribution)
            return super().validate(contribution)

    engine(LeaksCitizens(OWN))
    return do.whole()["evaluation_id"]


def test_citizens_words_are_for_who_may_read_contributions(see, doors, evaluated, ledger, tmp_path):
    """Neither the page nor the file nor the row holds them otherwise, nor quotes of them."""
    doors.allowed.remove("daily_chain")
    closed = see(f"/evaluations/{evaluated}")
    doors.allowed.add("daily_chain")
    opened = see(f"/evaluations/{evaluated}")

    assert WORDS in opened.replace("&#39;", "'")
    assert "Le banc a0" not in closed
    assert "non montré" in closed
    assert "Le banc a" not in (tmp_path / "evaluations" / f"{evaluated}.html").read_text("utf-8")
    row = ledger.execute("SELECT details::text, scores::text FROM evaluation").fetchone()
    assert "Le banc a" not in "".join(row)


def test_the_tab_of_a_run_opens_its_evaluation(see, evaluated):
    tab = see("/runs/report?dag_id=evaluate_reviewer&run_id=run-1")

    assert f"Évaluation n° {evaluated}" in tab
    assert WORDS in tab.replace("&#39;", "'")


def test_an_unknown_one_is_a_page_that_says_so(see):
    for path in ("/evaluations/99", "/runs/report?dag_id=evaluate_reviewer&run_id=never"):
        assert "Pas d&#39;évaluation" in see(path, status=404)


def test_the_list_links_each(see, evaluated, ledger):
    """Short ones of the chain as well."""
    ledger.execute(
        "INSERT INTO evaluation (municipality, engine, rubric_version, sample_count, scores, passed,"
        " dag_id) VALUES (%s, 'e', 'short', 1, %s, true, 'daily_chain')",
        (TOWN, json.dumps({"scores": {}})),
    )

    page = see("/evaluations")

    assert f'href="evaluations/{evaluated}"' in page
    assert page.index("short") < page.index("double-1")
    assert "(en bref)" in page


def test_another_town_s_evaluation_is_not_shown(see, evaluated, ledger):
    ledger.execute("UPDATE evaluation SET municipality = 'quimper'")

    see(f"/evaluations/{evaluated}", status=404)
    assert LedgerEvaluations(ledger, TOWN).newest() == []
