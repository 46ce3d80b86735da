"""# Named workflows

One DAG per file of `include/workflows`, called `workflow_<name>`: the only file with more than one DAG.
How to write one: `docs/workflows.md`. What is wrong with a file is an import error of
`workflow_definitions.py`; the others stand here. It reads as airflow does: a dag per definition.
"""

from participation.workflow_dags import definitions, workflow_dag

for _definition in definitions()[0]:
    globals()[_definition.dag_id] = workflow_dag(_definition)
