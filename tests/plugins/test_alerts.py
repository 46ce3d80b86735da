"""A run that failed or is late is told once, by mail or webhook where somebody is named, and never lost."""

import asyncio
import json
import socket
import threading
from datetime import UTC, datetime, timedelta
from email import message_from_string
from types import SimpleNamespace

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from airflow.sdk.exceptions import AirflowSkipException

from include.errors import LedgerUnavailableError, ProcessingError
from participation import alert_tasks, callbacks, listener, steps
from participation.ledger import alerts, webhooks

pytestmark = pytest.mark.postgres

TOWN = "audierne-esquibien"
ENDED = datetime(2026, 1, 12, 5, 3, tzinfo=UTC)
OPERATOR = "ops@example.org"


class MailServer(threading.Thread):
    """Takes mail, or says that it cannot."""

    def __init__(self):
        super().__init__(daemon=True)
        self.refuses = False
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.mails = []

    def run(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.serve(connection.makefile("rwb"))

    def serve(self, stream):
        def say(text):
            stream.write(f"{text}\r\n".encode())
            stream.flush()

        say("220 stub")
        lines = None
        for raw in stream:
            line = raw.decode().rstrip("\r\n")
            if lines is not None:
                if line == ".":
                    self.mails.append(message_from_string("\n".join(lines)))
                    lines = None
                    say("250 taken")
                else:
                    lines.append(line)
            elif line.upper().startswith("DATA"):
                lines = []
                say("354 go on")
            elif line.upper().startswith("QUIT"):
                say("221 bye")
                return
            elif line.upper().startswith("MAIL") and self.refuses:
                say("451 later, please")
            else:
                say("250 ok")


@pytest.fixture
def mail_server(monkeypatch):
    """A mail server behind the connection, and somebody who is named for mail."""
    server = MailServer()
    server.start()
    connect_mail(monkeypatch, server.port)
    monkeypatch.setenv("PARTICIPATION_ALERT_MAIL", OPERATOR)
    yield server
    server.socket.close()


def connect_mail(monkeypatch, port):
    known = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": port,
        "extra": {
            "disable_ssl": True,
            "disable_tls": True,
            "from_email": "airflow@example.org",
            "timeout": 2,
            "retry_limit": 1,
        },
    }
    monkeypatch.setenv("AIRFLOW_CONN_PARTICIPATION_SMTP", json.dumps(known))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def a_run(run_id="run-1", dag_id="daily_chain", ended=ENDED):
    return SimpleNamespace(
        dag_id=dag_id, run_id=run_id, start_date=ended - timedelta(minutes=3), end_date=ended
    )


@pytest.fixture
def listening(ledger, ledger_dsn, monkeypatch):
    """The listener of a scheduler that has just begun."""
    monkeypatch.setattr(listener, "ledger_dsn", lambda: ledger_dsn)
    monkeypatch.setattr(listener, "outcomes", listener.Outcomes())
    return listener


@pytest.fixture
def mailing(instance):
    """Run the task that mails."""

    def mailing():
        instance.dag_id, instance.task_id = "deliver_webhooks", "mail_alerts"
        instance.try_number += 1
        with steps.visit("mail_alerts") as here:
            return alert_tasks.mail_alerts(here)

    return mailing


def rows(ledger, columns, table="alert"):
    return ledger.execute(f"SELECT {columns} FROM {table} ORDER BY 1").fetchall()


def test_how_each_run_ended_is_on_record(listening, ledger):
    """Well or not, once for each end: a run that was cleared ends again."""
    later = ENDED + timedelta(hours=1)

    listening.on_dag_run_failed(a_run(), "task_failure")
    listening.on_dag_run_failed(a_run(), "task_failure")
    listening.on_dag_run_success(a_run(ended=later), "success")

    assert rows(ledger, "ended_at, state, reason", "run_outcome") == [
        (ENDED, "failed", "task_failure"),
        (later, "success", "success"),
    ]


def test_a_failed_run_is_mailed_once_with_its_steps_and_a_link(
    listening, ledger, mail_server, mailing
):
    """Told twice by Airflow it is one alert; what is mailed is not mailed again."""
    ledger.execute(
        "INSERT INTO step_metric (municipality, step, dag_id, run_id, task_id, try_number, status,"
        " error_message) VALUES (%s, 'settle', 'daily_chain', 'run <1>', 'settle', 1, 'failed',"
        " 'les mots de la citoyenne')",
        (TOWN,),
    )
    listening.on_dag_run_failed(a_run("run <1>"), "task_failure")
    listening.on_dag_run_failed(a_run("run <1>"), "task_failure")
    listening.on_dag_run_success(a_run("run-2"), "success")

    assert mailing() == {"mailed": 1, "warnings": []}
    with pytest.raises(AirflowSkipException, match="nothing to mail"):
        mailing()

    (mail,) = mail_server.mails
    assert mail["To"] == OPERATOR
    assert mail["From"] == "airflow@example.org"
    assert mail["Subject"] == "[participation] daily_chain failed"
    (html,) = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    text = html.get_payload(decode=True).decode()
    assert "settle (failed)" in text
    assert "/dags/daily_chain/runs/run%20%3C1%3E" in text
    assert "run &lt;1&gt;" in text
    assert "citoyenne" not in text


