"""The pages of the plugin, asked for as a browser does, over a real ledger."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
from fastapi.testclient import TestClient

from include.contributions.model import BrokenRecord, Record
from include.contributions.story import LISTED, address_of
from include.pages import asset
from include.ports import SourceFile
from include.review.blind import is_blind
from include.review.model import OPTION_LABELS, Option
from participation.api.acting import MAX_BODY_BYTES, OWN_HEADER
from participation.ledger.appeals import file_appeal
from participation.ledger.attempt import Attempt
from participation.ledger.loading import LedgerLoading
from participation.ledger.metrics import close_metric, open_metric
from participation.operators.links import PagesLink
from participation_plugin import ParticipationPlugin
from tests.integration.document_steps import Steps, sha
from tests.integration.review_steps import add_case, answered, decide_once, reviews, settle
from tests.unit.review.questions import ANNE, BRUNO

pytestmark = pytest.mark.postgres

ROOT = Path(__file__).parents[2]
TOWN = "audierne-esquibien"
DAY = date(2026, 1, 12)
HOSTILE = "<script>alert(1)</script> \u202e\"'><img src=x onerror=alert(2)> {{ 7*7 }}"
OURS = {OWN_HEADER: "page", "Origin": "http://testserver"}

WORDS = "daily_chain"
PAGES = {
    "/": WORDS,
    "/overview/live": WORDS,
    "/contributions": WORDS,
    "/contributions/form:1": WORDS,
    "/contribution?id=form:1": WORDS,
    "/review": WORDS,
    "/review/1": WORDS,
    "/review/1/opinion": WORDS,
    "/quarantine": WORDS,
    "/reports": WORDS,
    "/reports/days": WORDS,
    "/documents": "document_intake",
    "/search?q=banc": "document_intake",
    "/dags/runs?dag_id=contribution_analysis": "contribution_analysis",
    "/tasks/attempts?dag_id=contribution_analysis&task_id=judge": "contribution_analysis",
}
"""Every page, and the DAG whose runs its reader may see."""


def load(connection, *texts, day=DAY, name="file", broken=()):
    store = LedgerLoading(connection, TOWN)
    source = SourceFile(f"/srv/depot/{name}.jsonl", name, name.ljust(64, "0"), 1, "jsonl", "utf-8")
    records = [
        Record(name, str(n), text, "", None, day, f"line {n}") for n, text in enumerate(texts, 1)
    ]
    store.add_file(store.begin_load("inbox"), source, [*records, *broken])


def post(browser, path, body, **headers):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return browser.post(path, content=content, headers={**OURS, **headers})


def ask_about(connection, *, blind=False, **more):
    """Put a question whose opinion is kept back, or is not; its number and its contribution's id."""
    for number in range(1, 200):
        contribution_id = add_case(connection, f"{more.get('name', '')}{number}", **more)
        (case,) = connection.execute("SELECT max(review_case_id) FROM review_case").fetchone()
        if is_blind(f"case {case}") == blind:
            break
        connection.execute(
            "UPDATE review_case SET closed_at = now() WHERE review_case_id = %s", (case,)
        )
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "UPDATE contribution SET state = 'accepted' WHERE contribution_id = %s",
            (contribution_id,),
        )
        connection.execute("SET session_replication_role = DEFAULT")
    store = reviews(connection, f"ask-{number}")
    (claimed,) = store.claim(20)
    store.put(claimed.question_id)
    return claimed.question_id, contribution_id


@pytest.mark.parametrize(("path", "dag_id"), PAGES.items())
def test_each_page_is_for_those_who_may_see_its_dag(browser, doors, path, dag_id):
    """Citizens' words for who may see the daily reports, documents for who may see their intake."""
    doors.allowed -= {dag_id}

    assert browser.get(path).status_code == 403
    assert doors.asked == [("GET", "TASK_INSTANCE" if "dag_id" in path else "RUN", dag_id)]


def test_the_style_sheet_and_the_script_are_for_whoever_is_logged_in(browser, doors):
    """They hold nobody's words; their address changes with them, so they are asked for once."""
    doors.allowed = set()

    for name, kind in (("pages.css", "text/css"), ("pages.js", "text/javascript")):
        answer = browser.get(f"/static/{name}?v=1")
        assert answer.text == asset(name).content
        assert answer.headers["content-type"].startswith(kind)
        assert "immutable" in answer.headers["cache-control"]
    assert browser.get("/static/style.css").status_code == 422
    assert browser.get("/static/..%2fbase.html.j2").status_code in {404, 422}


def test_what_somebody_may_not_see_is_not_offered(see, doors):
    """A link that would end at a locked door is no link."""
    assert 'href="documents"' in see("/")
    doors.allowed -= {"document_intake"}
    shown = see("/")
    assert 'href="documents"' not in shown
    assert "documents de côté" not in shown
    assert 'href="contributions"' in shown


def test_a_locked_door_says_so_in_words(browser, doors, monkeypatch):
    """A browser that opens a page gets a page; anything else gets JSON as everywhere."""
    doors.allowed = set()

    page = browser.get("/contributions/x", headers={"accept": "text/html,*/*"})
    assert page.status_code == 403
    assert "Pas de droit" in page.text
    assert 'href="../static/pages.css' in page.text
    assert browser.get("/contributions/x").json() == {"detail": "Forbidden"}


