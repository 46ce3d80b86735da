"""Rebuild ``include/data/precision.json``: how often each rule is right on the labelled samples.

A judgement is right when its outcome is among those that the sample accepts; a category, when it is
among the sample's. The samples are read with the citizen's category and without it, since an engine
must answer both. Run it after every change of rules or data: ``python bench/precision.py``.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from include.contributions.model import Article, Contribution, Decision  # noqa: E402 - the path first
from include.contributions.precision import DEFAULT_TABLE, PrecisionTable  # noqa: E402
from include.contributions.reviewer import EmbeddedReviewer  # noqa: E402
from include.contributions.scoring import SAMPLES_PATH, Sample, load_samples  # noqa: E402
from include.municipality import load_municipality  # noqa: E402


def judgements(reviewer: EmbeddedReviewer, sample: Sample) -> Iterator[tuple[str, bool]]:
    """Yield each rule that answered for a sample, and whether it was right."""
    validation = reviewer.validate(sample.contribution)
    right = validation.decision in sample.expected_decisions
    if validation.decision is Decision.REFUSAL_PROPOSED:
        for violation in validation.violations:
            yield f"refus.{Article(violation.article)}", right
    elif validation.decision is Decision.REVIEW:
        yield f"review.{validation.review_reason}", right
    else:
        yield reviewer.acceptance_rule(sample.contribution), right
    if not sample.expected_categories:
        return
    for contribution in (sample.contribution, undeclared(sample.contribution)):
        classification = reviewer.classify(contribution)
        named = classification.category in sample.expected_categories
        yield reviewer.category_rule(contribution), named


def undeclared(contribution: Contribution) -> Contribution:
    """Return the same text without the citizen's category."""
    return replace(contribution, category=None)


def main() -> None:
    """Measure, write the table and print it."""
    reviewer = EmbeddedReviewer(load_municipality(), PrecisionTable({}))
    fired: Counter[str] = Counter()
    correct: Counter[str] = Counter()
    for sample in load_samples(SAMPLES_PATH):
        for rule, right in judgements(reviewer, sample):
            fired[rule] += 1
            correct[rule] += right
    rules = {name: {"correct": correct[name], "fired": fired[name]} for name in sorted(fired)}
    content = {"samples": SAMPLES_PATH.name, "rules": rules}
    DEFAULT_TABLE.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
    for name, row in rules.items():
        print(f"{row['correct']:>4} / {row['fired']:<4} {name}")


if __name__ == "__main__":
    main()
