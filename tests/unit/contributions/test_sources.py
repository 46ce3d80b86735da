"""JSON, JSON lines, CSV, dates and encodings: what comes out of a file."""

import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.contributions.model import MAX_TEXT_CHARACTERS, BrokenRecord, Record
from include.contributions.sources import detect
from include.contributions.sources.dates import parse_day
from include.contributions.sources.encodings import fingerprint
from include.ports import SourceFile

WHOLE = '{"id": "b", "text": "Le banc est cassé."}'


@pytest.fixture
def read(tmp_path):
    """Read a file by whatever adapter knows it."""

    def _read(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        seen = fingerprint(path)
        source = detect(path, seen.head)
        assert source is not None
        file = SourceFile(path, name, seen.sha256, seen.size_bytes, source.form, seen.encoding)
        return file, list(source.records(file))

    return _read


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("Mardi, décembre 30, 2025 - 13:53", date(2025, 12, 30)),
        ("Tuesday, December 30, 2025 - 13:53", date(2025, 12, 30)),
        ("dim, 21/12/2025 - 08:08", date(2025, 12, 21)),
        ("dim. 21/12/2025 à 08h08", date(2025, 12, 21)),
        ("mardi 30 décembre 2025 à 13h53", date(2025, 12, 30)),
        ("1er janvier 2026", date(2026, 1, 1)),
        ("le 3 févr. 2026", date(2026, 2, 3)),
        ("30/12/2025 13:53:07", date(2025, 12, 30)),
        ("Tue, 12/30/2025 - 13:53", date(2025, 12, 30)),
        ("Mon, 01/12/2026 - 09:00", date(2026, 1, 12)),
        ("lun, 12/01/2026 - 09:00", date(2026, 1, 12)),
        ("05/03/2026", date(2026, 3, 5)),
        ("2026-01-19", date(2026, 1, 19)),
        ("2026-01-19T14:15:00", date(2026, 1, 19)),
        ("2026-01-19T23:30:00Z", date(2026, 1, 20)),
        ("2026-07-19T22:30:00+00:00", date(2026, 7, 20)),
        ("2026-01-20T00:30:00+09:00", date(2026, 1, 19)),
        ("Tue, 30 Dec 2025 23:30:00 +0000", date(2025, 12, 31)),
        ("20251221", date(2025, 12, 21)),
        ("20251221T0808", date(2025, 12, 21)),
        ("20251221T080812", date(2025, 12, 21)),
        ("20260119T2330Z", date(2026, 1, 20)),
        ("20260119T233000+0000", date(2026, 1, 20)),
        ("20251321", None),
        ("20250230", None),
        ("20251221T2508", None),
        ("12345678", None),
        ("202512211", None),
        ("2025122", None),
        ("n° 20251221", None),
        ("0298701234", None),
        ("31/02/2026", None),
        ("2026-13-01", None),
        ("machin 30 2025", None),
        ("Soumis le 3 mars 2024 au conseil", None),
        ("demain", None),
        ("", None),
        ("1" * 500, None),
    ],
)
def test_parse_day(text, day):
    """French first, English where only that fits; a zone is turned to Paris; prose is no date."""
    assert parse_day(text) == day


@given(st.text(max_size=120))
def test_parse_day_never_raises(text):
    """Whatever is written, the answer is a day or None."""
    assert parse_day(text) is None or isinstance(parse_day(text), date)


