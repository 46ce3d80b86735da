"""The statement of reasons that a citizen receives, in plain French.

It says what was decided, under which article, on which of the citizen's own words, that a machine
helped and how far it can be relied on, and how to answer back. Who decided is not in it: the ledger
knows.
"""

from include.contributions.model import Validation, quoted_once
from include.contributions.wording import day_words, excerpt, number, visible
from include.review.charter_words import refusal_reason
from include.review.model import Answer, Machine, Option, Question, raises_doubt

QUOTED = 5
"""Quotes in a statement at most, each cut to ``QUOTE_CHARACTERS``."""

QUOTE_CHARACTERS = 160

_VERDICTS = {
    Option.ACCEPT: "est acceptée",
    Option.REFUSE: "n'est pas acceptée",
    Option.REPHRASE: "n'est pas publiée telle quelle : nous vous invitons à la reformuler",
    Option.ESCALATE: "est transmise à une autre personne, qui décidera ; vous n'avez rien à faire",
}

_PROPOSALS = {
    "refusal_proposed": "avait proposé de la refuser",
    "review": "avait demandé l'avis d'une personne, sans trancher",
    "accept": "avait proposé de l'accepter",
}


def statement(question: Question, answer: Answer, receipt_code: str) -> str:
    """Word the reasons of a decision, one paragraph each."""
    paragraphs = [
        _verdict(question, answer),
        _grounds(question, answer),
        f"La personne qui a décidé vous écrit : {_line(answer.sentence)}"
        if answer.sentence
        else "",
        _how(question.machine, answer.option),
        _answer_back(question, answer, receipt_code),
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def quotes_for(validation: Validation | None, reason: str | None) -> list[str]:
    """Quote the citizen's words for a reason; without one all that raised a doubt."""
    if validation is None:
        return []
    found = (
        evidence
        for evidence in validation.evidence
        if evidence.article == reason or (reason is None and raises_doubt(evidence))
    )
    quotes = [excerpt(_line(quote), QUOTE_CHARACTERS) for quote in quoted_once(found)]
    return [quote for quote in dict.fromkeys(quotes) if quote][:QUOTED]


def rate(machine: Machine) -> str:
    """Say how often the machine's rule is right, and on how many texts that was measured.

    >>> rate(Machine("review", "embedded", "r", 0.91, "review.accusation", 5, 5))
    'sur les textes annotés pour la mesurer, cette règle avait raison 5 fois sur 5'
    """
    if not machine.fired:
        return "cette règle n'a pas encore été mesurée sur des textes annotés"
    return (
        "sur les textes annotés pour la mesurer, cette règle avait raison "
        f"{number(machine.correct)} fois sur {number(machine.fired)}"
    )


def _verdict(question: Question, answer: Answer) -> str:
    contribution = f"votre contribution reçue le {day_words(question.received_on)}"
    verdict = _VERDICTS[answer.option]
    if question.kind != "appeal":
        return f"{contribution[:1].upper()}{contribution[1:]} {verdict}."
    again = f"Une autre personne a réexaminé {contribution} : "
    if answer.option is Option.REFUSE:
        return f"{again}le refus est confirmé."
    if answer.option is Option.ACCEPT:
        return f"{again}le refus est levé, elle est acceptée."
    return f"{again}le refus est levé. Votre contribution {verdict}."


def _grounds(question: Question, answer: Answer) -> str:
    if answer.option is Option.ACCEPT or answer.option is Option.ESCALATE:
        return ""
    parts = []
    if answer.reason:
        label = "Motif" if answer.option is Option.REFUSE else "Ce qui est en cause"
        parts.append(f"{label} : {refusal_reason(answer.reason, question.municipality)}.")
    quotes = quotes_for(question.validation, answer.reason)
    if quotes:
        words = ", ".join(f"« {quote} »" for quote in quotes)
        parts.append(f"Les mots de votre texte dont il s'agit : {words}.")
    elif answer.option is Option.REFUSE:
        parts.append("La décision porte sur l'ensemble de votre texte.")
    return " ".join(parts)


def _how(machine: Machine | None, option: Option) -> str:
    did = "l'a transmis" if option is Option.ESCALATE else "a décidé"
    read = f"Comment cette décision a été prise : une personne a lu votre texte et {did}."
    if machine is None:
        return f"{read} Aucune machine n'a proposé de réponse."
    return (
        f"{read} Auparavant, une machine l'avait comparé à la charte et "
        f"{_PROPOSALS.get(machine.decision, 'avait donné un avis')} ; {rate(machine)}. "
        f"Moteur : {_line(machine.engine)}, version {_line(machine.rubric_version)}. "
        "La machine ne refuse jamais elle-même."
    )


def _answer_back(question: Question, answer: Answer, receipt_code: str) -> str:
    code = f"le code {receipt_code}"
    if answer.option is Option.REFUSE and question.kind == "appeal":
        return (
            "Ce réexamen clôt la contestation sur la plateforme. Vous pouvez encore écrire à la "
            f"mairie en indiquant {code}, ou vous adresser au Défenseur des droits."
        )
    if answer.option is Option.REFUSE:
        return (
            "Vous n'êtes pas d'accord ? Écrivez à la mairie en indiquant "
            f"{code} et ce que vous contestez, en quelques mots : une autre personne réexaminera "
            "votre contribution et cette décision. Vous pouvez aussi déposer un nouveau texte."
        )
    if answer.option is Option.REPHRASE:
        return (
            "Pour reformuler, déposez un nouveau texte ; il sera examiné comme une nouvelle "
            f"contribution. Pour toute question, écrivez à la mairie en indiquant {code}."
        )
    return f"Pour toute question, écrivez à la mairie en indiquant {code}."


def _line(text: str) -> str:
    return " ".join(visible(text).split())
