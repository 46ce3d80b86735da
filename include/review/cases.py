"""Turn a checked answer into the decision that goes on record."""

import secrets
from typing import Literal

from include.contributions.model import Validation
from include.contributions.precision import PrecisionTable
from include.review.model import OUTCOMES, Answer, Decision, Machine, Option, Question, raises_doubt
from include.review.statement import statement

_CODE_LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without those that are read as another when they are copied by hand."""

EXPECTED: dict[Option, Literal["accept", "refusal_proposed"]] = {
    Option.ACCEPT: "accept",
    Option.REFUSE: "refusal_proposed",
}
"""What an engine should have answered where a person settled it."""

_OPPOSITE = {"accept": "refusal_proposed", "refusal_proposed": "accept"}


def decide(question: Question, answer: Answer, receipt_code: str) -> Decision:
    """Say what an answer means for the contribution, its author and the machine."""
    expected = EXPECTED.get(answer.option)
    machine = question.machine
    return Decision(
        kind=question.kind,
        outcome=OUTCOMES[answer.option],
        reason=(answer.reason if answer.option is Option.REFUSE else None) or answer.option.value,
        statement=statement(question, answer, receipt_code),
        sentence=answer.sentence,
        note=answer.note,
        person=answer.person,
        quotes=_quotes(question.validation),
        machine=machine,
        expected=expected,
        overruled=bool(machine and expected and _OPPOSITE.get(machine.decision) == expected),
        receipt_code=receipt_code,
    )


def new_receipt_code() -> str:
    """Make a code that a citizen can copy by hand and nobody can guess; 40 bits."""
    letters = "".join(secrets.choice(_CODE_LETTERS) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


def machine_of(validation: Validation | None, precision: PrecisionTable) -> Machine | None:
    """Say what the machine proposed and how often the same rule is right on labelled samples."""
    if validation is None:
        return None
    if validation.review_reason:
        rule = f"review.{validation.review_reason}"
    else:
        rule = next((f"refus.{each.article}" for each in validation.violations), "")
    correct, fired = precision.counts.get(rule, (0, 0))
    return Machine(
        decision=str(validation.decision),
        engine=validation.engine,
        rubric_version=validation.rubric_version,
        confidence=validation.confidence,
        rule=rule,
        correct=correct,
        fired=fired,
    )


def names_group(validation: Validation | None) -> bool:
    """Say whether the text speaks of a group of people, as far as the machine saw it.

    The same question as the ledger's function of that name.
    """
    return validation is not None and (
        validation.review_reason == "mention_de_groupe"
        or any(
            "groupe" in evidence.rule or evidence.rule.startswith("discrimination")
            for evidence in validation.evidence
        )
    )


def _quotes(validation: Validation | None) -> tuple[dict[str, object], ...]:
    if validation is None:
        return ()
    return tuple(
        evidence.model_dump(mode="json")
        for evidence in validation.evidence
        if raises_doubt(evidence)
    )
