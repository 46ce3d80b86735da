"""How far a task is, while it works: a line of the log, and what Airflow shows of it."""

import logging
import time
from typing import Any

STATE_KEY = "progress"
"""In the task state store: Airflow shows it beside the running task, under Storage."""

WRITE_EVERY_S = 2.0
"""Each write is a call to the API server, and thousands of short documents pass in a minute."""

WORKER_NAME = "{{ progress | default('worker ' ~ ti.map_index) }}"
"""Names a mapped task in the grid: its number at first, what it did at the end."""

log = logging.getLogger(__name__)


class Progress:
    """Says how far a task is.

    Args:
        context: Of the task; ``progress`` is set in it for ``map_index_template``.
        write_every_s: Least time between two writes to the task state store.
    """

    def __init__(self, context: Any, write_every_s: float = WRITE_EVERY_S) -> None:
        self.context = context
        self.write_every_s = write_every_s
        self.written_at = float("-inf")

    def say(self, sentence: str) -> None:
        """Log a sentence, and show it to whoever looks at the task unless one was just shown."""
        log.info("%s", sentence)
        if time.monotonic() - self.written_at >= self.write_every_s:
            self._show(sentence)

    def end(self, sentence: str) -> None:
        """Leave a sentence as the task's name in the grid and as its last state."""
        self.context["progress"] = sentence
        self._show(sentence)

    def _show(self, sentence: str) -> None:
        self.written_at = time.monotonic()
        store = self.context.get("task_state_store")
        if store is None:
            return
        try:  # whether it is shown must not decide whether it is done
            store.set(STATE_KEY, sentence)
        except Exception:
            log.warning("the progress cannot be shown", exc_info=True)
