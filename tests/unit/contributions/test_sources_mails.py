"""The two mails of the form, as sent and as people change them by hand."""

from datetime import date
from textwrap import dedent

import pytest

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources import mails
from include.contributions.sources.encodings import fingerprint
from include.contributions.sources.mails import MailSource
from include.ports import SourceFile

FORM_A = dedent("""\
    Submitted on Mardi, décembre 30, 2025 - 13:53
    Soumis par un utilisateur anonyme : 0.0.0.0
    Submitted values are:

    category: economie
    Constat factuel: La criée ferme trop tôt.
    Les pêcheurs attendent sur le quai.

    Vos idées d'améliorations: Ouvrir jusqu'à 18 h.
    """)
FORM_B = dedent("""\
    Informations sur la soumission

    Formulaire : [Audierne 2026](https://framaforms.example/audierne)
    Soumis par Anonyme (non vérifié)
    dim, 21/12/2025 - 08:08
    192.0.2.7

    category

    logement

    # Constat factuel

    La rue du port est défoncée.

    # Vos idées d'améliorations

    Refaire l'enrobé avant l'été.
    """)


@pytest.fixture
def read(tmp_path):
    """Read a mail that is given as text, or as bytes."""

    def _read(content, name="courriel.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        seen = fingerprint(path)
        assert MailSource().recognises(path, seen.head)
        file = SourceFile(
            path, name, seen.sha256, seen.size_bytes, "framaforms_mail", seen.encoding
        )
        return list(MailSource().records(file))

    return _read


def test_form_a_as_sent(read):
    """Every field is where the form put it; the sender's address is nowhere."""
    (record,) = read(FORM_A)

    assert record == Record(
        "courriel",
        None,
        "La criée ferme trop tôt.\nLes pêcheurs attendent sur le quai.",
        "Ouvrir jusqu'à 18 h.",
        "economie",
        date(2025, 12, 30),
        "line 1",
        {"submitted_at": "Mardi, décembre 30, 2025 - 13:53"},
    )


def test_form_b_as_sent(read):
    """Every field is where the form put it; the sender's address is nowhere."""
    (record,) = read(FORM_B)

    assert record == Record(
        "courriel",
        None,
        "La rue du port est défoncée.",
        "Refaire l'enrobé avant l'été.",
        "logement",
        date(2025, 12, 21),
        "line 1",
        {"submitted_at": "dim, 21/12/2025 - 08:08"},
    )


@pytest.mark.parametrize(
    ("written", "category", "struck"),
    [
        pytest.param("~logement~ economie", "economie", "logement", id="one_tilde"),
        pytest.param("~~logement~~ economie", "economie", "logement", id="two_tildes"),
        pytest.param("economie ~logement~", "economie", "logement", id="struck_after"),
        pytest.param("<del>logement</del> economie", "economie", "logement", id="del"),
        pytest.param("~logement~", None, "logement", id="nothing_left"),
        pytest.param("**Économie**", "Économie", None, id="bold"),
        pytest.param("logement, jeunesse", "logement, jeunesse", None, id="two"),
        pytest.param("", None, None, id="empty"),
        pytest.param("voirie", "voirie", None, id="none_of_the_seven"),
    ],
)
@pytest.mark.parametrize("form", [FORM_A, FORM_B], ids=["a", "b"])
def test_category_edited_by_hand(read, form, written, category, struck):
    """Struck text is the old value; what remains is the category, as written."""
    edited = form.replace("category: economie", f"category: {written}")
    edited = edited.replace("\nlogement\n", f"\n{written}\n")

    (record,) = read(edited)

    assert record.declared_category == category
    assert record.metadata.get("category_struck") == struck
    assert record.constat_factuel.startswith(("La criée", "La rue"))


@pytest.mark.parametrize("form", [FORM_A, FORM_B], ids=["a", "b"])
@pytest.mark.parametrize(
    "trap",
    [
        pytest.param("category: culture", id="the_label_itself"),
        pytest.param("Ma category: jeunesse, je crois.", id="mid_sentence"),
        pytest.param("category\n\nculture", id="label_alone"),
        pytest.param("Constat factuel: il pleut.", id="constat_again"),
        pytest.param("Soumis le 3 mars 2024", id="looks_like_an_opening"),
        pytest.param("Submitted on lundi, mars 3, 2025 - 10:00", id="is_an_opening_line"),
        pytest.param("Vos idées d'améliorations sont connues", id="label_begins_a_sentence"),
        pytest.param("Mon Constat factuel: il pleut. Vos idées d'améliorations: rien", id="inside"),
    ],
)
@pytest.mark.parametrize("place", ["constat", "idees"])
def test_words_of_the_body_never_become_fields(read, form, trap, place):
    """A line of the citizen's text that looks like the form stays the citizen's text."""
    anchor = "trop tôt." if form == FORM_A else "défoncée."
    if place == "idees":
        anchor = "18 h." if form == FORM_A else "l'été."

    (record,) = read(form.replace(anchor, f"{anchor}\n{trap}\nMerci."))

    assert record.declared_category == ("economie" if form == FORM_A else "logement")
    text = record.constat_factuel if place == "constat" else record.idees_ameliorations
    assert trap.splitlines()[-1] in text
    assert "Merci." in text
    assert trap.splitlines()[-1] not in (
        record.idees_ameliorations if place == "constat" else record.constat_factuel
    )


@pytest.mark.parametrize("line", ["category: economie\n", "category\n\nlogement\n"])
def test_no_category_in_the_form_is_none_even_when_the_body_names_one(read, line):
    """What the form did not ask, a word of the body does not answer."""
    form = FORM_A if "economie" in line else FORM_B
    anchor = "trop tôt." if form == FORM_A else "défoncée."
    edited = form.replace(line, "").replace(anchor, f"{anchor}\ncategory: culture\n")

    (record,) = read(edited)

    assert record.declared_category is None
    assert "category: culture" in record.constat_factuel


def test_a_citizens_label_does_not_end_a_text_under_headings(read):
    """Form B sets its labels as headings, so a plain line with the same words is the citizen's."""
    line = "Vos idées d'améliorations: je les attends encore."

    (record,) = read(FORM_B.replace("défoncée.", f"défoncée.\n{line}"))

    assert record.constat_factuel.endswith(line)
    assert record.idees_ameliorations == "Refaire l'enrobé avant l'été."


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="crlf"),
        pytest.param(lambda text: "".join(f"> {t}\n" for t in text.splitlines()), id="quoted"),
        pytest.param(
            lambda text: "".join(f">> {t}\n" for t in text.splitlines()), id="quoted_twice"
        ),
        pytest.param(
            lambda text: text.replace("'", "&#039;").replace("é", "&eacute;"), id="entities"
        ),
        pytest.param(lambda text: text.replace("'", "’"), id="typographic"),
        pytest.param(lambda text: "Bonjour,\nà traiter.\n\n" + text + "\n-- \n", id="greeting"),
        pytest.param(lambda text: text.rstrip("\n"), id="no_last_line_end"),
        pytest.param(lambda text: text.encode("cp1252"), id="cp1252"),
        pytest.param(lambda text: text.encode("utf-16"), id="utf16"),
        pytest.param(
            lambda text: (
                text + "\nThe results of this submission may be viewed at:\nhttps://f.example/1\n"
            ),
            id="footer",
        ),
        pytest.param(
            lambda text: text.replace("category", "**Catégorie**").replace(
                "Constat factuel", "**Constat factuel**"
            ),
            id="bold_labels",
        ),
    ],
)
@pytest.mark.parametrize("form", [FORM_A, FORM_B], ids=["a", "b"])
def test_ways_of_a_mail_program_change_nothing(read, form, change):
    """Line ends, quoting, entities, encodings, greetings and footers leave the same entry."""
    (expected,) = read(form)

    (record,) = read(change(form))

    straight = {ord("’"): "'"}
    assert record.constat_factuel.translate(straight) == expected.constat_factuel
    assert record.idees_ameliorations.translate(straight) == expected.idees_ameliorations
    assert record.declared_category == expected.declared_category
    assert record.submitted_on == expected.submitted_on


