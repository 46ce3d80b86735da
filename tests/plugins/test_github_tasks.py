"""GitHub repositories into the ledger: a server that speaks its protocol, well and badly, and real rows."""

import json
import time
from datetime import date
from urllib.parse import parse_qs, urlsplit

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowSkipException
from airflow.sdk.execution_time.context import OutletEventAccessors

from include.contributions.sources import github
from include.errors import ProcessingError, cause_chain
from participation import contribution_tasks, github_tasks, steps
from participation.defaults import CONTRIBUTIONS
from participation.ledger import books
from participation.ledger.loading import EMITTER
from participation.settings import Settings
from tests.stub_site import page, running

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
REPOSITORY = "ville/idees"
DAY = date(2026, 1, 20)
ISSUES = f"/repos/{REPOSITORY}/issues"


def issue(number, body="Le banc du port est cassé.", **changes):
    return {
        "number": number,
        "title": f"Sujet {number}",
        "body": f"{body} ({number})",
        "html_url": f"https://github.com/{REPOSITORY}/issues/{number}",
        "created_at": "2026-01-19T23:30:00Z",
        "user": {"login": "jeanne-le-gall"},
        "labels": [{"name": "logement"}],
        **changes,
    }


class GitHub:
    """The two interfaces, with ETag, Link and cursor; ``faults`` answer first, each once."""

    def __init__(self, site):
        self.site = site
        self.issues = [issue(1), issue(2)]
        self.discussions = []
        self.page_size = 100
        self.faults = []
        site.pages[ISSUES] = self.answer_issues
        site.pages["/graphql"] = self.answer_discussions

    @property
    def etag(self):
        return f'W/"{hash(json.dumps(self.issues, sort_keys=True))}"'

    def answer_issues(self, request):
        if self.faults:
            self.faults.pop(0)(request)
            return
        if request.headers.get("If-None-Match") == self.etag:
            page(b"", 304, ETag=self.etag)(request)
            return
        number = int(parse_qs(urlsplit(request.path).query).get("page", ["1"])[0])
        start = (number - 1) * self.page_size
        shown = self.issues[start : start + self.page_size]
        headers = {"ETag": self.etag}
        if start + self.page_size < len(self.issues):
            following = self.site.url(f"{ISSUES}?page={number + 1}")
            headers["Link"] = f'<{following}>; rel="next", <{following}>; rel="last"'
        page(json.dumps(shown).encode(), **headers)(request)

    def answer_discussions(self, request):
        nodes = [
            {
                "number": number,
                "url": f"https://github.com/{REPOSITORY}/discussions/{number}",
                "title": "Discussion",
                "body": text,
                "createdAt": "2026-01-19T23:30:00Z",
                "updatedAt": "2026-01-20T10:00:00Z",
                "category": {"name": "Culture"},
                "labels": {"nodes": []},
            }
            for number, text in enumerate(self.discussions, 1)
        ]
        found = {
            "totalCount": len(nodes),
            "pageInfo": {"hasNextPage": False, "endCursor": None},
            "nodes": nodes,
        }
        answer = {"data": {"repository": {"discussions": found}}}
        page(json.dumps(answer).encode())(request)


@pytest.fixture
def hub(monkeypatch):
    """Be behind the connection of this installation."""
    with running() as site:
        connection = Connection(
            conn_id="participation_github",
            conn_type="http",
            host="127.0.0.1",
            schema="http",
            port=site.port,
            password="t0ken",
            extra=json.dumps({"repository": REPOSITORY, "allowed": [site.endpoint]}),
        )
        monkeypatch.setattr(BaseHook, "get_connection", lambda _conn_id: connection)
        github = GitHub(site)
        github.connection = connection
        yield github


@pytest.fixture
def load(ledger, instance):
    """Run the task as Airflow would, through the step adapter."""
    instance.dag_id, instance.task_id = "load_contributions", "load_github"

    def run(folder=None):
        with steps.visit("load_github") as here:
            return github_tasks.load_github(here, folder)

    return run


def counted(ledger):
    """Contributions, receipts, open quarantine."""
    return ledger.execute(
        "SELECT (SELECT count(*) FROM contribution), (SELECT count(*) FROM receipt),"
        " (SELECT count(*) FROM quarantine WHERE resolved_at IS NULL)"
    ).fetchone()


def test_issues_become_contributions_with_receipts_and_without_their_authors(hub, load, ledger):
    hub.issues.append(issue(3))
    hub.issues.append(issue(4, pull_request={}))

    told = load()

    assert (told["records"], told["broken"], told["added"]) == (3, 0, 3)
    rows = ledger.execute(
        "SELECT contribution_id, constat_factuel, declared_category, received_on, state,"
        " metadata::text FROM contribution ORDER BY 1"
    ).fetchall()
    assert rows[0][:5] == (
        "github-ville-idees:issue-1",
        "Sujet 1\n\nLe banc du port est cassé. (1)",
        "logement",
        DAY,
        "pending",
    )
    assert "jeanne" not in str(rows)
    assert not any("issue-4" in row[0] for row in rows), "a pull request is no contribution"
    assert hub.site.seen[0].headers["authorization"] == "Bearer t0ken"
    assert books.reconcile(ledger, TOWN, DAY)["submitted"] == 3


