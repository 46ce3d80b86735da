"""Read what a language model answered about a text: the right shape, or one clear error.

An answer is material, not truth. Its quotes are looked for in the citizen's own text, and what does
not stand there is dropped.
"""

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from include.anonymisation import Anonymised
from include.contributions.model import Article, Category, Confidence, Decision
from include.errors import UnreadableAnswerError

MAX_LISTED = 12
MIN_QUOTE_LETTERS = 4
"""Less than a word of four letters stands in any text, and proves nothing."""

PLACEHOLDER = re.compile(r"\[[^\[\]\n]{1,40}\]")
"""What stands for the words of a person that were taken out, such as ``[PERSONNE_1]``."""

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
        anonymised: The same without the persons in it; None where it was sent as it is.
    """

    original: str
    anonymised: Anonymised | None = None

    @property
    def sent(self) -> str:
        """What the model was given."""
        return self.original if self.anonymised is None else self.anonymised.text

    def locate(self, quote: str) -> tuple[int, int] | None:
        """Find where a model's quote stands in the citizen's own text; None where it does not.

        A quote that holds a surrogate is given back the words that it stands for.

        >>> SentText("Le banc est cassé.").locate("banc est cassé")
        (3, 17)
        >>> SentText("Le banc est cassé.").locate("Le mur est cassé") is None
        True
        """
        found = find(self.sent, quote)
        if found is None or self.anonymised is None:
            return found
        return self.anonymised.original_span(*found)


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
