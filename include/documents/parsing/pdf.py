"""Read a PDF page by page: its own text where that is the page's, else its picture by OCR.

PDFium is not thread-safe; it has this process to itself.
"""

import re
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from include.documents.model import Page, PageReason
from include.documents.parsing import ocr
from include.documents.parsing.cleaning import clean, join_ligatures
from include.documents.parsing.draft import Draft
from include.documents.parsing.layers import MARGIN, STAMP_CHARACTERS, Layer, Verdict, judge
from include.documents.parsing.sentences import DocumentRefusedError, out_of_time, pages_phrase
from include.documents.parsing.settings import OcrSettings, ParseLimits

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

POINTS_PER_INCH = 72
OCR_SHARE_OF_TIME = 0.75
_FORM_DEPTH = 4
_TAIL_BYTES = 2048
_CREATED = re.compile(r"D:(\d{4})(\d\d)(\d\d)")
_MAX_TITLE_LINES = 3
_SAME_HEIGHT = 0.9
_MIN_LETTERS = 4


def read_pdf(
    path: Path, limits: ParseLimits, settings: OcrSettings, before: Sequence[Page] = ()
) -> Draft:
    """Read all pages, those that an earlier look read already from ``before``.

    Raises:
        DocumentRefusedError: It is encrypted, damaged, or larger than allowed.
    """
    content = path.read_bytes()
    with closing(_open(content)) as document:
        if len(document) > limits.max_pages:
            raise DocumentRefusedError("too_many_pages", len(document))
        draft = _PdfReader(document, limits, settings, before).read()
        draft.metadata |= _metadata(document)
    if b"%%EOF" not in content[-_TAIL_BYTES:]:
        draft.warnings.append(
            "La fin du fichier manque : le document est peut-être incomplet, à comparer à l'original."
        )
    return draft


def _open(content: bytes) -> "PdfDocument":
    import pypdfium2  # noqa: PLC0415 - heavy, and only the worker needs it
    import pypdfium2.raw as pdfium  # noqa: PLC0415 - the same

    try:
        document = pypdfium2.PdfDocument(content)
    except pypdfium2.PdfiumError as error:
        if getattr(error, "err_code", None) == pdfium.FPDF_ERR_PASSWORD:
            raise DocumentRefusedError("encrypted") from error
        whole = b"%%EOF" in content[-_TAIL_BYTES:]
        raise DocumentRefusedError("damaged" if whole else "truncated") from error
    if len(document) == 0:
        document.close()
        raise DocumentRefusedError("damaged")
    return document


class _PdfReader:
    """One document on its way from layers to pages."""

    def __init__(
        self,
        document: "PdfDocument",
        limits: ParseLimits,
        settings: OcrSettings,
        before: Sequence[Page],
    ) -> None:
        self.document = document
        self.limits = limits
        self.settings = settings
        self.before = {page.number: page for page in before if page.reason != "needs_ocr"}
        self.ocr_deadline = time.monotonic() + limits.wall_s * OCR_SHARE_OF_TIME
        self.out_of_time: list[int] = []
        self.broken: list[int] = []
        self.heading: str | None = None

    def read(self) -> Draft:
        layers = self._layers()
        verdicts = judge(layers)
        pages = [
            self._page(number, layer, verdict)
            for number, (layer, verdict) in enumerate(zip(layers, verdicts, strict=True), start=1)
        ]
        draft = Draft(pages, heading=self.heading if verdicts[0] in {"text", "sparse"} else None)
        draft.warnings += self._warnings(pages)
        return draft

    def _layers(self) -> list[Layer]:
        import pypdfium2  # noqa: PLC0415 - heavy, and only the worker needs it

        layers, characters = [], 0
        for index in range(len(self.document)):
            try:
                with closing(self.document[index]) as page, closing(page.get_textpage()) as text:
                    layers.append(_layer(page, text))
                    if index == 0:
                        self.heading = _largest_lines(text)
            except pypdfium2.PdfiumError:
                self.broken.append(index + 1)
                layers.append(Layer("", 0, in_margin=False))
            characters += len(layers[-1].text)
            if characters > self.limits.max_characters:
                raise DocumentRefusedError("too_large", f"plus de {characters} caractères")
        return layers

    def _page(self, number: int, layer: Layer, verdict: Verdict) -> Page:
        if number in self.broken:
            return Page(number, "", "set_aside", reason="broken")
        own = Page(number, layer.text, "text")
        if verdict == "text":
            return own
        if number in self.before:
            return self.before[number]
        late = time.monotonic() > self.ocr_deadline
        if late:
            self.out_of_time.append(number)
        if late or ocr.obstacle(self.settings):
            return own if verdict == "sparse" else self._left(number, layer)
        read = self._by_ocr(number, verdict)
        says_more = read.method == "ocr" and len(read.text) > 2 * len(layer.text)
        return read if says_more or verdict != "sparse" else own

    def _by_ocr(self, number: int, verdict: Verdict) -> Page:
        image = self._picture(number)
        if ocr.is_blank(image):
            return Page(number, "", "set_aside", reason="empty")
        reading = ocr.read(image, self.settings)
        if reading and reading.is_trusted:
            return ocr_page(number, reading)
        reason: PageReason = "unreadable_scan" if verdict == "scan" else "untrusted_layer"
        return Page(number, "", "set_aside", reason=reason)

    def _left(self, number: int, layer: Layer) -> Page:
        """Leave a page for a later run, unless there is nothing on it at all."""
        bare = not layer.text and not layer.image_share and _is_bare(self.document, number)
        return Page(number, "", "set_aside", reason="empty" if bare else "needs_ocr")

    def _picture(self, number: int) -> "Image":
        with closing(self.document[number - 1]) as page:
            width, height = page.get_size()
            scale = self.settings.dpi / POINTS_PER_INCH
            scale = min(scale, (self.settings.max_pixels / (width * height)) ** 0.5)
            picture: Image = page.render(scale=scale, grayscale=True).to_pil()
            return picture

    def _warnings(self, pages: list[Page]) -> list[str]:
        waiting = [page.number for page in pages if page.reason == "needs_ocr"]
        warnings = []
        if waiting and (obstacle := ocr.obstacle(self.settings)):
            warnings.append(f"Numérisation non lue, {pages_phrase(waiting)}. {obstacle}")
        if self.out_of_time:
            warnings.append(out_of_time(self.out_of_time))
        return warnings


