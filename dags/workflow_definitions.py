"""# Definitions of named workflows

Makes no DAG. It fails to import while a file of `include/workflows` is wrong, so that Airflow shows an
import error with each bad file, its line and what to do, while the dags of the good ones go on in
`workflows.py`: an error there would make every one of them stale.
"""

from participation.workflow_dags import refuse_bad_definitions

refuse_bad_definitions()
