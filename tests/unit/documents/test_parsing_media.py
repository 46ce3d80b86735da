import pytest

from include.documents.model import Media, ParsedDocument
from include.documents.parsing import OcrSettings, parse_file
from tests.hostile import TEXT, docx, docx_paragraph, odt, pdf

NO_OCR = OcrSettings(enabled=False)


@pytest.fixture
def parse(tmp_path):
    def parse_bytes(content: bytes, media: Media, ocr: OcrSettings = NO_OCR) -> ParsedDocument:
        path = tmp_path / "file"
        path.write_bytes(content)
        answer = parse_file(path, media, ocr=ocr)
        assert isinstance(answer, ParsedDocument), answer
        return answer

    return parse_bytes


def test_only_the_visible_part_of_a_pdf_page_is_read(parse):
    """Imposed magazine pages hold their neighbours outside the crop box."""
    whole = parse(pdf([TEXT]), Media.PDF)
    cropped = parse(pdf([TEXT], crop="/CropBox[0 0 595 700]"), Media.PDF)

    assert "conseil municipal" in whole.pages[0].text
    assert cropped.pages[0].text == ""


def test_pages_of_a_pdf_keep_their_order_and_empty_ones_their_place(parse):
    """Page counts in = pages read + pages set aside."""
    document = parse(pdf([TEXT, "", TEXT]), Media.PDF)

    assert [page.method for page in document.pages] == ["text", "set_aside", "text"]
    assert document.pages[1].reason == "empty"
    assert document.language == "fr"


def test_html_keeps_body_links_and_tables_and_drops_the_site(parse):
    """What surrounds every page of a site is no content of this one."""
    html = (
        "<html><head><title>Ville</title><style>p{}</style></head><body>"
        "<header>Logo</header><nav><a href='/x'>Menu</a></nav><main><header><h1>Arrêtés en cours</h1>"
        f"</header><p>{TEXT}</p><p><a href='https://exemple.fr/a.pdf'>Arrêté du quai</a></p>"
        "<table><tr><th>Rue</th><th>Date</th></tr><tr><td>Quai</td><td>3 mars</td></tr></table>"
        "</main><script>alert(1)</script><footer>Mentions</footer></body></html>"
    )

    text = parse(html.encode(), Media.HTML).pages[0].text

    assert "Arrêté du quai (https://exemple.fr/a.pdf)" in text
    assert "Rue | Date\nQuai | 3 mars" in text
    assert "Arrêtés en cours" in text
    assert not any(word in text for word in ("Logo", "Menu", "alert", "Mentions", "p{}"))


def test_html_speaks_to_no_terminal(parse):
    """Neither the title nor the address that a page gives itself holds a control character."""
    html = (
        "<title>Ville\x1b]0;pwn\x07 d'en bas</title><link rel=canonical href='https://a.fr/\x1b[2J'>"
        f"<body><h1>Arrêté\x1b[31m du quai</h1><p>{TEXT}</p>"
    )

    document = parse(html.encode(), Media.HTML)

    assert document.metadata["title"] == "Ville]0;pwn d'en bas"
    assert document.metadata["canonical_url"] == "https://a.fr/[2J"
    assert "\x1b" not in str(document.title)


@pytest.mark.parametrize("name", ["Title", "Author", "CreationDate"])
@pytest.mark.parametrize("value", ["FEFF0041D800", "FEFF0000D800"])
def test_a_pdf_is_read_whatever_it_says_of_itself(parse, name, value):
    """Half of a character in one entry costs that entry, and neither the others nor a page."""
    before = pdf([TEXT])
    made = b"6 0 obj<</Producer(Mairie)/%s<%s>>>endobj\n" % (name.encode(), value.encode())
    update = b"xref\n6 1\n%010d 00000 n \ntrailer<</Size 7/Root 1 0 R/Info 6 0 R/Prev %s>>\n" % (
        len(before),
        before.split()[-2],
    )
    end = b"startxref\n%d\n%%%%EOF\n" % (len(before) + len(made))

    document = parse(before + made + update + end, Media.PDF)

    assert "conseil municipal" in document.pages[0].text
    assert document.metadata == {"producer": "Mairie"}


