"""The account that runs PostgreSQL when root starts it, and what that account can reach."""

import hashlib
import os
import pwd
import stat
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import processes

ACCOUNTS = ("participation", "nobody")
"""Who runs postgres when root starts it: an account made for this, else the one with no rights."""

SYSTEM_HOMES = (Path("/var/lib"), Path("/usr/local/var"))
"""Where root's cluster lives when the project's folder is closed to every other account."""


class NoAccountError(Exception):
    """Root may not run PostgreSQL and nobody else is there to do it; the message is the remedy."""


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that runs postgres in root's place."""

    name: str
    ids: tuple[int, int]

    @classmethod
    def chosen(cls) -> "Account":
        """The first that exists.

        Raises:
            NoAccountError: None does.
        """
        for name in ACCOUNTS:
            with suppress(KeyError):
                entry = pwd.getpwnam(name)
                return cls(name, (entry.pw_uid, entry.pw_gid))
        raise NoAccountError(
            f"root may not run PostgreSQL and none of the accounts {', '.join(ACCOUNTS)} exists:"
            " run make as an ordinary user, or create the account participation"
        )

    def can_enter(self, folder: Path) -> bool:
        """Try it in the account's name: permissions, ACLs and mount options all have their say."""
        probe = processes.answer(["test", "-x", folder], **processes.as_user(self.ids))
        return probe.returncode == 0


def system_home(folder: Path) -> Path:
    """A folder of the system that stands for one the account cannot reach; made when missing."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    base = next((path for path in SYSTEM_HOMES if path.is_dir()), Path(tempfile.gettempdir()))
    home = base / f"participation-{digest}"
    home.mkdir(mode=0o711, exist_ok=True)
    return home


def open_tree(folder: Path) -> None:
    """Let everyone read copied binaries: they hold nothing of ours."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            extra = 0o555 if path.is_dir() or mode & stat.S_IXUSR else 0o444
            path.chmod(stat.S_IMODE(mode) | extra)
