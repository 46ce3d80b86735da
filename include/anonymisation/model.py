"""What an anonymisation is: the text without persons, what was replaced, and what may be left."""

from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

from include.errors import PermanentError


class AnonymisationError(PermanentError):
    """A text cannot be made anonymous; nothing of it may leave the house."""


class Kind(StrEnum):
    """What is replaced. ``NOM`` is a proper name that nothing vouches for: replaced to be safe."""

    PERSONNE = "personne"
    NOM = "nom"
    TELEPHONE = "telephone"
    MAIL = "mail"
    ADRESSE = "adresse"
    PLAQUE = "plaque"
    IBAN = "iban"
    SECURITE_SOCIALE = "securite_sociale"
    NAISSANCE = "naissance"
    COMPTE = "compte"
    RESEAU = "reseau"
    TEXTE = "texte"
    """Words of the text itself that look like a surrogate."""


class Reason(StrEnum):
    """Why somebody may still be recognised."""

    UNREADABLE = "unreadable"
    """Lost or control characters, or a long run that is no word."""
    FOREIGN_SCRIPT = "foreign_script"
    """Letters of another alphabet, in which nobody is looked for, or mixed into a word."""
    SPACED_LETTERS = "spaced_letters"
    DISGUISED_WORD = "disguised_word"
    """Digits or signs in the place of letters."""
    NUMBER_IN_WORDS = "number_in_words"
    UNEXPLAINED_NUMBER = "unexplained_number"
    ONE_CASE = "one_case"
    """All in small letters, or all in capitals: names are found far less often."""
    NAME_POSITION = "name_position"
    """A capital where a name stands, on a word that French knows."""


class Found(NamedTuple):
    """A passage to replace."""

    start: int
    end: int
    kind: Kind


@dataclass(frozen=True, slots=True, repr=False)
class Replacement:
    """A passage that was replaced.

    Attributes:
        kind: What stood there.
        start: First character in the original.
        end: After the last one in the original.
        surrogate: What stands there now.
        new_start: First character of the surrogate in the new text.
        new_end: After its last one.
    """

    kind: Kind
    start: int
    end: int
    surrogate: str
    new_start: int
    new_end: int

    def __repr__(self) -> str:
        """Say no more than what may stand in a log."""
        return f"Replacement({self.surrogate} at {self.start}:{self.end})"


@dataclass(frozen=True, slots=True)
class Doubt:
    """Why the new text may not be anonymous; the span counts the original's characters."""

    reason: Reason
    start: int
    end: int


class NameRecogniser(Protocol):
    """Finds names beside the rules, such as a model that somebody installed."""

    @property
    def name(self) -> str:
        """Which one, with its version: another one gives other texts."""

    def names(self, text: str) -> Iterable[tuple[int, int]]:
        """Give the spans of the persons that a text names."""


@dataclass(frozen=True, slots=True, repr=False)
class Anonymised:
    """A text without what was found of persons, and the way back.

    Nothing of it but ``text`` may be stored or sent: the rest is the mapping, which lives as long as
    the task that holds it.

    Attributes:
        text: With surrogates such as ``[PERSONNE_1]``.
        replacements: In the order of the text.
        doubts: Why it may be incomplete; empty does not mean that it is complete.
    """

    text: str
    replacements: tuple[Replacement, ...]
    doubts: tuple[Doubt, ...]
    _original: str
    _restore: Callable[[str], str] = field(compare=False)

    def __repr__(self) -> str:
        """Tell how much was replaced, never what."""
        return f"Anonymised({len(self.replacements)} replaced, {len(self.doubts)} doubts)"

    def restore(self, text: str) -> str:
        """Put back what surrogates stand for: the original for the whole text.

        In any other text (a quote, an answer) a surrogate becomes what it first stood for.
        """
        return self._original if text == self.text else self._restore(text)

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """Map a span of the new text to the original; a surrogate that is touched counts whole.

        Raises:
            ValueError: The span does not lie in the text.
        """
        if not 0 <= start <= end <= len(self.text):
            raise ValueError(f"{start}:{end} does not lie in a text of {len(self.text)} characters")
        return self._before(start, is_end=False), self._before(end, is_end=True)

    def _before(self, position: int, *, is_end: bool) -> int:
        at = bisect_right(self.replacements, position, key=lambda each: each.new_start) - 1
        if at < 0:
            return position
        found = self.replacements[at]
        if position == found.new_start:
            return found.start
        if position < found.new_end:
            return found.end if is_end else found.start
        return position - found.new_end + found.end


Anonymise: TypeAlias = Callable[[str], Anonymised]
"""Makes a text anonymous, or raises: of an anonymiser with all its choices made."""
