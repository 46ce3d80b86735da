"""The work that every contestant does: four steps over numbered items, one of them slow.

Standard library only, since each contestant brings its own environment.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any

STEPS = ("validate", "classify", "evaluate", "settle")

REVIEW_S = 0.05
"""The simulated reviewer thinks this long over each item, in the first step."""

CONCURRENCY = 200
"""Items under review at once, over all processes."""

PROCESSES = 2

CATEGORIES = (
    "economie", "logement", "culture", "ecologie", "associations", "jeunesse",
    "alimentation-bien-etre-soins",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share:
    """What one process is asked to do: items from ``first`` to before ``end``, kept in ``dsn``."""

    first: int
    end: int
    dsn: str
    concurrency: int = CONCURRENCY // PROCESSES

    @property
    def numbers(self) -> range:
        """The items."""
        return range(self.first, self.end)


def answer(step: str, number: int) -> dict[str, Any]:
    """Return what a step answers for an item; other numbers have other answers."""
    match step:
        case "validate":
            return {"decision": "accept" if number % 10 else "review"}
        case "classify":
            return {"category": CATEGORIES[number % len(CATEGORIES)]}
        case "evaluate":
            return {"confidence": (number % 100) / 100}
        case _:
            return {
                "state": "accepted" if number % 10 else "review",
                "category": CATEGORIES[number % len(CATEGORIES)],
            }


async def review() -> None:
    """Think."""
    await asyncio.sleep(REVIEW_S)


def expected(numbers: Iterable[int]) -> dict[int, tuple[str, str]]:
    """Map each item to the state and category it must end with."""
    ends = {number: answer("settle", number) for number in numbers}
    return {number: (end["state"], end["category"]) for number, end in ends.items()}


async def bounded(numbers: Iterable[int], limit: int, do: Callable[[int], Awaitable[Any]]) -> None:
    """Do something for every item, so many at once."""
    waiting = iter(numbers)

    async def worker() -> None:
        for number in waiting:
            await do(number)

    await asyncio.gather(*(worker() for _ in range(limit)))


def share() -> Share:
    """Read what this process is asked to do from its first argument."""
    return Share(**json.loads(sys.argv[1]))


def say(**fields: Any) -> None:
    """Tell the bench something, one line of JSON."""
    print(json.dumps(fields), flush=True)


def wait_for_the_gun() -> None:
    """Say that everything is set up, and wait until all are."""
    say(ready=True)
    if not sys.stdin.readline():
        raise SystemExit("the bench is gone")


def stay_until_measured() -> None:
    """Say that the work is done, and live on until the bench has read what it cost."""
    say(done=True)
    sys.stdin.readline()


def say_results(results: Iterable[dict[str, Any]]) -> None:
    """Hand over what the last step answered, for those that keep it in no table of ours."""
    say(results=[[each["number"], each["state"], each["category"]] for each in results])
