"""Which answers count, and who may give them.

Airflow's REST API checks neither the form nor whether a reason was given, so every answer is read here
as what it is: input from outside. Either it is an :class:`Answer`, or a :class:`Fault` says in one
sentence what is wrong with it; then nothing is recorded and the question is put again. Nothing is ever
filled in for a person.
"""

from collections.abc import Mapping
from typing import Any

from include.contributions.sources.boundary import cleaned
from include.review.model import (
    MAX_NOTE_CHARACTERS,
    MAX_SENTENCE_CHARACTERS,
    OPTION_LABELS,
    REFUSAL_REASONS,
    Answer,
    Fault,
    Option,
    Person,
    Question,
)

REASON, SENTENCE, NOTE = "reason", "sentence", "note"
"""Fields of the form."""

FIELD_LABELS = {
    REASON: "Motif du refus",
    SENTENCE: "Phrase pour l'auteur",
    NOTE: "Note interne",
}

_OPTIONS = {label: option for option, label in OPTION_LABELS.items()}


def read_answer(given: Any, question: Question) -> Answer | Fault:
    """Check what came back from the form.

    Args:
        given: ``chosen_options``, ``params_input`` and ``responded_by_user``, as Airflow hands them on.
        question: What was asked.
    """
    match given:
        case {"chosen_options": [str(label)], **rest} if label in _OPTIONS:
            option = _OPTIONS[label]
        case _:
            return Fault("Il faut choisir une réponse, et une seule, parmi celles proposées.")
    person = _person(rest.get("responded_by_user"))
    if person is None:
        return Fault("On ne sait pas qui a répondu : seule une personne connectée décide.")
    if any(person.is_same_as(other) for other in question.excluded):
        return Fault(
            f"{person.name} a déjà décidé sur cette contribution : une autre personne doit répondre."
        )
    form = rest.get("params_input")
    form = {} if form is None else form
    if not isinstance(form, Mapping) or set(form) - set(FIELD_LABELS):
        return Fault("Le formulaire reçu n'est pas celui de cette question.")
    return _with_form(option, person, form)


def _with_form(option: Option, person: Person, form: Mapping[str, Any]) -> Answer | Fault:
    texts = {name: form.get(name) for name in FIELD_LABELS}
    for name, value in texts.items():
        if not (value is None or isinstance(value, str)):
            return Fault(f"Le champ « {FIELD_LABELS[name]} » doit être un texte.")
    reason = (texts[REASON] or "").strip() or None
    sentence, note = _text(texts[SENTENCE]), _text(texts[NOTE])
    if reason is not None and reason not in REFUSAL_REASONS:
        return Fault("Le motif n'est pas dans la liste : en choisir un de la liste.")
    if option is Option.REFUSE and reason is None:
        return Fault("Un refus demande un motif : en choisir un dans la liste, puis refuser.")
    if option is Option.ACCEPT and reason is not None:
        return Fault(
            "« Accepter » avec un motif de refus se contredit : effacer le motif, ou refuser."
        )
    for name, text, most in (
        (SENTENCE, sentence, MAX_SENTENCE_CHARACTERS),
        (NOTE, note, MAX_NOTE_CHARACTERS),
    ):
        if len(text) > most:
            return Fault(
                f"Le champ « {FIELD_LABELS[name]} » compte {len(text)} caractères, la limite est de {most} : "
                "le raccourcir."
            )
    return Answer(option, reason, sentence, note, person)


def _person(who: Any) -> Person | None:
    """Read Airflow's record of who answered; a default that nobody gave has none."""
    match who:
        case {"id": str(login), "name": str(name)} if login.strip() and name.strip():
            return Person(cleaned(login.strip())[0], cleaned(name.strip())[0])
    return None


def _text(value: str | None) -> str:
    return cleaned((value or "").strip())[0]
