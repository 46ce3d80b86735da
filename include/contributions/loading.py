"""Load what citizens sent from a folder, or from one file, into a store.

Every file is read once for its fingerprint; one that the store already knows is linked, any other
is handed over entry by entry, in one transaction. Nothing here knows where records end up.

A file waits, and nothing of it is stored, while it changes under our eyes, or when it ends in the
middle of an entry and was written to within the last ``SETTLING_S`` seconds. An older file that
ends so is not going to grow: what is whole is loaded and the rest becomes a broken record.

A table or a mail without a last line end may be whole, as many programs leave them, or cut off in
its last words. One that was just written gets ``QUIET_S`` seconds within this load: unchanged after
them it counts as whole, so whoever loads a fresh file sees its texts and never waits longer.

The work on one file is bounded: after ``MAX_ENTRIES`` entries, or ``MAX_BROKEN`` broken ones, the
rest of it is one broken record that says so.

A file that the store refuses costs no other: all others are stored, then the load ends with an
error that names it. Where the store itself went away the load stops there.

Sentences about files are in English, for operators; those about entries in French, for clerks.
"""

import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import INCOMPLETE, TRUNCATED, broken, plausible_day
from include.contributions.sources.dates import PARIS
from include.contributions.sources.encodings import fingerprint
from include.contributions.sources.registry import detect
from include.errors import (
    EmptySourceError,
    PermanentError,
    UnreadableSourceError,
    says_it_passes,
)
from include.folders import (
    QUIET_S,
    SETTLING_S,
    absolute_name,
    is_temporary,
    leads_inside,
    shown_name,
    signature,
)
from include.ports import LoadingStore, Source, SourceFile

MAX_ENTRIES = 500_000
"""Per file: loaded well within the load's time limit, and many times what a town receives."""

MAX_BROKEN = 50_000
"""Per file: a tenth of a large one; with more it is not what it seems to be."""

_SELF_CLOSING_FORMS = ("json", "jsonl")
"""Brackets say where these are whole; the others may end in any word."""

_NAMED = 10
"""Refused files that an error names; the log has every one."""

_FORMS = "JSON, JSONL, CSV or a mail of the form"

_SHOWN_FOREIGN = 5
"""Files named that hold no contributions; a folder of documents has hundreds."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """What one load did.

    Attributes:
        load_id: As the store knows it.
        files: Files stored by this load.
        unchanged: Files that were known, and were linked to this load.
        records: Readable entries of the stored files.
        broken: Entries of the stored files that cannot be used.
        added: How many records were new contributions.
        days: Received days with new contributions, in order.
        waiting: One sentence per file that is not whole yet.
        notices: One sentence per file or folder that was left out for good.
        failed: One sentence per file that the store refused; nothing of it is stored.
    """

    load_id: int
    files: int
    unchanged: int
    records: int
    broken: int
    added: int
    days: tuple[date, ...]
    waiting: tuple[str, ...]
    notices: tuple[str, ...]
    failed: tuple[str, ...] = ()


class RefusedFilesError(PermanentError):
    """The store refused some files, and took all others; ``outcome`` says what it holds now."""

    def __init__(self, outcome: LoadOutcome) -> None:
        failed = outcome.failed
        more = f" (and {len(failed) - _NAMED})" if len(failed) > _NAMED else ""
        super().__init__(
            f"load {outcome.load_id}: {len(failed)} files could not be stored, {outcome.files} were; "
            f"mend or remove them and load again: {' '.join(failed[:_NAMED])}{more}"
        )
        self.outcome = outcome

    def __reduce__(self) -> tuple[type["RefusedFilesError"], tuple[LoadOutcome]]:
        """Survive the way through a queue."""
        return type(self), (self.outcome,)


@dataclass(frozen=True, slots=True)
class _Readable:
    file: SourceFile
    source: Source
    signature: tuple[int, ...]
    age_s: float
    may_be_cut: bool

    @property
    def is_young(self) -> bool:
        return self.age_s < SETTLING_S


@dataclass(slots=True)
class _Findings:
    readable: list[_Readable] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


class _NotWholeError(Exception):
    """Thrown through the store's transaction, so that nothing of the file remains."""


class _UnreadableFileError(Exception):
    """The same for a file that can no longer be read."""