@pytest.mark.parametrize(
    ("encoding", "detected"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8-sig"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
        ("cp1252", "cp1252"),
        ("mac_roman", "mac_roman"),
        ("cp850", "cp850"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_encodings(read, name, encoding, detected):
    """The same text comes out of every encoding, and the encoding is recorded."""
    text = "Le marché du samedi à Audierne : très animé, où garer le vélo près de l'église ?"
    content = {
        "a.jsonl": json.dumps({"id": "1", "text": text}, ensure_ascii=False) + "\n",
        "a.json": json.dumps([{"id": "1", "text": text}], ensure_ascii=False, indent=1),
        "a.csv": f'id;text\n1;"{text}"\n',
    }[name]

    file, (record,) = read(name, content.encode(encoding))

    assert file.encoding == detected
    assert (record.external_id, record.constat_factuel) == ("1", text)


def test_bad_bytes_in_utf8_stay_visible(read):
    """One damaged byte does not turn a file's accents into another alphabet."""
    content = '{"id": "1", "text": "été à la plage, école fermée"}\n'.encode() * 3
    content += b'{"id": "2", "text": "caf\xe9 du port"}\n'

    file, records = read("a.jsonl", content)

    assert file.encoding == "utf-8"
    assert records[0].constat_factuel == "été à la plage, école fermée"
    assert records[3].constat_factuel == "caf\ufffd du port"
    assert records[3].metadata["replaced"] == 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        pytest.param("{oops}", "not_json", id="no_json"),
        pytest.param('{"id": "1"}', "no_text", id="no_text"),
        pytest.param('{"id": "1", "text": "  \\n\\u200b "}', "no_text", id="blank_text"),
        pytest.param('{"id": "1", "text": null}', "no_text", id="null_text"),
        pytest.param('{"id": "1", "text": 12}', "wrong_type", id="number"),
        pytest.param('{"id": "1", "text": ["a"]}', "wrong_type", id="list"),
        pytest.param('{"id": "1", "constat_factuel": {"a": {}}}', "wrong_type", id="object"),
        pytest.param('{"id": "1", "text": "a", "category": 3}', "wrong_type", id="category"),
        pytest.param('{"id": [1], "text": "a"}', "bad_id", id="id_list"),
        pytest.param('{"id": "' + "9" * 201 + '", "text": "a"}', "bad_id", id="id_long"),
        pytest.param('["a"]', "wrong_type", id="a_list"),
        pytest.param('"a"', "wrong_type", id="a_string"),
        pytest.param('{"text": "a", "x": NaN}', "not_a_number", id="nan"),
        pytest.param('{"text": "a", "x": -Infinity}', "not_a_number", id="infinity"),
        pytest.param('{"text": "a", "text": "b"}', "duplicate_key", id="twice"),
        pytest.param('{"text": "a", "x": ' + "9" * 5000 + "}", "bad_number", id="huge_int"),
        pytest.param('{"text": ' + "[" * 100_000 + "]" * 100_000 + "}", "too_deep", id="deep"),
        pytest.param('{"text": "a"} {"text": "b"}', "not_json", id="two_on_a_line"),
        pytest.param('{"text": "' + "a" * (MAX_TEXT_CHARACTERS + 1) + '"}', "too_long", id="long"),
        pytest.param('{"text": "' + "a" * 4_100_000 + '"}', "too_long", id="line_too_long"),
        pytest.param("\x00", "not_json", id="nul"),
    ],
)
def test_a_broken_line_stands_alone(read, line, reason):
    """It says where and why in French, and the lines around it are read."""
    _, entries = read("a.jsonl", f"{WHOLE}\n\n{line}\n{WHOLE}\n")

    assert [type(entry) for entry in entries] == [Record, BrokenRecord, Record]
    assert entries[1].reason == reason
    assert entries[1].locator == "line 3"
    assert entries[1].detail.endswith(".")
    assert len(entries[1].raw) <= 4000
    assert "\x00" not in entries[1].raw


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        pytest.param('{"id": 1 "text": "a"}', "not_json", id="comma"),
        pytest.param('{"text": "a", "x": NaN}', "not_a_number", id="nan"),
        pytest.param('{"text": "a", "text": "}]"}', "duplicate_key", id="twice"),
        pytest.param('{"text": "a", "x": ' + "9" * 5000 + "}", "bad_number", id="huge_int"),
        pytest.param("[" * 100_000 + "]" * 100_000, "too_deep", id="deep"),
        pytest.param("oui", "not_json", id="word"),
        pytest.param("12", "wrong_type", id="number"),
        pytest.param('{"id": "1"}', "no_text", id="no_text"),
    ],
)
@pytest.mark.parametrize(
    "wrap", ['{{"n": 1, "contributions": [{}]}}', "[{}]"], ids=["object", "list"]
)
def test_a_broken_entry_of_a_json_list_stands_alone(read, wrap, entry, reason):
    """Its brackets say where it ends; the entries around it are read."""
    _, entries = read("a.json", wrap.format(f"{WHOLE},\n{entry},\n{WHOLE}"))

    assert [type(entry) for entry in entries] == [Record, BrokenRecord, Record]
    assert entries[1].reason == reason
    assert entries[1].locator.endswith("[1], line 2")


