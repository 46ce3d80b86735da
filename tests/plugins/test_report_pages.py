"""The served pages: a reader sees which day it is, how old the page is, and finds the other days."""

import logging
from datetime import date, timedelta
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from include.contributions.model import STATES
from include.errors import ProcessingError
from participation import contribution_tasks, steps
from participation.ledger import reports
from participation.operators.report import PublishReportOperator

pytestmark = pytest.mark.postgres

RUN = "/runs/report?dag_id={}&run_id={}"
TOWN = "audierne-esquibien"
DAY = date(2026, 1, 12)


@pytest.fixture
def publish(ledger, tmp_path, monkeypatch):
    """Write the page of a day and note it, as the publishing task does."""
    monkeypatch.setenv("PARTICIPATION_REPORTS", str(tmp_path))

    def publish(day, run_id="chain-1", **figures):
        page = tmp_path / f"{day}.html"
        page.write_text(f"<html>\n<body>\n<p>Page du {day}</p>\n</body></html>", encoding="utf-8")
        reports.save_report(
            ledger,
            TOWN,
            day,
            html_path=str(page),
            markdown_path="m",
            figures=dict.fromkeys(STATES, 0) | {"sum": 0, "loaded": 0} | figures,
            dag_id="daily_chain",
            run_id=run_id,
        )

    return publish


def test_an_older_page_says_that_the_run_is_newer(instance, ledger, fill, publish, see):
    """A run over one text shows its day's page, which does not hold the text yet."""
    publish(DAY)
    fill(ledger)
    with steps.visit("split") as here:
        contribution_tasks.split_work(here, DAY)

    older = see(RUN.format("contribution_analysis", "run-1"))
    publish(DAY, run_id="chain-2")
    ledger.execute("UPDATE work_chunk SET settled_at = now() - interval '1 hour'")

    assert "avant cette exécution" in older
    assert older.index("avant cette exécution") < older.index("Page du 2026-01-12")
    assert "avant cette exécution" not in see(RUN.format("contribution_analysis", "run-1"))
    assert "avant cette exécution" not in see(RUN.format("daily_chain", "chain-2"))


def test_every_day_is_found_from_every_page(publish, see):
    """The newest judged day first; its neighbours and the whole list are one click away."""
    before, after = DAY - timedelta(days=3), DAY + timedelta(days=1)
    publish(before, accepted=2, sum=2, loaded=2)
    publish(DAY, accepted=41, sum=41, loaded=41)
    publish(after, pending=1, sum=1, loaded=1)

    newest, listed = see("/reports"), see("/reports/days")

    assert f"Page du {DAY}" in newest
    for place in (before, after, "days"):
        assert f'href="reports/{place}"' in newest
    assert "jour suivant" not in see(f"/reports/{after}")
    assert f'href="../reports/{DAY}"' in see(f"/reports/{before}")
    assert listed.index(f'href="{after}"') < listed.index(f'href="{DAY}"')
    assert "<td>41</td>" in listed


def test_what_stands_in_the_figures_stays_a_text(publish, see):
    """Nothing in the list becomes markup."""
    publish(DAY, loaded="<b>1</b>")

    assert "<td>&lt;b&gt;1&lt;/b&gt;</td>" in see("/reports/days")


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"day": DAY, "text": "Un banc."}, "two were given: day, text"),
        ({"day": None}, "none was given"),
        ({"day": DAY, "ids": ["a"], "text": "b"}, "three were given: day, ids, text"),
    ],
)
def test_a_wrong_conf_says_what_was_given(instance, ledger, asked, told):
    """Whoever filled in the form reads which fields met."""
    with pytest.raises(ProcessingError, match=told), steps.visit("split") as here:
        contribution_tasks.split_work(here, **asked)


def test_nothing_claimed_points_to_split(instance, ledger):
    """A wrong conf cannot be cleared: the last task says so and lists no empty chunks."""
    told = "nothing was claimed: see split; mend the conf and start a new run"
    instance.states = {"split": "failed", "settle": "skipped"}

    with pytest.raises(ProcessingError, match=told), steps.visit("reconcile") as here:
        contribution_tasks.reconcile_run(here, None)


def test_publishing_says_what_it_wrote(instance, ledger, fill, tmp_path, monkeypatch, caplog):
    """The task's log names the day, the counts and the file."""
    monkeypatch.setenv("PARTICIPATION_REPORTS", str(tmp_path))
    caplog.set_level(logging.INFO, logger="participation.operators.report")
    fill(ledger)

    PublishReportOperator(task_id="publish", day=str(DAY)).execute({})

    assert f"report of {DAY}: 3 received" in caplog.text
    assert "'pending': 3" in caplog.text
    assert str(tmp_path / f"{DAY}.html") in caplog.text


@pytest.mark.parametrize(
    ("run_type", "woken"),
    [("scheduled", [("report",)]), ("manual", [("report",)]), ("backfill", [])],
)
def test_a_report_wakes_those_who_ask_people(
    instance, ledger, fill, tmp_path, monkeypatch, run_type, woken
):
    """In the transaction that notes it; a backfill of the past says nothing new."""
    monkeypatch.setenv("PARTICIPATION_REPORTS", str(tmp_path))
    fill(ledger)
    run = SimpleNamespace(run_type=run_type)

    PublishReportOperator(task_id="publish", day=str(DAY)).execute({"dag_run": run})

    told = "SELECT payload ->> 'why' FROM outbox WHERE topic = 'review_due'"
    assert ledger.execute(told).fetchall() == woken
