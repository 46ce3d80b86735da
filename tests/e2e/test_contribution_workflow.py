"""The contribution workflow on a real Airflow, from the inbox to the report, by REST and by SQL."""

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from bench.real_system import (
    ANALYSIS,
    CHAIN,
    LOAD,
    ROUTER,
    expected_results,
    faults_of_day,
    insert,
    made_texts,
    refused_writes,
    wait_for,
)
from include.contributions.model import STATES, Contribution

pytestmark = [pytest.mark.airflow, pytest.mark.postgres]

SAMPLE_DAY = date(2026, 1, 14)
FIRST_OWN_DAY = date(2025, 3, 1)
"""Every test has days of its own, before those of the samples."""


OWN_SCRIPT = re.compile(r'<script src="\.\./static/pages\.js\?v=[0-9a-f]+">')
"""The one script of the pages; nothing that a citizen wrote is another."""


def own_day(number):
    return FIRST_OWN_DAY + timedelta(days=number)


def failed_tasks(system, dag_id, run_id):
    return {task for task, state in system.client.task_states(dag_id, run_id) if state == "failed"}


def tries(system, dag_id, run_id):
    path = f"/api/v2/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
    found = system.get(path, "admin").json()["task_instances"]
    return {each["task_id"]: each["try_number"] for each in found}


def clear_failed(system, dag_id, run_id):
    """Clear what failed with all that follows, as the button in the UI does."""
    what = {"dry_run": False, "dag_run_id": run_id, "only_failed": True}
    answer = system.post(
        f"/api/v2/dags/{dag_id}/clearTaskInstances", {**what, "include_downstream": True}
    )
    assert answer.status_code == 200, answer.text


@pytest.fixture(scope="module")
def loaded(system):
    """Load the samples and wait until every day is judged; their days.

    The hourly run may come first, and then announces what it loaded.
    """
    run_id = system.start_run(LOAD, "e2e-load")
    assert system.finished(LOAD, run_id) == "success"

    def judged():
        with system.ledger() as ledger:
            found = ledger.execute(
                "SELECT array_agg(DISTINCT received_on), count(*) FILTER (WHERE state = 'pending')"
                " FROM contribution"
            ).fetchone()
        return found[0] if found[1] == 0 else None

    return wait_for(judged, 420, "the judgement of every day")


@pytest.fixture(scope="module")
def chained(system, loaded):
    """Run the daily chain for one day of the samples; the id of its run."""
    run_id = system.start_run(CHAIN, "e2e-chain", day=SAMPLE_DAY)
    assert system.finished(CHAIN, run_id, 420) == "success", failed_tasks(system, CHAIN, run_id)
    return run_id


def test_every_loaded_record_is_in_one_of_six_states(loaded, ledger):
    """59 different texts and 5 broken records in; the same number out, none of them pending."""
    counts = dict(
        ledger.execute(
            "SELECT state, count(*)::int FROM contribution WHERE received_on >= '2026-01-01'"
            " AND source NOT IN ('rest', 'github-e2e') GROUP BY state"
        ).fetchall()
    )
    (broken,) = ledger.execute("SELECT count(*) FROM quarantine WHERE kind = 'record'").fetchone()

    assert (sum(counts.values()), broken) == (59, 5)
    assert set(counts) <= set(STATES) - {"pending", "refused"}
    assert counts["accepted"] > counts["refusal_proposed"] > 0
    assert len(loaded) >= 10


def test_the_report_says_what_sql_says(system, chained, ledger):
    """The figures of the day, counted here from the rows alone, stand in the file and in the ledger."""
    html_path, figures = ledger.execute(
        "SELECT html_path, figures FROM report WHERE received_on = %s", (SAMPLE_DAY,)
    ).fetchone()
    counts = dict.fromkeys(STATES, 0) | dict(
        ledger.execute(
            "SELECT state, count(*)::int FROM contribution WHERE received_on = %s GROUP BY state",
            (SAMPLE_DAY,),
        ).fetchall()
    )
    (broken,) = ledger.execute(
        "SELECT count(*) FROM quarantine WHERE kind = 'record' AND received_on = %s", (SAMPLE_DAY,)
    ).fetchone()
    counts["quarantined"] += broken

    assert sum(counts.values()) > 0
    assert {state: figures[state] for state in STATES} == counts
    page = Path(html_path).read_text(encoding="utf-8")
    assert "14 janvier 2026" in page
    assert Path(html_path).with_suffix(".md").exists()


