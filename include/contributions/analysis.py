"""Run one step over one chunk of contributions, so that a retry goes on where the last attempt stopped.

Neighbours: :mod:`include.contributions.processors` names the steps; ``participation.ledger``
is the store. Results are saved every few hundred items, or every few seconds, under the chunk's lease;
an item that fails for good is set aside with its reason while the rest goes on. After an attempt that
died, the items of its unsaved batch are judged one by one, so that the one that kills is found.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from include.contributions.model import Classification, Contribution, Validation
from include.contributions.processors import contribution_context
from include.contributions.sources.boundary import cleaned
from include.errors import ProcessingError, RubricChangedError, says_it_passes
from include.processing.model import ErrorStrategy, ItemOutcome, ProcessingContext, Step
from include.processing.workflow import run_step_over_items

SAVE_EVERY = 500
"""Results stored in one transaction: a kill costs at most this many judgements, half a second of work."""

SAVE_AFTER_S = 5.0
"""... and at most so much work of a slow reviewer; one judgement may take longer than that."""

DEATHS = 2
"""A contribution over which the process died so often, judged alone, is set aside."""

SYSTEMATIC = 20
"""When so many contributions fail and none of the chunk succeeds, the step is broken, not the texts."""

ANSWERS: dict[str, type[BaseModel]] = {"validate": Validation, "classify": Classification}
"""The form in which a later step reads an earlier step's stored output."""

CONTROL = "\\u"
"""How JSON writes a control character, NUL among them."""

NEEDS: dict[str, tuple[str, ...]] = {"evaluate": ("validate", "classify")}
"""Which earlier outputs a step reads."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for a chunk, until another attempt takes it."""

    chunk_id: int
    token: str
    rubric_version: str


@dataclass(frozen=True, slots=True)
class WaitingItem:
    """A contribution that lacks a step's result, with the stored outputs (JSON) of earlier steps.

    ``begun`` counts how often the step began it alone and never came back.
    """

    contribution: Contribution
    input_hash: str
    earlier: Mapping[str, str]
    begun: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """One result, ready to be stored; ``output`` is JSON."""

    item_id: str
    input_hash: str
    output: str
    confidence: float
    engine: str


@dataclass(frozen=True, slots=True)
class ItemFailure:
    """One contribution that a step cannot judge, and why."""

    item_id: str
    reason: str
    detail: str


class ChunkStore(Protocol):
    """What a step over a chunk asks of the ledger."""

    def take_lease(self, chunk_id: int) -> Lease:
        """Become the one attempt that writes for a chunk."""

    def waiting_items(
        self, lease: Lease, step: str, needs: Sequence[str], limit: int
    ) -> Iterator[list[WaitingItem]]:
        """Yield what lacks a result of the step, ``limit`` at a time."""

    def begin_alone(self, lease: Lease, step: str, item_id: str) -> None:
        """Note, before it is judged, that an item is judged alone; saving it takes the note away."""

    def end_alone(self, lease: Lease, step: str, item_id: str) -> None:
        """Take one such note back: nothing was saved, but the process is alive to say so."""

    def has_results(self, lease: Lease, step: str) -> bool:
        """Say whether any contribution of the chunk has its result of the step."""

    def save(
        self,
        lease: Lease,
        step: str,
        answers: Iterable[Answer],
        failures: Iterable[ItemFailure],
    ) -> int:
        """Store a batch under the lease and return how many results were new."""

    def split_off(self, lease: Lease, rubric_version: str, item_ids: Sequence[str]) -> None:
        """Move items to a chunk of their own under another rubric."""


