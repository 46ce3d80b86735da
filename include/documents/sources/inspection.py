"""What one look into a file tells, and the sentences for those that are not taken."""

from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, Protocol

from include.contributions.sources.encodings import SAMPLE_BYTES, encoding_of
from include.contributions.sources.registry import detect
from include.documents.model import SetAside

_TAIL_BYTES = 4096
_ENDINGS = (
    (b"%PDF", b"%%EOF"),
    (b"PK\x03\x04", b"PK\x05\x06"),
    (b"\xff\xd8\xff", b"\xff\xd9"),
    (b"\x89PNG", b"IEND"),
)
"""How files that say where they end begin, and what stands close to their end."""

_CONTRIBUTION_SUFFIXES = frozenset({".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".eml"})
_TEXT_SUFFIXES = frozenset({"", ".txt", ".md", ".markdown", ".text"})
ELSEWHERE = SetAside(
    "contributions",
    "Ce fichier contient des contributions : il est lu par le chargement des contributions, "
    "pas comme document.",
)
LINK_OUT = SetAside(
    "link_outside",
    "Ce raccourci mène hors du dossier : il n'est pas suivi. Copier le fichier lui-même.",
)
LINK_TO_FOLDER = SetAside(
    "link_to_folder",
    "Ce raccourci mène à un autre dossier : il n'est pas suivi. Y copier les fichiers eux-mêmes.",
)
NOT_A_FILE = SetAside(
    "not_a_file", "Ce n'est pas un fichier ordinaire : il est laissé de côté. Le remplacer."
)
GROWING = SetAside(
    "growing", "Ce fichier est en cours d'écriture : il sera pris lors d'un prochain passage."
)
EMPTY = SetAside("empty", "Ce fichier est vide : en fournir une version complète.")


class Location(Protocol):
    """What is asked of a path; ``pathlib.Path`` and ``ObjectStoragePath`` have it."""

    @property
    def name(self) -> str:
        """Last part of it."""

    def iterdir(self) -> Iterator[Any]:
        """What lies in a folder."""

    def open(self, mode: str) -> Any:
        """Open for reading."""

    def stat(self) -> Any:
        """Size and age."""

    def is_dir(self) -> bool:
        """Whether it is a folder."""

    def is_file(self) -> bool:
        """Whether it is a file."""


def says_it_ends(location: Location, size_bytes: int) -> bool | None:
    """Say whether a file is whole; None for one whose form has no end of its own."""
    with location.open("rb") as stream:
        head = stream.read(8)
        stream.seek(max(0, size_bytes - _TAIL_BYTES))
        tail = stream.read(_TAIL_BYTES)
    for beginning, ending in _ENDINGS:
        if head.startswith(beginning):
            return ending in tail
    return None


def holds_contributions(location: Location) -> bool:
    """Say whether the loading of contributions takes this file: by its name, or by its first words."""
    suffix = PurePath(location.name).suffix.lower()
    if suffix in _CONTRIBUTION_SUFFIXES:
        return True
    if suffix not in _TEXT_SUFFIXES:
        return False
    with location.open("rb") as stream:
        head = stream.read(SAMPLE_BYTES)
    text = head.decode(encoding_of(head), "replace").removeprefix("\ufeff")
    return detect(Path(location.name), text) is not None


def unreadable(error: OSError) -> SetAside:
    """Say in French why a file cannot be read."""
    why = {
        PermissionError: "la lecture n'est pas autorisée",
        FileNotFoundError: "il a disparu pendant la lecture",
    }.get(type(error), "une erreur du disque ou du stockage l'empêche")
    return SetAside("unreadable", f"Ce fichier ne peut être lu : {why}. Vérifier le dossier.")