def test_the_report_page_is_locked_and_inert(system, chained):
    """401 for nobody, 200 for a viewer, and a policy that lets nothing run but the pages' own script."""
    path = f"/participation/reports/{SAMPLE_DAY}"

    assert system.get(path).status_code == 401
    page = system.get(path, "viewer")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert re.findall(r"<script[^>]*>", page.text, re.IGNORECASE) == OWN_SCRIPT.findall(page.text)
    assert system.get("/participation/reports/1999-01-01", "viewer").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/participation/reports", f"/participation/runs/report?dag_id={CHAIN}&run_id=e2e-chain"],
)
def test_no_page_is_open_to_anybody(system, chained, path):
    """The same door on every page; behind it the newest report, or the one of a run."""
    assert system.get(path, allow_redirects=False).status_code == 401
    assert system.get(path, "viewer").status_code == 200


def test_the_run_links_to_its_report(system, chained):
    """From the task's details in the UI to the page, in one click."""
    path = f"/api/v2/dags/{CHAIN}/dagRuns/{chained}/taskInstances/publish/links"

    links = system.get(path, "viewer").json()["extra_links"]

    assert links.keys() == {"Report of the day", "Participation"}
    assert links["Report of the day"] == f"/participation/reports/{SAMPLE_DAY}"
    assert system.get(links["Report of the day"], "viewer").status_code == 200


def test_the_ui_explains_dags_and_tasks(system):
    """What a DAG reads, writes and promises is there for whoever may see it."""
    for dag_id in (LOAD, ANALYSIS, CHAIN, ROUTER):
        shown = system.get(f"/api/v2/dags/{dag_id}/details", "viewer").json()
        assert "**Reads**" in shown["doc_md"]
        tasks = system.get(f"/api/v2/dags/{dag_id}/tasks", "viewer").json()["tasks"]
        assert tasks
        assert all(task["doc_md"] for task in tasks)


def test_a_day_by_rest(system, ledger):
    """The day in the conf; one result each, equal to the in-process judgement."""
    texts, day = made_texts(30, 11, "day"), own_day(0)
    insert(ledger, texts, day)

    run_id = system.start_run(ANALYSIS, "e2e-day", {"day": day.isoformat()})

    assert system.finished(ANALYSIS, run_id) == "success"
    assert faults_of_day(ledger, day, texts) == []
    books = system.xcom(ANALYSIS, run_id, "reconcile")["books"][day.isoformat()]
    assert (books["submitted"], books["pending"]) == (30, 0)


def test_some_ids_by_rest(system, ledger):
    """Those and no others."""
    texts, day = made_texts(10, 12, "ids"), own_day(1)
    insert(ledger, texts, day)
    chosen = [text.contribution_id for text in texts[:3]]

    run_id = system.start_run(ANALYSIS, "e2e-ids", {"ids": chosen})

    assert system.finished(ANALYSIS, run_id) == "success"
    judged = ledger.execute(
        "SELECT contribution_id FROM contribution WHERE received_on = %s AND state <> 'pending'"
        " ORDER BY 1",
        (day,),
    ).fetchall()
    assert [row[0] for row in judged] == sorted(chosen)


def test_one_text_by_rest_brings_its_whole_result(system):
    """The last task carries the three answers, the same as in-process."""
    text = "Je propose de poser deux bancs sur le quai d'Audierne, près de la criée."

    run_id = system.start_run(ANALYSIS, "e2e-text", {"text": text})

    assert system.finished(ANALYSIS, run_id) == "success"
    result = system.xcom(ANALYSIS, run_id, "reconcile")["result"]
    assert result.pop("contribution_id") == "rest:e2e-text"
    assert result == expected_results(Contribution("rest:e2e-text", text))


