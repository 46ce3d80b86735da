import pytest

from include.documents.parsing.language import language_of, stop_word_ratio
from include.documents.parsing.layers import Layer, is_garbage, judge
from include.documents.parsing.ocr import text_of
from tests.hostile import TEXT

STAMP = "2912-SERVICE DES EAUX - 29-2031-01-02-00007 - Arrêté du 2 janvier 2031 sur les puits {}"
SHIFTED = "".join(chr(ord(letter) + 3) if letter.isalpha() else letter for letter in TEXT)
LIST = "\n".join(
    f"- CLUB {name} DU PORT {name.lower()}@exemple.bzh 06 00 00 00 0{i}"
    for i, name in enumerate(["VOILE", "DANSE", "JUDO", "CHORALE", "TENNIS", "LECTURE", "PLONGEE"])
)
BRETON = (
    "Ar skol a zo e kreiz ar vro hag an dud a gomz brezhoneg gant o bugale. Un nebeud traoù a vez "
    "graet bep bloaz evit ar yezh, ha deuet eo kalz a dud da welet an ti-kêr nevez e miz Mae."
)


@pytest.mark.parametrize(
    ("layers", "verdicts"),
    [
        pytest.param([Layer(TEXT, 0, in_margin=False)], ["text"], id="words"),
        pytest.param([Layer("", 1, in_margin=False)], ["scan"], id="picture"),
        pytest.param(
            [Layer(STAMP.format(n), 1, in_margin=False) for n in (4, 5)],
            ["stamp", "stamp"],
            id="a_line_alike_from_page_to_page",
        ),
        pytest.param(
            [Layer(STAMP.format(1), 1, in_margin=True)], ["stamp"], id="a_line_in_the_margin"
        ),
        pytest.param([Layer(STAMP.format(1), 1, in_margin=False)], ["sparse"], id="a_cover"),
        pytest.param([Layer(STAMP.format(1), 0.05, in_margin=True)], ["text"], id="a_short_page"),
        pytest.param(
            [Layer("COMMENT ÇA MARCHE ?", 0.24, in_margin=False)], ["sparse"], id="a_slide"
        ),
        pytest.param(
            [Layer(SHIFTED, 0, in_margin=False)], ["garbage"], id="a_font_without_letters"
        ),
        pytest.param([Layer(LIST, 0, in_margin=False)], ["text"], id="a_list_of_names"),
        pytest.param([Layer(BRETON, 0, in_margin=False)], ["text"], id="breton"),
    ],
)
def test_a_layer_is_worth_what_it_says(layers, verdicts):
    """A stamp and garbage are no text of the page; lists and other languages are."""
    assert judge(layers) == verdicts


def test_few_words_are_never_garbage():
    """Nothing can be proved of them."""
    assert not is_garbage("Kerivoas Trez Goarem")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        pytest.param(TEXT, "fr", id="french"),
        pytest.param(BRETON, "br", id="breton"),
        pytest.param(
            "The mayor and the council of the town met in the hall. " * 2, "en", id="english"
        ),
        pytest.param(
            "El alcalde presentó ayer el proyecto del puerto ante los vecinos. " * 3,
            "es",
            id="spanish",
        ),
        pytest.param("Bonjour", None, id="too_little"),
    ],
)
def test_language(text, language):
    """Function words decide first, a model what they leave open."""
    assert language_of(text) == language


def test_the_gate_lies_between_french_and_garbage():
    """By a wide margin on both sides."""
    assert stop_word_ratio(TEXT) > 0.3
    assert stop_word_ratio(SHIFTED) < 0.05


def row(block: int, line: int, confidence: str, word: str) -> str:
    return f"5\t1\t{block}\t1\t{line}\t1\t0\t0\t9\t9\t{confidence}\t{word}"


def test_words_of_ocr_come_line_by_line_with_their_confidence():
    """Blocks stand apart, broken words are joined, specks go."""
    rows = [
        "level\tpage_num\tblock_num",
        "4\t1\t1\t1\t1\t0\t0\t0\t9\t9\t-1\t",
        row(1, 1, "90", "Le"),
        row(1, 1, "80", "stationne-"),
        row(1, 2, "70", "ment"),
        row(2, 1, "12", "|"),
        row(2, 2, "60", "Fin"),
    ]

    text, confidences = text_of(rows)

    assert text == "Le stationnement\n\nFin"
    assert confidences == [0.9, 0.8, 0.7, 0.6]
