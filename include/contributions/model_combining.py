"""Weigh the rules' result and a model's opinion: two must agree before a text is accepted.

A model can lift one kind of doubt alone, that the rules recognised nothing of the town in a text; what
the rules hold against it stays. A model can never accept without words of the text that show why, and
what it holds against a text counts only with the words that it is about.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from include.contributions.evaluation import is_error_text
from include.contributions.model import (
    CATEGORY_NAMES,
    UNDETERMINED,
    Article,
    Assessment,
    Category,
    Classification,
    Contribution,
    Decision,
    Evidence,
    ModelUse,
    Validation,
    Violation,
)
from include.contributions.model_answers import AnswerForm, SentText
from include.contributions.sources.boundary import cleaned
from include.municipality import Municipality

MIN_CONFIDENCE = 0.8
"""A model's own word for its certainty is not measured; below this it is not even meant as one."""

NOTHING_AGAINST = frozenset({"sujet_non_reconnu", "propos_non_reconnu", "mot_inhabituel"})
"""Reasons of the rules that say that nothing good was recognised, and nothing bad either.

A word that the rules do not know is told last of all: where it is the reason, it is the only one.
"""

MAX_EVIDENCE = 12
SAID_CHARACTERS = 400


class Quoted(NamedTuple):
    """Words of the citizen's own text, and what a model says of them."""

    about: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Opinion:
    """A model's answer about a text, its quotes found in the citizen's own words.

    Attributes:
        answer: As it was read.
        positives: What of it stands in the text; ``about`` is the sign of the aspect.
        blamed: The same for violations; ``about`` is the article.
        category: Words that show the subject; None without any.
        text: The citizen's own.
    """

    answer: AnswerForm
    positives: tuple[Quoted, ...]
    blamed: tuple[Quoted, ...]
    category: Quoted | None
    text: str

    def evidence(self, quoted: Quoted, article: Article | None = None) -> Evidence:
        """Quote the citizen's own words."""
        words = self.text[quoted.start : quoted.end]
        return Evidence(
            rule=f"modele.{quoted.about}",
            article=article,
            start=quoted.start,
            end=quoted.end,
            quote=words,
        )

    @property
    def accuses(self) -> bool:
        """Whether it holds anything against the text."""
        return bool(self.answer.violations) or self.answer.decision is Decision.REFUSAL_PROPOSED


@dataclass(frozen=True, slots=True)
class Stamp:
    """What every combined result says of its origin."""

    engine: str
    rubric_version: str
    model_use: ModelUse | None = None

    def fields(self) -> dict[str, Any]:
        """As the fields of a result."""
        return {
            "engine": self.engine,
            "rubric_version": self.rubric_version,
            "model_use": self.model_use,
        }


def opinion(answer: AnswerForm, text: SentText, town: Municipality) -> Opinion:
    """Look an answer's quotes up; those that do not stand in the text are dropped."""
    signs = {aspect.sign for aspect in town.encouraged}
    positives = ((each.aspect, each.quote) for each in answer.positives if each.aspect in signs)
    blamed = ((each.article.value, each.quote) for each in answer.violations)
    subject = next(_quoted([(answer.category, answer.category_quote or "")], text), None)
    return Opinion(
        answer,
        tuple(_quoted(positives, text)),
        tuple(_quoted(blamed, text)),
        subject,
        text.original,
    )


def validated(
    rules: Validation, said: Opinion, town: Municipality, stamp: Stamp, min_confidence: float
) -> Validation:
    """Combine the rules' result with a model's opinion.

    Accepting takes both: rules that accept, or hold nothing against the text, and a model that
    accepts, is sure, blames nothing and quotes what is good. Refusing is proposed only by both. All
    else goes to a person with the reason.
    """
    reason = _reason(rules, said, min_confidence)
    if reason is not None:
        return asking(rules, reason, town, stamp, said)
    if rules.decision is Decision.REFUSAL_PROPOSED:
        return rules.model_copy(
            update={
                **stamp.fields(),
                "reasoning": f"{rules.reasoning} {_told(said)}",
                "evidence": _evidence(rules, said),
            }
        )
    return _accepted(rules, said, town, stamp)


def asking(
    rules: Validation, reason: str, town: Municipality, stamp: Stamp, said: Opinion | None = None
) -> Validation:
    """Ask a person, whatever the rules say; a refusal that they propose stays one without a model."""
    if rules.decision is Decision.REFUSAL_PROPOSED and said is None:
        return rules.model_copy(update=stamp.fields())
    assessed = {
        article: Assessment.DOUBTFUL if told is Assessment.VIOLATED else told
        for article, told in rules.assessed.items()
    }
    for quoted in said.blamed if said else ():
        assessed[Article(quoted.about)] = Assessment.DOUBTFUL
    own = rules.reasoning if rules.decision is not Decision.ACCEPT else ""
    told = " ".join(filter(None, (_WHY.get(reason, ""), own, _told(said) if said else "")))
    return Validation(
        decision=Decision.REVIEW,
        is_valid=None,
        violations=tuple(
            Violation(article=article, message=town.articles[article].doubt)
            for article in Article
            if assessed.get(article) is Assessment.DOUBTFUL
        ),
        encouraged_aspects=rules.encouraged_aspects,
        reasoning=told or rules.reasoning,
        confidence=rules.confidence,
        assessed=assessed,
        evidence=_evidence(rules, said),
        review_reason=reason,
        **stamp.fields(),
    )


