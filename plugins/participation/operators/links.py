"""From a task of ours to the pages about what it worked on."""

from typing import Any
from urllib.parse import urlencode

from airflow.sdk import BaseOperator, BaseOperatorLink

TAG = "participation"
"""Every DAG of this project carries it; on others the link is not shown."""


class PagesLink(BaseOperatorLink):
    """Open the page about a task instance: its attempts, and what each worked on."""

    name = "Participation"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the address of the page; empty for a task of another project's DAG.

        Asked of the API server, with the operator as it was serialised.
        """
        dag = operator.dag
        if dag is None or TAG not in dag.tags:
            return ""
        asked = {
            "dag_id": ti_key.dag_id,
            "task_id": ti_key.task_id,
            "run_id": ti_key.run_id,
            "map_index": ti_key.map_index,
        }
        return f"/participation/tasks/attempts?{urlencode(asked)}"
