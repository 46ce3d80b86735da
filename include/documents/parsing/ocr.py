"""Read a page's picture with Tesseract, called directly: one process per page and turn.

A page that gives no French is turned upside down, then to its sides. The best reading stands when it
reads as French or when Tesseract is sure of it (tables and signs hold few function words).
"""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean
from typing import TYPE_CHECKING

from include.documents.parsing.cleaning import clean, join_broken_words
from include.documents.parsing.language import FRENCH_GATE, stop_word_ratio, words
from include.documents.parsing.sentences import INSTALL_OCR
from include.documents.parsing.settings import OcrSettings
from include.orphans import die_with_parent

if TYPE_CHECKING:
    from PIL.Image import Image

TURNS = (0, 180, 90, 270)
"""Counter-clockwise degrees, in the order in which scanners get it wrong."""

MIN_CONFIDENCE = 0.5
"""French words by chance: an upside-down page gives some at a mean confidence of a third."""

UPRIGHT_CONFIDENCE = 0.8
"""Below it the other turns are tried too: a stamp alone may stand upright on a page on its side."""

LARGE_SHEET_PIXELS = 12_000_000
"""More than A3: a plan, read slowly, whose labels stand at every angle; its first good turn will do."""

SURE_CONFIDENCE = 0.75
"""A table's words are read at 0.8 and more, the same table on its side at 0.4."""

MIN_WORDS = 3
_NOISE = 0.3
_CONTRAST = 60
"""Grey levels between paper and print; the back of the sheet that shines through has fewer."""
_INK_SHARE = 0.0002
"""Of a page's dots; one printed line of text takes five times as many."""

_WORD_LEVEL = "5"
_COLUMNS = 12


@dataclass(frozen=True, slots=True)
class Reading:
    """What one turn of a page gave; ``confidence`` is Tesseract's own, word by word, 0 to 1."""

    text: str
    confidence: float
    rotation: int
    word_count: int
    french: float

    @property
    def is_trusted(self) -> bool:
        """Whether these are a page's words."""
        if self.word_count < MIN_WORDS:
            return False
        if self.french >= FRENCH_GATE:
            return self.confidence >= MIN_CONFIDENCE
        return self.confidence >= SURE_CONFIDENCE

    @property
    def is_upright(self) -> bool:
        """Whether no other turn could read better."""
        return self.is_trusted and self.confidence >= UPRIGHT_CONFIDENCE

    @property
    def weight(self) -> float:
        """By how much words that are words count more than many that are none."""
        return self.word_count * self.confidence**2


@lru_cache
def obstacle(settings: OcrSettings) -> str | None:
    """Say in French why no scan can be read here, with the way out; None when all is there."""
    if not settings.enabled:
        return "La reconnaissance de texte (OCR) est désactivée pour ce traitement."
    if shutil.which(settings.command) is None:
        return f"Tesseract n'est pas installé. {INSTALL_OCR}"
    listed = subprocess.run(  # noqa: S603 - the operator's own setting, no shell
        [settings.command, "--list-langs"], capture_output=True, check=False, timeout=30
    )
    available = listed.stdout.decode("utf-8", "replace").split()
    if missing := [name for name in settings.language.split("+") if name not in available]:
        return f"Les données « {', '.join(missing)} » de Tesseract manquent. {INSTALL_OCR}"
    return None


def is_blank(image: "Image") -> bool:
    """Whether nothing is printed on a grey page."""
    counts = image.histogram()
    paper = max(range(len(counts)), key=counts.__getitem__)
    ink = sum(count for level, count in enumerate(counts) if abs(level - paper) > _CONTRAST)
    return ink < _INK_SHARE * sum(counts)


def read(image: "Image", settings: OcrSettings) -> Reading | None:
    """Read a grey picture, turning it until its words make sense.

    Returns:
        The first sure reading, else the best one, else None when time ran out before any.
    """
    deadline = time.monotonic() + settings.page_timeout_s
    is_large = image.width * image.height > LARGE_SHEET_PIXELS
    readings: list[Reading] = []
    for turn in TURNS:
        tsv = _tesseract(image.rotate(turn, expand=True) if turn else image, settings, deadline)
        if tsv is None:
            break
        readings.append(_reading(tsv, turn))
        if readings[-1].is_upright or (is_large and readings[-1].is_trusted):
            return readings[-1]
    return max(readings, key=lambda reading: (reading.is_trusted, reading.weight), default=None)


def _tesseract(image: "Image", settings: OcrSettings, deadline: float) -> str | None:
    """Run one process within what is left of the page's time; None when that was too little."""
    # A bare header and the dots: what takes no time to write, and no temporary file.
    picture = b"P5 %d %d 255\n" % image.size + image.tobytes()
    command = [settings.command, "stdin", "stdout", "-l", settings.language]
    command += ["--dpi", str(settings.dpi), "--psm", "3", "tsv"]
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own setting, no shell
            command,
            input=picture,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "OMP_THREAD_LIMIT": "1"},  # its threads cost four times the time
            timeout=max(0.1, deadline - time.monotonic()),
            preexec_fn=_ends_with(os.getpid()),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""


def _ends_with(parent: int) -> Callable[[], None]:
    return lambda: die_with_parent(parent=parent)


def _reading(tsv: str, rotation: int) -> Reading:
    text, confidences = text_of(tsv.splitlines())
    found = words(text)
    return Reading(
        text=text,
        confidence=round(fmean(confidences), 3) if confidences else 0.0,
        rotation=rotation,
        word_count=sum(len(word) > 1 for word in found),
        french=stop_word_ratio(text),
    )


def text_of(rows: Iterable[str]) -> tuple[str, list[float]]:
    """Put the words of Tesseract's table together, line by line, with the confidence in each."""
    lines: list[str] = []
    confidences: list[float] = []
    here: list[str] = []
    before: list[str] = []
    for row in rows:
        cells = row.split("\t")
        if len(cells) != _COLUMNS or cells[0] != _WORD_LEVEL or not cells[11].strip():
            continue
        confidence = float(cells[10]) / 100
        if confidence < _NOISE and not cells[11].isalnum():
            continue  # specks and rules
        if cells[2:5] != before:
            lines.append(" ".join(here))
            here = []
            if before and cells[2:4] != before[:2]:
                lines.append("")
        before = cells[2:5]
        here.append(cells[11])
        confidences.append(min(1.0, max(0.0, confidence)))
    lines.append(" ".join(here))
    return join_broken_words(clean("\n".join(lines))), confidences
