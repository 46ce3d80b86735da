"""Files that appear whole: a reader sees the old one or the new one, never half of it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


class Draft:
    """A file nobody sees yet; without :meth:`become` it is gone when its block ends."""

    def __init__(self, path: Path, file: BinaryIO, mode: int | None) -> None:
        self.file = file
        self._path = path
        self._mode = mode

    def become(self, path: Path) -> None:
        """Take a file's place, on the same disk; a link is replaced, not followed."""
        if self._mode is not None:
            os.fchmod(self.file.fileno(), self._mode)
        self.file.flush()
        os.fsync(self.file.fileno())
        self._path.replace(path)


@contextmanager
def drafting(folder: Path, name: str = "draft", mode: int | None = None) -> Iterator[Draft]:
    """Open a draft in a folder, for a file whose name is known only when it is whole."""
    path = folder / f".{name}.{secrets.token_hex(4)}.part"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    descriptor = os.open(path, flags, 0o666 if mode is None else mode & 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield Draft(path, file, mode)
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a draft beside a file and put it in the file's place when the block ends well.

    After an error the old file stands and the draft is gone; after a power cut one of the two is whole.

    Args:
        path: The file; a link is replaced, not followed.
        mode: Its permissions, exactly, and never more while it is written; as the umask has it when None.
    """
    with drafting(path.parent, path.name, mode) as draft:
        yield draft.file
        draft.become(path)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder survive a power cut; what a database row points at must."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path, content: str, mode: int | None = None) -> None:
    """Write a text in UTF-8, line ends as they are, as :func:`replacing` does."""
    with replacing(path, mode) as file:
        file.write(content.encode())
