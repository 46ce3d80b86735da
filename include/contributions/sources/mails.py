"""The two mails that the town's Framaforms sends, one or many in a file, edited by hand or not.

Form A lists ``Submitted values are:`` and then ``category: …``, ``Constat factuel: …``, ``Vos idées
d'améliorations: …``; form B opens with ``Informations sur la soumission`` and sets its fields under
headings. Both are read by one state machine that only moves forward: it looks for the category
before the texts and nowhere else, so words of the body never become fields. The sender's address
and name are not kept.

A citizen can write a header of the form into a text. A saved mail (``.eml``) holds one submission,
so there it stays text. In a text file another submission begins only with a whole header where a
mail can begin; form alone cannot tell a forged one from a real one there, and as the form is
anonymous it gains what filling it in twice would. So that people can see both, what comes from a
further header says which (``mail_number``), and a text that holds one says so (``header_note``).
"""

import html
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import islice, takewhile
from pathlib import Path

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import (
    INCOMPLETE,
    TRUNCATED,
    BadEntryError,
    Entry,
    admitted,
    broken,
    source_name,
)
from include.contributions.sources.dates import parse_day
from include.contributions.sources.eml import MAX_LINES, is_saved_mail, saved_mail
from include.contributions.sources.encodings import open_text
from include.ports import SourceFile

MAX_BYTES = 32 * 1024 * 1024
"""Mails are read whole, to look a few lines ahead; this is tens of thousands of them."""

_LOOK_AHEAD = 3
"""Lines with words after an opening among which its confirmation must be."""

_LONGEST_OPENING = 300
"""Characters; a longer line is a sentence, and patterns stay off it."""

_DEEPEST_QUOTE = 20
"""Marks of replies and forwards that are taken off; nobody quotes deeper."""

_HEADER_LINES = 20
"""Lines, blank ones included, within which a header ends."""

_QUOTE = re.compile(r"(?:[ \t]{0,3}>[ ]?)*")
_MARKS = r"[#*_\s]*+"
_OPENING_A = re.compile(rf"{_MARKS}(?:submitted on|soumis le)\s*:?\s*(?P<date>.+)", re.IGNORECASE)
_OPENING_B = re.compile(rf"{_MARKS}informations sur la soumission{_MARKS}:?{_MARKS}", re.IGNORECASE)
_BY = re.compile(rf"{_MARKS}(?:submitted by|soumis par)\b", re.IGNORECASE)
_VALUES = re.compile(
    rf"{_MARKS}(?:submitted values are|les valeurs soumises sont)\b", re.IGNORECASE
)
_FORM = re.compile(rf"{_MARKS}formulaire{_MARKS}:", re.IGNORECASE)
_HEADER_A = (_BY, _VALUES)
_HEADER_B = (_FORM, _BY)
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
_CAN_BE_LABEL = re.compile(r"[#*_ \t]*+[cv]", re.IGNORECASE)
"""What every label begins with; one look spares most lines three patterns."""


@dataclass(slots=True)
class _Submission:
    line: int
    state: _State = _State.HEADER
    date: str | None = None
    has_headings: bool = False
    number: int = 1
    holds_header: bool = False
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
        if is_saved_mail(path):
            return True
        if path.suffix.lower() in {".csv", ".tsv"}:
            return False
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
        try:
            text, sent = _mail_text(file)
        except BadEntryError as bad:
            yield broken("line 1", bad.reason, bad.detail, "")
            return
        source = source_name(file.path)
        is_whole = text.endswith("\n")
        text = _plain(text)
        if text.count("\n") > MAX_LINES:
            detail = f"Le fichier dépasse {MAX_LINES} lignes : le partager en plusieurs."
            yield broken("line 1", "too_large", detail, "")
            return
        is_one_mail = is_saved_mail(file.path)
        submissions = _submissions(_unquoted(text.split("\n")), is_one_mail=is_one_mail)
        if not submissions:
            detail = "Aucune soumission du formulaire n'a été trouvée dans ce courriel."
            yield broken("line 1", "no_entries", detail, text)
        for number, submission in enumerate(submissions, 1):
            is_last = number == len(submissions)
            submission.date = submission.date or sent
            yield _admitted(source, submission, is_last=is_last, is_whole=is_whole or not is_last)


def _mail_text(file: SourceFile) -> tuple[str, str | None]:
    """Read the words of a mail, and the day it was sent where it is saved as a mail."""
    if is_saved_mail(file.path):
        return saved_mail(file.path.read_bytes())
    with open_text(file.path, file.encoding) as stream:
        return stream.read().removeprefix("\ufeff"), None


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
            depth = min(quoted.count(">"), _DEEPEST_QUOTE)
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
            if _confirmed(lines, index, _HEADER_A, at_end=parse_day(date) is not None):
                found[index] = date
        elif _OPENING_B.fullmatch(line) and _confirmed(lines, index, _HEADER_B, at_end=True):
            found[index] = None
    return found


def _begins_a_mail(lines: Sequence[str], index: int) -> bool:
    """Say whether a further opening stands apart and its whole header follows, down to a label.

    A header that the end of the file cuts off counts as whole as far as it goes.
    """
    if not _stands_apart(lines, index):
        return False
    header = _HEADER_B if _OPENING_B.fullmatch(lines[index]) else _HEADER_A
    window = lines[index + 1 : index + _HEADER_LINES]
    following = [line for line in window if line.strip()]
    if not all(part.match(line) for part, line in zip(header, following, strict=False)):
        return False
    # A date and an address may stand before the first label.
    labels = following[len(header) : len(header) + 3]
    is_cut_off = index + _HEADER_LINES >= len(lines) and labels == following[len(header) :]
    return is_cut_off or any(_labelled(line) for line in labels)


