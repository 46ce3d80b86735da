"""What a crawler noted beside its files: ``<name>_metadata.json`` next to ``<name>.html`` or ``.pdf``.

Firecrawl writes the page's own address, title and status there, in camel case, at the top or under
``metadata``; others write the same in their own way. What a note says is input like any other: an
address that is none is left out, and the file then goes by its path.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any
from urllib.parse import urlsplit

from include.contributions.sources.boundary import cleaned
from include.documents.addresses import is_address
from include.documents.model import SetAside

SUFFIX = "_metadata.json"

MAX_NOTE_BYTES = 1024 * 1024
"""A note holds some fields; what is larger holds the page itself, or is none."""

MAX_TITLE_CHARACTERS = 300

_FIRST_ERROR_STATUS = 400
_URLS = ("sourceURL", "sourceUrl", "source_url", "url", "ogUrl", "og:url")
_TITLES = ("title", "ogTitle", "og:title", "dc.title")
_STATUSES = ("statusCode", "status_code", "pageStatusCode", "status")
_OTHERS = {
    "language": ("language", "ogLocale"),
    "crawled_at": ("crawledAt", "crawled_at", "scrapedAt", "scraped_at", "timestamp", "cachedAt"),
}
_RENDITIONS = (".pdf", ".html", ".htm")
"""Which of several files of one page carries its address: what the site served, before a rewriting."""

_UNREADABLE = SetAside(
    "unreadable_metadata",
    "Les informations de collecte de ce fichier sont illisibles : le document est pris sous son "
    "nom de fichier. Refaire la collecte pour retrouver son adresse.",
)


@dataclass(frozen=True, slots=True)
class Companion:
    """What a note means for one file.

    Attributes:
        is_metadata: The file is the note itself.
        uri: The address of the page, when the note names one.
        metadata: Title and the like.
        left_out: Why the file is not taken; None when it is.
    """

    is_metadata: bool = False
    uri: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    left_out: SetAside | None = None


def companions(entries: Iterable[Any]) -> dict[str, Companion]:
    """Read the notes among the files of one folder; by file name, for those that a note is about.

    A note that stands alone is none, and does not appear.
    """
    by_name = {entry.name: entry for entry in entries}
    found: dict[str, Companion] = {}
    for name, entry in by_name.items():
        base = name.removesuffix(SUFFIX)
        if base in {"", name}:
            continue
        described = sorted((n for n in by_name if _belongs(n, base)), key=_rank)
        if not described:
            continue
        note = _note(entry)
        found[name] = Companion(is_metadata=True, left_out=_UNREADABLE if note is None else None)
        found.update(_described(described, note or {}))
    return found


def _belongs(name: str, base: str) -> bool:
    return not name.endswith(".json") and base in {name, PurePath(name).stem}


def _rank(name: str) -> tuple[int, str]:
    suffix = PurePath(name).suffix.lower()
    known = _RENDITIONS.index(suffix) if suffix in _RENDITIONS else len(_RENDITIONS)
    return known, name


def _described(names: list[str], note: Mapping[str, Any]) -> Iterator[tuple[str, Companion]]:
    url = next(filter(None, (_url(note.get(key)) for key in _URLS)), None)
    status = next((note[key] for key in _STATUSES if isinstance(note.get(key), int)), None)
    metadata: dict[str, Any] = {}
    for name, keys in {"title": _TITLES, **_OTHERS}.items():
        if text := next(filter(None, (_text(note.get(key)) for key in keys)), None):
            metadata[name] = text
    left_out = None
    if status is not None and status >= _FIRST_ERROR_STATUS:
        left_out = SetAside(
            "crawl_error",
            f"Le site a répondu par une erreur ({status}) lors de la collecte de cette page : "
            "son contenu n'est pas pris. Refaire la collecte.",
        )
    for index, name in enumerate(names):
        # The address stands for one file; another form of the same page says whose form it is.
        extra = {"rendition_of": url} if index and url else {}
        yield (
            name,
            Companion(
                uri=None if index else url, metadata={**metadata, **extra}, left_out=left_out
            ),
        )


def _note(entry: Any) -> Mapping[str, Any] | None:
    try:
        with entry.open("rb") as stream:
            raw = stream.read(MAX_NOTE_BYTES + 1)
        value = json.loads(raw) if len(raw) <= MAX_NOTE_BYTES else None
    except (OSError, ValueError, RecursionError):
        return None
    for key in ("data", "metadata"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    return value if isinstance(value, dict) else None


def _url(value: Any) -> str | None:
    url = value.strip() if isinstance(value, str) else ""
    is_plain = url.isprintable() and is_address(url)
    return urlsplit(url)._replace(fragment="").geturl() if is_plain else None


def _text(value: Any) -> str | None:
    # A tag that a page carries twice arrives as a list.
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, str):
        return None
    return " ".join(cleaned(value)[0].split())[:MAX_TITLE_CHARACTERS] or None
