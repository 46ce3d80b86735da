"""Read what a language model answered about a text: the right shape, or one clear error.

An answer is material, not truth. Its quotes are looked for in the citizen's own text, and what does
not stand there is dropped.
"""

import json
import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from include.contributions.model import Article, Category, Confidence, Decision
from include.errors import UnreadableAnswerError

MAX_LISTED = 12
MIN_QUOTE_LETTERS = 4
"""Less than a word of four letters stands in any text, and proves nothing."""

PLACEHOLDER = re.compile(r"\[[^\[\]\n]{1,40}\]")
"""What stands for the words of a person that were taken out, such as ``[nom]``."""

_FENCE = re.compile(r"\A\s*```(?:json)?[ \t]*\n(.*)\n[ \t]*```\s*\Z", re.DOTALL | re.IGNORECASE)
_LOOSE = {"'": "['’ʼ‘]", "’": "['’ʼ‘]", '"': '["“”«»]', "…": r"(?:…|\.\.\.)", "-": "[-‐‑–]"}

Quote = Annotated[str, StringConstraints(max_length=600)]
Sentence = Annotated[str, StringConstraints(max_length=1_500)]


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Blame(_Form):
    """An article that the text is said to break, and on which words."""

    article: Article
    quote: Quote
    explanation: Sentence


class Positive(_Form):
    """Something encouraged that the text is said to bring, and in which words."""

    aspect: Annotated[str, StringConstraints(max_length=60)]
    quote: Quote


class AnswerForm(_Form):
    """An opinion on a text, as a model must give it: every field, and none besides."""

    id: Annotated[str, StringConstraints(max_length=80)]
    decision: Decision
    confidence: Confidence
    violations: Annotated[list[Blame], Field(max_length=MAX_LISTED)]
    positives: Annotated[list[Positive], Field(max_length=MAX_LISTED)]
    reasoning: Sentence
    category: Category | Literal["undetermined"]
    second_category: Category | None
    category_confidence: Confidence
    category_quote: Quote | None


class WordingForm(_Form):
    """Another wording of a text; None where there is nothing to suggest."""

    id: Annotated[str, StringConstraints(max_length=80)]
    suggestion: Annotated[str, StringConstraints(max_length=20_000)] | None


FormT = TypeVar("FormT", AnswerForm, WordingForm)


def read_answer(content: str, expected_id: str) -> AnswerForm:
    """Read an opinion.

    Raises:
        UnreadableAnswerError: It is not of the form, or about another text.
    """
    return _read(AnswerForm, content, expected_id)


def read_wording(content: str, expected_id: str) -> WordingForm:
    """Read a suggestion.

    Raises:
        UnreadableAnswerError: It is not of the form, or about another text.
    """
    return _read(WordingForm, content, expected_id)


def _read(form: type[FormT], content: str, expected_id: str) -> FormT:
    fenced = _FENCE.match(content)
    body = fenced[1] if fenced else content
    try:
        json.loads(body, object_pairs_hook=_once_each)
        answer = form.model_validate_json(body)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3]
        )
        raise UnreadableAnswerError(f"no answer of the form asked for: {found}"[:300]) from error
    except (ValueError, RecursionError) as error:
        raise UnreadableAnswerError(f"no answer of the form asked for: {error!r}"[:300]) from error
    # Two answers that changed places would be an outcome for the wrong citizen.
    if answer.id != expected_id:
        raise UnreadableAnswerError(f"the answer is about {answer.id!r}, not about {expected_id!r}")
    return answer


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a field given twice: readers differ in which of the two counts."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field is given twice")
    return found


@dataclass(frozen=True, slots=True)
class SentText:
    """A text as it was sent, beside the citizen's own.

    Attributes:
        original: The citizen's own.
        sent: The same, or with placeholders where something was taken out.
    """

    original: str
    sent: str

    def locate(self, quote: str) -> tuple[int, int] | None:
        """Find where a model's quote stands in the citizen's own text; None where it does not.

        A quote that holds a placeholder is given back the words that it stands for.

        >>> SentText("Merci à Yann, du port.", "Merci à [nom], du port.").locate("[nom], du port")
        (8, 21)
        >>> SentText("Le banc est cassé.", "Le banc est cassé.").locate("Le mur est cassé") is None
        True
        """
        found = find(self.sent, quote)
        if found is None or self.sent == self.original:
            return found
        return self._mapped(*found)

    def _mapped(self, start: int, end: int) -> tuple[int, int] | None:
        pieces = self._pieces()
        if pieces is None:
            return None
        begin = finish = None
        for (sent_at, own_at, length), (after_sent, after_own, _) in pairwise(
            (*pieces, (len(self.sent), len(self.original), 0))
        ):
            if sent_at <= start < after_sent:
                begin = min(own_at + start - sent_at, own_at + length)
            if sent_at < end <= after_sent:
                inside = end - sent_at
                finish = own_at + inside if inside <= length else after_own
        if begin is None or finish is None or begin >= finish:
            return None
        return begin, finish

    def _pieces(self) -> list[tuple[int, int, int]] | None:
        """Pair what was kept with where it stands in both: (in sent, in the original, length)."""
        pieces: list[tuple[int, int, int]] = []
        sent_at = own_at = 0
        for gap in (*PLACEHOLDER.finditer(self.sent), None):
            end = gap.start() if gap else len(self.sent)
            piece = self.sent[sent_at:end]
            if gap is None:
                place = len(self.original) - len(piece)
                place = place if place >= own_at and self.original.endswith(piece) else -1
            else:
                # What was taken out was one character at least.
                place = self.original.find(piece, own_at + bool(pieces))
            if place < 0 or (not pieces and place > 0):
                return None
            pieces.append((sent_at, place, len(piece)))
            own_at = place + len(piece)
            sent_at = gap.end() if gap else end
        return pieces


def find(text: str, quote: str) -> tuple[int, int] | None:
    """Find a quote in a text as people copy it: white space and typographic marks may differ.

    >>> find("Le  banc de l’école est cassé.", "« banc de l'école »")
    (4, 19)
    """
    bare = quote.strip().strip("«»“”\"'… ").strip()
    if sum(map(str.isalnum, bare)) < MIN_QUOTE_LETTERS:
        return None
    words = (
        "".join(_LOOSE.get(character, re.escape(character)) for character in word)
        for word in bare.split()
    )
    found = re.search(r"\s+".join(words), text)
    return found.span() if found else None