@pytest.mark.parametrize(
    "content",
    [
        f'{{"contributions": [{WHOLE}, {{"id": "c", "te',
        f'[{WHOLE}, {{"id": "c", "text": "a',
        f"[{WHOLE}",
        f"[{WHOLE},",
        f'{{"contributions": [{WHOLE}]',
    ],
)
def test_a_json_file_that_ends_too_early(read, content):
    """What is whole comes out, then one truncated entry."""
    _, entries = read("a.json", content)

    assert [type(entry) for entry in entries] == [Record, BrokenRecord]
    assert entries[1].reason == "truncated"


@pytest.mark.parametrize("content", ["[]", '{"contributions": []}', " \n"])
def test_json_without_entries(read, content):
    """An empty list is a whole file with nothing in it."""
    assert read("a.json", content)[1] == []


@pytest.mark.parametrize("content", ["[] x", "12", '{"a": 1}', f"[{WHOLE}] [", "{1: 2}", "x"])
def test_json_that_is_something_else(read, content):
    """It is one broken record that says so."""
    assert isinstance(read("a.json", content)[1][-1], BrokenRecord)


def test_fields_of_the_original_format(read):
    """Parts, category, id and the moment in the metadata are taken; an address is not."""
    entry = {
        "id": 17,
        "category": "culture",
        "constat_factuel": "La chapelle prend l'eau.",
        "idees_ameliorations": "Réparer le toit.",
        "source": "mockup",
        "metadata": {"submitted_at": "2026-01-19T23:30:00Z", "ip": "192.0.2.1"},
        "title": "La chapelle",
        "email": "x@example.org",
        "body": "**Constat factuel:**\nautre",
    }

    _, (record,) = read("Mes réponses.json", json.dumps({"count": 1, "contributions": [entry]}))

    assert record == Record(
        "mes-reponses",
        "17",
        "La chapelle prend l'eau.",
        "Réparer le toit.",
        "culture",
        date(2026, 1, 20),
        "contributions[0], line 1",
        {
            "source": "mockup",
            "title": "La chapelle",
            "submitted_at": "2026-01-19T23:30:00Z",
            "unread_note": "texte non lu : « body » (26 caractères)",
        },
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.csv", "id;text\n20251221;Un banc\n", id="csv"),
        pytest.param("a.jsonl", '{"id": 20251221, "text": "Un banc"}\n', id="jsonl"),
    ],
)
def test_an_id_made_like_a_day_stays_an_id(read, name, content):
    """Only the form's own field of a date is read as one."""
    _, (record,) = read(name, content)

    assert (record.external_id, record.submitted_on) == ("20251221", None)


def test_a_broken_entry_costs_the_same_wherever_it_stands(read, seconds):
    """What stands before it in the file is not gone through again."""
    entries = "x,\n" * 5_000 + WHOLE + "]"

    alone = seconds(read, "a.json", "[" + entries)
    behind = seconds(read, "a.json", '["' + "a\\n" * 1_000_000 + '",\n' + entries)

    assert behind < 4 * alone + 0.2


def test_a_row_costs_what_it_holds(read, seconds):
    """A heading with very many columns makes short rows no dearer."""
    rows = "a\n" * 5_000

    narrow = seconds(read, "a.csv", "text;date\n" + rows)
    wide = seconds(read, "a.csv", "text" + ";date" * 20_000 + "\n" + rows)

    assert wide < 4 * narrow + 0.2


PERSONAL = [
    "02 98 00 00 01",
    "02.98.00.00.01",
    "02/98/00/00/01",
    "(02) 98 00 00 01",
    "02  98  00  00  01",
    "+33/6/00/00/00/01",
    "jeanne\\u0040example.org",
    "0298000001",
    "+33 6 00 00 00 01",
    "0033600000001",
    "2001:db8::7",
    "2001:db8:1:2:3:4:5:6",
    "192.0.2.9",
    "jeanne.exemple@example.org",
]


