"""One DAG per named workflow, built from its definition; and the errors of those that make none.

Why a bad definition is an error of ``dags/workflow_definitions.py`` and not of ``dags/workflows.py``:
Airflow keys import errors by the Python file, counts every DAG of a file with an error as stale, and
drops an error under any other name at the next look through the folder.
"""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, TriggerRule, dag

from include.errors import ConfigurationError
from include.processing.definition import Definition, StepDefinition
from participation.callbacks import end_cut_off_workflow
from participation.defaults import DAG_DEFAULTS, late_after
from participation.settings import Settings
from participation.steps import Visit, step_task
from participation.workflow_registry import REGISTRY, definitions
from participation.workflow_tasks import finish_run, run_step

MAX_ACTIVE_RUNS = 8

HEAD = """\
# {title}

{description}

A named workflow: `{file}`, definition `{short_hash}`.

* **Reads** {reads}. **Writes** `workflow_run`, `workflow_step`, `workflow_step_result`, and what its
  steps write. A result larger than a docket stays in the ledger; XCom then says where.
* **On error**: *{strategy}*, unless a step says otherwise. A step that failed and is continued past ends
  skipped with the reason, and the run is done with warnings, which stand in its output; a critical step
  always stops. What needs a step that failed is skipped with that reason, and `finish` is red.
* **Safe to run again**: a result is stored once per run, step, input and definition, and a step that is
  cleared finds it. A run keeps the definition that it began with; after a change start a new one.

Started by the form, or by REST with the conf `{{"input": {{...}}}}`. **When it is red**: `finish` names the
step and what to do; clear what failed with what comes after it.
"""


class DefinitionsError(ConfigurationError):
    """Definitions of named workflows are wrong: a line for each file."""


def refuse_bad_definitions() -> None:
    """Say what is wrong with the definitions that make no DAG.

    Raises:
        DefinitionsError: A line per bad file, each with its line.
    """
    _, errors = definitions()
    if errors:
        listed = "\n".join(f"  {error}" for error in errors)
        raise DefinitionsError(
            f"{len(errors)} named workflow{'s' if len(errors) > 1 else ''} cannot be loaded, "
            f"the others can:\n{listed}"
        )


def workflow_dag(definition: Definition) -> DAG:
    """Build the DAG of a definition: a task per step, and ``finish`` after all of them."""

    @dag(
        dag_id=definition.dag_id,
        schedule=None,
        catchup=False,
        max_active_runs=MAX_ACTIVE_RUNS,
        dagrun_timeout=timedelta(seconds=definition.timeout_s),
        params=form(definition),
        default_args=DAG_DEFAULTS,
        deadline=late_after(math.ceil(definition.timeout_s / 60) + 5),
        on_failure_callback=end_cut_off_workflow,
        doc_md=_page(definition),
        tags=sorted({"participation", "workflows", *definition.tags}),
        dag_display_name=definition.title,
    )
    def build() -> None:
        tasks: dict[str, Any] = {}
        for step in definition.steps:
            tasks[step.id] = _task(definition, step)()
            for need in step.needs:
                tasks[need] >> tasks[step.id]

        @step_task(trigger_rule=TriggerRule.ALL_DONE)
        def finish(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
            """Balance the steps, write the run's output, and turn it red when a step failed that stops."""
            return finish_run(visit, definition, params or {})

        list(tasks.values()) >> finish()

    return build()


def form(definition: Definition) -> dict[str, Any]:
    """Build the form: the input as a whole, and each of its fields."""
    schema = definition.input_schema
    fields = {name: _field(each) for name, each in schema["properties"].items()}
    whole = Param(
        None,
        **{key: value for key, value in schema.items() if key not in {"default", "type", "title"}},
        type=["null", "object"],
        title="Input",
        section="Input as a whole",
    )
    if not whole.description:
        whole.description = "The input as one object, as a program gives it. Instead of the fields."
    return {**fields, "input": whole}


def _field(described: Mapping[str, Any]) -> Param:
    """Make a field that may be left empty, whatever the schema says: the input may come as a whole."""
    kept: dict[str, Any] = {
        key: value for key, value in described.items() if key not in {"default", "type", "enum"}
    }
    if "enum" in described:
        kept["enum"] = [*described["enum"], None]
    kept |= {"type": ["null", described["type"]], "section": "Input, field by field"}
    return Param(described.get("default"), **kept)


def _task(definition: Definition, step: StepDefinition) -> Any:
    def run(*, visit: Visit, params: dict[str, Any] | None = None) -> dict[str, Any]:
        return run_step(visit, definition, step.id, params or {})

    run.__name__ = step.id
    asks_model = step.processor is not None and REGISTRY[step.processor].asks_model
    return step_task(
        step=step.id,
        task_id=step.id,
        doc_md=_task_page(step),
        trigger_rule=TriggerRule.ALL_DONE,
        pool=Settings().llm_pool if asks_model else "default_pool",
        execution_timeout=timedelta(seconds=step.timeout_s),
        # The step decides how often it is tried; these tries are for a ledger that is away and a task
        # that is killed as well.
        retries=DAG_DEFAULTS["retries"] + step.retry.attempts - 1,
    )(run)


def _task_page(step: StepDefinition) -> str:
    if step.call is None:
        says = REGISTRY[str(step.processor)].says
    else:
        says = f"{step.call.method} `{step.call.path}` through the connection `{step.call.connection}`."
    policy = []
    if step.when:
        wanted = ", ".join(f"`{each}`" for each in step.when.one_of)
        paths = " or ".join(str(path) for path in step.when.value.paths)
        policy.append(f"Runs when `{paths}` is {wanted}.")
    if step.critical:
        policy.append("Critical: its failure always stops.")
    elif step.on_error:
        policy.append(f"On error: {step.on_error}.")
    if step.retry.attempts > 1:
        policy.append(f"At most {step.retry.attempts} attempts, {step.retry.wait_s:g} s apart.")
    return "\n\n".join(part for part in (step.description, says, " ".join(policy)) if part)


def _page(definition: Definition) -> str:
    calls = sorted({step.call.connection for step in definition.steps if step.call})
    reads = "its input"
    if calls:
        reads += f", the sites of {', '.join(f'`{each}`' for each in calls)}"
    return HEAD.format(
        title=definition.title,
        description=definition.description,
        file=definition.file,
        short_hash=definition.definition_hash[:12],
        reads=reads,
        strategy=definition.strategy,
    )


__all__ = [
    "DefinitionsError",
    "form",
    "refuse_bad_definitions",
    "workflow_dag",
]
