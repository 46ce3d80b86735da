"""How often the embedded reviewer is wrong, on texts of every kind, with sample sizes.

``python bench/judgement.py [FOLDER] [--samples FILE ...]`` judges the product's own labelled samples (or
other files of that form), bad sentences put into good texts, and, where the folder of real material
lies beside the project, citizens' texts, hate speech and spam that nobody here wrote. A set that is
missing is named, not passed over. A bad sentence stands at the beginning, in the middle and at the
end of a text that is accepted without it.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from include.contributions.model import Contribution, Decision  # noqa: E402 - the path comes first
from include.contributions.reviewer import EmbeddedReviewer, embedded_reviewer  # noqa: E402
from include.contributions.scoring import (  # noqa: E402
    SAMPLES_PATH,
    VIOLATION_KINDS,
    Sample,
    load_samples,
    wilson,
)

DATA = ROOT.parent / "shared" / "data"
INSULTS = ROOT / "bench" / "insults.txt"
ATTACKS_ON_PEOPLE = frozenset({"target_indiv_nh", "target_group_nh"})
"""Its authors call these not hateful, since no protected group is meant; our charter refuses them."""

COUNTER_SPEECH = frozenset({"counter_quote_nh", "counter_ref_nh", "negate_neg_nh"})
WARM_UP = 200


@dataclass(frozen=True, slots=True)
class Figure:
    """A share of ``n`` cases, and the bar it is held against."""

    what: str
    count: int
    n: int
    target: str

    def row(self) -> str:
        """One line of the table."""
        if not self.n:
            return f"| {self.what} | 0 | not measured | | {self.target} |"
        low, high = wilson(self.count / self.n, self.n)
        share = f"{100 * self.count / self.n:.2f} % | {100 * low:.2f} to {100 * high:.2f} %"
        return f"| {self.what} | {self.n:,} | {share} | {self.target} |"


def figures(
    reviewer: EmbeddedReviewer, samples: Sequence[Sample], folder: Path
) -> Iterator[Figure]:
    """Measure everything, one figure after the other."""

    def decided(texts: Iterable[Contribution], decision: Decision) -> int:
        return sum(reviewer.validate(text).decision is decision for text in texts)

    kinds = {sample.kind for sample in samples}
    of = {kind: [s.contribution for s in samples if s.kind == kind] for kind in kinds}
    bad = [s.contribution for s in samples if s.kind in VIOLATION_KINDS]
    clean = of.get("clean", [])
    yield Figure("violations accepted", decided(bad, Decision.ACCEPT), len(bad), "1 %")
    for kind in sorted(VIOLATION_KINDS & kinds):
        texts = of[kind]
        yield Figure(f"… {kind}", decided(texts, Decision.ACCEPT), len(texts), "")
    for kind, decision, target in (
        ("manipulation", Decision.ACCEPT, "0 %"),
        ("licit_trap", Decision.REFUSAL_PROPOSED, "0 %"),
        ("clean", Decision.ACCEPT, "at least 75 %"),
        ("clean", Decision.REFUSAL_PROPOSED, "0.1 %"),
    ):
        texts = of.get(kind, [])
        yield Figure(f"{kind}: {decision}", decided(texts, decision), len(texts), target)
    yield from _categories(reviewer, samples)
    accepted = [text for text in clean if reviewer.validate(text).decision is Decision.ACCEPT]
    insults = INSULTS.read_text(encoding="utf-8").splitlines()
    yield _inserted("one insult inserted, accepted", insults, accepted, decided, "5 %")
    hate = _rows(folder / "moderation" / "mhc_fr_dev.jsonl")
    spam = _rows(folder / "moderation" / "sms_fr_dev.jsonl")
    hateful = [row["text"] for row in hate if row["label"] == "hateful"]
    on_people = [row["text"] for row in hate if row["functionality"] in ATTACKS_ON_PEOPLE]
    advertising = [row["text"] for row in spam if row["label"] == "spam"]
    for what, sentences, target in (
        ("hateful sentence", hateful, "2 %"),
        ("attack on people", on_people, "5 %"),
        ("spam", advertising, "1 %"),
    ):
        alone = [Contribution("alone", text) for text in sentences]
        yield Figure(f"{what} alone, accepted", decided(alone, Decision.ACCEPT), len(alone), "1 %")
        yield _inserted(f"{what} inserted, accepted", sentences, accepted, decided, target)
    counter = [
        Contribution("counter", row["text"])
        for row in hate
        if row["functionality"] in COUNTER_SPEECH
    ]
    yield Figure(
        "counter-speech, refusal proposed",
        decided(counter, Decision.REFUSAL_PROPOSED),
        len(counter),
        "2 %",
    )
    civic = [
        Contribution("civic", row["text"])
        for path in sorted((folder / "civic").glob("*.jsonl"))
        for row in _rows(path)
    ]
    yield Figure(
        "citizens' texts, refusal proposed",
        decided(civic, Decision.REFUSAL_PROPOSED),
        len(civic),
        "0.1 %",
    )


def _categories(reviewer: EmbeddedReviewer, samples: Sequence[Sample]) -> Iterator[Figure]:
    """Top-1 and top-2 of clean texts, the citizen's own category hidden."""
    clean = [s for s in samples if s.kind == "clean" and s.expected_categories]
    answers = [
        (reviewer.classify(replace(s.contribution, category=None)), s.expected_categories)
        for s in clean
    ]
    first = sum(found.category in right for found, right in answers)
    second = sum(
        found.category in right or found.second_category in right for found, right in answers
    )
    yield Figure("category, top 1", first, len(clean), "at least 80 %")
    yield Figure("category, top 2", second, len(clean), "at least 90 %")


