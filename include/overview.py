"""The town at a glance: the flow of a day as a picture, what waits for whom, the last thirty days.

``participation.ledger.overview`` fills these from the ledger; what is here lays the pictures out, in
the units of their drawings.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from include.contributions.report import Delay, RulesAlone

MACHINE = ("accept", "review", "refusal_proposed", "quarantined", "pending")
"""What the machine made of a contribution, in the order of the picture."""

NOW = ("accepted", "waiting", "set_aside", "refused")
"""Where it stands; what the machine has not seen yet ends in its own column."""

STANDS = {
    "accepted": "accepted",
    "refused": "refused",
    "review": "waiting",
    "refusal_proposed": "waiting",
    "quarantined": "set_aside",
}

WIDE = (860.0, (0.0, 0.36, 0.74))
NARROW = (366.0, (0.0, 0.27, 0.66))
"""How wide the picture is, and where its columns begin as a share of that."""

FLOW_HEIGHT = 190.0
SLOT = 40.0
GAP = 8.0
BAR = 12.0


@dataclass(frozen=True, slots=True)
class Node:
    """One box of the flow: where it is and how many contributions it holds."""

    column: int
    key: str
    count: int
    x: float
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Ribbon:
    """What leads from one box to another, as the outline of an SVG path."""

    kind: str
    count: int
    path: str


@dataclass(frozen=True, slots=True)
class Flow:
    """The picture of a day, from received to decided."""

    width: float
    height: float
    columns: tuple[float, ...]
    nodes: tuple[Node, ...]
    ribbons: tuple[Ribbon, ...]


@dataclass(frozen=True, slots=True)
class DayCount:
    """What was received on a day, and how much of it waits."""

    day: date
    received: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for somebody: how much, and since when the oldest does."""

    key: str
    count: int
    oldest_s: float | None = None


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One of the last reports."""

    day: date
    figures: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Missed:
    """A deadline that passed."""

    dag_id: str
    run_id: str
    alert: str
    noted_at: datetime
    run_state: str | None


@dataclass(frozen=True, slots=True)
class Provider:
    """A connected model provider: whether it is asked, and what it took today."""

    conn_id: str
    open_until: datetime | None
    reason: str
    calls: int
    failed: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the first page says.

    Attributes:
        day: Whose flow is shown: today, or the last day before it on which anything came.
        is_today: Whether that is today.
        counts: Of that day: by (what the machine made of it, the state it has now).
        waiting: What waits for whom, whatever its day.
        delays: How long texts wait for a person: those that speak of a group, and the others.
        oldest: The contribution that waits longest, its state and its age in seconds.
        providers: None where no model is connected.
        alone: Texts of past days that the rules judged without the model.
    """

    municipality: str
    generated_at: datetime
    day: date | None
    is_today: bool
    counts: Mapping[tuple[str, str], int]
    waiting: tuple[Waiting, ...]
    days: tuple[DayCount, ...]
    reports: tuple[ReportRow, ...] = ()
    missed: tuple[Missed, ...] = ()
    failed_attempts: int = 0
    delays: tuple[Delay, ...] = ()
    oldest: tuple[str, str, float] | None = None
    providers: tuple[Provider, ...] | None = None
    received: int = field(default=0)
    alone: RulesAlone | None = None

    @property
    def wide(self) -> Flow:
        """The picture for a screen."""
        return flow(self.counts, *WIDE)

    @property
    def narrow(self) -> Flow:
        """The same for a phone."""
        return flow(self.counts, *NARROW)

    def waited_s(self, since: datetime) -> float:
        """For how long, by the database's clock."""
        return max(0.0, (self.generated_at - since).total_seconds())

    def waits(self, key: str) -> int:
        """How much waits for one of those that something waits for."""
        return next((each.count for each in self.waiting if each.key == key), 0)


def flow(counts: Mapping[tuple[str, str], int], width: float, starts: tuple[float, ...]) -> Flow:
    """Lay out the flow: three columns of boxes as high as what they hold, and ribbons between them.

    >>> picture = flow({("accept", "accepted"): 3, ("pending", "pending"): 1}, *WIDE)
    >>> [(node.key, node.count) for node in picture.nodes]
    [('received', 4), ('accept', 3), ('pending', 1), ('accepted', 3)]
    """
    machine: Counter[str] = Counter()
    now: Counter[str] = Counter()
    links: Counter[tuple[str, str]] = Counter()
    for (made, state), count in counts.items():
        machine[made] += count
        if made != "pending":
            stands = STANDS.get(state, "waiting")
            now[stands] += count
            links[made, stands] += count
    total = machine.total()
    unit = FLOW_HEIGHT / total if total else 0.0
    columns = (
        [("received", total)],
        [(key, machine[key]) for key in MACHINE if machine[key]],
        [(key, now[key]) for key in NOW if now[key]],
    )
    nodes: dict[tuple[int, str], Node] = {}
    height = 0.0
    for column, boxes in enumerate(columns):
        y = 0.0
        for key, count in boxes:
            size = max(count * unit, 3.0)
            nodes[column, key] = Node(
                column, key, count, round(starts[column] * width, 1), round(y, 1), size
            )
            y += max(size, SLOT) + GAP
        height = max(height, y)
    ribbons = [
        *_ribbons(nodes, 0, [(("received", key), count) for key, count in columns[1]], unit),
        *_ribbons(
            nodes,
            1,
            [((m, n), links[m, n]) for m in MACHINE for n in NOW if links[m, n]],
            unit,
        ),
    ]
    return Flow(
        width,
        round(height, 1),
        tuple(round(start * width, 1) for start in starts),
        tuple(nodes.values()),
        tuple(ribbons),
    )


def _ribbons(
    nodes: Mapping[tuple[int, str], Node],
    column: int,
    links: list[tuple[tuple[str, str], int]],
    unit: float,
) -> list[Ribbon]:
    left: Counter[str] = Counter()
    right: Counter[str] = Counter()
    found = []
    for (source, target), count in links:
        start, end = nodes[column, source], nodes[column + 1, target]
        thick = max(count * unit, 1.5)
        y0, y1 = start.y + left[source] * unit, end.y + right[target] * unit
        left[source] += count
        right[target] += count
        x0, x1 = start.x + BAR, end.x
        middle = (x0 + x1) / 2
        found.append(
            Ribbon(
                target,
                count,
                f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
                f"V{y1 + thick:.1f}C{middle:.1f} {y1 + thick:.1f} {middle:.1f} {y0 + thick:.1f}"
                f" {x0:.1f} {y0 + thick:.1f}Z",
            )
        )
    return found
