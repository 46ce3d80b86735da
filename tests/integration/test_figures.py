import json
import re
import secrets
from datetime import date, timedelta
from itertools import count
from uuid import uuid4

import psycopg
import pytest

from include.contributions import report, scoring, wording
from include.contributions.model import (
    Article,
    Category,
    Classification,
    Contribution,
    Evidence,
    Validation,
    Violation,
    content_hash,
)
from include.contributions.reviewer import embedded_reviewer
from include.errors import ReconciliationError
from participation.defaults import late_after
from participation.ledger import connect, migrate
from participation.ledger.attempt import Attempt
from participation.ledger.figures import (
    checked_day_report,
    day_report,
    snapshot,
)
from participation.ledger.metrics import LOST, close_metric, note_deadline_miss, open_metric
from participation.ledger.recount import differences, recount

pytestmark = pytest.mark.postgres

RUBRIC = "rubric-1"
WHOLE = dict.fromkeys(Article, "respecté")


class Town:
    """One town on one day of its own: puts rows into the ledger as the other parts would."""

    def __init__(self, connection):
        self.connection = connection
        # Steps are measured per day and not per town: a day nobody else uses, in any ledger.
        self.day = date(2100, 1, 1) + timedelta(days=secrets.randbelow(100_000))
        self.name = f"town-{uuid4()}"
        self.numbers = count(1)
        self.run_id = f"run-{self.name}"

    def execute(self, query, *values):
        return self.connection.execute(query, values)

    def add(self, text="Le banc du port est cassé.", state="pending", *, hours=1, **more):
        """Insert a contribution with one receipt, judged as its state says."""
        number = next(self.numbers)
        words = f"{text} {number}"
        contribution = Contribution(f"{self.name}:{number}", words, more.get("ideas", ""))
        self.execute(
            "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
            " constat_factuel, idees_ameliorations, received_on, received_at, content_hash,"
            " input_hash) VALUES"
            " (%s, %s, 'form', %s, %s, %s, %s, now() - make_interval(hours => %s), %s, %s)",
            contribution.contribution_id,
            self.name,
            str(number),
            words,
            contribution.idees_ameliorations,
            more.get("day", self.day),
            hours,
            content_hash(words, contribution.idees_ameliorations),
            contribution.input_hash,
        )
        if state != "pending":
            self.judge(contribution, state, more.get("output"), more.get("category"))
        return contribution.contribution_id

    def judge(self, contribution, state, output, category):
        output = a_validation(state, contribution.text) if output is None else output
        named = category or "undetermined"
        classification = Classification(
            category=named, reasoning="x", confidence=0.9, engine="e", rubric_version=RUBRIC
        )
        for step, answer in (
            ("validate", output),
            ("classify", classification.model_dump(mode="json")),
            ("evaluate", {"warnings": ["texte long"] if state == "review" else "abîmé"}),
        ):
            self.execute(
                "INSERT INTO step_result (item_id, step, input_hash, rubric_version, output,"
                " engine) VALUES (%s, %s, %s, %s, %s, 'embedded')",
                contribution.contribution_id,
                step,
                contribution.input_hash,
                RUBRIC,
                json.dumps(answer),
            )
        self.execute(
            "UPDATE contribution SET state = %s, state_rubric = %s, category = %s"
            " WHERE contribution_id = %s",
            state,
            RUBRIC,
            named,
            contribution.contribution_id,
        )

    def receive_again(self, contribution_id):
        self.execute(
            "INSERT INTO receipt (contribution_id, locator) VALUES (%s, 'again')", contribution_id
        )

    def decide(self, contribution_id, outcome, decided_by):
        self.execute(
            "INSERT INTO decision (contribution_id, outcome, decided_by, reason, statement)"
            " VALUES (%s, %s, %s, 'spam_ou_publicite', 'Merci.')",
            contribution_id,
            outcome,
            decided_by,
        )
        self.execute(
            "UPDATE contribution SET state = %s, state_rubric = NULL WHERE contribution_id = %s",
            outcome,
            contribution_id,
        )

    def break_entry(self, *, is_resolved=False, file_id=None, locator="line 7"):
        self.execute(
            "INSERT INTO quarantine (municipality, kind, file_id, uri, locator, reason, detail,"
            " raw, received_on, resolved_at) VALUES (%s, 'record', %s, 'a.csv', %s,"
            " 'no_text', 'Aucun texte.', ';;', %s, CASE WHEN %s THEN now() END)",
            self.name,
            file_id,
            locator,
            self.day,
            is_resolved,
        )

    def report(self):
        return day_report(self.connection, self.name, self.day)

    def recount(self):
        return recount(self.connection, self.name, self.day)


