"""Themes say what a document talks about, and never who."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.documents import themes
from include.documents.words import words
from include.errors import ConfigurationError

SAMPLES = Path(__file__).parents[3] / "include" / "samples" / "documents"

FILLER = (
    "La déchèterie ouvre le samedi. Le stationnement payant reste interdit sur la cale. "
    "Le stationnement payant sera étudié, la déchèterie aussi."
)


@pytest.fixture(scope="module")
def extractor():
    return themes.extractor()


def _labels(found):
    return [theme.label for theme in found]


def _all_words(found):
    return {word for theme in found for word in words(theme.label)}


@pytest.mark.parametrize(
    ("sample", "expected"),
    [
        pytest.param("arrete_circulation_quai.txt", "stationnement", id="order"),
        pytest.param("guide_dechets.md", "déchèterie", id="waste"),
        pytest.param("deliberation_tarifs_cantine.txt", "repas", id="canteen"),
        pytest.param("fiche_logement_saisonnier.md", "résidence principale", id="letting"),
        pytest.param("compte_rendu_reunion_port.txt", "criée", id="harbour"),
    ],
)
def test_samples_are_about_what_they_are_about(extractor, sample, expected):
    """The subject a reader would name is among the first five."""
    found = extractor.of_document((SAMPLES / sample).read_text("utf-8"))

    assert expected in _labels(found)[:5]


def test_words_of_every_act_are_no_theme(extractor):
    """What each act says of itself, and the town's own name, tell nothing about it."""
    text = (SAMPLES / "arrete_circulation_quai.txt").read_text("utf-8")

    found = _all_words(extractor.of_document(text, count=40))

    assert found.isdisjoint({"maire", "article", "arrete", "commune", "audierne", "vu", "mars"})


@pytest.mark.parametrize(
    ("sentence", "name"),
    [
        pytest.param("M. Brastagnec préside. M. Brastagnec conclut.", "brastagnec", id="title"),
        pytest.param("M. Boucher parle. Boucher se tait.", "boucher", id="a_name_that_is_a_word"),
        pytest.param("Madame Aziliz Kermorvic répond.", "kermorvic", id="title_first_name"),
        pytest.param("Aziliz Kermorvic répond. Kermorvic aussi.", "kermorvic", id="first_name"),
        pytest.param("Bleuzenn TRÉVARIN signe. TRÉVARIN certifie.", "trevarin", id="capitals"),
        pytest.param("KERMORVIC Aziliz, pour le bureau.", "kermorvic", id="surname_first"),
        pytest.param("Signé : Jean-Pierre Le Marchand.", "marchand", id="compound"),
        pytest.param("Michel van der Plas écrit.", "plas", id="particles"),
        pytest.param("Les mots de Brastagnec. Brastagnec encore.", "brastagnec", id="bare_surname"),
        pytest.param("Mme la directrice Kermorvic reçoit.", "kermorvic", id="office_between"),
        pytest.param("Georges Madec arrive. Georges Madec part.", "madec", id="namesake_of_a_hall"),
    ],
)
def test_persons_are_no_theme(extractor, sentence, name):
    """However a person is named, and however often, the name is no theme."""
    text = f"{sentence} {FILLER}\n\n{sentence} {sentence}"

    found = extractor.of_document(text, count=50)

    assert name not in _all_words(found)
    assert {"déchèterie", "stationnement payant"} <= set(_labels(found))
    assert name not in _all_words(extractor.of_collection([text, text, FILLER], count=50))


def test_places_called_after_persons_are_themes(extractor):
    """The school and the quay are places of the town that people talk about."""
    text = f"L'école Pierre Le Lec est agrandie. Travaux à l'école Pierre Le Lec. {FILLER}"

    assert "école Pierre Le Lec" in _labels(extractor.of_document(text))


@pytest.mark.parametrize("last", ["Sainte-Evette", "pointe du Raz", "quai Anatole France", "port"])
def test_a_text_may_end_with_a_place(extractor, last):
    """The name of a place as the very last word is a place like any other, and no error."""
    assert extractor.of_document(f"{FILLER} La réunion publique a lieu à {last}")


def test_a_theme_longer_than_the_ledger_holds_is_left_out(extractor):
    """Somebody's word of thousands of letters, said often; the others are found."""
    word = "interminable" * 500
    text = f"Une {word} attend. {FILLER} Encore une {word}. "

    found = _labels(extractor.of_document(text * 2, count=50))

    assert "déchèterie" in found
    assert max(map(len, found)) <= 100


def test_addresses_are_no_theme(extractor):
    """Mail and web addresses hold names as well."""
    text = f"Écrire à aziliz.kermorvic@orange.fr ou www.kermorvic-nautisme.bzh. {FILLER}" * 3

    found = _all_words(extractor.of_document(text, count=50))

    assert found.isdisjoint({"aziliz", "kermorvic", "nautisme", "orange", "www"})


def test_formulas_of_letters_are_no_theme(extractor):
    """What ends every letter, and the small words of a page in English, tell nothing."""
    text = (
        "La cantine ouvre lundi.\n\nJe vous prie d'agréer mes meilleures salutations. "
        "N'hésitez pas à nous contacter.\n\nThe harbour and the lighthouse of the town. "
    ) * 3

    found = _all_words(extractor.of_document(text, count=40))

    assert "cantine" in found
    assert found.isdisjoint({"prie", "agreer", "salutations", "hesitez", "contacter", "the", "and"})


def test_a_word_in_capitals_is_written_small(extractor):
    """A form prints its words in capitals; only an acronym keeps them."""
    found = _labels(extractor.of_document("LOGEMENT à louer. LE LOGEMENT. EHPAD. L'EHPAD."))

    assert {"logement", "EHPAD"} <= set(found)


def test_plural_and_singular_are_one_theme(extractor):
    """One subject is named once, in the form that is written most."""
    text = "Les trottoirs sont étroits. Ce trottoir penche. Des trottoirs neufs viendront."

    found = [label for label in _labels(extractor.of_document(text)) if "trottoir" in label]

    assert len(found) == 1
    assert found[0].startswith("trottoirs")


def test_a_collection_is_about_what_several_documents_say(extractor):
    """A word of one long document does not speak for the town."""
    loud = "La tranchée, la tranchée et encore la tranchée. " * 40
    texts = [loud, "La cantine ouvre. La médiathèque ferme.", "La cantine bio. Une médiathèque."]

    found = _labels(extractor.of_collection(iter(texts)))

    assert set(found) >= {"cantine", "médiathèque"}
    assert not any("tranchée" in label for label in found)


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=800))
def test_any_text_gives_sound_themes(text):
    """Labels are not blank, weights lie above 0 and at most 1, heaviest first, always the same."""
    found = themes.extractor().of_document(text)

    assert found == themes.extractor().of_document(text)
    assert all(theme.label.strip() and 0 < theme.weight <= 1 for theme in found)
    assert [theme.weight for theme in found] == sorted(
        (theme.weight for theme in found), reverse=True
    )
    assert len(set(_labels(found))) == len(found)


def test_a_town_without_data_is_a_configuration_error():
    """A wrong municipality is said by name."""
    with pytest.raises(ConfigurationError, match="nulle-part"):
        themes.extractor("nulle-part")