def test_a_ledger_that_is_away_says_so_in_words(browser, monkeypatch):
    """Nobody reads a trace; the page says what to do."""
    from participation.api import serving  # noqa: PLC0415 - as the fixtures do

    monkeypatch.setattr(serving, "ledger_dsn", lambda: "postgresql://127.0.0.1:1/nothing")

    page = browser.get("/", headers={"accept": "text/html"})
    assert page.status_code == 503
    assert "ne répond pas" in page.text


def test_a_hostile_text_stays_text_on_every_page(see, ledger):
    """Id, text, file, reason and statement come from outside: none becomes markup."""
    load(ledger, f"{HOSTILE} Le banc du quai est cassé.")
    broken = BrokenRecord(HOSTILE, "not_json", HOSTILE, HOSTILE)
    load(ledger, name=f"a{HOSTILE[:8]}", broken=[broken])
    question, _ = ask_about(ledger, name=HOSTILE, text=HOSTILE + " un idiot")
    (odd,) = ledger.execute(
        "SELECT contribution_id FROM contribution WHERE contribution_id LIKE %s", ("%<script%",)
    ).fetchone()
    steps = Steps(ledger)
    steps.keep(f"/srv/{HOSTILE}.pdf", "a")
    steps.parse("a", HOSTILE + " Le quai.", title=HOSTILE)
    steps.chunk()
    steps.embed()
    steps.indexing.build()
    attempt = Attempt("contribution_analysis", HOSTILE, "judge", 0, 1)
    open_metric(ledger, TOWN, attempt, "validate")
    close_metric(ledger, attempt, "failed", item=HOSTILE, error_message=HOSTILE)

    for path in (
        "/",
        "/contributions",
        f"/contributions?q={HOSTILE}",
        "/contributions/file:1",
        f"/{address_of(odd)}",
        "/review",
        f"/review/{question}",
        "/quarantine",
        f"/search?q=quai {HOSTILE}",
        "/dags/runs?dag_id=contribution_analysis",
        "/tasks/attempts?dag_id=contribution_analysis&task_id=judge",
    ):
        shown = see(path)
        assert shown.count("<script") == shown.count('<script src="') == 1, path
        assert "<img" not in shown, path
        assert "\u202e" not in shown, path
        assert "&lt;script&gt;" in shown or path == "/", path
        assert "49" not in re.findall(r"alert\(2\)&gt; (\S+)", shown)


@pytest.mark.parametrize(
    "name", ["x", "%00", "..", "%2e%2e%2f", "a" * 501, "%ff", "%F0%9F%98%80", "a%0Ab", "%ed%a0%80"]
)
def test_an_unknown_contribution_is_not_found(browser, name):
    """Whatever stands in the address: never an error of the server."""
    paths = [f"/contribution?id={name}"]
    if "." not in name and "%2e" not in name:  # what a client makes another address of
        paths.append(f"/contributions/{name}")
    for path in paths:
        assert browser.get(path).status_code in {404, 422}


@pytest.mark.parametrize(
    "query",
    [
        "state=nonsense&category=x",
        "since=2026-02-30&until=never",
        "q=%00&reason=%00",
        "after=%00",
        "after=nobody&before=nobody",
        "q=%25_%5C",
    ],
)
def test_a_filter_that_is_none_asks_nothing(see, ledger, query):
    """An address that was mistyped shows the list; a sign of SQL's LIKE is only a sign."""
    load(ledger, "Le banc du quai est cassé.")

    shown = see(f"/contributions?{query}")

    assert ("Le banc du quai" in shown) == ("q=%25" not in query)


def test_another_towns_contributions_are_invisible(see, ledger):
    """Neither in a list nor by their id."""
    add_case(ledger, 7, town="ailleurs", text="Secret d'ailleurs, un idiot")

    for path in ("/", "/contributions", "/review", "/quarantine"):
        assert "ailleurs" not in see(path)
    see("/contributions/form:7", 404)


def test_the_list_is_turned_page_by_page(see, ledger):
    """Every contribution is on one page and on one only, whatever way one turns; days go backwards."""
    ids = set()
    for back in range(3):
        day = DAY - timedelta(days=back)
        load(ledger, *(f"Texte {back} {n}" for n in range(50)), day=day, name=f"f{back}")
        ids |= {f"f{back}:{n}" for n in range(1, 51)}

    pages, address = [], "/contributions"
    while address:
        shown = see(address)
        pages.append(re.findall(r'<a class="said"[^>]*href="contributions/([^"]+)"', shown))
        found = re.search(r'rel="next" href="([^"]+)"', shown)
        address = f"/{found[1]}".replace("&amp;", "&") if found else ""
    backwards = re.search(r'rel="prev" href="([^"]+)"', shown)
    before = see(f"/{backwards[1]}".replace("&amp;", "&"))

    listed = [each for page in pages for each in page]
    assert [len(page) for page in pages] == [LISTED, LISTED, LISTED]
    assert len(listed) == len(set(listed)) == 150
    assert set(listed) == ids
    assert [each[:2] for each in listed] == ["f0"] * 50 + ["f1"] * 50 + ["f2"] * 50
    assert re.findall(r'<a class="said"[^>]*href="contributions/([^"]+)"', before) == pages[1]


