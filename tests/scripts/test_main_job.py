import doctest
import io
import itertools
import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import main_job
from include.contributions.reviewer import embedded_reviewer
from main_job import JobFailedError, MainJob, day_ranges, latest_per_key
from participation.ledger.reports import save_report
from participation.settings import Settings
from state_folder import StateFolder

DAYS = st.lists(st.dates(min_value=date(2025, 12, 1), max_value=date(2026, 2, 1)))


class StandingClient:
    """An Airflow whose runs never change."""

    address = "http://127.0.0.1:1"

    def __init__(self, *states):
        self.states = states

    def runs(self):
        return [
            {"dag_run_id": f"r{n}", "state": state, "partition_key": str(n)}
            for n, state in enumerate(self.states)
        ]

    def task_states(self, dag_id, run_id):
        return [("load", "success"), ("report", "failed")]


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(main_job, "POLL_S", 0)
    monkeypatch.setattr(main_job, "APPEAR_LIMIT_S", 0.1)
    display = main_job.Display(tmp_path / "supervisor.log")
    display.console = Console(quiet=True)
    return lambda client: MainJob(client, display, tmp_path)


def test_examples():
    """The examples in the docstrings hold."""
    assert doctest.testmod(main_job).failed == 0


@given(DAYS, st.dates(min_value=date(2025, 12, 1), max_value=date(2026, 2, 1)))
def test_ranges_hold_every_past_day_and_no_other(days, before):
    """Each day before today is backfilled once, nothing in between is."""
    ranges = day_ranges(days, before)

    held = [first + timedelta(n) for first, last in ranges for n in range((last - first).days + 1)]
    assert held == sorted({day for day in days if day < before})
    assert all(b[0] - a[1] > timedelta(days=1) for a, b in itertools.pairwise(ranges))


def test_the_newest_run_of_a_day_counts():
    """A day that was run again is judged by its last run, a foreign day not at all."""
    runs = [
        {"partition_key": "a", "dag_run_id": 1},
        {"partition_key": "b", "dag_run_id": 2},
        {"partition_key": "a", "dag_run_id": 3},
        {"partition_key": None, "dag_run_id": 4},
    ]

    assert [run["dag_run_id"] for run in latest_per_key(runs, {"a"})] == [3]


def test_a_failed_run_names_its_tasks_and_its_page(job):
    """The person can go straight to what is red."""
    client = StandingClient("success", "failed")

    with pytest.raises(JobFailedError, match=r"report.*http://127.0.0.1:1/dags/d/runs/r1"):
        job(client)._follow("d", 2, client.runs)


def test_a_run_that_never_starts_is_not_waited_for_for_ever(job):
    """An announced day without a run is a failure, not a silence."""
    client = StandingClient("success")

    with pytest.raises(JobFailedError, match="1 runs never started"):
        job(client)._follow("d", 2, client.runs)


def test_runs_that_ended_well_are_enough(job):
    """It returns as soon as the last one ended."""
    client = StandingClient("success", "success")
    told = job(client)

    told._follow("d", 2, client.runs)

    assert told.display.lines[0].took_s is not None


FIGURES = dict.fromkeys(("loaded", "duplicates", "seconds", "items_per_s", *main_job.STATES), 0) | {
    "report": None,
    "ui": StandingClient.address,
    **main_job.document_figures(None, 0.0),
}


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        pytest.param([], None, id="none"),
        pytest.param(
            ["a.csv: empty."], "waiting: 1 file, for a later load: a.csv: empty.", id="one"
        ),
    ],
)
def test_files_that_wait_are_shown_under_the_table(tmp_path, monkeypatch, waiting, said):
    """What is half written is no part of the figures: the person reads which and why."""
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    display = main_job.Display(tmp_path / "supervisor.log")
    display.console = Console(record=True, file=io.StringIO(), width=200)

    main_job.show_end(display, StateFolder.from_environment(), FIGURES | {"waiting": waiting})

    lines = display.console.export_text().splitlines()
    assert [line for line in lines if line.startswith("waiting")] == ([said] if said else [])


def shown_at_the_end(tmp_path, monkeypatch, **figures):
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    display = main_job.Display(tmp_path / "supervisor.log")
    display.console = Console(record=True, file=io.StringIO(), width=200)
    main_job.show_end(display, StateFolder.from_environment(), FIGURES | {"waiting": []} | figures)
    return display.console.export_text()