def a_validation(state, text):
    quote = text[:7]
    common = {
        "encouraged_aspects": (),
        "reasoning": "Parce que.",
        "confidence": 0.9,
        "engine": "embedded",
        "rubric_version": RUBRIC,
    }
    article = Article.SPAM if state == "refusal_proposed" else None
    evidence = (Evidence(rule="r", article=article, start=0, end=7, quote=quote),)
    match state:
        case "refusal_proposed":
            validation = Validation(
                decision="refusal_proposed",
                is_valid=False,
                violations=(Violation(article=Article.SPAM, message="C'est une annonce."),),
                assessed={Article.SPAM: "non respecté"},
                evidence=evidence,
                **common,
            )
        case "review":
            validation = Validation(
                decision="review",
                is_valid=None,
                violations=(),
                assessed=WHOLE | {Article.FALSE_INFORMATION: "à vérifier"},
                evidence=(),
                review_reason="affirmation_a_verifier",
                **common,
            )
        case _:
            validation = Validation(
                decision="accept",
                is_valid=True,
                violations=(),
                assessed=WHOLE,
                evidence=evidence,
                **common,
            )
    return validation.model_dump(mode="json")


@pytest.fixture(scope="module")
def connection(ledger_dsn):
    migrate(ledger_dsn)
    with connect(ledger_dsn) as opened:
        yield opened


@pytest.fixture
def town(connection):
    return Town(connection)


@pytest.fixture
def busy(town):
    """A day with something in every state."""
    first = town.add(state="accepted", category=Category.LOGEMENT)
    town.receive_again(first)
    town.receive_again(first)
    town.add(state="accepted", category=Category.LOGEMENT)
    town.add(state="accepted", category=Category.CULTURE, ideas="Ouvrir le soir.")
    town.add(state="review", hours=5)
    town.add(state="refusal_proposed", hours=3, category=Category.ECONOMIE)
    town.decide(town.add(state="refusal_proposed"), "refused", "m.le-goff")
    town.add(state="quarantined")
    town.add(hours=2)
    town.break_entry()
    town.break_entry(is_resolved=True, locator="line 8")
    return town


def test_every_entry_is_counted_in_one_state(busy):
    """Six states, broken entries among the quarantined, duplicates beside; a mended one is gone."""
    day = busy.report()

    assert day.states == {
        "pending": 1,
        "accepted": 3,
        "review": 1,
        "refusal_proposed": 1,
        "refused": 1,
        "quarantined": 2,
    }
    assert (day.submitted, day.sum_of_states, day.duplicates) == (9, 9, 2)
    assert day.is_balanced
    assert {row.category: row.total for row in day.categories if row.total} == {
        "logement": 2,
        "culture": 1,
        "economie": 1,
        "undetermined": 3,
        None: 1,
    }


def test_the_recount_agrees(busy):
    """Other SQL finds the same figures, and a report that passed both may be published."""
    day = checked_day_report(busy.connection, busy.name, busy.day)

    counted = busy.recount()
    assert counted["loaded"] == 9
    assert set(counted) >= {"loaded", "duplicates", "sum", "categories", "accepted_categories"}
    assert differences(day, counted) == []


