"""Files that appear whole: a reader sees the old one or the new one, never half of it."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path, mode: int | None = None) -> Iterator[BinaryIO]:
    """Open a draft beside a file and put it in the file's place when the block ends well.

    After an error the old file stands and the draft is gone; after a power cut one of the two is whole.

    Args:
        path: The file; a link is replaced, not followed.
        mode: Its permissions, exactly, and never more while it is written; as the umask has it when None.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    descriptor = os.open(draft, flags, 0o666 if mode is None else mode & 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str, mode: int | None = None) -> None:
    """Write a text in UTF-8, line ends as they are, as :func:`replacing` does."""
    with replacing(path, mode) as file:
        file.write(content.encode())
