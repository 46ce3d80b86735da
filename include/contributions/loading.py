"""Load what citizens sent from a folder, or from one file, into a store.

Every file is read once for its fingerprint; one that the store already knows is linked, any other
is handed over entry by entry, in one transaction. Nothing here knows where records end up.

A file waits, and nothing of it is stored, while it changes under our eyes, or when it ends in the
middle of an entry and was written to within the last ``SETTLING_S`` seconds. An older file that
ends so is not going to grow: what is whole is loaded and the rest becomes a broken record.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import INCOMPLETE, TRUNCATED, plausible_day
from include.contributions.sources.dates import PARIS
from include.contributions.sources.encodings import fingerprint
from include.contributions.sources.registry import detect
from include.errors import EmptySourceError, UnreadableSourceError
from include.ports import LoadingStore, Source, SourceFile

SETTLING_S = 600
"""Slow uploads and copies finish within ten minutes; a file older than that stays as it is."""

_TEMPORARY_ENDINGS = (".part", ".tmp", ".crdownload", ".partial", ".download", "~", ".swp")
_TEMPORARY_BEGINNINGS = (".", "~$")
_FORMS = "JSON, JSONL, CSV ou courriel du formulaire"


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
        waiting: One sentence per file that is not whole yet, in French.
        notices: One sentence per file that was left out for good, in French.
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


@dataclass(frozen=True, slots=True)
class _Readable:
    file: SourceFile
    source: Source
    signature: tuple[int, ...]
    is_young: bool


@dataclass(slots=True)
class _Findings:
    readable: list[_Readable] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


class _NotWholeError(Exception):
    """Thrown through the store's transaction, so that nothing of the file remains."""


class _UnreadableFileError(Exception):
    """The same for a file that can no longer be read."""


def load_folder(root: Path, store: LoadingStore, *, now: datetime | None = None) -> LoadOutcome:
    """Load every readable file under ``root``, or ``root`` itself when it is a file.

    Args:
        root: A folder, walked in the order of its names, or one file.
        store: Where the records go.
        now: Moment with a zone from which ages of files and days to come are counted; by default
            the machine's clock.

    Raises:
        UnreadableSourceError: The path does not exist, or nothing under it can be read; nothing was
            stored. An :class:`include.errors.EmptySourceError` where there is no file at all.
    """
    now = now or datetime.now(UTC)
    findings = _inspect(root, now)
    load_id = store.begin_load(_name(root))
    known = store.known_files([readable.file.uri for readable in findings.readable])
    today = now.astimezone(PARIS).date()
    files = unchanged = records = broken = added = 0
    days: set[date] = set()
    for readable in findings.readable:
        file_id = known.get((readable.file.uri, readable.file.sha256))
        if file_id is not None:
            store.link_file(load_id, file_id)
            unchanged += 1
            continue
        name = _shown(readable.file.path, root)
        try:
            counts = store.add_file(load_id, readable.file, _entries(readable, today))
        except _NotWholeError as reason:
            findings.waiting.append(f"{name} : {reason}")
            continue
        except _UnreadableFileError as reason:
            findings.notices.append(f"{name} : {reason}")
            continue
        files += 1
        records += counts.records
        broken += counts.broken
        added += counts.added
        days.update(counts.days)
    store.end_load(load_id, findings.waiting)
    return LoadOutcome(
        load_id,
        files,
        unchanged,
        records,
        broken,
        added,
        tuple(sorted(days)),
        tuple(findings.waiting),
        tuple(findings.notices),
    )


def _inspect(root: Path, now: datetime) -> _Findings:
    """Fingerprint every file and name its form, before anything is stored."""
    findings = _Findings()
    seen: set[Path] = set()
    for path in _files(root, findings.notices):
        name = _shown(path, root)
        try:
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                _inspect_file(path, name, now, findings)
        except FileNotFoundError:
            findings.notices.append(f"{name} : disparu pendant la lecture du dossier.")
        except (OSError, RuntimeError) as error:  # RuntimeError: a link that leads to itself
            findings.notices.append(f"{name} : lecture impossible ({_cause(error)}).")
    if not findings.readable and not findings.waiting:
        kind = UnreadableSourceError if findings.notices else EmptySourceError
        why = f" ({' '.join(findings.notices[:3])})" if findings.notices else ""
        raise kind(
            f"{_name(root)}: nothing to load{why}; put JSON, JSONL or CSV files or the form's "
            "mails there, or name another folder."
        )
    return findings


