"""Questions to answer in tests."""

from datetime import UTC, date, datetime

from include.contributions.model import (
    Article,
    Assessment,
    Contribution,
    Evidence,
    Validation,
    Violation,
)
from include.contributions.precision import PrecisionTable
from include.review.cases import machine_of
from include.review.model import Earlier, Person, Question

TEXT = "Le maire est un idiot, le banc du port est cassé."
PRECISION = PrecisionTable({"refus.attaque_personnelle_ou_discrimination": (8, 9)})
ANNE, BRUNO = Person("4", "Anne"), Person("5", "Bruno")


def quoted(words, text=TEXT, article=Article.PERSONAL_ATTACK, rule="attaque.fonction"):
    start = text.index(words)
    return Evidence(rule=rule, article=article, start=start, end=start + len(words), quote=words)


def validation(*evidence, decision="refusal_proposed", **changes):
    article = Article.PERSONAL_ATTACK
    values = {
        "decision": decision,
        "is_valid": False,
        "violations": (Violation(article=article, message="Ces mots visent une personne."),),
        "encouraged_aspects": (),
        "reasoning": "Ces mots visent une personne.",
        "confidence": 0.9,
        "assessed": {article: Assessment.VIOLATED},
        "evidence": evidence or (quoted("un idiot"),),
        "engine": "embedded",
        "rubric_version": "embedded-1",
    }
    if decision == "review":
        values |= {"is_valid": None, "review_reason": "attaque_possible"}
    if decision == "accept":
        values |= {"is_valid": True, "violations": ()}
    return Validation(**{**values, **changes})


def question(text=TEXT, *, judged="as usual", kind="case", ideas="", **changes):
    found = validation() if judged == "as usual" else judged
    values = {
        "question_id": 7,
        "kind": kind,
        "contribution": Contribution("form:1", text, ideas),
        "received_on": date(2026, 1, 14),
        "municipality": "audierne-esquibien",
        "case_kind": str(found.decision) if found else "quarantined",
        "case_reason": "refusal_proposed",
        "validation": found,
        "machine": machine_of(found, PRECISION),
        "waiting_since": datetime(2026, 1, 14, 8, tzinfo=UTC),
        "waited_s": 3 * 86_400.0,
    }
    return Question(**{**values, **changes})


def earlier(person=ANNE, outcome="refused", reason="spam_ou_publicite", **changes):
    values = {
        "decision_id": 1,
        "kind": "case",
        "outcome": outcome,
        "person": person,
        "reason": reason,
        "sentence": "",
        "note": "",
        "decided_at": datetime(2026, 1, 15, 9, tzinfo=UTC),
    }
    return Earlier(**{**values, **changes})


def form(option="Accepter", person=BRUNO, **fields):
    """What Airflow hands on when a form was sent."""
    return {
        "chosen_options": [option],
        "params_input": fields,
        "responded_by_user": {"id": person.id, "name": person.name},
        "responded_at": datetime(2026, 1, 17, 9, tzinfo=UTC),
        "timedout": False,
    }
