"""Replace what a text says of persons, and remember where each thing stood.

The rules are not enough: what they find and miss is measured (``docs/anonymisation.md``). A passage that
two rules claim is replaced whole.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import chain

from include.anonymisation.addresses import addresses
from include.anonymisation.contacts import blots, contacts
from include.anonymisation.flattening import Flat, flattened
from include.anonymisation.model import (
    AnonymisationError,
    Anonymised,
    Doubt,
    Found,
    Kind,
    NameRecogniser,
    Replacement,
)
from include.anonymisation.names import names_in
from include.anonymisation.pseudonyms import SURROGATE, Pseudonyms
from include.anonymisation.suspicions import suspicions
from include.anonymisation.vocabulary import vocabulary
from include.municipality import DEFAULT_MUNICIPALITY

VERSION = "anonymisation-fr-1"
"""Changes when the same text would be replaced otherwise."""

LONGEST_VALUE = 12
"""Words of a number or an address that is looked for again."""

SHORTEST_VALUE = 4
"""Characters; what is shorter stands in other words too often."""

_VALUE = re.compile(r"[^\W_]+")

_RANKS = {
    kind: rank
    for rank, kind in enumerate(
        (
            Kind.TEXTE,
            Kind.IBAN,
            Kind.SECURITE_SOCIALE,
            Kind.MAIL,
            Kind.COMPTE,
            Kind.TELEPHONE,
            Kind.NAISSANCE,
            Kind.PLAQUE,
            Kind.ADRESSE,
            Kind.RESEAU,
            Kind.PERSONNE,
            Kind.NOM,
        )
    )
}


def anonymise(
    text: str,
    pseudonyms: Pseudonyms | None = None,
    recogniser: NameRecogniser | None = None,
    municipality: str = DEFAULT_MUNICIPALITY,
) -> Anonymised:
    """Replace names, numbers and addresses by surrogates.

    Args:
        text: As received; it is not changed.
        pseudonyms: Those of the texts before, of one document or one set of contributions; without,
            they hold for this text alone.
        recogniser: Finds names beside the rules.
        municipality: Whose places are no persons.

    Raises:
        AnonymisationError: It cannot be done; nothing of the text may leave the house.

    >>> done = anonymise("Mme Marie Le Goff, 06 12 34 56 78, préfère la place de la Liberté.")
    >>> done.text
    'Mme [PERSONNE_1], [TELEPHONE_1], préfère la place de la Liberté.'
    >>> done.restore("[PERSONNE_1] a raison.")
    'Marie Le Goff a raison.'
    """
    try:
        # A lone half of a character has no bytes to send.
        text.encode()
    except (AttributeError, UnicodeError) as error:
        raise AnonymisationError(
            f"the text is none that can be sent: {type(error).__name__}"
        ) from None
    known = vocabulary(municipality)
    # "is None": an empty mapping is one that is to be filled.
    mapping = Pseudonyms() if pseudonyms is None else pseudonyms
    flat = flattened(text)
    names, name_doubts = names_in(flat.text, known)
    found = [*contacts(flat.text, known), *addresses(flat.text, known), *names]
    found += _again(flat.text, found)
    in_original = (Found(*flat.original(f.start, f.end), f.kind) for f in found if f.start < f.end)
    literal = (Found(*match.span(), Kind.TEXTE) for match in SURROGATE.finditer(text))
    spans = _merged(chain(in_original, blots(text), literal, _recognised(text, recogniser)))
    new, replacements = _replaced(text, spans, mapping)
    doubts = (*suspicions(flat.text), *name_doubts)
    return Anonymised(new, replacements, tuple(_left(doubts, flat, spans)), text, mapping.restore)


def anonymise_for_outside(
    text: str,
    pseudonyms: Pseudonyms | None = None,
    recogniser: NameRecogniser | None = None,
    municipality: str = DEFAULT_MUNICIPALITY,
) -> Anonymised:
    """Anonymise what a citizen wrote, and stop where it may be incomplete.

    Raises:
        AnonymisationError: It failed, or it is in doubt; the reasons are named, no word of the text is.
    """
    done = anonymise(text, pseudonyms, recogniser, municipality)
    if done.doubts:
        reasons = ", ".join(sorted({doubt.reason.value for doubt in done.doubts}))
        raise AnonymisationError(f"the anonymisation is in doubt: {reasons}")
    return done


def _recognised(text: str, recogniser: NameRecogniser | None) -> Iterator[Found]:
    if recogniser is None:
        return
    try:
        spans = [(int(start), int(end)) for start, end in recogniser.names(text)]
    except Exception as error:
        # Whatever it is: names that were not looked for are names that would leave.
        raise AnonymisationError(
            f"the recogniser {recogniser.name} failed: {type(error).__name__}"
        ) from error
    for start, end in spans:
        if not 0 <= start < end <= len(text):
            raise AnonymisationError(
                f"the recogniser {recogniser.name} gives a span outside the text: {start}:{end}"
            )
        yield Found(start, end, Kind.PERSONNE)


def _again(text: str, found: Iterable[Found]) -> list[Found]:
    """Find the same numbers and addresses where nothing around them shows what they are."""
    words = _words(text)
    position = {start: at for at, (start, _, _) in enumerate(words)}
    by_length: dict[int, dict[tuple[str, ...], Kind]] = {}
    for each in found:
        if each.kind in {Kind.PERSONNE, Kind.NOM}:
            continue
        at = position.get(each.start)
        if at is None:
            at = next(
                (
                    position[s]
                    for s in range(each.start, min(each.end, each.start + 3))
                    if s in position
                ),
                None,
            )
        if at is None:
            continue
        parts: list[str] = []
        while at < len(words) and words[at][1] <= each.end and len(parts) <= LONGEST_VALUE:
            parts.append(words[at][2])
            at += 1
        if 0 < len(parts) <= LONGEST_VALUE and sum(map(len, parts)) >= SHORTEST_VALUE:
            by_length.setdefault(len(parts), {})[tuple(parts)] = each.kind
    again: list[Found] = []
    for length, values in by_length.items():
        for at in range(len(words) - length + 1):
            kind = values.get(tuple(word[2] for word in words[at : at + length]))
            if kind is not None:
                again.append(Found(words[at][0], words[at + length - 1][1], kind))
    return again


def _words(text: str) -> list[tuple[int, int, str]]:
    """Cut a text into runs of letters and digits, folded, with their spans."""
    return [(match.start(), match.end(), match.group().lower()) for match in _VALUE.finditer(text)]


def _merged(found: Iterable[Found]) -> list[Found]:
    """Join what overlaps; the kind of lowest rank names the whole."""
    merged: list[Found] = []
    for each in sorted(found, key=lambda f: (f.start, -f.end, _RANKS[f.kind])):
        if merged and each.start < merged[-1].end:
            last = merged[-1]
            kind = min(last.kind, each.kind, key=_RANKS.__getitem__)
            merged[-1] = Found(last.start, max(last.end, each.end), kind)
        else:
            merged.append(each)
    return merged


def _replaced(
    text: str, spans: Iterable[Found], mapping: Pseudonyms
) -> tuple[str, tuple[Replacement, ...]]:
    spans = list(spans)
    # The longest names first, so that a part of one is known as such wherever it stands.
    for each in sorted(spans, key=lambda f: f.start - f.end):
        if each.kind is Kind.PERSONNE:
            mapping.surrogate(each.kind, text[each.start : each.end])
    parts: list[str] = []
    replacements: list[Replacement] = []
    at = length = 0
    for start, end, kind in spans:
        surrogate = mapping.surrogate(kind, text[start:end])
        length += start - at
        parts += [text[at:start], surrogate]
        replacements.append(
            Replacement(kind, start, end, surrogate, length, length + len(surrogate))
        )
        length += len(surrogate)
        at = end
    return "".join([*parts, text[at:]]), tuple(replacements)


def _left(doubts: Iterable[Doubt], flat: Flat, spans: list[Found]) -> Iterator[Doubt]:
    """Keep the doubts about what was not replaced."""
    covered = iter(spans)
    current = next(covered, None)
    for doubt in sorted(doubts, key=lambda d: (d.start, d.end)):
        start, end = flat.original(doubt.start, doubt.end)
        while current is not None and current.end <= start:
            current = next(covered, None)
        if current is None or not (current.start <= start and end <= current.end):
            yield Doubt(doubt.reason, start, end)
