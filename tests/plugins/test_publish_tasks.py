"""Publishing to Opik: what is taken, what is kept back, and a green task whatever the site does."""

import json
import threading
from uuid import UUID

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowSkipException

from include.documents import opik
from participation import publish_tasks, steps
from participation.ledger.datasets import Example, LedgerDatasets
from tests.stub_site import page, running

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
KEY = "a-very-secret-key"
DATASETS, ITEMS = "/opik/api/v1/private/datasets", "/opik/api/v1/private/datasets/items"


class Opik:
    """Keeps datasets and items by their ids, as Opik does; ``faults`` answer first, each once."""

    def __init__(self, site):
        self.site = site
        self.datasets = {}
        self.items = {}
        self.faults = []
        site.pages[DATASETS] = self.answering(self.create)
        site.pages[ITEMS] = self.answering(self.put)

    def answering(self, act):
        def answer(request):
            seen = self.site.seen[-1]
            fault = self.faults.pop(0) if self.faults else None
            if fault is not None:
                if fault == "lost":  # it was done, and nobody heard of it
                    act(json.loads(seen.body))
                    page(b"", 503)(request)
                    return
                fault(request)
                return
            page(b"", act(json.loads(seen.body)))(request)

        return answer

    def create(self, content):
        if content["name"] in self.datasets:
            return 409
        assert UUID(content["id"]).version == 7
        self.datasets[content["name"]] = content
        return 201

    def put(self, content):
        assert content["dataset_name"] in self.datasets
        for item in content["items"]:
            assert UUID(item["id"]).version == 7
            assert item["source"] == "sdk"
            self.items[item["id"]] = item["data"]
        return 204


@pytest.fixture
def site(nearby, monkeypatch):
    with running() as stub:
        connection = Connection(
            conn_id="participation_opik",
            conn_type="http",
            host=stub.url("/opik/api"),
            password=KEY,
            extra=json.dumps({"workspace": "mairie"}),
        )
        monkeypatch.setattr(BaseHook, "get_connection", lambda _conn_id: connection)
        yield Opik(stub)


@pytest.fixture
def publish(ledger, instance):
    instance.dag_id, instance.task_id = "dataset_creation", "publish"

    def run():
        with steps.visit("publish") as here:
            return publish_tasks.publish(here)

    return run


@pytest.fixture
def add(ledger):
    """Put a version of some examples on record; every tenth is a citizen's."""

    def add(content_hash, count=20):
        examples = [
            Example(
                "train",
                {
                    "text": f"{content_hash} {n}",
                    "contribution_id": f"c{n}" if n % 10 == 3 else None,
                    "group_id": f"g{n}",
                },
            )
            for n in range(count)
        ]
        datasets = LedgerDatasets(ledger, TOWN)
        return datasets.add("documents", content_hash, examples, provenance={})

    return add


def test_a_version_is_published_once_without_citizens_words(site, publish, add):
    add("h1")

    told = publish()

    assert told == {"published": [1], "sent": 18, "kept_back": 2, "warnings": []}
    assert list(site.datasets) == [f"{TOWN}-documents-v1"]
    assert site.datasets[f"{TOWN}-documents-v1"]["visibility"] == "private"
    assert {each["text"] for each in site.items.values()} == {
        f"h1 {n}" for n in range(20) if n % 10 != 3
    }
    headers = site.site.seen[0].headers
    assert (headers["authorization"], headers["comet-workspace"]) == (KEY, "mairie")
    asked = len(site.site.seen)
    with pytest.raises(AirflowSkipException, match="every version is at"):
        publish()
    assert len(site.site.seen) == asked


