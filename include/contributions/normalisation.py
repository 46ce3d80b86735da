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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

MAX_WORD_CHARACTERS = 48
"""Longer tokens are no words; only this much of them is read."""

CACHE_SIZE = 1 << 16
"""Word forms remembered; French needs fewer, and a flood of invented words must not fill memory."""

UNKNOWN = "inconnu"
OF_THINGS = "chose."
"""Classes of words that are said of things as well begin so."""

HARMFUL = frozenset({"attaque", "violence", "groupe", "grief"})
"""Classes that a slip of the pen must not hide."""

PLAIN_ENDINGS = ("", "s", "x", "e", "es")
COMMON_COUNT = 60
"""Half of the library's words were seen 50 times, which is its way of saying never."""

PREFIXES = (
    *(
        "agro",
        "anti",
        "aqua",
        "archi",
        "auto",
        "bi",
        "bio",
        "co",
        "contre",
        "cyber",
        "demi",
        "electro",
    ),
    *(
        "entre",
        "ex",
        "extra",
        "geo",
        "hydro",
        "hyper",
        "infra",
        "inter",
        "intra",
        "macro",
        "maxi",
        "mi",
    ),
    *(
        "micro",
        "mini",
        "mono",
        "moto",
        "multi",
        "neo",
        "non",
        "para",
        "peri",
        "photo",
        "pluri",
        "poly",
    ),
    *(
        "post",
        "pre",
        "pro",
        "quasi",
        "re",
        "semi",
        "socio",
        "sous",
        "sur",
        "super",
        "supra",
        "tele",
    ),
    *("thermo", "trans", "tri", "ultra", "uni", "velo", "video"),
)
"""Learned beginnings before which a plain word stays plain."""

DERIVED_LETTERS = 5
"""What a learned prefix is put before has at least so many letters."""

