"""The pages in a real browser: what axe-core finds, that nothing is cut off, and answers by keyboard."""

import importlib.resources
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from include.contributions.model import BrokenRecord
from tests.services import chromium
from tests.services.chromium import Browser

pytestmark = [pytest.mark.services, pytest.mark.postgres]

SIZES = {"screen": (1280, 900), "phone": (390, 844)}

PAGES = (
    "/",
    "/contributions",
    "/contributions/form:1",
    "/review",
    "/review/1",
    "/quarantine",
    "/documents",
    "/documents/set-aside",
    "/search?q=quai",
    "/workflows",
    "/reports/days",
    "/evaluations",
    "/dags/runs?dag_id=contribution_analysis",
    "/tasks/attempts?dag_id=contribution_analysis&task_id=judge",
    "/contributions/nobody",
)


AROUND = (
    '<!doctype html><title>x</title><iframe src="participation/quarantine"'
    ' sandbox="allow-scripts allow-same-origin allow-forms allow-downloads"></iframe>'
)
"""A page of the same server that shows one of ours in a frame, as Airflow does."""


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the script of axe-core."""
    return (importlib.resources.files("axe_core_python") / "axe.min.js").read_text("utf-8")


@pytest.fixture(scope="module")
def town(ledger_dsn: str) -> str:
    """Fill the ledger with a little of everything."""
    pytest.importorskip("airflow", reason="needs Airflow")
    from participation.ledger import connect  # noqa: PLC0415 - absent where the unit tests run alone
    from participation.ledger.attempt import Attempt  # noqa: PLC0415 - the same
    from participation.ledger.metrics import close_metric, open_metric  # noqa: PLC0415 - the same
    from tests.integration.document_steps import Steps  # noqa: PLC0415 - the same
    from tests.integration.review_steps import TOWN, add_case, reviews  # noqa: PLC0415 - the same
    from tests.plugins.test_pages import load  # noqa: PLC0415 - the same

    with connect(ledger_dsn) as connection:
        broken = [BrokenRecord("line 9", "no_text", "L'entrée est vide.", '{"texte": ""}')]
        load(connection, "Le banc du quai d'Audierne est cassé.", broken=broken)
        for number in range(1, 8):
            add_case(connection, number, hours=number, kind="review", reason="accusation")
        store = reviews(connection)
        for claimed in store.claim(20):
            store.put(claimed.question_id)
        steps = Steps(connection, TOWN)
        steps.keep("/srv/depot/arrete.pdf", "a")
        steps.parse("a", "Le stationnement est interdit sur le quai.", title="Arrêté")
        steps.chunk()
        steps.embed()
        steps.indexing.build()
        one = Attempt("contribution_analysis", "run-1", "judge", 0, 1)
        open_metric(connection, TOWN, one, "validate")
        close_metric(connection, one, "success", item="form:1", output_size=1)
        connection.execute(
            "INSERT INTO deadline_miss (dag_id, run_id, alert) VALUES ('daily_chain', 'r', 'late')"
        )
    return ledger_dsn


@pytest.fixture(scope="module")
def served(town: str) -> Iterator[SimpleNamespace]:
    """Serve the pages beside a place that takes answers as Airflow does; whoever asks may do all."""
    import uvicorn  # noqa: PLC0415 - absent where the unit tests run alone
    from airflow.api_fastapi.core_api import security  # noqa: PLC0415 - the same
    from fastapi import FastAPI, Request  # noqa: PLC0415 - the same
    from fastapi.responses import HTMLResponse  # noqa: PLC0415 - the same

    from participation.api import serving  # noqa: PLC0415 - the same
    from participation.api.app import app  # noqa: PLC0415 - the same

    patch = pytest.MonkeyPatch()
    allows_all = SimpleNamespace(is_authorized_dag=lambda **_: True)
    clerk = SimpleNamespace(get_id=lambda: "anne", get_name=lambda: "Anne")
    patch.setattr(security, "get_auth_manager", lambda: allows_all)
    patch.setattr(security.DagModel, "get_team_name", lambda _dag_id: None)
    patch.setattr(serving, "ledger_dsn", lambda: town)
    patch.setitem(app.dependency_overrides, security.get_user, lambda: clerk)
    root, taken = FastAPI(), []

    async def take(request: Request) -> dict[str, Any]:
        taken.append((request.method, request.url.path, await request.json()))
        return {}

    root.add_api_route("/around", lambda: HTMLResponse(AROUND))
    root.add_api_route("/api/v2/{rest:path}", take, methods=["PATCH", "POST"])
    root.mount("/participation", app)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(root, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.1)
    yield SimpleNamespace(address=f"http://127.0.0.1:{port}/participation", taken=taken)
    server.should_exit = True
    thread.join(20)
    patch.undo()


@pytest.fixture(scope="module")
def browser(need_tool: Callable[[str], NoReturn]) -> Iterator[Browser]:
    """Open a browser without Airflow around it."""
    for tool in ("chromium", "chromedriver"):
        if shutil.which(tool) is None:
            need_tool(tool)
    with chromium.opened() as opened:
        yield opened


def resized(browser: Browser, size: str) -> None:
    width, height = SIZES[size]
    browser.call(
        "POST",
        "/goog/cdp/execute",
        {
            "cmd": "Emulation.setDeviceMetricsOverride",
            "params": {
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": size == "phone",
            },
        },
    )


def pressed(browser: Browser, *keys: str) -> None:
    actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
    browser.call(
        "POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]}
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_axe_finds_nothing(
    browser: Browser, served: SimpleNamespace, axe: str, size: str, theme: str
) -> None:
    """No violation on any page, in either language, and nothing wider than the window."""
    resized(browser, size)
    language = "en" if theme == "dark" else "fr"
    browser.open(f"{served.address}/?lang={language}")
    browser.run("localStorage.setItem('theme', arguments[0])", theme)
    found = []
    for page in PAGES:
        browser.open(f"{served.address}{page}")
        assert browser.run("return document.documentElement.dataset.theme") == theme
        assert browser.run("return document.documentElement.lang") == language
        width = browser.run("return Math.max(document.documentElement.scrollWidth, innerWidth)")
        assert width <= SIZES[size][0], page
        browser.run(axe)
        browser.call("POST", "/timeouts", {"script": 60_000})
        violations = browser.call(
            "POST",
            "/execute/async",
            {
                "script": "const done = arguments[arguments.length - 1];"
                "axe.run(document).then((found) => done(found.violations.map("
                "(each) => [each.impact, each.id, each.nodes[0].html])))",
                "args": [],
            },
        )
        found += [(page, *each) for each in violations]

    assert found == []


def test_colours_follow_airflows_at_once(browser: Browser, served: SimpleNamespace) -> None:
    """As in Airflow's frame: the page around this one changes the choice, this one follows."""
    browser.open(served.address.replace("/participation", "/around"))
    browser.run("localStorage.setItem('theme', 'dark'); location.reload()")
    theme = "return document.querySelector('iframe').contentDocument?.documentElement.dataset.theme"
    browser.until(lambda: browser.run(theme) == "dark", "dark in the frame")

    browser.run("localStorage.setItem('theme', 'light')")

    browser.until(lambda: browser.run(theme) == "light", "light in the frame")