def test_the_list_is_filtered(see, ledger):
    """By state, day, category, reason of the open case, part of an id, and a citizen's code."""
    load(ledger, "Un texte en attente.", day=DAY - timedelta(days=5), name="autre")
    add_case(ledger, 1, reason="accusation", kind="review", text="Un avis, un idiot")
    add_case(ledger, 2, text="Un refus, un idiot")
    decide_once(ledger, "form:2", "r")
    (code,) = ledger.execute("SELECT receipt_code FROM decision").fetchone()

    def ids(query):
        return set(re.findall(r'<span class="id">([^<]+)<', see(f"/contributions?{query}")))

    assert ids("") == {"autre:1", "form:1", "form:2"}
    assert ids("state=pending") == {"autre:1"}
    assert ids("state=refused") == {"form:2"}
    assert ids("reason=accusation") == {"form:1"}
    assert ids(f"since={DAY}") == {"form:1", "form:2"}
    assert ids(f"until={DAY - timedelta(days=1)}") == {"autre:1"}
    assert ids("category=none") == {"autre:1", "form:1", "form:2"}
    assert ids("q=RM:1") == {"form:1"}
    assert ids(f"q={code.lower()}") == {"form:2"}
    assert "3\u00a0contributions" in see("/contributions?state=refused")


def test_the_story_of_a_contribution(see, ledger):
    """Received, judged by which engine and rubric, asked, decided with the statement, contested."""
    add_case(ledger, 1, hours=2)
    decide_once(ledger, "form:1", "r", sentence="On critique, on n'insulte pas.")
    file_appeal(ledger, TOWN, "form:1", "Je parlais du banc.")

    shown = see("/contributions/form:1")

    order = [
        shown.index(words)
        for words in (
            "Une personne est sollicitée",
            "La question est posée",
            f"Refusée par {ANNE.name}",
            "On critique, on n&#39;insulte pas.",
            "conteste le refus",
            "Je parlais du banc.",
        )
    ]
    assert order == sorted(order)
    assert "<b>Reçue</b>" in shown
    assert "<b>Charte</b>" in shown
    assert "embedded · embedded-1" in shown
    assert '<mark class="against" id="m1">un idiot<a class="note" href="#e1"' in shown
    assert 'id="e1" class="against"' in shown
    assert 'href="#m1"' in shown


def test_buttons_are_for_who_may(see, doors, ledger):
    """To analyse again one starts the analysis; to contest one answers questions."""
    add_case(ledger, 1)
    decide_once(ledger, "form:1", "r")

    assert "data-rerun" not in see("/contributions/form:1")
    doors.may_change = {"contribution_analysis"}
    shown = see("/contributions/form:1")
    assert 'data-rerun="form:1" data-address="../../api/v2/dags/contribution_analysis' in shown
    assert "appealing" not in shown
    doors.may_change = {"contribution_review"}
    assert 'id="appealing"' in see("/contributions/form:1")


