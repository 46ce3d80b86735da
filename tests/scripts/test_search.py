"""``make search`` on a state folder whose database runs, on one where it sleeps, and on none."""

import io
import json
import os
import subprocess
import sys
from datetime import date

import pytest
from rich.console import Console

import search
from databases import prepare
from include.documents.model import Hit
from participation.ledger import connect, migrate
from postgres import running
from state_folder import StateFolder
from tests.integration.document_steps import Steps

STORE = """
import sys
from airflow import settings
from airflow.models import Connection
from airflow.models.base import Base

settings.initialize()
Base.metadata.create_all(settings.engine)
with settings.Session() as session:
    session.add(Connection("participation_embeddings", "http", host=sys.argv[1],
                           password="sk-secret", extra=sys.argv[2]))
    session.commit()
"""


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    """A state folder with a migrated, empty ledger, whose database does not run."""
    made = StateFolder.at(tmp_path_factory.mktemp("made") / "state")
    with running(made.postgres, shared_buffers="64MB", fsync="off") as server:
        prepare(server.admin_dsn, server.passwords)
        migrate(server.ledger_dsn)
    return made


@pytest.mark.postgres
def test_it_finds_the_database_of_the_state_folder(state, monkeypatch, capsys):
    """No variable names the address: the folder is enough."""
    monkeypatch.setenv("STATE", str(state.folder))

    with running(state.postgres):
        assert search.main(["--json", "--", "Quand a lieu le marché ?"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_it_asks_the_town_of_the_installation(monkeypatch):
    """As every other part does; another one when it is named."""
    monkeypatch.setenv("PARTICIPATION_MUNICIPALITY", "ailleurs")

    assert search._parser().parse_args(["x"]).municipality == "ailleurs"
    named = search._parser().parse_args(["x", "--municipality", "la-bas"])
    assert named.municipality == "la-bas"


@pytest.mark.postgres
def test_it_wakes_a_database_that_sleeps(state, monkeypatch, capsys):
    """For the length of the question; afterwards nothing of it runs."""
    monkeypatch.setenv("STATE", str(state.folder))

    assert search.main(["--json", "--", "Quand a lieu le marché ?"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert not (state.postgres / "data" / "postmaster.pid").exists()


@pytest.mark.postgres
def test_it_leaves_a_folder_alone_that_somebody_starts(state, monkeypatch, capsys):
    """Whoever holds the folder starts its database; two servers on one folder would be the end of it."""
    monkeypatch.setenv("STATE", str(state.folder))

    with state.lock():
        assert search.main(["marché"]) == 2
    assert "still starting" in capsys.readouterr().err


def test_without_a_database_it_says_what_to_start(tmp_path, monkeypatch, capsys):
    """One sentence and exit code 2, and no traceback."""
    monkeypatch.setenv("STATE", str(tmp_path / "nothing"))

    assert search.main(["marché"]) == 2
    assert "make run" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "101", "x", "-1"])
def test_a_senseless_count_is_refused(count):
    """Before anything is opened."""
    with pytest.raises(SystemExit):
        search.main(["--top-k", count, "marché"])


@pytest.fixture
def papers(state, monkeypatch):
    """Run the database of the state folder, with three papers in it."""
    monkeypatch.setenv("STATE", str(state.folder))
    with running(state.postgres) as server:
        with connect(server.ledger_dsn) as connection:
            steps = Steps(connection)
            for name, source, about in (
                ("quai", "folder", {"act_kind": "arrete", "dated_on": date(2025, 3, 1)}),
                ("hiver", "crawl", {"act_kind": "bulletin", "dated_on": date(2012, 1, 1)}),
                ("page", "url", {"title": "La cale"}),
            ):
                steps.keep(f"{name}.pdf", name, source=source)
                steps.parse(name, f"Le phare et la criée, {name}.", **about)
            steps.rest()
        yield server


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("options", "found"),
    [
        pytest.param([], {"quai", "hiver", "page"}, id="none"),
        pytest.param(["--kind=Arrêté"], {"quai"}, id="kind_of_act"),
        pytest.param(["--kind=document"], {"quai", "hiver", "page"}, id="kind_of_file"),
        pytest.param(["--since=2025-03-01"], {"quai"}, id="since"),
        pytest.param(["--until=2025-02-28"], {"hiver"}, id="until"),
        pytest.param(["--source=url"], {"page"}, id="source"),
        pytest.param(["--source=url", "--kind=bulletin"], set(), id="both"),
    ],
)
def test_it_asks_only_the_papers_that_are_wanted(papers, capsys, options, found):
    """By kind of act or file, by date with both days included, by source."""
    assert search.main([*options, "--json", "--", "phare"]) == 0

    hits = json.loads(capsys.readouterr().out)
    assert {hit["uri"].removesuffix(".pdf") for hit in hits} == found


@pytest.mark.parametrize(
    "option", ["--kind=poème", "--since=hier", "--until=2025-02-30", "--source=x"]
)
def test_a_senseless_filter_is_refused(option):
    """Before anything is opened."""
    with pytest.raises(SystemExit):
        search.main([option, "marché"])


def test_a_title_with_a_line_break_stays_on_its_line():
    """Whatever a paper calls itself, each answer is three lines."""
    shown = io.StringIO()
    hit = Hit("a" * 64, "ARRÊTÉ\n  municipal\tdu [maire]", "a.pdf", 2, 3, "Un phare.", 1.5)

    search.show([hit], Console(file=shown, highlight=False, width=20))

    assert shown.getvalue().splitlines() == [
        "1. ARRÊTÉ municipal du [maire], p. 2-3  (1.50)",
        "   « Un phare. »",
        "   a.pdf",
    ]


def test_a_quote_is_shown_without_the_signs_of_markdown():
    """A person reads the words; ``--json`` gives them as they stand in the paper."""
    shown = io.StringIO()
    hit = Hit("a" * 64, "Guide", "a.md", 1, 1, "## Horaires **Mardi** | 9 h", 1.0)

    search.show([hit], Console(file=shown, highlight=False))

    assert shown.getvalue().splitlines()[1] == "   « Horaires Mardi · 9 h »"


def test_a_paper_says_nothing_to_the_terminal():
    """No title, word or file name clears the screen, renames the window or begins a line."""
    shown = io.StringIO()
    hit = Hit("a" * 64, "\x1b]0;pwn\x07Plan", "/in/\x1b[2Ja\nb.md", 1, 1, "un\x9b2J mot", 1.0)

    search.show([hit], Console(file=shown, highlight=False, force_terminal=False))

    assert shown.getvalue().splitlines() == [
        "1. ⟨U+001B⟩]0;pwn⟨U+0007⟩Plan, p. 1  (1.00)",
        "   « un⟨U+009B⟩2J mot »",
        "   /in/⟨U+001B⟩[2Ja b.md",
    ]


@pytest.mark.postgres
def test_it_says_so_when_the_connected_engine_does_not_answer(state, papers, capsys):
    """The connection that an operator stored in Airflow is read; the embedded engine answers."""
    extra = json.dumps({"model": "model-1", "dimensions": 4, "deadline_s": 2})
    driver, rest = papers.airflow_dsn.split("://", 1)
    stored = subprocess.run(
        [sys.executable, "-c", STORE, "http://127.0.0.1:9/v1", extra],
        env=os.environ
        | {
            "AIRFLOW__CORE__FERNET_KEY": state.secrets["fernet_key"],
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"{driver}+psycopg2://{rest}",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert stored.returncode == 0, stored.stderr[-2000:]
    assert search.main(["--json", "--", "phare"]) == 0

    told = capsys.readouterr()
    assert len(json.loads(told.out)) == 3
    assert "127.0.0.1/model-1/4 does not answer" in told.err
    assert "sk-secret" not in told.err
