"""The model reviewer: the embedded rules and a connected language model, weighed against each other.

It speaks the port :class:`include.ports.Reviewer`. What a model answers is never enough by itself to
accept, and whatever goes wrong with it leads to a person or leaves the rules' result standing, which
then says so and is stored under a rubric of its own, so that it is judged again.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from include.anonymisation import Anonymise
from include.contributions import model_combining
from include.contributions.model import (
    Classification,
    Contribution,
    ModelUse,
    Validation,
)
from include.contributions.model_answers import AnswerForm, SentText, read_answer
from include.contributions.model_asking import LEAVE_S, Asking
from include.contributions.model_combining import MIN_CONFIDENCE, Opinion, Stamp
from include.contributions.model_prompts import Prompt, judging_prompt
from include.errors import (
    CircuitOpenError,
    ProviderRefusedError,
    ProviderUnavailableError,
    UnreadableAnswerError,
)
from include.municipality import Municipality
from include.ports import AnswerKey, Question, Reply, Reviewer

ENGINE = "model"

CODE = ("model_answers", "model_combining", "model_prompts", "model_reviewer")
"""Modules whose code is part of a combined result, besides the rules' own."""

NEVER_ASKED = frozenset({"texte_vide", "texte_trop_long", "manipulation"})
"""Reasons of the rules with which a text goes to a person unsent: no opinion could change that."""

PATIENCE_S = 120.0
"""Providers that are to be back within this are waited for by the task's retries; no longer."""

UNAVAILABLE = "embedded, provider unavailable"
ALONE = "Le modèle connecté n'a pas pu être interrogé : ce résultat est celui des règles seules."

RESULTS_KEPT = 256
"""More than are looked ahead to; few enough for the longest texts to stay in memory."""

ItemT = TypeVar("ItemT")

log = logging.getLogger(__name__)


class RulesAlone:
    """The embedded result where no provider answers: it stands, says so, and is judged again."""

    engine: str = UNAVAILABLE

    def __init__(self, rules: Reviewer) -> None:
        self._rules = rules
        self.rubric_version = f"{rules.rubric_version}-alone"

    def validate(self, contribution: Contribution) -> Validation:
        """Hold the text against the charter, by the rules."""
        found = self._rules.validate(contribution)
        return found.model_copy(update={**self._stamp(), "reasoning": f"{found.reasoning} {ALONE}"})

    def classify(self, contribution: Contribution) -> Classification:
        """Name the subject of the text, by the rules."""
        return self._rules.classify(contribution).model_copy(update=self._stamp())

    def _stamp(self) -> Mapping[str, str]:
        return {"engine": self.engine, "rubric_version": self.rubric_version}


@dataclass(frozen=True, slots=True)
class _Found:
    """What came of asking about one text: an opinion, or the reason why a person is asked."""

    stamp: Stamp
    opinion: Opinion | None = None
    reason: str | None = None


