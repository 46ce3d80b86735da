"""Celery: a chain of four tasks per item, late acknowledgement, broker and results in Redis.

As a module it is what the two workers load; as a script it sends the chains and reads the results.
"""

# Its library is not part of our environment: its decorators are unknown here.
# mypy: disable-error-code="import-not-found,untyped-decorator,no-any-return"

import os
import time
from typing import Any

from celery import Celery, chain

from bench import work

BROKER = os.environ["BENCH_REDIS"]

app = Celery("bench", broker=BROKER, backend=BROKER)
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    task_serializer="json",
    result_serializer="json",
    broker_connection_retry_on_startup=True,
    # A hundred green threads share the connections; the default of ten loses a task now and then.
    broker_transport_options={"max_connections": 1000},
    redis_max_connections=1000,
)


@app.task(name="validate")
def validate(number: int) -> dict[str, Any]:
    """Ask the slow reviewer; a green thread waits without holding its process."""
    time.sleep(work.REVIEW_S)
    return {"number": number, **work.answer("validate", number)}


@app.task(name="classify")
def classify(before: dict[str, Any]) -> dict[str, Any]:
    """Name the category."""
    return {**before, **work.answer("classify", before["number"])}


@app.task(name="evaluate")
def evaluate(before: dict[str, Any]) -> dict[str, Any]:
    """Say how far it can be relied on."""
    return {**before, **work.answer("evaluate", before["number"])}


@app.task(name="settle")
def settle(before: dict[str, Any]) -> dict[str, Any]:
    """Give the item its state."""
    return {**before, **work.answer("settle", before["number"])}


def main() -> None:
    """Send every item and wait for every result."""
    share = work.share()
    until = time.monotonic() + 60
    while len(app.control.ping(timeout=1) or []) < work.PROCESSES:
        if time.monotonic() > until:
            raise SystemExit("the workers do not answer")
    work.wait_for_the_gun()
    sent = [
        chain(validate.s(number), classify.s(), evaluate.s(), settle.s()).apply_async()
        for number in share.numbers
    ]
    results = [result.get(timeout=300) for result in sent]
    work.stay_until_measured()
    work.say_results(results)


if __name__ == "__main__":
    main()
