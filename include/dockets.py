"""What travels between tasks: ids, counts and a summary, small and clean; the goods stay in the ledger."""

import json
from collections.abc import Mapping
from typing import Any

from include.errors import PermanentError

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
    if b"\\u0000" in encoded:
        raise PermanentError(f"docket {sorted(entries)}: holds a NUL character")
    return entries


def fits(entries: Mapping[str, Any]) -> bool:
    """Say whether the entries would make a docket."""
    try:
        docket(**entries)
    except PermanentError:
        return False
    return True
