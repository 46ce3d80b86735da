"""Import what every task needs and build the reviewer, for the server that tasks are forked from."""

from include.contributions.reviewer import embedded_reviewer
from participation.operators import report  # noqa: F401 - with it comes all that a task imports
from participation.settings import Settings

embedded_reviewer(Settings().municipality)
