"""What travels between tasks: ids, counts and a summary, small and clean; the goods stay in the ledger."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from include.errors import PermanentError

_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
"""As JSON writes it; after another backslash it is the word for it, which a file may be called."""

MAX_DOCKET_BYTES = 8 * 1024
"""A larger hand-over belongs into the ledger: a retry finds it, and Airflow's database stays small."""


def docket(**entries: Any) -> dict[str, Any]:
    """Return the entries as a docket, or say why they are not one.

    Raises:
        PermanentError: Not JSON, a number that is not finite, a NUL or a lone surrogate, or more than
            8 KB; the step's results are already stored, only the hand-over is refused.

    >>> docket(chunk_id=3, results=500)
    {'chunk_id': 3, 'results': 500}
    """
    try:
        encoded = json.dumps(entries, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise PermanentError(f"docket {sorted(entries)}: {error}") from error
    if len(encoded) > MAX_DOCKET_BYTES:
        raise PermanentError(
            f"docket {sorted(entries)}: {len(encoded)} bytes, at most {MAX_DOCKET_BYTES}; "
            "store the rows in the ledger and hand over their id"
        )
    if _NUL.search(encoded):
        raise PermanentError(f"docket {sorted(entries)}: holds a NUL character")
    return entries


def fitting(name: str, items: Iterable[Any], entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return a docket of the entries and, under a name, those items for which there is room.

    >>> [len(each) for each in fitting("long", ["a" * 5_000, "b" * 5_000, "c"], {})["long"]]
    [5000, 1]
    """
    room: list[Any] = []
    for item in items:
        if fits({**entries, name: [*room, item]}):
            room.append(item)
    return docket(**entries, **{name: room})


def fits(entries: Mapping[str, Any]) -> bool:
    """Say whether the entries would make a docket."""
    try:
        docket(**entries)
    except PermanentError:
        return False
    return True