def _files(root: Path, notices: list[str]) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    if not root.is_dir():
        raise UnreadableSourceError(
            f"{_name(root)}: no such file or folder; check the path (DATA=folder)."
        )

    def unreadable(error: OSError) -> None:
        folder = _shown(Path(error.filename), root)
        notices.append(f"{folder} : dossier illisible ({_cause(error)}).")

    real_root = root.resolve()
    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not _is_temporary(name))
        for name in sorted(names):
            path = Path(folder, name)
            if _is_temporary(name):
                continue
            if path.is_symlink() and not _leads_inside(path, real_root):
                notices.append(f"{_shown(path, root)} : lien hors du dossier, ignoré.")
                continue
            yield path


def _leads_inside(link: Path, real_root: Path) -> bool:
    try:
        return link.resolve().is_relative_to(real_root)
    except (OSError, RuntimeError):
        return False


def _is_temporary(name: str) -> bool:
    return name.startswith(_TEMPORARY_BEGINNINGS) or name.lower().endswith(_TEMPORARY_ENDINGS)


def _inspect_file(path: Path, name: str, now: datetime, findings: _Findings) -> None:
    before = path.stat()
    if not stat.S_ISREG(before.st_mode):
        findings.notices.append(f"{name} : n'est pas un fichier ordinaire, ignoré.")
        return
    read = fingerprint(path)
    signature = _signature(before)
    # Only the age's size counts: a clock set wrong must not keep a file waiting for years.
    is_young = abs(now.timestamp() - before.st_mtime) < SETTLING_S
    if _signature(path.stat()) != signature or read.size_bytes != before.st_size:
        findings.waiting.append(f"{name} : encore en cours d'écriture.")
    elif not read.size_bytes:
        kept = findings.waiting if is_young else findings.notices
        kept.append(f"{name} : fichier vide.")
    elif source := detect(path, read.head):
        file = SourceFile(
            path, _name(path), read.sha256, read.size_bytes, source.form, read.encoding
        )
        findings.readable.append(_Readable(file, source, signature, is_young))
    else:
        findings.notices.append(f"{name} : forme inconnue, ignoré (attendu : {_FORMS}).")


def _signature(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _entries(readable: _Readable, today: date) -> Iterator[Record | BrokenRecord]:
    """Yield a file's entries; raise instead of ending when the file was not what it seemed."""
    path = readable.file.path
    try:
        for entry in readable.source.records(readable.file):
            if readable.is_young and _is_cut_off(entry):
                raise _NotWholeError(
                    "s'arrête au milieu d'une entrée, chargé dès qu'il sera entier."
                )
            yield plausible_day(entry, today) if isinstance(entry, Record) else entry
        changed = _signature(path.stat()) != readable.signature
    except OSError as error:
        raise _UnreadableFileError(f"lecture impossible ({_cause(error)}).") from error
    if changed:
        raise _NotWholeError("modifié pendant la lecture, chargé au prochain passage.")


def _is_cut_off(entry: Record | BrokenRecord) -> bool:
    if isinstance(entry, BrokenRecord):
        return entry.reason == TRUNCATED
    return INCOMPLETE in entry.metadata


def _name(path: Path) -> str:
    """Write a path as any store can hold it; bytes that are no text stay visible."""
    return os.fsencode(os.path.normpath(path.absolute())).decode("utf-8", "backslashreplace")


def _shown(path: Path, root: Path) -> str:
    relative = path.relative_to(root) if path != root else Path(path.name)
    return os.fsencode(relative).decode("utf-8", "backslashreplace")


def _cause(error: OSError | RuntimeError) -> str:
    match error:
        case PermissionError():
            return "droits insuffisants"
        case FileNotFoundError():
            return "disparu"
        case OSError():
            return error.strerror or str(error)
    return "lien qui mène à lui-même"