def test_many_in_one_file(read):
    """Forms may be mixed; the next mail's header and rules between them belong to nobody."""
    between = "\n-----\nDe : mairie@example.org\nObjet : nouvelle réponse\n\n"
    undated = FORM_A.replace("Mardi, décembre 30, 2025 - 13:53", "hier")

    records = read(between.join([FORM_A, FORM_B, undated, FORM_B]))

    assert [record.declared_category for record in records] == [
        "economie",
        "logement",
        "economie",
        "logement",
    ]
    assert [record.idees_ameliorations for record in records] == [
        "Ouvrir jusqu'à 18 h.",
        "Refaire l'enrobé avant l'été.",
    ] * 2
    assert [record.locator for record in records] == ["line 1", "line 15", "line 38", "line 52"]
    assert records[2].submitted_on is None
    assert "hier" in records[2].metadata["date_note"]
    assert "example.org" not in str(records)


@pytest.mark.parametrize("form", [FORM_A, FORM_B], ids=["a", "b"])
def test_what_comes_from_a_further_header_says_so(read, form):
    """Nobody can tell a forged header in a text file from a true one, but everybody can see it."""
    records = read(f"{FORM_A}\n{form}\n{form}")

    assert [record.metadata.get("mail_number") for record in records] == [None, 2, 3]
    assert not any("header_note" in record.metadata for record in records)


