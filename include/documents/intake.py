"""Take documents in: find them, and keep their bytes under the name of their hash.

The store is a folder of ``<first 2 of sha>/<sha256>``: the same bytes are kept once, whatever they
are called, and a changed file is another document beside the old one. Bytes appear there whole or
not at all. What a source holds and is not taken comes out with its reason, while the others go on.

``include.documents.sources.urls`` does the same for a list of addresses.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path

from include.documents.model import Kept, LeftOut, Received, SetAside
from include.documents.sources.folder import FoundFile, find_files
from include.documents.sources.inspection import EMPTY, GROWING, Location, unreadable
from include.errors import PermanentError, TransientError
from include.files import drafting, sync_folder

MAX_DOCUMENT_BYTES = 200 * 1024 * 1024
"""The town's largest file has 3 MB; a film without its transcript is the only thing larger than this."""

_BLOCK_BYTES = 1 << 20

__all__ = ["FoundFile", "NotKeptError", "find_files", "keep", "stored_path", "take_files"]


class NotKeptError(PermanentError):
    """Bytes that are not kept; ``why`` says it for a clerk. Nothing of them remains."""

    def __init__(self, why: SetAside) -> None:
        super().__init__(why.detail)
        self.why = why


class StoreUnavailableError(TransientError):
    """The store of the bytes cannot be written to; nothing was half written."""


class _GrowingError(Exception):
    """Thrown through the store, so that nothing of a file that changes remains."""


def stored_path(document_id: str) -> str:
    """Say where a document's bytes stand, relative to the store.

    >>> stored_path("ab12")
    'ab/ab12'
    """
    return f"{document_id[:2]}/{document_id}"


def keep(blocks: Iterable[bytes], store: Path, max_bytes: int = MAX_DOCUMENT_BYTES) -> Kept:
    """Keep a stream of bytes under its hash; the same bytes are kept once.

    Args:
        blocks: Read once; an error it raises passes through, and nothing is kept.
        store: The folder, made when it is missing.
        max_bytes: More are refused, before they are written.

    Raises:
        NotKeptError: No byte came, or too many.
        StoreUnavailableError: The store's disk is full, or the folder may not be written to.
    """
    try:
        store.mkdir(mode=0o700, parents=True, exist_ok=True)
        with drafting(store, "incoming", 0o600) as draft:
            digest, size = hashlib.sha256(), 0
            for block in _from_outside(blocks):
                size += len(block)
                if size > max_bytes:
                    raise NotKeptError(_too_large(max_bytes))
                digest.update(block)
                draft.file.write(block)
            if not size:
                raise NotKeptError(EMPTY)
            path = stored_path(digest.hexdigest())
            target = store / path
            is_new = not _is_whole(target, size)
            if is_new:
                target.parent.mkdir(mode=0o700, exist_ok=True)
                draft.become(target)
                # A row of the ledger will point here: the names must outlive a power cut as well.
                sync_folder(target.parent)
                sync_folder(store)
    except _OutsideError as outside:
        raise outside.cause from outside.cause.__cause__
    except OSError as error:
        raise StoreUnavailableError(f"{store}: cannot keep a document: {error}") from error
    return Kept(digest.hexdigest(), size, path, is_new)


def take_files(
    root: Location,
    store: Path,
    *,
    max_bytes: int = MAX_DOCUMENT_BYTES,
    now: datetime | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> Iterator[Received | LeftOut]:
    """Keep every document under ``root``; one outcome per file, lazily, in the order of names.

    Every file is read each time: its hash says whether it is known, and only what is not is written.
    Arguments and errors are those
    of :func:`find_files` and :func:`keep`.

    Raises:
        UnreadableSourceError: There is no such file or folder.
        StoreUnavailableError: The store cannot be written to.
    """
    for found in find_files(root, now=now, pause=pause):
        yield found if isinstance(found, LeftOut) else _taken(found, store, max_bytes)


def _taken(found: FoundFile, store: Path, max_bytes: int) -> Received | LeftOut:
    if found.size_bytes > max_bytes:
        return LeftOut(found.uri, "set_aside", _too_large(max_bytes))
    try:
        kept = _held(found, store, max_bytes) or keep(_unchanging(found), store, max_bytes)
    except NotKeptError as error:
        return LeftOut(found.uri, "set_aside", error.why)
    except _GrowingError:
        return LeftOut(found.uri, "waits", GROWING)
    except OSError as error:
        return LeftOut(found.uri, "waits", unreadable(error))
    return Received(found.uri, found.source, kept, metadata=found.metadata)


def _held(found: FoundFile, store: Path, max_bytes: int) -> Kept | None:
    """Find a file's bytes in the store, which costs reading them and no writing."""
    digest, size = hashlib.sha256(), 0
    for block in _unchanging(found):
        size += len(block)
        if size > max_bytes:
            return None
        digest.update(block)
    path = stored_path(digest.hexdigest())
    if not _is_whole(store / path, size):
        return None
    return Kept(digest.hexdigest(), size, path, is_new=False)


def _is_whole(target: Path, size: int) -> bool:
    return target.is_file() and target.stat().st_size == size


def _unchanging(found: FoundFile) -> Iterator[bytes]:
    """Yield a file's bytes; raise instead of ending when somebody wrote to it meanwhile."""
    with found.open() as stream:
        while block := stream.read(_BLOCK_BYTES):
            yield block
    if found.has_changed():
        raise _GrowingError


class _OutsideError(Exception):
    """Carries what a stream raised past the handlers of the store's own errors."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def _from_outside(blocks: Iterable[bytes]) -> Iterator[bytes]:
    try:
        yield from blocks
    except Exception as error:
        raise _OutsideError(error) from error


def _too_large(max_bytes: int) -> SetAside:
    limit = max_bytes // (1024 * 1024) or 1
    return SetAside(
        "too_large",
        f"Le document dépasse {limit} Mo : le partager ou en fournir une version légère.",
    )
