"""Import what every task needs and warm up the reviewer, for the server that tasks are forked from."""

from include.contributions.reviewer import embedded_reviewer
from include.contributions.scoring import load_samples
from participation import index_tasks  # noqa: F401 - the same for the document workflow
from participation.operators import report  # noqa: F401 - with it comes all that a task imports
from participation.settings import Settings

embedded_reviewer(Settings().municipality).warm_up(sample.contribution for sample in load_samples())
