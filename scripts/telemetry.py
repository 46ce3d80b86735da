"""Where traces and metrics go, as the environment of Airflow's components: nowhere, unless somebody says."""

from collections.abc import Mapping

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
SIGNALS = ("TRACES", "METRICS")

GRPC = "grpc"

DEFAULTS = {
    "OTEL_SERVICE_NAME": "participation",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    # A task sends its spans, then its metrics, before it ends, and Airflow's worker sends once more: with a
    # collector that never answers these add up to less than a second.
    "OTEL_EXPORTER_OTLP_TIMEOUT": "0.25",
    # Each task is a process of its own whose sums begin at nought: only differences can be added up.
    "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": "delta",
}


def telemetry(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what to add to an environment, from the standard variables that are in it.

    An endpoint switches traces and metrics on, one of a signal's own that signal alone. What is set already
    stays as it is.

    >>> telemetry({})
    {}
    >>> on = telemetry({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"})
    >>> on["AIRFLOW__TRACES__OTEL_ON"], on.get("AIRFLOW__METRICS__OTEL_ON"), on["OTEL_TRACES_EXPORTER"]
    ('True', None, 'otlp_proto_http')
    """
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return {}
    on = [signal for signal in SIGNALS if _has_goal(environ, signal)]
    if not on:
        return {}
    added = {name: value for name, value in DEFAULTS.items() if not environ.get(name)}
    for signal in on:
        added[f"AIRFLOW__{signal}__OTEL_ON"] = "True"
    added["AIRFLOW__METRICS__LEGACY_NAMES_ON"] = "False"
    if "TRACES" in on and environ.get("OTEL_TRACES_EXPORTER") in (None, "", "otlp"):
        # Airflow asks for the exporter by the name of its package, and would take gRPC.
        protocol = (
            environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or DEFAULTS["OTEL_EXPORTER_OTLP_PROTOCOL"]
        )
        added["OTEL_TRACES_EXPORTER"] = "otlp" if protocol == GRPC else "otlp_proto_http"
    return added


def _has_goal(environ: Mapping[str, str], signal: str) -> bool:
    goal = environ.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or environ.get(ENDPOINT)
    return bool(goal) and environ.get(f"OTEL_{signal}_EXPORTER") != "none"
