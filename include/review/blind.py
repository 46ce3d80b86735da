"""A tenth of the questions are answered before the machine's opinion is shown.

Whoever reads the opinion first tends to follow it. On these the answer is a person's own, so that both
can be compared. Which ones is fixed by the case: asking again or reloading changes nothing.
"""

from hashlib import sha256

SHARE = 10
"""One question in so many."""


def is_blind(case: str) -> bool:
    """Say whether a case is one of those.

    >>> sum(is_blind(f"case {number}") for number in range(1000))
    92
    """
    return int.from_bytes(sha256(case.encode()).digest()[:4], "big") % SHARE == 0