def ocr_page(number: int, reading: ocr.Reading) -> Page:
    """A page as OCR read it."""
    return Page(number, reading.text, "ocr", reading.confidence, reading.rotation)


def _layer(page: "PdfPage", text: "PdfTextPage") -> Layer:
    left, bottom, right, top = page.get_bbox()
    # Imposed magazine pages carry their neighbours outside the visible box.
    own = join_ligatures(clean(text.get_text_bounded(left, bottom, right, top)))
    if len(own) > STAMP_CHARACTERS:
        # Its pictures decide nothing, and a plan holds a hundred thousand objects to look through.
        return Layer(own, 0, in_margin=False)
    share = _image_share(page, (right - left) * (top - bottom))
    return Layer(own, share, bool(own) and _in_margin(text, bottom, top))


def _image_share(page: "PdfPage", area: float) -> float:
    import pypdfium2.raw as pdfium  # noqa: PLC0415 - heavy, and only the worker needs it

    covered = 0.0
    for image in page.get_objects(filter=[pdfium.FPDF_PAGEOBJ_IMAGE], max_depth=_FORM_DEPTH):
        left, bottom, right, top = image.get_bounds()
        covered += (right - left) * (top - bottom)
    return min(1.0, covered / area) if area > 0 else 0.0


def _in_margin(text: "PdfTextPage", bottom: float, top: float) -> bool:
    strip = (top - bottom) * MARGIN
    rects = (text.get_rect(index) for index in range(text.count_rects()))
    return all(rect[3] <= bottom + strip or rect[1] >= top - strip for rect in rects)


def _is_bare(document: "PdfDocument", number: int) -> bool:
    with closing(document[number - 1]) as page:
        return next(iter(page.get_objects(max_depth=1)), None) is None


def _largest_lines(text: "PdfTextPage") -> str | None:
    """The first page's largest print, which is its title more often than what the file claims."""
    rects = [text.get_rect(index) for index in range(min(text.count_rects(), 200))]
    # Print that runs up the side of a page is taller than wide.
    level = [rect for rect in rects if rect[2] - rect[0] > rect[3] - rect[1]]
    lines = [(rect[3] - rect[1], clean(text.get_text_bounded(*rect))) for rect in level]
    lines = [
        (height, line) for height, line in lines if sum(map(str.isalpha, line)) >= _MIN_LETTERS
    ]
    if not lines:
        return None
    tallest = max(height for height, _ in lines)
    large = [line for height, line in lines if height >= tallest * _SAME_HEIGHT]
    return " ".join(large) if len(large) <= _MAX_TITLE_LINES else None


def _metadata(document: "PdfDocument") -> dict[str, str]:
    kept = {key: clean(_entry(document, name))[:300] for key, name in _METADATA.items()}
    kept = {key: value for key, value in kept.items() if value}
    if found := _CREATED.match(_entry(document, "CreationDate")):
        try:
            kept["created_on"] = date(*map(int, found.groups())).isoformat()
        except ValueError:
            kept.pop("created_on", None)
    return kept


def _entry(document: "PdfDocument", name: str) -> str:
    try:
        value: str = document.get_metadata_value(name)
    except UnicodeDecodeError:
        return ""  # half of a character: what the file says of itself is worth no page of it
    return value


_METADATA = {"title": "Title", "author": "Author", "creator": "Creator", "producer": "Producer"}