def test_each_row_of_the_end_has_a_name_of_its_own(tmp_path, monkeypatch):
    """Two workflows took their time, and the reader sees which took how long."""
    shown = shown_at_the_end(
        tmp_path, monkeypatch, documents=2, document_duplicates=1, seconds=3.5, document_seconds=7.5
    )

    rows = dict(re.findall(r"^(\S.*?) {2,}([\d.,]+) *$", shown, re.MULTILINE))
    names = re.findall(r"^(\S.*?) {2,}[\d.,]+ *$", shown, re.MULTILINE)
    assert len(names) == len(rows)
    assert rows["seconds for contributions"] == "3.5"
    assert rows["seconds for documents"] == "7.5"
    assert rows["files with the bytes of another"] == "1"


@pytest.mark.parametrize("what", ["pages_set_aside", "documents_set_aside", None])
def test_the_end_says_where_what_was_not_read_is_listed(tmp_path, monkeypatch, what):
    """Not only how many: the page with the reason of each."""
    told = shown_at_the_end(tmp_path, monkeypatch, documents=2, **({what: 3} if what else {}))

    address = f"{StandingClient.address}/participation/documents/set-aside"
    assert (address in told) is (what is not None)


@pytest.mark.parametrize(("left", "oneshot"), [(0, ""), (3, ""), (3, "1")])
def test_the_end_says_where_people_are_asked(tmp_path, monkeypatch, left, oneshot):
    """Where somebody waits for a person and the UI stays open; nobody waits for an answer here."""
    monkeypatch.setenv("STATE", str(tmp_path / "state"))
    monkeypatch.setenv("ONESHOT", oneshot)
    display = main_job.Display(tmp_path / "supervisor.log")
    display.console = Console(record=True, file=io.StringIO(), width=200)
    figures = FIGURES | {"waiting": [], "review": left}

    main_job.show_end(display, StateFolder.from_environment(), figures)

    told = "people: " in display.console.export_text()
    assert told is (left > 0 and not oneshot)


@pytest.mark.parametrize(
    ("name", "content", "documents", "contributions"),
    [
        pytest.param("acte.txt", "Arrêté du maire.", True, False, id="documents_only"),
        pytest.param("avis.csv", "id;texte\n1;Un banc.\n", False, True, id="contributions_only"),
        pytest.param(None, None, False, True, id="empty"),
    ],
)
def test_each_workflow_is_asked_for_what_it_reads(
    tmp_path, name, content, documents, contributions
):
    """A folder of papers alone is no error of the contributions; an empty one is theirs to name."""
    if name:
        (tmp_path / name).write_text(content, encoding="utf-8")

    assert main_job.holds_documents(tmp_path) is documents
    assert main_job.holds_contributions(tmp_path) is contributions


class ModelClient:
    """An Airflow that knows a connected model, or none."""

    address = "http://127.0.0.1:1"

    def __init__(self, *, has_model=False):
        self.has_model = has_model

    def has_connection(self, conn_id):
        assert conn_id == "participation_llm"
        return self.has_model


class ReportedDay:
    """A ledger with one contribution of a past day, judged and reported."""

    day = date(2026, 1, 12)

    def __init__(self, connection, report):
        self.connection, self.report, self.town = connection, report, Settings().municipality
        with connection.transaction():
            connection.execute("SELECT set_config('participation.emitter', 'test', true)")
            connection.execute(
                "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
                " constat_factuel, received_on) VALUES"
                " ('form:1', %s, 'form', '1', 'Le banc est cassé.', %s)",
                (self.town, self.day),
            )
        self.judge(embedded_reviewer().rubric_version)
        self.write_report()

    def judge(self, rubric):
        self.connection.execute(
            "UPDATE contribution SET state = 'review', state_rubric = %s, state_changed_at = now()",
            (rubric,),
        )

    def write_report(self):
        self.report.write_text("page")
        save_report(
            self.connection,
            self.town,
            self.day,
            html_path=str(self.report),
            markdown_path="",
            figures={},
            dag_id="daily_chain",
            run_id="run-1",
        )

    def decide(self):
        self.connection.execute(
            "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
            " VALUES ('form:1', 'accepted', 'anne', 'none')"
        )

    def receive_again(self):
        self.connection.execute(
            "INSERT INTO receipt (contribution_id, locator) VALUES ('form:1', 'again')"
        )

    def set_aside(self):
        self.connection.execute(
            "INSERT INTO quarantine (municipality, kind, locator, reason, detail, received_on)"
            " VALUES (%s, 'record', 'line 7', 'no_text', 'Aucun texte.', %s)",
            (self.town, self.day),
        )