WHOLE_HEADERS = {
    "a": FORM_A[: FORM_A.index("La criée")] + "Tous des voleurs.\n",
    "b": FORM_B[: FORM_B.index("La rue")] + "Tous des voleurs.\n",
}
NO_HEADERS = {
    "no_values": "\n" + WHOLE_HEADERS["a"].replace("Submitted values are:\n", ""),
    "no_sender": "\n" + WHOLE_HEADERS["a"].replace("Soumis par un utilisateur anonyme", "Moi"),
    "no_label": "\n" + WHOLE_HEADERS["a"].split("category")[0] + "Merci.\n" * 4,
    "b_no_form": "\n" + WHOLE_HEADERS["b"].replace("Formulaire", "Adresse"),
    "b_no_sender": "\n" + WHOLE_HEADERS["b"].replace("Soumis par", "Écrit par"),
    "inside_a_paragraph": WHOLE_HEADERS["a"],
    "b_inside_a_paragraph": WHOLE_HEADERS["b"],
}


@pytest.mark.parametrize("form", [FORM_A, FORM_B], ids=["a", "b"])
@pytest.mark.parametrize("imitation", NO_HEADERS.values(), ids=NO_HEADERS)
def test_an_imitated_header_stays_in_its_text(read, form, imitation):
    """Without the form's own lines, or inside a paragraph, it begins nothing."""
    (record,) = read(f"{form.rstrip()}\n{imitation}Fin de mon texte.\n")

    assert record.declared_category == ("economie" if form == FORM_A else "logement")
    assert record.idees_ameliorations.startswith(("Ouvrir", "Refaire"))
    assert record.idees_ameliorations.endswith("Fin de mon texte.")


@pytest.mark.parametrize("imitation", WHOLE_HEADERS.values(), ids=WHOLE_HEADERS)
@pytest.mark.parametrize("place", ["La criée ferme trop tôt.", "Ouvrir jusqu'à 18 h."])
def test_a_saved_mail_is_one_submission(read, place, imitation):
    """However well a citizen imitates the form, it is that citizen's text, and is marked."""
    body = FORM_A.replace(place, f"{place}\n\n{imitation}")
    head = "From: x@example.org\nContent-Type: text/plain; charset=utf-8\n\n"

    (record,) = read(head + body, name="message.eml")

    assert "Tous des voleurs." in record.constat_factuel + record.idees_ameliorations
    assert (record.declared_category, record.submitted_on) == ("economie", date(2025, 12, 30))
    assert "en-tête" in record.metadata["header_note"]
    assert "mail_number" not in record.metadata


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_last_header_that_the_file_cuts_off_is_no_citizens_text(read, lines):
    """As far as it goes it is whole: the mail is truncated, its neighbour stays as it was."""
    cut = "\n".join(FORM_A.split("\n")[:lines])

    record, rest = read(f"{FORM_A}\n{cut}")

    assert record.idees_ameliorations == "Ouvrir jusqu'à 18 h."
    assert rest.reason == "truncated"