@pytest.mark.parametrize(
    "meddle",
    [
        pytest.param(
            lambda town: town.execute(
                "UPDATE contribution SET state = 'accepted', state_rubric = %s"
                " WHERE municipality = %s AND state = 'review'",
                RUBRIC,
                town.name,
            ),
            id="another_state",
        ),
        pytest.param(lambda town: town.add(), id="one_more"),
        pytest.param(lambda town: town.break_entry(locator="line 9"), id="one_more_broken"),
        pytest.param(lambda town: town.receive_again(f"{town.name}:2"), id="one_more_receipt"),
        pytest.param(
            lambda town: town.execute(
                "UPDATE contribution SET category = 'jeunesse' WHERE contribution_id = %s",
                f"{town.name}:1",
            ),
            id="another_category",
        ),
    ],
)
def test_a_difference_is_found(busy, meddle):
    """A report whose figures are not the ledger's is told from one whose figures are."""
    stale = busy.report()

    meddle(busy)

    assert differences(stale, busy.recount())


def test_both_delays_are_in_the_figures(busy):
    """Of all days, texts that name a group apart; the recount finds them by other means."""
    other_day = busy.day + timedelta(days=1)
    for hours in (2, 7, 30):
        group = a_validation("review", "Le banc.") | {"review_reason": "mention_de_groupe"}
        busy.add(state="review", hours=hours, output=group, day=other_day)
    spam = a_validation("refusal_proposed", "Le banc.")
    spam["evidence"][0]["rule"] = "discrimination.etre"
    busy.add(state="refusal_proposed", hours=9, output=spam, day=other_day)

    day = checked_day_report(busy.connection, busy.name, busy.day)

    group, others = day.delays
    assert (group.waiting, others.waiting) == (4, 2)
    ages = [
        round((day.generated_at - since).total_seconds() / 3600)
        for since in (group.median_since, group.oldest_since, others.median_since)
    ]
    assert ages == [9, 30, 5]
    figures = report.figures_of(day)["delays"]
    assert figures == busy.recount()["delays"]
    page = report.render_html(day)
    assert "parlant d&#39;un groupe de personnes" in page
    assert "1\u00a0jour et 6\u00a0heures" in page


def test_a_wrong_delay_is_found(busy):
    """A report that leaves out a kind, or counts it elsewhere, is not published."""
    stale = busy.report()

    busy.add(state="review", output=a_validation("review", "Le banc."), hours=80)

    assert any("delays" in told for told in differences(stale, busy.recount()))


def test_books_that_do_not_balance_are_not_published(busy):
    """A contribution whose receipt is lost, or a file entry that is missing, stops the report."""
    busy.execute("DELETE FROM receipt WHERE contribution_id = %s", f"{busy.name}:2")
    with pytest.raises(ReconciliationError, match="8 submitted, 9 in a state"):
        checked_day_report(busy.connection, busy.name, busy.day)

    busy.execute(
        "INSERT INTO receipt (contribution_id, locator) VALUES (%s, 'found')", f"{busy.name}:2"
    )
    file_id = busy.execute(
        "INSERT INTO source_file (municipality, uri, sha256, size_bytes, form, encoding,"
        " record_count, broken_count) VALUES (%s, 'a.csv', 'x', 1, 'csv', 'utf-8', 3, 1)"
        " RETURNING file_id",
        busy.name,
    ).fetchone()[0]
    busy.break_entry(file_id=file_id, locator="line 10")
    with pytest.raises(ReconciliationError, match="files announced 4 entries, 1 found"):
        checked_day_report(busy.connection, busy.name, busy.day)


def test_report_and_recount_see_one_moment(busy, ledger_dsn):
    """What another connection commits in between changes neither count."""
    with snapshot(busy.connection):
        before = busy.report()
        with connect(ledger_dsn) as other:
            Town.add(_on(other, busy))
        counted = busy.recount()

    assert differences(before, counted) == []
    assert busy.report().submitted == before.submitted + 1


def _on(connection, town):
    twin = Town(connection)
    twin.name, twin.day, twin.numbers = town.name, town.day, count(500)
    return twin


def test_a_snapshot_writes_nothing(town):
    """Making a report cannot change the ledger."""
    with (
        pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
        snapshot(town.connection),
    ):
        town.add()


