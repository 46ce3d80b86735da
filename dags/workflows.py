"""# Named workflows

One DAG per file of `include/workflows`, called `workflow_<name>`: the only file of this folder that holds
more than one. `docs/workflows.md` says how to write a definition; what is wrong with one is an import
error of `workflow_definitions.py`, so that Airflow keeps the others.
"""

from participation.workflow_dags import workflow_dag
from participation.workflow_registry import definitions

for _definition in definitions()[0]:
    globals()[_definition.dag_id] = workflow_dag(_definition)
