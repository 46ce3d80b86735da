"""Run the tasks of a DAG as Airflow does, one after the other in this process: tries, skips, failures."""

from dataclasses import dataclass, field

from airflow.sdk.exceptions import AirflowSkipException, AirflowTaskTimeout

from participation.defaults import ParticipationRetryPolicy


@dataclass
class Run:
    """What became of the tasks of a run."""

    states: dict[str, str] = field(default_factory=dict)
    handed_on: dict[str, object] = field(default_factory=dict)
    said: dict[str, str] = field(default_factory=dict)
    tries: dict[str, int] = field(default_factory=dict)
    waits: dict[str, list[float]] = field(default_factory=dict)


def run_tasks(dag, instance, params=None, *, run_id="run-1", only=None, into=None):
    """Give every task of a DAG its turn, or those named; all of ours run whatever came before.

    ``params`` are those of the form, with their defaults filled in as Airflow does.
    """
    filled = {name: dag.params.get_param(name).value for name in dag.params} | (params or {})
    run = into or Run()
    instance.dag_id, instance.run_id, instance.states = dag.dag_id, run_id, run.states
    for name in dag.task_ids if only is None else only:
        run.states.pop(name, None)
    for task in dag.topological_sort():
        if only is not None and task.task_id not in only:
            continue
        assert task.trigger_rule.value == "all_done"
        _attempts(task, instance, filled, run)
    return run


def _attempts(task, instance, params, run):
    name = task.task_id
    instance.task_id = name
    begun = run.tries.get(name, 0)
    # A cleared task has as many tries again.
    instance.max_tries = begun + task.retries
    run.waits[name] = []
    for try_number in range(begun + 1, begun + task.retries + 2):
        instance.try_number = run.tries[name] = try_number
        try:
            run.handed_on[name] = task.python_callable(params=params)
        except AirflowSkipException as skip:
            run.states[name], run.said[name] = "skipped", str(skip)
            return
        except (Exception, AirflowTaskTimeout) as error:  # noqa: BLE001 - Airflow takes them all
            run.states[name], run.said[name] = "failed", str(error)
            decision = ParticipationRetryPolicy().evaluate(error, try_number, instance.max_tries)
            if decision.action.name == "FAIL":
                return
            run.waits[name].append(
                decision.retry_delay.total_seconds() if decision.retry_delay else None
            )
        else:
            run.states[name] = "success"
            run.said.pop(name, None)
            return
