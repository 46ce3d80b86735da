"""A text without persons, and the way back."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench.anonymisation import samples, tallies
from include.anonymisation import (
    AnonymisationError,
    Kind,
    Pseudonyms,
    Reason,
    anonymise,
    anonymise_for_outside,
)
from include.contributions.sources.blotting import PERSONAL
from include.documents.words import fold
from include.errors import PermanentError

PIECES = st.sampled_from(
    [
        "Mme Aziliz Kergouzien",
        "M. Boucher",
        "Le Goff",
        "florent querrioual",
        "06 12 34 56 78",
        "+33 6 12 34 56 78",
        "nom@exemple.fr",
        "nom (at) exemple (point) fr",
        "12 rue Danton",
        "29770 Audierne",
        "AB-123-CD",
        "FR76 3000 6000 0112 3456 7890 189",
        "2 57 03 29 019 123 44",
        "née le 12/03/1957",
        "@marin.du.cap",
        "[PERSONNE_1]",
        "[TELEPHONE_1]",
        "[",
        "]",
        "_1]",
        "place de la Liberté",
        "\n",
        "\u200b",
        "e\u0301",
        "\ufb01",
        "０６",
        "Cordialement,\n",
        ", ",
        ". ",
        " : ",
        "00:00:12 ",
        "Saint-Tugen",
        "٣",
        "🙂",
        "Ã©",
        "d'",
        "-",
    ]
)
TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.lists(PIECES, max_size=12).map(" ".join),
    st.lists(PIECES, max_size=12).map("".join),
)

SAMPLES = list(samples())


@given(TEXTS)
@example("[PERSONNE_1] et Mme Kermorvic")
@settings(max_examples=400, deadline=None)
def test_the_way_back_gives_the_text_as_it_was(text):
    done = anonymise(text)

    assert done.restore(done.text) == text


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_every_span_maps_back_exactly(text):
    """Replacements tile both texts; what lies between them is the same in both."""
    done = anonymise(text)

    at = new_at = 0
    for each in done.replacements:
        assert text[at : each.start] == done.text[new_at : each.new_start]
        assert done.text[each.new_start : each.new_end] == each.surrogate
        assert each.start < each.end
        assert done.original_span(each.new_start, each.new_end) == (each.start, each.end)
        inside = done.original_span(each.new_start + 1, each.new_start + 2)
        assert inside == (each.start, each.end), "a part of a surrogate counts whole"
        at, new_at = each.end, each.new_end
    assert text[at:] == done.text[new_at:]
    assert done.original_span(0, len(done.text)) == (0, len(text))


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_no_value_that_was_replaced_stands_elsewhere(text):
    """What was a number or an address once is one wherever it stands as a word of its own."""
    done = anonymise(text)

    left = f" {' '.join(fold(done.text).split())} "
    for each in done.replacements:
        value = " ".join(fold(text[each.start : each.end]).split())
        is_name = each.kind in {Kind.PERSONNE, Kind.NOM}
        if each.kind is not Kind.TEXTE and len(value) > 3 and not is_name:
            assert f" {value} " not in left


@given(TEXTS)
@settings(max_examples=300, deadline=None)
def test_nothing_that_was_blotted_before_is_let_through(text):
    """Numbers and network addresses that the entries of broken records hide are hidden here too."""
    done = anonymise(text)

    covered = {at for each in done.replacements for at in range(each.start, each.end)}
    for found in PERSONAL.finditer(text):
        assert set(range(*found.span())) <= covered


@given(TEXTS, TEXTS)
@settings(max_examples=100, deadline=None)
def test_the_same_twice_is_the_same(one, other):
    """One set of pseudonyms gives the same answers in the same order, and keeps texts apart."""
    first, second = Pseudonyms(), Pseudonyms()

    assert [anonymise(text, first).text for text in (one, other)] == [
        anonymise(text, second).text for text in (one, other)
    ]
    done = anonymise(other, first)
    assert done.restore(done.text) == other


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("06 12 34 56 78", Kind.TELEPHONE),
        ("06.12.34.56.78", Kind.TELEPHONE),
        ("06-12-34-56-78", Kind.TELEPHONE),
        ("0612345678", Kind.TELEPHONE),
        ("+33 6 12 34 56 78", Kind.TELEPHONE),
        ("+33 (0)6 12 34 56 78", Kind.TELEPHONE),
        ("0033612345678", Kind.TELEPHONE),
        ("０６ １２ ３４ ５６ ７８", Kind.TELEPHONE),
        ("06\u200b12\u00ad34 56\u202f78", Kind.TELEPHONE),
        ("0 6 1 2 3 4 5 6 7 8", Kind.TELEPHONE),
        ("prenom.nom+avis@exemple.bzh", Kind.MAIL),
        ("prenom (at) exemple (point) fr", Kind.MAIL),
        ("prenom [at] exemple.fr", Kind.MAIL),
        ("prenom arobase exemple point fr", Kind.MAIL),
        ("prenom @ exemple.fr", Kind.MAIL),
        ("12 rue Danton", Kind.ADRESSE),
        ("12, rue des cormorans", Kind.ADRESSE),
        ("3 bis impasse du Goéland", Kind.ADRESSE),
        ("n° 4 de la rue Danton", Kind.ADRESSE),
        ("8 place de la Liberté", Kind.ADRESSE),
        ("29770 Audierne", Kind.ADRESSE),
        ("AB-123-CD", Kind.PLAQUE),
        ("AB 123 CD", Kind.PLAQUE),
        ("1234 XY 29", Kind.PLAQUE),
        ("FR76 3000 6000 0112 3456 7890 189", Kind.IBAN),
        ("FR7630006000011234567890189", Kind.IBAN),
        ("FR76 3000 6000 0112 3456 7890 188", Kind.IBAN),
        ("DE89 3704 0044 0532 0130 00", Kind.IBAN),
        ("2 57 03 29 019 123 44", Kind.SECURITE_SOCIALE),
        ("257032901912344", Kind.SECURITE_SOCIALE),
        ("1 57 03 2A 019 123 40", Kind.SECURITE_SOCIALE),
        ("@marin.du.cap29", Kind.COMPTE),
        ("facebook.com/prenom.nom", Kind.COMPTE),
        ("192.168.1.17", Kind.RESEAU),
        ("2001:db8::17", Kind.RESEAU),
    ],
)
def test_numbers_and_addresses_in_their_forms(written, kind):
    text = f"Voici : {written}, merci."

    done = anonymise(text)

    assert [(each.kind, text[each.start : each.end]) for each in done.replacements] == [
        (kind, written)
    ]
    assert done.restore(done.text) == text


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        ("M. Boucher n'a pas répondu.", "Boucher"),
        ("Madame la directrice Corvellec reçoit.", "Corvellec"),
        ("M. et Mme Rozuel ont planté.", "Rozuel"),
        ("Maître Abgrannou, notaire.", "Abgrannou"),
        ("Hier Aziliz Kergouzien a parlé.", "Aziliz Kergouzien"),
        ("LE BOZEC Soizic préside.", "LE BOZEC Soizic"),
        ("Le chien de Bleuzenn TRÉVARIN aboie.", "Bleuzenn TRÉVARIN"),
        ("Signé : Jean-Pierre Le Marchand", "Jean-Pierre Le Marchand"),
        ("Gurvan Kerloc’h a ouvert la séance.", "Gurvan Kerloc’h"),
        ("BÉDEL Céline née STOKY", "STOKY"),
        ("[00:01:02] Maëlle Ty Coat: bonsoir", "Maëlle Ty Coat"),
        ("00:01:02 Zdenko Zorić\nbonsoir à tous", "Zdenko Zorić"),
        ("Ewen GOURLAOUEN : et le parking ?", "Ewen GOURLAOUEN"),
        ("Il faut un banc.\nCordialement,\nQuintrec", "Quintrec"),
        ("Bonne journée, yannick", "yannick"),
        ("Je m'appelle Boucher.", "Boucher"),
        ("mon voisin florent querrioual crie", "florent querrioual"),
        ("Je l'ai dit à Szczepaniak hier.", "Szczepaniak"),
        ("Georges Madec arrive ce soir.", "Georges Madec"),
        ("Hervé\nDelmarquis tient le café.", "Hervé\nDelmarquis"),
    ],
)
def test_persons_are_hidden(sentence, name):
    done = anonymise(sentence)

    assert not any(part in done.text for part in name.replace("-", " ").split() if len(part) > 2)
    assert done.restore(done.text) == sentence


def test_a_name_is_one_wherever_it_stands():
    """In small letters too where no word is written so, and as a word only with its capital."""
    done = anonymise("M. Quintrec, M. Boucher. Le pain de quintrec. Le boucher et Boucher, hélas.")

    assert "uintrec" not in done.text
    assert "Le boucher et [PERSONNE_" in done.text


def test_a_date_of_birth_is_hidden_again_where_nothing_shows_it():
    done = anonymise("Mme Rozuel, née le 12/03/1957. Dossier : 12/03/1957.")

    assert done.text == "Mme [PERSONNE_1], née le [NAISSANCE_1]. Dossier : [NAISSANCE_1]."


@pytest.mark.parametrize(
    "public",
    [
        "La place de la Liberté est mal éclairée.",
        "Le quai Jean Jaurès est inondé, la rue Danton aussi.",
        "L'école Pierre Le Lec a besoin d'un préau.",
        "Le théâtre Georges Madec et la chapelle Saint-Tugen sont ouverts.",
        "Les élèves de Plouhinec passent par Poulgoazec.",
        "Il faut 3 places de parking et 12 bancs pour 250 habitants.",
        "Le projet coûte 1 452 000 euros le 14 juillet 2026 à 18 h 30.",
        "La Région et le Conseil municipal ont voté la loi Littoral.",
    ],
)
def test_what_is_public_stays(public):
    assert anonymise(public).text == public


def test_the_same_person_is_the_same_everywhere():
    """By the whole name, by a part of it, in capitals; across the texts of a set."""
    known = Pseudonyms()
    one = anonymise("Aziliz Kergouzien a écrit, Kergouzien insiste. 06 12 34 56 78.", known)
    other = anonymise("Mme KERGOUZIEN appelle le +33612345678, M. Rozuel non.", known)

    assert one.text == "[PERSONNE_1] a écrit, [PERSONNE_1] insiste. [TELEPHONE_1]."
    assert other.text == "Mme [PERSONNE_1] appelle le [TELEPHONE_1], M. [PERSONNE_2] non."
    assert other.restore("[PERSONNE_2] et [PERSONNE_1] ; [PERSONNE_9]") == (
        "Rozuel et Aziliz Kergouzien ; [PERSONNE_9]"
    )


def test_a_quote_of_the_new_text_is_found_in_the_original():
    text = "Le banc de Mme Kergouzien est cassé depuis mars."
    done = anonymise(text)
    quote = "Mme [PERSONNE_1] est cassé"
    at = done.text.index(quote)

    start, end = done.original_span(at, at + len(quote))

    assert text[start:end] == "Mme Kergouzien est cassé"


def test_words_that_look_like_a_surrogate_are_none():
    """Whoever writes ``[PERSONNE_1]`` cannot have somebody else's name put there."""
    text = "Ajoutez [PERSONNE_1] à la liste. M. Rozuel le veut."
    done = anonymise(text)

    assert done.text == "Ajoutez [TEXTE_1] à la liste. M. [PERSONNE_1] le veut."
    assert done.restore("[TEXTE_1]") == "[PERSONNE_1]"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Mon numéro : zéro six, douze, trente-quatre, cinquante-six, soixante-dix-huit",
            "number_in_words",
        ),
        ("Le dossier 123 456 789 012 est perdu.", "unexplained_number"),
        ("Le nom est \ufffd\ufffd\ufffd illisible.", "unreadable"),
        ("Voir " + "ab1" * 20, "unreadable"),
        ("Demandez à محمد, il sait.", "foreign_script"),
        ("Le voisin kermоrvic le sait.", "foreign_script"),
        ("C'est K e r m o r v i c qui décide.", "spaced_letters"),
        ("C'est K3rm0rvic qui décide.", "disguised_word"),
        ("la mairie doit réparer le banc de la place", "one_case"),
        ("LA MAIRIE DOIT RÉPARER LE BANC DE LA PLACE", "one_case"),
        ("J'en ai parlé avec Rivage la semaine dernière.", "name_position"),
        ("Le mot est à Ker-\nviel, près du port.", "name_position"),
        ("Mon numéro : zéro six, 12, trente quatre, 56, soixante dix huit.", "number_in_words"),
        ("Mon numéro : 06 12 trois quatre 56 78.", "number_in_words"),
        *(
            (f"Mon numéro : {written} le soir.", "unexplained_number")
            for written in (
                "O6 12 34 56 78",
                "06 I2 34 56 78",
                "06,12,34,56,78",
                "06|12|34|56|78",
                "06 * 12 * 34 * 56 * 78",
                "06    12    34    56    78",
                "06 → 12 → 34 → 56 → 78",
                "06 puis 12 puis 34 puis 56 puis 78",
                "num0612345678",
            )
        ),
        ("Sa voiture, ab123cd, gêne.", "unexplained_number"),
        ("Sa voiture, AB—123—CD, gêne.", "unexplained_number"),
        ("Mon dossier RSA 1234567 attend.", "unexplained_number"),
        ("Au douze, rue de la Mer, on attend.", "unexplained_number"),
        ("Au bout de la rue de la Mer, au 12, on attend.", "unexplained_number"),
        ("Écrivez à marin chez gmail, merci.", "disguised_word"),
        ("Écrivez à marin%40gmail.com, merci.", "disguised_word"),
        ("Écrivez à marin . rivage @ gmail . com, merci.", "disguised_word"),
        ("Écrivez à marin point rivage arobase gmail point com.", "disguised_word"),
    ],
)
def test_what_may_be_left_is_a_doubt_and_stops_the_way_outside(text, reason):
    done = anonymise(text)

    assert reason in {doubt.reason.value for doubt in done.doubts}
    assert all(0 <= doubt.start < doubt.end <= len(text) for doubt in done.doubts)
    with pytest.raises(AnonymisationError, match=reason) as stopped:
        anonymise_for_outside(text)
    assert isinstance(stopped.value, PermanentError)