def test_several_alerts_are_one_mail(listening, mail_server, mailing):
    """A bad night is no flood."""
    for number in range(5):
        listening.on_dag_run_failed(a_run(f"run-{number}"), "task_failure")

    assert mailing()["mailed"] == 5
    (mail,) = mail_server.mails
    assert mail["Subject"] == "[participation] daily_chain failed and 4 more"


def test_nothing_configured_nothing_sent(listening, ledger, mailing, monkeypatch):
    """Nobody is named and nobody subscribed: no mail is owed, no event written, nobody woken."""
    monkeypatch.delenv("PARTICIPATION_ALERT_MAIL", raising=False)

    listening.on_dag_run_failed(a_run(), "task_failure")

    with pytest.raises(AirflowSkipException):
        mailing()
    assert rows(ledger, "is_mailed, mailed_at, dropped_at") == [(False, None, None)]
    assert rows(ledger, "*", "webhook_event") == []
    assert ledger.execute("SELECT FROM outbox WHERE topic = 'webhook_due'").fetchall() == []


def test_naming_somebody_later_sends_no_old_alerts(listening, mail_server, mailing, monkeypatch):
    """What was nobody's business when it happened stays so."""
    monkeypatch.setenv("PARTICIPATION_ALERT_MAIL", "")
    listening.on_dag_run_failed(a_run(), "task_failure")
    monkeypatch.setenv("PARTICIPATION_ALERT_MAIL", OPERATOR)

    with pytest.raises(AirflowSkipException):
        mailing()
    assert mail_server.mails == []


@pytest.mark.parametrize("kind", ["nobody listens", "it refuses", "no connection"])
def test_a_mail_server_that_is_down_fails_no_run_and_loses_nothing(
    kind, listening, ledger, mail_server, mailing, monkeypatch
):
    """The task stays green and says so; the alert is owed until a server takes it."""
    if kind == "nobody listens":
        connect_mail(monkeypatch, free_port())
    elif kind == "it refuses":
        mail_server.refuses = True
    else:
        monkeypatch.delenv("AIRFLOW_CONN_PARTICIPATION_SMTP")
    ended = datetime.now(UTC)
    listening.on_dag_run_failed(a_run(ended=ended), "task_failure")

    told = mailing()

    assert told["mailed"] == 0
    assert "participation_smtp" in told["warnings"][0]
    assert rows(ledger, "attempts, due_at > now(), mailed_at, dropped_at") == [
        (1, True, None, None)
    ]

    mail_server.refuses = False
    connect_mail(monkeypatch, mail_server.port)
    with pytest.raises(AirflowSkipException):
        mailing()
    ledger.execute("UPDATE alert SET due_at = now()")
    assert mailing() == {"mailed": 1, "warnings": []}
    assert len(mail_server.mails) == 1


def test_what_is_given_up_after_three_days_is_given_up_loudly(
    listening, ledger, mailing, mail_server, monkeypatch
):
    """The task goes red and names the reason."""
    connect_mail(monkeypatch, free_port())
    listening.on_dag_run_failed(a_run(ended=datetime.now(UTC) - timedelta(days=4)), "task_failure")

    with pytest.raises(ProcessingError, match="1 alerts were given up"):
        mailing()
    assert rows(ledger, "dropped_at IS NOT NULL, last_error LIKE 'given up%%'") == [(True, True)]


def test_an_alert_goes_to_who_subscribed_with_what_happened(listening, ledger):
    """By the same signed outbox as every other event; nothing but names and a reason in it."""
    number = webhooks.subscribe(
        ledger, TOWN, ["run.failed"], "olga", url="https://x.example/", sealed_secret="s"
    )

    listening.on_dag_run_failed(a_run(), "task_failure")
    with ledger.transaction():
        alerts.note_late(
            ledger, TOWN, "daily_chain", "run-1", "late", None, "running", by_mail=False
        )

    (owed,) = webhooks.due(ledger, number, 10)
    assert (owed.kind, owed.subject) == ("run.failed", "run daily_chain")
    assert owed.data == {
        "dag_id": "daily_chain",
        "run_id": "run-1",
        "message": "failed: task_failure",
    }
    assert owed.occurred_at == ENDED