def test_a_number_in_the_header_is_no_date(read):
    """The number of a submission can be made like a day."""
    numbered = FORM_B.replace("dim, 21/12/2025 - 08:08", "20240101\ndim, 21/12/2025 - 08:08")

    (record,) = read(numbered)

    assert record.submitted_on == date(2025, 12, 21)


def test_a_sentence_before_the_next_mail_is_no_opening(read):
    """A last line that reads like an opening is not confirmed by the next mail's lines."""
    last = "Soumis le 12 mars 2024 au conseil"

    records = read(f"{FORM_A.rstrip()}\n{last}\n\n{FORM_A}")

    assert [record.submitted_on for record in records] == [date(2025, 12, 30)] * 2
    assert records[0].idees_ameliorations.endswith(last)


@pytest.mark.parametrize(
    "last",
    [
        "Soumis le 12 mars 2024 au conseil",
        "**Merci beaucoup !**",
        "Date : samedi prochain",
        "À : 18 h",
    ],
)
@pytest.mark.parametrize("following", ["", "\n\n" + FORM_B, "\n---\n\n" + FORM_A])
def test_no_last_line_of_a_citizen_is_taken_for_the_mail_program(read, last, following):
    """A single line that could be a rule, a header or an opening stays in the text."""
    records = read(FORM_A.rstrip() + "\n" + last + following)

    assert len(records) == (2 if following else 1)
    assert records[0].idees_ameliorations == f"Ouvrir jusqu'à 18 h.\n{last}"


def test_fields_copied_without_their_opening(read):
    """Somebody kept only the fields: they are read, one submission per set of labels."""
    fields = FORM_A.split("\n\n", 1)[1]

    records = read(f"{fields}\n{fields}")

    assert [record.constat_factuel.split("\n")[0] for record in records] == [
        "La criée ferme trop tôt."
    ] * 2


def test_only_ideas(read):
    """A submission without an observation is still a contribution."""
    start, _, rest = FORM_A.partition("Constat factuel")

    (record,) = read(start + rest[rest.index("Vos idées") :])

    assert record.constat_factuel == ""
    assert record.idees_ameliorations == "Ouvrir jusqu'à 18 h."


def test_no_text_is_broken_and_the_others_go_on(read):
    """An empty submission is named with its line; its neighbours are read."""
    empty = FORM_A.split("Constat factuel")[0] + "Constat factuel:\nVos idées d'améliorations:\n"

    entries = read(f"{FORM_A}\n{empty}\n{FORM_B}")

    assert [type(entry) for entry in entries] == [Record, BrokenRecord, Record]
    assert entries[1].reason == "no_text"
    assert entries[1].locator == "line 11"


def test_a_mail_cut_off_before_its_text(read):
    """What ends in its header is truncated, and its raw holds no address."""
    cut = FORM_A[: FORM_A.index("economie")]

    entries = read(f"{FORM_B}\n{cut}")

    assert [type(entry) for entry in entries] == [Record, BrokenRecord]
    assert entries[1].reason == "truncated"
    assert "anonyme" not in entries[1].raw


def test_a_mail_cut_off_inside_its_first_text_is_marked(read):
    """It could be whole, so it is a record; loading lets a young file wait."""
    (record,) = read(FORM_A[: FORM_A.index(" sur le quai")])

    assert record.metadata["incomplete"] is True


