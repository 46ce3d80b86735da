"""Which field of a form a key or a column heading stands for.

Headings are compared folded (no case, accents or punctuation), because every export writes them in
its own way. Fields that nobody needs are not kept: an export also holds addresses and user names.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Literal

Role = Literal["constat", "idees", "text", "body", "category", "id", "submitted", "note"]

_LABELS: dict[Role, tuple[str, ...]] = {
    "constat": ("constat factuel", "constat", "votre constat factuel", "votre constat"),
    "idees": (
        "idees ameliorations",
        "vos idees d ameliorations",
        "vos idees d amelioration",
        "idees d ameliorations",
        "idees d amelioration",
        "vos idees",
        "idees",
    ),
    "text": ("text", "texte", "contribution", "message", "commentaire"),
    "body": ("body", "corps"),
    "category": ("category", "categorie", "declared category", "thematique"),
    "id": (
        "id",
        "external id",
        "numero de serie",
        "serial",
        "serial number",
        "sid",
        "submission id",
        "identifiant",
        "numero",
    ),
    "submitted": (
        "submitted at",
        "submitted on",
        "submitted time",
        "submission time",
        "heure de soumission",
        "date de soumission",
        "soumis le",
        "horodatage",
        "created at",
        "date",
    ),
    "note": ("title", "titre", "theme", "topic", "kind", "edition", "source", "question"),
}
_ROLE_OF: dict[str, tuple[Role, int]] = {
    label: (role, rank) for role, labels in _LABELS.items() for rank, label in enumerate(labels)
}
_PREFIXES: tuple[tuple[str, Role], ...] = (
    ("constat factuel ", "constat"),
    ("vos idees d amelioration", "idees"),
)
_LEAST_RANK = 99
_LONGEST_LABEL = 120
_OTHER = re.compile(r"[^a-z0-9]+")

TEXT_ROLES: frozenset[Role] = frozenset({"constat", "idees", "text", "body"})


@lru_cache(maxsize=4096)
def folded_label(label: str) -> str:
    """Letters and digits only, lower case, without accents.

    >>> folded_label("  Vos idées d’améliorations : ")
    'vos idees d ameliorations'
    """
    decomposed = unicodedata.normalize("NFKD", label[:_LONGEST_LABEL].lower())
    plain = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _OTHER.sub(" ", plain).strip()


def role_of(label: str) -> tuple[Role, int] | None:
    """Name the field a label stands for, with its rank among labels of that field; 0 is best."""
    # Cut first: the cache must not hold megabytes that somebody made a key of.
    return _role_of(label[:_LONGEST_LABEL])


@lru_cache(maxsize=4096)
def _role_of(label: str) -> tuple[Role, int] | None:
    folded = folded_label(label)
    if found := _ROLE_OF.get(folded):
        return found
    for prefix, role in _PREFIXES:
        if folded.startswith(prefix):
            return role, _LEAST_RANK
    return None