def test_what_changes_something_needs_more_than_a_cookie(browser, doors, ledger):
    """Without our header, from elsewhere, or with too much of it: nothing happens."""
    add_case(ledger, 1)
    decide_once(ledger, "form:1", "r")
    body = {"id": "form:1", "words": "Je parlais du banc."}
    path = "/contributions/appeal"

    assert post(browser, path, body).status_code == 403, "without the permission"
    doors.may_change = {"contribution_review"}
    asked = json.dumps(body)
    assert browser.post(path, content=asked).status_code == 403
    assert browser.post(path, content=asked, headers={OWN_HEADER: "page"}).status_code == 403
    assert post(browser, path, body, Origin="https://evil.example").status_code == 403
    assert post(browser, path, body, **{"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert post(browser, path, b"x" * (MAX_BODY_BYTES + 1)).status_code == 413
    assert post(browser, path, b"[]").status_code == 422
    for code, told in (("fr", "mots de l'auteur"), ("en", "author's words")):
        empty = post(browser, f"{path}?lang={code}", {"id": "form:1", "words": " "})
        assert (empty.status_code, told in empty.json()["detail"]) == (422, True)
    assert post(browser, path, {"id": "form:9", "words": "x"}).status_code == 422
    assert post(browser, path, {"id": "\x00", "words": "x"}).status_code == 422
    assert ledger.execute("SELECT count(*) FROM appeal").fetchone() == (0,)

    assert post(browser, path, body).status_code == 201
    assert post(browser, path, body).status_code == 201
    assert ledger.execute("SELECT words FROM appeal").fetchall() == [("Je parlais du banc.",)]


def test_the_overview_names_texts_that_no_model_judged(see, ledger):
    """With the days and the command; nothing of it while there are none."""
    assert "airflow backfill" not in see("/?lang=en")
    load(ledger, "Le banc est cassé.")
    ledger.execute("UPDATE contribution SET state = 'accepted', state_rubric = 'embedded-1-alone'")
    ledger.execute(
        "INSERT INTO work_chunk (municipality, received_on, days, rubric_version, dag_id, run_id,"
        " position, item_count, claimed_until) VALUES"
        " (%s, %s, ARRAY[%s::date], 'embedded-1-alone', 'd', 'r', 0, 1, now())",
        (TOWN, DAY, DAY),
    )

    shown = see("/?lang=en")

    assert 'role="alert"' in shown
    assert f"--from-date {DAY} --to-date {DAY}T23:59:59" in shown


def test_the_overview_tells_what_waits_for_whom(see, ledger):
    """Counts by who is waited for, the age of the oldest, the flow of the day; all of them links."""
    load(ledger, "Un texte en attente.", broken=[BrokenRecord("line 9", "no_text", "Vide.", "")])
    add_case(ledger, 1, kind="review", hours=49)
    add_case(ledger, 2)
    add_case(ledger, 3)
    decide_once(ledger, "form:3", "r")

    shown = see("/")

    for count, words in (
        (1, "attendent la machine"),
        (1, "attendent une personne"),
        (1, "refus proposés, attendent une personne"),
        (1, "entrées illisibles, de côté"),
    ):
        assert f"<b>{count}</b><span>{words}</span>" in shown
    assert "2\u00a0jours et 1\u00a0heure" in shown
    assert 'href="contributions/form:1"' in shown
    described = re.search(r'<desc id="flow-wide-words">([^<]*)<', shown)[1]
    assert described == (
        "reçues\u00a0: 4, demande un avis\u00a0: 1, propose un refus\u00a0: 2, "
        "n&#39;a pas encore lu\u00a0: 1, à une personne\u00a0: 2, refusées\u00a0: 1."
    )
    assert "Modèles connectés" not in shown


def test_a_missed_deadline_is_said_loudly(see, ledger):
    """While it is fresh it stands on top; later only in its list."""
    ledger.execute(
        "INSERT INTO deadline_miss (dag_id, run_id, alert) VALUES ('daily_chain', 'r 1', 'late')"
    )
    assert 'class="alarm"' in see("/")
    ledger.execute("UPDATE deadline_miss SET noted_at = now() - interval '3 days'")
    shown = see("/")
    assert 'class="alarm"' not in shown
    assert "runs/report?dag_id=daily_chain&amp;run_id=r%201" in shown
    assert "Aucun en 30 jours" not in shown


def test_an_empty_town_is_told_so(see):
    """The first look at a new installation: no error, no empty picture."""
    shown = see("/")

    assert "Rien n&#39;a encore été reçu." in shown
    assert '<svg class="flow' not in shown
    assert "Aucune contribution en trente jours." in shown
    assert "Le jour le plus chargé" not in shown
    for path in (
        "/contributions",
        "/review",
        "/quarantine",
        "/documents",
        "/search",
        "/reports/days",
    ):
        see(path)


def test_the_fragment_is_what_changes_of_the_page(see, ledger):
    """What is asked for again holds the counts and neither the frame nor a script."""
    add_case(ledger, 1)

    fragment = see("/overview/live")

    assert "<html" not in fragment
    assert "<script" not in fragment
    # Ages may be a second apart.
    part, page = (re.sub(r"\d+|\s+", "", each) for each in (fragment, see("/")))
    assert part
    assert part in page


def test_the_quarantine_says_why_and_the_way_back(see, doors, ledger):
    """Both kinds, each with what to do; a filter shows its own; the newest first, page by page."""
    broken = [BrokenRecord(f"line {n}", "no_text", f"Vide {n}.", "{}") for n in range(60)]
    load(ledger, "Le banc.", broken=broken)
    add_case(ledger, 1, kind="quarantined")
    ledger.execute(
        "INSERT INTO quarantine (municipality, kind, locator, contribution_id, step, rubric_version,"
        " reason, detail, received_on) VALUES (%s, 'contribution', '1', 'form:1', 'validate', 'r',"
        " 'process_died', 'SIGKILL', %s)",
        (TOWN, DAY),
    )
    doors.may_change = {"contribution_analysis"}

    shown = see("/quarantine")

    assert "61\u00a0entrées mises de côté" in shown
    assert ", ligne 59</p>" in shown
    assert "le programme s&#39;est arrêté net" in shown
    assert 'data-rerun="form:1"' in shown
    assert "le déposer de nouveau" in shown
    one = see("/quarantine?kind=contribution")
    assert one.count('<p class="said">') == 1
    assert "Vide 1." not in one
    found = re.search(r'rel="next" href="([^"]+)"', shown)
    second = see(f"/{found[1]}".replace("&amp;", "&"))
    details = re.findall(r"Vide (\d+)\.", shown + second)
    assert len(details) == len(set(details)) == 60
    assert 'rel="prev"' in second
    assert see("/quarantine?after=0&before=5&kind=x&reason=%00").count('rel="next"') == 0


def test_a_question_is_answered_where_required_actions_are(browser, see, doors, ledger):
    """The page names the task instance that waits, and the answer as Airflow's own form would send it."""
    doors.may_change = {"contribution_review"}
    question, contribution_id = ask_about(ledger, kind="review", reason="accusation")

    shown = see(f"/review/{question}")
    answer = post(
        browser, f"/review/{question}/check", {"option": "refuse", "reason": "spam_ou_publicite"}
    )

    (run_id, position) = ledger.execute("SELECT run_id, position FROM review_question").fetchone()
    assert "Des mots accusent" in shown
    assert "un idiot<a" in shown
    assert contribution_id in shown
    assert answer.json() == {
        "address": f"api/v2/dags/contribution_review/dagRuns/{run_id}/taskInstances/ask/{position}"
        "/hitlDetails",
        "body": {
            "chosen_options": [OPTION_LABELS[Option.REFUSE]],
            "params_input": {"reason": "spam_ou_publicite", "sentence": None, "note": None},
        },
    }
    assert ledger.execute("SELECT answer FROM review_question").fetchall() == [(None,)]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"option": "refuse"}, "Un refus demande un motif"),
        ({"option": "accept", "reason": "spam_ou_publicite"}, "se contredit"),
        ({"option": "refuse", "reason": "inventé"}, "pas dans la liste"),
        ({"option": "accept", "sentence": "x" * 601}, "601 caractères"),
        ({"option": "publish"}, "option"),
        ({"option": "accept", "person": "maire"}, "person"),
    ],
)
def test_an_answer_that_would_not_count_is_told_at_once(browser, doors, ledger, given, told):
    """By the very checks of the task that takes it; who answers is never read from the form."""
    doors.may_change = {"contribution_review"}
    question, _ = ask_about(ledger)

    answer = post(browser, f"/review/{question}/check", given)

    assert answer.status_code == 422
    assert told in answer.json()["detail"]