FAULTS = {
    "wait": page(b"{}", 429, Retry_After="900"),
    "quota": page(b'{"code": "insufficient_quota"}', 429),
    "refused": page(f"no such key {KEY}".encode(), 401),
    "moved": page(b"", 302, Location="http://192.0.2.1/"),
    "broken_off": page(b"{", 200, Content_Length="900"),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_failing_site_is_a_warning_and_the_next_run_goes_on(site, publish, add, ledger, fault):
    """The task is green, the docket and the ledger say why, and nothing is sent twice over."""
    add("h1")
    site.faults = [None, *[fault] * 3]

    told = publish()

    assert (told["published"], len(told["warnings"])) == ([], 1)
    assert KEY not in str(told) + str(
        ledger.execute("SELECT warning FROM dataset_publication").fetchall()
    )
    site.faults = []
    assert publish()["published"] == [1]
    assert len(site.items) == 18
    assert ledger.execute(
        "SELECT sent_count, next_position, warning, published_at IS NOT NULL"
        " FROM dataset_publication"
    ).fetchone() == (18, 20, None, True)


@pytest.mark.parametrize("fault", [page(b"", 500), page(b"{}", 429, Retry_After="0"), "lost"])
def test_what_passes_by_itself_is_tried_again_in_the_call(site, publish, add, fault):
    """Also an answer that got lost: what was done is done once."""
    add("h1")
    site.faults = [fault, fault, None, fault]

    told = publish()

    assert (told["published"], told["warnings"], len(site.items)) == ([1], [], 18)


def test_a_run_goes_on_where_the_one_before_stopped(site, publish, add, monkeypatch):
    monkeypatch.setattr(opik, "BATCH_ITEMS", 5)
    add("h1")
    site.faults = [None, None, page(b"", 401)]
    assert publish()["sent"] == 5
    asked = len(site.site.seen)

    told = publish()

    assert (told["sent"], told["published"]) == (13, [1])
    texts = [
        item["data"]["text"]
        for seen in site.site.seen[asked:]
        for item in json.loads(seen.body).get("items", [])
    ]
    assert texts[0] == "h1 6", "h1 3 is a citizen's; 0 to 5 were taken before"


def test_a_version_that_failed_is_sent_before_the_next(site, publish, add):
    add("h1")
    site.faults = [page(b"", 401)]
    assert publish()["published"] == []
    add("h2")

    assert publish()["published"] == [1, 2]


def test_a_version_that_is_refused_for_itself_holds_up_no_other(site, publish, add):
    """Key and workspace were taken: the next version is another matter."""
    add("h1")
    site.faults = [page(b"", 401)]
    publish()
    add("h2")
    site.faults = [None, page(b"too long", 413)]

    told = publish()

    assert (told["published"], len(told["warnings"])) == ([2], 1)
    assert publish()["published"] == [1]


def test_a_site_connected_late_gets_the_newest_version_alone(site, publish, add):
    add("h1")
    add("h2")

    assert publish()["published"] == [2]


def test_a_site_that_never_answers_is_left_at_the_deadline(site, publish, add, monkeypatch):
    monkeypatch.setattr(opik, "DEADLINE_S", 0.3)
    over = threading.Event()
    add("h1")
    site.faults = [lambda _request: over.wait(30)] * 3

    told = publish()
    over.set()

    assert "ProviderUnavailableError" in told["warnings"][0]


def test_a_run_whose_time_is_over_leaves_the_rest(site, publish, add, monkeypatch):
    monkeypatch.setattr(publish_tasks, "BUDGET_S", -1.0)
    add("h1")

    told = publish()

    assert "the next run sends the rest" in told["warnings"][0]
    assert site.items == {}


def test_a_wrong_address_is_a_warning(publish, add, monkeypatch):
    connection = Connection(conn_id="participation_opik", conn_type="http", host="ftp://x")
    monkeypatch.setattr(BaseHook, "get_connection", lambda _conn_id: connection)
    add("h1")

    assert "http(s) address" in publish()["warnings"][0]


def test_without_a_connection_it_is_skipped(publish, no_connection):
    with pytest.raises(AirflowSkipException, match="no connection participation_opik"):
        publish()


def test_what_leaves_the_house_names_nobody():
    """Provenance stays, persons and their numbers do not."""
    content = {"document_id": "a", "text": "Contact : Mme Marie Le Goff, 06 12 34 56 78."}

    sent = publish_tasks._without_persons(content)

    assert sent["document_id"] == "a"
    assert "Goff" not in sent["text"]
    assert "06 12" not in sent["text"]