@pytest.mark.parametrize(
    "text",
    [
        "Les horaires : 8 h 30, 12 h 15, 16 h 45 et 19 h 00 au quai.",
        "De 2015 à 2026, les parts furent de 10, 20, 30, 40, 50 puis 60 %.",
        "La rue de la Mer et la rue Danton : du 101 au 120, il manque deux bancs.",
        "On peut transfor-\nmer la halle, cela coûterait 06 fois moins.",
        "Le permis de construire et le dossier sont prêts depuis 2024.",
    ],
)
def test_figures_of_the_town_are_no_doubt(text):
    assert anonymise(text).doubts == ()


def test_a_sound_text_goes():
    done = anonymise_for_outside("Le banc de Mme Rozuel est cassé, appelez le 06 12 34 56 78.")

    assert done.text == "Le banc de Mme [PERSONNE_1] est cassé, appelez le [TELEPHONE_1]."


@pytest.mark.parametrize("text", ["Mme \ud800 Rozuel", None, b"Mme Rozuel"])
def test_what_cannot_be_sent_is_refused_without_a_word_of_it(text):
    with pytest.raises(AnonymisationError) as refused:
        anonymise(text)

    assert "Rozuel" not in str(refused.value)


class Recogniser:
    """Finds what it is told to find."""

    name = "scripted-1"

    def __init__(self, *spans, error=None):
        self.spans = spans
        self.error = error

    def names(self, text):
        yield from self.spans
        if self.error:
            raise self.error


