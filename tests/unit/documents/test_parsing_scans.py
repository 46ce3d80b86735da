import io

import pytest

from include.documents.model import Media, Page, ParsedDocument
from include.documents.parsing import OcrSettings, ParseLimits, ocr, parse_file
from include.documents.parsing import pdf as pdf_reader
from include.documents.parsing.images import read_image
from include.documents.sniffing import sniff
from tests.hostile import TEXT, pdf
from tests.shared_data import shared_documents

OCR = OcrSettings()
needs_tesseract = pytest.mark.skipif(
    ocr.obstacle(OCR) is not None, reason="Tesseract with French data is not installed"
)


def scan(turn: int = 0, form: str = "PDF", pages: int = 1) -> bytes:
    """Pages of print as a picture, turned as a careless scanner would."""
    import pypdfium2  # noqa: PLC0415 - only these tests draw

    document = pypdfium2.PdfDocument(pdf([TEXT * 3]))
    picture = document[0].render(scale=200 / 72, grayscale=True).to_pil().rotate(turn, expand=True)
    out = io.BytesIO()
    more = {"save_all": True, "append_images": [picture] * (pages - 1)} if pages > 1 else {}
    picture.save(out, form, resolution=200, **more)
    return out.getvalue()


def parse(content: bytes, media: Media, folder, settings: OcrSettings = OCR) -> ParsedDocument:
    path = folder / "file"
    path.write_bytes(content)
    answer = parse_file(path, media, ocr=settings)
    assert isinstance(answer, ParsedDocument), answer
    return answer


@needs_tesseract
@pytest.mark.parametrize("turn", [0, 180, 90])
def test_a_scan_is_read_however_it_lies(turn, tmp_path):
    """By OCR, with its confidence."""
    page = parse(scan(turn), Media.PDF, tmp_path).pages[0]

    assert page.method == "ocr"
    assert "projet de réfection du quai" in page.text.replace("\n", " ")
    assert page.confidence is not None
    assert page.confidence > 0.8


@needs_tesseract
def test_an_image_is_read(tmp_path):
    """The same picture without a PDF around it."""
    page = parse(scan(form="PNG"), Media.PNG, tmp_path).pages[0]

    assert page.method == "ocr"
    assert "conseil municipal" in page.text


@needs_tesseract
def test_a_blank_picture_is_empty(tmp_path):
    """Not unreadable: there is nothing to read."""
    from PIL import Image  # noqa: PLC0415 - only these tests draw

    out = io.BytesIO()
    Image.new("L", (1200, 1600), 240).save(out, "PNG")

    assert parse(out.getvalue(), Media.PNG, tmp_path).pages[0].reason == "empty"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param(OcrSettings(enabled=False), "désactivée", id="off"),
        pytest.param(OcrSettings(command="no-such-tesseract"), "apt-get install", id="missing"),
    ],
)
def test_without_ocr_a_scan_waits_and_says_how_to_get_it(settings, words, tmp_path):
    """Counted as set aside; a later run picks it up."""
    document = parse(scan(), Media.PDF, tmp_path, settings)

    assert [(page.method, page.reason) for page in document.pages] == [("set_aside", "needs_ocr")]
    assert words in document.warnings[0]


@needs_tesseract
def test_what_an_earlier_look_read_is_not_read_again(tmp_path):
    """The worker is given those pages and reads the others."""
    before = [Page(1, "Lue hier.", "ocr", 0.9), Page(2, "", "set_aside", reason="needs_ocr")]
    path = tmp_path / "file"
    path.write_bytes(scan(pages=2))

    document = parse_file(path, Media.PDF, ocr=OCR, before=before)

    assert isinstance(document, ParsedDocument)
    assert document.pages[0] == before[0]
    assert "conseil municipal" in document.pages[1].text


@pytest.mark.parametrize(
    ("read_scan", "form"),
    [
        pytest.param(pdf_reader.read_pdf, "PDF", id="pdf"),
        pytest.param(read_image, "TIFF", id="tiff"),
    ],
)
def test_a_long_scan_is_read_to_its_end_look_by_look(read_scan, form, tmp_path, monkeypatch):
    """A look ends at its time, the next one goes on there, and each page is read once."""
    clock, read = [0.0], []

    def reading(_image, _settings):
        clock[0] += 10
        read.append(len(read) + 1)
        return ocr.Reading(f"Page lue en {len(read)}e.", 0.9, 0, 5, 0.5)

    monkeypatch.setattr(pdf_reader.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(pdf_reader.ocr, "read", reading)
    monkeypatch.setattr(pdf_reader.ocr, "obstacle", lambda _settings: None)
    path = tmp_path / "file"
    path.write_bytes(scan(form=form, pages=5))
    limits = ParseLimits(wall_s=20 / pdf_reader.OCR_SHARE_OF_TIME - 1)

    first = read_scan(path, limits, OCR)
    second = read_scan(path, limits, OCR, first.pages)
    third = read_scan(path, limits, OCR, second.pages)

    assert [page.reason for page in first.pages] == [None] * 2 + ["needs_ocr"] * 3
    assert "pages 3 à 5" in first.warnings[0]
    assert [page.reason for page in second.pages] == [None] * 4 + ["needs_ocr"]
    assert [page.text for page in third.pages] == [f"Page lue en {n}e." for n in range(1, 6)]
    assert (third.warnings, read) == ([], [1, 2, 3, 4, 5])


def test_every_paper_of_the_town_is_accounted_for(tmp_path):
    """Pages in = pages read + pages set aside, by the page count PDFium gives."""
    import pypdfium2  # noqa: PLC0415 - only this test counts by itself

    for path in sorted(shared_documents().iterdir()):
        with path.open("rb") as stream:
            media = sniff(stream, path.name)
        assert isinstance(media, Media), path.name
        document = parse_file(path, media, ocr=OcrSettings(enabled=False))
        assert isinstance(document, ParsedDocument), (path.name, document)
        if media is Media.PDF:
            with pypdfium2.PdfDocument(path) as opened:
                assert len(document.pages) == len(opened), path.name
        assert all(
            (page.method == "set_aside") == (page.reason is not None) for page in document.pages
        )


def test_the_stamp_of_the_register_is_no_text():
    """Ten pages of pictures, each with the same line below."""
    path = shared_documents() / "Arrete_prefectoral_peche_2025.pdf"
    document = parse_file(path, Media.PDF, ocr=OcrSettings(enabled=False))

    assert isinstance(document, ParsedDocument)
    assert {page.reason for page in document.pages} == {"needs_ocr"}