@dataclass(slots=True)
class ChunkCounts:
    """What one attempt did: contributions taken, results stored, items set aside or moved.

    ``split_off`` counts those that were answered under another rubric than the chunk's.
    """

    taken: int = 0
    stored: int = 0
    set_aside: int = 0
    split_off: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How a step goes through its items.

    Attributes:
        ahead: Yields a batch in order, and may begin work on what comes next.
        save_after_s: How long results are held back at most.
    """

    ahead: Callable[[Sequence[WaitingItem]], Iterable[WaitingItem]] = iter
    save_after_s: float = SAVE_AFTER_S


def judge_chunk(
    chunk_id: int,
    step: Step,
    store: ChunkStore,
    rubric_version: str,
    progress: Callable[[ChunkCounts], None] = lambda _: None,
    *,
    last_attempt: bool = False,
    after_death: bool = False,
    clock: Callable[[], float] = time.monotonic,
    pace: Pace | None = None,
) -> ChunkCounts:
    """Give every contribution of a chunk the result of one step.

    Args:
        chunk_id: The chunk as the ledger knows it.
        step: The processor and its limits; results are stored under the processor's name.
        store: Takes the lease, hands out what is still waiting and keeps the answers.
        rubric_version: Of the reviewer that the step asks.
        progress: Told the counts so far whenever results were saved.
        last_attempt: No retry will follow: an item that failed in a way that another attempt might
            have mended is set aside as well, and many odd texts in a row do not end the attempt, so
            that they do not hold up their chunk. Only when none succeeds is none set aside.
        after_death: The attempt before was killed or ran out of time: what it may have been at is
            judged one by one.
        clock: Counts seconds.
        pace: How the step goes through its items.

    An answer under another rubric than the chunk's is not stored under it: its item is moved to a chunk
    that has that rubric.

    Raises:
        ProcessingError: An item failed in a way that another attempt may mend, or nothing succeeds;
            the batches before are stored.
        RubricChangedError: The rules are others than when the chunk was cut; nothing was stored.
        LeaseLostError: Another attempt took the chunk over; it will do the rest.
    """
    name = step.processor.name
    lease = store.take_lease(chunk_id)
    if lease.rubric_version != rubric_version:
        raise RubricChangedError(
            f"chunk {chunk_id} was cut under {lease.rubric_version}, the rules are now "
            f"{rubric_version}: the next run judges it anew, or clear this run from `split` on"
        )
    pace = pace or Pace()
    work = _Work(step, store, lease, progress, clock, last_attempt, pace.save_after_s)
    for batch in store.waiting_items(lease, name, NEEDS.get(name, ()), SAVE_EVERY):
        if after_death or any(item.begun for item in batch):
            for item in pace.ahead(batch):
                work.judge_alone(item)
        else:
            work.judge(pace.ahead(batch))
        work.save()
        after_death = False
        progress(work.counts)
    work.finish()
    return work.counts


@dataclass(slots=True)
class _Work:
    """One attempt at a chunk."""

    step: Step
    store: ChunkStore
    lease: Lease
    progress: Callable[[ChunkCounts], None]
    clock: Callable[[], float]
    last_attempt: bool
    save_after_s: float = SAVE_AFTER_S
    counts: ChunkCounts = field(default_factory=ChunkCounts)
    answers: list[Answer] = field(default_factory=list)
    failures: list[ItemFailure] = field(default_factory=list)
    elsewhere: dict[str, list[str]] = field(default_factory=dict)
    last_error: ProcessingError | None = None
    succeeded: bool = False

    def judge(self, items: Iterable[WaitingItem]) -> None:
        """Ask the step; what it answers is saved as time goes by, and the rest by :meth:`save`."""
        hashes: dict[str, str] = {}
        contexts = (_noted(item, hashes) for item in items)
        saved_at = self.clock()
        for outcome in run_step_over_items(self.step, contexts, strategy=ErrorStrategy.CONTINUE):
            if outcome.error is None:
                self._take(outcome, hashes.pop(outcome.item_id))
                self.succeeded = True
            else:
                failure = _set_aside(outcome.item_id, outcome.error, self.last_attempt)
                self.failures.append(failure)
                self.last_error = outcome.error
                if self._looks_broken() and not self.last_attempt:
                    raise outcome.error
            # Failures alone are kept back: the step may turn out to be what is broken.
            if self.answers and self.clock() - saved_at >= self.save_after_s:
                self.save()
                self.progress(self.counts)
                saved_at = self.clock()

    def judge_alone(self, item: WaitingItem) -> None:
        """Judge one item under a note that stays when the process dies over it, and only then."""
        item_id = item.contribution.contribution_id
        if item.begun >= DEATHS:
            detail = (
                f"{self.step.name}: the process died {item.begun} times while it judged this "
                "contribution alone (killed, out of memory or out of time)"
            )
            self._store([], [ItemFailure(item_id, "process_died", detail)])
            return
        self.store.begin_alone(self.lease, self.step.name, item_id)
        try:
            self.judge([item])
            if self.answers or self.elsewhere:
                self.save()
            else:
                self._end_alone(item_id)
        except Exception:
            self._end_alone(item_id)
            raise

    def save(self) -> None:
        """Store the answers and failures so far; failures stay back while the step looks broken."""
        if (self.answers or self.failures) and not self._looks_broken():
            self._store(self.answers, self.failures)
            self.answers, self.failures = [], []
        for rubric_version, item_ids in self.elsewhere.items():
            self.store.split_off(self.lease, rubric_version, item_ids)
            self.counts.split_off += len(item_ids)
        self.elsewhere = {}

    def finish(self) -> None:
        """Fail when the whole chunk went by and what failed is still kept back."""
        if self.failures and self.last_error is not None:
            raise self.last_error

    def _take(self, outcome: ItemOutcome, input_hash: str) -> None:
        """Keep an answer for this chunk, or its item for the chunk that its rubric asks for."""
        result: Any = outcome.result
        if result.rubric_version == self.lease.rubric_version:
            self.answers.append(_answer(outcome, input_hash))
        else:
            self.elsewhere.setdefault(result.rubric_version, []).append(outcome.item_id)

    def _looks_broken(self) -> bool:
        """Say whether many failed and nothing of the chunk succeeded, in earlier attempts either."""
        if self.succeeded or len(self.failures) < SYSTEMATIC:
            return False
        self.succeeded = self.store.has_results(self.lease, self.step.name)
        return not self.succeeded

    def _store(self, answers: list[Answer], failures: list[ItemFailure]) -> None:
        stored = self.store.save(self.lease, self.step.name, answers, failures)
        self.counts.taken += len(answers) + len(failures)
        self.counts.stored += stored
        self.counts.set_aside += len(failures)

    def _end_alone(self, item_id: str) -> None:
        # Best effort: the ledger may be what failed, and that error must not hide behind this one.
        with suppress(Exception):
            self.store.end_alone(self.lease, self.step.name, item_id)


def _noted(item: WaitingItem, hashes: dict[str, str]) -> tuple[str, ProcessingContext]:
    item_id = item.contribution.contribution_id
    hashes[item_id] = item.input_hash
    return item_id, _context(item)


def _context(item: WaitingItem) -> ProcessingContext:
    return contribution_context(
        item.contribution,
        {step: ANSWERS[step].model_validate_json(output) for step, output in item.earlier.items()},
    )


def _answer(outcome: ItemOutcome, input_hash: str) -> Answer:
    result: Any = outcome.result
    engine, _ = cleaned(result.engine)
    return Answer(outcome.item_id, input_hash, _storable(result), result.confidence, engine)


def _storable(result: BaseModel) -> str:
    """Write a result as JSON that any store takes; a reviewer's words come from outside as well."""
    try:
        written = result.model_dump_json()
    except PydanticSerializationError:  # a lone surrogate
        written = CONTROL
    # Other characters than controls are written as they are.
    return to_json(_cleaned(result.model_dump())).decode() if CONTROL in written else written


def _cleaned(value: Any) -> Any:
    match value:
        case str():
            return cleaned(value)[0]
        case Mapping():
            return {_cleaned(key): _cleaned(each) for key, each in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_cleaned(each) for each in value]
    return value


def _set_aside(item_id: str, error: ProcessingError, last_attempt: bool) -> ItemFailure:  # noqa: FBT001 - one private caller
    if says_it_passes(error) and not last_attempt:
        raise error
    return ItemFailure(item_id, type(error.cause).__name__, cleaned(str(error))[0][:2000])
