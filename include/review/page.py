"""A question as a moderator reads it: one line for the list, and a page in Markdown.

The citizen's words are shown as they are and stay inert: no markup, no link, no picture and no HTML of
theirs is one on the page, and hidden characters are shown by their code.
"""

import re
from collections.abc import Iterable

from include.contributions.model import (
    Article,
    Assessment,
    Category,
    Evidence,
    Validation,
    quoted_once,
)
from include.contributions.report import TEXT_SHOWN_CHARACTERS
from include.contributions.wording import (
    category_label,
    counted,
    day_words,
    excerpt,
    markdown,
    moment,
    number,
    reason_label,
    visible,
)
from include.review.charter_words import article_words, refusal_reason, why_asked
from include.review.model import MAX_SENTENCE_CHARACTERS, Earlier, Machine, Question, raises_doubt
from include.review.statement import rate

SUBJECT_CHARACTERS = 60
"""Of the citizen's words in the list; twenty subjects travel in one docket."""

_OPEN, _CLOSE = "\ue000", "\ue001"
_PRIVATE = {code: f"⟨U+{code:04X}⟩" for code in (0xE000, 0xE001)}

_ADDRESS = re.compile(r"&#58;//|&#64;|www\\\.", re.IGNORECASE)
"""What begins an address, after :func:`include.contributions.wording.markdown`."""

_JOINER = "\u2060"

_TITLES = {
    "escalation": "Second avis",
    "appeal": "Refus contesté",
    "refusal_proposed": "Refus proposé",
    "quarantined": "Non analysée",
}

_PROPOSALS = {
    "accept": "L'accepter.",
    "refusal_proposed": "La refuser.",
    "review": "Elle ne tranche pas.",
}

_ASSESSMENTS = {
    Assessment.RESPECTED: "respecté",
    Assessment.DOUBTFUL: "**à vérifier**",
    Assessment.VIOLATED: "**non respecté**",
    Assessment.NOT_ASSESSED: "non évalué",
}

_OUTCOMES = {"accepted": "acceptée", "refused": "refusée", "review": "gardée en attente"}

HOW = f"""\
- **Accepter** : le texte est publié. Ne pas donner de motif.
- **Refuser** : choisir un **motif** dans la liste ; la phrase est facultative.
- **Demander de reformuler** : l'auteur déposera un autre texte ; dire dans la phrase ce qui gêne.
- **Transmettre** : une autre personne décidera ; dire pourquoi dans la note, qui reste interne.

La phrase ({MAX_SENTENCE_CHARACTERS} caractères au plus) est envoyée telle quelle à l'auteur.
Votre nom ne lui est pas donné."""


def subject(question: Question) -> str:
    """Name the question in a list: what it is, the first words, since when it waits.

    A moment and no age: Airflow keeps the line as it was when the question was put.
    """
    title = _TITLES.get(question.kind) or _TITLES.get(question.case_kind) or "À examiner"
    if question.fault:
        title = f"À reprendre, {title[:1].lower()}{title[1:]}"
    words = excerpt(visible(question.contribution.text), SUBJECT_CHARACTERS) or "(texte vide)"
    # A single word may be as long as the text.
    words = words if len(words) <= 2 * SUBJECT_CHARACTERS else f"{words[:SUBJECT_CHARACTERS]} …"
    return f"{title} · « {words} » · attend depuis le {moment(question.waiting_since)}"


def body(question: Question) -> str:
    """Lay out everything that a person needs to decide."""
    parts = [
        _fault(question.fault),
        _appeal(question),
        _text(question),
        f"### Pourquoi cette question\n\n{_why(question)}",
        f"### Ce que dit la machine\n\n{_machine(question)}",
        _earlier(question),
        f"### Comment répondre\n\n{_who(question)}{HOW}",
    ]
    return "\n\n".join(part for part in parts if part)


