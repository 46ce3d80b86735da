"""Write the page of an evaluation and link it from the run."""

from collections.abc import Sequence
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink

from include.dockets import docket
from participation import evaluation_tasks
from participation.steps import visit


class EvaluationLink(BaseOperatorLink):
    """Open the page that the task wrote."""

    name = "Evaluation"

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002 - Airflow's signature
        """Return the address of the page, relative to the Airflow UI."""
        written = getattr(operator, "written_id", None)
        return f"{evaluation_tasks.EVALUATIONS_URL}{f'/{written}' if written else ''}"


class PublishEvaluationOperator(BaseOperator):
    """Write the page of the run's evaluation as HTML, whether the gate was passed or not."""

    operator_extra_links: Sequence[BaseOperatorLink] = (EvaluationLink(),)
    ui_color = "#dceefb"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.written_id: int | None = None

    def execute(self, context: Any) -> dict[str, Any]:  # noqa: ARG002 - the visit reads it
        """Write the file, note it in the ledger and return its docket."""
        with visit("publish_page") as here:
            self.written_id, told = evaluation_tasks.publish_page(here)
            return docket(**told)
