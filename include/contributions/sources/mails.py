"""The two mails that the town's Framaforms sends, one or many in a file, edited by hand or not.

Form A lists ``Submitted values are:`` and then ``category: …``, ``Constat factuel: …``, ``Vos idées
d'améliorations: …``; form B opens with ``Informations sur la soumission`` and sets its fields under
headings. Both are read by one state machine that only moves forward: it looks for the category
before the texts and nowhere else, so words of the body never become fields. The sender's address
and name are not kept.
"""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from enum import IntEnum
from html.parser import HTMLParser
from itertools import islice, takewhile
from pathlib import Path

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import (
    INCOMPLETE,
    TRUNCATED,
    Entry,
    admitted,
    broken,
    source_name,
)
from include.contributions.sources.dates import parse_day
from include.contributions.sources.encodings import open_text
from include.ports import SourceFile

MAX_BYTES = 32 * 1024 * 1024
"""Mails are read whole, to look a few lines ahead; this is tens of thousands of them."""

_LOOK_AHEAD = 3
"""Lines with words after an opening among which its confirmation must be."""

_LONGEST_OPENING = 300
"""Characters; a longer line is a sentence, and patterns stay off it."""

_QUOTE = re.compile(r"(?:[ \t]{0,3}>[ ]?)*")
_MARKS = r"[#*_\s]*"
_OPENING_A = re.compile(rf"{_MARKS}(?:submitted on|soumis le)\s*:?\s*(?P<date>.+)", re.IGNORECASE)
_CONFIRMING_A = re.compile(
    rf"{_MARKS}(?:submitted by|soumis par|submitted values are|les valeurs soumises sont)",
    re.IGNORECASE,
)
_OPENING_B = re.compile(rf"{_MARKS}informations sur la soumission{_MARKS}:?{_MARKS}", re.IGNORECASE)
_CONFIRMING_B = re.compile(rf"{_MARKS}(?:formulaire\s*:|soumis par\b)", re.IGNORECASE)
_FOOTER = re.compile(
    r"(?:the results of this submission may be viewed at|"
    r"les résultats de (?:cette|votre) soumission peuvent être)",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"\s*(?:[-_=*~]{2,}|-{3,}[^-]{0,60}-{3,})\s*")
_MAIL_HEADER = re.compile(
    r"(?:from|to|cc|date|sent|subject|reply-to|de|à|objet|envoyé|répondre à)\s*:\s*\S.*",
    re.IGNORECASE,
)
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


class _State(IntEnum):
    """How far into a submission we are; it never goes back."""

    HEADER = 0
    CATEGORY = 1
    CONSTAT = 2
    IDEES = 3


_LABELS = {
    _State.CATEGORY: r"cat[ée]gor(?:y|ie)",
    _State.CONSTAT: r"constat factuel",
    _State.IDEES: r"vos idées d['’´`]\s?améliorations?",
}
_LABEL_PATTERNS = {
    # "Label: value", the label alone on its line, or a heading with or without words after it.
    state: re.compile(
        rf"[*_ \t]*+(?P<hash>\#++)?+[#*_ \t]*+{label}"
        rf"(?:[ \t*_]*:[ \t*_]*(?P<value>.*)|[*_#: \t]*|(?(hash)[ \t]+(?P<heading>.*)))",
        re.IGNORECASE,
    )
    for state, label in _LABELS.items()
}


@dataclass(slots=True)
class _Submission:
    line: int
    state: _State = _State.HEADER
    date: str | None = None
    has_headings: bool = False
    lines: dict[_State, list[str]] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Put a line where we are."""
        self.lines.setdefault(self.state, []).append(line)

    def text(self, state: _State) -> str:
        """What stands under a label, without the blank lines around it."""
        return "\n".join(line.rstrip() for line in self.lines.get(state, ())).strip()


class MailSource:
    """Reads text files and ``.eml`` that hold submissions of the form, as mailed."""

    form = "framaforms_mail"

    def recognises(self, path: Path, head: str) -> bool:
        """Say yes when the beginning holds an opening of either form, or the form's own labels."""
        extension = path.suffix.lower()
        if extension in {".eml", ".csv", ".tsv"}:
            return extension == ".eml"
        lines = _unquoted(_plain(head).split("\n"))
        if _openings(lines):
            return True
        labels = {state for line in lines for state in _LABELS if _label(line, state)}
        return len(labels) > 1

    def records(self, file: SourceFile) -> Iterator[Record | BrokenRecord]:
        """Yield one entry per submission."""
        if file.size_bytes > MAX_BYTES:
            detail = (
                f"Le fichier dépasse {MAX_BYTES // (1024 * 1024)} Mo : le partager en plusieurs."
            )
            yield broken("line 1", "too_large", detail, "")
            return
        text, sent = _mail_text(file)
        source = source_name(file.path)
        is_whole = text.endswith("\n")
        submissions = _submissions(_unquoted(_plain(text).split("\n")))
        if not submissions:
            detail = "Aucune soumission du formulaire n'a été trouvée dans ce courriel."
            yield broken("line 1", "no_entries", detail, text)
        for number, submission in enumerate(submissions, 1):
            is_last = number == len(submissions)
            submission.date = submission.date or sent
            yield _admitted(source, submission, is_last=is_last, is_whole=is_whole or not is_last)