def inert(text: str) -> str:
    r"""Escape a citizen's words for a Markdown page whose reader also finds bare addresses.

    Such a reader looks for them after entities have become letters again: an invisible joiner breaks
    them up.

    >>> inert("voir https://ville.example")
    'voir https\u2060&#58;//ville.example'
    """
    return _ADDRESS.sub(
        lambda found: (
            f"{found[0][:-2]}{_JOINER}{found[0][-2:]}"
            if found[0].lower().startswith("www")
            else f"{_JOINER}{found[0]}"
        ),
        markdown(text),
    )


def highlighted(text: str, evidence: Iterable[Evidence], start: int = 0) -> str:
    r"""Escape a part of a text and mark the words quoted as evidence in it.

    Args:
        text: The part that is shown.
        evidence: Spans of the whole text.
        start: Where in the whole text the part begins.

    >>> words = Evidence(rule="r", start=3, end=7, quote="banc")
    >>> highlighted("Le banc_1", [words])
    'Le ⟦**banc**⟧\\_1'
    """
    marked, position = "", 0
    for first, last in _spans(text, evidence, start):
        before, words = text[position:first], text[first:last]
        marked += f"{before.translate(_PRIVATE)}{_OPEN}{words.translate(_PRIVATE)}{_CLOSE}"
        position = last
    marked += text[position:].translate(_PRIVATE)
    return inert(marked).replace(_OPEN, "⟦**").replace(_CLOSE, "**⟧")


def _spans(text: str, evidence: Iterable[Evidence], start: int) -> list[tuple[int, int]]:
    """Place the quoted words in the part, apart from each other, none across a line's end."""
    found: list[tuple[int, int]] = []
    for item in sorted(evidence, key=lambda item: (item.start, -item.end)):
        first, last = max(item.start - start, 0), min(item.end - start, len(text))
        first = max(first, found[-1][1] if found else 0)
        for words in re.finditer(r"[^\r\n]+", text[first:last] if first < last else ""):
            begin = first + words.end() - len(words[0].lstrip())
            end = first + words.start() + len(words[0].rstrip())
            if begin < end:
                found.append((begin, end))
    return found


def _text(question: Question) -> str:
    written = question.contribution
    found = question.validation.evidence if question.validation else ()
    evidence = [item for item in found if raises_doubt(item)]
    head = (
        f"{_chosen(written.category)} · reçue le {day_words(question.received_on)} · "
        f"{markdown(written.contribution_id)} · "
        f"attend depuis le **{moment(question.waiting_since)}**"
    )
    parts = ["### Le texte", head]
    offset = len(written.text) - len(written.idees_ameliorations)
    for title, text, start in (
        ("Constat factuel", written.constat_factuel, 0),
        ("Idées d'améliorations", written.idees_ameliorations, offset),
    ):
        if text.strip():
            parts += [
                f"**{title}**",
                _quoted(highlighted(text[:TEXT_SHOWN_CHARACTERS], evidence, start)),
            ]
            if left := len(text) - TEXT_SHOWN_CHARACTERS:
                parts += _cut(left)
    return "\n\n".join(parts if len(parts) > 2 else [*parts, "(texte vide)"])  # noqa: PLR2004 - title and head


def _chosen(category: Category | None) -> str:
    if category is None:
        return "Sans sujet choisi par l'auteur"
    return f"Sujet choisi par l'auteur\u00a0: {category_label(category)}"


def _cut(left: int) -> list[str]:
    if left <= 0:
        return []
    return [f"*Suite non montrée : {counted(left, 'caractère', 'caractères')}.*"]


def _quoted(escaped: str) -> str:
    return "\n".join(f"> {line}  " if line else ">" for line in escaped.strip().split("\n"))


def _why(question: Question) -> str:
    if question.kind == "appeal":
        return (
            "L'auteur conteste le refus de sa contribution. Une autre personne que celle qui a refusé "
            "réexamine le texte et la décision ; les deux décisions restent au registre."
        )
    if question.kind == "escalation":
        return "Une première personne a lu ce texte et l'a transmis."
    reason = question.case_reason or question.case_kind
    asked = markdown(reason_label(reason, why_asked(question.municipality)))
    if question.case_kind == "refusal_proposed":
        asked = "La machine propose un refus. Seule une personne refuse"
    if question.earlier:
        last = question.earlier[-1]
        asked += (
            f". L'auteur a été invité à reformuler le {moment(last.decided_at)} "
            "et ce texte n'a toujours pas de réponse"
        )
    return f"{asked}."


