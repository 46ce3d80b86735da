"""What Airflow's task process spends on its collector before it ends, with our settings."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("airflow", reason="needs Airflow")

from telemetry import telemetry
from tests.stub_collector import collecting, refused, silent

TASK = """
import json, sys, time
from airflow.sdk.execution_time import task_runner
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics import stats_utils
from opentelemetry import metrics
from participation import measures, tracing

stats.initialize(factory=stats_utils.get_stats_factory(), export_legacy_names=False)
began = time.monotonic()
with task_runner.flush_spans():
    with task_runner.tracer.start_as_current_span("worker.validate"):
        with tracing.step_span("validate") as span:
            span.end_as("success", input_size=2, output_size=2)
            measures.tell_step("validate", "contribution_analysis", "success", 1.0, 2, 2)
    worked = time.monotonic()
provider = metrics.get_meter_provider()
if measures.is_on():
    provider.force_flush()
print(json.dumps({"worked_s": worked - began, "ended_s": time.monotonic() - worked}), flush=True)
import os
os._exit(0)
"""
"""As the task process does it: work, flush the spans, flush the metrics, and end without ceremony."""


def run_task(**settings):
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("OTEL_", "AIRFLOW__"))}
    environ = kept | settings
    environ |= telemetry(environ)
    done = subprocess.run(
        [sys.executable, "-c", TASK],
        env=environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_collector_that_answers_sees_the_step_below_the_task():
    """Our span is a child of Airflow's, and the metrics come under their names."""
    with collecting() as collector:
        run_task(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.address,
            OTEL_EXPORTER_OTLP_TIMEOUT="10",
        )

    (task,), (step,) = collector.named("worker.validate"), collector.named("workflow_validate")
    assert (step.trace, step.parent) == (task.trace, task.id)
    assert step.service == "participation"
    assert step.attributes["participation.input_size"] == 2
    assert collector.metrics["airflow.participation.steps"] == [
        (
            {"step": "validate", "dag_id": "contribution_analysis", "status": "success"},
            1.0,
        )
    ]
    assert collector.metrics["airflow.participation.step_output"][0][1] == 2
    assert {path for path, _ in collector.headers} == {"/v1/traces", "/v1/metrics"}


def test_opik_gets_the_traces_alone_under_its_path_with_its_headers():
    """As docs/observability.md has it; no metric is sent to a service that takes none."""
    with collecting() as collector:
        run_task(
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.address}/api/v1/private/otel/v1/traces",
            OTEL_EXPORTER_OTLP_HEADERS="Authorization=key,Comet-Workspace=town,projectName=participation",
            OTEL_EXPORTER_OTLP_TIMEOUT="10",
        )

    assert {path for path, _ in collector.headers} == {"/api/v1/private/otel/v1/traces"}
    assert collector.named("workflow_validate")
    for _, headers in collector.headers:
        lowered = {name.lower(): value for name, value in headers.items()}
        assert lowered["authorization"] == "key"
        assert lowered["comet-workspace"] == "town"
        assert lowered["projectname"] == "participation"


@pytest.mark.parametrize("kind", ["silent", "refused"])
def test_a_dead_collector_costs_a_task_less_than_a_second(kind):
    """One that takes the connection and never answers, and a port where nobody listens."""
    if kind == "silent":
        with silent() as address:
            spent = run_task(OTEL_EXPORTER_OTLP_ENDPOINT=address)
    else:
        spent = run_task(OTEL_EXPORTER_OTLP_ENDPOINT=refused())

    assert spent["worked_s"] < 0.5
    # The worker that started the task sends its own spans once more.
    assert (
        spent["ended_s"]
        + float(telemetry({"OTEL_EXPORTER_OTLP_ENDPOINT": "x"})["OTEL_EXPORTER_OTLP_TIMEOUT"])
        < 1.0
    )


def test_without_a_collector_nothing_is_sent_and_nothing_waited_for():
    """Nothing is required by default."""
    spent = run_task()

    assert spent["ended_s"] < 0.05


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_SDK_DISABLED": "true"}, {}),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {}),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_TRACES_EXPORTER": "none"},
            {"AIRFLOW__METRICS__OTEL_ON": "True"},
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_METRICS_EXPORTER": "none"},
            {"AIRFLOW__TRACES__OTEL_ON": "True", "OTEL_TRACES_EXPORTER": "otlp_proto_http"},
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            {
                "AIRFLOW__TRACES__OTEL_ON": "True",
                "AIRFLOW__METRICS__OTEL_ON": "True",
                "OTEL_TRACES_EXPORTER": "otlp",
            },
        ),
    ],
)
def test_the_standard_variables_switch_it_on(given, expected):
    """An endpoint is enough; what is set stays."""
    added = telemetry(given)

    switches = ("AIRFLOW__TRACES__OTEL_ON", "AIRFLOW__METRICS__OTEL_ON", "OTEL_TRACES_EXPORTER")
    assert {name: value for name, value in added.items() if name in switches} == expected
    assert not added.keys() & {name for name, value in given.items() if value}
