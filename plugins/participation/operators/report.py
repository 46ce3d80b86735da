"""Write the day's report and link it from the run."""

import logging
from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink

from include.contributions import report
from include.contributions.model import STATES
from include.dockets import docket
from participation.days import run_day, yesterday
from participation.ledger import figures
from participation.ledger.reports import save_report
from participation.ledger.review import wake
from participation.steps import visit

REPORT_URL = "/participation/reports"

log = logging.getLogger(__name__)


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

    def execute(self, context: Any) -> dict[str, Any]:
        """Write the files, note them in the ledger and return their docket.

        The report of an ordinary run wakes those who ask people; a backfill of the past does not.

        Raises:
            ReconciliationError: The page's numbers differ from the recount; nothing was written.
        """
        with visit("report") as here:
            day = run_day(self.day) or yesterday()
            here.works_on(day)
            here.item = day.isoformat()
            municipality = here.settings.municipality
            page = figures.checked_day_report(here.connection, municipality, day)
            numbers = report.figures_of(page)
            files = report.write(page, here.settings.reports)
            with here.connection.transaction():
                save_report(
                    here.connection,
                    municipality,
                    day,
                    html_path=str(files.html),
                    markdown_path=str(files.markdown),
                    figures=numbers,
                    dag_id=here.attempt.dag_id,
                    run_id=here.attempt.run_id,
                )
                if not is_backfill(context):
                    wake(here.connection, municipality, "report")
            self.written_day = day.isoformat()
            counts = {state: numbers[state] for state in STATES}
            log.info(
                "report of %s: %s received, %s, at %s", day, page.submitted, counts, files.html
            )
            return docket(
                day=day.isoformat(),
                url=f"{REPORT_URL}/{day.isoformat()}",
                **counts,
            )


def is_backfill(context: Any) -> bool:
    """Say whether a run is one of a backfill."""
    kind = getattr(context.get("dag_run"), "run_type", "")
    return str(getattr(kind, "value", kind)).startswith("backfill")
