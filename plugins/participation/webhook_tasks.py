"""Deliver what partners are owed: signed, each at least once, in order for each subject.

Whoever delivers holds the subscription's lock, so two runs never send side by side. A receiver that
does not answer with a 2xx is asked again with growing waits; one that fails time after time is left for
the next run, so that it holds up nobody else.
"""

import json
import logging
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from airflow.sdk.exceptions import AirflowSkipException

from include.errors import ParticipationError, PermanentError
from include.retry_after import retry_after_s
from include.signing import signed_headers
from participation.hooks.webhooks import Target, target
from participation.ledger import webhooks
from participation.ledger.locks import item_lock
from participation.ledger.webhooks import Due, Subscription
from participation.steps import Visit

ROUND = 100
AT_ONCE = 4
"""Requests to one receiver side by side, each about another subject."""

MAX_FAILURES = 20
"""In a row, of one receiver in one run; then it is left alone until the next run."""

STAY_S = 240.0
"""How long a run waits for what is owed soon, before it leaves it to the next one."""

FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 3600.0

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Sent:
    """What a run did."""

    delivered: int = 0
    failed: int = 0
    withheld: int = 0
    dropped: int = 0
    warnings: list[str] = field(default_factory=list)

    def warn(self, sentence: str) -> None:
        """Keep a sentence for the docket, each once and a few of them."""
        log.warning("%s", sentence)
        if sentence not in self.warnings and len(self.warnings) < 10:  # noqa: PLR2004 - a docket is small
            self.warnings.append(sentence[:300])


def deliver(
    visit: Visit,
    *,
    stay_s: float = STAY_S,
    find: Callable[[Subscription], Target] | None = None,
) -> dict[str, Any]:
    """Send everything that is owed now or soon.

    Args:
        visit: The attempt.
        stay_s: How long to wait for what is owed soon.
        find: Says where a subscription's events go; by its address or connection.

    Raises:
        AirflowSkipException: Nothing is owed.
        PermanentError: Events were given up; what could be sent was sent.
    """
    town = visit.settings.municipality
    owed = visit.input_size = webhooks.waiting(visit.connection, town)
    if not owed:
        raise AirflowSkipException("nothing to deliver: no subscription is owed anything")
    sent, until = Sent(), time.monotonic() + stay_s
    in_a_row: dict[int, int] = {}
    while True:
        subscriptions = [
            each
            for each in webhooks.live(visit.connection, town)
            if in_a_row.get(each.webhook_id, 0) < MAX_FAILURES
        ]
        moved = sum(_serve(visit, each, find or _target, sent, in_a_row) for each in subscriptions)
        if moved:
            continue
        ids = [each.webhook_id for each in subscriptions]
        wait_s = webhooks.next_due_in_s(visit.connection, ids)
        if wait_s is None or time.monotonic() + wait_s > until:
            break
        time.sleep(min(max(wait_s, 0.05), 5.0))
    visit.output_size = sent.delivered
    left = webhooks.waiting(visit.connection, town)
    if left:
        sent.warn(f"{left} events wait for a later run")
    if sent.dropped:
        raise PermanentError(
            f"{sent.dropped} events were given up after {webhooks.GIVE_UP_AFTER} "
            f"({sent.delivered} delivered, {left} wait): {'; '.join(sent.warnings)}"
        )
    return {
        "owed": owed,
        "delivered": sent.delivered,
        "failed_attempts": sent.failed,
        "withheld": sent.withheld,
        "left": left,
        "warnings": sent.warnings,
    }


def body_of(event: Due) -> bytes:
    """Write an event as it is sent and signed."""
    told = {
        "id": event.event_id,
        "type": event.kind,
        "timestamp": event.occurred_at.isoformat(),
        "data": event.data,
    }
    return json.dumps(told, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def wait_after(attempts: int, asked_s: float | None = None) -> float:
    """Say how long to wait after so many attempts: twice as long each time, and not in step with others.

    >>> 1 <= wait_after(1) <= 1.25, wait_after(40) <= 4500, wait_after(1, asked_s=60.0) >= 60
    (True, True, True)
    """
    wait_s = min(FIRST_WAIT_S * 2.0 ** min(attempts - 1, 30), LONGEST_WAIT_S)
    return max(wait_s * random.uniform(1.0, 1.25), asked_s or 0.0)  # noqa: S311 - not for secrets


def _serve(
    visit: Visit,
    subscription: Subscription,
    find: Callable[[Subscription], Target],
    sent: Sent,
    in_a_row: dict[int, int],
) -> int:
    """Send one round of a subscription's events and return how many got an answer of any kind."""
    number = subscription.webhook_id
    with item_lock(visit.connection, "deliver", f"webhook {number}") as taken:
        events = webhooks.due(visit.connection, number, ROUND) if taken else []
        if not events:
            return 0
        try:
            goal = find(subscription)
        except ParticipationError as error:
            sent.warn(f"webhook {number}: {error}")
            in_a_row[number] = MAX_FAILURES
            return 0
        going = [event for event in events if _goes_out(visit, event, sent)]
        with ThreadPoolExecutor(AT_ONCE) as pool:
            answers = pool.map(lambda event: _send(goal, event), going)
            for event, (fault, asked_s) in zip(going, answers, strict=True):
                if fault is None:
                    webhooks.mark_delivered(visit.connection, event)
                    sent.delivered += 1
                    in_a_row[number] = 0
                else:
                    wait_s = wait_after(event.attempts + 1, asked_s)
                    webhooks.mark_failed(visit.connection, event, fault, wait_s)
                    sent.failed += 1
                    in_a_row[number] = in_a_row.get(number, 0) + 1
                    sent.warn(f"webhook {number}: {fault}")
        return len(events)


def _goes_out(visit: Visit, event: Due, sent: Sent) -> bool:
    if not event.is_still_true:
        # A label on a text that is doubted again would say what nobody vouches for.
        webhooks.drop(visit.connection, event, "withheld: no longer accepted")
        sent.withheld += 1
        return False
    if event.is_too_old and event.attempts:
        webhooks.drop(
            visit.connection, event, f"given up after {event.attempts} attempts: see last errors"
        )
        sent.dropped += 1
        sent.warn(f"webhook {event.webhook_id}: {event.kind} of {event.subject} was given up")
        return False
    return True


def _send(goal: Target, event: Due) -> tuple[str | None, float | None]:
    """Post one event; None when it was taken, else what went wrong and when to come back."""
    body = body_of(event)
    headers = goal.headers | signed_headers(goal.secret, event.event_id, body, int(time.time()))
    headers["Content-Type"] = "application/json"
    try:
        answer = goal.client.ask(goal.url, headers, body)
    except ParticipationError as error:
        return str(error), getattr(error, "retry_after_s", None)
    if 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's own numbers
        return None, None
    return f"the receiver answered {answer.status}", retry_after_s(
        answer.headers.get("retry-after")
    )


def _target(subscription: Subscription) -> Target:
    return target(subscription.url, subscription.sealed_secret, subscription.conn_id)
