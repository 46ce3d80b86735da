from datetime import date

import pytest

from include.documents.model import Media, Page
from include.documents.parsing.acts import act_kind, act_number, act_title
from include.documents.parsing.dates import own_date
from include.documents.parsing.description import described
from include.documents.parsing.draft import Draft

TODAY = date(2026, 6, 1)
ORDER = """COMMUNE DE PORT-NEUF
Arrêté du maire n° PM2031-007
Portant interdiction de stationner
sur le quai des Dunes
Le maire de Port-Neuf,
Vu la loi n° 82-213 du 2 mars 1982 relative aux droits et libertés des communes,
Vu l'arrêté interministériel sur la signalisation modifié par les textes
subséquents du 6 octobre 2020 ;
ARRÊTE
Article 1 : Le stationnement est interdit du 3 au 5 mai 2025.
Fait à Port-Neuf, le 28 avril 2025
Le maire"""


@pytest.mark.parametrize("digits", ["1" * 400, "1-" * 200 + "1"])
def test_a_number_that_fills_a_page_is_none(digits):
    """It would stand in lists, beside titles and in addresses."""
    assert act_number(f"Arrêté du maire n° {digits}", "arrete") is None


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        pytest.param(ORDER, "arrete", "PM2031-007", id="order"),
        pytest.param(
            "29-2031-01-02-00007\nARRÊTÉ PRÉFECTORAL DU 2 JANVIER 2031\nVu le code rural",
            "arrete",
            "29-2031-01-02-00007",
            id="prefect",
        ),
        pytest.param(
            "EXTRAIT DU REGISTRE DES DÉLIBÉRATIONS\nDélibération N° 2025 - 041\nSéance du 3 mars 2025",
            "deliberation",
            "2025-041",
            id="deliberation",
        ),
        pytest.param(
            "Objet : Convocation du conseil municipal\nL'ordre du jour est joint.",
            "convocation",
            None,
            id="convocation",
        ),
        pytest.param(
            "Mairie\nBulletin municipal N° 12\nArrêté du maire : les plages",
            "bulletin",
            "12",
            id="bulletin",
        ),
        pytest.param("Le magazine de la commune\n06 2025| #16", "bulletin", "16", id="magazine"),
        pytest.param(
            "PROCÈS-VERBAL de la séance du 4 avril 2025", "proces_verbal", None, id="minutes"
        ),
        pytest.param("Règlement\nde la bibliothèque", "reglement", None, id="rules"),
        pytest.param(
            "CONSEIL MUNICIPAL\nORDRE DU JOUR\n2. Approbation du procès-verbal",
            "ordre_du_jour",
            None,
            id="agenda",
        ),
        pytest.param(
            "Cerfa N° 12345*06\nDéclaration de chantier", "formulaire", "12345*06", id="form"
        ),
        pytest.param(
            "Vu l'arrêté du 3 mai 2020\nVu le code\nBonjour", None, None, id="only_quoted"
        ),
        pytest.param("La fête du port aura lieu samedi.", None, None, id="none"),
    ],
)
def test_kind_and_number_of_an_act(text, kind, number):
    """What a text calls itself, not what it refers to."""
    assert act_kind(text) == kind
    assert act_number(text, kind) == number


@pytest.mark.parametrize(
    ("text", "day"),
    [
        pytest.param(ORDER, date(2025, 4, 28), id="signed"),
        pytest.param(
            "ARRÊTÉ DU 13 NOVEMBRE 2025\nVu le décret du 3 mai 2002",
            date(2025, 11, 13),
            id="titled",
        ),
        pytest.param(
            "Port-Neuf, le 15 janvier 2026\nRéunion le 21 janvier 2026",
            date(2026, 1, 15),
            id="place",
        ),
        pytest.param(
            "CONSEIL MUNICIPAL DU 10 DECEMBRE 2025\n2. Approbation du procès-verbal du 17 septembre 2025",
            date(2025, 12, 10),
            id="sitting",
        ),
        pytest.param("Arrêté du maire du 2 Q DEC, 2023\n", date(2023, 12, 20), id="stamp"),
        pytest.param("Jeudi 1er Octobre 2009 Bulletin", date(2009, 10, 1), id="head"),
        pytest.param("Date et heure: 2026-01-11 17:03", date(2026, 1, 11), id="iso"),
        pytest.param("le 12/03/2025", date(2025, 3, 12), id="numeric"),
        pytest.param("Vu la loi du 6 juillet 1989\ncode du travail", None, id="only_a_law"),
        pytest.param("le 31/02/2025, le 99/99/2025, en 2025", None, id="no_day"),
        pytest.param("Horizon : 3 mars 2099", None, id="too_far_ahead"),
    ],
)
def test_the_day_a_document_bears(text, day):
    """Signed, titled, sat: never the day of a law it quotes."""
    assert own_date(text, (), TODAY) == day