def _mail_text(file: SourceFile) -> tuple[str, str | None]:
    if file.path.suffix.lower() != ".eml":
        with open_text(file.path, file.encoding) as stream:
            return stream.read().removeprefix("\ufeff"), None
    content = file.path.read_bytes()
    try:
        message = message_from_bytes(content, policy=policy.default)
        return _message_text(message), str(message["date"] or "") or None
    except Exception:  # noqa: BLE001  the email package raises any kind of error on damaged headers
        return content.decode("utf-8", "surrogateescape"), None


def _message_text(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return ""
    try:
        content = str(part.get_content())
    except (LookupError, ValueError):
        # A charset nobody knows: the bytes are there, and unreadable ones stay visible.
        payload = part.get_payload(decode=True)
        content = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return _without_tags(content) if part.get_content_subtype() == "html" else content


def _without_tags(markup: str) -> str:
    reader = _TextOfHtml()
    reader.feed(markup)
    reader.close()
    return "".join(reader.pieces)


class _TextOfHtml(HTMLParser):
    """Keeps the words of a page and starts a line where a browser would."""

    _BLOCKS = frozenset({"br", "p", "div", "li", "tr", "h1", "h2", "h3", "h4"})

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def handle_starttag(self, tag: str, _attrs: list[tuple[str, str | None]]) -> None:
        if tag in self._BLOCKS:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)


def _plain(text: str) -> str:
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def _unquoted(lines: Sequence[str]) -> list[str]:
    """Take off the ``>`` that a reply or a forward put before the lines of a submission.

    As many as stand before its first line: a citizen's own ``>`` further in remains.
    """
    depth = 0
    plain: list[str] = []
    for line in lines:
        prefix = _QUOTE.match(line)
        quoted = prefix[0] if prefix else ""
        bare = line[len(quoted) :]
        if _OPENING_A.match(bare) or _OPENING_B.fullmatch(bare):
            depth = quoted.count(">")
        plain.append(_without_quotes(line, depth))
    return plain


def _without_quotes(line: str, depth: int) -> str:
    for _ in range(depth):
        stripped = line.lstrip(" \t")
        if not stripped.startswith(">"):
            break
        line = stripped[1:].removeprefix(" ")
    return line


def _openings(lines: Sequence[str]) -> dict[int, str | None]:
    """Map the lines on which submissions begin to their date, None when it comes later."""
    found: dict[int, str | None] = {}
    for index, line in enumerate(lines):
        if len(line) > _LONGEST_OPENING:
            continue
        if match := _OPENING_A.fullmatch(line):
            date = match["date"].strip(" *_")
            if _confirmed(lines, index, _CONFIRMING_A, at_end=parse_day(date) is not None):
                found[index] = date
        elif _OPENING_B.fullmatch(line) and _confirmed(lines, index, _CONFIRMING_B, at_end=True):
            found[index] = None
    return found


def _confirmed(lines: Sequence[str], index: int, pattern: re.Pattern[str], *, at_end: bool) -> bool:
    """Say whether an opening's own next lines follow, as they never do in a citizen's sentence.

    ``at_end`` is the answer where the file ends before them.
    """
    following = list(islice(filter(str.strip, lines[index + 1 : index + 20]), _LOOK_AHEAD))
    for line in following:
        if pattern.match(line):
            return True
        if _OPENING_A.match(line) or _OPENING_B.match(line):
            return False
    return at_end and not following


