"""What a named workflow may be made of: processors by name, with what they take and what they give."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StepProcessor:
    """A processor that a definition may name.

    It gives the same result for the same inputs when called again, and its result is JSON.

    Attributes:
        says: One sentence for the task's page.
        takes: Its inputs, and whether each is required.
        gives: The fields of its result.
        asks_model: Whether it may ask a language model; its tasks then take turns.
        run: Is given the inputs and the surroundings of the run (for ours: the ledger as it is open
            for one attempt), and returns the result.
    """

    says: str
    takes: Mapping[str, bool]
    gives: frozenset[str]
    run: Callable[[Mapping[str, Any], Any], Mapping[str, Any]]
    asks_model: bool = False


Registry = Mapping[str, StepProcessor]
