"""# Definitions of named workflows

Holds no DAG. While a file of `include/workflows` is wrong this one fails to import, and Airflow shows an
import error that names each bad file, its line and what to do. It is a file of its own because an error in
`workflows.py` would make every DAG there stale, the good ones too.
"""

from participation.workflow_dags import refuse_bad_definitions

refuse_bad_definitions()
