"""Suggest another wording of a text: never instead of the citizen's own, never by itself.

What a model suggests is held against the original by simple means. It may leave words out; it may not
bring any fact, and the rules must not find it worse than what the citizen wrote.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from include.anonymisation import Anonymise
from include.contributions.model import Assessment, Contribution, Decision
from include.contributions.model_answers import PLACEHOLDER, read_wording
from include.contributions.model_prompts import wording_prompt
from include.contributions.normalisation import fold
from include.contributions.sources.boundary import cleaned
from include.errors import UnreadableAnswerError
from include.municipality import Municipality
from include.ports import AnswerKey, LanguageModel, Question, Reply, Reviewer

LONGEST, SHORT = 1.3, 40
"""Times as long as the original, and characters for a short one: kinder words may be longer ones."""

MIN_SHARED = 0.4
"""Of the suggestion's longer words, the share that stand in the original: less is another text."""

STEM = 5

_NUMBER = re.compile(r"\d+(?:[.,]\d+)?")
_ADDRESS = re.compile(r"(?:https?://|www\.|\S@\S)", re.IGNORECASE)
_NAME = re.compile(r"(?<![.!?…:»\n] )(?<!^)(?<!\n)\b[A-ZÀ-ÖØ-Þ][\w'’-]+", re.MULTILINE)
_WORD = re.compile(r"\w{4,}")

_ORDER = {Decision.ACCEPT: 0, Decision.REVIEW: 1, Decision.REFUSAL_PROPOSED: 2}


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What came of asking: a suggestion, or the reason why there is none.

    Attributes:
        text: To be shown beside the original; None where there is none.
        objection: Why there is none; None where there is one.
        prompt_hash: Of the prompt.
        reply: Who answered, at what cost; None where nobody was asked.
    """

    text: str | None
    objection: str | None
    prompt_hash: str
    reply: Reply | None = None


async def suggest_wording(
    contribution: Contribution,
    model: LanguageModel,
    town: Municipality,
    reviewer: Reviewer,
    anonymise: Anonymise | None = None,
) -> Suggestion:
    """Ask for another wording and look at what comes.

    Args:
        contribution: The citizen's own.
        model: Who is asked.
        town: Whose platform.
        reviewer: Holds both wordings against the charter.
        anonymise: As for :class:`include.contributions.model_reviewer.ModelReviewer`.

    Raises:
        ProviderUnavailableError, ProviderRefusedError: As :meth:`LanguageModel.ask`.
    """
    prompt = wording_prompt(town, anonymised=anonymise is not None)
    text = contribution.text
    try:
        sent = anonymise(text).text if anonymise else text
    except Exception:  # noqa: BLE001 - whatever went wrong, the text stays here
        return Suggestion(None, "anonymisation_doubtful", prompt.hash)
    text_hash = hashlib.sha256(sent.encode("utf-8", "surrogatepass")).hexdigest()
    text_id = f"texte-{text_hash[:12]}"
    key = AnswerKey(text_hash, prompt.hash, model.name, f"wording-{prompt.hash}")
    data = {"id": text_id, "texte": sent}
    reply = await model.ask(Question(key, "wording", prompt.instructions, data, prompt.form))
    if reply.ending != "answered":
        return Suggestion(None, f"model_{reply.ending}", prompt.hash, reply)
    try:
        suggested = read_wording(reply.content, text_id).suggestion
    except UnreadableAnswerError:
        return Suggestion(None, "unreadable_answer", prompt.hash, reply)
    if suggested is None or not suggested.strip():
        return Suggestion(None, "nothing_to_suggest", prompt.hash, reply)
    suggestion = cleaned(suggested.strip())[0]
    why = objection(sent, suggestion) or _worse(contribution, suggestion, reviewer)
    return Suggestion(None if why else suggestion, why, prompt.hash, reply)


def objection(original: str, suggestion: str) -> str | None:
    """Say why a suggestion is not the same text in other words; None where nothing shows that.

    >>> objection("Le banc du quai est cassé depuis 2 ans.", "Le banc du quai est cassé depuis 3 ans.")
    'new_number'
    >>> objection("Le banc du quai est cassé.", "Le banc qui est sur le quai est cassé.")
    """
    return next((name for name, holds in _objections(original, suggestion) if holds), None)


def _objections(original: str, suggestion: str) -> Iterator[tuple[str, bool]]:
    known = fold(original)
    yield "longer", len(suggestion) > len(original) * LONGEST + SHORT
    yield "new_number", not set(_NUMBER.findall(suggestion)) <= set(_NUMBER.findall(original))
    yield "new_address", bool(_ADDRESS.search(suggestion)) and not _ADDRESS.search(original)
    yield "new_name", not set(PLACEHOLDER.findall(suggestion)) <= set(PLACEHOLDER.findall(original))
    names = (fold(name.partition("'")[2] or name) for name in _NAME.findall(suggestion))
    yield "new_name", any(name not in known for name in names)
    words, own = _stems(fold(suggestion)), _stems(known)
    yield "another_text", len(words & own) < MIN_SHARED * len(words)


def _stems(text: str) -> set[str]:
    return {word[:STEM] for word in _WORD.findall(text)}


def _worse(contribution: Contribution, suggestion: str, reviewer: Reviewer) -> str | None:
    before = reviewer.validate(contribution)
    after = reviewer.validate(Contribution(contribution.contribution_id, suggestion))
    bad = {Assessment.DOUBTFUL, Assessment.VIOLATED}
    newly = {article for article, told in after.assessed.items() if told in bad} - {
        article for article, told in before.assessed.items() if told in bad
    }
    if _ORDER[after.decision] > _ORDER[before.decision] or newly:
        return "worse_by_the_rules"
    return None
