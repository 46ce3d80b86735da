"""# Wording suggestion

Asks the connected language model for another wording of some contributions, which keeps the citizen's
meaning and leaves out what hurts. A suggestion is shown beside the original and never replaces it.

* **Reads** `contribution`. **Writes** `wording_suggestion`: the suggestion, or the reason why there is
  none (a new fact, a new name, another text, worse by the rules, not sent because somebody could still be
  recognised).
* **Never automatic**: started by hand or by REST for the ids in its form, at most 50 a run.
* **Only with the connection** `participation_llm`; without it the run is skipped and says so. An outside
  provider gets the anonymised text. What a model costs counts in the day's budget of its connection.
* **Safe to run again**: a text is asked about once per model and prompt.

**When it is red**: the task names the provider's answer; clear it once that is mended, what was suggested
stays.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, dag

from participation import wording_tasks
from participation.defaults import DAG_DEFAULTS, late_after
from participation.settings import Settings
from participation.steps import Visit, step_task


@dag(
    schedule=None,
    catchup=False,
    max_active_runs=2,
    params={
        "ids": Param(
            [],
            type="array",
            items={"type": "string", "minLength": 1, "maxLength": 500},
            minItems=1,
            maxItems=wording_tasks.MAX_TEXTS,
            title="Contribution ids",
            description="Suggest another wording of these, e.g. formulaire-site:form-020.",
        ),
    },
    default_args=DAG_DEFAULTS,
    deadline=late_after(60),
    doc_md=__doc__,
    tags=["participation", "contributions"],
    dag_display_name="Wording suggestion",
)
def wording_suggestion() -> None:
    @step_task(pool=Settings().llm_pool, execution_timeout=timedelta(minutes=30))
    def suggest(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask for a wording of each text and keep what holds; skipped without a connected model."""
        return wording_tasks.suggest(visit, (params or {})["ids"])

    suggest()


wording_suggestion()
