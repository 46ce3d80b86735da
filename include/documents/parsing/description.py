"""What a document says about itself once its pages are read: title, language, day, kind, number."""

import re
from datetime import date

from include.documents.model import Media, Page, ParsedDocument
from include.documents.parsing.acts import act_kind, act_number, act_title, part_title
from include.documents.parsing.dates import own_date, own_month
from include.documents.parsing.draft import Draft
from include.documents.parsing.language import language_of

MAX_TITLE = 200
_SPEAKS_OF_ITSELF = {Media.HTML, Media.SRT, Media.VTT, Media.TRANSCRIPT}
"""Media whose body lists or tells of acts; only their heading says what they are."""

_SIGNED = {"arrete", "deliberation", "convocation", "proces_verbal", "compte_rendu", "avis"}
_NAMES_ITSELF = {
    "arrete",
    "deliberation",
    "proces_verbal",
    "ordre_du_jour",
    "reglement",
    "bulletin",
    "formulaire",
}
"""Acts whose own line is a better title than what is printed largest."""

_FILE_NAME = re.compile(
    r"\.\w{2,4}$|_|^(?:microsoft|template|sans titre|untitled|document)\b|:\d", re.IGNORECASE
)
_MIN_LETTERS = 8
_OPENS_ANY = re.compile(
    r"(?:aper[çc]u|introduction|sommaire|r[ée]sum[ée]|contexte|pr[ée]ambule|table des mati[èe]res)$",
    re.IGNORECASE,
)
"""A first section's heading, which says nothing of the document."""
_FIELD = re.compile(r"\W*[^\W\d][\w' ]{2,30}\s?:\s")
_READ_CHARACTERS = 30_000


def described(draft: Draft, media: Media, today: date) -> ParsedDocument:
    """Make the document of a draft.

    Args:
        draft: What the reader of the medium gave.
        media: The medium.
        today: Dates far ahead of it are misreadings.
    """
    read = [_ends(page.text) for page in draft.pages if page.text]
    first = read[0] if read else ""
    heading = _heading(draft.heading)
    body = "" if media in _SPEAKS_OF_ITSELF else first
    kind = act_kind(body, heading)
    return ParsedDocument(
        pages=tuple(draft.pages),
        title=_title(draft, heading, body, kind),
        language=language_of(_sample(draft.pages)),
        dated_on=own_date(first, read[1:] if kind in _SIGNED else (), today)
        or (own_month(first) if kind == "bulletin" else None),
        act_kind=kind,
        act_number=act_number(f"{heading or ''}\n{body}", kind),
        warnings=tuple(draft.warnings),
        metadata=draft.metadata,
    )


def _title(draft: Draft, heading: str | None, body: str, kind: str | None) -> str | None:
    """The act's own words, what the structure marks, what the file claims, the first full line."""
    claimed = str(draft.metadata.get("title", ""))
    sound_claim = claimed if " " in claimed and not _FILE_NAME.search(claimed) else None
    own = act_title(body, kind) if kind in _NAMES_ITSELF else None
    return (
        own
        or heading
        or act_title(body, kind)
        or part_title(body)
        or sound_claim
        or _first_line(body, is_scan=bool(draft.pages) and draft.pages[0].method == "ocr")
    )


def _heading(text: str | None) -> str | None:
    cleaned = re.sub(r"\s+", " ", text or "").strip(" -–—:;|*_#")
    letters = sum(map(str.isalpha, cleaned))
    if letters < 4 or letters < len(cleaned) / 2:  # noqa: PLR2004 - a number or a rule is no title
        return None
    if _OPENS_ANY.match(cleaned):
        return None
    return cleaned if len(cleaned) <= MAX_TITLE else cleaned[:MAX_TITLE] + " …"


def _first_line(text: str, *, is_scan: bool) -> str | None:
    """The first line that says something; of a scan not a single word, which is a logo at best."""
    cleaned = (re.sub(r"\s+", " ", line).strip(" -–—:;|*_#>[]") for line in text.splitlines()[:40])
    lines = [line for line in cleaned if sum(map(str.isalpha, line)) >= _MIN_LETTERS]
    telling = [
        line for line in lines if not _FIELD.match(line) and not (is_scan and " " not in line)
    ]
    found = next(iter(telling or lines), None)
    if found is None or len(found) <= MAX_TITLE:
        return found
    return found[: found.rfind(" ", 0, MAX_TITLE)] + " …"


def _ends(text: str) -> str:
    """What may bear a title, a day or a signature: a text file of a hundred pages is one page."""
    return text if len(text) <= _READ_CHARACTERS else f"{text[:_READ_CHARACTERS]}\n{text[-2000:]}"


def _sample(pages: list[Page]) -> str:
    """Some of every part, for a bilingual bulletin may begin in its second language."""
    texts = [page.text for page in pages if page.text]
    share = max(500, 20_000 // max(1, len(texts)))
    return "\n".join(text[:share] for text in texts)
