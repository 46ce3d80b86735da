"""The Airflow plugin ``participation``: pages in the UI, tabs beside Airflow's own, and links to them.

The package ``participation`` beside this file is imported by name; ``.airflowignore`` keeps Airflow
from loading its modules a second time under their bare file names.
"""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from participation import listener
from participation.deadlines import RunQueuedAt
from participation.operators.evaluation import EvaluationLink
from participation.operators.links import PagesLink
from participation.operators.report import ReportLink

SUB_PAGES = {
    "Contributions": "contributions",
    "Questions": "review",
    "Quarantine": "quarantine",
    "Documents": "documents",
    "Search": "search",
    "Workflows": "workflows",
    "Reports": "reports",
    "Evaluations": "evaluations",
}
"""In the menu of the plugins; each is one click from the first page too."""


class ParticipationPlugin(AirflowPlugin):
    """Pages under ``/participation`` and links to them."""

    name = "participation"
    listeners = [listener]  # noqa: RUF012 - as Airflow declares it
    deadline_references = [RunQueuedAt]  # noqa: RUF012 - as Airflow declares it
    operator_extra_links = [ReportLink(), EvaluationLink()]  # noqa: RUF012 - as Airflow declares it
    global_operator_extra_links = [PagesLink()]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Participation",
            "href": "/participation/",
            "url_route": "participation",
            "destination": "nav",
            "nav_top_level": True,
        },
        *(
            {
                "name": name,
                "href": f"/participation/{page}",
                "url_route": f"participation-{page}",
                "destination": "nav",
                "category": "Participation",
            }
            for name, page in SUB_PAGES.items()
        ),
        {
            "name": "Participation",
            "href": "/participation/dags/runs?dag_id={DAG_ID}",
            "url_route": "participation-dag",
            "destination": "dag",
        },
        {
            "name": "Report",
            "href": "/participation/runs/report?dag_id={DAG_ID}&run_id={RUN_ID}",
            "url_route": "participation-run-report",
            "destination": "dag_run",
        },
        {
            "name": "Participation",
            "href": "/participation/tasks/attempts?dag_id={DAG_ID}&task_id={TASK_ID}",
            "url_route": "participation-task",
            "destination": "task",
        },
        {
            "name": "Participation",
            "href": "/participation/tasks/attempts?dag_id={DAG_ID}&task_id={TASK_ID}"
            "&run_id={RUN_ID}&map_index={MAP_INDEX}",
            "url_route": "participation-task-instance",
            "destination": "task_instance",
        },
    ]

    @property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """Import the web application only where it is served: in the API server."""
        from participation.api.app import app  # noqa: PLC0415 - tasks must not pay for FastAPI
        from participation.api.v1.app import app as api  # noqa: PLC0415 - the same

        return [
            # The first prefix that fits is taken: the longer one stands before the shorter one.
            {"app": api, "url_prefix": "/participation/api/v1", "name": "Participation API"},
            {"app": app, "url_prefix": "/participation", "name": "Participation"},
        ]