@pytest.mark.parametrize("personal", PERSONAL)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.jsonl", '{{"ip": "{0}", "tel":"{0}", tel:{0}', id="not_json"),
        pytest.param("a.jsonl", '["{0}", "a"]', id="no_object"),
        pytest.param("a.jsonl", '{{"text": "Mon {0}, merci', id="text_cut_off"),
        pytest.param("a.jsonl", '{{"id": ["x"], "text": "Mon {0}, merci"}}', id="bad_id"),
        pytest.param("a.json", '[{{"a" "{0}"}}, {{"text": 1}}]', id="entry"),
        pytest.param("a.csv", "text;date\na;{0};c;d\n", id="columns"),
        pytest.param("a.csv", 'text;date\n"a {0};b\n', id="quote"),
    ],
)
def test_nothing_to_reach_a_person_by_is_shown_of_a_broken_entry(read, name, content, personal):
    """Telephone numbers, mail and network addresses are blotted out; what is shown is short."""
    _, entries = read(name, content.format(personal))

    assert isinstance(entries[0], BrokenRecord)
    assert personal not in str(entries)
    assert all(len(entry.raw) <= 200 for entry in entries)


@pytest.mark.parametrize(
    "kept", ["14:15:07", "12/01/2026 09:00", "12 345 678 euros", "Oui::Non", "n° 12"]
)
def test_times_and_amounts_are_no_addresses(read, kept):
    """What helps to find an entry again stays readable."""
    _, (entry,) = read("a.jsonl", f'{{"text": "{kept}"\n')

    assert kept in entry.raw


@pytest.mark.parametrize("padding", ["", "x" * 150, "192.0.2.9 " * 60])
def test_no_half_address_at_the_edge_of_what_is_shown(read, padding):
    """Blotting shortens a text, and what moves into view is blotted as well."""
    _, (entry,) = read("a.jsonl", f'{{"text": "{padding} ' + "2001:db8:1:2:3:4:5:6 " * 300)

    assert "db8" not in entry.raw


@pytest.mark.parametrize(
    "row",
    [
        pytest.param("Anne Exemple;0;culture;;", id="no_text"),
        pytest.param("Anne Exemple;0;culture;a;b;c", id="too_many_columns"),
        pytest.param('Anne Exemple;0;culture;"a;b', id="open_quote"),
        pytest.param("Anne Exemple;0", id="cut_off"),
        pytest.param("Anne Exemple;0;culture;" + "a" * 131_000 + ";b", id="too_long"),
    ],
)
def test_no_name_is_shown_of_a_broken_row(read, row):
    """Only cells under a contribution's own headings are shown, and none where cells shifted."""
    heading = "Utilisateur;Brouillon;category;Constat factuel;Vos idées d'améliorations\n"

    _, entries = read("a.csv", heading + row)

    assert isinstance(entries[0], BrokenRecord)
    assert "Exemple" not in str(entries)


def test_what_is_known_of_a_broken_entry_is_shown(read):
    """Its own fields, by the names of the ledger; fields that nobody needs are not."""
    _, (entry,) = read("a.jsonl", '{"id": 4, "nom": "Anne", "category": "culture", "text": [1]}\n')

    assert entry.raw == "id: 4\ncategory: culture\ntext: une liste"


def test_a_body_with_the_forms_headings_is_split(read):
    """Where only the body is given, its bold headings separate the two parts."""
    body = "**Constat factuel:**\nIl pleut.\n\n**Vos idées d'améliorations:**\nUn abri."

    _, (record,) = read("a.json", json.dumps([{"id": "1", "body": body}]))

    assert (record.constat_factuel, record.idees_ameliorations) == ("Il pleut.", "Un abri.")


@pytest.mark.parametrize(
    ("written", "note"),
    [("1970-01-01", "avant 1990"), ("bientôt", "illisible"), (12, "illisible")],
)
def test_a_date_that_says_nothing_is_left_out_with_a_note(read, written, note):
    """The text is kept; the day is not invented."""
    _, (record,) = read("a.jsonl", json.dumps({"text": "a", "submitted_at": written}) + "\n")

    assert record.submitted_on is None
    assert note in record.metadata["date_note"]


def test_what_cannot_be_stored_is_replaced_and_counted(read):
    """NUL, control characters and lone surrogates become U+FFFD; the text is NFC."""
    line = '{"id": "a\\u0000", "text": "un\\u0000 banc\\ud800\\u001b cafe\\u0301"}\n'

    _, (record,) = read("a.jsonl", line)

    assert record.constat_factuel == "un\ufffd banc\ufffd\ufffd café"
    assert record.external_id == "a\ufffd"
    assert record.metadata == {"replaced": 3}


