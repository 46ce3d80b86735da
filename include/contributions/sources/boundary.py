"""The one boundary that every entry passes on its way in.

What an adapter found, of whatever type, becomes a ``Record`` that any store can hold, or a
``BrokenRecord`` with a sentence for the clerk who can mend it. Texts stay as written, in NFC; a
character that cannot be stored becomes U+FFFD and is counted in the record's metadata.

Of a broken entry the fields that are a contribution's own are shown, and nothing else of it. Of a
row whose columns are all known, its beginning stands for it. Telephone numbers and addresses are
blotted out of both: the whole entry is in the town's own file, at the place that is named.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from include.contributions.model import MAX_TEXT_CHARACTERS, BrokenRecord, Record, folded
from include.contributions.sources.blotting import BLOT_RATIO, blotted
from include.contributions.sources.dates import EARLIEST, parse_day
from include.contributions.sources.fields import TEXT_ROLES, Role, folded_label, role_of
from include.errors import UnreadableRecordError

TRUNCATED = "truncated"
"""Reason of an entry cut off by the end of its file; a young file waits instead."""

INCOMPLETE = "incomplete"
"""Metadata key of a record that could be whole or cut off; a young file waits instead."""

MAX_RAW_CHARACTERS = 4_000

MAX_UNSORTED_CHARACTERS = 200
"""Enough to find an entry again, little of what else may stand in it."""

MAX_ID_CHARACTERS = 200
MAX_NOTE_CHARACTERS = 200

_UNSTORABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_BODY = re.compile(
    r"\s*\*\*Constat factuel\s*:?\*\*\s*:?(?P<constat>.*?)"
    r"(?:\*\*Vos idées d['’]améliorations?\s*:?\*\*\s*:?(?P<idees>.*))?",
    re.DOTALL | re.IGNORECASE,
)
_WHOLE_TEXTS: tuple[Role, ...] = ("text", "body")
_STRUCK = re.compile(r"~+([^~\n]+)~+|<(?:del|s|strike)>(.*?)</(?:del|s|strike)>", re.IGNORECASE)


class BadEntryError(UnreadableRecordError):
    """An entry that cannot be used; ``reason`` is its code, the message its sentence."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Entry:
    """What an adapter found, types unchecked.

    Attributes:
        locator: Where in the file; as in ``Record``.
        found: The value of each field that was there.
        further: Texts of a field that was there more than once, under other names.
        notes: What goes into the metadata.
    """

    locator: str
    found: dict[Role, Any] = field(default_factory=dict)
    further: list[tuple[Role, Any]] = field(default_factory=list)
    notes: dict[str, Any] = field(default_factory=dict)


def source_name(path: Path) -> str:
    """Short name of a source: the stem of its file in plain letters.

    >>> source_name(Path("Réponses 2026 (1).csv"))
    'reponses-2026-1'
    """
    return folded_label(path.stem).replace(" ", "-") or "source"


def entry_of(values: Iterable[tuple[str, Any]], locator: str) -> Entry:
    """Sort named values by the field their names stand for; unknown names are left out."""
    entry = Entry(locator)
    ranks: dict[Role, int] = {}
    nested: Any = None
    for key, value in values:
        if value is None or value == "":
            continue
        if key == "metadata":
            nested = value
        sorted_as = role_of(key)
        if sorted_as is None:
            continue
        role, rank = sorted_as
        if role == "note":
            _note(entry, key, value)
        else:
            _take(entry, ranks, role, rank, value)
    if isinstance(nested, Mapping) and "submitted" not in entry.found:
        moment = next((v for key, v in nested.items() if role_of(key) == ("submitted", 0)), None)
        if moment is not None:
            entry.found["submitted"] = moment
    return entry


def _take(entry: Entry, ranks: dict[Role, int], role: Role, rank: int, value: Any) -> None:
    """Keep the value under the best name of a field; of a text, the others as well."""
    is_best = rank < ranks.get(role, rank + 1)
    if role in TEXT_ROLES and role in ranks:
        entry.further.append((role, entry.found[role] if is_best else value))
    if is_best:
        ranks[role] = rank
        entry.found[role] = value


