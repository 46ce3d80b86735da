"""How far a parser may go, and how scans are read."""

from dataclasses import dataclass

from include.documents.model import KIND_OF, Kind, Media

PARSER_VERSION = "2"
"""Changes when the same bytes would give other pages, titles, dates or languages."""

MEBIBYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class ParseLimits:
    """What one document may cost; beyond it that document alone is set aside.

    Attributes:
        wall_s: From start to end. Pages still waiting for OCR at three quarters of it are left for
            a later run, so that a long scan keeps the pages it has.
        cpu_s: Of one process; the OCR of each page is a process.
        markup_cpu_s: Of a process that reads neither PDF nor image: 20 million characters take a
            second, and what takes much longer is made to.
        memory_bytes: Address space of one process.
        max_file_bytes: Larger files are not opened.
        max_pages: Documents of more pages are not read.
        max_characters: Of all pages together.
    """

    wall_s: float = 1200
    cpu_s: int = 600
    markup_cpu_s: int = 30
    memory_bytes: int = 1024 * MEBIBYTE
    max_file_bytes: int = 256 * MEBIBYTE
    max_pages: int = 2000
    max_characters: int = 20_000_000

    def cpu_s_of(self, media: Media) -> int:
        """Say how much a process that reads this medium may compute."""
        is_drawn = media is Media.PDF or KIND_OF[media] is Kind.IMAGE
        return self.cpu_s if is_drawn else min(self.cpu_s, self.markup_cpu_s)


@dataclass(frozen=True, slots=True)
class OcrSettings:
    """How scans are read.

    Attributes:
        enabled: Without it pages that need OCR are set aside as ``needs_ocr``.
        command: Tesseract, by name or path.
        language: Its data; ``fra`` also reads the place names of Brittany.
        dpi: 300 costs twice the time of 200 and reads the town's scans no better.
        page_timeout_s: For one page with all its turns.
        max_pixels: Larger sheets are rendered at a lower resolution.
    """

    enabled: bool = True
    command: str = "tesseract"
    language: str = "fra"
    dpi: int = 200
    page_timeout_s: float = 90
    max_pixels: int = 40_000_000
