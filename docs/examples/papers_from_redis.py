"""# Papers from Redis

Looks through the inbox as soon as another service says on the Redis channel `town-papers` that it put
papers there; what the message says is not used.

Not part of the product: install `apache-airflow-providers-redis` and
`apache-airflow-providers-common-messaging`, make a connection `redis_default`, and copy this file to
`dags/`. A message that is sent while nobody listens is lost; the hourly intake finds the papers then.
"""

from airflow.providers.common.messaging.triggers.msg_queue import MessageQueueTrigger
from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import Asset, AssetWatcher, dag

PAPERS = Asset(
    name="papers_from_redis",
    watchers=[
        AssetWatcher(
            name="papers_from_redis_watcher",
            trigger=MessageQueueTrigger(
                scheme="redis+pubsub", channels=["town-papers"], redis_conn_id="redis_default"
            ),
        )
    ],
)


@dag(schedule=[PAPERS], catchup=False, max_active_runs=1, doc_md=__doc__)
def papers_from_redis() -> None:
    TriggerDagRunOperator(task_id="take_in", trigger_dag_id="document_intake")


papers_from_redis()
