"""Files as the world sends them: cut short, locked, swollen, misnamed, or made to do harm.

Each comes with what must become of it: the reason for which it is set aside, or None when its text
must be read. Everything is built here, byte by byte; nothing comes from elsewhere.
"""

import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

TEXT = (
    "Le conseil municipal de la commune s'est réuni dans la salle des mariages. Le maire a présenté "
    "le projet de réfection du quai et les travaux de la rue des écoles, qui sont prévus pour le "
    "printemps. Les habitants sont invités à donner leur avis par écrit à la mairie."
)
HTML = f"<!DOCTYPE html><html><head><title>Travaux</title></head><body><p>{TEXT}</p></body></html>"

_W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_ODT_MIME = "application/vnd.oasis.opendocument.text"
_OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0"
_OTEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0"


class Hostile(NamedTuple):
    """One file.

    Attributes:
        name: As it arrives; may try to leave its folder.
        content: Its bytes.
        reasons: For which it may be set aside, ``page_set_aside`` when it opens and its only page
            says nothing; empty when its text must be read.
        sentence: Words of its text that must be there when it is read.
    """

    name: str
    content: bytes
    reasons: frozenset[str]
    sentence: str = "projet de réfection du quai"


def hostile_files() -> Iterator[Hostile]:
    """Yield all of them, in a fixed order and with the same bytes each time."""
    for name, build, reasons in _FILES:
        yield Hostile(name, build(), frozenset(reasons.split()))


def pdf(
    texts: list[str],
    *,
    stream_filters: int = 0,
    extra: bytes = b"",
    crop: str = "",
    trailer: bytes = b"",
) -> bytes:
    """Write a PDF with one line of text per page; ``stream_filters`` deflates that many times."""
    objects: list[bytes] = [b"<</Type/Catalog/Pages 2 0 R>>", b""]
    objects.append(b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>")
    kids = []
    for text in texts:
        lines = [text[i : i + 80] for i in range(0, len(text), 80)]
        shown = b"".join(
            b"("
            + line.encode("cp1252", "replace").replace(b"(", b"\\(").replace(b")", b"\\)")
            + b") Tj T* "
            for line in lines
        )
        content = b"BT /F1 10 Tf 12 TL 60 780 Td " + shown + b"ET"
        filters = b""
        for _ in range(stream_filters):
            content = zlib.compress(content)
            filters += b"/FlateDecode "
        head = b"<</Length %d%s>>" % (
            len(content),
            b"/Filter[" + filters + b"]" if filters else b"",
        )
        objects.append(head + b"stream\n" + content + b"\nendstream")
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]%s/Resources<</Font<</F1 3 0 R>>>>"
            b"/Contents %d 0 R>>" % (crop.encode(), len(objects))
        )
        kids.append(len(objects))
    objects[1] = b"<</Type/Pages/Count %d/Kids[%s]>>" % (
        len(kids),
        b" ".join(b"%d 0 R" % kid for kid in kids),
    )
    return _assembled(objects, extra, trailer)


def _assembled(objects: list[bytes], extra: bytes = b"", trailer: bytes = b"") -> bytes:
    out = bytearray(b"%PDF-1.5\n" + extra)
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer<</Size %d/Root 1 0 R%s>>\nstartxref\n%d\n%%%%EOF\n" % (
        len(objects) + 1,
        trailer,
        start,
    )
    return bytes(out)


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Write a zip, the same bytes each time."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, compression)
    return out.getvalue()


def docx(body: str, **members: bytes) -> bytes:
    """Write a DOCX of this body."""
    document = f'<w:document xmlns:w="{_W}"><w:body>{body}</w:body></w:document>'
    parts = {"[Content_Types].xml": b"<Types/>", "word/document.xml": document.encode()}
    return zipped(parts | members)


def docx_paragraph(text: str, style: str = "") -> str:
    """Write one paragraph."""
    mark = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{mark}<w:r><w:t>{text}</w:t></w:r></w:p>"


def odt(body: str, manifest: bytes = b"<manifest/>") -> bytes:
    """Write an ODT of this body."""
    content = (
        f'<office:document-content xmlns:office="{_OFFICE}" xmlns:text="{_OTEXT}">'
        f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    )
    return zipped(
        {
            "mimetype": _ODT_MIME.encode(),
            "META-INF/manifest.xml": manifest,
            "content.xml": content.encode(),
        }
    )


def _locked_pdf() -> bytes:
    """A user password is asked for: the hash of the empty one does not fit."""
    entry = b"<</Filter/Standard/V 1/R 2/P -44/O<" + b"41" * 32 + b">/U<" + b"42" * 32 + b">>>"
    return pdf([TEXT], trailer=b"/ID[<00><00>]/Encrypt " + entry)


