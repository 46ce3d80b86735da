"""Ask a language model about many texts at once, in a thread of its own, each answer kept as it comes.

Whoever needs answers reads them in order while the next ones are already on their way; how many are
is bounded. What was answered is kept before anything is done with it, so that a crash pays for
nothing twice.
"""

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

from include.errors import ProviderUnavailableError, UnreadableAnswerError
from include.ports import AnswerKey, AnswerStore, LanguageModel, Question, Reply

READS = 2
"""An answer that cannot be read is asked for once more: each costs as much as the first."""

AHEAD = 3
"""Questions begun ahead of the one that is waited for, for each that may be on its way."""

LEAVE_S = 35.0
"""What is on its way was paid for: its answer is waited for and kept; a call's deadline is shorter."""

ItemT = TypeVar("ItemT")

log = logging.getLogger(__name__)


class Asking:
    """A model, what it answered before, and a thread in which it is asked."""

    def __init__(self, model: LanguageModel, store: AnswerStore) -> None:
        self.model = model
        self._store = store
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._room: asyncio.Semaphore | None = None
        self._begun: dict[AnswerKey, Future[Reply]] = {}
        self._leaving = False

    def begin(self, question: Question, read: Callable[[Reply], Any]) -> Future[Reply]:
        """Ask, unless this was asked already; the answer comes through the future.

        Args:
            question: What to ask.
            read: Raises :class:`UnreadableAnswerError` for an answer to be asked for once more.
        """
        begun = self._begun.get(question.key)
        if begun is None:
            begun = asyncio.run_coroutine_threadsafe(
                self._answer(question, read), self._running_loop()
            )
            self._begun[question.key] = begun
        return begun

    def result(self, question: Question, read: Callable[[Reply], Any]) -> Reply:
        """Ask and wait; an answer is handed out once, then the ledger has it.

        Raises:
            ProviderUnavailableError, ProviderRefusedError: As :meth:`LanguageModel.ask`.
            UnreadableAnswerError: The endpoint speaks another protocol.
        """
        future = self.begin(question, read)
        try:
            return future.result()
        except CancelledError:
            raise ProviderUnavailableError(f"{self.model.name}: asking was ended") from None
        finally:
            self._begun.pop(question.key, None)

    def ahead(self, items: Iterable[ItemT], begin: Callable[[ItemT], Any]) -> Iterator[ItemT]:
        """Yield the items in order, with the questions of the next ones begun."""
        waiting: list[ItemT] = []
        most = max(1, self.model.concurrency) * AHEAD
        for item in items:
            begin(item)
            waiting.append(item)
            if len(waiting) > most:
                yield waiting.pop(0)
        yield from waiting

    def close(self, wait_s: float = LEAVE_S) -> None:
        """Begin nothing more, wait for what is on its way, and give connections back."""
        if self._loop is None or self._thread is None:
            self._store.close()
            return
        self._leaving = True
        ended = asyncio.run_coroutine_threadsafe(self._leave(wait_s), self._loop)
        with suppress(Exception):
            ended.result(wait_s + 10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop = self._thread = None

    async def _answer(self, question: Question, read: Callable[[Reply], Any]) -> Reply:
        kept = self._store.kept(question.key)
        if kept is not None:
            return kept
        assert self._room is not None  # noqa: S101 - made with the loop that runs this
        async with self._room:
            if self._leaving:
                raise ProviderUnavailableError(f"{self.model.name}: asking was ended")
            reply = await self._readable(question, read)
        self._store.keep(question.key, reply)
        return reply

    async def _readable(self, question: Question, read: Callable[[Reply], Any]) -> Reply:
        """Return an answer that can be read, or the last one that cannot."""
        for left in reversed(range(READS)):
            reply = await self.model.ask(question)
            try:
                read(reply)
            except UnreadableAnswerError as error:
                log.warning("%s: %s", reply.provider, error)
                if left and not self._leaving:
                    continue
            return reply
        raise AssertionError("the last answer is returned")

    async def _leave(self, wait_s: float) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if tasks and wait_s > 0:
            await asyncio.wait(tasks, timeout=wait_s)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        await self.model.close()
        self._store.close()

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._room = asyncio.Semaphore(max(1, self.model.concurrency))
            # A daemon: an interpreter that must end does not wait for a provider.
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="model-asking", daemon=True
            )
            self._thread.start()
        return self._loop
