"""Walk a folder, or anything that can be walked like one, and say what of it is a document.

Whatever has ``name``, ``iterdir``, ``open``, ``stat``, ``is_dir`` and ``is_file`` will do: a path, or
an object store behind Airflow's ``ObjectStoragePath``. A name is only ever shown or compared; what is
kept is called by its hash, so a name that climbs out of a folder leads nowhere.

A file waits while it may still grow: one that says where it ends (PDF, docx, odt, images) until it
does, any other for some seconds after it was last written to. Objects of a store appear whole.
"""

import hashlib
import logging
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, cast

from include.contributions.sources.boundary import cleaned
from include.documents.model import LeftOut
from include.documents.parsing.sentences import process_failed
from include.documents.sources.crawl import Companion, companions
from include.documents.sources.inspection import (
    ELSEWHERE,
    EMPTY,
    GROWING,
    LINK_OUT,
    LINK_TO_FOLDER,
    NOT_A_FILE,
    Location,
    holds_contributions,
    says_it_ends,
    unreadable,
)
from include.errors import UnreadableSourceError
from include.folders import (
    QUIET_S,
    SETTLING_S,
    absolute_name,
    is_temporary,
    leads_inside,
    shown_name,
    signature,
)

MAX_NAME_CHARACTERS = 1_000

MAX_URI_BYTES = 1_500
"""An index of the ledger holds a name of this length; a path may have 4,096."""