RARE_HARM = 30
"""A plain word this many times more frequent is what a citizen without accents meant."""

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
    rf"[^\W_](?:[\w\u0300-\u036f{_JOINERS}]|[@$€!|*](?=[^\W_])|(?<=[cC])['’](?=[hH]))*",
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
        klass: Empty for a plain word; the class under which the word is listed; ``inconnu``.
    """

    folded: str
    lower: str
    disguised: bool
    known: bool
    klass: str = ""


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
        return word.lower().replace("'", "")
    plain = unicodedata.normalize("NFKC", word).lower().translate(_LETTERS).replace("'", "")
    plain = _INVISIBLE.sub("", plain).translate(_HOMOGLYPHS)
    decomposed = unicodedata.normalize("NFD", plain)
    return "".join(char for char in decomposed if not unicodedata.combining(char))


def cut(phrase: str) -> list[str]:
    """Cut a phrase of the data as texts are cut; the Breton *c'h* is one letter.

    >>> cut("plage du Loc'h"), cut("l'arc-en-ciel")
    (['plage', 'du', 'Loch'], ['l', 'arc', 'en', 'ciel'])
    """
    return phrase.replace("c'h", "ch").replace("'", " ").replace("-", " ").split()


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
    """The words that need no explanation: French as a spelling library knows it, and the town's.

    French words that may speak of people, of harm or of things to sell are *listed* with their class;
    all others are plain.
    """

    def __init__(
        self,
        own_words: Iterable[str] = (),
        listed: Mapping[str, str] = MappingProxyType({}),
        plain: Iterable[str] = (),
    ) -> None:
        """Read the library.

        Args:
            own_words: Words that are known, as written.
            listed: Class of each listed word, with its accents.
            plain: Words that are known and plain, unless they are listed as words that harm.
        """
        packed = importlib.resources.files("spellchecker").joinpath("resources/fr.json.gz")
        counts: dict[str, int] = json.loads(gzip.decompress(packed.read_bytes()))
        folded = _fold_many(counts)
        self._words = set(folded)
        self._words.update(fold(word) for word in listed if word not in counts)
        self._words.update(fold(word) for word in own_words)
        self._exact = counts
        self._listed = dict(listed)
        self._plain = {fold(word) + ending for word in plain for ending in ("", "s", "x")}
        self._words |= self._plain
        for word in counts:
            if "-" in word or "'" in word:
                self._plain.update(part for part in fold(word).replace("'", "-").split("-") if part)
        self._unaccented = self._without_accents(folded)

    def __contains__(self, folded: str) -> bool:
        return folded in self._words

    def klass(self, lower: str, folded: str) -> str:
        """Say of which class a word is; empty when it is plain.

        With the citizen's accents where there are some: *tué* is not *tue*. A word written without
        the accents it needs is what it could be, the worse first.
        """
        found = self._listed.get(lower, "")
        written = bool(found)
        if not found and lower not in self._exact:
            found = self._unaccented.get(folded, "")
        if folded in self._plain and not (
            found in HARMFUL or (written and found.startswith(OF_THINGS))
        ):
            return ""
        if found or folded in self._words or self._is_derived(folded):
            return found
        return UNKNOWN

    def _is_derived(self, folded: str) -> bool:
        """Say whether a word is a plain one with a learned prefix, or its plural or feminine."""
        for ending in PLAIN_ENDINGS[1:]:
            if folded.endswith(ending) and self.is_common(folded.removesuffix(ending)):
                return True
        return any(
            folded.startswith(prefix)
            and len(folded) - len(prefix) >= DERIVED_LETTERS
            and self.is_common(folded.removeprefix(prefix))
            for prefix in PREFIXES
        )

    def is_common(self, folded: str) -> bool:
        """Say whether a word is plain and often met, so that a slip of the pen may stand for it."""
        return (
            folded in self._plain
            or self._exact.get(folded, 0) >= COMMON_COUNT
            or folded in self._common_unaccented
        ) and folded not in self._unaccented

    def is_listed(self, folded: str) -> bool:
        """Say whether a word, accents aside, is listed as one that harms; rare verb forms are not."""
        return folded in self._near

    def _without_accents(self, folded: Sequence[str]) -> dict[str, str]:
        """Classes of the listed words by their spelling without accents.

        A plain word that shares the spelling and is met much more often takes it, unless the listed
        one harms.
        """
        ranks: dict[str, tuple[int, str]] = {}
        for word, klass in self._listed.items():
            key = fold(word)
            known = ranks.get(key)
            count = self._exact.get(word, 1)
            if known is None or (klass in HARMFUL, count) > (known[1] in HARMFUL, known[0]):
                ranks[key] = count, klass
        listed = self._listed
        common = set()
        for (word, count), key in zip(self._exact.items(), folded, strict=True):
            if count >= COMMON_COUNT and word != key:
                common.add(key)
            if key in ranks and word not in listed:
                own, klass = ranks[key]
                if count > own * (RARE_HARM if klass in HARMFUL else 1):
                    del ranks[key]
        self._common_unaccented = common
        self._near = {
            key
            for key, (count, klass) in ranks.items()
            if klass in {"attaque", "groupe"} or (klass in HARMFUL and count >= COMMON_COUNT)
        }
        return {key: klass for key, (_, klass) in ranks.items()}


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
            klass = self._klass(lower, folded)
            return Form(folded, folded if disguised else lower, disguised, known=True, klass=klass)
        for candidate in _undisguised(folded):
            if candidate in self.vocabulary:
                klass = self._klass(candidate, candidate)
                return Form(candidate, candidate, disguised=True, known=True, klass=klass)
        masked = disguised or "*" in word
        return Form(folded, folded if disguised else lower, masked, known=False, klass=UNKNOWN)

    def _klass(self, lower: str, folded: str) -> str:
        if len(folded) <= 1 or folded.isdigit():
            return ""
        return self.vocabulary.klass(lower, folded)


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