def _bare_openings(lines: Sequence[str]) -> dict[int, str | None]:
    """Find where submissions begin that somebody copied without the lines above their fields."""
    openings: dict[int, str | None] = {}
    seen: _State = _State.IDEES
    for index, line in enumerate(lines):
        state = next((state for state in _LABELS if _label(line, state)), None)
        if state is None:
            continue
        if not openings or (state < seen == _State.IDEES and _label_follows(lines, index, state)):
            openings[index] = None
        seen = state
    return openings


def _label_follows(lines: Sequence[str], index: int, state: _State) -> bool:
    following = lines[index + 1 : index + 1 + 2 * _LOOK_AHEAD]
    return state == _State.CATEGORY and any(_label(line, _State.CONSTAT) for line in following)


def _label(line: str, state: _State) -> re.Match[str] | None:
    return _LABEL_PATTERNS[state].fullmatch(line)


def _submissions(lines: Sequence[str]) -> list[_Submission]:
    openings = _openings(lines)
    bare = not openings
    starts = sorted(openings or (openings := _bare_openings(lines)))
    ends = [*starts, len(lines)][1:]
    return [
        _read(lines, start, end, openings[start], bare=bare)
        for start, end in zip(starts, ends, strict=True)
    ]


def _read(
    lines: Sequence[str], start: int, end: int, date: str | None, *, bare: bool
) -> _Submission:
    """Run the machine over the lines of one submission."""
    submission = _Submission(start + 1, date=date)
    own = lines[start if bare else start + 1 : end]
    is_last = end == len(lines)
    for index, line in enumerate(own):
        if _FOOTER.match(line.strip()):
            break
        match = _advance(submission, line, own[index + 1 :])
        if match is not None:
            submission.add(match["value"] or match["heading"] or "")
        elif submission.state == _State.HEADER:
            if submission.date is None and parse_day(line):
                submission.date = line.strip()
        else:
            submission.add(line)
    if submission.lines:
        _cut_tail(submission.lines[submission.state], followed=not is_last)
    return submission


def _advance(submission: _Submission, line: str, following: Sequence[str]) -> re.Match[str] | None:
    """Move forward when the line is a label that may come now."""
    for state in _LABELS:
        if state <= submission.state:
            continue
        match = _label(line, state)
        if match is None:
            continue
        if submission.has_headings and not match["hash"] and _heading_follows(following, state):
            return None  # a citizen's line: the form sets its own labels as headings
        submission.state = state
        submission.has_headings = submission.has_headings or bool(match["hash"])
        return match
    return None


def _heading_follows(lines: Sequence[str], state: _State) -> bool:
    return any(match["hash"] for line in lines if (match := _label(line, state)))


def _cut_tail(lines: list[str], *, followed: bool) -> None:
    """Take off what a mail program puts below a text: rules, and the next mail's own header."""
    _cut_rules(lines)
    header = list(takewhile(lambda line: _MAIL_HEADER.fullmatch(line.strip()), reversed(lines)))
    # One such line alone may well be a citizen's ("Date : samedi"); a header has several.
    if followed and len(header) > 1:
        del lines[-len(header) :]
        _cut_rules(lines)


def _cut_rules(lines: list[str]) -> None:
    while lines and (
        not lines[-1].strip()
        or (len(lines[-1]) < _LONGEST_OPENING and _SEPARATOR.fullmatch(lines[-1]))
    ):
        lines.pop()


def _admitted(
    source: str, submission: _Submission, *, is_last: bool, is_whole: bool
) -> Record | BrokenRecord:
    locator = f"line {submission.line}"
    constat, idees = submission.text(_State.CONSTAT), submission.text(_State.IDEES)
    category = ", ".join(filter(None, map(str.strip, submission.lines.get(_State.CATEGORY, ()))))
    raw = "\n".join(submission.text(state) for state in _LABELS if submission.text(state))
    if is_last and not is_whole and not constat and not idees:
        detail = "Le courriel s'arrête avant le texte de la contribution."
        return broken(locator, TRUNCATED, detail, raw)
    entry = Entry(locator, raw)
    entry.found = {"constat": constat, "idees": idees}
    if category:
        entry.found["category"] = category
    if submission.date:
        entry.found["submitted"] = submission.date
    if not is_whole and submission.state < _State.IDEES:
        entry.notes[INCOMPLETE] = True
    return admitted(source, entry)