def test_an_act_signed_on_its_last_page():
    """The first page has no date of its own."""
    first, last = ORDER.split("Fait à")
    pages = [Page(1, first, "text"), Page(2, "Fait à" + last, "text")]

    document = described(Draft(pages), Media.PDF, TODAY)

    assert document.dated_on == date(2025, 4, 28)
    assert document.title == (
        "Arrêté du maire n° PM2031-007 Portant interdiction de stationner sur le quai des Dunes"
    )


def test_a_title_without_what_ocr_made_of_a_logo():
    """Specks beside the title are no words of it."""
    text = "up Arrêté du maire n° 12\nd th Z\n| e F n e — Portant règlement du marché\nLe maire"

    assert act_title(text, "arrete") == "Arrêté du maire n° 12 Portant règlement du marché"


@pytest.mark.parametrize(
    ("text", "kind", "title"),
    [
        pytest.param(
            "Arrêté du maire n° 12\n\ndier n ce 4 portant règlement du marché\nau vieux port\nLe maire",
            "arrete",
            "Arrêté du maire n° 12 portant règlement du marché au vieux port",
            id="specks_before_the_subject",
        ),
        pytest.param(
            "Arrêté du maire n° 12\nPortant règlement permanent du\ne- marché « bio »\nLe maire",
            "arrete",
            "Arrêté du maire n° 12 Portant règlement permanent du marché « bio »",
            id="speck_before_a_line",
        ),
        pytest.param(
            "Règlement\nde la voirie de Port-Neuf\nwww.port-neuf.example",
            "reglement",
            "Règlement de la voirie de Port-Neuf",
            id="address_below",
        ),
        pytest.param(
            "Jeudi 1* Octobre 2031 Internet : Bulletin N° 18",
            "bulletin",
            "Bulletin N° 18",
            id="day_before_the_number",
        ),
        pytest.param(
            "LE PHARE\nLe magazine de la commune de Port-Neuf\n#16",
            "bulletin",
            "LE PHARE Le magazine de la commune de Port-Neuf",
            id="name_above",
        ),
        pytest.param(
            "Plan de Prévention des Risques fr «\n\nnaturels prévisibles 50 +\n\n3 - Règlement\nmars",
            "reglement",
            "Plan de Prévention des Risques naturels prévisibles 3 - Règlement",
            id="part_of_a_plan",
        ),
    ],
)
def test_the_title_an_act_gives_itself(text, kind, title):
    """What it is, of what it is part, and nothing of what stands beside it."""
    assert act_title(text, kind) == title


def test_a_plan_of_zones_is_no_regulation():
    """A map that names the regulation it belongs to is titled as its part."""
    text = (
        "Plan de prévention\ndes risques\n\n2 - Cartographie des zones du règlement\n\nZone rouge"
    )

    document = described(Draft([Page(1, text, "ocr", 0.7)]), Media.PDF, TODAY)

    assert document.act_kind is None
    assert document.title == (
        "Plan de prévention des risques 2 - Cartographie des zones du règlement"
    )


@pytest.mark.parametrize(
    ("draft", "title"),
    [
        pytest.param(
            Draft([Page(1, "Bonjour à tous", "text")], heading="La vie du port"),
            "La vie du port",
            id="structure",
        ),
        pytest.param(
            Draft([Page(1, "Bonjour à tous", "text")], metadata={"title": "Guide des plages"}),
            "Guide des plages",
            id="claim",
        ),
        pytest.param(
            Draft([Page(1, "Bonjour à tous", "text")], metadata={"title": "scan_0012.tif"}),
            "Bonjour à tous",
            id="file_name",
        ),
        pytest.param(Draft([Page(1, "", "set_aside", reason="needs_ocr")]), None, id="unread"),
        pytest.param(
            Draft([Page(1, "> Lieu et heure: la salle\nOn a parlé du port", "text")], "Aperçu"),
            "On a parlé du port",
            id="heading_of_any_paper",
        ),
        pytest.param(
            Draft([Page(1, "SOLIPAIRE\nMettons les pieds", "ocr", 0.8)]),
            "Mettons les pieds",
            id="logo",
        ),
        pytest.param(
            Draft([Page(1, "mot " * 60, "text")]), "mot " * 49 + "mot …", id="long_first_line"
        ),
    ],
)
def test_title(draft, title):
    """What is marked as a title, then a claim that looks like one, then the first words."""
    assert described(draft, Media.PDF, TODAY).title == title


def test_a_page_of_the_site_that_lists_orders_is_no_order():
    """Only the heading of a web page says what it is."""
    page = Page(1, "Arrêté n° 12 du 3 mars 2025\nArrêté n° 13 du 4 mars 2025", "text")

    assert described(Draft([page], heading="Publications"), Media.HTML, TODAY).act_kind is None
