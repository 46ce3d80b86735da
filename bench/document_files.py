"""Write any number of municipal documents, the same ones for the same seed, without a PDF library.

Three quarters are PDFs of 5 to 60 pages with a text layer; the others are HTML, Markdown and docx.
Their sentences come from the sample documents, shuffled and numbered, so that every page reads as
French, no two pages are alike, and each document holds a word of its own to be searched by.
"""

import html
import random
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

SAMPLES = Path(__file__).parents[1] / "include" / "samples" / "documents"

Form = Literal["pdf", "html", "md", "docx"]

FORMS: tuple[Form, ...] = ("pdf",) * 31 + ("html",) * 3 + ("md",) * 3 + ("docx",) * 3
"""Of forty documents; with the pages below 2,000 documents have 50,000 pages."""

PAGES = (5, 60)
LINES, LINE_CHARACTERS = 42, 84
"""Of a page; some 2,700 characters, as the town's orders and minutes have them."""

SCAN_PAGES = 4

OTHER_SENTENCES = (20, 200)
"""Of a document without pages."""


@dataclass(frozen=True, slots=True)
class Made:
    """A document as it was written; ``mark`` stands in it once and nowhere else, on ``marked_page``."""

    path: Path
    pages: int
    mark: str
    marked_page: int


def write(folder: Path, count: int, seed: int = 1) -> list[Made]:
    """Write so many documents into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_one(folder, number, random.Random(f"{seed} {number}")) for number in range(count)]


def write_scans(folder: Path, pages: int, seed: int = 1) -> list[Made]:
    """Write documents of four pages that are pictures of text, 200 dots an inch, as a scanner does."""
    import pypdfium2  # noqa: PLC0415 - only scans need it

    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for number in range(-(-pages // SCAN_PAGES)):
        count = min(SCAN_PAGES, pages - number * SCAN_PAGES)
        chance = random.Random(f"{seed} scan {number}")
        mark = f"zq{number:05}x"
        sentences = _sentences(chance, mark)
        printed = pypdfium2.PdfDocument(_pdf([_page(sentences) for _ in range(count)]))
        first, *others = [page.render(scale=200 / 72, grayscale=True).to_pil() for page in printed]
        path = folder / f"scan-{number:03}.pdf"
        first.save(path, "PDF", resolution=200, save_all=True, append_images=others)
        made.append(Made(path, count, mark, 1))
    return made


def _one(folder: Path, number: int, chance: random.Random) -> Made:
    # By number and not by lot, so that small sets hold every form as well.
    form = FORMS[number * 27 % len(FORMS)]
    path = folder / f"{number:05}.{form}"
    mark = f"zq{number:05}x"
    sentences = _sentences(chance, mark)
    if form == "pdf":
        pages = [_page(sentences) for _ in range(chance.randint(*PAGES))]
        marked = chance.randrange(len(pages))
        pages[marked][3] = f"Le dossier porte la cote {mark}."
        path.write_bytes(_pdf(pages))
        return Made(path, len(pages), mark, marked + 1)
    texts = [next(sentences) for _ in range(chance.randint(*OTHER_SENTENCES))]
    texts.insert(len(texts) // 2, f"Le dossier porte la cote {mark}.")
    _WRITERS[form](path, f"Document {number}", texts)
    return Made(path, 1, mark, 1)


@lru_cache(maxsize=1)
def _stock() -> tuple[str, ...]:
    """Sentences of the samples, without what only their own form gives a meaning."""
    texts = [path.read_text("utf-8") for path in sorted(SAMPLES.iterdir())]
    cut = re.split(r"(?<=[.;:])\s+|\n\n|\f", "\n\n".join(texts))
    found = {re.sub(r"[\s#*|_>-]+", " ", each).strip() for each in cut}
    return tuple(sorted(each for each in found if 40 <= len(each) <= 300))


def _sentences(chance: random.Random, mark: str) -> Iterator[str]:
    """Yield sentences for ever, none twice: each has a number of its own."""
    stock = _stock()
    for position in range(1_000_000):
        words = chance.choice(stock).split()
        # In the middle, so that few runs of words stand in two documents.
        words.insert(len(words) // 2, f"(pièce {mark[2:-1]}-{position})")
        yield " ".join(words)


def _page(sentences: Iterator[str]) -> list[str]:
    lines: list[str] = []
    line = ""
    while len(lines) < LINES:
        for word in next(sentences).split():
            if len(line) + len(word) >= LINE_CHARACTERS:
                lines.append(line)
                line = ""
            line = f"{line} {word}".strip()
    return lines[:LINES]


def _pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """Write pages of lines in Helvetica: header, objects, where each begins, trailer."""
    kids = " ".join(f"{4 + 2 * n} 0 R" for n in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
    ]
    for number, lines in enumerate(pages):
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R"
            b" /Resources << /Font << /F1 3 0 R >> >> >>" % (5 + 2 * number)
        )
        shown = b"".join(b"(%s) '\n" % _escaped(line) for line in lines)
        stream = b"BT /F1 11 Tf 15 TL 50 790 Td\n%sET" % shown
        objects.append(b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream))
    out = bytearray(b"%PDF-1.4\n")
    begins = []
    for number, content in enumerate(objects, start=1):
        begins.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % begin for begin in begins)
    out += b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        out.index(b"xref\n0 "),
    )
    return bytes(out)


def _escaped(line: str) -> bytes:
    return re.sub(rb"([()\\])", rb"\\\1", line.encode("cp1252", "replace"))


def _html(path: Path, title: str, texts: Sequence[str]) -> None:
    body = "\n".join(f"<p>{html.escape(each)}</p>" for each in texts)
    path.write_text(
        f"<!doctype html><html lang=fr><head><meta charset=utf-8><title>{title}</title></head>"
        f"<body><h1>{title}</h1>\n{body}\n</body></html>\n",
        "utf-8",
    )


def _markdown(path: Path, title: str, texts: Sequence[str]) -> None:
    path.write_text(f"# {title}\n\n" + "\n\n".join(texts) + "\n", "utf-8")


def _docx(path: Path, title: str, texts: Sequence[str]) -> None:
    word = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    main = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    body = "".join(
        f"<w:p><w:r><w:t>{html.escape(each)}</w:t></w:r></w:p>" for each in (title, *texts)
    )
    parts = {
        "[Content_Types].xml": f'<Types xmlns="{types}"><Default Extension="rels" ContentType='
        '"application/vnd.openxmlformats-package.relationships+xml"/><Override PartName='
        f'"/word/document.xml" ContentType="{main}"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{relations}"><Relationship Id="r1" Type="{office}"'
        ' Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{word}"><w:body>{body}</w:body></w:document>',
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            # A fixed day: the same seed gives the same bytes.
            entry = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
            archive.writestr(entry, f'<?xml version="1.0" encoding="UTF-8"?>\n{content}')


_WRITERS = {"html": _html, "md": _markdown, "docx": _docx}
