"""Where the tests find real inputs: kept beside the project, never in it."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def shared_data(name: str) -> Path:
    """A folder of real inputs by its name; skips the test, with the reason, where it is missing."""
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(
            f"real inputs are kept beside the project, never in it: no ../shared/data/{name}"
        )
    return folder


def shared_documents() -> Path:
    """The town's own papers; skips the test where they are missing."""
    return shared_data("documents")
