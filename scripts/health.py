"""What is known about the life of a process: when it was heard of, whether it works, how often it ended.

Only figures and times go in, so that nothing here needs a process.
"""

from dataclasses import dataclass

SILENCE_LIMIT_S = 45.0
"""Whoever is silent for longer and does not work either (no processor time) hangs."""

START_LIMIT_S = 120.0
"""The same for one that was never heard of since it started: importing Airflow takes seconds."""

BUSY_FACTOR = 4
"""One that still works may be slow on a loaded machine; after so many times longer it hangs too."""

BUSY_S = 0.02
"""Processor time between two looks that is more than waking up to wait again."""

STEADY_AFTER_S = 60.0
"""Whoever lived this long did not fail to start: the next restart is immediate again."""

MAX_DELAY_S = 30.0
"""The longest wait before one that keeps ending is started again."""


@dataclass
class Health:
    """Signs of life of one component, over all its restarts; times are of the monotonic clock.

    Attributes:
        started_at: When its process was started last.
        heard_at: When it was heard of last.
        failures: Ends in a row without a steady life before them.
        was_well: Whether it was ever heard of.
        worked_s: Processor time of its process when that was last asked.
        is_busy: Whether it used the processor between the last two looks.
    """

    started_at: float = 0.0
    heard_at: float = 0.0
    failures: int = 0
    was_well: bool = False
    worked_s: float = 0.0
    is_busy: bool = True

    def note_heard(self, at: float) -> None:
        """Note a sign of life."""
        self.heard_at = at
        self.was_well = True

    def forgive_silence(self, now: float) -> None:
        """Nobody could be heard until now: count the silence from here."""
        self.heard_at = now

    def note_work(self, worked_s: float) -> None:
        """Note the processor time used so far, and with it whether there was any since last time."""
        self.is_busy = worked_s - self.worked_s > BUSY_S
        self.worked_s = worked_s

    def silence_s(self, now: float) -> float | None:
        """Seconds since the last sign of life when that is too long, None while all is well."""
        known = self.heard_at > self.started_at
        idle_limit = SILENCE_LIMIT_S if known else START_LIMIT_S
        limit = idle_limit * BUSY_FACTOR if self.is_busy else idle_limit
        silent = now - max(self.heard_at, self.started_at)
        return silent if silent > limit else None

    def backed_off_s(self, now: float) -> float:
        """Count an end and say how long to wait before the next start."""
        self.failures = 0 if now - self.started_at > STEADY_AFTER_S else self.failures + 1
        return min(MAX_DELAY_S, 2.0**self.failures - 1) if self.failures else 0.0
