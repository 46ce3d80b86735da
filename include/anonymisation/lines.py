"""Names by where they stand on a line: who speaks in a transcript, who signs, what a label announces."""

import re

from include.anonymisation.reading import Reading
from include.anonymisation.words import WORD, Gap

LONGEST_SPEAKER = 5
LONGEST_CLOSING = 4
LONGEST_SIGNATURE = 4
"""Words; a longer line after a closing is no signature."""

LONGEST_BREAK = 12
"""Characters between a closing and the signature."""

_STAMP = re.compile(
    r"^[\s>*_-]{0,6}[\[(]?\d{1,2}[:h.]\d{2}(?:[:.]\d{2})?(?:[.,]\d{1,3})?[\])]?[ \t:–-]{0,4}",
    re.MULTILINE,
)
_LINE = re.compile(r"[^\n]{1,200}")
_SPEAKER_END = re.compile(r"[ \t]{0,2}(?::|[–—]|\n|$|\*\*)")
_LABEL_END = re.compile(r"(?:\(e?s?\)|·e?s?|-e)?[ \t]{0,2}:[ \t]{0,3}[`\[*_]{0,3}")
_BREAK = frozenset(" \t\n\r,.!;:-–—")


def mark_speakers(reading: Reading) -> None:
    """Note ``00:01:02 Prénom Nom`` and ``Prénom NOM :``."""
    starts = {word.start: at for at, word in enumerate(reading.words)}
    for match in _STAMP.finditer(reading.text):
        if match.end() in starts:
            _mark_speaker(reading, starts[match.end()], is_stamped=True)
    for line in _LINE.finditer(reading.text):
        first = WORD.search(reading.text, line.start(), line.end())
        if first is not None and first.start() in starts:
            _mark_speaker(reading, starts[first.start()], is_stamped=False)


def _mark_speaker(reading: Reading, at: int, *, is_stamped: bool) -> None:
    v = reading.vocabulary
    end = at
    while end < min(len(reading.words), at + LONGEST_SPEAKER):
        word = reading.words[end]
        if end > at and word.gap is not Gap.JOIN:
            break
        if not (word.is_capital or is_stamped or word.folded in v.particles):
            break
        end += 1
    if end == at or reading.words[at].folded in v.speakers:
        return
    finish = _SPEAKER_END.match(reading.text, reading.words[end - 1].end)
    here = range(at, end)
    has_capitals = all(
        reading.words[each].is_capital or reading.words[each].folded in v.particles for each in here
    )
    if finish is None or (":" not in finish.group() and not (is_stamped and has_capitals)):
        return
    named = [each for each in here if reading.is_first_name(each) or not reading.known[each]]
    if is_stamped:
        is_speaker = bool(named)
    else:
        others = v.surnames | v.particles | v.first_names
        is_speaker = (
            len(here) > 1
            and any(reading.is_first_name(e) or reading.is_name_word(e) for e in named)
            and all(not reading.known[e] or reading.words[e].folded in others for e in here)
        )
    if is_speaker:
        reading.mark_name(at, end)


def mark_signatures(reading: Reading) -> None:
    """Note who stands behind ``Cordialement,``."""
    for at, word in enumerate(reading.words):
        if not (word.begins or word.is_capital):
            continue
        for length in range(1, LONGEST_CLOSING + 1):
            parts = tuple(each.folded for each in reading.words[at : at + length])
            if parts in reading.vocabulary.closings:
                _mark_signature(reading, at + length)
                break


def _mark_signature(reading: Reading, at: int) -> None:
    if at >= len(reading.words):
        return
    between = reading.text[reading.words[at - 1].end : reading.words[at].start]
    if len(between) > LONGEST_BREAK or not set(between) <= _BREAK:
        return
    if not between.strip(" \t") and not reading.words[at].is_capital:
        return
    end = at + 1
    while end < len(reading.words) and reading.words[end].gap is Gap.JOIN:
        end += 1
        if end - at > LONGEST_SIGNATURE:
            return
    v = reading.vocabulary
    here = reading.words[at:end]
    is_nobody = any(word.folded in v.no_signature for word in here[:2])
    if is_nobody or reading.text[here[-1].end : here[-1].end + 1] == ":":
        return
    for position, word in enumerate(here, start=at):
        is_name = word.is_capital and word.folded not in v.offices | v.titles
        if is_name or not (reading.known[position] or reading.places[position]):
            reading.mark_name(position, position + 1)


def label_end(reading: Reading, at: int) -> int | None:
    """Say where the colon behind a label such as ``Président`` ends; None where there is none."""
    word = reading.words[at]
    if word.folded not in reading.vocabulary.labels:
        return None
    match = _LABEL_END.match(reading.text, word.end)
    return match.end() if match else None


def mark_after_label(reading: Reading, at: int, colon: int) -> None:
    """Note the name behind a label on its line."""
    v = reading.vocabulary
    nxt = at + 1
    while nxt < len(reading.words) and reading.words[nxt].start < colon:
        nxt += 1
    if nxt >= len(reading.words) or reading.text[colon : reading.words[nxt].start].strip(" \t`[*_"):
        return
    word = reading.words[nxt]
    if reading.is_title(nxt) or word.folded in v.no_signature:
        return
    if "\n" in reading.text[colon : word.start]:
        return
    if not word.is_capital:
        if reading.is_small_first_name(nxt):
            reading.mark_name(nxt, reading.small_run(nxt))
        return
    is_name = not reading.known[nxt] or reading.is_first_name(nxt) or reading.is_surname(nxt)
    if is_name or (reading.is_capital_at(nxt + 1) and not reading.known[nxt + 1]):
        reading.mark_name(nxt, reading.run(nxt))