def test_an_unchanged_repository_costs_one_request(hub, load, ledger):
    load()
    asked, before = len(hub.site.seen), counted(ledger)

    told = load()

    assert (told["unchanged"], told["changed"], told["added"]) == (1, 0, 0)
    assert len(hub.site.seen) == asked + 1
    assert hub.site.seen[-1].headers["if-none-match"] == hub.etag
    assert counted(ledger) == before


def test_a_changed_repository_adds_what_is_new_and_a_text_twice_is_one(hub, load, ledger):
    load()
    hub.issues = [
        issue(9, body="Nouveau."),
        *hub.issues,
        {**hub.issues[0], "number": 10, "html_url": None},
    ]

    told = load()

    assert told["added"] == 1
    assert counted(ledger)[0] == 3
    twice = ledger.execute(
        "SELECT count(DISTINCT external_id) FROM receipt"
        " WHERE contribution_id = 'github-ville-idees:issue-1'"
    ).fetchone()[0]
    assert twice == 2, "issue 10 repeats issue 1: a receipt, no contribution"


def test_a_reading_that_was_stored_but_not_noted_is_no_second_one(hub, load, ledger):
    """The process may end between the two; the next reading finds the same bytes."""
    load()
    before = counted(ledger)
    ledger.execute("DELETE FROM web_source")

    assert load()["added"] == 0
    assert counted(ledger) == before


def test_pages_are_followed_to_the_last(hub, load, ledger):
    hub.page_size, hub.issues = 2, [issue(number) for number in range(1, 6)]

    assert load()["added"] == 5
    assert len(hub.site.seen) == 3


def test_a_broken_entry_is_set_aside_with_its_reason(hub, load, ledger):
    hub.issues.append("pas une entrée")

    assert load()["broken"] == 1
    detail = ledger.execute("SELECT reason, detail FROM quarantine").fetchone()
    assert detail[0] == "wrong_type"
    assert counted(ledger)[:2] == (2, 2)


def test_discussions_are_read_where_they_are_asked_for(hub, load, ledger):
    hub.connection.extra = json.dumps(
        {
            "repository": [REPOSITORY],
            "kinds": ["issues", "discussions"],
            "allowed": [hub.site.endpoint],
        }
    )
    hub.discussions = ["La salle des fêtes est fermée en hiver."]

    assert load()["added"] == 3
    assert (load()["unchanged"], counted(ledger)[0]) == (2, 3)


FAULTS = {
    "error_500": page(b"oops", 500),
    "broken_json": page(b'[{"number": 1, "ti'),
    "cut_off": page(b"[", Content_Length="500"),
    "no_list": page(b'{"message": "?"}'),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_bad_answer_stores_nothing_and_is_tried_again(hub, load, ledger, instance, fault):
    """Half a reading would look like a repository whose other issues are gone."""
    hub.page_size = 1
    hub.faults = [fault]

    with pytest.raises(ProcessingError, match=REPOSITORY):
        load()
    assert counted(ledger) == (0, 0, 0)
    assert ledger.execute("SELECT count(*) FROM web_source").fetchone()[0] == 0

    instance.try_number = 2
    assert load()["added"] == 2


def test_a_page_that_fails_in_the_middle_stores_nothing(hub, load, ledger, instance):
    hub.page_size = 1
    first = hub.answer_issues

    def second_fails(request):
        first(request) if "page=2" not in request.path else page(b"", 502)(request)

    hub.site.pages[ISSUES] = second_fails

    with pytest.raises(ProcessingError, match="502"):
        load()
    assert counted(ledger) == (0, 0, 0)


def test_a_short_wait_is_handed_to_the_retry_policy(hub, load, ledger):
    hub.faults = [page(b"{}", 403, Retry_After="7")]

    with pytest.raises(ProcessingError) as caught:
        load()

    assert caught.value.cause.retry_after_s == 7


def test_a_long_wait_is_left_to_a_later_load(hub, load, ledger):
    """It is noted, so that no load before that asks at all."""
    reset = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(time.time()) + 1800)}
    hub.faults = [page(b"{}", 403, **reset)]

    with pytest.raises(AirflowSkipException, match=r"left alone for 1[78]\d\d s"):
        load()
    with pytest.raises(AirflowSkipException, match="left alone for"):
        load()
    assert len(hub.site.seen) == 1

    ledger.execute("UPDATE web_source SET not_before = now() - interval '1 second'")
    assert load()["added"] == 2