def test_a_question_is_answered_by_keyboard(browser: Browser, served: SimpleNamespace) -> None:
    """r, a number for the reason, Enter: sent where Required Actions send theirs; n goes on."""
    resized(browser, "screen")
    browser.open(f"{served.address}/review?lang=fr")
    browser.click("//a[@class='button']")
    browser.wait("//form[@id='answering']")
    first = browser.run("return location.pathname")

    pressed(browser, "r", "\ue007")
    browser.until(lambda: "Un refus demande un motif" in browser.text(), "why it would not count")
    assert served.taken == []
    pressed(browser, "2", "\ue007")
    browser.until(lambda: "Réponse envoyée" in browser.text(), "that it was sent")
    pressed(browser, "n")
    browser.until(lambda: browser.run("return location.pathname") != first, "the next question")

    ((method, path, body),) = served.taken
    assert method == "PATCH"
    assert path.startswith("/api/v2/dags/contribution_review/dagRuns/")
    assert path.endswith("/hitlDetails")
    assert body["chosen_options"] == ["Refuser"]
    assert body["params_input"]["reason"] == "spam_ou_publicite"


def test_keys_can_be_switched_off(browser: Browser, served: SimpleNamespace) -> None:
    """Whoever speaks to the browser, or leans on a key, answers nothing by it."""
    browser.open(f"{served.address}/review/2")
    browser.wait("//form[@id='answering']")
    chosen = "return document.querySelector('input[name=option]:checked')?.value ?? null"
    browser.run("document.getElementById('shortcuts').click()")
    pressed(browser, "a")
    assert browser.run(chosen) is None

    browser.run("document.getElementById('shortcuts').click()")
    pressed(browser, "a")

    assert browser.run(chosen) == "accept"


def test_the_overview_asks_for_itself_again(
    browser: Browser, served: SimpleNamespace, town: str
) -> None:
    """What changed in the ledger is on the page without a reload; a page nobody sees asks for nothing."""
    import psycopg  # noqa: PLC0415 - absent where the unit tests run alone

    browser.open(f"{served.address}/?lang=fr")
    assert "loin" not in browser.text()
    with psycopg.connect(town) as connection:
        connection.execute(
            "INSERT INTO participation.deadline_miss (dag_id, run_id, alert) VALUES ('loin', 'r', 'late')"
        )

    browser.run("document.dispatchEvent(new Event('visibilitychange'))")

    browser.until(lambda: "loin" in browser.text(), "the new deadline")


def test_the_pictures_are_there(browser: Browser, served: SimpleNamespace) -> None:
    """One picture of the flow for each size of window, never both."""
    shown = (
        "return [...document.querySelectorAll('svg.flow')].filter((each) => each.clientWidth)"
        ".map((each) => each.classList[1])"
    )
    for size, kind in (("screen", "wide"), ("phone", "narrow")):
        resized(browser, size)
        browser.open(f"{served.address}/")
        assert browser.run(shown) == [kind]