def _machine(question: Question) -> str:
    validation, machine = question.validation, question.machine
    if validation is None or machine is None:
        return "Rien : l'analyse n'a pas abouti, ou son résultat ne peut pas être lu."
    proposal = _PROPOSALS.get(machine.decision, machine.decision)
    lines = [
        f"**{proposal}** {_unbroken(inert(validation.reasoning))}",
        _articles(validation, question.municipality),
        f"*À quel point s'y fier ?* {_rate(machine)} {_engine(machine)}",
    ]
    return "\n\n".join(line for line in lines if line)


def _engine(machine: Machine) -> str:
    return f"Moteur {inert(machine.engine)}, version {inert(machine.rubric_version)}."


def _rate(machine: Machine) -> str:
    told = rate(machine)
    sure = f"Confiance {number(100 * machine.confidence)}\u00a0%" if machine.fired else ""
    words = f"{told[:1].upper()}{told[1:]}."
    return f"{sure} : {told}." if sure else words


def _articles(validation: Validation, municipality: str) -> str:
    rows = ["| Article | Selon la machine | Mots relevés |", "| --- | --- | --- |"]
    named = article_words(municipality)
    for article in Article:
        found = validation.assessed.get(article, Assessment.NOT_ASSESSED)
        quotes = _quotes(validation, article)
        name = named[article].removeprefix("l'").removeprefix("la ")
        name = _unbroken(f"{name[:1].upper()}{name[1:]}")
        rows.append(f"| {name} | {_ASSESSMENTS[found]} | {quotes or '–'} |")
    others = _quotes(validation, None)
    return "\n".join([*rows, *(["", f"Autres mots relevés : {others}."] if others else [])])


def _quotes(validation: Validation, article: Article | None) -> str:
    """Quote what speaks against an article, or raised a doubt of another kind."""
    return ", ".join(
        dict.fromkeys(
            f"«\u00a0{inert(excerpt(quote, SUBJECT_CHARACTERS))}\u00a0»"
            for quote in quoted_once(
                item
                for item in validation.evidence
                if item.article is article and raises_doubt(item)
            )
        )
    )


def _fault(fault: str) -> str:
    if not fault:
        return ""
    return (
        "> ⚠ **La réponse précédente n'a pas été enregistrée.** "
        f"{inert(_line(fault))} Rien n'a été décidé."
    )


def _appeal(question: Question) -> str:
    if not question.appeal:
        return ""
    return f"### Ce que l'auteur conteste\n\n{_quoted(inert(question.appeal))}"


def _earlier(question: Question) -> str:
    if not question.earlier:
        return ""
    told = [_decided(each, question.municipality) for each in question.earlier]
    return "\n\n".join(["### Déjà décidé", *told])


def _decided(each: Earlier, municipality: str) -> str:
    if each.outcome == "refused":
        reason = refusal_reason(each.reason, municipality)
    else:
        reason = reason_label(each.reason) if each.reason != "accept" else ""
    told = f"- **{_OUTCOMES[each.outcome].capitalize()}** par {inert(each.person.name)}"
    lines = [
        f"{told}, le {moment(each.decided_at)}{f' : {inert(reason)}' if reason else ''}",
        f"  - À l'auteur : {inert(_line(each.sentence))}" if each.sentence else "",
        f"  - Note : {inert(_line(each.note))}" if each.note else "",
    ]
    return "\n".join(line for line in lines if line)


def _who(question: Question) -> str:
    names = dict.fromkeys(inert(person.name) for person in question.excluded)
    if not names:
        return ""
    return f"**Une autre personne que {' et '.join(names)} doit répondre.**\n\n"


def _unbroken(text: str) -> str:
    """Keep French quotation marks on the line of the words that they hold."""
    return text.replace("« ", "«\u00a0").replace(" »", "\u00a0»")


def _line(text: str) -> str:
    return " ".join(text.split())