def _loop_pdf() -> bytes:
    """A page tree that is its own child."""
    return _assembled([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Count 1/Kids[2 0 R]>>"])


def _swollen_pdf() -> bytes:
    """Five hundred megabytes of blanks behind two compressions."""
    packer = zlib.compressobj(9)
    block = b" " * (1 << 20)
    inner = b"".join(packer.compress(block) for _ in range(500)) + packer.flush()
    content = zlib.compress(inner, 9)
    stream = b"<</Length %d/Filter[/FlateDecode/FlateDecode]>>stream\n" % len(content)
    return _assembled(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1/Kids[4 0 R]>>",
            stream + content + b"\nendstream",
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Contents 3 0 R>>",
        ]
    )


def _huge_sheet_pdf() -> bytes:
    """A page of two hundred kilometres: rendering it must not take its size in memory."""
    return pdf([""]).replace(b"[0 0 595 842]", b"[0 0 9999999 9999999]")


def _bomb_docx() -> bytes:
    """Two hundred megabytes in as many kilobytes."""
    content = b"<w:document>" + b" " * (64 << 20)
    return zipped({"word/document.xml": content * 3})


def _lying_docx() -> bytes:
    """A member that says it holds ten bytes and holds sixty-four megabytes."""
    honest = zipped({"word/document.xml": b" " * (64 << 20)})
    return honest.replace(struct.pack("<I", 64 << 20), struct.pack("<I", 10))


def _laughing_docx() -> bytes:
    entities = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(9))
    text = f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><w:document xmlns:w="{_W}">&a9;</w:document>'
    return zipped({"word/document.xml": text.encode()})


def _reading_docx() -> bytes:
    text = f'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><w:p xmlns:w="{_W}">&e;</w:p>'
    return zipped({"word/document.xml": text.encode()})


def _hidden_declaration_docx() -> bytes:
    head = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY e "x">]>'
    text = f'{head}<w:p xmlns:w="{_W}">&e;</w:p>'
    return zipped({"word/document.xml": text.encode("utf-16")})


def _deep_docx() -> bytes:
    return docx("<w:p>" * 50_000 + "</w:p>" * 50_000)


def _crowded_docx() -> bytes:
    members = {f"word/media/{i}": b"" for i in range(21_000)}
    return zipped({"word/document.xml": b"<x/>", **members}, zipfile.ZIP_STORED)


def crowded_zip() -> bytes:
    """Two hundred thousand members that are nothing but their names, in a list of eleven megabytes."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\1\2", *[0] * 9, 10, *[0] * 6) + b"nom-de-dix"
    count = 200_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(entry) * count, 4, 0)
    return b"PK\3\4" + entry * count + end


def _misnamed_zip() -> bytes:
    """A member whose name says that it is UTF-8 and is not."""
    whole = zipped({"é.txt": b"", "mimetype": _ODT_MIME.encode()})
    return whole.replace("é".encode(), b"\xff\xff")


def _torn_odt() -> bytes:
    """A kind that cannot be inflated."""
    packed = zipped({"mimetype": _ODT_MIME.encode() * 4})
    start = packed.index(b"mimetype") + len(b"mimetype")
    return packed[:start] + b"\xff" * 8 + packed[start + 8 :]


def _png(width: int, height: int, rows: bytes) -> bytes:
    def part(kind: bytes, content: bytes) -> bytes:
        checked = kind + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", header) + part(b"IDAT", rows) + part(b"IEND", b"")


def _wide_png() -> bytes:
    """Three thousand million dots that nobody wrote."""
    return _png(60_000, 50_000, zlib.compress(b""))


def _cut_png() -> bytes:
    whole = _png(400, 400, zlib.compress(bytes(401 * 400)))
    return whole[: len(whole) // 2]


def _noise(size: int = 40_000) -> bytes:
    """Bytes without sense, the same each time."""
    state, out = 1, bytearray()
    while len(out) < size:
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        out += state.to_bytes(8, "big")
    return bytes(out)


def _old_encrypted_office() -> bytes:
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
    return head + "EncryptedPackage".encode("utf-16-le") + bytes(512)


def _acting_pdf() -> bytes:
    """Runs a script, starts a program and submits itself as soon as it is opened."""
    acts = (
        b"/Catalog/OpenAction<</S/JavaScript/JS(while\\(true\\){app.alert\\(1\\)})>>"
        b"/AA<</WC<</S/Launch/F(/bin/sh)>>/O<</S/URI/URI(http://127.0.0.1:9/)>>>>"
    )
    return pdf([TEXT]).replace(b"/Catalog", acts)


def _cyclic_pdf() -> bytes:
    """Two branches of the page tree that hold each other, and say that they hold a million pages."""
    return _assembled(
        [
            b"<</Type/Catalog/Pages 2 0 R>>",
            b"<</Type/Pages/Count 1000000/Kids[3 0 R 3 0 R]>>",
            b"<</Type/Pages/Parent 2 0 R/Count 1000000/Kids[2 0 R 2 0 R 3 0 R]>>",
        ]
    )


def _drawing_forms_pdf() -> bytes:
    """Forms that draw forms, ten of them each, twelve deep: a million million drawings."""
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 1/Kids[3 0 R]>>",
        (
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</XObject<</X 5 0 R>>>>"
            b"/Contents 4 0 R>>"
        ),
        b"<</Length 5>>stream\n/X Do\nendstream",
    ]
    for depth in range(12):
        drawn = b"/X Do " * 10
        inner = b"/Resources<</XObject<</X %d 0 R>>>>" % (6 + depth) if depth < 11 else b""
        objects.append(
            b"<</Type/XObject/Subtype/Form/BBox[0 0 9 9]%s/Length %d>>stream\n%s\nendstream"
            % (inner, len(drawn), drawn)
        )
    return _assembled(objects)


def _laughing_odt() -> bytes:
    entities = "".join(f'<!ENTITY a{i + 1} "{f"&a{i};" * 10}">' for i in range(9))
    content = (
        f'<!DOCTYPE x [<!ENTITY a0 "ha">{entities}]><text:p xmlns:text="{_OTEXT}">&a9;</text:p>'
    )
    return zipped({"mimetype": _ODT_MIME.encode(), "content.xml": content.encode()})


def _calling_docx() -> bytes:
    """A template and a picture that stand somewhere else."""
    kind = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/attachedTemplate"
    links = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{kind}" Target="http://127.0.0.1:9/x" TargetMode="External"/>'
        "</Relationships>"
    ).encode()
    return docx(docx_paragraph(TEXT), **{"word/_rels/document.xml.rels": links})


def _twice_named_docx() -> bytes:
    """Two members of one name: what one reader checks another one must not read."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for text in ("rien", TEXT):
            body = (
                f'<w:document xmlns:w="{_W}"><w:body>{docx_paragraph(text)}</w:body></w:document>'
            )
            archive.writestr(zipfile.ZipInfo("word/document.xml"), body)
    return out.getvalue()


