"""# Dataset creation

Finds what each document and all of them together talk about, marks those that nearly repeat an older
one, and makes an immutable dataset version of chunks, themes and labelled examples with their provenance.

* **Reads** `document`, `document_origin`, `page`, `chunk`, the live `index_document`, `decision`,
  `contribution`. **Writes** `theme`, `document_theme`, `town_theme`, `text_sketch`, `document_likeness`,
  `dataset`, `dataset_example`, `dataset_place`, `dataset_gathering`, `dataset_publication`,
  `document_drafting`, `drafted_contribution`, and the version's JSONL and Parquet files
  (`PARTICIPATION_DATASETS`, a folder or an object store). **Announces** a new version on the asset
  `dataset`, at least once.
* **Safe to run again**: the same examples are the same version; a file that was written and not put
  on record is written over by the same bytes. Documents that repeat each other stay in one split.
* **Labelled examples** are the samples with known answers, and the contributions that a person accepted
  or refused, as stored and without who decided. New decisions enter with the next version; start a run
  by hand to have them now.
* **Splits**: a document, or a contribution, with all that nearly repeats it stands in one split, chosen by
  its hash and kept from version to version. While there are few, new ones fill a split that would be
  empty. One changes sides only when it turns out to repeat another one, or to repeat it no longer.
* **Never a person's name** as a theme.
* **Opik**, where the connection `participation_opik` names one (host such as
  `https://www.comet.com/opik/api`, password the key, extra `{"workspace": "..."}`): each new version
  becomes a private dataset there. Citizens' words are kept back. A failure is a warning in the docket
  and in `dataset_publication`, and the next run goes on where it stopped.
* **Drafts** only when the form asks for them, and the connection `participation_model` names a chat
  endpoint of OpenAI's protocol (host such as `https://provider.example/v1`, password the key, extra
  `{"model": "..."}`). A draft is marked as generated, with model, prompt version, document, page and
  quote, in `drafted_contribution`; it never becomes a contribution and stands in no dataset. One that
  names a person, holds an address or does not respect the charter is dropped, which is counted.

Woken by the asset `index`, and at 3:30 for what no event tells of. **When it is red**: `reconcile` names
what failed or does not add up; clear it, no version is made twice.
"""

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, TriggerRule, dag

from participation import dataset_tasks, draft_tasks, publish_tasks
from participation.defaults import DAG_DEFAULTS, DATASET, INDEX, late_after, woken_by
from participation.progress import WORKER_NAME
from participation.steps import Visit, step_task


@dag(
    schedule=woken_by(INDEX, net="30 3 * * *"),
    catchup=False,
    max_active_runs=1,
    params={
        "drafts": Param(
            0,
            type="integer",
            minimum=0,
            maximum=draft_tasks.MAX_DRAFTS,
            title="Drafts per document",
            description="Ask the model of the connection participation_model for at most so many "
            "drafted contributions per document, of at most "
            f"{draft_tasks.MAX_DOCUMENTS} documents a run. 0: none, nothing is sent.",
        )
    },
    default_args=DAG_DEFAULTS,
    deadline=late_after(60),
    doc_md=__doc__,
    tags=["participation", "documents"],
    dag_display_name="Documents 5: dataset",
)
def dataset_creation() -> None:
    @step_task(inlets=[INDEX])
    def plan(*, visit: Visit) -> list[int]:
        """Number one worker; skipped when the newest dataset is of the live index."""
        return dataset_tasks.plan_dataset(visit)

    @step_task(step="themes", inlets=[INDEX], map_index_template=WORKER_NAME)
    def work(worker: int, *, visit: Visit) -> dict[str, Any]:
        """Find themes document by document, and mark near duplicates."""
        visit.item = f"worker {worker}"
        return dataset_tasks.find_themes(visit)

    @step_task(step="dataset", outlets=[DATASET])
    def build(*, visit: Visit) -> dict[str, Any]:
        """Write the next dataset version; skipped when it would say what the newest one says."""
        return dataset_tasks.build_dataset(visit)

    # After a run that found nothing to do as well: an earlier version may still be missing there.
    @step_task(trigger_rule=TriggerRule.NONE_FAILED, execution_timeout=timedelta(minutes=10))
    def publish(*, visit: Visit) -> dict[str, Any]:
        """Send new versions to Opik; a failure is a warning, the next run sends what is missing."""
        return publish_tasks.publish(visit)

    @step_task(trigger_rule=TriggerRule.NONE_FAILED)
    def draft(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Let a connected model draft contributions from documents; skipped unless asked for."""
        return draft_tasks.draft(visit, int((params or {}).get("drafts") or 0))

    @step_task(trigger_rule=TriggerRule.ALL_DONE)
    def reconcile(*, visit: Visit) -> dict[str, Any]:
        """Check the newest version against its own counts, and that no document is in two splits."""
        return dataset_tasks.reconcile_dataset(visit)

    work.expand(worker=plan()) >> build() >> [publish(), draft()] >> reconcile()


dataset_creation()