_CHANGED = "\ufffd"
_UNSTORABLE = re.compile(f"[\x00\ud800-\udfff{_CHANGED}]")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file that may be a document.

    Attributes:
        uri: How the ledger names it: its path, or the address a crawl found it under.
        location: Where its bytes are.
        size_bytes: When it was found.
        source: ``folder`` or ``crawl``.
        state: What changes when somebody writes to it.
        metadata: ``name``, and what a crawl noted.
    """

    uri: str
    location: Location
    size_bytes: int
    source: str
    state: tuple[int, ...]
    metadata: dict[str, Any] = field(default_factory=dict)

    def open(self) -> BinaryIO:
        """Open for reading."""
        return cast(BinaryIO, self.location.open("rb"))

    def has_changed(self) -> bool:
        """Say whether somebody wrote to it since it was found."""
        return _state(self.location.stat()) != self.state


def find_files(
    root: Location,
    *,
    now: datetime | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[FoundFile | LeftOut]:
    """Yield every file under ``root`` (or ``root`` itself), or why it is not taken.

    Folder by folder in the order of names; files that were just written come last. Hidden and
    temporary files are not mentioned.

    Args:
        root: A folder or one file.
        now: Moment with a zone from which ages count; by default the machine's clock.
        pause: Lets some seconds pass, ``QUIET_S`` at most and once.

    Raises:
        UnreadableSourceError: There is no such file or folder.
    """
    walk = _Walk(_local(root), (now or datetime.now(UTC)).timestamp())
    if not walk.root.is_dir() and not walk.root.is_file():
        raise UnreadableSourceError(f"{root}: no such file or folder; check the path.")
    yield from walk.settled()
    yield from walk.young(pause)


class _Walk:
    def __init__(self, root: Location, now: float) -> None:
        self.root = root
        self._now = now
        self._uris: set[str] = set()
        self._young: list[tuple[FoundFile, float]] = []
        self._real_root = root.resolve() if isinstance(root, Path) else None

    def settled(self) -> Iterator[FoundFile | LeftOut]:
        if self.root.is_file():
            yield from self._file(self.root, None)
            return
        folders = [self.root]
        while folders:
            folder = folders.pop()
            try:
                entries = sorted(folder.iterdir(), key=lambda entry: str(entry.name))
            except OSError as error:
                yield LeftOut(self._uri(folder), "waits", unreadable(error))
                continue
            names = [entry for entry in entries if not is_temporary(entry.name)]
            refused = {entry.name: self._refused(entry) for entry in names}
            # A note is opened: never one that a link takes from elsewhere, nor a pipe without an end.
            noted = companions(
                [entry for entry in names if not refused[entry.name] and _is_file(entry)]
            )
            inner: list[Location] = []
            for entry in names:
                if (left_out := refused[entry.name]) is not None:
                    yield left_out
                elif _is_folder(entry):
                    inner.append(entry)
                else:
                    yield from self._file(entry, noted.get(entry.name))
            folders.extend(reversed(inner))

    def young(self, pause: Callable[[float], None]) -> Iterator[FoundFile | LeftOut]:
        """Give files that were just written the time to show whether they grow."""
        remaining_s = QUIET_S - min((age_s for _, age_s in self._young), default=QUIET_S)
        if remaining_s > 0:
            log.info("documents were just written: %.0f s to see whether they grow", remaining_s)
            pause(remaining_s)
        for found, _ in self._young:
            with suppress(OSError):
                if not found.has_changed():
                    yield found
                    continue
            yield LeftOut(found.uri, "waits", GROWING)

    def _refused(self, entry: Location) -> LeftOut | None:
        try:
            return self._refused_link(entry)
        except OSError as error:
            return LeftOut(self._uri(entry), "waits", unreadable(error))

    def _refused_link(self, entry: Location) -> LeftOut | None:
        if self._real_root is None or not isinstance(entry, Path) or not entry.is_symlink():
            return None
        if not leads_inside(entry, self._real_root):
            return LeftOut(self._uri(entry), "set_aside", LINK_OUT)
        if entry.is_dir():
            return LeftOut(self._uri(entry), "set_aside", LINK_TO_FOLDER)
        return None

    def _file(self, location: Location, noted: Companion | None) -> Iterator[FoundFile | LeftOut]:
        try:
            seen = self._inspected(location, noted)
        except OSError as error:
            seen = LeftOut(self._uri(location), "waits", unreadable(error))
        except Exception:
            log.warning("%s cannot be looked at", self._uri(location), exc_info=True)
            seen = LeftOut(self._uri(location), "set_aside", process_failed())
        if seen is not None:
            yield seen

    def _inspected(self, location: Location, noted: Companion | None) -> FoundFile | LeftOut | None:
        uri = self._uri(location)
        if noted is not None and noted.left_out is not None:
            return LeftOut(uri, "set_aside", noted.left_out)
        if noted is not None and noted.is_metadata:
            return None
        status = location.stat()
        if isinstance(location, Path) and not stat.S_ISREG(status.st_mode):
            return LeftOut(uri, "set_aside", NOT_A_FILE)
        age_s = self._age_s(location, status)
        if not status.st_size:
            return LeftOut(uri, "waits" if age_s < SETTLING_S else "set_aside", EMPTY)
        if holds_contributions(location):
            return LeftOut(uri, "elsewhere", ELSEWHERE)
        return self._found(location, noted, status, age_s)

    def _found(
        self, location: Location, noted: Companion | None, status: Any, age_s: float
    ) -> FoundFile | LeftOut | None:
        metadata: dict[str, Any] = {"name": self._shown(location)}
        uri, source = self._uri(location), "folder"
        if noted is not None:
            source = "crawl"
            metadata.update(noted.metadata)
            # One address names one file: a second one goes by its path.
            if noted.uri is not None and noted.uri not in self._uris:
                uri = noted.uri
        self._uris.add(uri)
        found = FoundFile(uri, location, status.st_size, source, _state(status), metadata)
        if age_s < SETTLING_S:
            ends = says_it_ends(location, status.st_size)
            if ends is False:
                return LeftOut(uri, "waits", GROWING)
            if ends is None and age_s < QUIET_S:
                self._young.append((found, age_s))
                return None
        return found

    def _age_s(self, location: Location, status: os.stat_result) -> float:
        # Only the age's size counts: a clock set wrong must not keep a file waiting for years.
        return abs(self._now - status.st_mtime) if isinstance(location, Path) else SETTLING_S

    def _uri(self, location: Location) -> str:
        return _uri(absolute_name(location) if isinstance(location, Path) else str(location))

    def _shown(self, location: Location) -> str:
        if isinstance(location, Path) and isinstance(self.root, Path):
            return shown_name(location, self.root)
        return cleaned(str(location.name))[0][:MAX_NAME_CHARACTERS]


def uri_of(root: Location) -> str:
    """Name a folder as the files under it are named."""
    local = _local(root)
    if isinstance(local, Path):
        return absolute_name(local)
    return _uri(str(local)).rstrip("/")


def _uri(name: str) -> str:
    """Write a name as the ledger can hold it; one that had to change carries its hash."""
    storable = _UNSTORABLE.sub(_CHANGED, name)
    whole = storable.encode()
    if storable == name and _CHANGED not in name and len(whole) <= MAX_URI_BYTES:
        return name
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()
    return f"{whole[:MAX_URI_BYTES].decode(errors='ignore')}{_CHANGED}{digest[:32]}"


def _local(root: Location) -> Location:
    """Use the machine's own paths where an object store is a folder of this machine: they know links."""
    if not isinstance(root, Path) and getattr(root, "protocol", None) in {"file", "local"}:
        return Path(cast(Any, root).path)
    return root


def _is_folder(entry: Location) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _is_file(entry: Location) -> bool:
    # Of an object store one question is enough: it has no pipes.
    try:
        return entry.is_file() if isinstance(entry, Path) else not entry.is_dir()
    except OSError:
        return False


def _state(status: Any) -> tuple[int, ...]:
    if isinstance(status, os.stat_result):
        return signature(status)
    return status.st_size, int(status.st_mtime)
