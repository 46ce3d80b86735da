"""What the figures of the search say decides how rankings are joined."""

import pytest

pytest.importorskip("numpy", reason="needs numpy")

from bench.search_quality import measure
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine


def test_rankings_are_joined_by_default_only_where_that_helps():
    """With every dense engine that can be tried here, and however the texts are cut."""
    sizes = measure()["sizes"].values()
    helps = [
        row["recall"] >= methods["BM25"]["recall"] and row["mrr"] >= methods["BM25"]["mrr"]
        for methods in (size["methods"] for size in sizes)
        for name, row in methods.items()
        if name.endswith("joined")
    ]

    assert len(helps) == 4
    assert OpenAICompatibleEngine("http://127.0.0.1/v1", "m", 1).is_fused == all(helps)
