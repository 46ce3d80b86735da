"""# Papers from Kafka

Takes in the papers whose addresses another service writes to the Kafka topic `town-papers`, one JSON
object a message: `{"urls": ["https://www.example.fr/arrete.pdf"]}`.

Not part of the product: install `apache-airflow-providers-apache-kafka` and
`apache-airflow-providers-common-messaging`, make a connection `kafka_default`, set `PYTHONPATH` so that
the triggerer finds this file, and copy it to `dags/`.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, AssetWatcher, dag, task

MOST_URLS = 200
"""The form of `document_intake` takes no more for one run."""


def urls_in(message: Any) -> list[str] | None:
    """Read a message in the triggerer; one that cannot be read is passed over."""
    try:
        match json.loads(message.value()):
            case {"urls": [*urls]} if urls and all(isinstance(url, str) for url in urls):
                return urls
    except ValueError:
        pass
    return None


PAPERS = Asset(
    name="papers_from_kafka",
    watchers=[
        AssetWatcher(
            name="papers_from_kafka_watcher",
            trigger=MessageQueueTrigger(
                scheme="kafka",
                topics=["town-papers"],
                apply_function="papers_from_kafka.urls_in",
                kafka_config_id="kafka_default",
            ),
        )
    ],
)


def batched(urls: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    """Cut addresses into lists of at most a size, in order."""
    left = iter(urls)
    while batch := tuple(islice(left, size)):
        yield batch


@dag(schedule=[PAPERS], catchup=False, max_active_runs=1, doc_md=__doc__)
def papers_from_kafka() -> None:
    @task
    def gather(triggering_asset_events: Any = None) -> list[dict[str, Any]]:
        """Join the addresses of all the messages that woke this run; the same one counts once.

        One entry a run of the intake; none, and so no run, where no message held an address: an
        intake without addresses would look through the whole inbox.
        """
        found = (
            url for event in triggering_asset_events[PAPERS] for url in event.extra["payload"] or []
        )
        return [{"urls": list(urls)} for urls in batched(dict.fromkeys(found), MOST_URLS)]

    TriggerDagRunOperator.partial(task_id="take_in", trigger_dag_id="document_intake").expand(
        conf=gather()
    )


papers_from_kafka()
