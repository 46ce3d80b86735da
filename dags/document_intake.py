"""# Document intake

Takes the town's papers in, from the inbox, an object store or a list of addresses: keeps each as it
came, tells its kind by its bytes, and reads it page by page. What cannot be read is set aside with a
reason that a clerk understands, and the rest goes on.

* **Reads** the inbox (`PARTICIPATION_INBOX`), the folder or the addresses of the form. **Writes** the
  bytes (`PARTICIPATION_DOCUMENTS`), `document_address`, `document_origin`, `document`, `page`,
  `document_set_aside`, `chunking_choice`, and an event per document, which the asset `documents` announces.
* **Safe to run again**: the same bytes are one document and are read once per version of the parser;
  a changed file is a new version beside the old one. A page that waited for OCR is read as soon as
  Tesseract is there.
* **Chunk sizes** given here hold for the whole town until a run gives others; left empty they stay as
  they are (15,000 and 500 at first; what is indexed is always cut at 1,500 with 200 overlap).
* **On error**: *continue* leaves a document that failed for the next run, *retry* tries the task
  again after the others, *stop* ends at the first document that fails or is set aside.

Hourly from 6 to 23 h (Europe/Paris) for the inbox, and by hand. **When it is red**: `reconcile` names
the tasks that failed, or the sum that is off; clear them, what was read is not read again.
"""

import os
from datetime import timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param, TriggerRule, dag, task

from participation import document_tasks, find_tasks
from participation.defaults import DAG_DEFAULTS, late_after
from participation.progress import WORKER_NAME
from participation.steps import Visit, step_task


@dag(
    schedule=CronTriggerTimetable("20 6-23 * * *", timezone="Europe/Paris"),
    catchup=False,
    max_active_runs=1,
    params={
        "folder": Param(
            None,
            type=["null", "string"],
            maxLength=1000,
            title="Folder",
            description="A folder or file of the inbox, e.g. 2026-01, or the address of an object "
            "store, e.g. s3://bucket/acts. Empty: the whole inbox, unless addresses are given.",
        ),
        "urls": Param(
            None,
            type=["null", "array"],
            items={"type": "string", "minLength": 1, "maxLength": 2000},
            maxItems=200,
            title="Addresses",
            description="Public http(s) addresses to fetch, at most 200, and from then on about once a "
            "day; one that has not changed costs one request.",
        ),
        "ocr": Param(
            default=True,
            type="boolean",
            title="OCR",
            description="Read scanned pages with Tesseract. Without it they wait for a later run.",
        ),
        "on_error": Param(
            "continue",
            type="string",
            enum=["continue", "retry", "stop"],
            title="On error",
            description="What a document that fails does to the others: nothing, another try of "
            "the task after them, or the end.",
        ),
        "chunk_size": Param(
            None,
            type=["null", "integer"],
            minimum=2000,
            maximum=15_000,
            title="Chunk size",
            description="Longest chunk for readers and models, 2,000 to 15,000 characters, from now "
            "on and for every document. Empty: as it is.",
            section="Chunk sizes",
        ),
        "chunk_overlap": Param(
            None,
            type=["null", "integer"],
            minimum=0,
            maximum=1000,
            title="Chunk overlap",
            description="How far a chunk reaches back into the one before it, 0 to 1,000 characters. "
            "Empty: as it is.",
            section="Chunk sizes",
        ),
    },
    default_args=DAG_DEFAULTS,
    deadline=late_after(120),
    doc_md=__doc__,
    tags=["participation", "documents"],
    dag_display_name="Documents 1: intake",
)
def document_intake() -> None:
    @step_task(execution_timeout=timedelta(hours=1))
    def find(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Keep the bytes of every document of the source and note where it was met.

        Asks a site only for what changed; says what waits, what is left to the contributions, and what
        cannot be taken. Addresses get a quarter of an hour; a run for the whole inbox asks those that
        did not answer, had no turn, or were not looked at for a day.
        """
        return find_tasks.find_documents(visit, params or {})

    @step_task(decorator=task.branch, trigger_rule=TriggerRule.ALL_DONE)
    def choose(*, visit: Visit, params: dict[str, Any] | None = None) -> list[str]:
        """Take the branches whose kinds of documents wait; skipped when every document is read.

        Also when `find` failed: what is kept already does not wait for what is not.
        """
        return document_tasks.choose_readers(visit, ocr=(params or {})["ocr"])

    @step_task(step="plan")
    def plan(kind: str, *, visit: Visit, params: dict[str, Any] | None = None) -> list[int]:
        """Number the workers of one kind: its share of the cores, and never more than documents wait."""
        visit.item = kind
        cores = os.cpu_count() or 1
        return document_tasks.plan_reading(visit, kind, cores, ocr=(params or {})["ocr"])

    @step_task(step="parse", execution_timeout=timedelta(hours=6), map_index_template=WORKER_NAME)
    def read_documents(
        worker: int, *, visit: Visit, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Read PDF, HTML, Markdown, text, docx and odt, each in a process that can be ended.

        Hundreds of scans take hours; what was read before a time-out is not read again.
        """
        return _read(visit, "document", worker, params)

    @step_task(step="parse", execution_timeout=timedelta(hours=6), map_index_template=WORKER_NAME)
    def read_images(
        worker: int, *, visit: Visit, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Read images with OCR."""
        return _read(visit, "image", worker, params)

    @step_task(step="parse", map_index_template=WORKER_NAME)
    def read_transcripts(
        worker: int, *, visit: Visit, params: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Read the transcripts of meetings and films; a recording without one waits for it."""
        return _read(visit, "video", worker, params)

    @step_task(step="parse")
    def set_aside_unknown(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Set aside what is of no kind that can be read, with its reason."""
        return _read(visit, document_tasks.UNKNOWN, 0, params)

    @step_task(trigger_rule=TriggerRule.ALL_DONE)
    def reconcile(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Balance documents and pages, and list what is set aside with its reasons.

        Pages in = read + set aside; documents = read + set aside + waiting. Red when a sum is off or
        a task failed.
        """
        return document_tasks.reconcile_intake(visit, ocr=(params or {})["ocr"])

    plans = [
        plan.override(task_id="plan_documents")("document"),
        plan.override(task_id="plan_images")("image"),
        plan.override(task_id="plan_transcripts")("video"),
    ]
    readers = [read_documents, read_images, read_transcripts]
    reading = [reader.expand(worker=each) for reader, each in zip(readers, plans, strict=True)]
    unknown = set_aside_unknown()
    find() >> choose() >> [*plans, unknown]
    [*reading, unknown] >> reconcile()


def _read(visit: Visit, kind: str, worker: int, params: dict[str, Any] | None) -> dict[str, Any]:
    visit.item = f"{kind}, worker {worker}"
    asked = params or {}
    return document_tasks.read_kind(visit, kind, ocr=asked["ocr"], on_error=asked["on_error"])


document_intake()
