"""A moderator decides in Airflow's own pages, in a real browser: reads, chooses a reason, refuses."""

import shutil
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import NoReturn

import pytest

from bench import real_system
from bench.real_system import RealSystem
from tests.review_cases import ATTACK, REVIEW, TEMPLATE, asked, decision, judged
from tests.services import chromium
from tests.services.chromium import Browser

pytestmark = pytest.mark.services

DAY = date(2024, 7, 1)
INSULT, HOSTILE = "review-ui:insult", "review-ui:hostile"
REASON = "Article 1 : Pas d'attaque personnelle ni de propos discriminatoire"


@pytest.fixture(scope="module")
def system(need_tool: Callable[[str], NoReturn]) -> Iterator[RealSystem]:
    """Run a whole system with two texts that wait for a person."""
    pytest.importorskip("airflow", reason="needs Airflow")
    for tool in ("chromium", "chromedriver"):
        if shutil.which(tool) is None:
            need_tool(tool)
    with real_system.running() as started:
        judged(started, DAY, {INSULT: ATTACK, HOSTILE: TEMPLATE})
        started.start_run(REVIEW, "ui-review", {"only_day": DAY.isoformat()})
        yield started


@pytest.fixture(scope="module")
def browser(system: RealSystem, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Open a browser in which moderator1 has logged in; its last page is kept as a picture."""
    with chromium.opened() as opened:
        opened.open(system.address)
        opened.write("//input[@name='username']", "moderator1")
        opened.write("//input[@type='password']", system.passwords["moderator1"])
        opened.click("//button[@type='submit']")
        opened.wait("//*[text()='Required Actions' or contains(text(), 'Required Action')]")
        yield opened
        opened.screenshot(Path(tmp_path_factory.mktemp("browser")) / "last.png")


def open_question(browser: Browser, system: RealSystem, contribution_id: str) -> None:
    """Find a question in the list of required actions and open it, as a moderator does."""
    subject = asked(system, contribution_id).detail["subject"]
    title, words, _ = subject.split(" · ")
    words = words.strip("«»… ")
    assert '"' not in title + words
    browser.open(f"{system.address}/required_actions")
    browser.click(f'//a[starts-with(normalize-space(), "{title}") and contains(., "{words}")]')
    browser.wait("//button[normalize-space()='Refuser']")


def test_a_citizens_words_stay_words_in_the_browser(browser: Browser, system: RealSystem) -> None:
    """No link, no picture, no template; what the machine marked stands out."""
    open_question(browser, system, HOSTILE)

    text = browser.text()

    assert "{{" in text
    assert "49" not in text.split("Le texte")[1].split("Pourquoi")[0]
    assert (
        browser.run("return [...document.links].filter(a => a.href.includes('evil')).length") == 0
    )
    assert (
        browser.run("return [...document.images].filter(i => i.src.includes('evil')).length") == 0
    )


def test_a_question_is_pleasant_to_read(browser: Browser, system: RealSystem) -> None:
    """Headings, the marked words in bold, a table of the articles, four buttons in their order."""
    open_question(browser, system, INSULT)

    strong = browser.run("return [...document.querySelectorAll('strong')].map(e => e.innerText)")
    headings = browser.run("return [...document.querySelectorAll('h3')].map(e => e.innerText)")
    buttons = browser.run(
        "return [...document.querySelectorAll('[data-testid^=hitl-option]')].map(e => e.innerText)"
    )

    assert any(words in ATTACK for words in strong)
    assert [each for each in headings if each in {"Le texte", "Pourquoi cette question"}] == [
        "Le texte",
        "Pourquoi cette question",
    ]
    assert browser.find("//table//td[contains(., 'Article 1 de la charte')]")
    assert buttons == ["Accepter", "Refuser", "Demander de reformuler", "Transmettre"]


def test_a_moderator_refuses_in_the_browser(browser: Browser, system: RealSystem) -> None:
    """The reason from the list and the sentence reach the ledger under the moderator's login."""
    open_question(browser, system, INSULT)
    browser.click("//input[@name='element_reason']/preceding-sibling::*[1]")
    browser.click(f'//*[@role="option" and normalize-space()="{REASON}"]')
    browser.write("//textarea[@name='element_sentence']", "On critique, on n'insulte pas.")

    browser.click("//button[normalize-space()='Refuser']")

    outcome, who, reason, statement, state = decision(system, INSULT)
    assert (outcome, who, state) == ("refused", "moderator1", "refused")
    assert reason == "attaque_personnelle_ou_discrimination"
    assert "On critique, on n'insulte pas." in statement


def test_a_refusal_without_a_reason_comes_back_in_the_browser(
    browser: Browser, system: RealSystem
) -> None:
    """The list shows it again, and the page says what was missing; then it is answered."""
    first = asked(system, HOSTILE)
    open_question(browser, system, HOSTILE)
    browser.click("//button[normalize-space()='Refuser']")
    asked(system, HOSTILE, after=first.question_id)

    open_question(browser, system, HOSTILE)

    assert "Un refus demande un motif" in browser.text()
    browser.click("//button[normalize-space()='Accepter']")
    assert decision(system, HOSTILE)[:2] == ("accepted", "moderator1")
