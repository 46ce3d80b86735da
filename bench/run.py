"""Measure, print, and write ``bench/results/*.json`` and ``docs/benchmarks.md``.

``python bench/run.py [PART|all] [--sizes 1000,10000] [--quick] [--data FOLDER]``. Every part checks
the results of what it timed; a part that fails says so in the tables and in the exit code.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# `make bench` starts this file, and the measures import one another and the supervisor's modules.
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from bench import (  # noqa: E402 - the path comes first
    anonymisation,
    document_scale,
    documents,
    engine,
    overhead,
    precision,
    reviewer,
    routes,
    scale,
)

RESULTS = ROOT / "bench" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"

SIZES = {
    "scale": [1_000, 10_000, 100_000],
    "overhead": [1_000, 10_000],
    "engine": [3_000],
    "anonymisation": [1],
    "reviewer": [1_200],
    "documents": [100],
    "document_scale": [100, 500, 2_000],
    "routes": [100_000],
}
QUICK = {
    "scale": [1_000],
    "overhead": [1_000],
    "engine": [500],
    "anonymisation": [1],
    "reviewer": [300],
    "documents": [20],
    "document_scale": [100],
    "routes": [2_000],
}

MEASURES: dict[str, Callable[[list[int]], dict[str, Any]]] = {
    "scale": scale.measure,
    "overhead": overhead.measure,
    "engine": engine.measure,
    "anonymisation": anonymisation.measure,
    "reviewer": reviewer.measure,
    "documents": documents.measure,
    "document_scale": document_scale.measure,
    "routes": routes.measure,
}
TABLES: dict[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "scale": scale.table,
    "overhead": overhead.table,
    "engine": engine.table,
    "anonymisation": anonymisation.table,
    "reviewer": reviewer.table,
    "documents": documents.table,
    "document_scale": document_scale.table,
    "routes": routes.table,
}
LOOKS_AROUND: dict[str, Callable[..., dict[str, Any]]] = {
    "anonymisation": anonymisation.measure,
    "documents": documents.measure,
    "reviewer": reviewer.measure,
}
"""Parts that look at files of the machine as well."""

TITLES = {
    "scale": "From a file to the report",
    "overhead": "Cost of orchestration with per-item durability",
    "engine": "The embedded reviewer: how fast",
    "reviewer": "The embedded reviewer: how often it is right",
    "anonymisation": "What the anonymisation finds",
    "documents": "Documents to searchable chunks",
    "document_scale": "From a folder of documents to the dataset",
    "routes": "Routes and pages",
}


def main() -> int:
    """Measure what was asked for; 1 when a figure is missing because something failed."""
    asked = _arguments()
    # Told to end, it ends what it started as well.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    names = list(MEASURES) if asked.what == "all" else [asked.what]
    sound = True
    if "reviewer" in names:
        # Before anything is measured: the figures are part of the rubric.
        precision.main()
    for name in names:
        sizes = asked.sizes or (QUICK if asked.quick else SIZES)[name]
        began = time.monotonic()
        measured = MEASURES[name]
        if name in LOOKS_AROUND:
            measured = partial(LOOKS_AROUND[name], data=asked.data)
        figures = measured(sizes)
        figures["measured_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        figures["measuring_took_s"] = round(time.monotonic() - began)
        RESULTS.mkdir(exist_ok=True)
        content = json.dumps(figures, indent=1, ensure_ascii=False)
        (RESULTS / f"{name}.json").write_text(content + "\n", encoding="utf-8")
        print("\n".join(["", *TABLES[name](figures), ""]), flush=True)
        sound = sound and '"error"' not in content
    write_page()
    print(f"written: {PAGE.relative_to(ROOT)} and {RESULTS.relative_to(ROOT)}/")
    return 0 if sound else 1


def write_page() -> None:
    """Write the page from every result there is; a part measured earlier keeps its figures."""
    lines = [
        "# Benchmarks",
        "",
        "Written by `make bench`. What is measured and how: `bench/README.md`.",
    ]
    for name, title in TITLES.items():
        file = RESULTS / f"{name}.json"
        if not file.exists():
            continue
        figures = json.loads(file.read_text(encoding="utf-8"))
        here = figures["machine"]
        lines += [
            "",
            f"## {title}",
            "",
            (
                f"{figures['measured_at'][:10]}, {here['system']}, {here['cores']} cores, "
                f"{here['memory_gb']} GB, Python {here['python']}; load of the machine before: "
                f"{here['load_before']}."
            ),
            "",
            *TABLES[name](figures),
        ]
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="all", choices=[*MEASURES, "all"])
    parser.add_argument("--sizes", type=_sizes, help="counts, such as 1000,10000")
    parser.add_argument("--quick", action="store_true", help="smallest sizes only")
    parser.add_argument(
        "--data",
        type=Path,
        help="folder of real documents for the parts documents and anonymisation, of real texts for"
        " the part reviewer",
    )
    return parser.parse_args()


def _sizes(written: str) -> list[int]:
    return [int(size) for size in written.replace("_", "").split(",")]


if __name__ == "__main__":
    # Told to end, it ends the systems it started first, as for an interrupt.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
