"""What the pages about open questions say: the queue, and one question with its answer's form."""

from dataclasses import dataclass
from datetime import date, datetime
from urllib.parse import quote

from include.contributions.story import Mark, Segment, marked_parts, numbered_marks
from include.review.blind import is_blind
from include.review.model import Question

LISTED = 50

KINDS = ("case", "escalation", "appeal")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the listed questions must be; None asks nothing."""

    kind: str | None = None
    reason: str | None = None
    category: str | None = None

    def address(self, **changes: object) -> str:
        """Write what is asked as the end of an address."""
        asked = {"kind": self.kind, "reason": self.reason, "category": self.category, **changes}
        given = [f"{name}={quote(str(value), safe='')}" for name, value in asked.items() if value]
        return "?" + "&".join(given) if given else "?"


@dataclass(frozen=True, slots=True)
class ListedQuestion:
    """One open question of the queue; ``is_put`` says that it stands in Airflow's Required Actions."""

    question_id: int
    kind: str
    case: str
    contribution_id: str
    excerpt: str
    category: str | None
    received_on: date
    case_kind: str
    reason: str
    waiting_since: datetime
    waited_s: float
    is_put: bool
    is_answered: bool

    @property
    def is_blind(self) -> bool:
        """Whether the machine's opinion is kept back until it is answered."""
        return is_blind(self.case)


@dataclass(frozen=True, slots=True)
class Queue:
    """One page of the open questions, what has waited longest first."""

    municipality: str
    asked: Asked
    rows: tuple[ListedQuestion, ...]
    open_count: int
    waiting_count: int
    reasons: tuple[tuple[str, int], ...] = ()
    before: int | None = None
    after: int | None = None

    def address(self, **changes: object) -> str:
        """Write what is asked as the end of an address."""
        return self.asked.address(**changes)


@dataclass(frozen=True, slots=True)
class QuestionPage:
    """One question, where its answer goes, and which one comes after it.

    ``place`` is (DAG, run, map index) of the task that waits for the answer.
    """

    question: Question
    case: str
    place: tuple[str, str, int]
    is_put: bool
    is_answered: bool
    closed_as: str | None
    category: str | None
    next_id: int | None = None

    @property
    def is_kept_back(self) -> bool:
        """Whether the machine's opinion must not be shown yet."""
        return is_blind(self.case) and not self.is_answered and self.closed_as is None

    @property
    def is_blind(self) -> bool:
        """Whether this is one of those that are answered first."""
        return is_blind(self.case)

    @property
    def marks(self) -> tuple[Mark, ...]:
        """The machine's evidence; none while it is kept back."""
        if self.is_kept_back:
            return ()
        return numbered_marks(self.question.contribution.text, self.question.validation, None)

    @property
    def parts(self) -> tuple[tuple[str, tuple[Segment, ...]], ...]:
        """The two parts of the text that are not empty, each cut into segments."""
        return marked_parts(self.question.contribution, self.marks)
