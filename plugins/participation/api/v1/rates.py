"""How often one user may ask: a bucket of tokens each, in this process.

Several API server processes keep buckets of their own, so what a user may do in all grows with their
number. That is enough to keep one client from taking the server for itself, and costs no look-up.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

MAX_BUCKETS = 10_000
"""The one that was not asked for longest is given up, which fills it again."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Buckets:
    """Buckets by user: ``burst`` tokens at most, ``per_second`` new ones.

    >>> now = [0.0]
    >>> buckets = Buckets(burst=2, per_second=1, clock=lambda: now[0])
    >>> [buckets.wait_s("a") for _ in range(3)]
    [0.0, 0.0, 1.0]
    >>> now[0] = 1.0
    >>> buckets.wait_s("a"), buckets.wait_s("b")
    (0.0, 0.0)
    """

    def __init__(
        self, burst: int, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst = burst
        self.per_second = per_second
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._turn = threading.Lock()

    def wait_s(self, user: str) -> float:
        """Take a token and return 0, or say how long until there is one."""
        now = self._clock()
        with self._turn:
            bucket = self._buckets.setdefault(user, _Bucket(self.burst, now))
            self._buckets.move_to_end(user)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
            filled = bucket.tokens + (now - bucket.at) * self.per_second
            bucket.tokens, bucket.at = min(self.burst, filled), now
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return 0.0
            return (1 - bucket.tokens) / self.per_second
