"""The examples of docs/examples import where their providers are installed; here they mostly are not."""

import ast
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="DAG tests need Airflow")

from airflow.dag_processing.dagbag import DagBag

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