def test_only_who_may_answer_is_let_to(browser, see, doors, ledger):
    """Reading is one permission, answering another; a second look is another person's."""
    question, _ = ask_about(ledger)

    assert "ne permet pas de répondre" in see(f"/review/{question}")
    path = f"/review/{question}/check"
    assert post(browser, path, {"option": "accept"}).status_code == 403
    doors.may_change = {"contribution_review"}
    assert post(browser, path, {"option": "accept"}).status_code == 200
    assert browser.post(path, content=b'{"option": "accept"}').status_code == 403
    settle(reviews(ledger, "x"), question, answered(Option.ACCEPT, ANNE))
    for code, told in (("fr", "a sa réponse"), ("en", "has its answer")):
        late = post(browser, f"{path}?lang={code}", {"option": "accept"})
        assert (late.status_code, told in late.json()["detail"]) == (409, True)
    assert post(browser, "/review/999/check", {"option": "accept"}).status_code == 404


def test_on_a_tenth_the_person_answers_first(browser, see, doors, ledger):
    """Before the answer nothing on the page tells what the machine thinks; afterwards it is shown."""
    doors.may_change = {"contribution_review"}
    question, contribution_id = ask_about(ledger, blind=True, kind="review", reason="accusation")

    hidden, listed = see(f"/review/{question}"), see("/review")

    for shown in (hidden, listed):
        assert "Des mots accusent" not in shown
        assert "<mark" not in shown
        assert "attaque.fonction" not in shown
        assert address_of(contribution_id) not in shown
    assert f'data-opinion="{question}/opinion"' in hidden
    assert browser.get(f"/review/{question}/opinion").status_code == 409
    assert question not in map(
        int, re.findall(r'href="review/(\d+)', see("/review?reason=accusation"))
    )

    settle(reviews(ledger, "x"), question, answered(Option.ACCEPT, BRUNO))

    assert "Des mots accusent" in see(f"/review/{question}/opinion")
    assert "attaque.fonction" in see(f"/review/{question}")


def test_questions_come_one_after_another(see, doors, ledger):
    """The next one is the next that fits and waits; after the last one the first again."""
    doors.may_change = {"contribution_review"}
    for number, hours in ((1, 9), (2, 5), (3, 1)):
        add_case(ledger, number, hours=hours, kind="review", reason=f"raison_{number % 2}")
    store = reviews(ledger, "all")
    first, second, third = (each.question_id for each in store.claim(20))
    for each in (first, second, third):
        store.put(each)

    def after(question, query=""):
        found = re.search(r'id="next" href="(\d+)', see(f"/review/{question}{query}"))
        return int(found[1]) if found else None

    assert [after(each) for each in (first, second, third)] == [second, third, first]
    assert re.findall(r'class="said"[^>]*href="review/(\d+)', see("/review")) == [
        str(each) for each in (first, second, third)
    ]
    settle(store, second, answered(Option.ACCEPT))
    assert after(first) == third
    assert after(first, "?kind=appeal") is None


def test_the_tenth_is_a_tenth_and_stays_the_same():
    """Chosen by the case and by nothing else."""
    chosen = [number for number in range(2000) if is_blind(f"case {number}")]

    assert 150 < len(chosen) < 250
    assert chosen == [number for number in range(2000) if is_blind(f"case {number}")]