def test_html_says_its_own_encoding(parse):
    """Old pages name it, and nothing else tells ISO-8859-15 from Windows-1252."""
    html = "<meta charset='iso-8859-15'><body><p>Le coût est de 3 € pour l'été à la mairie</p>"

    assert "3 € pour l'été" in parse(html.encode("iso-8859-15"), Media.HTML).pages[0].text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_is_read_in_its_encoding(parse, encoding):
    """The same words, however they are written."""
    assert parse(TEXT.encode(encoding), Media.TEXT).pages[0].text == TEXT


def test_damaged_text_is_read_and_the_damage_counted(parse):
    """Nothing is silently lost."""
    content = TEXT.encode().replace("é".encode(), b"\xe9", 1) + b"\0\0"

    document = parse(content, Media.TEXT)

    assert document.pages[0].text.count("\ufffd") == 1
    assert any(warning.startswith("1 caractère") for warning in document.warnings)
    assert any(warning.startswith("2 caractère(s) nul(s)") for warning in document.warnings)


def test_form_feeds_make_pages(parse):
    """As old programs print them."""
    document = parse(f"{TEXT}\f\f{TEXT}".encode(), Media.TEXT)

    assert [page.method for page in document.pages] == ["text", "set_aside", "text"]


def test_docx_gives_paragraphs_tables_breaks_and_its_title(parse):
    """Deleted words are not read."""
    table = "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Rue</w:t></w:r></w:p></w:tc><w:tc><w:p/></w:tc></w:tr></w:tbl>"
    deleted = (
        "<w:p><w:del><w:r><w:delText>supprimé</w:delText><w:t>supprimé</w:t></w:r></w:del></w:p>"
    )
    page_break = '<w:p><w:r><w:br w:type="page"/></w:r></w:p>'
    content = docx(
        docx_paragraph("Règlement du port de plaisance", "Title")
        + docx_paragraph(TEXT)
        + table
        + deleted
        + page_break
        + docx_paragraph("Page deux")
    )

    document = parse(content, Media.DOCX)

    assert [page.text.split("\n")[0] for page in document.pages] == [
        "Règlement du port de plaisance",
        "Page deux",
    ]
    assert document.title == "Règlement du port de plaisance"
    assert document.act_kind == "reglement"
    assert "Rue" in document.pages[0].text
    assert "supprimé" not in document.pages[0].text


def test_odt_gives_headings_and_spaces(parse):
    """Repeated spaces are elements there."""
    document = parse(
        odt(f"<text:h>Le bourg</text:h><text:p>a<text:s/>b</text:p><text:p>{TEXT}</text:p>"),
        Media.ODT,
    )

    assert document.pages[0].text.startswith("Le bourg\na b\nLe conseil")
    assert document.title == "Le bourg"


def test_subtitles_become_paragraphs_with_their_time(parse):
    """Marks and repeated lines go; the time stays, so that the recording can be found again."""
    srt = (
        "1\n00:00:01,000 --> 00:00:04,000\n<i>Bonsoir à tous.</i>\n\n"
        "2\n00:00:05,000 --> 00:00:09,000\nBonsoir à tous.\n\n"
        "3\n01:02:40,000 --> 01:02:45,000\nLa séance est levée.\n"
    )

    document = parse(srt.encode(), Media.SRT)

    assert document.pages[0].text == "[00:00:01] Bonsoir à tous.\n\n[01:02:40] La séance est levée."
    assert document.metadata["duration_s"] == 3760


def test_a_timed_transcript_keeps_time_and_speaker(parse):
    """One paragraph per turn."""
    first = "00:00:00 Le maire\nBonsoir.\nMerci.\n\n"
    text = f"# Réunion publique\n\n{first}**[01:18]** Une habitante\nEt le quai ?\n"

    document = parse(text.encode(), Media.TRANSCRIPT)

    assert "[00:00:00] Le maire : Bonsoir. Merci." in document.pages[0].text
    assert "[00:01:18] Une habitante : Et le quai ?" in document.pages[0].text
    assert document.title == "Réunion publique"


def test_a_recording_waits_for_its_transcript(tmp_path):
    """It is not opened at all."""
    answer = parse_file(tmp_path / "missing.mp4", Media.VIDEO_FILE)

    assert answer.reason == "no_transcript"
    assert "transcription" in answer.detail
