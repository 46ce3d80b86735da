"""What the anonymisation is known to find and to miss, for logs and pages.

The figures are written by ``make bench ARGS=anonymisation``; whoever lets texts go outside is told them.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from include.anonymisation.anonymiser import VERSION
from include.errors import ConfigurationError
from include.municipality import DATA

FILE = DATA / "anonymisation_measures.json"
SAMPLES = DATA / "anonymisation_samples.txt"

HALF = "held out"
"""The half of each set that the rules were not made on."""

TOLD = "personne"

CAVEAT = (
    "Another text may hold more that is missed: names in small letters and names that are words are found "
    "least."
)


def sentences(path: Path = FILE) -> tuple[str, ...]:
    """Say in plain English how many persons' names stayed and how many were hidden, set by set.

    Raises:
        ConfigurationError: The file of figures is missing or not in its form.
    """
    figures = measures(path)
    try:
        told = [
            sentence
            for each in figures["sets"].values()
            if (sentence := _sentence(each)) is not None
        ]
        version = figures["version"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigurationError(f"{path}: not in its form: {error!r}") from error
    if version != VERSION:
        told.insert(0, f"These figures are of {version}; the rules at work are {VERSION}.")
    return (
        *told,
        CAVEAT,
    )


@lru_cache(maxsize=4)
def measures(path: Path = FILE) -> dict[str, Any]:
    """Read the figures.

    Raises:
        ConfigurationError: The file cannot be read.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    return found


def _sentence(each: dict[str, Any]) -> str | None:
    if "skipped" in each:
        return f"{each['title']}: not measured."
    row = each["halves"].get(HALF, {}).get(TOLD)
    if row is None or row["recall"] is None:
        return None
    share, low, high = row["recall"]
    return (
        f"{each['title']}: {row['hidden']} of {row['labels']} names of persons hidden "
        f"({share:.0%}, 95 % interval {low:.0%} to {high:.0%})."
    )