def test_search_answers_with_the_quote_and_its_page(see, ledger):
    """The words themselves, and a link to the page of the document where they stand."""
    steps = Steps(ledger)
    steps.keep("/srv/depot/a.pdf", "a")
    steps.parse(
        "a", "Le conseil se réunit.", "## La cale du **port** est fermée tout l'été.", title="Avis"
    )
    steps.chunk()
    steps.embed()
    steps.indexing.build()

    shown = see("/search?q=cale+du+port")

    assert "La cale du port est fermée" in shown
    assert f'href="documents/{sha("a")}#page-2"' in shown
    page = see(f"/documents/{sha('a')}")
    assert 'id="page-2"' in page
    assert "## La cale du **port** est fermée" in page
    assert "Aucun document ne répond" in see("/search?q=zzz")
    assert 'value="cale du port"' in shown


def test_the_tabs_show_runs_and_attempts(see, ledger):
    """A run as its last tries ended; an attempt with what it worked on, linked to its page."""
    load(ledger, "Le banc.")
    for try_number, status in ((1, "failed"), (2, "success")):
        one = Attempt("contribution_analysis", "run+1", "judge", 0, try_number)
        open_metric(ledger, TOWN, one, "validate", DAY)
        close_metric(ledger, one, status, item="file:1", output_size=4, received_on=DAY)
    other = Attempt("contribution_review", "r", "ask", 3, 1)
    open_metric(ledger, TOWN, other, "ask")
    close_metric(ledger, other, "success", item="question 12 (form:1)")

    runs = see("/dags/runs?dag_id=contribution_analysis")
    one = see(
        "/tasks/attempts?dag_id=contribution_analysis&task_id=judge&run_id=run%2B1&map_index=0"
    )
    asked = see("/tasks/attempts?dag_id=contribution_review&task_id=ask&map_index={MAP_INDEX}")

    assert "run_id=run%2B1" in runs
    assert "terminée" in runs
    assert "échouée" not in runs
    assert one.count('href="../contributions/file:1"') == 2
    assert 'href="../review/12"' in asked
    assert "ne connaît aucune exécution" in see("/dags/runs?dag_id=daily_chain")


@pytest.mark.parametrize("path", ["/", "/contributions", "/review", "/quarantine", "/documents"])
def test_pages_speak_french_and_english(see, browser, path):
    """As asked, then as kept, then as the browser says; citizens' pages in French by themselves."""
    assert '<html lang="fr">' in see(path, **{"accept-language": "fr-FR,en;q=0.4"})
    assert '<html lang="en">' in see(path, **{"accept-language": "en-GB"})
    assert f'<html lang="{"en" if path == "/" else "fr"}">' in see(
        path, **{"accept-language": "de"}
    )

    asked = browser.get(f"{path}?lang=en")
    assert '<html lang="en">' in asked.text
    assert "participation_lang=en" in asked.headers["set-cookie"]
    assert "HttpOnly" in asked.headers["set-cookie"]
    assert '<html lang="en">' in see(path, **{"accept-language": "fr"})
    assert "set-cookie" not in browser.get(f"{path}?lang=xx").headers


def test_the_other_language_keeps_what_was_asked(see):
    """Changing the language shows the same list."""
    shown = see("/contributions?state=review&q=a%26b")

    assert 'href="?state=review&amp;q=a%26b&amp;lang=en"' in shown


class Outline(HTMLParser):
    """Notes what a screen reader goes by."""

    def __init__(self, page):
        super().__init__()
        self.ids, self.targets, self.headings, self.unlabelled, self.handlers = [], [], [], [], []
        self.labels, self.depth = set(), 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        self.targets += found.get("aria-labelledby", "").split()
        self.handlers += [name for name in found if name.startswith("on") or name == "style"]
        if tag in {"h1", "h2", "h3"}:
            self.headings.append(tag)
        self.depth += tag == "label"
        is_field = tag in {"input", "select", "textarea"} and found.get("type") != "hidden"
        if is_field and not self.depth and found.get("id") not in self.labels:
            self.unlabelled.append(found)
        if tag == "label" and "for" in found:
            self.labels.add(found["for"])

    def handle_endtag(self, tag):
        self.depth -= tag == "label"


def test_pages_can_be_read_aloud_and_run_nothing_inline(see, doors, ledger):
    """One first heading, every field named, every reference kept; no inline style or handler."""
    doors.may_change = {"contribution_review", "contribution_analysis"}
    load(ledger, "Le banc.", broken=[BrokenRecord("line 9", "no_text", "Vide.", "x")])
    question, contribution_id = ask_about(ledger, name="q")

    for path in (*PAGES, f"/review/{question}", f"/{address_of(contribution_id)}"):
        if (
            path in {"/overview/live", "/review/1", "/review/1/opinion", "/reports"}
            or "form:1" in path
        ):
            continue
        outline = Outline(see(path))
        assert outline.headings.count("h1") == 1, path
        assert outline.headings[0] == "h1", path
        assert len(outline.ids) == len(set(outline.ids)), path
        assert set(outline.targets) <= set(outline.ids), path
        assert outline.unlabelled == [], path
        assert outline.handlers == [], path


