"""The Airflow plugin ``participation``: daily reports and documents in the UI, and links to them.

The package ``participation`` beside this file is imported by name; ``.airflowignore`` keeps Airflow
from loading its modules a second time under their bare file names.
"""

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from participation.deadlines import RunQueuedAt
from participation.operators.report import ReportLink


class ParticipationPlugin(AirflowPlugin):
    """Pages under ``/participation`` and links to them."""

    name = "participation"
    deadline_references = [RunQueuedAt]  # noqa: RUF012 - as Airflow declares it
    operator_extra_links = [ReportLink()]  # noqa: RUF012 - as Airflow declares it
    external_views = [  # noqa: RUF012 - as Airflow declares it
        {
            "name": "Reports",
            "href": "/participation/reports",
            "url_route": "participation-report",
            "destination": "nav",
            "nav_top_level": True,
        },
        {
            "name": "Documents",
            "href": "/participation/documents",
            "url_route": "participation-documents",
            "destination": "nav",
            "nav_top_level": True,
        },
        {
            "name": "Report",
            "href": "/participation/runs/report?dag_id={DAG_ID}&run_id={RUN_ID}",
            "url_route": "participation-run-report",
            "destination": "dag_run",
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