def load_folder(
    root: Path,
    store: LoadingStore,
    *,
    now: datetime | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> LoadOutcome:
    """Load every readable file under ``root``, or ``root`` itself when it is a file.

    Args:
        root: A folder, walked in the order of its names, or one file.
        store: Where the records go.
        now: Moment with a zone from which ages of files and days to come are counted; by default
            the machine's clock.
        pause: Lets some seconds pass, ``QUIET_S`` at most and once per load.

    Raises:
        UnreadableSourceError: The path does not exist, or nothing under it can be read; nothing was
            stored. An :class:`include.errors.EmptySourceError` where no file can hold contributions.
        RefusedFilesError: The store refused some files for a reason that stays; all others are
            stored, and the load is closed.
        TransientError: The store went away; another load takes up what this one did not store.
    """
    now = now or datetime.now(UTC)
    findings = _inspect(root, now)
    load_id = store.begin_load(absolute_name(root))
    known = store.known_files([readable.file.uri for readable in findings.readable])
    today = now.astimezone(PARIS).date()
    files = unchanged = records = broken = added = 0
    days: set[date] = set()
    failed: list[str] = []
    fresh = [r for r in findings.readable if (r.file.uri, r.file.sha256) not in known]
    _let_settle(fresh, pause)
    for readable in findings.readable:
        file_id = known.get((readable.file.uri, readable.file.sha256))
        if file_id is not None:
            store.link_file(load_id, file_id)
            unchanged += 1
            continue
        name = shown_name(readable.file.path, root)
        try:
            counts = store.add_file(load_id, readable.file, _entries(readable, today))
        except _NotWholeError as reason:
            findings.waiting.append(f"{name}: {reason}")
            continue
        except _UnreadableFileError as reason:
            findings.notices.append(f"{name}: {reason}")
            continue
        except Exception as error:
            if says_it_passes(error):
                raise
            # One odd file must not keep all that come after it out, today and every day.
            failed.append(f"{name}: {_refusal(error)}")
            log.exception("file not stored: %s", name)
            continue
        files += 1
        records += counts.records
        broken += counts.broken
        added += counts.added
        days.update(counts.days)
    store.end_load(load_id, findings.waiting)
    outcome = LoadOutcome(
        load_id,
        files,
        unchanged,
        records,
        broken,
        added,
        tuple(sorted(days)),
        tuple(findings.waiting),
        tuple(findings.notices),
        tuple(failed),
    )
    if failed:
        raise RefusedFilesError(outcome)
    return outcome


def _inspect(root: Path, now: datetime) -> _Findings:
    """Fingerprint every file and name its form, before anything is stored."""
    findings = _Findings()
    seen: set[Path] = set()
    for path in _files(root, findings.notices):
        name = shown_name(path, root)
        try:
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                _inspect_file(path, name, now, findings)
        except FileNotFoundError:
            findings.notices.append(f"{name}: vanished while the folder was read.")
        except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
            findings.notices.append(f"{name}: cannot be read ({_cause(error)}).")
    # An inbox of papers alone is an ordinary one: they are another DAG's work.
    kind = UnreadableSourceError if findings.notices else EmptySourceError
    if findings.foreign:
        findings.notices.append(_left_alone(findings.foreign))
    if not findings.readable and not findings.waiting:
        why = f" ({' '.join(findings.notices[:3])})" if findings.notices else ""
        raise kind(
            f"{absolute_name(root)}: nothing to load{why}; put JSON, JSONL or CSV files or the form's "
            "mails there, or name another folder."
        )
    return findings


def _left_alone(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN_FOREIGN])
    more = f" and {len(names) - _SHOWN_FOREIGN} more" if len(names) > _SHOWN_FOREIGN else ""
    return (
        f"{shown}{more}: of no known form, left alone (expected: {_FORMS}; documents are read by "
        "document_intake)."
    )


def _files(root: Path, notices: list[str]) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    if not root.is_dir():
        raise UnreadableSourceError(
            f"{absolute_name(root)}: no such file or folder; check the path (DATA=folder)."
        )

    def unreadable(error: OSError) -> None:
        folder = shown_name(Path(error.filename), root)
        notices.append(f"{folder}: the folder cannot be read ({_cause(error)}).")

    real_root = root.resolve()
    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not is_temporary(name))
        notices.extend(
            f"{shown_name(path, root)}: a link to a folder, not followed; put its files here instead."
            for path in map(Path(folder).joinpath, folders)
            if path.is_symlink()
        )
        for name in sorted(names):
            path = Path(folder, name)
            if is_temporary(name):
                continue
            if path.is_symlink() and not leads_inside(path, real_root):
                notices.append(f"{shown_name(path, root)}: a link out of the folder, not followed.")
                continue
            yield path


