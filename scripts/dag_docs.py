"""Write ``docs/dags.md`` from the DAGs, so that the page cannot differ from what runs.

``python scripts/dag_docs.py`` writes it; with ``--check`` it only says whether it is current.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "dags.md"


def page() -> str:
    """Build the page: one section per DAG, as its module describes it, and a table of its tasks.

    Raises:
        RuntimeError: A DAG file does not import.
    """
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - needs the settings of main()

    bag = DagBag(dag_folder=str(PROJECT / "dags"))
    if bag.import_errors:
        raise RuntimeError(f"DAG files that do not import: {bag.import_errors}")
    sections = [_section(bag.dags[dag_id]) for dag_id in sorted(bag.dags)]
    head = "# DAGs\n\nWritten by `make docs` from the DAG files; do not edit.\n"
    return "\n".join([head, *sections])


def _section(dag: Any) -> str:
    body = (dag.doc_md or "").strip().removeprefix("#").lstrip()
    title, _, text = body.partition("\n")
    lines = [f"## `{dag.dag_id}`: {title}", "", text.strip(), ""]
    lines += [f"*Schedule*: {_schedule(dag)}. *Tags*: {', '.join(sorted(dag.tags))}.", ""]
    if dag.params:
        lines += ["| parameter | what it means |", "|---|---|"]
        lines += [f"| `{name}` | {_param(dag.params.get_param(name))} |" for name in dag.params]
        lines.append("")
    lines += ["| task | after | what it does |", "|---|---|---|"]
    lines += [_task_row(task) for task in dag.topological_sort()]
    return "\n".join(lines) + "\n"


def _schedule(dag: Any) -> str:
    timetable = dag.timetable
    expression = getattr(timetable, "expression", None)
    if expression:
        return f"`{expression}` ({timetable.timezone})"
    condition = timetable.asset_condition
    if not condition:
        return "by hand"
    keyed = "one run per key of" if "Partition" in type(timetable).__name__ else "events of"
    assets = getattr(condition, "objects", [condition])
    named = ", ".join(f"`{asset.name}`" for asset in assets)
    net = getattr(timetable, "timetable", None)
    also = f", and `{net.expression}` ({net.timezone})" if net else ""
    return f"{keyed} {named}{also}"


def _param(param: Any) -> str:
    return f"{param.schema.get('title', '')}: {param.description}".removeprefix(": ")


def _task_row(task: Any) -> str:
    first = (task.doc_md or "").strip().split("\n\n")[0].replace("\n", " ")
    after = ", ".join(f"`{name}`" for name in sorted(task.upstream_task_ids)) or "—"
    return f"| `{task.task_id}` | {after} | {' '.join(first.split())} |"


def main(arguments: list[str]) -> int:
    """Write or check the page; 1 when it is not current."""
    with tempfile.TemporaryDirectory() as home:
        os.environ |= {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        }
        sys.path[:0] = [str(PROJECT), str(PROJECT / "plugins")]
        written = page()
    if "--check" in arguments:
        return 0 if PAGE.exists() and PAGE.read_text(encoding="utf-8") == written else 1
    PAGE.write_text(written, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PROJECT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