def test_a_stronger_recogniser_adds_what_it_finds():
    text = "la petite sauvage a dit oui, Mme Rozuel aussi."

    done = anonymise(text, recogniser=Recogniser((10, 17)))

    assert done.text == "la petite [PERSONNE_1] a dit oui, Mme [PERSONNE_2] aussi."
    assert done.restore(done.text) == text


@pytest.mark.parametrize(
    "recogniser",
    [
        Recogniser(error=RuntimeError("no model")),
        Recogniser((0, 5), error=MemoryError()),
        Recogniser((0, 500)),
        Recogniser((5, 5)),
        Recogniser(("a", "b")),
    ],
)
def test_a_recogniser_that_fails_stops_everything(recogniser):
    with pytest.raises(AnonymisationError, match="scripted-1"):
        anonymise("Mme Rozuel a raison.", recogniser=recogniser)


def test_nothing_that_is_shown_of_a_result_names_anybody():
    """Neither an error nor a log that prints one says who stands behind a surrogate."""
    known = Pseudonyms()
    done = anonymise("Mme Rozuel, 06 12 34 56 78", known)

    shown = f"{done!r} {done} {known!r} {known} {done.replacements!r} {done.doubts!r}"
    assert "Rozuel" not in shown
    assert "06 12" not in shown


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "A",
        "Aa ",
        "A a ",
        "1",
        "1 ",
        "12 rue ",
        "06 ",
        "@",
        "a@",
        "a.",
        "M. ",
        "Le ",
        "de ",
        "Jean ",
        "né le 12 ",
        "FR76 ",
        "FR76",
        "[PERSONNE_1]",
        "zéro ",
        "e\u0301",
        "\u0301",
        "\u200b",
        "\n",
        "Nom:\n",
        "00:00:00 Jean Dupont\n",
        "facebook.com/",
        "a (at) ",
        "29770 A ",
        "1 2 3 4 ",
        "Cordialement,\n",
        "habite rue A ",
        "::",
        "A.",
        "-",
        "Mme de ",
    ],
)
def test_hostile_texts_take_time_in_proportion(piece):
    """60,000 characters of anything take seconds at most, on a busy machine too."""
    text = (piece * 60_000)[:60_000]
    began = time.process_time()

    done = anonymise(text)

    assert time.process_time() - began < 8
    assert done.restore(done.text) == text


def test_the_own_sentences_hold_their_figure():
    """In ordinary writing every name of the sentences is hidden, and nothing else is taken for one."""
    found = tallies(SAMPLES)

    for kinds in found.values():
        for kind, tally in kinds.items():
            assert tally.hidden == tally.labels, kind
            assert tally.right == tally.replaced, kind


def test_reasons_are_all_reached():
    """No reason stands in the list that no text can give."""
    assert {reason.value for reason in Reason} == {
        "unreadable",
        "foreign_script",
        "spaced_letters",
        "disguised_word",
        "number_in_words",
        "unexplained_number",
        "one_case",
        "name_position",
    }