def test_waiting_texts_come_with_their_reason_and_age(town):
    """A person finds what waits, oldest first, with the question's reason, quotes and age."""
    late, early = town.add(state="review"), town.add(state="review")
    for item, hours in ((late, 2), (early, 30)):
        town.execute(
            "INSERT INTO review_case (contribution_id, input_hash, rubric_version, kind, reason,"
            " opened_at) VALUES (%s, 'h', %s, 'review', 'accusation',"
            " now() - make_interval(hours => %s))",
            item,
            RUBRIC,
            hours,
        )
    town.add("Achetez mes bougies", state="refusal_proposed")

    day = town.report()

    assert [case.text.contribution_id for case in day.waiting.items] == [early, late]
    assert [case.reason for case in day.waiting.items] == ["accusation", "accusation"]
    assert day.waiting.items[0].waited_s == pytest.approx(30 * 3600, abs=120)
    assert [finding.article for finding in day.waiting.items[0].findings] == ["fausse_information"]
    (refusal,) = day.refusals.items
    assert refusal.findings == (report.Finding(Article.SPAM, "C'est une annonce.", ("Achetez",)),)
    assert refusal.reasoning == "Parce que."


def test_the_result_shown_is_the_one_the_state_follows(town):
    """A newer answer under another rubric does not explain a state it did not make."""
    town.add("Le maire ment sur le budget", state="review")
    newer = a_validation("review", "Le maire ment sur le budget") | {"reasoning": "Autre chose."}
    town.execute(
        "INSERT INTO step_result (item_id, step, input_hash, rubric_version, output, engine)"
        " SELECT contribution_id, 'validate', input_hash, 'rubric-2', %s, 'embedded'"
        " FROM contribution WHERE municipality = %s",
        json.dumps(newer),
        town.name,
    )

    day = town.report()

    assert day.waiting.items[0].reasoning == "Parce que."
    assert day.engines == (report.EngineVersion("embedded", RUBRIC, 1),)


def test_a_persons_decision_is_shown_with_their_name(town):
    """The standing decision, who took it and what the citizen is told; superseded ones are not."""
    item = town.add(state="review")
    town.decide(item, "refused", "a.kerbrat")
    town.execute(
        "INSERT INTO decision (contribution_id, outcome, decided_by, reason)"
        " VALUES (%s, 'accepted', 'm.le-goff', 'erreur')",
        item,
    )
    town.execute("UPDATE contribution SET state = 'accepted' WHERE contribution_id = %s", item)

    day = town.report()

    (decision,) = day.decisions.items
    assert (decision.outcome, decision.decided_by) == ("accepted", "m.le-goff")
    assert day.decisions.total == 1
    (group,) = day.accepted
    assert group.texts.items[0].decided_by == "m.le-goff"


@pytest.mark.parametrize(
    "output",
    [
        pytest.param({"decision": "peut-être"}, id="wrong_shape"),
        pytest.param([1, 2], id="a_list"),
        pytest.param("<script>", id="a_string"),
        pytest.param({}, id="empty"),
    ],
)
def test_an_unreadable_result_is_named_and_breaks_nothing(town, output):
    """One bad row of the ledger costs its own explanation and not the page."""
    town.add(state="review", output=output)
    town.add(state="review")

    day = checked_day_report(town.connection, town.name, town.day)

    broken, sound = day.waiting.items
    assert broken.problem
    assert sound.problem is None
    assert "illisible" in report.render_html(day)
    assert "illisible" in report.render_markdown(day)


def test_an_outcome_nothing_explains_is_a_warning(town):
    """An accepted text without a result of its rubric and without a decision is pointed out."""
    item = town.add(state="accepted")
    town.execute(
        "UPDATE contribution SET state_rubric = 'another' WHERE contribution_id = %s", item
    )

    messages = [notice.message for notice in town.report().notices]

    assert "Aucun résultat enregistré n'explique l'état de cette contribution" in messages


def test_warnings_of_the_steps_reach_the_page(busy):
    """What evaluation warned of is told with its count; warnings in a bad shape are left alone."""
    told = {notice.message: notice.count for notice in busy.report().notices}

    assert told["texte long"] == 1
    assert told["Contribution pas encore analysée"] == 1