def test_nothing_comes_from_elsewhere():
    """No address of another server in what we serve; SVG names its own namespace nowhere."""
    for name in ("pages.css", "pages.js"):
        assert not re.search(
            r"(https?:)?//[a-z]|url\(|@import", asset(name).content.replace("/*", "")
        )


def add_run(connection, number, state="done", **more):
    """Put a run of the named workflow for documents into the ledger."""
    names = ("take", "chunk", "index")
    connection.execute(
        "INSERT INTO workflow_definition (workflow, definition_hash, definition)"
        " VALUES ('document-processing', repeat('a', 64), %s) ON CONFLICT DO NOTHING",
        (json.dumps({"steps": [{"id": name} for name in names]}),),
    )
    connection.execute(
        "INSERT INTO workflow_run (workflow, run_id, municipality, dag_id, definition_hash, input, state,"
        " warnings, output, started_at, ended_at)"
        " VALUES ('document-processing', %s, %s, 'workflow_document_processing', repeat('a', 64), %s, %s,"
        " '[]', %s, %s, %s)",
        (
            f"run+{number}",
            more.get("town", TOWN),
            json.dumps({"path": more.get("path", "a.pdf")}),
            state,
            json.dumps(more.get("output", {"document_id": "ab"})) if state == "done" else None,
            datetime(2026, 1, 12, tzinfo=UTC) + timedelta(minutes=number),
            None if state == "running" else datetime(2026, 1, 13, tzinfo=UTC),
        ),
    )


RUN_OF_WORKFLOW = "?dag_id=workflow_document_processing&run_id=run%2B"


def test_a_workflow_shows_its_definition_and_its_runs(see, doors, ledger):
    """What is written in the file, and each run with its state, the latest first, page by page."""
    doors.allowed |= {"workflow_document_processing"}
    for number in range(60):
        add_run(ledger, number)
    add_run(ledger, 99, town="ailleurs")

    shown = see("/workflows")
    found = re.search(r'rel="next" href="([^"]+)"', shown)
    second = see(f"/{found[1]}".replace("&amp;", "&"))

    assert "Workflow: one document" in shown
    assert "Workflow: one contribution" not in shown, "its DAG is not for this reader"
    numbers = re.findall(r"run_id=run%2B(\d+)", shown + second)
    assert numbers == [str(number) for number in reversed(range(60))]
    assert see("/workflows?workflow=document-processing&older=nonsense").count("run_id=") == 50
    assert see("/workflows?workflow=another").count("run_id=") == 0


def test_runs_of_workflows_that_one_may_not_see_are_left_out(see, doors, ledger):
    """Each row asks for its own DAG."""
    add_run(ledger, 1)
    assert "run%2B1" not in see("/workflows")
    doors.allowed |= {"workflow_document_processing"}
    assert "run%2B1" in see("/workflows")


def test_a_run_of_a_workflow_shows_each_step_and_what_came_out(see, doors, ledger):
    """A failed step with its cause and what to do; the output as JSON; hostile words inert."""
    doors.allowed |= {"workflow_document_processing"}
    add_run(ledger, 1, "failed", path=HOSTILE)
    add_run(ledger, 2, output={"themes": [HOSTILE]})
    add_run(ledger, 3, town="ailleurs")
    for position, (step, state, error) in enumerate(
        (
            ("take", "done", None),
            ("chunk", "failed", {"cause": f"no text {HOSTILE}", "next_action": "mend the file"}),
        )
    ):
        ledger.execute(
            "INSERT INTO workflow_step (workflow, run_id, step, position, state, attempts, error)"
            " VALUES ('document-processing', 'run+1', %s, %s, %s, 3, %s)",
            (step, position, state, json.dumps(error) if error else None),
        )

    failed, done = (
        see(f"/workflows/run{RUN_OF_WORKFLOW}1"),
        see(f"/workflows/run{RUN_OF_WORKFLOW}2"),
    )

    assert "mend the file" in failed
    assert "no text &lt;script&gt;" in failed
    assert "pas encore" in failed
    assert "Ce qui en est sorti" in done
    for shown in (failed, done):
        assert shown.count("<script") == shown.count('<script src="') == 1
        assert "\u202e" not in shown
    assert see(f"/runs/report{RUN_OF_WORKFLOW}2") == done.replace(
        "/workflows/run?", "/runs/report?"
    )
    see(f"/workflows/run{RUN_OF_WORKFLOW}3", 404)


@pytest.mark.parametrize("missing", ["daily_chain", "workflow_document_processing"])
def test_what_went_into_a_workflow_may_be_a_citizens_words(browser, doors, ledger, missing):
    """So a run is for who may see that DAG and the daily reports."""
    add_run(ledger, 1)
    doors.allowed |= {"workflow_document_processing"}
    doors.allowed -= {missing}

    assert browser.get(f"/workflows/run{RUN_OF_WORKFLOW}1").status_code == 403


def test_a_run_without_a_day_shows_what_its_tasks_did(see, ledger):
    """The tab of a run is never empty while the ledger knows something."""
    path = "/runs/report?dag_id=contribution_review&run_id=r"
    see(path, 404)
    one = Attempt("contribution_review", "r", "ask", 0, 1)
    open_metric(ledger, TOWN, one, "ask")
    close_metric(ledger, one, "success", item="question 12 (form:1)")

    shown = see(path)

    assert "<b>ask</b>" in shown
    assert 'href="../review/12"' in shown


