import doctest
import io
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import main_job
from main_job import JobFailedError, MainJob, day_ranges, latest_per_key
from state_folder import StateFolder

DAYS = st.lists(st.dates(min_value=main_job.date(2025, 12, 1), max_value=main_job.date(2026, 2, 1)))


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


@given(DAYS, st.dates(min_value=main_job.date(2025, 12, 1), max_value=main_job.date(2026, 2, 1)))
def test_ranges_hold_every_past_day_and_no_other(days, before):
    """Each day before today is backfilled once, nothing in between is."""
    ranges = day_ranges(days, before)

    held = [
        first + main_job.timedelta(n)
        for first, last in ranges
        for n in range((last - first).days + 1)
    ]
    assert held == sorted({day for day in days if day < before})
    assert all(b[0] - a[1] > main_job.timedelta(days=1) for a, b in itertools.pairwise(ranges))


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
