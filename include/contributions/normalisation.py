"""Read the words of a text as a person would, and keep where each stood.

Letters of other alphabets that look like ours, invisible characters, accents, digits that stand for
letters, stretched and spaced-out words are undone for comparison only. Every token keeps the span of
the citizen's own text, so that whatever is found can be quoted as it was written. Nothing here knows
what a word means.
"""

import gzip
import importlib.resources
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

MAX_WORD_CHARACTERS = 48
"""Longer tokens are no words; only this much of them is read."""

CACHE_SIZE = 1 << 16
"""Word forms remembered; French needs fewer, and a flood of invented words must not fill memory."""

_HOMOGLYPHS = str.maketrans(
    {
        **dict(zip("авекмнорстухіјѕԁԛԝгп", "abekmhopctyxijsdqwrn", strict=True)),
        **dict(zip("αβγεηικνορτυχω", "abyenikvoptuxw", strict=True)),
        **dict(zip("ıłøđƒʀɪɢ", "ilodfrig", strict=True)),
    }
)
_LETTERS = str.maketrans({"œ": "oe", "æ": "ae", "ß": "ss", "’": "'", "ʼ": "'"})
_LATIN_1_ACCENTS = bytes.maketrans(
    "àâäáãéèêëîïíôöóõûüùúçñÿ".encode("latin-1"), b"aaaaaeeeeiiioooouuuucny"
)
_LEET_I = str.maketrans("0134578@$€!|", "oieastbaseil")
_LEET_L = str.maketrans("0134578@$€!|", "oleastbaseil")
_LEET_CHARACTERS = frozenset("0134578@$€!|")
_JOINERS = "\u00ad\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
_STYLED = re.compile("[\uff01-\uff5e\u2460-\u24ff\U0001d400-\U0001d7ff]")
_INVISIBLE = re.compile(f"[{_JOINERS}]")
_WORD = re.compile(
    rf"[^\W_](?:[\w\u0300-\u036f{_JOINERS}]|[@$€!|*](?=[^\W_]))*",
)
_SENTENCE_END = re.compile(r"[.!?…\n;]")
_SPACER = re.compile(r"[ \t\u00a0.\-_*·•/|]{1,2}")
_STRETCHED = re.compile(r"(.)\1{2,}")
_QUOTED = re.compile(r"«[^«»]{1,600}»|“[^“”]{1,600}”|\"[^\"\n]{1,600}\"|‘[^‘’]{1,300}’")
_ABBREVIATIONS = frozenset({"m", "mm", "mr", "mme", "mlle", "st", "ste", "bd", "av", "dr", "n"})
_ACCENT_LIMIT = 2
_SPACED_LETTERS = 4
_DOUBTFUL_SPACED_LETTERS = 5
_LEET_LETTERS = 2


class Form(NamedTuple):
    """How a word reads once its disguise is undone.

    Attributes:
        folded: Lower case, without accents, homoglyphs, invisible characters.
        lower: Lower case with accents, for the stemmer.
        disguised: True when a reader's eye and a machine would not have seen the same word.
        known: True when the vocabulary holds it, or it is a number or a single letter.
    """

    folded: str
    lower: str
    disguised: bool
    known: bool


class Token(NamedTuple):
    """One word of the text: ``text[start:end]`` as written, ``form`` as read."""

    start: int
    end: int
    form: Form
    sentence: int
    capital: bool


class Reading(NamedTuple):
    """A text cut into words.

    Attributes:
        text: As received; every span counts its characters.
        tokens: In order; spaced-out letters count as one token.
        quoted: Spans between quotation marks, in order.
    """

    text: str
    tokens: tuple[Token, ...]
    quoted: tuple[tuple[int, int], ...]

    def is_quoted(self, start: int, end: int) -> bool:
        """Say whether a span lies between quotation marks."""
        return any(left <= start and end <= right for left, right in self.quoted)


def fold(word: str) -> str:
    """Lower case, compatibility forms resolved, look-alikes, accents and invisible marks removed.

    >>> fold("ÉCOLE"), fold("mа\u200bire"), fold("œuvre")
    ('ecole', 'maire', 'oeuvre')
    """
    if word.isascii():
        return word.lower()
    plain = unicodedata.normalize("NFKC", word).lower().translate(_LETTERS)
    plain = _INVISIBLE.sub("", plain).translate(_HOMOGLYPHS)
    decomposed = unicodedata.normalize("NFD", plain)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def _is_masked(word: str) -> bool:
    """Tell a disguise from honest spelling: hidden marks, mixed alphabets, stacks of accents."""
    if _INVISIBLE.search(word.replace("\u00ad", "")):
        return True
    composed = unicodedata.normalize("NFC", word)
    marks = sum(1 for char in composed if unicodedata.combining(char))
    if marks > _ACCENT_LIMIT:
        return True
    foreign = composed.lower().translate(_HOMOGLYPHS) != composed.lower()
    return foreign or _STYLED.search(composed) is not None