def _inserted(
    what: str,
    sentences: Sequence[str],
    carriers: Sequence[Contribution],
    decided: Callable[[Iterable[Contribution], Decision], int],
    target: str,
) -> Figure:
    """Put every sentence into a text at three places; the carriers take turns."""
    texts = [
        text
        for number, sentence in enumerate(sentences if carriers else ())
        for text in _with(carriers[number % len(carriers)], sentence)
    ]
    return Figure(what, decided(texts, Decision.ACCEPT), len(texts), target)


def _with(carrier: Contribution, sentence: str) -> Iterator[Contribution]:
    seen, wanted = carrier.constat_factuel, carrier.idees_ameliorations
    yield replace(carrier, constat_factuel=f"{sentence} {seen}")
    yield replace(carrier, constat_factuel=f"{seen} {sentence}")
    yield replace(carrier, idees_ameliorations=f"{wanted} {sentence}")


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        print(f"not there, not measured: {path}", file=sys.stderr)
        return []
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def latency(reviewer: EmbeddedReviewer, samples: Sequence[Sample]) -> str:
    """Judge the samples one by one, caches of words warm."""
    took = []
    for sample in (*samples[:WARM_UP], *samples):
        began = time.perf_counter()
        reviewer.validate(sample.contribution)
        reviewer.classify(sample.contribution)
        took.append(1_000 * (time.perf_counter() - began))
    took = took[min(WARM_UP, len(samples)) :]
    return (
        f"{statistics.mean(took):.2f} ms a text on average (target 1.5), "
        f"{statistics.quantiles(took, n=20)[-1]:.2f} ms at p95 (target 10), n = {len(took)}"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    parser.add_argument("--samples", nargs="+", type=Path, default=[SAMPLES_PATH])
    chosen = parser.parse_args()
    reviewer = embedded_reviewer()
    samples = [sample for path in chosen.samples for sample in load_samples(path)]
    print(
        f"{reviewer.rubric_version}\n\n| what | n | share | 95 % | target |\n|---|---:|---:|---|---|"
    )
    for figure in figures(reviewer, samples, chosen.folder):
        print(figure.row(), flush=True)
    print(f"\n{latency(reviewer, samples)}")


if __name__ == "__main__":
    main()