CSV_HEADING = (
    '"Numéro de série";"Heure de soumission";"Adresse IP";category;"Constat factuel";'
    '"Vos idées d\'améliorations"\n'
)
CSV_ROW = (
    '1;"lun, 12/01/2026 - 09:00";192.0.2.9;economie;"La criée, le matin";"Ouvrir\nplus ""tôt"""\n'
)


@pytest.mark.parametrize(
    "titles",
    ["", "Consultation 2026\n", "sep=;\n", '"Réponses";;;\n;;;category;constat_factuel;idees\n'],
    ids=["none", "title", "sep", "group_rows"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t"], ids=["semicolon", "comma", "tab"])
def test_framaforms_export(read, titles, end, delimiter):
    """Heading found below titles, any delimiter, quoted line ends kept, address left out."""
    content = titles + CSV_HEADING + CSV_ROW
    content = content.replace("La criée, le matin", "La criée le matin")
    content = content.replace("lun, 12", "lun 12").replace(";", delimiter).replace("\n", end)

    _, (record,) = read("export.csv", content)

    assert record.external_id == "1"
    assert record.submitted_on == date(2026, 1, 12)
    assert record.declared_category == "economie"
    assert record.constat_factuel == "La criée le matin"
    assert record.idees_ameliorations == f'Ouvrir{end}plus "tôt"'
    assert "192.0.2.9" not in str(record)


def test_csv_rows_that_are_wrong_stand_alone(read):
    """A quote never closed, too many columns, no text: named by line, the others are read."""
    content = (
        'id;text;category\n1;"jamais fermé;x\n2;bon;culture\n3;a;b;c\n4;;culture\n;;\n'
        '5;un 3" de haut;culture\n6;fin;\n'
    )

    _, entries = read("a.csv", content)

    assert [
        entry.reason if isinstance(entry, BrokenRecord) else entry.external_id for entry in entries
    ] == ["open_quote", "2", "wrong_columns", "no_text", "5", "6"]


def test_csv_with_one_open_quote(read):
    """A quote that nobody closes costs its own row, not the rest of the file."""
    content = 'id;text;category\n1;bon;\n2;"jamais fermé;x\n' + "3;bon;culture\n" * 50

    _, entries = read("a.csv", content)

    assert [type(entry) for entry in entries] == [Record, BrokenRecord] + [Record] * 50
    assert entries[1].locator == "line 3"


@pytest.mark.parametrize("tail", ['2;"coupé ici', "2", '2;"coupé\nici'])
def test_csv_cut_off(read, tail):
    """A last row that is not whole is truncated."""
    _, entries = read("a.csv", f"id;text;category\n1;bon;culture\n{tail}")

    assert isinstance(entries[0], Record)
    assert entries[1].reason == "truncated"


def test_csv_last_row_without_line_end_is_whole(read):
    """With all its columns it needs no line end."""
    _, entries = read("a.csv", "id;text;category\n1;bon;culture")

    assert [entry.external_id for entry in entries] == ["1"]


@pytest.mark.parametrize(
    ("name", "head", "form"),
    [
        ("a.jsonl", "", "jsonl"),
        ("a.txt", f"{WHOLE}\n{WHOLE}\n", "jsonl"),
        ("a.json", f"{WHOLE}\n{WHOLE}\n", "jsonl"),
        ("a.json", "[]", "json"),
        ("a.txt", f"[{WHOLE}]", "json"),
        ("a.csv", "id,text\n1,a\n", "csv"),
        ("a.txt", "id\ttext\n1\ta\n", "csv"),
        ("a.txt", "Voici un message, une date et un texte\n", None),
        ("a.csv", "nom;prix\nbanc;3\n", None),
        ("a.pdf", "%PDF-1.7", None),
        ("README.md", "# Contributions\n\nThe form asks for a category.\n", None),
    ],
)
def test_detect(tmp_path, name, head, form):
    """Extension and beginning name the form; prose, tables of something else and images do not."""
    source = detect(tmp_path / name, head)

    assert (source.form if source else None) == form


@pytest.mark.parametrize(
    "line",
    [
        pytest.param('{"nom": "Anne Exemple", "rue": "12 rue du Port", "text": "coupé', id="cut"),
        pytest.param('{"id": 6, "nom": "Anne Exemple", "nom": "x", "text": "coupé"}', id="twice"),
        pytest.param(
            '{"nom": "Anne Exemple" "text": "coupé", "rue": "12 rue du Port"}', id="comma"
        ),
        pytest.param('["Anne Exemple", "12 rue du Port"]', id="list"),
        pytest.param('"Anne Exemple, 12 rue du Port"', id="string"),
    ],
)
@pytest.mark.parametrize("wrap", ["{}\n", "[{}]"], ids=["jsonl", "json"])
def test_only_a_contributions_own_fields_are_shown_of_what_is_no_json(read, line, wrap):
    """A name has no form by which it could be told, so what it stands in is not shown."""
    name = "a.json" if wrap == "[{}]" else "a.jsonl"

    _, entries = read(name, wrap.format(line))

    shown = "".join(entry.raw for entry in entries)
    assert isinstance(entries[0], BrokenRecord)
    assert "Exemple" not in shown
    assert "Port" not in shown
    assert ("text: coupé" in shown) == ("coupé" in line)


@pytest.mark.parametrize("key", ["data", "entries", "items", "results"])
@pytest.mark.parametrize(("inner", "broken"), [("", 0), ('{"url": "x"}', 1)])
def test_an_entry_with_a_list_of_its_own_is_an_entry(read, key, inner, broken):
    """A key that may hold a file's entries does not make a contribution into a wrapper."""
    content = f'{{"id": 7, "constat_factuel": "Le banc est cassé.",\n"{key}": [{inner}]}}'

    _, entries = read("a.json", content)

    records = [entry for entry in entries if isinstance(entry, Record)]
    assert [(r.external_id, r.constat_factuel) for r in records] == [("7", "Le banc est cassé.")]
    assert len(entries) == 1 + broken


@pytest.mark.parametrize(
    ("content", "reasons"),
    [
        ('{"n": 2, "data": []}', ["no_entries"]),
        ('{"text": "a", "text": "b", "data": []}', ["duplicate_key"]),
        ('{"data": [], "contributions": {"1": {"text": "x"}}}', ["no_entries", "unknown_list"]),
        ('{"data": [{"text": "y"}], "rows": [{"text": "x"}]}', ["unknown_list"]),
    ],
)
def test_what_a_document_holds_beside_its_list_is_not_passed_over(read, content, reasons):
    """No word goes without a trace: what is not read is a broken record."""
    _, entries = read("a.json", content)

    assert [e.reason for e in entries if isinstance(e, BrokenRecord)] == reasons


def test_no_two_entries_stand_at_one_place(read):
    """A list that a document has twice is counted on."""
    _, entries = read("a.json", f'{{"data": [{WHOLE}], "data": [{WHOLE}, 1], "text": "a"}}')

    locators = [entry.locator for entry in entries]
    assert len(locators) == 4
    assert len(set(locators)) == 4


@pytest.mark.parametrize(
    ("content", "constat", "idees"),
    [
        ("text;message\nUn banc.;Un mur.\n", "Un banc.", "Un mur."),
        ("message;text\nUn mur.;Un banc.\n", "Un banc.", "Un mur."),
        ("text;text\nUn banc.;Un mur.\n", "Un banc.", "Un mur."),
        ("constat;Votre constat;idees\nUn banc.;Un mur.;Oui.\n", "Un banc.\n\nUn mur.", "Oui."),
        ("text;message\nUn banc.;Un  banc.\n", "Un banc.", ""),
    ],
)
def test_a_second_column_of_texts_is_kept(read, content, constat, idees):
    """It is the second part, or goes on with its own; what only repeats adds nothing."""
    _, (record,) = read("a.csv", content)

    assert (record.constat_factuel, record.idees_ameliorations) == (constat, idees)


def test_a_text_beside_the_parts_is_noted(read):
    """Which part it belongs to nobody can tell."""
    _, (record,) = read("a.csv", "constat;commentaire\nUn banc.;Un mur.\n")

    assert record.constat_factuel == "Un banc."
    assert record.metadata["unread_note"] == "texte non lu : « text » (7 caractères)"


def test_a_wrapper_on_one_line_is_no_entry(read):
    """Whatever a service says beside its list, the list is what it sent."""
    file, entries = read("a.json", f'{{"message": "ok", "contributions": [{WHOLE}, {WHOLE}]}}\n')

    assert file.form == "json"
    assert [entry.constat_factuel for entry in entries] == ["Le banc est cassé."] * 2 + ["ok"]