class Vocabulary:
    """The words that need no explanation: French as a spelling library knows it, and the town's."""

    def __init__(self, own_words: Iterable[str] = ()) -> None:
        packed = importlib.resources.files("spellchecker").joinpath("resources/fr.json.gz")
        words = json.loads(gzip.decompress(packed.read_bytes()))
        self._words = set(_fold_many(words))
        self._words.update(fold(word) for word in own_words)

    def __contains__(self, folded: str) -> bool:
        return folded in self._words


def _fold_many(words: Iterable[str]) -> list[str]:
    """Fold a dictionary at once: as bytes, 140,000 words cost a few milliseconds."""
    joined = "\n".join(words).lower().replace("œ", "oe").replace("æ", "ae")
    plain = joined.encode("latin-1", "replace").translate(_LATIN_1_ACCENTS)
    return plain.decode("ascii", "replace").split("\n")


class Normaliser:
    """Cuts texts into tokens; remembers word forms, a bounded number of them."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.form: Callable[[str], Form] = lru_cache(maxsize=CACHE_SIZE)(self._form)

    def read(self, text: str) -> Reading:
        """Cut a text into tokens; linear in its length, and no input makes it fail."""
        tokens = tuple(self._join_spaced(text, self._words(text)))
        quoted = tuple(match.span() for match in _QUOTED.finditer(text))
        return Reading(text, tokens, quoted)

    def _words(self, text: str) -> list[Token]:
        tokens: list[Token] = []
        sentence = 0
        previous_end = 0
        form = self.form
        for match in _WORD.finditer(text):
            start, end = match.span()
            word = match.group()
            between = text[previous_end:start]
            if (
                tokens
                and between not in {" ", "'", "’"}
                and _SENTENCE_END.search(between)
                and not (between[0] == "." and tokens[-1].form.folded in _ABBREVIATIONS)
            ):
                sentence += 1
            read = form(word if end - start <= MAX_WORD_CHARACTERS else word[:MAX_WORD_CHARACTERS])
            tokens.append(Token(start, end, read, sentence, word[0].isupper()))
            previous_end = end
        return tokens

    def _join_spaced(self, text: str, tokens: list[Token]) -> Iterator[Token]:
        """Make one token of letters written apart, as in ``d é t e s t e``."""
        single = [place for place, token in enumerate(tokens) if len(token.form.folded) == 1]
        reach = _SPACED_LETTERS - 1
        if not any(
            last - first == reach for first, last in zip(single, single[reach:], strict=False)
        ):
            yield from tokens
            return
        index = 0
        while index < len(tokens):
            last = index
            while (
                last < len(tokens)
                and len(tokens[last].form.folded) == 1
                and tokens[last].form.folded.isalpha()
                and (
                    last == index
                    or _SPACER.fullmatch(text, tokens[last - 1].end, tokens[last].start)
                )
            ):
                last += 1
            joined = self._spaced_word(text, tokens[index:last])
            if joined is None:
                last = max(last, index + 1)
                yield from tokens[index:last]
            else:
                yield joined
            index = last

    def _spaced_word(self, text: str, letters: list[Token]) -> Token | None:
        if len(letters) < _SPACED_LETTERS:
            return None
        start, end = letters[0].start, letters[-1].end
        word = "".join(text[token.start : token.end] for token in letters)[:MAX_WORD_CHARACTERS]
        read = self.form(word)
        if not read.known and len(letters) < _DOUBTFUL_SPACED_LETTERS:
            return None
        return Token(start, end, read._replace(disguised=True), letters[0].sentence, capital=False)

    def _form(self, word: str) -> Form:
        folded = fold(word)
        lower = unicodedata.normalize("NFC", word).lower()
        disguised = not word.isascii() and _is_masked(word)
        if folded in self.vocabulary or len(folded) <= 1 or folded.isdigit():
            return Form(folded, folded if disguised else lower, disguised, known=True)
        for candidate in _undisguised(folded):
            if candidate in self.vocabulary:
                return Form(candidate, candidate, disguised=True, known=True)
        return Form(folded, folded if disguised else lower, disguised or "*" in word, known=False)


def _undisguised(folded: str) -> Iterator[str]:
    """Guess what a stretched word or one with digits for letters stands for; a dictionary decides.

    >>> list(_undisguised("h4ndicape"))
    ['handicape', 'handicape']
    >>> list(_undisguised("30km")), list(_undisguised("co2")), list(_undisguised("nuuul"))
    ([], [], ['nuul', 'nul'])
    """
    if _STRETCHED.search(folded):
        yield _STRETCHED.sub(r"\1\1", folded)
        yield _STRETCHED.sub(r"\1", folded)
    signs = [char for char in folded if char in _LEET_CHARACTERS]
    letters = sum(1 for char in folded if char.isalpha())
    all_mapped = len(signs) + letters == len(folded)
    if not signs or not all_mapped or letters < max(_LEET_LETTERS, len(signs)):
        return
    if folded.lstrip("0123456789").isalpha() and folded[0] != "0" and folded[1].isdigit():
        return
    if folded.rstrip("0123456789").isalpha() and letters <= _LEET_LETTERS:
        return
    yield folded.translate(_LEET_I)
    yield folded.translate(_LEET_L)
