"""Engines to hold against samples: a perfect one, and several that must not pass."""

from include.contributions.model import (
    Article,
    Category,
    Classification,
    Decision,
    Evidence,
    Validation,
    Violation,
)
from include.contributions.samples import Sample
from include.errors import PermanentError


def answer(contribution, decision, confidence, rubric_version="double-1"):
    """A consistent validation of any outcome, quoting the first ten characters."""
    quote = contribution.text[:10]
    refused = decision is Decision.REFUSAL_PROPOSED
    return Validation(
        decision=decision,
        is_valid={Decision.ACCEPT: True, Decision.REFUSAL_PROPOSED: False}.get(decision),
        violations=(Violation(article=Article.SPAM, message="Publicité."),) if refused else (),
        encouraged_aspects=("proposition",) if decision is Decision.ACCEPT else (),
        reasoning="Selon la règle.",
        confidence=confidence,
        assessed={},
        evidence=(Evidence(rule="first", start=0, end=len(quote), quote=quote),),
        review_reason="asked" if decision is Decision.REVIEW else None,
        engine="double",
        rubric_version=rubric_version,
    )


def subject(category, second=None, rubric_version="double-1"):
    """A classification by the double."""
    return Classification(
        category=category,
        second_category=second,
        reasoning="Selon la règle.",
        confidence=0.9,
        engine="double",
        rubric_version=rubric_version,
    )


class SameForAll:
    """Gives every text one outcome and one category."""

    engine = "double"
    rubric_version = "double-1"

    def __init__(self, decision, confidence=0.9):
        self.decision = decision
        self.confidence = confidence

    def validate(self, contribution):
        return answer(contribution, self.decision, self.confidence, self.rubric_version)

    def classify(self, contribution):
        return subject(contribution.category or Category.ECONOMIE, None, self.rubric_version)


class KnowsTheAnswers(SameForAll):
    """Looks every sample up, spoiled or not: what a perfect engine would score."""

    def __init__(self, samples):
        super().__init__(None, 1.0)
        self.by_id = {sample.sample_id: sample for sample in samples}

    def validate(self, contribution):
        sample = self.by_id.get(contribution.contribution_id)
        decision = min(sample.expected_decisions) if sample else Decision.REVIEW
        return answer(contribution, decision, 1.0, self.rubric_version)

    def classify(self, contribution):
        sample = self.by_id.get(contribution.contribution_id)
        expected = sample.expected_categories if sample else ()
        return subject(min(expected, default="undetermined"), None, self.rubric_version)


class Raises(SameForAll):
    """Never answers."""

    def validate(self, contribution):
        raise PermanentError(f"no rules for {contribution.contribution_id}")


def sample(kind="clean", expected=("accept",), categories=(), **changes):
    """One labelled text."""
    fields = {
        "sample_id": "s",
        "constat_factuel": "Le quai est cassé.",
        "kind": kind,
        "expected_decisions": list(expected),
        "expected_categories": list(categories),
        "provenance": "test",
    }
    return Sample.from_mapping({**fields, **changes})
