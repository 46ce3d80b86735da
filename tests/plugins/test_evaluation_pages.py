"""The served pages of evaluations: who sees which words, and what the tab of a run opens."""

import json

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from fastapi import HTTPException

from participation.api import evaluations as pages
from participation.api import runs, serving
from participation.ledger.evaluations import LedgerEvaluations
from tests.plugins.test_evaluation_tasks import decide, do, engine, own  # noqa: F401 - fixtures
from tests.unit.contributions.engines import KnowsTheAnswers, SameForAll

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
WORDS = "Le banc a0 du quai d'Audierne"


@pytest.fixture
def reader(ledger_dsn, monkeypatch):
    """Be somebody who may see what is listed."""
    monkeypatch.setattr(serving, "ledger_dsn", lambda: ledger_dsn)

    def be(*allowed):
        def requires(_method, access_entity=None, param_dag_id=None):
            def check(_request, _user):
                if param_dag_id not in allowed:
                    raise HTTPException(403, "Forbidden")

            return check

        monkeypatch.setattr(pages, "requires_access_dag", requires)

    be()
    return be


@pytest.fixture
def evaluated(do, engine, decide, ledger):  # noqa: F811 - fixtures
    """An evaluation in which a citizen's text was let in that a person had refused."""
    decide(0, "refused", reason="hors_sujet")

    class LeaksCitizens(KnowsTheAnswers):
        def validate(self, contribution):
            if contribution.contribution_id.startswith("person:"):
                return SameForAll("accept").validate(contribution)
            return super().validate(contribution)

    from tests.plugins.test_evaluation_tasks import OWN  # noqa: PLC0415 - beside its fixtures

    engine(LeaksCitizens(OWN))
    return do.whole()["evaluation_id"]


def shown(response):
    assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
    return response.body.decode().replace("&#39;", "'")


def test_citizens_words_are_for_who_may_read_contributions(reader, evaluated, ledger, tmp_path):
    """Neither the page nor the file nor the row holds them otherwise, nor quotes of them."""
    closed = shown(pages.evaluation(evaluated, None, None))
    reader("daily_chain")
    opened = shown(pages.evaluation(evaluated, None, None))

    assert WORDS in opened
    assert "Le banc a0" not in closed
    assert "non montré" in closed
    assert "Le banc a" not in (tmp_path / "evaluations" / f"{evaluated}.html").read_text("utf-8")
    row = ledger.execute("SELECT details::text, scores::text FROM evaluation").fetchone()
    assert "Le banc a" not in "".join(row)


def test_the_tab_of_a_run_opens_its_evaluation(reader, evaluated):
    reader("daily_chain")

    tab = shown(runs.report_of_run("evaluate_reviewer", "run-1", None, None))

    assert f"Évaluation n° {evaluated}" in tab
    assert WORDS in tab


def test_an_unknown_one_is_a_page_that_says_so(reader, ledger):
    for answer in (
        pages.evaluation(99, None, None),
        runs.report_of_run("evaluate_reviewer", "never", None, None),
    ):
        assert answer.status_code == 404
        assert "Pas d'évaluation" in shown(answer)


def test_the_list_links_each(reader, evaluated, ledger):
    """Short ones of the chain as well."""
    ledger.execute(
        "INSERT INTO evaluation (municipality, engine, rubric_version, sample_count, scores, passed,"
        " dag_id) VALUES (%s, 'e', 'short', 1, %s, true, 'daily_chain')",
        (TOWN, json.dumps({"scores": {}})),
    )

    page = shown(pages.listed())

    assert f'href="evaluations/{evaluated}"' in page
    assert page.index("short") < page.index("double-1")
    assert "(en bref)" in page


def test_another_town_s_evaluation_is_not_shown(reader, evaluated, ledger):
    ledger.execute("UPDATE evaluation SET municipality = 'quimper'")

    assert pages.evaluation(evaluated, None, None).status_code == 404
    assert LedgerEvaluations(ledger, TOWN).newest() == []
