"""A reviewer that takes its time, behind the port of the real one, and contributions to give it.

The steps over a chunk ask a reviewer one text after another. A reviewer that waits for an answer from
outside would leave its process idle; :class:`PreparingStore` lets it think about a whole batch at once
before the step asks.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from bench import work
from include.contributions.analysis import Answer, ChunkStore, ItemFailure, Lease, WaitingItem
from include.contributions.model import (
    Category,
    Classification,
    Contribution,
    Decision,
    Evidence,
    Record,
    Validation,
)

RUBRIC = "simulated-1"

DAY = date(2026, 2, 2)


@dataclass
class SimulatedReviewer:
    """Answers by the number in a text, after a pause; prepared texts need no pause any more."""

    engine: str = "simulated"
    rubric_version: str = RUBRIC
    concurrency: int = work.CONCURRENCY // work.PROCESSES
    _prepared: set[str] = field(default_factory=set)

    def prepare(self, contributions: Sequence[Contribution]) -> None:
        """Think about many texts at once."""
        asyncio.run(
            work.bounded(range(len(contributions)), self.concurrency, lambda _: work.review())
        )
        self._prepared = {each.contribution_id for each in contributions}

    def validate(self, contribution: Contribution) -> Validation:
        """Accept, or send every tenth to a person."""
        if contribution.contribution_id not in self._prepared:
            time.sleep(work.REVIEW_S)
        decision = Decision(work.answer("validate", number_of(contribution))["decision"])
        accepted = decision is Decision.ACCEPT
        quote = contribution.text[:12]
        return Validation(
            decision=decision,
            is_valid=True if accepted else None,
            violations=(),
            encouraged_aspects=("proposition concrète",) if accepted else (),
            reasoning="Réponse simulée.",
            confidence=0.9,
            assessed={},
            evidence=(Evidence(start=0, end=len(quote), quote=quote, rule="simulated"),),
            review_reason=None if accepted else "simulated",
            engine=self.engine,
            rubric_version=self.rubric_version,
        )

    def classify(self, contribution: Contribution) -> Classification:
        """Name the category that belongs to the number."""
        category = Category(work.answer("classify", number_of(contribution))["category"])
        return Classification(
            category=category,
            reasoning="Réponse simulée.",
            confidence=0.9,
            engine=self.engine,
            rubric_version=self.rubric_version,
        )


@dataclass(frozen=True)
class PreparingStore:
    """Hands a chunk's store on, and each batch to the reviewer before the step sees it."""

    store: ChunkStore
    reviewer: SimulatedReviewer

    def take_lease(self, chunk_id: int) -> Lease:
        """As the store does."""
        return self.store.take_lease(chunk_id)

    def waiting_items(
        self, lease: Lease, step: str, needs: Sequence[str], limit: int
    ) -> Iterator[list[WaitingItem]]:
        """As the store does; a batch to validate is prepared first."""
        for batch in self.store.waiting_items(lease, step, needs, limit):
            if step == "validate":
                self.reviewer.prepare([item.contribution for item in batch])
            yield batch

    def begin_alone(self, lease: Lease, step: str, item_id: str) -> None:
        """As the store does."""
        self.store.begin_alone(lease, step, item_id)

    def end_alone(self, lease: Lease, step: str, item_id: str) -> None:
        """As the store does."""
        self.store.end_alone(lease, step, item_id)

    def has_results(self, lease: Lease, step: str) -> bool:
        """As the store does."""
        return self.store.has_results(lease, step)

    def save(
        self,
        lease: Lease,
        step: str,
        answers: Iterable[Answer],
        failures: Iterable[ItemFailure],
    ) -> int:
        """As the store does."""
        return self.store.save(lease, step, answers, failures)

    def split_off(self, lease: Lease, rubric_version: str, item_ids: Sequence[str]) -> None:
        """As the store does."""
        self.store.split_off(lease, rubric_version, item_ids)


def records(numbers: Iterable[int], day: date) -> Iterator[Record]:
    """Yield one readable entry per number."""
    for number in numbers:
        yield Record(
            source="bench",
            external_id=str(number),
            constat_factuel=f"Contribution simulée numéro {number}.",
            idees_ameliorations="",
            declared_category=None,
            submitted_on=day,
            locator=f"item {number}",
        )


def number_of(contribution: Contribution) -> int:
    """Read the number of a text back."""
    return int(contribution.constat_factuel.rstrip(".").rsplit(" ", 1)[1])