def _inspect_file(path: Path, name: str, now: datetime, findings: _Findings) -> None:
    before = path.stat()
    if not stat.S_ISREG(before.st_mode):
        findings.notices.append(f"{name}: not an ordinary file, left alone.")
        return
    read = fingerprint(path)
    seen = signature(before)
    # Only the age's size counts: a clock set wrong must not keep a file waiting for years.
    age_s = abs(now.timestamp() - before.st_mtime)
    if signature(path.stat()) != seen or read.size_bytes != before.st_size:
        findings.waiting.append(f"{name}: still being written; the next load looks again.")
    elif not read.size_bytes:
        kept = findings.waiting if age_s < SETTLING_S else findings.notices
        kept.append(f"{name}: empty; loaded once something is written to it.")
    elif source := detect(path, read.head):
        file = SourceFile(
            path, absolute_name(path), read.sha256, read.size_bytes, source.form, read.encoding
        )
        may_be_cut = not read.ends_a_line and source.form not in _SELF_CLOSING_FORMS
        findings.readable.append(_Readable(file, source, seen, age_s, may_be_cut))
    else:
        findings.foreign.append(name)


def _let_settle(readables: Sequence[_Readable], pause: Callable[[float], None]) -> None:
    """Give files just written without a last line end the time to show whether they grow."""
    ages = [readable.age_s for readable in readables if readable.may_be_cut]
    remaining_s = QUIET_S - min(ages, default=QUIET_S)
    if remaining_s > 0:
        log.info("a file without a last line end was just written: %.0f s to settle", remaining_s)
        pause(remaining_s)


def _entries(readable: _Readable, today: date) -> Iterator[Record | BrokenRecord]:
    """Yield a file's entries; raise instead of ending when the file was not what it seemed."""
    path = readable.file.path
    try:
        for entry in _bounded(readable.source.records(readable.file)):
            if readable.is_young and _is_cut_off(entry):
                settled = datetime.fromtimestamp(path.stat().st_mtime + SETTLING_S, PARIS)
                raise _NotWholeError(
                    "ends in the middle of an entry; loaded once it is whole, or as it is by a "
                    f"load after {settled:%Y-%m-%d %H:%M:%S} (Europe/Paris)."
                )
            yield plausible_day(entry, today) if isinstance(entry, Record) else entry
        changed = signature(path.stat()) != readable.signature
    except OSError as error:
        raise _UnreadableFileError(f"cannot be read ({_cause(error)}).") from error
    if changed:
        raise _NotWholeError("changed while it was read; the next load takes it.")


def _bounded(entries: Iterator[Record | BrokenRecord]) -> Iterator[Record | BrokenRecord]:
    broken_count = 0
    for count, entry in enumerate(entries, 1):
        yield entry
        broken_count += isinstance(entry, BrokenRecord)
        if count == MAX_ENTRIES or broken_count == MAX_BROKEN:
            why = (
                f"compte plus de {MAX_ENTRIES} entrées"
                if count == MAX_ENTRIES
                else f"compte {MAX_BROKEN} entrées inutilisables"
            )
            break
    else:
        return
    if next(entries, None) is not None:
        detail = f"Le fichier {why} : le reste n'est pas lu. Le corriger ou le partager."
        yield broken(f"after {entry.locator}", "too_many", detail, "")


def _is_cut_off(entry: Record | BrokenRecord) -> bool:
    if isinstance(entry, BrokenRecord):
        return entry.reason == TRUNCATED
    return INCOMPLETE in entry.metadata


def _refusal(error: Exception) -> str:
    """Name an error by its first line: a database quotes the row, and with it a text, below that."""
    return f"{type(error).__name__} ({(str(error).splitlines() or ['no message'])[0][:200]})."


def _cause(error: OSError | RuntimeError) -> str:
    match error:
        case PermissionError():
            return "permission denied"
        case FileNotFoundError():
            return "vanished"
        case OSError():
            return error.strerror or str(error)
    return "a link that leads to itself"
