"""Mail operators what they are owed: runs that failed or are late, several in one mail.

A mail server that is down costs nobody their news: an alert stays owed and is tried again with growing
waits, and the run stays green until something had to be given up.
"""

import logging
from collections.abc import Callable, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowSkipException

from include.errors import ParticipationError, PermanentError
from participation.hooks import mail
from participation.ledger import alerts
from participation.ledger.alerts import DueAlert
from participation.ledger.locks import item_lock
from participation.steps import Visit
from participation.webhook_tasks import wait_after

AT_ONCE = 50

TITLES = {"run.failed": "failed", "run.late": "late"}

FIRST_WAIT_S = 60.0

log = logging.getLogger(__name__)

Send = Callable[[Sequence[str], str, str], None]


def mail_alerts(visit: Visit, *, send: Send = mail.send) -> dict[str, Any]:
    """Mail everything that is owed now.

    Raises:
        AirflowSkipException: Nothing is owed, or somebody else is mailing it.
        PermanentError: Alerts were given up after three days without a mail server.
    """
    town, to = visit.settings.municipality, visit.settings.alert_addresses
    mailed, warnings, dropped = 0, [], 0
    with item_lock(visit.connection, "deliver", "alerts by mail") as taken:
        while taken and (owed := alerts.due(visit.connection, town, AT_ONCE)):
            ids = [each.alert_id for each in owed]
            if not to:
                alerts.drop(visit.connection, ids, "nobody is named for mail any more")
                warnings.append(f"{len(ids)} alerts dropped: nobody is named for mail any more")
                continue
            try:
                send(to, subject_of(owed), body_of(owed))
            except ParticipationError as error:
                log.warning("%s", error)
                warnings.append(str(error)[:300])
                old = [each.alert_id for each in owed if each.is_too_old]
                alerts.mark_failed(
                    visit.connection,
                    ids,
                    str(error),
                    FIRST_WAIT_S + wait_after(owed[0].attempts + 1),
                )
                alerts.drop(visit.connection, old, f"given up: {error}")
                dropped += len(old)
                break
            alerts.mark_mailed(visit.connection, ids)
            mailed += len(ids)
    visit.input_size, visit.output_size = mailed + dropped, mailed
    if dropped:
        raise PermanentError(
            f"{dropped} alerts were given up after {alerts.GIVE_UP_AFTER}: {warnings[-1]}"
        )
    if not mailed and not warnings:
        raise AirflowSkipException("nothing to mail")
    return {"mailed": mailed, "warnings": warnings[:10]}


def subject_of(owed: Sequence[DueAlert]) -> str:
    """Say in one line what a mail is about."""
    first = owed[0]
    rest = f" and {len(owed) - 1} more" if len(owed) > 1 else ""
    return f"[participation] {first.dag_id} {TITLES[first.kind]}{rest}"


def body_of(owed: Sequence[DueAlert]) -> str:
    """List the alerts, each with a link to its run. Names and figures only: a mail leaves the house."""
    base = conf.get("api", "base_url", fallback="").rstrip("/")
    return "<ul>" + "".join(_entry(each, base) for each in owed) + "</ul>"


def _entry(alert: DueAlert, base: str) -> str:
    where = f"{base}/dags/{quote(alert.dag_id)}/runs/{quote(alert.run_id, safe='')}"
    steps = f"<br>steps: {escape(', '.join(alert.steps))}" if alert.steps else ""
    return (
        f"<li><b>{escape(alert.dag_id)}</b> {TITLES[alert.kind]} at"
        f" {alert.occurred_at.isoformat(timespec='seconds')}: {escape(alert.message)}{steps}"
        f'<br><a href="{escape(where)}">{escape(alert.run_id)}</a></li>'
    )