def _stands_apart(lines: Sequence[str], index: int) -> bool:
    before = lines[index - 1].strip() if index else ""
    return not before or (
        len(before) < _LONGEST_OPENING
        and any(pattern.fullmatch(before) for pattern in (_SEPARATOR, _MAIL_HEADER))
    )


def _confirmed(
    lines: Sequence[str], index: int, header: Sequence[re.Pattern[str]], *, at_end: bool
) -> bool:
    """Say whether an opening's own next lines follow, as they never do in a citizen's sentence.

    ``at_end`` is the answer where the file ends before them.
    """
    window = lines[index + 1 : index + _HEADER_LINES]
    following = list(islice(filter(str.strip, window), _LOOK_AHEAD))
    for line in following:
        if any(part.match(line) for part in header):
            return True
        if _OPENING_A.match(line) or _OPENING_B.match(line):
            return False
    return at_end and not following


def _bare_openings(lines: Sequence[str]) -> dict[int, str | None]:
    """Find where submissions begin that somebody copied without the lines above their fields."""
    openings: dict[int, str | None] = {}
    seen: _State = _State.IDEES
    for index, line in enumerate(lines):
        labelled = _labelled(line)
        if labelled is None:
            continue
        state, _ = labelled
        if not openings or (
            state < seen == _State.IDEES
            and _stands_apart(lines, index)
            and _label_follows(lines, index, state)
        ):
            openings[index] = None
        seen = state
    return openings


def _label_follows(lines: Sequence[str], index: int, state: _State) -> bool:
    following = lines[index + 1 : index + 1 + 2 * _LOOK_AHEAD]
    return state == _State.CATEGORY and any(_label(line, _State.CONSTAT) for line in following)


def _label(line: str, state: _State) -> re.Match[str] | None:
    return _LABEL_PATTERNS[state].fullmatch(line)


def _labelled(line: str) -> tuple[_State, re.Match[str]] | None:
    """Name the label that a line is or begins with."""
    if not _CAN_BE_LABEL.match(line):
        return None
    found = ((state, _label(line, state)) for state in _LABELS)
    return next(((state, match) for state, match in found if match), None)


def _submissions(lines: Sequence[str], *, is_one_mail: bool) -> list[_Submission]:
    openings = _openings(lines)
    bare = not openings
    found = sorted(openings or (openings := _bare_openings(lines)))
    starts = [
        index
        for index in found
        if index == found[0] or (not is_one_mail and (bare or _begins_a_mail(lines, index)))
    ]
    ends = [*starts, len(lines)][1:]
    submissions = []
    for number, (start, end) in enumerate(zip(starts, ends, strict=True), 1):
        submission = _read(lines, start, end, openings[start], bare=bare)
        submission.number = number
        following = bisect_right(found, start)
        submission.holds_header = following < len(found) and found[following] < end
        submissions.append(submission)
    return submissions


def _read(
    lines: Sequence[str], start: int, end: int, date: str | None, *, bare: bool
) -> _Submission:
    """Run the machine over the lines of one submission."""
    submission = _Submission(start + 1, date=date)
    own = lines[start if bare else start + 1 : end]
    is_last = end == len(lines)
    labels = {i: found for i, line in enumerate(own) if (found := _labelled(line))}
    last_headings = {state: i for i, (state, match) in labels.items() if match["hash"]}
    for index, line in enumerate(own):
        if _FOOTER.match(line.strip()):
            break
        match = None
        if index in labels:
            state, match = labels[index]
            heading_follows = last_headings.get(state, -1) > index
            match = _advance(submission, state, match, heading_follows=heading_follows)
        if match is not None:
            submission.add(match["value"] or match["heading"] or "")
        elif submission.state == _State.HEADER:
            # A number alone on its line is that of the submission, even one made like a day.
            if submission.date is None and not line.strip().isdigit() and parse_day(line):
                submission.date = line.strip()
        else:
            submission.add(line)
    if submission.lines:
        _cut_tail(submission.lines[submission.state], followed=not is_last)
    return submission


def _advance(
    submission: _Submission, state: _State, match: re.Match[str], *, heading_follows: bool
) -> re.Match[str] | None:
    """Move forward when a label may come now; None when its line is a citizen's own."""
    if state <= submission.state:
        return None
    if submission.has_headings and not match["hash"] and heading_follows:
        return None  # the form sets its own labels as headings
    submission.state = state
    submission.has_headings = submission.has_headings or bool(match["hash"])
    return match


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
    if is_last and not is_whole and not constat and not idees:
        detail = "Le courriel s'arrête avant le texte de la contribution."
        return broken(locator, TRUNCATED, detail, category)
    entry = Entry(locator)
    entry.found = {"constat": constat, "idees": idees}
    if category:
        entry.found["category"] = category
    if submission.date:
        entry.found["submitted"] = submission.date
    if not is_whole and submission.state < _State.IDEES:
        entry.notes[INCOMPLETE] = True
    if submission.number > 1:
        entry.notes["mail_number"] = submission.number
    if submission.holds_header:
        entry.notes["header_note"] = "contient un en-tête de formulaire, gardé comme texte"
    return admitted(source, entry)
