import json

import pytest
import stamina

from include.contributions.model import (
    Category,
    Classification,
    Contribution,
    Decision,
    Evidence,
    Validation,
    Violation,
)
from include.contributions.processors import (
    EvaluationProcessor,
    contribution_context,
    contribution_workflow,
    judge,
)
from include.errors import PermanentError, ProcessingError, TransientError
from include.processing.model import ErrorStrategy, ProcessingContext
from include.processing.workflow import Workflow, run_step_over_items


class WordReviewer:
    """Judges by single words: ``nul`` is refused, ``port`` accepted, anything else is doubtful."""

    engine = "words"
    rubric_version = "words-1"

    def __init__(self, *errors):
        self.errors = list(errors)
        self.calls = 0

    def validate(self, contribution):
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        text = contribution.text
        word = next((word for word in ("nul", "port") if word in text), "")
        start = text.find(word)
        decision = {
            "nul": Decision.REFUSAL_PROPOSED,
            "port": Decision.ACCEPT,
            "": Decision.REVIEW,
        }[word]
        article = "attaque_personnelle_ou_discrimination"
        return Validation(
            decision=decision,
            is_valid={"nul": False, "port": True, "": None}[word],
            violations=(Violation(article=article, message="Une attaque."),)
            if word == "nul"
            else (),
            encouraged_aspects=("proposition concrète",) if word == "port" else (),
            reasoning=f"Le texte contient « {word} ».",
            confidence=0.5 + len(text) % 50 / 100,
            assessed={article: "non respecté" if word == "nul" else "respecté"},
            evidence=(Evidence(rule=word, start=start, end=start + len(word), quote=word),)
            if word
            else (),
            review_reason=None if word else "no_positive_evidence",
            engine=self.engine,
            rubric_version=self.rubric_version,
        )

    def classify(self, contribution):
        return Classification(
            category=Category.ECONOMIE if "port" in contribution.text else "undetermined",
            scores={Category.ECONOMIE: 0.75},
            reasoning="Le port.",
            confidence=0.75,
            engine=self.engine,
            rubric_version=self.rubric_version,
        )


def text_number(n):
    """One of many texts: a third each accepted, refused and doubtful."""
    constat = ("Le port est beau", "Tu es nul", "Voilà l'été")[n % 3] + " é" * (n % 40)
    ideas = "" if n % 4 else "Un banc 🌊."
    return Contribution(f"c-{n}", constat, ideas, Category.ECONOMIE if n % 5 else None)


def stored(value):
    """What comes back after a result went to the ledger as JSON."""
    return json.loads(json.dumps(value.model_dump(mode="json")))


def test_in_process_and_step_by_step_give_equal_results():
    """300 contributions judged whole, and each step over chunks with JSON between: all equal."""
    reviewer = WordReviewer()
    contributions = [text_number(n) for n in range(300)]
    whole = [stored(judge(contribution, reviewer)) for contribution in contributions]

    results = {contribution.contribution_id: {} for contribution in contributions}
    workflow = contribution_workflow(reviewer)
    for step in workflow.steps:
        for start in range(0, len(contributions), 70):
            chunk = contributions[start : start + 70]
            items = [
                (c.contribution_id, contribution_context(c, results[c.contribution_id]))
                for c in chunk
            ]
            outcomes = list(run_step_over_items(step, items, strategy=ErrorStrategy.CONTINUE))
            assert [outcome.item_id for outcome in outcomes] == [c.contribution_id for c in chunk]
            for outcome in outcomes:
                results[outcome.item_id][step.name] = stored(outcome.result)

    assert [step.name for step in workflow.steps] == ["validate", "classify", "evaluate"]
    names = {"validate": "validation", "classify": "classification", "evaluate": "evaluation"}
    assert whole == [
        {"id": key, **{names[step]: result for step, result in steps.items()}}
        for key, steps in results.items()
    ]
    decisions = [judgement["validation"]["decision"] for judgement in whole]
    assert {decision: decisions.count(decision) for decision in Decision} == dict.fromkeys(
        Decision, 100
    )


def test_a_tenth_of_faults_leaves_every_result_right():
    """With every tenth call failing once, retries give the same judgements as no fault at all."""
    contributions = [text_number(n) for n in range(60)]
    calm, flaky = WordReviewer(), WordReviewer()

    judgements = []
    with stamina.set_testing(testing=True, attempts=3, cap=True):
        for n, contribution in enumerate(contributions):
            flaky.errors = [TransientError("fault")] if n % 10 == 0 else []
            judgements.append(judge(contribution, flaky))

    assert judgements == [judge(contribution, calm) for contribution in contributions]
    assert flaky.calls == 66


def test_judging_is_whole_or_not_at_all():
    """A failed step raises; nothing that could pass for a judgement is returned."""
    with pytest.raises(ProcessingError, match="validate failed on c-1"):
        judge(text_number(1), WordReviewer(PermanentError("no rules")))


def test_evaluation_needs_both_answers():
    """Continuing past a failed validation does not invent one."""
    reviewer = WordReviewer(PermanentError("no rules"))
    steps = contribution_workflow(reviewer).steps
    context = contribution_context(text_number(0))

    Workflow("w", steps, ErrorStrategy.CONTINUE).execute(context)

    assert set(context.intermediate_results) == {"classify"}
    assert "the step validate has no result" in context.warnings[1]


def test_warnings_reach_the_evaluation():
    """What was noticed before the steps is part of the stored result."""
    judgement = judge(text_number(0), WordReviewer(), warnings=("Catégorie inconnue.",))

    assert judgement.evaluation.warnings == ("Catégorie inconnue.",)


def test_a_processor_refuses_what_is_no_contribution():
    """A dictionary handed in by mistake is an error with a name, not a strange answer."""
    context = ProcessingContext(input_data={"text": "Le port"})

    with pytest.raises(PermanentError, match="dict"):
        EvaluationProcessor("r-1")(context)


def test_the_evaluation_counts_under_the_reviewers_rubric():
    """One rubric version for the three steps of a judgement."""
    judgement = judge(text_number(0), WordReviewer())

    assert judgement.evaluation.rubric_version == "words-1"
    assert judgement.id == "c-0"