@pytest.mark.parametrize("subtype", ["plain", "html"])
def test_eml(read, subtype):
    """A saved mail is decoded by its own headers; its date serves when the form gives none."""
    body = FORM_A.replace("Mardi, décembre 30, 2025 - 13:53", "?")
    if subtype == "html":
        body = "<p>" + body.replace("\n", "<br>\n") + "</p>"
    head = (
        "From: x@example.org\r\nDate: Tue, 30 Dec 2025 23:30:00 +0000\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: text/{subtype}; charset=iso-8859-1\r\n"
        "Content-Transfer-Encoding: 8bit\r\n\r\n"
    )

    (record,) = read(head.encode() + body.encode("iso-8859-1"), name="message.eml")

    assert record.constat_factuel.startswith("La criée ferme trop tôt.")
    assert record.idees_ameliorations == "Ouvrir jusqu'à 18 h."
    assert record.declared_category == "economie"


def test_long_runs_of_marks_cost_no_time(read):
    """Patterns stay linear on lines that were made to hurt them."""
    evil = "\n".join(mark * 50_000 for mark in ("#", "*", " ", "-", ">", "~", "_*", "# "))

    (record,) = read(FORM_A.rstrip() + "\n" + evil + "\nfin\n")

    assert record.reason == "too_long"


@pytest.mark.parametrize(
    ("line", "count"),
    [
        pytest.param("", 40_000, id="blank"),
        pytest.param("Vos idées d'améliorations: a", 2_000, id="label"),
    ],
)
def test_one_long_mail_costs_no_more_than_many_short_ones(read, line, count, seconds):
    """A line is not looked at again for each line before it."""
    short = FORM_B.replace("défoncée.", "défoncée." + f"\n{line}" * (count // 100))
    long = FORM_B.replace("défoncée.", "défoncée." + f"\n{line}" * count)

    many = seconds(read, "\n".join([short] * 100))
    one = seconds(read, long)

    assert one < 3 * many + 0.2


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("Content-Type: text/html\n\n" + "<!--" * 60_000, id="page"),
        pytest.param("Content-Type: text/plain" + ";a=b" * 3_000 + "\n\nx\n", id="header"),
        pytest.param("Date: " + "(" * 9_000 + "\n\nx\n", id="date"),
        pytest.param("Content-Type: text/plain;\n" + " a=b;\n" * 2_000 + "\nx\n", id="folded"),
        pytest.param("Content-Type: text/plain\n" * 300 + "\nx\n", id="headers"),
        pytest.param(
            "Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\nx\n" * 2_000, id="parts"
        ),
    ],
)
def test_a_saved_mail_that_is_built_to_take_long_is_not_taken_apart(read, body):
    """It is one broken entry, which says how to hand the text in."""
    (entry,) = read(body, name="message.eml")

    assert entry.reason == "too_large"
    assert "texte" in entry.detail


def test_a_file_of_too_many_lines_is_not_read(read, monkeypatch):
    """It is one broken entry, which says to share it out."""
    monkeypatch.setattr(mails, "MAX_LINES", 20)

    (entry,) = read(FORM_A * 3)

    assert entry.reason == "too_large"


def test_deep_quotation_costs_no_more_than_its_length(read, seconds):
    """No line is copied once per mark that stands before it."""
    quoted = (">" * 20_000 + "a\n") * 100

    plain = seconds(read, FORM_A + quoted)
    opened = seconds(read, FORM_A + ">" * 20_000 + "Soumis le 3 mars 2025\n" + quoted)

    assert opened < 4 * plain + 0.2


FOOTER = "\nThe results of this submission may be viewed at:\nhttps://f.example/1\n\n"
QUOTED_B = "".join(f"> {line}\n" for line in FORM_B.splitlines())


