"""How often each rule is right, measured on labelled samples: where confidence comes from."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from include.errors import ConfigurationError

DEFAULT_TABLE = Path(__file__).parent.parent / "data" / "precision.json"


@dataclass(frozen=True)
class PrecisionTable:
    """For each rule, how often it fired on labelled samples and how often it was right.

    >>> table = PrecisionTable({"accept.lieu": (97, 98)})
    >>> table.confidence("accept.lieu"), table.confidence("never measured")
    (0.98, 0.5)
    """

    counts: Mapping[str, tuple[int, int]]

    def confidence(self, rule: str) -> float:
        """Precision of a rule, drawn towards one half by two imagined samples.

        A rule right 3 times of 3 is no certainty; one that was never seen is worth a coin.
        """
        correct, fired = self.counts.get(rule, (0, 0))
        return round((correct + 1) / (fired + 2), 4)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the figures, whatever the form of the file."""
        return hashlib.sha256(json.dumps(sorted(self.counts.items())).encode()).hexdigest()


def load_precision(path: Path = DEFAULT_TABLE) -> PrecisionTable:
    """Read the table.

    Raises:
        ConfigurationError: The file is missing or not in its form.
    """
    try:
        rules = json.loads(path.read_text("utf-8"))["rules"]
        counts = {name: (int(row["correct"]), int(row["fired"])) for name, row in rules.items()}
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{path}: cannot be read: {error!r}; run bench/precision.py"
        ) from error
    return PrecisionTable(counts)
