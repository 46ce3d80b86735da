"""The examples of docs/examples import where their providers are installed; here they mostly are not."""

import ast
import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("airflow", reason="DAG tests need Airflow")

from airflow.dag_processing.dagbag import DagBag
from airflow.triggers.base import BaseEventTrigger

from tests.dags.test_integrity import BAG

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.py"))
NEEDED = {
    "papers_from_kafka": "airflow.providers.apache.kafka",
    "papers_from_redis": "airflow.providers.redis",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_imports_and_holds_its_dag(path):
    """Skipped where a provider is missing, and the reason says which."""
    for provider in ("airflow.providers.common.messaging", NEEDED[path.stem]):
        pytest.importorskip(provider, reason=f"needs the provider {provider}")

    bag = DagBag(dag_folder=str(path))

    assert bag.import_errors == {}
    assert set(bag.dags) == {path.stem}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_starts_a_dag_that_is_there(path):
    """And is itself none of the product's: off until somebody copies it."""
    started = [
        keyword.value.value
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "trigger_dag_id"
    ]

    assert started == ["document_intake"]
    assert set(started) <= set(BAG.dags)
    assert path.stem not in BAG.dags


class NoBroker(BaseEventTrigger):
    """Stands where the provider is missing: the example's own code is what is tried."""

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def serialize(self):
        return "NoBroker", self.options

    async def run(self):
        yield


@pytest.fixture
def kafka(monkeypatch):
    """Run the example, whether its provider is installed or not; its DAG and its asset."""
    missing = ModuleType("airflow.providers.common.messaging.triggers.msg_queue")
    missing.MessageQueueTrigger = NoBroker
    name = missing.__name__
    while name != "airflow.providers":
        monkeypatch.setitem(sys.modules, name, missing)
        name = name.rpartition(".")[0]
    found = runpy.run_path(str(EXAMPLES[0]))
    return found["papers_from_kafka"](), found["PAPERS"]


@pytest.mark.parametrize(
    ("payloads", "sizes"),
    [
        pytest.param([None, []], [], id="no_address_no_run"),
        pytest.param([["a", "b"], ["b"]], [2], id="each_once"),
        pytest.param([[f"u{n}" for n in range(450)]], [200, 200, 50], id="none_is_dropped"),
    ],
)
def test_every_address_of_kafka_reaches_an_intake(kafka, payloads, sizes):
    """An intake takes 200 addresses; one that were given none would read the whole inbox."""
    dag, papers = kafka
    events = {papers: [SimpleNamespace(extra={"payload": each}) for each in payloads]}

    runs = dag.get_task("gather").python_callable(triggering_asset_events=events)

    given = {url for payload in payloads for url in payload or []}
    limit = BAG.dags["document_intake"].params.get_param("urls").schema["maxItems"]
    assert [len(run["urls"]) for run in runs] == sizes
    assert {url for run in runs for url in run["urls"]} == given
    assert max([0, *sizes]) <= limit
    assert dag.get_task("take_in").expand_input.value["conf"].operator.task_id == "gather"