def test_step_times(town):
    """Attempts, failures, durations and throughput per step; failures are also told as warnings."""
    for attempt, (status, duration_ms, output_size) in enumerate(
        [
            ("failed", 1000, 0),
            ("success", 500, 100),
            ("success", 1500, 300),
            ("running", None, None),
        ]
    ):
        town.execute(
            "INSERT INTO step_metric (municipality, step, dag_id, run_id, task_id, map_index, try_number,"
            " received_on, status, duration_ms, output_size, error_message)"
            " VALUES (%s, 'validate', 'd', %s, 'validate', %s, 1, %s, %s, %s, %s, %s)",
            town.name,
            town.run_id,
            attempt,
            town.day,
            status,
            duration_ms,
            output_size,
            LOST if status == "failed" else None,
        )

    day = town.report()

    (step,) = day.steps
    assert (step.attempts, step.failed, step.running, step.skipped) == (4, 1, 1, 0)
    assert (step.total_ms, step.mean_ms) == (3000, 1000)
    assert (step.items, step.items_per_s) == (400, 200)
    told = f"Étape validate : {wording.FAILURE_WORDS['lost']}"
    assert report.Notice(told, 1, LOST) in day.notices


def test_a_late_run_and_a_timeout_are_told_in_french(town):
    """What the alert and the error say in English stays beside it, for whoever operates."""
    attempt = Attempt("daily_chain", town.run_id, "split", -1, 1)
    open_metric(town.connection, town.name, attempt, "split", town.day)
    close_metric(
        town.connection, attempt, "timeout", received_on=town.day, error_message="Timeout, PID 7"
    )
    alert = late_after(15).callback.kwargs["alert"]
    note_deadline_miss(town.connection, "daily_chain", town.run_id, alert, None, "running")

    timeout, late = town.report().notices

    assert timeout == report.Notice(
        "Étape split : le temps prévu était dépassé", 1, "Timeout, PID 7"
    )
    assert late.message == "Une exécution n'était pas terminée 15 minutes après avoir été demandée"
    assert late.detail == f"daily_chain, {town.run_id} : {alert}"


def test_what_reading_a_source_noted_stands_beside_the_text(town):
    """For a clerk who wonders about a date or a subject; other things the source said do not."""
    noted = {"category_struck": "logement", "mail_number": 3, "phone": "02 98 00 00 00"}
    for state in ("accepted", "review"):
        town.execute(
            "UPDATE contribution SET metadata = %s WHERE contribution_id = %s",
            json.dumps(noted),
            town.add(state=state),
        )
    town.decide(town.add(state="review"), "refused", "a.kerbrat")

    day = town.report()

    sentences = ("Sujet barré : logement", "Message du même courriel, n° 3")
    assert day.accepted[0].texts.items[0].text.notes == sentences
    assert day.waiting.items[0].text.notes == sentences
    assert day.decisions.items[0].text.notes == ()
    for page in (report.render_html(day), report.render_markdown(day)):
        assert page.count("barré : logement") == 2
        assert "02 98" not in page


def test_the_oldest_open_contribution(town):
    """The longest wait of the day and of all days; what is settled or set aside waits no more."""
    other_day = town.day + timedelta(days=9_000)
    town.add(state="accepted", hours=500)
    town.add(state="quarantined", hours=400)
    oldest = town.add(state="review", hours=300, day=other_day)
    of_day = town.add(hours=20)
    town.add(state="refusal_proposed", hours=10)

    day = town.report()

    assert (day.oldest_of_all.contribution_id, day.oldest_of_all.received_on) == (oldest, other_day)
    assert day.oldest_of_all.age_s == pytest.approx(300 * 3600, abs=120)
    assert day.oldest_of_day.contribution_id == of_day


