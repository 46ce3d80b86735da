"""One JSON value at a time, strictly: no NaN, no key twice, no endless depth."""

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.blotting import BLOT_RATIO
from include.contributions.sources.boundary import (
    MAX_UNSORTED_CHARACTERS,
    BadEntryError,
    admitted,
    broken,
    entry_of,
)
from include.contributions.sources.fields import role_of


class CutOffError(BadEntryError):
    """The value may go on after the end of what was read."""


def decoded(text: str) -> tuple[Any, int]:
    """Read the value with which a text begins; also say where it ends.

    Give it no more than the value: each error counts the lines of the whole text.

    Raises:
        CutOffError: The text ended in the middle of the value.
        BadEntryError: It is not JSON, or not JSON that can be relied on.
    """
    try:
        return _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        raise _not_json(text, error) from None
    except RecursionError:
        raise BadEntryError(
            "too_deep", "L'entrée contient trop d'objets imbriqués : la simplifier."
        ) from None
    except ValueError:
        raise BadEntryError(
            "bad_number", "L'entrée contient un nombre démesuré : le corriger ou l'écrire en texte."
        ) from None


def unreadable(locator: str, reason: str, detail: str, raw: str) -> BrokenRecord:
    """Describe what is no JSON: a contribution's own fields are looked for, nothing else is shown."""
    seen = raw[: MAX_UNSORTED_CHARACTERS * BLOT_RATIO]
    shown = [
        f"{role[0]}: {_unescaped(match['value'])}"
        for match in _FIELD.finditer(seen)
        if (role := role_of(match["key"])) and role[0] != "note"
    ]
    return broken(locator, reason, detail, "\n".join(shown))


def _unescaped(value: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), value)


def admitted_value(source: str, value: Any, locator: str) -> Record | BrokenRecord:
    """Turn a decoded value into a record, or say why it is none."""
    if not isinstance(value, dict):
        return broken(
            locator,
            "wrong_type",
            'L\'entrée n\'est pas un objet JSON {"id": …, "text": …} : la corriger.',
            "",
        )
    return admitted(source, entry_of(value.items(), locator))


_FIELD = re.compile(
    r'"(?P<key>[^"\\\n]{1,120}+)"\s{0,20}+:\s{0,20}+"?(?P<value>(?<=")(?:[^"\\\n]|\\.)*+|-?\d{1,20})'
)
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")
_BLANK_REST = re.compile(r"\s*\Z")


def _not_json(text: str, error: json.JSONDecodeError) -> BadEntryError:
    detail = (
        f"L'entrée n'est pas du JSON valable (vers son caractère {error.pos + 1}) : "
        "vérifier les guillemets, les virgules et les accolades."
    )
    # An unterminated string is reported where it begins, everything else where reading stopped.
    if _BLANK_REST.match(text, error.pos) or error.msg.startswith("Unterminated string"):
        return CutOffError("not_json", detail)
    return BadEntryError("not_json", detail)


def _unique(pairs: list[tuple[str, Any]]) -> Mapping[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise BadEntryError(
            "duplicate_key",
            "Un champ figure deux fois dans la même entrée : n'en garder qu'un.",
        )
    return values


def _no_constant(name: str) -> NoReturn:
    raise BadEntryError("not_a_number", f"La valeur {name} n'est pas un nombre : la corriger.")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_no_constant)