@pytest.mark.parametrize(
    "following",
    [
        pytest.param("Le 14/01/2026 à 10:00, Framaforms a écrit :\n" + QUOTED_B, id="wrote"),
        pytest.param("Bonjour, voici la suivante :\n" + FORM_B, id="greeting"),
        pytest.param("2)\n" + FORM_B, id="number"),
        pytest.param("\u200b\n" + FORM_B, id="invisible"),
        pytest.param("Sujet : Avis\nPour : Mairie <m@example.org>\n" + FORM_B, id="header"),
        pytest.param(FORM_B.replace("Soumis par Anonyme", "Anonyme"), id="no_sender"),
        pytest.param(FORM_B[FORM_B.index("category") :], id="labels_only"),
    ],
)
def test_what_begins_behind_a_footer_is_a_submission(read, following):
    """The form's own end leaves no doubt, whatever stands between two mails."""
    first, second = read(FORM_A + FOOTER + following)

    assert first.idees_ameliorations == "Ouvrir jusqu'à 18 h."
    assert second.constat_factuel == "La rue du port est défoncée."
    assert second.declared_category == "logement"


@pytest.mark.parametrize(
    "line",
    [
        "Le 14/01/2026 à 10:00, Framaforms a écrit :",
        "On 14/01/2026 Framaforms wrote:",
        "Pour : Mairie <m@example.org>",
        "Sujet : nouvelle réponse",
    ],
)
def test_lines_of_mail_programs_set_the_next_mail_apart(read, line):
    """Without a footer as well."""
    _, second = read(f"{FORM_A}\n{line}\n{FORM_B}")

    assert second.constat_factuel == "La rue du port est défoncée."


@pytest.mark.parametrize("name", ["courriel.txt", "message.eml"])
@pytest.mark.parametrize(
    "line",
    [
        "The results of this submission may be viewed at city hall.",
        "Les résultats de votre soumission peuvent être faux. Voyez https://f.example/1 et dites.",
        "The results of this submission may be viewed at https://f.example/1",
    ],
)
def test_a_citizens_line_with_the_footers_words_ends_nothing(read, line, name):
    """The rest of the observation and all of the ideas stay."""
    head = "Content-Type: text/plain; charset=utf-8\n\n" if name.endswith("eml") else ""

    (record,) = read(head + FORM_A.replace("trop tôt.", f"trop tôt.\n{line}\nSuite."), name=name)

    assert record.constat_factuel.endswith(f"{line}\nSuite.\nLes pêcheurs attendent sur le quai.")
    assert record.idees_ameliorations == "Ouvrir jusqu'à 18 h."


def test_words_behind_the_last_footer_leave_a_trace(read):
    """Few of them are noted on their submission; many may be a text, and are a broken record."""
    (noted,) = read(f"{FORM_A}{FOOTER}Et encore ceci.\n")
    record, rest = read(f"{FORM_A}{FOOTER}" + "Et encore ceci.\n" * 20)

    assert noted.metadata["footer_note"].endswith("à la ligne 14, non lus")
    assert record.idees_ameliorations == "Ouvrir jusqu'à 18 h."
    assert (rest.reason, rest.locator, rest.raw) == ("after_footer", "line 14", "")


def test_fields_above_the_first_whole_mail_are_read(read):
    """Somebody copied one without its header, and another whole."""
    fields = FORM_A.split("\n\n", 1)[1]

    records = read(f"{fields}\n{FORM_B}")

    assert [record.declared_category for record in records] == ["economie", "logement"]


@pytest.mark.parametrize(
    "head",
    [
        "From: f@example.org\n",
        "Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\n",
        "Content-Type: text/plain; charset=us-ascii\nContent-Transfer-Encoding: 8bit\n",
        "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n",
        "Content-Type: text/plain; charset=x-none\nContent-Transfer-Encoding: 8bit\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_saved_mail_that_names_no_encoding_or_a_wrong_one(read, head, encoding):
    """Its bytes say what they are, as those of any other file."""
    (record,) = read(f"{head}\n".encode() + FORM_A.encode(encoding), name="message.eml")

    assert record.constat_factuel.startswith("La criée ferme trop tôt.")
    assert record.idees_ameliorations == "Ouvrir jusqu'à 18 h."


def test_nothing_is_shown_of_a_mail_without_a_label(read):
    """It may be anybody's letter."""
    (entry,) = read("Subject: x\n\nJe suis Anne Exemple, 12 rue du Port.\n", name="message.eml")

    assert (entry.reason, entry.raw) == ("no_entries", "")