def _scripted_svg() -> bytes:
    return (
        b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">'
        b'<script>fetch("http://127.0.0.1:9/")</script><text>' + TEXT.encode() + b"</text></svg>"
    )


def _looping_tiff() -> bytes:
    """One white dot whose next picture is itself."""
    tags = [
        (256, 1),
        (257, 1),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8),
        (277, 1),
        (278, 1),
        (279, 1),
    ]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    start = 10
    return (
        b"II*\0"
        + struct.pack("<I", start)
        + b"\xff\0"
        + struct.pack("<H", len(tags))
        + entries
        + struct.pack("<I", start)
    )


def _million_cues() -> bytes:
    """A film of a year with a word each half minute."""
    return b"".join(
        b"%d\n%02d:%02d:%02d,000 --> %02d:%02d:%02d,500\nmot\n\n"
        % (n, n // 3600 % 100, n // 60 % 60, n % 60, n // 3600 % 100, n // 60 % 60, n % 60)
        for n in range(1_000_000)
    )


def _mad_times() -> bytes:
    """Cues that end before they begin, and hours without end."""
    return (
        "WEBVTT\n\n99999999999:99:99.999 --> 00:00:00.000\n" + TEXT + "\n\n--> -->\n\n" * 50
    ).encode()


_FILES: tuple[tuple[str, Callable[[], bytes], str], ...] = (
    ("vide.pdf", bytes, "empty_file"),
    ("blancs.txt", lambda: b" \n\t \n" * 50, "empty_file"),
    ("que-des-nuls.txt", lambda: bytes(5000), "empty_file unknown_content_type"),
    ("en-tete-seul.pdf", lambda: b"%PDF-1.7\n", "truncated damaged"),
    ("coupe.pdf", lambda: pdf([TEXT] * 30)[:300], "truncated"),
    ("sans-catalogue.pdf", lambda: pdf([TEXT]).split(b"xref")[0], "truncated"),
    ("mot-de-passe.pdf", _locked_pdf, "encrypted"),
    ("boucle.pdf", _loop_pdf, "damaged truncated page_set_aside"),
    ("dix-mille-pages.pdf", lambda: pdf(["x"] * 10_000), "too_many_pages"),
    ("compresse-cinq-fois.pdf", lambda: pdf([TEXT], stream_filters=5), ""),
    ("gonfle.pdf", _swollen_pdf, "out_of_memory parser_died timeout page_set_aside"),
    ("feuille-immense.pdf", _huge_sheet_pdf, "page_set_aside"),
    ("page-web.pdf", HTML.encode, ""),
    ("table-fausse.pdf", lambda: pdf([TEXT]).replace(b"startxref\n", b"startxref\n9"), ""),
    ("prefixe.pdf", lambda: b"\0\r\nXYZ" * 9 + pdf([TEXT]), ""),
    ("nul-dans-le-texte.pdf", lambda: pdf([TEXT[:60] + "\0\x02" + TEXT[60:]]), ""),
    ("bombe.docx", _bomb_docx, "zip_bomb"),
    ("menteur.docx", _lying_docx, "zip_bomb damaged truncated"),
    ("entites.docx", _laughing_docx, "unsafe_xml"),
    ("lecture.docx", _reading_docx, "unsafe_xml"),
    ("declaration-cachee.docx", _hidden_declaration_docx, "unsafe_xml"),
    ("profond.docx", _deep_docx, "zip_bomb"),
    ("vingt-mille-fichiers.docx", _crowded_docx, "zip_bomb"),
    ("coupe.docx", lambda: docx(docx_paragraph(TEXT))[:-40], "truncated"),
    ("abime.docx", lambda: zipped({"word/document.xml": b"<w:document>"}), "damaged"),
    ("vide.docx", lambda: docx(""), "no_text"),
    ("protege.docx", _old_encrypted_office, "encrypted"),
    (
        "chiffre.odt",
        lambda: odt("", b"<manifest><encryption-data/></manifest>"),
        "encrypted",
    ),
    (
        "repete.odt",
        lambda: odt(f'<text:p>{TEXT}<text:s text:c="999999999999"/></text:p>'),
        "",
    ),
    (
        "../../etc/evasion.docx",
        lambda: docx(docx_paragraph(TEXT), **{"../../../evasion.txt": b"dehors"}),
        "",
    ),
    ("classeur.docx", lambda: zipped({"xl/workbook.xml": b"<x/>"}), "unknown_content_type"),
    ("archive.zip", lambda: zipped({"a.zip": zipped({"b": b"c"})}), "unknown_content_type"),
    ("programme.pdf", lambda: b"\x7fELF\x02\x01\x01" + _noise(), "unknown_content_type"),
    ("hasard.txt", _noise, "unknown_content_type"),
    (
        "ancien.doc",
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2000),
        "unknown_content_type",
    ),
    ("nuls.txt", lambda: TEXT.replace(". ", ".\0 ").encode(), ""),
    ("mal-encode.txt", lambda: TEXT.encode().replace("é".encode(), b"\xe9", 1), ""),
    ("profond.html", lambda: (b"<div>" * 20_000) + TEXT.encode(), ""),
    ("immense.png", _wide_png, "too_large"),
    ("coupe.png", _cut_png, "truncated damaged"),
    ("agit.pdf", _acting_pdf, ""),
    ("arbre-cyclique.pdf", _cyclic_pdf, "damaged truncated too_many_pages page_set_aside"),
    ("formes-en-abyme.pdf", _drawing_forms_pdf, "timeout out_of_memory parser_died page_set_aside"),
    ("sans-page.pdf", lambda: pdf([]), "damaged truncated no_text"),
    ("rires.odt", _laughing_odt, "unsafe_xml"),
    ("appelle.docx", _calling_docx, ""),
    ("deux-fois-nomme.docx", _twice_named_docx, ""),
    ("dessin.svg", _scripted_svg, "unknown_content_type"),
    ("dessin.html", lambda: _scripted_svg() + b"<!-- -->", "unknown_content_type"),
    ("boucle.tif", _looping_tiff, "page_set_aside"),
    ("million.srt", _million_cues, "too_large"),
    ("temps-fous.vtt", _mad_times, "no_text"),
    (
        "million.html",
        lambda: b"<!DOCTYPE html>" + b"<div>" * 1_000_000 + TEXT.encode(),
        "timeout out_of_memory",
    ),
    (
        "attributs.html",
        f"<!DOCTYPE html><p {'a=b ' * 500_000}>{TEXT}</p>".encode,
        "",
    ),
    ("crochets.md", lambda: b"[" * 500_000 + b"\n\n" + TEXT.encode(), ""),
    ("une-ligne.txt", lambda: b"mot" * 9_000_000, "too_large"),
    ("avis\nà la ligne.txt", TEXT.encode, ""),
    (f"{'tres-' * 48}long.txt", (TEXT + " Un nom long.").encode, ""),
    ("\u202etxt.exe.pdf", lambda: pdf([TEXT + " A rebours."]), ""),
    ("noms-sans-fin.zip", crowded_zip, "zip_bomb"),
    ("nom-illisible.odt", _misnamed_zip, "damaged"),
    ("genre-dechire.odt", _torn_odt, "damaged"),
    ("pas-un-mot.txt\x7f\x1b[2J.txt", (TEXT + " Un écran vidé.").encode, ""),
)
