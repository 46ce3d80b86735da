"""Which folder may be used, and removed, as the state folder: an empty one, or one marked as ours.

Standard library only, and old syntax: ``make clean`` asks with any Python.
"""

from __future__ import annotations

import os
from pathlib import Path

MARKER = ".participation-state"
"""Written first of all into a new state folder; ``make clean`` removes no folder without it."""

WHAT_IT_IS = "State of the participation workflows: `make clean` removes this whole folder.\n"


class ForeignFolderError(Exception):
    """A folder that is not ours to use or to remove; the message names it and the way out."""


def check(folder: Path, root: Path) -> None:
    """Let pass a folder that is missing, empty or marked, and no other.

    Args:
        folder: The state folder, links resolved.
        root: The project's folder, which is never a state folder, nor is any above it.

    Raises:
        ForeignFolderError: It is not ours; nothing was changed.
    """
    if holds(folder, root) or holds(folder, home()):
        raise ForeignFolderError(
            f"STATE={folder} holds the project or your home folder: name a folder of its own"
        )
    if folder.exists() and not folder.is_dir():
        raise ForeignFolderError(f"STATE={folder} is not a folder: name a folder of its own")
    if folder.exists() and not is_marked(folder) and any(folder.iterdir()):
        raise ForeignFolderError(
            f"STATE={folder} is not empty and was not made by this project: name an empty or a new"
            f" folder. If it is a state folder all the same, put an empty file {MARKER} into it"
        )


def claim(folder: Path, root: Path) -> None:
    """Make a folder the state folder: checked first, marked before anything else is in it.

    Raises:
        ForeignFolderError: It is not ours; nothing was changed.
    """
    check(folder, root)
    folder.mkdir(parents=True, exist_ok=True)
    if not is_marked(folder):
        (folder / MARKER).write_text(WHAT_IT_IS)


def is_marked(folder: Path) -> bool:
    """Say whether a folder was made to be a state folder."""
    return (folder / MARKER).is_file()


def holds(folder: Path, inner: Path) -> bool:
    """Say whether a folder is another one or lies above it."""
    return folder == inner or folder in inner.parents


def home() -> Path:
    """Return the caller's home folder; the root folder for an account without one."""
    written = os.path.expanduser("~")  # noqa: PTH111 - Path.home() fails for an account without one
    return Path(os.path.realpath(written if os.path.isabs(written) else os.sep))  # noqa: PTH117 - the same