@pytest.fixture
def reported(ledger, ledger_dsn, tmp_path, monkeypatch, job):
    monkeypatch.setenv("LEDGER_DSN", ledger_dsn)
    monkeypatch.setattr(MainJob, "days", lambda _: [ReportedDay.day])
    return ReportedDay(ledger, tmp_path / "report.html")


NOTHING_NEW = {
    "as_it_was": lambda _: None,
    "decided_and_reported": lambda told: (told.decide(), told.write_report()),
}
NEWS = {
    "judged_under_other_rules": lambda told: (told.judge("old"), told.write_report()),
    "not_judged": lambda told: (
        told.connection.execute("UPDATE contribution SET state = 'pending', state_rubric = NULL"),
        told.write_report(),
    ),
    "judged_after_its_report": lambda told: told.judge(embedded_reviewer().rubric_version),
    "decided_after_its_report": lambda told: told.decide(),
    "received_again_after_it": lambda told: told.receive_again(),
    "set_aside_after_it": lambda told: told.set_aside(),
    "no_report": lambda told: told.connection.execute("DELETE FROM report"),
    "no_file": lambda told: told.report.unlink(),
}


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("change", "is_done"),
    [
        *(pytest.param(change, True, id=name) for name, change in NOTHING_NEW.items()),
        *(pytest.param(change, False, id=name) for name, change in NEWS.items()),
    ],
)
def test_a_day_without_news_is_left_alone(reported, job, change, is_done):
    """A second run over the same folder does not go through every day again; other rules do."""
    told = job(ModelClient())
    told.display.console = Console(record=True, file=io.StringIO(), width=200)
    change(reported)

    assert told.days_to_do() == ([] if is_done else [ReportedDay.day])

    assert ("1 of 1 days are left alone" in told.display.console.export_text()) is is_done


@pytest.mark.postgres
def test_beside_a_connected_model_every_day_is_gone_through(reported, job):
    """Its rubric is Airflow's to know: no day is taken for done by mistake."""
    assert job(ModelClient(has_model=True)).days_to_do() == [ReportedDay.day]


class DatasetClient:
    """An Airflow whose dataset is begun a moment after the index, and then made."""

    address = "http://127.0.0.1:1"

    def __init__(self, *answers, indexed=True):
        self.answers, self.indexed = list(answers), indexed

    def runs(self, dag_id, since):
        if dag_id != "dataset_creation":
            return [{"dag_run_id": "i", "state": "success"}] if self.indexed else []
        state = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [{"dag_run_id": "d", "state": state}] if state else []

    def task_states(self, dag_id, run_id):
        return [("build", "failed")]


def test_a_dataset_that_begins_late_is_waited_for(job, monkeypatch):
    monkeypatch.setattr(main_job, "DATASET_APPEAR_S", 0.05)
    client = DatasetClient(None, "queued", "running", "running", "success")

    job(client).until_dataset(main_job.datetime.now(main_job.UTC))

    assert client.answers == ["success"]


def test_a_dataset_that_fails_fails_the_job(job):
    with pytest.raises(JobFailedError, match="failed: build"):
        job(DatasetClient("failed")).until_dataset(main_job.datetime.now(main_job.UTC))


@pytest.mark.parametrize("indexed", [True, False])
def test_no_dataset_is_waited_for_where_none_is_begun(job, monkeypatch, indexed):
    monkeypatch.setattr(main_job, "DATASET_APPEAR_S", 0.05)
    job(DatasetClient(None, indexed=indexed)).until_dataset(main_job.datetime.now(main_job.UTC))


def test_without_documents_the_summary_still_names_their_figures():
    """Whoever reads the summary finds every name, and zeros."""
    figures = main_job.document_figures(None, 0.0)

    assert set(figures.values()) == {0}
    names = {"documents", "pages_in", "chunks", "documents_waiting", "document_seconds"}
    assert names <= set(figures)
