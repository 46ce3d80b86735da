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

The form ends its mails with a footer and an address. What begins behind it, a header or a label, is
a submission of its own; any other words there are named, since somebody may have written them.
"""

import html
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
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

_MAX_NOTED = 200
"""Characters behind a footer; more may be a text, and is a broken entry of its own."""

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
_URL = r"[<(\[*_]*(?:https?://|www\.)\S+"
_FOOTER = re.compile(
    r"[*_]*(?:the results of this submission may be viewed at|"
    rf"les résultats de (?:cette|votre) soumission peuvent être[^.!?:]{{0,60}})\s*:?\s*(?P<url>{_URL})?",
    re.IGNORECASE,
)
_URL_LINE = re.compile(_URL, re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*(?:[-_=*~]{2,}|-{3,}[^-]{0,60}-{3,})\s*")
_MAIL_HEADER = re.compile(
    r"(?:from|to|b?cc|date|sent|subject|reply-to|de|à|pour|cci|copie à|objet|sujet|envoyé|"
    r"expéditeur|destinataire|répondre à)\s*:\s*\S.*",
    re.IGNORECASE,
)
_WROTE = re.compile(r".*\b(?:a écrit|wrote)\s*:", re.IGNORECASE)
_MOMENT_OR_ADDRESS = re.compile(r"\d[:h]\d\d|\S@\S")
_INVISIBLE = "\u200b\u200c\u200d\u2060\ufeff\xad"
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


_Labels = Mapping[int, tuple[_State, re.Match[str]]]
"""The lines that are a label or begin with one."""


@dataclass(slots=True)
class _Submission:
    line: int
    state: _State = _State.HEADER
    date: str | None = None
    has_headings: bool = False
    number: int = 1
    holds_header: bool = False
    rest: tuple[int, int] | None = None
    lines: dict[_State, list[str]] = field(default_factory=dict)

    def add(self, line: str) -> None:
        """Put a line where we are."""
        self.lines.setdefault(self.state, []).append(line)

    def text(self, state: _State) -> str:
        """What stands under a label, without the blank lines around it."""
        return "\n".join(line.rstrip() for line in self.lines.get(state, ())).strip()


@dataclass(slots=True)
class _Stretch:
    """The lines of one submission, and those behind its footer that belong to none."""

    start: int
    end: int
    rest_from: int
    rest_end: int


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
            # Whatever stands there is before any label, and as likely a name as a contribution.
            yield broken("line 1", "no_entries", detail, "")
        for number, submission in enumerate(submissions, 1):
            is_last = number == len(submissions)
            submission.date = submission.date or sent
            entry = _admitted(source, submission, is_last=is_last, is_whole=is_whole or not is_last)
            yield entry
            yield from _unread(submission, entry)


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
    return index == 0 or _is_of_mail_program(lines[index - 1])


def _is_of_mail_program(line: str) -> bool:
    """Say whether a line between two mails is blank, a rule, or a header of the mail itself."""
    bare = line.strip().strip(_INVISIBLE)
    return not bare or (
        len(bare) < _LONGEST_OPENING
        and any(pattern.fullmatch(bare) for pattern in (_SEPARATOR, _MAIL_HEADER, _WROTE))
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


def _bare_openings(lines: Sequence[str], labels: _Labels) -> dict[int, str | None]:
    """Find where submissions begin that somebody copied without the lines above their fields."""
    openings: dict[int, str | None] = {}
    seen: _State = _State.IDEES
    for index, (state, _) in labels.items():
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
    labels = {i: label for i, line in enumerate(lines) if (label := _labelled(line))}
    openings = _openings(lines)
    found = openings or _bare_openings(lines, labels)
    begins = [
        index
        for index in found
        if not is_one_mail and (not openings or _begins_a_mail(lines, index))
    ]
    begins.extend(islice(found, 1))
    if openings and (early := _fields_before(min(openings), labels)) is not None:
        begins = [early] if is_one_mail else [early, *begins]
    ordered = sorted(found)
    submissions = []
    stretches = _stretches(lines, labels, found, set(begins), is_one_mail=is_one_mail)
    for number, stretch in enumerate(stretches, 1):
        date = openings.get(stretch.start)
        is_bare = stretch.start not in openings
        submission = _read(lines, stretch, labels, date, is_bare=is_bare)
        submission.number = number
        submission.rest = _words_behind(lines, stretch)
        following = bisect_right(ordered, stretch.start)
        submission.holds_header = following < len(ordered) and ordered[following] < stretch.end
        submissions.append(submission)
    return submissions


def _fields_before(opening: int, labels: _Labels) -> int | None:
    """Find the first label of a submission that somebody copied above the first whole mail."""
    early = [index for index in labels if index < opening]
    has_text = any(labels[index][0] >= _State.CONSTAT for index in early)
    return early[0] if has_text else None


def _stretches(
    lines: Sequence[str],
    labels: _Labels,
    openings: Mapping[int, str | None],
    begins: set[int],
    *,
    is_one_mail: bool,
) -> list[_Stretch]:
    """Share a file's lines out among submissions: each ends at its footer or where another begins.

    Behind a footer every opening and every label begins one, as no text can go on there.
    """
    marks = sorted({*labels, *openings})
    footers = _footers(lines, openings)
    stretches: list[_Stretch] = []
    is_ended, seen = False, _State.HEADER
    for index in sorted({*marks, *footers}):
        is_mark = index not in footers
        if index in begins or (is_ended and is_mark):
            if stretches:
                _end_before(stretches[-1], index, is_ended=is_ended)
            stretches.append(_Stretch(index, len(lines), len(lines), len(lines)))
            is_ended, seen = False, _State.HEADER
        if index in labels:
            seen = max(seen, labels[index][0])
        elif index in footers and stretches and not is_ended:
            behind = bisect_left(marks, index)
            following = marks[behind] if behind < len(marks) else None
            is_ended = following is None or (
                not is_one_mail and _begins_anew(following, labels, openings, seen)
            )
            if is_ended:
                stretches[-1].end, stretches[-1].rest_from = index, footers[index]
    return stretches


def _end_before(stretch: _Stretch, index: int, *, is_ended: bool) -> None:
    stretch.rest_end = index
    if not is_ended:
        stretch.end = stretch.rest_from = index


def _begins_anew(
    index: int, labels: _Labels, openings: Mapping[int, str | None], seen: _State
) -> bool:
    """Say whether a mark begins a submission; a label that was still to come goes on with one.

    Whoever wrote the footer's words before it, it was not the form.
    """
    return index in openings or labels[index][0] <= seen


def _footers(lines: Sequence[str], openings: Mapping[int, str | None]) -> dict[int, int]:
    """Map the lines on which the form's footer begins to the line behind it.

    It is the form's own with the address it names, or at the end: a citizen's sentence goes on.
    """
    footers: dict[int, int] = {}
    for index, line in enumerate(lines):
        if len(line) > _LONGEST_OPENING or not (match := _FOOTER.fullmatch(line.strip())):
            continue
        if match["url"]:
            footers[index] = index + 1
            continue
        near = range(index + 1, min(index + 1 + _LOOK_AHEAD, len(lines)))
        following = next((i for i in near if lines[i].strip()), None)
        if following is None or following in openings:
            is_last = near.stop == len(lines) or following is not None
            if is_last:
                footers[index] = index + 1
        elif _URL_LINE.fullmatch(lines[following].strip()):
            footers[index] = following + 1
    return footers


def _words_behind(lines: Sequence[str], stretch: _Stretch) -> tuple[int, int] | None:
    """Say on which line words begin that belong to no submission, and how many characters they are."""
    words = [
        (index, len(lines[index].strip()))
        for index in range(stretch.rest_from, stretch.rest_end)
        if not _is_of_mail_program(lines[index]) and not _URL_LINE.fullmatch(lines[index].strip())
    ]
    return (words[0][0] + 1, sum(length for _, length in words)) if words else None


def _read(
    lines: Sequence[str], stretch: _Stretch, labels: _Labels, date: str | None, *, is_bare: bool
) -> _Submission:
    """Run the machine over the lines of one submission."""
    submission = _Submission(stretch.start + 1, date=date)
    own = range(stretch.start if is_bare else stretch.start + 1, stretch.end)
    last_headings = {labels[i][0]: i for i in own if i in labels and labels[i][1]["hash"]}
    for index in own:
        line = lines[index]
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
        is_followed = stretch.rest_from == stretch.end < len(lines)
        _cut_tail(submission.lines[submission.state], followed=is_followed)
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
    if not followed:
        return
    if lines and _WROTE.fullmatch(lines[-1].strip()) and _MOMENT_OR_ADDRESS.search(lines[-1]):
        lines.pop()
        _cut_rules(lines)
    header = list(takewhile(lambda line: _MAIL_HEADER.fullmatch(line.strip()), reversed(lines)))
    # One such line alone may well be a citizen's ("Date : samedi"); a header has several.
    if len(header) > 1 and any(_MOMENT_OR_ADDRESS.search(line) for line in header):
        del lines[-len(header) :]
        _cut_rules(lines)


def _cut_rules(lines: list[str]) -> None:
    while lines and (
        not lines[-1].strip()
        or (len(lines[-1]) < _LONGEST_OPENING and _SEPARATOR.fullmatch(lines[-1]))
    ):
        lines.pop()


def _unread(submission: _Submission, entry: Record | BrokenRecord) -> Iterator[BrokenRecord]:
    """Name what stands behind a footer where a note on its submission would not do."""
    if submission.rest is None:
        return
    line, length = submission.rest
    if isinstance(entry, BrokenRecord) or length > _MAX_NOTED:
        detail = (
            f"Des mots suivent la fin d'une soumission ({length} caractères) et ne sont pas lus : "
            "s'ils sont d'un citoyen, les remettre sous leur champ."
        )
        yield broken(f"line {line}", "after_footer", detail, "")


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
    if submission.rest:
        line, _ = submission.rest
        entry.notes["footer_note"] = f"des mots suivent la soumission à la ligne {line}, non lus"
    return admitted(source, entry)