@pytest.mark.usefixtures("mail_server")
def test_a_late_run_is_told_once(ledger, ledger_dsn, monkeypatch):
    """Airflow may call again; the miss and its alert are one."""
    monkeypatch.setattr(callbacks, "ledger_dsn", lambda _: ledger_dsn)
    monkeypatch.setattr(callbacks.BaseHook, "aget_connection", no_connection)

    for _ in range(2):
        asyncio.run(late())

    assert rows(ledger, "kind, dag_id, run_id, message, is_mailed") == [
        ("run.late", "daily_chain", "run-1", "running, not done in time", True)
    ]
    assert len(rows(ledger, "dag_id", "deadline_miss")) == 1


def test_a_miss_waits_for_a_ledger_that_is_away(ledger, ledger_dsn, monkeypatch):
    """Airflow calls once; a database that restarts costs no miss."""
    answers = iter(["host=127.0.0.1 port=1 dbname=none user=none", ledger_dsn])
    monkeypatch.setattr(callbacks, "ledger_dsn", lambda _: next(answers))
    monkeypatch.setattr(callbacks.BaseHook, "aget_connection", no_connection)
    monkeypatch.setattr(callbacks, "LEDGER_WAITS_S", (0.01,))

    assert asyncio.run(late()).startswith("noted")
    assert len(rows(ledger, "dag_id", "deadline_miss")) == 1


def test_a_miss_that_cannot_be_written_is_an_error(monkeypatch):
    """When all waits are over Airflow's own record says failed, not done."""
    monkeypatch.setattr(
        callbacks, "ledger_dsn", lambda _: "host=127.0.0.1 port=1 dbname=none user=none"
    )
    monkeypatch.setattr(callbacks.BaseHook, "aget_connection", no_connection)
    monkeypatch.setattr(callbacks, "LEDGER_WAITS_S", ())

    with pytest.raises(LedgerUnavailableError):
        asyncio.run(late())


async def no_connection(_conn_id):
    return None


async def late():
    run = {"dag_id": "daily_chain", "dag_run_id": "run-1", "state": "running"}
    return await callbacks.note_deadline_miss("not done in time", context={"dag_run": run})


def test_a_scheduler_is_not_held_up_by_a_ledger_that_is_away(listening, ledger, monkeypatch):
    """It is asked once a minute; what ended meanwhile goes with the next one that is written."""
    real = listening.ledger_dsn
    asked = []

    def away():
        asked.append(1)
        return "host=127.0.0.1 port=1 dbname=none user=none"

    monkeypatch.setattr(listening, "ledger_dsn", away)
    for number in range(3):
        listening.on_dag_run_failed(a_run(f"run-{number}"), "task_failure")
    assert len(asked) == 1

    monkeypatch.setattr(listening, "ledger_dsn", real)
    listening.outcomes.quiet_until = 0.0
    listening.on_dag_run_success(a_run("run-3"), "success")

    assert [run for (run,) in rows(ledger, "run_id", "run_outcome")] == [
        "run-0",
        "run-1",
        "run-2",
        "run-3",
    ]


def test_a_scheduler_that_starts_finds_what_ended_unheard(served, listening, ledger, monkeypatch):
    """A listener that died with its memory costs no alert: Airflow's own database knows the runs."""
    from airflow.models import DagRun  # noqa: PLC0415 - needs the database
    from airflow.utils.session import create_session  # noqa: PLC0415 - the same

    now = datetime.now(UTC)
    ends = {"unheard": now - timedelta(hours=2), "long-ago": now - timedelta(days=3)}
    with create_session() as session:
        for run_id, ended in ends.items():
            run = DagRun(
                dag_id="daily_chain",
                run_id=run_id,
                run_type="manual",
                state="failed",
                run_after=now,
            )
            run.end_date = ended
            session.add(run)
    try:
        for _ in range(2):
            listening.on_starting(SimpleNamespace(job_type="TriggererJob"))
            assert listening.outcomes.waiting == type(listening.outcomes.waiting)()
            listening.on_starting(SimpleNamespace(job_type="SchedulerJob"))
    finally:
        with create_session() as session:
            for run in session.query(DagRun).filter(DagRun.run_id.in_(list(ends))):
                session.delete(run)

    assert ("unheard", "failed") in rows(ledger, "run_id, state", "run_outcome")
    assert "long-ago" not in [run for (run,) in rows(ledger, "run_id", "run_outcome")]
    assert [run for (run,) in rows(ledger, "run_id")].count("unheard") == 1