def test_connected_models_and_their_breakers_are_shown(see, ledger):
    """Where one is connected: what it took today, and until when it is left alone."""
    ledger.execute(
        "INSERT INTO provider_call (conn_id, provider, model, purpose, text_hash, status,"
        " charged_tokens, charged_eur) SELECT 'here', 'p', 'm', 'validate', 'h' || n,"
        " CASE n WHEN 3 THEN 'failed' ELSE 'answered' END, 1000, 0 FROM generate_series(1, 3) AS n"
    )
    ledger.execute(
        "INSERT INTO provider_state (conn_id, failures, open_until, reason) VALUES"
        " ('away', 5, now() + interval '5 minutes', 'HTTP 503'), ('here', 1, NULL, 'HTTP 500')"
    )

    shown = see("/")

    rows = re.findall(r"<tr><th scope=\"row\">(here|away)</th>(.*?)</tr>", shown, re.DOTALL)
    told = {name: re.sub(r"<[^>]*>", " ", cells).split() for name, cells in rows}
    assert told["here"] == ["fermé,", "interrogé", "3", "1", "3", "000"]
    assert told["away"][:3] == ["ouvert", "jusqu&#39;à", told["away"][2]]
    assert told["away"][-5:] == ["HTTP", "503", "0", "0", "0"]


ROLES = (None, "viewer", "user", "op", "admin")


@pytest.mark.parametrize("role", ROLES)
def test_every_role_at_every_door(served, token_of, role):
    """Under Airflow's own API server: nobody without a login, a viewer reads and changes nothing."""
    headers = {"Authorization": f"Bearer {token_of(role)}"} if role else {}
    client = TestClient(served, base_url="http://testserver/participation", headers=headers)

    for path in (*PAGES, "/workflows", "/evaluations", "/static/pages.css", "/documents/set-aside"):
        status = client.get(path, follow_redirects=False).status_code
        assert status in ({200, 404} if role else {401}), (path, status)
    for path, body in (
        ("/contributions/appeal", {"id": "x", "words": "x"}),
        ("/review/1/check", {"option": "accept"}),
    ):
        status = client.post(path, json=body).status_code
        expected = {None: {401}, "viewer": {403}}.get(role, {404, 422})
        assert status in expected, (path, status)


def test_a_task_links_to_its_page_and_another_projects_does_not(tmp_path):
    """Asked of the operator as the API server has it; mapped ones as well."""
    bag = DagBag(dag_folder=str(ROOT / "dags"))
    (tmp_path / "foreign.py").write_text(
        "from airflow.sdk import dag, task\n@dag\ndef foreign():\n    @task\n    def work(): ...\n"
        "    work()\nforeign()\n"
    )
    foreign = DagBag(dag_folder=str(tmp_path)).dags["foreign"]

    def links(dag):
        stored = DagSerialization.from_dict(DagSerialization.to_dict(dag))
        return {
            task.task_id: PagesLink().get_link(
                task,
                ti_key=SimpleNamespace(
                    dag_id=dag.dag_id, task_id=task.task_id, run_id="a+b c", map_index=3
                ),
            )
            for task in stored.tasks
        }

    assert set(links(foreign).values()) == {""}
    for dag in bag.dags.values():
        for task_id, link in links(dag).items():
            assert link == (
                f"/participation/tasks/attempts?dag_id={dag.dag_id}&task_id={task_id}"
                "&run_id=a%2Bb+c&map_index=3"
            )


def test_airflow_is_told_of_the_pages(browser, doors):
    """One entry in the navigation, tabs for a DAG, a run, a task and its instance; each leads somewhere."""
    views = ParticipationPlugin.external_views
    doors.allowed |= {"x"}

    top = [view["name"] for view in views if view.get("nav_top_level")]
    assert top == ["Participation"]
    assert {view["destination"] for view in views} == {
        "nav",
        "dag",
        "dag_run",
        "task",
        "task_instance",
    }
    assert len({view["url_route"] for view in views}) == len(views)
    for view in views:
        href = view["href"].removeprefix("/participation")
        filled = href.replace("{DAG_ID}", "daily_chain").replace("{TASK_ID}", "x")
        answer = browser.get(filled.replace("{RUN_ID}", "x").replace("{MAP_INDEX}", "0"))
        assert answer.status_code in {200, 404}, href


def test_evidence_that_is_not_at_its_place_is_listed_and_marks_nothing(see, ledger):
    """A quote is shown where it stands or is said to be nowhere; no other word is blamed for it."""
    contribution_id = add_case(ledger, 1)
    ledger.execute(
        "UPDATE step_result SET output = jsonb_set(output, '{evidence,0,start}', '0')"
        " WHERE item_id = %s",
        (contribution_id,),
    )

    shown = see(f"/{address_of(contribution_id)}")

    assert "<mark" not in shown
    assert "ne se trouve plus à sa place dans le texte" in shown
    assert 'href="#m1"' not in shown