@dataclass
class ModelReviewer:
    """Judges by the rules and by a connected model.

    Attributes:
        rules: The embedded reviewer; its rubric is part of this one's.
        town: Whose charter.
        asking: The model, and what it answered before.
        anonymise: Takes out of a text what would make a person recognisable, or raises
            :class:`include.anonymisation.AnonymisationError`; None for a model in the house.
        min_confidence: Below it a model's acceptance is not used.
        patient: Whether an outage is raised, for a retry to wait for its end, instead of answered
            with the rules alone.
        until: Moment of the monotonic clock after which nobody is asked any more: what is left of a
            task's time is for the rules; None without a limit.
    """

    rules: Reviewer
    town: Municipality
    asking: Asking
    anonymise: Anonymise | None = None
    min_confidence: float = MIN_CONFIDENCE
    patient: bool = False
    until: float | None = None
    engine: str = ENGINE
    rubric_version: str = field(init=False)
    alone: RulesAlone = field(init=False)
    prompt: Prompt = field(init=False)

    def __post_init__(self) -> None:
        """Name the rubric: rules, data, charter, engine, model, prompts and parameters."""
        self.alone = RulesAlone(self.rules)
        self.prompt = judging_prompt(self.town, anonymised=self.anonymise is not None)
        parts = [
            self.rules.rubric_version,
            self.asking.model.name,
            self.asking.model.parameters,
            self.prompt.hash,
            repr(float(self.min_confidence)),
            str(self.anonymise is not None),
            _code(),
        ]
        digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:12]
        self.rubric_version = f"{ENGINE}-{digest}"
        # Each is asked about a text when it is looked ahead to, when it is judged and when it is sorted.
        self._by_rules = lru_cache(maxsize=RESULTS_KEPT)(self.rules.validate)
        self._sent = lru_cache(maxsize=RESULTS_KEPT)(self._as_sent)

    def validate(self, contribution: Contribution) -> Validation:
        """Hold the text against the charter, by the rules and by the model.

        Raises:
            CircuitOpenError: No provider is asked at the moment, and this reviewer is patient.
        """
        rules = self._by_rules(contribution)
        found = self._found(contribution, rules)
        if found is None:
            return self.alone.validate(contribution)
        if found.opinion is not None:
            return model_combining.validated(
                rules, found.opinion, self.town, found.stamp, self.min_confidence
            )
        if found.reason is not None:
            return model_combining.asking(rules, found.reason, self.town, found.stamp)
        return rules.model_copy(update=found.stamp.fields())

    def classify(self, contribution: Contribution) -> Classification:
        """Name the subject of the text; the answer that validating paid for is used.

        Raises:
            CircuitOpenError: As :meth:`validate`.
        """
        found = self._found(contribution, self._by_rules(contribution))
        rules = self.rules.classify(contribution)
        if found is None:
            return self.alone.classify(contribution)
        if found.opinion is None:
            return rules.model_copy(update=found.stamp.fields())
        return model_combining.classified(
            rules, found.opinion, contribution, found.stamp, self.min_confidence
        )

    def ahead(
        self, items: Iterable[ItemT], text_of: Callable[[ItemT], Contribution]
    ) -> Iterator[ItemT]:
        """Yield items in order while the model is asked about the next ones."""
        return self.asking.ahead(items, lambda item: self._begin(text_of(item)))

    def question(self, text: str) -> Question:
        """Write the question about a text, as it would be sent."""
        return self._question(SentText(text))

    def close(self, wait_s: float = LEAVE_S) -> None:
        """Wait for what is on its way, keep it, and leave."""
        self.asking.close(wait_s)

    def _begin(self, contribution: Contribution) -> None:
        if self._is_late() or self._by_rules(contribution).review_reason in NEVER_ASKED:
            return
        text = self._sent(contribution.text)
        if text is None:
            return
        question = self._question(text)
        self.asking.begin(question, lambda reply: _readable(reply, _id(text)))

    def _found(self, contribution: Contribution, rules: Validation) -> _Found | None:
        """Ask about one text; None where nobody answered and the rules stand alone."""
        if rules.review_reason in NEVER_ASKED:
            return _Found(Stamp(f"{ENGINE}, not asked", self.rubric_version))
        text = self._sent(contribution.text)
        if text is None:
            stamp = Stamp(f"{ENGINE}, not sent", self.rubric_version)
            return _Found(stamp, reason="anonymisation_doubtful")
        try:
            reply = self._reply(text)
        except CircuitOpenError as error:
            if self.patient and (error.retry_after_s or 0) <= PATIENCE_S:
                raise
            return None
        except (ProviderUnavailableError, ProviderRefusedError):
            # Told once where it happened; here it is one text among many.
            return None
        except UnreadableAnswerError:
            return _Found(
                Stamp(f"{ENGINE}, unreadable", self.rubric_version), reason="unreadable_answer"
            )
        return self._weighed(reply, text)

    def _reply(self, text: SentText) -> Reply:
        if self._is_late():
            raise ProviderUnavailableError("no time is left to ask")
        return self.asking.result(self._question(text), lambda reply: _readable(reply, _id(text)))

    def _is_late(self) -> bool:
        return self.until is not None and time.monotonic() >= self.until

    def _weighed(self, reply: Reply, text: SentText) -> _Found:
        stamp = Stamp(
            f"{ENGINE} {reply.model}",
            self.rubric_version,
            ModelUse(
                provider=reply.provider,
                model=reply.model,
                prompt=self.prompt.hash,
                input_tokens=max(0, reply.input_tokens),
                output_tokens=max(0, reply.output_tokens),
                cost_eur=reply.cost_eur,
            ),
        )
        if reply.ending == "declined":
            return _Found(stamp, reason="model_declined")
        try:
            answer = _read(reply, _id(text))
        except UnreadableAnswerError:
            return _Found(stamp, reason="unreadable_answer")
        return _Found(stamp, model_combining.opinion(answer, text, self.town))

    def _as_sent(self, text: str) -> SentText | None:
        """Take a text as it may be sent; None for one that may not."""
        if self.anonymise is None:
            return SentText(text)
        try:
            return SentText(text, self.anonymise(text))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, the text stays here
            log.warning("a text is not sent: %s", type(error).__name__)
            return None

    def _question(self, text: SentText) -> Question:
        return Question(
            AnswerKey(
                _hash(text.sent), self.prompt.hash, self.asking.model.name, self.rubric_version
            ),
            "judge",
            self.prompt.instructions,
            {"id": _id(text), "texte": text.sent},
            self.prompt.form,
        )


def _readable(reply: Reply, expected_id: str) -> None:
    """Raise for an answer that is worth asking for once more."""
    if reply.ending != "declined":
        _read(reply, expected_id)


def _read(reply: Reply, expected_id: str) -> AnswerForm:
    if reply.ending == "cut_off":
        raise UnreadableAnswerError("the answer was cut off at its longest")
    return read_answer(reply.content, expected_id)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _id(text: SentText) -> str:
    """Name the text to a provider; the citizen's own id stays here."""
    return f"texte-{_hash(text.sent)[:12]}"


def _code() -> str:
    folder = Path(__file__).parent
    lines = (line for name in CODE for line in (folder / f"{name}.py").read_bytes().splitlines())
    return hashlib.sha256(b"\n".join(lines)).hexdigest()
