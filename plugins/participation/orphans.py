"""Processes whose parent ended: how Linux is told to end them, or to give them to us.

Other systems cannot do either; there nothing here has an effect, and whoever needs the guarantee has
another one beside it (the lease in the ledger, the supervisor's guard).
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent(signal_number: int = signal.SIGKILL, parent: int | None = None) -> None:
    """Ask for a signal when the parent of this process ends; to be called after a change of user.

    Args:
        signal_number: What the kernel sends.
        parent: Its pid, where known: one that ended before this call is noticed too.
    """
    if _libc is None:
        return
    _libc.prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os.kill(os.getpid(), signal_number)


def become_subreaper() -> bool:
    """Adopt orphaned descendants instead of losing them to init; say whether that works here."""
    return _libc is not None and _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
