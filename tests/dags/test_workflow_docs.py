"""docs/workflows.md says what is so."""

import re
from pathlib import Path

import pytest

pytest.importorskip("airflow", reason="DAG tests need Airflow")

from include.processing.definition import read_definition
from participation.workflow_dags import workflow_dag
from participation.workflow_registry import REGISTRY

PAGE = (Path(__file__).parents[2] / "docs" / "workflows.md").read_text(encoding="utf-8")


def test_the_example_is_a_workflow(tmp_path):
    """It is read, and becomes a DAG."""
    (written,) = re.findall(r"```yaml\n(name: .*?)```", PAGE, flags=re.DOTALL)
    path = tmp_path / "paper-to-register.yaml"
    path.write_text(written)

    dag = workflow_dag(read_definition(path, REGISTRY))

    assert dag.task_ids == ["take", "sniff", "read", "look", "ask_register", "tell", "finish"]


def test_every_processor_is_listed_with_what_it_takes_and_gives():
    for name, each in REGISTRY.items():
        takes = ", ".join(
            f"`{key}`" if needed else f"`{key}`?" for key, needed in each.takes.items()
        )
        gives = ", ".join(f"`{key}`" for key in sorted(each.gives))
        assert f"| `{name}` | {takes} | {gives} |" in PAGE, name