@pytest.mark.parametrize(
    "conf",
    [
        pytest.param({"day": "yesterday"}, id="no_day"),
        pytest.param({"ids": "samples:1"}, id="no_list"),
        pytest.param({"ids": [""]}, id="empty_id"),
        pytest.param({"chunk_size": 1}, id="chunk_too_small"),
        pytest.param({"text": "x" * 60_001}, id="text_too_long"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door(system, conf):
    """400 with the reason, and no run."""
    body = {"dag_run_id": "e2e-nonsense", "logical_date": None, "conf": conf}

    answer = system.post(f"/api/v2/dags/{ANALYSIS}/dagRuns", body)

    assert answer.status_code == 400
    assert next(iter(conf)) in answer.text or "Invalid input" in answer.text
    assert system.get(f"/api/v2/dags/{ANALYSIS}/dagRuns/e2e-nonsense", "admin").status_code == 404


def test_a_run_without_a_selection_fails_at_once_with_a_sentence(system, ledger):
    """No retry helps, so none is made; the sentence says what to fill in."""
    run_id = system.start_run(ANALYSIS, "e2e-nothing")

    assert system.finished(ANALYSIS, run_id) == "failed"
    assert tries(system, ANALYSIS, run_id)["split"] == 1
    (message,) = ledger.execute(
        "SELECT error_message FROM step_metric WHERE run_id = %s AND step = 'split'", (run_id,)
    ).fetchone()
    assert "fill in one of day, ids and text" in message


def test_rows_of_another_service_are_judged_by_themselves(system, ledger):
    """A plain INSERT wakes the watcher, the router announces the day, the analysis judges it."""
    texts, day = made_texts(5, 13, "n8n"), own_day(2)
    insert(ledger, texts, day, emitter="")

    def settled():
        (left,) = ledger.execute(
            "SELECT count(*) FROM contribution WHERE received_on = %s AND state = 'pending'", (day,)
        ).fetchone()
        return left == 0

    wait_for(settled, 180, "the judgement of rows that another service inserted")
    assert faults_of_day(ledger, day, texts) == []
    assert ledger.execute(
        "SELECT DISTINCT dag_id FROM step_result WHERE item_id LIKE 'n8n:%'"
    ).fetchall() == [(ANALYSIS,)]


def backfill(system, first, last):
    number = wait_for(
        lambda: system.client.backfill(CHAIN, first, last, at_once=2), 300, "a free backfill"
    )
    return wait_for(lambda: system.client.backfill_is_done(number), 600, f"backfill {number}")


def test_a_backfill_twice_over_a_live_run_judges_once(system, ledger):
    """Three days, two of them twice, while another DAG works on one of them: one result each."""
    days = [own_day(10 + n) for n in range(3)]
    texts = {day: made_texts(12, 20 + n, f"back{n}") for n, day in enumerate(days)}
    for day in days:
        insert(ledger, texts[day], day)

    live = system.start_run(ANALYSIS, "e2e-live", day=days[1])
    assert backfill(system, days[0], days[-1])
    assert backfill(system, days[0], days[1])

    assert system.finished(ANALYSIS, live) == "success"
    for day in days:
        assert faults_of_day(ledger, day, texts[day]) == []
    (judging_runs,) = ledger.execute(
        "SELECT max(runs)::int FROM (SELECT count(DISTINCT run_id) AS runs FROM step_result"
        " WHERE item_id LIKE 'back%' GROUP BY item_id) AS judged"
    ).fetchone()
    results, stored = ledger.execute(
        "SELECT (SELECT count(*) FROM step_result WHERE item_id LIKE 'back%')::int,"
        " (SELECT sum(output_size) FROM step_metric WHERE task_id LIKE 'judge.%' AND run_id IN"
        "  (SELECT run_id FROM step_result WHERE item_id LIKE 'back%'))::int"
    ).fetchone()
    assert judging_runs == 1
    assert results == stored == 3 * 12 * 3


def test_a_run_that_was_refused_is_red_and_a_clear_makes_it_green(system, ledger):
    """The ledger refuses one chunk its lease; the run says so; when the cause is gone it goes on."""
    texts, day = made_texts(600, 14, "broken"), own_day(3)
    insert(ledger, texts, day)
    ledger.execute(
        "CREATE FUNCTION refuse_lease() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF NEW.received_on = '{day}' AND NEW.position = 1 AND NEW.lease_token IS NOT NULL"
        " THEN RETURN NULL; END IF; RETURN NEW; END $$;"
        "CREATE TRIGGER refuse_lease BEFORE UPDATE ON work_chunk"
        " FOR EACH ROW EXECUTE FUNCTION refuse_lease()"
    )
    try:
        run_id = system.start_run(ANALYSIS, "e2e-broken", {"chunk_size": 500}, day)
        assert system.finished(ANALYSIS, run_id) == "failed"
    finally:
        ledger.execute("DROP FUNCTION refuse_lease() CASCADE")

    assert failed_tasks(system, ANALYSIS, run_id) == {"judge.validate", "settle", "reconcile"}
    counts = dict(
        ledger.execute(
            "SELECT state = 'pending', count(*)::int FROM contribution WHERE received_on = %s"
            " GROUP BY 1",
            (day,),
        ).fetchall()
    )
    assert counts == {True: 300, False: 300}
    clear_failed(system, ANALYSIS, run_id)
    assert system.finished(ANALYSIS, run_id) == "success"
    assert faults_of_day(ledger, day, texts, judged_here=50) == []


def test_a_run_that_is_late_and_then_cut_off_leaves_clean_books(system, ledger):
    """The deadline is noted while the run hangs; the time limit ends it, its callback gives back."""
    texts, day = made_texts(20, 15, "cut"), own_day(4)
    insert(ledger, texts, day)

    run_id = system.start_run("cut_off", "e2e-cut-off", {"day": day.isoformat()})

    assert system.finished("cut_off", run_id) == "failed"

    def one(query):
        return lambda: ledger.execute(query, (run_id,)).fetchone()

    missed = wait_for(
        one("SELECT dag_id, run_state FROM deadline_miss WHERE run_id = %s"), 120, "the note"
    )
    assert missed == ("cut_off", "running")
    callback = wait_for(
        one(
            "SELECT status, input_size FROM step_metric WHERE run_id = %s"
            " AND step = 'reconcile_cut_off' AND status <> 'running'"
        ),
        120,
        "the failure callback",
    )
    assert callback == ("success", 20)
    open_left = ledger.execute(
        "SELECT count(*) FROM step_metric WHERE run_id = %s AND status = 'running'", (run_id,)
    ).fetchone()
    assert open_left == (0,)
    after = system.start_run(ANALYSIS, "e2e-after-cut-off", day=day)
    assert system.finished(ANALYSIS, after) == "success"
    assert faults_of_day(ledger, day, texts) == []


def test_a_hundred_at_once_in_one_chunk_despite_faults(system, ledger):
    """A hundred right results, though the database refuses two of five writes."""
    texts, day = made_texts(100, 16, "chunk"), own_day(5)
    insert(ledger, texts, day)

    with refused_writes(ledger, "chunk", every=2, at_most=2) as refused:
        run_id = system.start_run(ANALYSIS, "e2e-chunk", day=day)
        assert system.finished(ANALYSIS, run_id, 300) == "success"
        assert refused() == 2

    assert faults_of_day(ledger, day, texts) == []


def test_ten_single_texts_at_once_by_rest_despite_faults(system, ledger):
    """Ten runs, ten whole results, each the one that this process gives; 100 in bench/chaos.py."""
    texts = made_texts(10, 17, "ten")

    with refused_writes(ledger, "rest", every=10, at_most=3) as refused:
        results = single_runs(system, texts)
        assert refused() == 3

    assert results == [expected_results(Contribution("", text.text)) for text in texts]


def single_runs(system, texts):
    """Start one run per text and return each run's whole result, in the order of the texts."""
    run_ids = [
        system.start_run(ANALYSIS, f"e2e-ten-{n}", {"text": text.text})
        for n, text in enumerate(texts)
    ]
    assert {system.finished(ANALYSIS, run_id, 420) for run_id in run_ids} == {"success"}
    results = [system.xcom(ANALYSIS, run_id, "reconcile")["result"] for run_id in run_ids]
    return [{k: v for k, v in each.items() if k != "contribution_id"} for each in results]
