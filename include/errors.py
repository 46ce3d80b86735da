"""Errors sorted by the only question an orchestrator asks: does another attempt help?"""

from dataclasses import dataclass, field
from datetime import datetime


class ParticipationError(Exception):
    """Base of every error this project raises on purpose."""


class TransientError(ParticipationError):
    """Another attempt may succeed with nothing changed."""


class PermanentError(ParticipationError):
    """Every attempt fails the same way until a person changes the data or the configuration."""


class ConfigurationError(PermanentError):
    """A path, setting or data file is wrong; the message says which and what to do."""


class UnreadableSourceError(PermanentError):
    """A source cannot be read at all: a wrong path, an empty folder, a file of unknown form."""


class EmptySourceError(UnreadableSourceError):
    """A folder holds no contributions yet: an error for who named it, an ordinary hour for an inbox."""


class UnreadableRecordError(PermanentError):
    """One record of a source cannot be used; the message is what its submitter would understand."""


class UnreadableAnswerError(TransientError):
    """A reviewer answered in a shape that cannot be read; the next answer may be sound."""


class ProviderUnavailableError(TransientError):
    """A connected provider did not answer, or not in time; nothing of the call was used.

    Attributes:
        retry_after_s: How long the provider asked to wait; None when it said nothing.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message, retry_after_s)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """Show the message alone."""
        return str(self.args[0])


class ProviderRefusedError(PermanentError):
    """A connected provider refuses: key, quota, model or request; a person must change it first."""


class RequestRefusedError(ProviderRefusedError):
    """A provider takes the key and refuses this one request; it may well take the next."""


class CircuitOpenError(ProviderUnavailableError):
    """Providers failed so often in a row that none of them is asked for a while."""


class ProbeUnderwayError(CircuitOpenError):
    """Somebody tries a provider that failed; what comes of it is known in a moment."""


class BudgetSpentError(ProviderRefusedError):
    """The next call could cost more than what is left of the day's budget: it is not made."""


class LedgerUnavailableError(TransientError):
    """The ledger's database did not answer or went away in the middle; nothing was half written."""


class LeaseLostError(PermanentError):
    """Another attempt holds this chunk now; whatever this one still wanted to write was refused."""


class RubricChangedError(PermanentError):
    """The rules changed while a run was at work; its results would mix two judgements."""


class ReconciliationError(PermanentError):
    """The books do not balance: the sum of the states differs from what was submitted."""


class ReviewerBelowGateError(PermanentError):
    """The reviewer scores too badly on the labelled sample for its outcomes to count."""


@dataclass(eq=False)
class ProcessingError(ParticipationError):
    """A step failed on an item: which step, which item, which attempt, why, and when.

    Attributes:
        step: Name of the step, such as ``validate``.
        item: Identifier of what was being worked on (a contribution, a chunk, a file).
        attempt: The attempt that failed, from 1.
        cause: The original error; also set as ``__cause__``.
        failed_at: When it failed, with a zone.
        context: What else helps to find it again; strings and numbers only.
    """

    step: str
    item: str
    attempt: int
    cause: BaseException
    failed_at: datetime
    context: dict[str, str | int | float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep the chain, so that a traceback shows the original error."""
        self.__cause__ = self.cause
        super().__init__(str(self))

    def __reduce__(self) -> tuple[type["ProcessingError"], tuple[object, ...]]:
        """Survive the way through a queue or a file with every field."""
        fields = (self.step, self.item, self.attempt, self.cause, self.failed_at, self.context)
        return type(self), fields

    def __str__(self) -> str:
        """One line that names step, item, attempt and every cause down the chain."""
        return (
            f"{self.step} failed on {self.item} (attempt {self.attempt}, "
            f"{self.failed_at.isoformat(timespec='seconds')}): {cause_chain(self.cause)}"
        )


def cause_chain(error: BaseException | None) -> str:
    """Name an error and what led to it, outermost first.

    >>> try:
    ...     try:
    ...         int("x")
    ...     except ValueError as bad:
    ...         raise TransientError("no number") from bad
    ... except TransientError as error:
    ...     cause_chain(error)
    "TransientError: no number <- ValueError: invalid literal for int() with base 10: 'x'"
    """
    names: list[str] = []
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        names.append(f"{type(error).__name__}: {error}".strip().removesuffix(":"))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return " <- ".join(names)


def is_transient(error: BaseException) -> bool:
    """Say whether another attempt may help; an error nobody sorted is treated as transient.

    This is the rule for a call and for a task, which nothing but the wait is lost on. A
    :class:`ProcessingError` is judged by its cause. For one item among many see
    :func:`says_it_passes`.
    """
    if isinstance(error, ProcessingError):
        return is_transient(error.cause)
    return not isinstance(error, PermanentError)


def says_it_passes(error: BaseException) -> bool:
    """Say whether an error is one that was sorted as transient; an unsorted one is not.

    This is the rule for one item among many, after the attempts inside a call: an item that fails
    for a reason nobody foresaw is set aside, because it would hold up all the others each time.
    """
    if isinstance(error, ProcessingError):
        return says_it_passes(error.cause)
    return isinstance(error, TransientError)


def is_ledger_away(error: BaseException) -> bool:
    """Say whether the ledger's database did not answer, whatever step that was met in."""
    if isinstance(error, ProcessingError):
        return is_ledger_away(error.cause)
    return isinstance(error, LedgerUnavailableError)