def admitted(source: str, entry: Entry) -> Record | BrokenRecord:
    """Turn what an adapter found into a record, or into a broken one with its reason."""
    try:
        return _record(source, entry)
    except BadEntryError as bad:
        shown = "\n".join(f"{role}: {_shown(value)}" for role, value in entry.found.items())
        raw = _kept(shown, MAX_RAW_CHARACTERS)
        return BrokenRecord(entry.locator, bad.reason, bad.detail, raw)


def broken(locator: str, reason: str, detail: str, raw: str) -> BrokenRecord:
    """Describe an entry whose fields cannot be told apart; only the beginning of it is kept."""
    return BrokenRecord(locator, reason, detail, _kept(raw, MAX_UNSORTED_CHARACTERS))


def cleaned(text: str) -> tuple[str, int]:
    r"""Make a text storable and NFC; also say how many characters were replaced.

    >>> cleaned("un\x00 banc\ud800")
    ('un� banc�', 2)
    """
    text, count = _UNSTORABLE.subn("\ufffd", text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return text, count


def plausible_day(record: Record, today: date) -> Record:
    """Take a day that has not come yet off a record and say so in its metadata."""
    day = record.submitted_on
    if day is None or day <= today:
        return record
    note = f"date dans le futur ({day.isoformat()}), ignorée"
    metadata = {**record.metadata, "date_note": note}
    return replace(record, submitted_on=None, metadata=metadata)


def without_struck(text: str) -> tuple[str, str]:
    """Separate what stands from what a hand struck out: the old value.

    >>> without_struck("~logement~ economie")
    ('economie', 'logement')
    """
    struck = " ".join((match[1] or match[2] or "").strip() for match in _STRUCK.finditer(text))
    return " ".join(_STRUCK.sub(" ", text).split()), struck


def _kept(raw: str, length: int) -> str:
    """The beginning of an entry as it may be stored and shown."""
    return cleaned(blotted(raw, length))[0][:length]


def _record(source: str, entry: Entry) -> Record:
    found, metadata = entry.found, entry.notes
    constat, idees = _parts(found)
    constat, idees = _with_further(entry, constat, idees)
    length = len(constat) + len(idees)
    if length > MAX_TEXT_CHARACTERS:
        raise BadEntryError(
            "too_long",
            f"Le texte compte {length} caractères, la limite est de {MAX_TEXT_CHARACTERS} : "
            "le raccourcir ou le joindre comme document.",
        )
    external_id = _external_id(found.get("id"))
    category = _category(found.get("category"), metadata)
    submitted_on = _submitted_on(found.get("submitted"), metadata)
    constat, constat_replaced = cleaned(constat)
    idees, idees_replaced = cleaned(idees)
    if constat_replaced or idees_replaced:
        metadata["replaced"] = constat_replaced + idees_replaced
    return Record(
        source, external_id, constat, idees, category, submitted_on, entry.locator, metadata
    )


def _parts(found: Mapping[Role, Any]) -> tuple[str, str]:
    constat = _text(found, "constat", "Constat factuel")
    idees = _text(found, "idees", "Vos idées d'améliorations")
    if not constat and not idees:
        constat = _text(found, "text", "text")
    if not constat and not idees:
        constat, idees = _split_body(_text(found, "body", "body"))
    if not _has_text(constat) and not _has_text(idees):
        raise BadEntryError("no_text", "L'entrée ne contient aucun texte : compléter le constat.")
    return constat, idees


def _with_further(entry: Entry, constat: str, idees: str) -> tuple[str, str]:
    """Add the texts that stand under a second name of a field; note those that no part takes."""
    has_parts = bool(entry.found.get("constat") or entry.found.get("idees"))
    further = list(entry.further)
    if has_parts:
        further += [(role, entry.found[role]) for role in _WHOLE_TEXTS if role in entry.found]
    elif entry.found.get("text") and "body" in entry.found:
        further.append(("body", entry.found["body"]))
    unread = []
    for role, value in further:
        if not isinstance(value, str):
            unread.append(f"« {role} » ({_kind(value)})")
        elif not _has_text(value) or _is_held(value, constat, idees):
            continue
        elif role == "constat":
            constat = f"{constat}\n\n{value}".lstrip("\n")
        elif role == "idees" or (role == "text" and not has_parts):
            idees = f"{idees}\n\n{value}".lstrip("\n")
        else:
            unread.append(f"« {role} » ({len(value)} caractères)")
    if unread:
        entry.notes["unread_note"] = f"texte non lu : {', '.join(unread)}"[:MAX_NOTE_CHARACTERS]
    return constat, idees


def _is_held(value: str, constat: str, idees: str) -> bool:
    """Say whether a text only repeats what the parts already say."""
    held = folded(f"{constat} {idees}")
    return all(folded(part) in held for part in _split_body(value))


def _text(found: Mapping[Role, Any], role: Role, name: str) -> str:
    value = found.get(role, "")
    if isinstance(value, str):
        return value
    raise BadEntryError(
        "wrong_type", f"Le champ « {name} » n'est pas un texte mais {_kind(value)} : le corriger."
    )


def _split_body(body: str) -> tuple[str, str]:
    match = _BODY.fullmatch(body)
    if not match:
        return body, ""
    return match["constat"].strip(), (match["idees"] or "").strip()


def _has_text(text: str) -> bool:
    return any(character.isprintable() and not character.isspace() for character in text)


def _external_id(value: Any) -> str | None:
    match value:
        case None:
            return None
        case bool() | float() | list() | dict():
            raise BadEntryError(
                "bad_id", f"L'identifiant n'est pas un texte mais {_kind(value)} : le corriger."
            )
        case _:
            written = cleaned(str(value))[0].strip()
    if len(written) > MAX_ID_CHARACTERS:
        raise BadEntryError(
            "bad_id", f"L'identifiant dépasse {MAX_ID_CHARACTERS} caractères : le raccourcir."
        )
    return written or None


def _category(value: Any, metadata: dict[str, Any]) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadEntryError(
            "wrong_type", f"La catégorie n'est pas un texte mais {_kind(value)} : la corriger."
        )
    standing, struck = without_struck(cleaned(value)[0][: MAX_NOTE_CHARACTERS * 2])
    if struck:
        metadata["category_struck"] = struck[:MAX_NOTE_CHARACTERS]
    return standing.strip(" *_`")[:MAX_NOTE_CHARACTERS] or None


def _submitted_on(value: Any, metadata: dict[str, Any]) -> date | None:
    if value is None:
        return None
    written = cleaned(str(value))[0].strip()[:MAX_NOTE_CHARACTERS]
    day = parse_day(written)
    if day is None:
        metadata["date_note"] = f"date illisible ({written}), ignorée"
        return None
    if day < EARLIEST:
        metadata["date_note"] = f"date avant {EARLIEST.year} ({written}), ignorée"
        return None
    metadata["submitted_at"] = written
    return day


def _note(entry: Entry, key: str, value: Any) -> None:
    name = folded_label(key)
    match value:
        case str():
            entry.notes[name] = cleaned(value[:MAX_NOTE_CHARACTERS])[0]
        case bool():
            entry.notes[name] = value
        case int() | float() if abs(value) < 1 << 53:  # NaN and the infinities compare false
            entry.notes[name] = value


def _shown(value: Any) -> str:
    match value:
        case str():
            return value[: MAX_RAW_CHARACTERS * BLOT_RATIO]
        case int() | float() if abs(value) < 1 << 53:
            return str(value)
    return _kind(value)


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "un oui/non"
        case int() | float():
            return "un nombre"
        case list():
            return "une liste"
        case dict():
            return "un objet"
    return "autre chose"
