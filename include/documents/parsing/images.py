"""Read a photo or a scan kept as an image; a TIFF may hold several pages."""

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from include.documents.model import Page
from include.documents.parsing import ocr
from include.documents.parsing.draft import Draft
from include.documents.parsing.pdf import OCR_SHARE_OF_TIME, ocr_page
from include.documents.parsing.sentences import DocumentRefusedError, out_of_time
from include.documents.parsing.settings import OcrSettings, ParseLimits

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 200_000_000
"""A photo of a telephone has 12 to 50 million; beyond this a few bytes fill the memory."""

MIN_WIDTH = 1000
"""Narrower pictures are enlarged: Tesseract wants letters of some 20 dots."""


def read_image(
    path: Path, limits: ParseLimits, settings: OcrSettings, before: Sequence[Page] = ()
) -> Draft:
    """Read every frame by OCR, those that an earlier look read already from ``before``.

    Raises:
        DocumentRefusedError: It is damaged, or larger than allowed.
    """
    from PIL import Image  # noqa: PLC0415 - only the worker needs it

    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    try:
        with warnings.catch_warnings(), Image.open(path) as image:
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _frames(image, limits, settings, before)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DocumentRefusedError(
            "too_large", "image de plus de 200 millions de points"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        code = "truncated" if "truncated" in str(error) else "damaged"
        raise DocumentRefusedError(code) from error


def _frames(
    image: "Image", limits: ParseLimits, settings: OcrSettings, before: Sequence[Page]
) -> Draft:
    deadline = time.monotonic() + limits.wall_s * OCR_SHARE_OF_TIME
    known = {page.number: page for page in before if page.reason != "needs_ocr"}
    count = getattr(image, "n_frames", 1)
    if count > limits.max_pages:
        raise DocumentRefusedError("too_many_pages", count)
    pages, late = [], []
    for number in range(1, count + 1):
        if number in known:
            pages.append(known[number])
        elif time.monotonic() > deadline:
            late.append(number)
            pages.append(Page(number, "", "set_aside", reason="needs_ocr"))
        else:
            image.seek(number - 1)
            pages.append(_page(number, _upright_grey(image, settings), settings))
    draft = Draft(pages, metadata={"width": image.width, "height": image.height})
    if late:
        draft.warnings.append(out_of_time(late))
    if obstacle := ocr.obstacle(settings):
        draft.warnings.append(f"Image non lue. {obstacle}")
    return draft


def _upright_grey(image: "Image", settings: OcrSettings) -> "Image":
    from PIL import Image, ImageOps  # noqa: PLC0415 - only the worker needs it

    # Telephones note how they were held; transparent parts are paper.
    upright = ImageOps.exif_transpose(image)
    if upright.mode in {"RGBA", "LA", "PA", "P"}:
        coloured = upright.convert("RGBA")
        paper = Image.new("RGBA", coloured.size, "white")
        upright = Image.alpha_composite(paper, coloured)
    grey = upright.convert("L")
    scale = min(1.0, (settings.max_pixels / (grey.width * grey.height)) ** 0.5)
    if grey.width < MIN_WIDTH:
        scale = 2.0
    if scale == 1:
        return grey
    return grey.resize((max(1, round(grey.width * scale)), max(1, round(grey.height * scale))))


def _page(number: int, grey: "Image", settings: OcrSettings) -> Page:
    if ocr.is_blank(grey):
        return Page(number, "", "set_aside", reason="empty")
    if ocr.obstacle(settings):
        return Page(number, "", "set_aside", reason="needs_ocr")
    reading = ocr.read(grey, settings)
    if reading and reading.is_trusted:
        return ocr_page(number, reading)
    return Page(number, "", "set_aside", reason="unreadable_scan")
