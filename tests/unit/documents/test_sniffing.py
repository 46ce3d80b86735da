import io
import struct
import tracemalloc

import pytest

from include.documents.model import Media, SetAside
from include.documents.sniffing import sniff
from tests.hostile import HTML, TEXT, crowded_zip, docx, docx_paragraph, odt, pdf, zipped

SRT = "1\n00:00:01,000 --> 00:00:04,000\nBonsoir à tous.\n\n2\n00:00:05,000 --> 00:00:09,000\nMerci.\n"
TURNS = "00:00:00 Le maire\nBonsoir à tous.\n\n00:00:45 Une habitante\nMerci.\n\n00:01:18 Le maire\nBien.\n"


@pytest.mark.parametrize(
    ("content", "name", "media"),
    [
        pytest.param(pdf([TEXT]), "page.html", Media.PDF, id="pdf_by_its_bytes"),
        pytest.param(HTML.encode(), "rapport.pdf", Media.HTML, id="html_named_pdf"),
        pytest.param(f"<!-- %PDF-1.4 -->{HTML}".encode(), "a", Media.HTML, id="html_about_pdf"),
        pytest.param(HTML.encode("utf-16"), "a", Media.HTML, id="html_in_utf16"),
        pytest.param(docx(docx_paragraph(TEXT)), "a.zip", Media.DOCX, id="docx"),
        pytest.param(odt(f"<text:p>{TEXT}</text:p>"), "a.docx", Media.ODT, id="odt"),
        pytest.param(b"\xff\xd8\xff\xe0" + bytes(20), "a.pdf", Media.JPEG, id="jpeg"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "a", Media.PNG, id="png"),
        pytest.param(b"II*\0" + bytes(9), "a", Media.TIFF, id="tiff"),
        pytest.param(b"RIFF\0\0\0\0WEBPVP8 ", "a", Media.WEBP, id="webp"),
        pytest.param(b"\0\0\0\x20ftypisom" + bytes(99), "a.txt", Media.VIDEO_FILE, id="video"),
        pytest.param(b"ID3\x03" + bytes(99), "a", Media.AUDIO, id="audio"),
        pytest.param(SRT.encode(), "a.txt", Media.SRT, id="srt"),
        pytest.param(("WEBVTT\n\n" + SRT.replace(",", ".")).encode(), "a", Media.VTT, id="vtt"),
        pytest.param(TURNS.encode(), "reunion.md", Media.TRANSCRIPT, id="timed_markdown"),
        pytest.param(b"# Ordre du jour\n\nRien.", "a.txt", Media.MARKDOWN, id="markdown_by_marks"),
        pytest.param(TEXT.encode(), "note.md", Media.MARKDOWN, id="markdown_by_name"),
        pytest.param(TEXT.encode("cp1252"), "note", Media.TEXT, id="text_of_old_windows"),
        pytest.param(
            b"PK 12+300 de la RD 784 : travaux", "a.txt", Media.TEXT, id="a_milestone_is_no_zip"
        ),
        pytest.param(
            b"10:00 Accueil\n10:30 Discours du maire\n11:00 Visite\n",
            "programme.txt",
            Media.TEXT,
            id="a_programme_is_no_transcript",
        ),
    ],
)
def test_the_bytes_say_what_a_file_is(content, name, media):
    """Whatever it is called."""
    assert sniff(io.BytesIO(content), name) == media


@pytest.mark.parametrize(
    ("content", "word"),
    [
        pytest.param(zipped({"xl/workbook.xml": b""}), "classeur", id="workbook"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "Ancien format", id="doc"),
        pytest.param(b"GIF89a" + bytes(50), "JPEG", id="gif"),
        pytest.param(b"{\\rtf1 Bonjour}", "PDF", id="rtf"),
        pytest.param(b"<?xml version='1.0'?><svg/>", "PDF", id="svg"),
    ],
)
def test_what_cannot_be_read_is_named_with_the_way_out(content, word):
    """One code for the books, and a sentence that fits the case."""
    answer = sniff(io.BytesIO(content), "a.pdf")

    assert isinstance(answer, SetAside)
    assert answer.reason == "unknown_content_type"
    assert word in answer.detail


def test_a_page_of_brackets_is_sniffed_at_once():
    """Sniffing happens outside the sandbox, so nothing in it may take long."""
    assert sniff(io.BytesIO(b"[" * 2_000_000), "a") == Media.TEXT


@pytest.mark.parametrize(
    ("content", "media"),
    [
        pytest.param(TEXT.encode() * 60_000, Media.TEXT, id="text"),
        pytest.param(b"PK\x03\x04" + b"PK\x01\x02" * 4_000_000, None, id="no_zip"),
        pytest.param(
            zipped({"mimetype": b" " * (16 << 20)}).replace(
                struct.pack("<I", 16 << 20), struct.pack("<I", 9)
            ),
            None,
            id="a_mimetype_that_lies_about_its_size",
        ),
        pytest.param(crowded_zip(), None, id="a_zip_of_names"),
    ],
)
def test_sniffing_takes_little_memory(content, media):
    """Sixteen megabytes and more, of which the worker, not the task, is to bear the weight."""
    stream = io.BytesIO(content)
    tracemalloc.start()
    answer = sniff(stream, "a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert answer == media if media else isinstance(answer, SetAside)
    assert peak < 4 << 20
