"""The mapping between surrogates and what they stand for, for one text or a set of texts.

It is handed back to whoever asked and stored nowhere: with it, an anonymised text is none.
"""

import re
from collections import defaultdict

from include.anonymisation.model import Kind
from include.documents.words import fold

SURROGATE = re.compile(rf"\[(?:{'|'.join(kind.value.upper() for kind in Kind)})_\d+\]")

_DIGITS = re.compile(r"\d")
_LETTERS = re.compile(r"[^\W_]+")
_NUMBERS = frozenset({Kind.TELEPHONE, Kind.SECURITE_SOCIALE})
_NAMES = frozenset({Kind.PERSONNE, Kind.NOM})


class Pseudonyms:
    """Gives the same person, number or address the same surrogate in every text of a set.

    >>> known = Pseudonyms()
    >>> known.surrogate(Kind.TELEPHONE, "06 12 34 56 78")
    '[TELEPHONE_1]'
    >>> known.surrogate(Kind.TELEPHONE, "+33612345678"), known.restore("[TELEPHONE_1] ?")
    ('[TELEPHONE_1]', '06 12 34 56 78 ?')
    """

    def __init__(self) -> None:
        self._surrogates: dict[tuple[Kind, str], str] = {}
        self._originals: dict[str, str] = {}
        self._counts: defaultdict[Kind, int] = defaultdict(int)
        self._fuller: dict[str, set[str]] = {}

    def __repr__(self) -> str:
        """Tell how many, never who."""
        return f"Pseudonyms({len(self._originals)} surrogates)"

    def __len__(self) -> int:
        return len(self._originals)

    def surrogate(self, kind: Kind, surface: str) -> str:
        """Name what stands there, the same way as before when it is the same.

        A part of exactly one known name is that person: ``Le Goff`` after ``Marie Le Goff``.
        """
        key = (kind, _canonical(kind, surface))
        found = self._surrogates.get(key) or (self._whole(key[1]) if kind in _NAMES else None)
        if found is None:
            self._counts[kind] += 1
            found = f"[{kind.value.upper()}_{self._counts[kind]}]"
            self._originals[found] = surface
        if key not in self._surrogates:
            self._surrogates[key] = found
            if kind in _NAMES:
                for part in key[1].split():
                    self._fuller.setdefault(part, set()).add(found)
        return found

    def restore(self, text: str) -> str:
        """Put back what each surrogate first stood for; unknown ones stay."""
        return SURROGATE.sub(lambda found: self._originals.get(found[0], found[0]), text)

    def _whole(self, name: str) -> str | None:
        candidates: set[str] | None = None
        for part in name.split():
            holders = self._fuller.get(part, set())
            candidates = holders if candidates is None else candidates & holders
        return next(iter(candidates)) if candidates and len(candidates) == 1 else None


def _canonical(kind: Kind, surface: str) -> str:
    if kind is Kind.TEXTE:
        return surface
    folded = fold(surface)
    if kind in _NUMBERS:
        digits = "".join(_DIGITS.findall(folded))
        return re.sub(r"^(?:00)?33(?:0(?=\d{9}$))?(?=\d{9})", "0", digits)
    parts = _LETTERS.findall(folded)
    return " ".join(sorted(parts) if kind in _NAMES else parts)