def test_the_evaluation_of_the_day_is_preferred(town):
    """A backfilled day shows its own evaluation, another day the latest."""
    for day, passed, leak in ((town.day, True, 0.01), (town.day + timedelta(days=1), False, 0.5)):
        scores = {
            "scores": {"leak": {"value": leak, "n": 200, "low": 0.0, "high": 0.6}},
            "mistake_count": 2,
            "mistakes": [{"sample_id": "s"}],
        }
        town.execute(
            "INSERT INTO evaluation (municipality, received_on, engine, rubric_version,"
            " sample_count, scores, passed) VALUES (%s, %s, 'embedded', %s, 200, %s, %s)",
            town.name,
            day,
            RUBRIC,
            json.dumps(scores),
            passed,
        )

    own = town.report().evaluation
    latest = day_report(town.connection, town.name, town.day + timedelta(days=5)).evaluation

    assert own.passed
    assert own.measures == (
        report.Measure("leak", 0.01, 0.0, 0.6, 200),
        report.Measure("mistake_count", 2),
    )
    assert not latest.passed


@pytest.mark.parametrize("render", [report.render_html, report.render_markdown])
def test_a_moderator_reads_the_measures_in_french(town, render):
    """No key of the code, no fraction and no empty row stands among the measures of a real card."""
    card = scoring.score_reviewer(scoring.load_samples()[::3], embedded_reviewer())
    town.execute(
        "INSERT INTO evaluation (municipality, received_on, engine, rubric_version,"
        " sample_count, scores, passed) VALUES (%s, %s, 'embedded', %s, %s, %s, true)",
        town.name,
        town.day,
        RUBRIC,
        card.sample_count,
        json.dumps(card.as_dict()),
    )

    day = town.report()
    said = render(day)
    rows = re.findall(
        r'<tr><th scope="row">([^<]*)</th><td>([^<]*)</td><td>([^<]*)</td><td>[\d\s]*</td></tr>'
        r"|^\| ([^|]*) \| ([^|]*) \| ([^|]*) \| [\d\s]* \|$",
        said[said.index("Intervalle à 95") :],
        re.MULTILINE,
    )
    shown = [[part for part in row if part] for row in rows]

    assert len(shown) == len(day.evaluation.measures) > 15
    for label, value, interval in shown:
        assert label[0].isupper()
        assert "_" not in label
        assert re.fullmatch(r"\d[\d\s,]*(\s%|\sms)?", value)
        assert "0." not in interval
    labels = [label for label, *_ in shown]
    assert len(set(labels)) == len(labels)
    assert "médian" not in "".join(labels)
    assert labels[0] == wording.SCORE_LABELS["leak"]


def test_lists_are_bounded_and_counts_exact(town):
    """A day of many texts has short lists; the counts are those of the ledger."""
    town.execute(
        "INSERT INTO contribution (contribution_id, municipality, source, external_id,"
        " constat_factuel, received_on, content_hash, input_hash)"
        " SELECT %s || ':' || n, %s, 'form', n::text,"
        " left(repeat('mot ', 5000), 19996) || lpad(n::text, 4, '0'), %s, n::text, n::text"
        " FROM generate_series(1, 1500) AS n",
        town.name,
        town.name,
        town.day,
    )
    town.execute(
        "UPDATE contribution SET state_rubric = %s,"
        " state = CASE WHEN external_id::int <= 900 THEN 'accepted' ELSE 'review' END,"
        " category = CASE WHEN external_id::int %% 2 = 0 THEN 'culture' ELSE 'logement' END"
        " WHERE municipality = %s",
        RUBRIC,
        town.name,
    )

    day = checked_day_report(town.connection, town.name, town.day)

    assert (len(day.waiting.items), day.waiting.total) == (report.LISTED_PER_SECTION, 600)
    assert [(len(g.texts.items), g.texts.total) for g in day.accepted] == [
        (report.LISTED_PER_CATEGORY, 450),
        (report.LISTED_PER_CATEGORY, 450),
    ]
    assert day.waiting.items[0].text.cut == 20_000 - report.TEXT_SHOWN_CHARACTERS


def test_an_empty_day(town):
    """A day on which nothing came is a page too."""
    day = checked_day_report(town.connection, town.name, town.day)

    assert day.is_empty
    assert day.is_balanced
    assert "Aucune contribution" in report.render_html(day)


def test_another_town_is_another_page(busy):
    """Nothing of one municipality counts for another."""
    other = Town(busy.connection)
    other.day = busy.day

    assert other.report().is_empty
