"""How workers of a document step share documents, and how each step ends: its books, its failures."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import psycopg
from airflow.sdk.exceptions import AirflowSkipException

from include.documents.parsing import PARSER_VERSION
from include.errors import (
    ConfigurationError,
    PermanentError,
    ProviderRefusedError,
    ProviderUnavailableError,
    RequestRefusedError,
    TransientError,
    cause_chain,
    is_transient,
)
from participation.ledger import document_books, metrics
from participation.ledger.locks import item_lock
from participation.progress import Progress
from participation.steps import Visit

OnError = Literal["stop", "continue", "retry"]
Outcome = Literal["done", "set_aside", "failed", "elsewhere"]

OF_THE_DOCUMENT = (
    RequestRefusedError,
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
)
"""What a provider or the ledger does not take of one document; it may well take the next."""

log = logging.getLogger(__name__)


def workers(visit: Visit, waiting: int, cores: int, otherwise: str) -> list[int]:
    """Number the workers for some waiting documents.

    Raises:
        AirflowSkipException: There are none, for the reason given.
    """
    visit.input_size = waiting
    visit.output_size = count = min(waiting, max(cores, 1))
    if not count:
        raise AirflowSkipException(f"nothing to do: {otherwise}")
    log.info("%s documents wait, %s workers", waiting, count)
    return list(range(count))


@dataclass(slots=True)
class Turns:
    """What one worker did; ``elsewhere`` counts what another one had in its hands."""

    done: int = 0
    set_aside: int = 0
    elsewhere: int = 0
    failed: list[str] = field(default_factory=list)
    helps_to_retry: bool = False

    def __str__(self) -> str:
        told = [f"{self.done} done"]
        told += [f"{self.set_aside} set aside"] if self.set_aside else []
        told += [f"{len(self.failed)} failed"] if self.failed else []
        told += [f"{self.elsewhere} by others"] if self.elsewhere else []
        return ", ".join(told)

    def docket(self, **more: Any) -> dict[str, Any]:
        """For the next task: counts, and the first failures."""
        return {
            "done": self.done,
            "set_aside": self.set_aside,
            "elsewhere": self.elsewhere,
            "failed": [sentence[:200] for sentence in self.failed[:10]],
            **more,
        }


def take_turns(
    visit: Visit,
    step: str,
    ids: Iterable[str],
    work: Callable[[str], Outcome],
    on_error: OnError = "retry",
    amount: Callable[[], str] = str,
) -> Turns:
    """Do a step of each document that nobody else holds.

    ``work`` says ``elsewhere`` when another worker did it in the meantime. With ``continue`` a
    document that fails is left for the next run; with ``retry`` the others go on and the task is
    tried again; ``stop`` ends at the first one. ``amount`` words what was read or stored so far: the
    log, and Airflow beside the running task, say after each document how far this worker is.

    Raises:
        ProviderUnavailableError, ProviderRefusedError, ConfigurationError: At once: they are about
            no single document.
        TransientError: Documents failed; what was done stays done.
        PermanentError: Documents failed, and would again; or, as asked, the first trouble ended the
            work.
        AirflowSkipException: The other workers left nothing to do.
    """
    turns = Turns()
    ids = list(ids)
    progress = Progress(visit.context)
    for place, document_id in enumerate(ids, start=1):
        progress.say(
            f"{place} of {len(ids)}: document {document_id[:12]} ({_so_far(turns, amount)})"
        )
        with item_lock(visit.connection, step, document_id) as taken:
            outcome = _attempted(visit, turns, document_id, work) if taken else "elsewhere"
        turns.elsewhere += outcome == "elsewhere"
        turns.done += outcome == "done"
        turns.set_aside += outcome == "set_aside"
        if on_error == "stop" and outcome in {"failed", "set_aside"}:
            raise PermanentError(
                f"stopped at document {document_id}, as asked: "
                f"{turns.failed[0] if turns.failed else 'it was set aside, see the ledger'}"
            )
    progress.end(_so_far(turns, amount))
    visit.input_size = turns.done + turns.set_aside + len(turns.failed)
    visit.output_size = turns.done
    if turns.failed and on_error == "retry":
        kind = TransientError if turns.helps_to_retry else PermanentError
        raise kind(f"{len(turns.failed)} documents failed: {'; '.join(turns.failed[:5])}")
    if not visit.input_size:
        raise AirflowSkipException("nothing left for this worker: the others did it")
    return turns


def balanced(visit: Visit, **more: Any) -> dict[str, Any]:
    """Balance the town's documents and pages for a docket; red when a task of the run failed.

    Raises:
        ReconciliationError: A document or a page is nowhere.
        PermanentError: The books balance, but tasks of this run failed.
    """
    books = document_books.balance(visit.connection, visit.settings.municipality, PARSER_VERSION)
    visit.input_size, visit.output_size = books.documents, books.parsed
    check_run(visit)
    return {"books": books.as_dict(), **more}


def check_run(visit: Visit) -> None:
    """Close what lost attempts left open, and turn the run red when one of its tasks failed.

    Raises:
        PermanentError: Tasks failed; what the others did stays.
    """
    metrics.close_lost(
        visit.connection, visit.attempt.dag_id, visit.attempt.run_id, keep=visit.attempt
    )
    if failed := visit.failed_tasks():
        raise PermanentError(
            f"the books balance, but tasks failed: {failed}; clear them, or let the next run take "
            "what they left"
        )


def _so_far(turns: Turns, amount: Callable[[], str]) -> str:
    return ", ".join(part for part in (str(turns), amount()) if part)


def _attempted(
    visit: Visit, turns: Turns, document_id: str, work: Callable[[str], Outcome]
) -> Outcome:
    visit.item = f"document {document_id}"
    try:
        return work(document_id)
    except OF_THE_DOCUMENT as error:
        return _failed(turns, document_id, error)
    except (psycopg.Error, ProviderUnavailableError, ProviderRefusedError, ConfigurationError):
        # The next document would meet the same, and cost as much time or money.
        raise
    except Exception as error:  # noqa: BLE001 - nobody foresaw it: this document waits, not the others
        return _failed(turns, document_id, error)


def _failed(turns: Turns, document_id: str, error: Exception) -> Outcome:
    log.warning("document %s failed", document_id, exc_info=error)
    turns.failed.append(f"{document_id[:12]}: {cause_chain(error)}")
    turns.helps_to_retry |= is_transient(error)
    return "failed"
