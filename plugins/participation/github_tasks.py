"""Read the issues and discussions of GitHub repositories into the ledger.

Which ones says the HTTP connection ``participation_github``: its host is the REST interface
(``api.github.com``), its password the token, its extra ``{"repository": "owner/name", "kinds":
["issues", "discussions"]}``; ``repository`` may be a list.
"""

import logging
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from traceback import format_tb
from typing import Any

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSkipException

from include.contributions.readings import load_reading
from include.contributions.sources import github
from include.contributions.sources.dates import PARIS
from include.errors import (
    ParticipationError,
    PermanentError,
    ProviderUnavailableError,
    TransientError,
    UnreadableAnswerError,
    cause_chain,
)
from include.ports import WebClient
from participation.ledger.loading import LedgerLoading
from participation.ledger.web_sources import LedgerWebSources
from participation.steps import Visit

LONGEST_WAIT_S = 300.0
"""What this task waits when GitHub asks for it; after a longer wait a later load asks again, so that
the next load of the inbox is never kept waiting."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Told:
    """What one attempt did, as far as it came."""

    unchanged: int = 0
    changed: int = 0
    records: int = 0
    broken: int = 0
    added: int = 0
    days: set[date] = field(default_factory=set)
    failed: list[str] = field(default_factory=list)
    waiting: str = ""
    may_pass: bool = False


def load_github(visit: Visit, folder: str | None = None) -> dict[str, Any]:
    """Read what changed since the last reading; one repository that fails costs no other.

    Raises:
        AirflowSkipException: No connection, only a folder was asked for, or GitHub wants to be left
            alone for longer than this task waits.
        ProviderUnavailableError: GitHub asks to wait a little; what was read is stored.
        TransientError: Something could not be read; all else is stored.
        PermanentError: The same, and only a person can change it.
    """
    if folder:
        raise AirflowSkipException("nothing to do: only a folder of the inbox was asked for")
    from participation.hooks.web import (  # noqa: PLC0415 - loads the HTTP library
        GITHUB_CONN_ID,
        site_of,
        web_client,
    )

    try:
        connection = BaseHook.get_connection(GITHUB_CONN_ID)
    except AirflowNotFoundException:
        raise AirflowSkipException(
            f"nothing to do: there is no connection {GITHUB_CONN_ID}"
        ) from None
    api = site_of(connection)
    wanted = github.wanted(connection.extra_dejson)
    sites = LedgerWebSources(visit.connection, visit.settings.municipality)
    if wait_s := sites.wait_s(api):
        raise AirflowSkipException(_asks_to_wait(wait_s))
    told = _read_all(visit, sites, web_client(connection), api, wanted)
    visit.input_size = told.records + told.broken
    visit.output_size = told.added
    if told.failed:
        kind = TransientError if told.may_pass else PermanentError
        raise kind(f"{len(told.failed)} could not be read: {'; '.join(told.failed[:5])}")
    if told.waiting and not told.changed + told.unchanged:
        raise AirflowSkipException(told.waiting)
    days = sorted(map(str, told.days))
    counts = {name: value for name, value in asdict(told).items() if isinstance(value, int)}
    del counts["may_pass"]
    return {**counts, "waiting": told.waiting, "day_count": len(days), "days": days[:100]}


def _read_all(
    visit: Visit,
    sites: LedgerWebSources,
    client: WebClient,
    api: str,
    wanted: tuple[github.Wanted, ...],
) -> _Told:
    store = LedgerLoading(visit.connection, visit.settings.municipality, visit.attempt.run_id)
    load_id = store.begin_load(api)
    told = _Told()
    for each in wanted:
        visit.item = each.uri(api)
        try:
            _read_one(store, load_id, sites, client, api, each, told)
        except ProviderUnavailableError as error:
            if error.retry_after_s is None:
                _note_failure(told, each, error)
            elif error.retry_after_s <= LONGEST_WAIT_S:
                store.end_load(load_id, [str(error)])
                raise
            else:
                # One limit holds for all that the token may read.
                sites.leave_alone(api, error.retry_after_s)
                told.waiting = _asks_to_wait(error.retry_after_s)
                log.warning("%s", told.waiting)
                break
        except (TransientError, PermanentError) as error:
            _note_failure(told, each, error)
    store.end_load(load_id, [sentence for sentence in (told.waiting, *told.failed) if sentence])
    return told


def _read_one(
    store: LedgerLoading,
    load_id: int,
    sites: LedgerWebSources,
    client: WebClient,
    api: str,
    wanted: github.Wanted,
    told: _Told,
) -> None:
    uri = wanted.uri(api)
    marker = sites.marker(uri)
    try:
        reading = wanted.read(client, api, marker)
    except ParticipationError:
        raise
    except Exception as error:  # noqa: BLE001 - what nobody foresaw in an answer costs its repository
        # Where it happened, without the error's words: they may be a citizen's.
        log.warning("reading %s failed\n%s", uri, "".join(format_tb(error.__traceback__)))
        raise UnreadableAnswerError(f"reading failed with {type(error).__name__}") from None
    if reading.unchanged:
        told.unchanged += 1
        return
    today = datetime.now(UTC).astimezone(PARIS).date()
    form = f"github_{wanted.kind}"
    counts = load_reading(store, load_id, uri, form, reading.records, today)
    sites.note(uri, reading.marker)
    told.changed += 1
    told.records += counts.records
    told.broken += counts.broken
    told.added += counts.added
    told.days.update(counts.days)


def _note_failure(told: _Told, wanted: github.Wanted, error: Exception) -> None:
    log.warning("%s of %s not read", wanted.kind, wanted.repository, exc_info=error)
    told.failed.append(f"{wanted.repository} {wanted.kind}: {cause_chain(error)}"[:500])
    told.may_pass = told.may_pass or isinstance(error, TransientError)


def _asks_to_wait(wait_s: float) -> str:
    return f"GitHub asks to be left alone for {wait_s:.0f} s: a load after that asks again"