def classified(
    rules: Classification,
    said: Opinion,
    contribution: Contribution,
    stamp: Stamp,
    min_confidence: float,
) -> Classification:
    """Combine both subjects: the citizen's own stays, and a model fills in where the rules see none.

    A model's subject counts when it is sure and quotes words that show it.
    """
    answer = said.answer
    known = Category(answer.category) if answer.category != UNDETERMINED else None
    own = rules.model_copy(update=stamp.fields())
    sure = answer.category_confidence >= min_confidence
    if not sure or known is None or known == rules.category or said.category is None:
        return own
    if contribution.category is not None:
        second = rules.second_category or (known if rules.category != known else None)
        return own.model_copy(update={"second_category": second})
    second = answer.second_category
    if second is None and rules.category != UNDETERMINED:
        second = Category(rules.category)
    shown = said.evidence(said.category)
    before = "" if rules.category == UNDETERMINED else f" Les règles voyaient : {rules.category}."
    return own.model_copy(
        update={
            "category": known,
            "second_category": second if second != known else None,
            "confidence": answer.category_confidence,
            "evidence": (*rules.evidence, shown),
            "reasoning": f"Le modèle connecté reconnaît le sujet « {CATEGORY_NAMES[known]} » "
            f"(« {' '.join(shown.quote.split())} »).{before}",
        }
    )


_WHY = {
    "disagreement": "Les règles et le modèle connecté ne sont pas du même avis : une personne lit.",
    "below_threshold": "Le modèle connecté n'est pas assez sûr de son avis : une personne lit.",
    "contradictory": "L'avis du modèle connecté se contredit : une personne lit.",
    "quotes_not_found": "Le modèle connecté ne cite pas de mots du texte à l'appui de son avis : "
    "une personne lit.",
    "refusal_proposed": "Une règle de la charte ne semble pas respectée : une personne décide.",
    "unreadable_answer": "La réponse du modèle connecté n'était pas lisible : une personne lit.",
    "model_declined": "Le modèle connecté n'a pas voulu répondre sur ce texte : une personne lit.",
    "anonymisation_doubtful": "Le texte n'a pas été envoyé au modèle connecté, car il pourrait encore "
    "faire reconnaître quelqu'un : une personne lit.",
}
"""What the author of the text can read, by the reason for which a person is asked."""


def _reason(rules: Validation, said: Opinion, min_confidence: float) -> str | None:
    """Say why a person is asked; None when both sides come to one outcome."""
    proposed = said.answer.decision
    # Written so that whatever compares false is not sure.
    sure = said.answer.confidence >= min_confidence
    against = rules.review_reason not in NOTHING_AGAINST
    if rules.decision is Decision.REFUSAL_PROPOSED:
        if proposed is Decision.REFUSAL_PROPOSED and sure and said.blamed:
            return None
        return "disagreement" if proposed is Decision.ACCEPT else "refusal_proposed"
    if proposed is not Decision.ACCEPT and rules.decision is Decision.ACCEPT:
        return "disagreement"
    if proposed is Decision.REFUSAL_PROPOSED and said.blamed:
        return "refusal_proposed"
    if rules.decision is Decision.REVIEW and (against or proposed is not Decision.ACCEPT):
        return rules.review_reason
    return _weakness(said, sure=sure)


def _weakness(said: Opinion, *, sure: bool) -> str | None:
    """Say why an acceptance by a model does not count; None when it does."""
    if said.accuses:
        return "contradictory"
    if not sure:
        return "below_threshold"
    return None if said.positives else "quotes_not_found"


def _accepted(rules: Validation, said: Opinion, town: Municipality, stamp: Stamp) -> Validation:
    seen = {quoted.about for quoted in said.positives}
    named = {aspect.text for aspect in town.encouraged if aspect.sign in seen}
    own = set(rules.encouraged_aspects)
    aspects = tuple(each.text for each in town.encouraged if each.text in named | own)
    both = rules.decision is Decision.ACCEPT
    reasoning = (
        rules.reasoning
        if both
        else (
            "Les règles n'ont rien trouvé contre ce texte. L'exactitude des faits n'a pas été évaluée."
        )
    )
    return Validation(
        decision=Decision.ACCEPT,
        is_valid=True,
        violations=(),
        encouraged_aspects=aspects,
        reasoning=f"{reasoning} {_told(said)}",
        confidence=min(rules.confidence, said.answer.confidence)
        if both
        else said.answer.confidence,
        assessed={
            article: Assessment.NOT_ASSESSED
            if article is Article.FALSE_INFORMATION
            else Assessment.RESPECTED
            for article in Article
        },
        evidence=_evidence(rules, said),
        **stamp.fields(),
    )


def _told(said: Opinion) -> str:
    """Repeat what a model says, marked as its words."""
    words, _ = cleaned(" ".join(said.answer.reasoning.split()))
    if not words or is_error_text(words):
        return ""
    shown = words if len(words) <= SAID_CHARACTERS else f"{words[:SAID_CHARACTERS]}…"
    return f"Avis du modèle connecté : « {shown.replace('«', '‹').replace('»', '›')} »"


def _evidence(rules: Validation, said: Opinion | None) -> tuple[Evidence, ...]:
    """Quote what both rest on, in the order of the text, each span once for each of them."""
    found = {(each.start, each.end, each.rule): each for each in rules.evidence}
    if said:
        for quoted, article in (
            *((each, None) for each in said.positives),
            *((each, Article(each.about)) for each in said.blamed),
        ):
            evidence = said.evidence(quoted, article)
            found[evidence.start, evidence.end, evidence.rule] = evidence
    return tuple(found[key] for key in sorted(sorted(found)[:MAX_EVIDENCE]))


def _quoted(pairs: Iterable[tuple[str, str]], text: SentText) -> Iterator[Quoted]:
    for about, quote in pairs:
        if span := text.locate(quote):
            yield Quoted(about, *span)
