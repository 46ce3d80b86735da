"""Where the town's own papers are, for the tests that need them; they are no part of the repository."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def shared_documents() -> Path:
    """Name the folder of the town's documents, or skip the test and say why."""
    given = os.environ.get("PARTICIPATION_SHARED_DATA")
    folder = (Path(given) if given else ROOT.parent / "shared" / "data") / "documents"
    if not folder.is_dir():
        pytest.skip(f"the town's documents are not at {folder} (PARTICIPATION_SHARED_DATA)")
    return folder
