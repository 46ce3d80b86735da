"""# Deliver webhooks

Tells partners what happened: `contribution.accepted`, `contribution.decided`, `report.published`; and
operators that a run failed or is late: `run.failed`, `run.late`, by webhook or by mail
(`docs/observability.md`). Each event is signed, is sent at least once with an id by which a receiver knows it
again, and in order for each contribution.

* **Reads** `webhook`, `webhook_event`, `contribution`, `alert`. **Writes** `webhook_delivery`, one row per
  event and subscription, written with what happened and closed here, and `alert`.
* **Safe to run again**: what was taken is not sent again, but for an answer that was lost; whoever
  delivers to a subscription holds its lock.
* **A receiver that fails** is asked again after 1, 2, 4 ... seconds, up to an hour, for three days. It
  holds up the later events of the same contribution, and nothing else.
* **Withheld** is an acceptance that no longer stands when its turn comes.
* **Never** does an event carry what the charter holds against a text.

Woken by the asset `webhooks`, whose watcher sees each new event, and every ten minutes for what is due again.
**When it is red**: events or alerts were given up after three days; the error and
`GET /participation/api/v1/webhooks` name the receiver.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import dag

from participation import alert_tasks, webhook_tasks
from participation.defaults import DAG_DEFAULTS, WEBHOOKS, late_after, woken_by
from participation.steps import Visit, step_task


@dag(
    schedule=woken_by(WEBHOOKS, net="*/10 * * * *"),
    catchup=False,
    max_active_runs=1,
    default_args=DAG_DEFAULTS,
    deadline=late_after(30),
    doc_md=__doc__,
    tags=["participation"],
    dag_display_name="Deliver webhooks",
)
def deliver_webhooks() -> None:
    @step_task(execution_timeout=timedelta(minutes=15))
    def deliver(*, visit: Visit) -> dict[str, Any]:
        """Send what is owed now or within four minutes; skipped when nobody is owed anything."""
        return webhook_tasks.deliver(visit)

    @step_task(execution_timeout=timedelta(minutes=15))
    def mail_alerts(*, visit: Visit) -> dict[str, Any]:
        """Mail operators which runs failed or are late; skipped when nothing is owed to anybody."""
        return alert_tasks.mail_alerts(visit)

    deliver()
    mail_alerts()


deliver_webhooks()
