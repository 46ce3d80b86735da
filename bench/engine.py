"""How fast the embedded reviewer reads, in one process, without a database."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from bench import meter, texts
from include.contributions.model import Category, Contribution, Validation
from include.contributions.processors import judge
from include.contributions.reviewer import EmbeddedReviewer, embedded_reviewer

WARM_UP = 200
"""The first texts fill caches of words; a process that judges chunks has them full."""


def measure(sizes: list[int]) -> dict[str, Any]:
    """Judge generated texts and odd ones, one by one."""
    here = meter.machine()
    began = time.perf_counter()
    reviewer = embedded_reviewer()
    build_s = time.perf_counter() - began
    count = max(sizes)
    print(f"engine: {count:,} texts ...", flush=True)
    made = [_contribution(each) for each in texts.contributions(count + WARM_UP, seed=2)]
    for contribution in made[:WARM_UP]:
        judge(contribution, reviewer)
    return {
        "machine": here,
        "rubric_version": reviewer.rubric_version,
        "build_s": round(build_s, 2),
        "characters_mean": round(statistics.mean(len(each.text) for each in made)),
        "steps": [
            _timed("validate alone", reviewer.validate, made[WARM_UP:]),
            _timed("classify alone", reviewer.classify, made[WARM_UP:]),
            _timed(
                "all three steps, in process", lambda text: judge(text, reviewer), made[WARM_UP:]
            ),
        ],
        "pathological": [_odd(reviewer, name, text) for name, text in texts.pathological().items()],
    }


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown."""
    lines = [
        (
            f"Generated texts of {figures['characters_mean']} characters on average, one process; the "
            f"reviewer is built in {figures['build_s']} s."
        ),
        "",
        "| what | texts | texts/s | CPU ms mean | wall ms mean | p95 | worst |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['what']} | {row['count']:,} | {row['per_s']} | {row['cpu_ms']} | {row['mean_ms']}"
        f" | {row['p95_ms']} | {row['worst_ms']} |"
        for row in figures["steps"]
    ]
    lines += ["", "| odd text | characters | ms | decision |", "|---|---:|---:|---|"]
    lines += [
        f"| {row['what']} | {row['characters']:,} | {row['ms']} | {row['decision']} |"
        for row in figures["pathological"]
    ]
    return lines


def _timed(
    what: str, work: Callable[[Contribution], object], made: list[Contribution]
) -> dict[str, Any]:
    took = []
    cpu = time.process_time()
    for contribution in made:
        began = time.perf_counter()
        work(contribution)
        took.append((time.perf_counter() - began) * 1000)
    cpu_s = time.process_time() - cpu
    return {
        "what": what,
        "count": len(took),
        "per_s": round(len(took) * 1000 / sum(took)),
        "cpu_ms": round(cpu_s * 1000 / len(took), 2),
        "mean_ms": round(statistics.mean(took), 2),
        "p95_ms": round(statistics.quantiles(took, n=20)[-1], 2),
        "worst_ms": round(max(took), 1),
    }


def _odd(reviewer: EmbeddedReviewer, what: str, text: str) -> dict[str, Any]:
    began = time.perf_counter()
    answer: Validation = reviewer.validate(Contribution("odd", text))
    return {
        "what": what,
        "characters": len(text),
        "ms": round((time.perf_counter() - began) * 1000, 1),
        "decision": str(answer.decision),
    }


def _contribution(made: texts.Made) -> Contribution:
    return Contribution(made.external_id, *made.text, Category(made.category))