def test_a_repository_that_is_refused_costs_no_other(hub, load, ledger):
    hub.connection.extra = json.dumps(
        {"repository": ["ville/absente", REPOSITORY], "allowed": [hub.site.endpoint]}
    )

    with pytest.raises(ProcessingError, match="status 404"):
        load()

    assert counted(ledger) == (2, 2, 0)


def test_a_repository_that_nobody_can_read_costs_no_other(hub, load, ledger, monkeypatch, caplog):
    """Whatever its answer does to its reader; and no word of the answer is repeated."""
    hub.connection.extra = json.dumps(
        {"repository": ["ville/etrange", REPOSITORY], "allowed": [hub.site.endpoint]}
    )
    read, words = github.read_issues, "Mon voisin"

    def stumble(client, repository, *others):
        if repository == "ville/etrange":
            raise KeyError(words)
        return read(client, repository, *others)

    monkeypatch.setattr(github, "read_issues", stumble)

    with pytest.raises(ProcessingError, match="reading failed with KeyError") as caught:
        load()

    assert counted(ledger) == (2, 2, 0)
    assert "in stumble" in caplog.text
    assert words not in caplog.text + cause_chain(caught.value)


def test_without_a_connection_it_is_skipped(load, no_connection, metrics_of, ledger):
    with pytest.raises(AirflowSkipException, match="no connection participation_github"):
        load()
    assert metrics_of(ledger)[0][:2] == ("load_github", "skipped")


def test_a_load_of_one_folder_leaves_github_alone(hub, load):
    with pytest.raises(AirflowSkipException, match="only a folder"):
        load("2026-01")
    assert hub.site.seen == []


@pytest.mark.parametrize(
    "extra", [{}, {"repository": "sans-nom"}, {"repository": REPOSITORY, "kinds": ["wiki"]}]
)
def test_a_connection_that_names_nothing_says_what_to_write(hub, load, extra):
    hub.connection.extra = json.dumps(extra)

    with pytest.raises(ProcessingError, match=r"repositor|kinds"):
        load()


def test_the_inbox_loads_and_is_announced_while_github_fails(
    hub, load, ledger, instance, tmp_path, monkeypatch
):
    """Both are announced by whoever comes first, and neither waits for the other."""
    hub.faults = [page(b"", 500)]
    with pytest.raises(ProcessingError):
        load()
    line = {"id": 1, "text": "Le quai est sale.", "date": "2026-01-12"}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    monkeypatch.setenv("PARTICIPATION_INBOX", str(tmp_path))
    assert Settings().inbox == tmp_path
    instance.task_id = "load"
    with steps.visit("load") as here:
        assert contribution_tasks.load_inbox(here)["added"] == 1
    instance.task_id = "load_github"
    assert load()["added"] == 2

    instance.task_id = "announce_github"
    events = OutletEventAccessors()
    with steps.visit("announce") as here:
        contribution_tasks.announce_days(here, EMITTER, events)

    assert events[CONTRIBUTIONS].partition_keys == {"2026-01-12", "2026-01-20"}


LATE_EVENING = 1768865400  # 2026-01-19 23:30 UTC, already the 20th in Paris


def test_a_facebook_export_comes_in_through_the_inbox(ledger, instance, tmp_path, monkeypatch):
    """Bytes torn to letters, an unusable entry, names left out: rows, receipts, quarantine, books."""
    torn = "Le marché d’été manque d’ombre.".encode().decode("latin-1")
    entry = {"timestamp": LATE_EVENING, "title": "Jeanne Le Gall updated her status."}
    posts = [
        {**entry, "data": [{"post": torn}]},
        {**entry, "data": [{"post": ["rien"]}]},
    ]
    (tmp_path / "your_posts_1.json").write_text(json.dumps(posts))
    monkeypatch.setenv("PARTICIPATION_INBOX", str(tmp_path))
    instance.dag_id, instance.task_id = "load_contributions", "load"

    with steps.visit("load") as here:
        told = contribution_tasks.load_inbox(here)

    assert (told["records"], told["broken"], told["added"]) == (1, 1, 1)
    row = ledger.execute(
        "SELECT source, constat_factuel, received_on, metadata::text FROM contribution"
    ).fetchone()
    assert row[:3] == ("your-posts-1", "Le marché d’été manque d’ombre.", DAY)
    assert "Jeanne" not in str(ledger.execute("SELECT raw FROM quarantine").fetchall()) + row[3]
    assert books.reconcile(ledger, TOWN, DAY)["submitted"] == 1
    with steps.visit("load") as here:
        again = contribution_tasks.load_inbox(here)
    assert (again["unchanged"], counted(ledger)) == (1, (1, 1, 1))
