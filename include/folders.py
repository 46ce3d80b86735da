"""What is true of every folder that files are brought into, whoever reads them.

Shared by the loading of contributions and the intake of documents: which names are not files yet,
which links lead out, when a file has stopped growing, and how a path is written down.
"""

import os
import re
from pathlib import Path

SETTLING_S = 600
"""Slow uploads and copies finish within ten minutes; a file older than that stays as it is."""

QUIET_S = 30
"""Whoever writes a file does not pause longer in the middle of a word."""

_TEMPORARY_ENDINGS = (".part", ".tmp", ".crdownload", ".partial", ".download", "~", ".swp")
_TEMPORARY_BEGINNINGS = (".", "~$")
_ESCAPE = re.compile(r"\\x[0-9a-f]{2}")


def is_temporary(name: str) -> bool:
    """Say whether a name is hidden, or one that programs give to what they have not finished.

    >>> [is_temporary(name) for name in (".git", "~$note.docx", "plan.pdf.part", "plan.pdf")]
    [True, True, True, False]
    """
    return name.startswith(_TEMPORARY_BEGINNINGS) or name.lower().endswith(_TEMPORARY_ENDINGS)


def leads_inside(link: Path, real_root: Path) -> bool:
    """Say whether a link ends inside a folder, given without links; one that leads to itself does not."""
    try:
        return link.resolve().is_relative_to(real_root)
    except (OSError, RuntimeError):
        return False


def signature(status: os.stat_result) -> tuple[int, ...]:
    """Name a state of a file: two alike mean that nobody wrote between them."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def absolute_name(path: Path) -> str:
    """Write a path as any store can hold it; bytes that are no text stay visible."""
    return _readable(os.fsencode(os.path.normpath(path.absolute())))


def shown_name(path: Path, root: Path) -> str:
    """Write a path as a person sees it who put it there: from the folder on."""
    relative = path.relative_to(root) if path != root else Path(path.name)
    return _readable(os.fsencode(relative))


def _readable(name: bytes) -> str:
    r"""Write bytes that are no text by their codes, and no two names alike.

    >>> [_readable(name) for name in (b"\xff.md", rb"\xff.md", rb"C:\plan.md")]
    ['\\xff.md', '\\\\xff.md', 'C:\\plan.md']
    """
    readable = name.decode("utf-8", "backslashreplace")
    if _ESCAPE.search(readable):
        # Another name may hold the very signs that stand for a byte here.
        readable = name.replace(b"\\", rb"\\").decode("utf-8", "backslashreplace")
    return readable
