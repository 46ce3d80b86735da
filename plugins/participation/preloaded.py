"""Import what every task needs and warm up the reviewer, for the server that tasks are forked from.

That server survives an import that is missing, and nothing else: an error in here would take down
everything that wants to fork a task.
"""

import gc
import importlib
import logging

from include.contributions.reviewer import embedded_reviewer
from include.contributions.samples import load_samples
from include.errors import ParticipationError
from participation.settings import Settings

TASK_MODULES = (
    "participation.alert_tasks",
    "participation.callbacks",
    "participation.chunk_tasks",
    "participation.contribution_tasks",
    "participation.dataset_tasks",
    "participation.days",
    "participation.defaults",
    "participation.document_tasks",
    "participation.draft_tasks",
    "participation.embed_tasks",
    "participation.evaluation_tasks",
    "participation.experiment_tasks",
    "participation.find_tasks",
    "participation.github_tasks",
    "participation.index_tasks",
    "participation.operators.ask",
    "participation.operators.evaluation",
    "participation.operators.report",
    "participation.publish_tasks",
    "participation.review_tasks",
    "participation.settings",
    "participation.steps",
    "participation.webhook_tasks",
    "participation.wording_tasks",
    "participation.workflow_dags",
    "participation.workflow_documents",
)
"""What the DAG files import of this package; with it comes all of the domain and of the ledger."""

log = logging.getLogger(__name__)


def warm_up(municipality: str) -> bool:
    """Prepare the reviewer of a town; a town that is wrong is left for the tasks to complain about."""
    try:
        reviewer = embedded_reviewer(municipality)
        reviewer.warm_up(sample.contribution for sample in load_samples())
    except ParticipationError as error:
        log.error("tasks start without a prepared reviewer, and will say the same: %s", error)  # noqa: TRY400 - the sentence is the way out; a traceback here is of no use
        return False
    return True


for module in TASK_MODULES:
    importlib.import_module(module)
warm_up(Settings().municipality)

# What stands now stays: tasks forked from here do not search it for garbage again and again, which
# costs a quarter of a judgement, nor copy its memory by doing so.
gc.collect()
gc.freeze()
