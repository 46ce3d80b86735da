"""Write the day's report and link it from the run."""

import json
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink

from include.contributions import report
from include.contributions.model import STATES
from include.dockets import docket
from participation.contribution_tasks import run_day, yesterday
from participation.ledger import figures
from participation.steps import visit

REPORT_URL = "/participation/reports"


class ReportLink(BaseOperatorLink):
    """Open the report that the task wrote."""

    name = "Report of the day"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the address of the page, relative to the Airflow UI."""
        return f"{REPORT_URL}/{getattr(operator, 'written_day', '') or ''}"


class PublishReportOperator(BaseOperator):
    """Write the report of one day as HTML and Markdown, after an independent recount.

    Args:
        day: ISO day, templated; the day before today in Europe/Paris when empty.
    """

    template_fields: Sequence[str] = ("day",)
    operator_extra_links = (ReportLink(),)
    ui_color = "#dceefb"

    def __init__(self, *, day: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.day = day
        self.written_day = ""

    def execute(self, context: Any) -> dict[str, Any]:  # noqa: ARG002 - the visit reads it
        """Write the files, note them in the ledger and return their docket.

        Raises:
            ReconciliationError: The page's numbers differ from the recount; nothing was written.
        """
        with visit("report") as here:
            day = run_day(self.day or None, None) or yesterday()
            here.received_on, here.item = day, day.isoformat()
            municipality = here.settings.municipality
            page = figures.checked_day_report(here.connection, municipality, day)
            numbers = report.figures_of(page)
            files = report.write(page, here.settings.reports)
            here.connection.execute(
                "INSERT INTO report (municipality, received_on, html_path, markdown_path, figures,"
                " run_id) VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (municipality, received_on)"
                " DO UPDATE SET html_path = excluded.html_path, markdown_path ="
                " excluded.markdown_path, figures = excluded.figures, run_id = excluded.run_id,"
                " written_at = now()",
                (
                    municipality,
                    day,
                    str(files.html),
                    str(files.markdown),
                    json.dumps(numbers, allow_nan=False),
                    here.attempt.run_id,
                ),
            )
            self.written_day = day.isoformat()
            return docket(
                day=day.isoformat(),
                url=f"{REPORT_URL}/{day.isoformat()}",
                **{state: numbers[state] for state in STATES},
            )
