"""The generated documents: the same for the same seed, and read back as they were written."""

from collections import Counter

import pytest

from bench import document_files, documents
from bench.peers import hashed
from include.documents.model import ParsedDocument
from include.documents.parsing import OcrSettings, parse_file
from include.documents.sniffing import sniff


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    """A figure measured today can be measured again tomorrow on the same files."""
    first, again, other = (
        [each.path.read_bytes() for each in document_files.write(tmp_path / name, 12, seed)]
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )

    assert first == again
    assert not set(first) & set(other)


def test_every_document_is_read_with_its_pages_and_its_mark(tmp_path):
    """What goes in is known to the page, so that what comes out can be held against it."""
    made = document_files.write(tmp_path, 12)

    for each in made:
        with each.path.open("rb") as stream:
            media = sniff(stream, each.path.name)
        parsed = parse_file(each.path, media, ocr=OcrSettings(enabled=False))
        assert isinstance(parsed, ParsedDocument)
        assert [page.method for page in parsed.pages] == ["text"] * each.pages
        marked = [page.number for page in parsed.pages if each.mark in page.text]
        assert marked == [each.marked_page]


def test_small_sets_hold_every_form(tmp_path):
    """Three quarters are PDFs; the mix does not depend on luck."""
    forms = Counter(each.path.suffix for each in document_files.write(tmp_path, 40))

    assert forms == {".pdf": 31, ".html": 3, ".md": 3, ".docx": 3}


def test_a_scan_has_no_text_of_its_own(tmp_path):
    """Without OCR its pages wait: whoever reads words from it has used OCR."""
    (made,) = document_files.write_scans(tmp_path, 2)
    with made.path.open("rb") as stream:
        media = sniff(stream, made.path.name)
    parsed = parse_file(made.path, media, ocr=OcrSettings(enabled=False))

    assert isinstance(parsed, ParsedDocument)
    assert [page.reason for page in parsed.pages] == ["needs_ocr"] * 2


@pytest.mark.parametrize("text", ["", "le quai", "Le quai, le port, la criée 2025"])
def test_every_text_has_a_vector_of_length_one(text):
    """A store may refuse a vector of zeros, and cosine and inner product agree only at length 1."""
    vector = hashed.vector(text)

    assert len(vector) == hashed.DIMENSIONS
    assert sum(value * value for value in vector) == pytest.approx(1)


def test_repeated_text_shows():
    """A page that a pipeline stores four times is three quarters repetition."""
    text = " ".join(f"mot{n}" for n in range(100))

    assert documents._repeated([text]) == 0
    assert documents._repeated([text] * 4) == pytest.approx(0.75)
