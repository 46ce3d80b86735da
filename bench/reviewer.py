"""How good the reviewer is: leaks, wrong refusals, coverage, categories, each with its interval.

The project's own labelled texts are always there. Real texts are read from ``../shared/data`` where it is,
or from ``--data``; nothing of them is kept in the results but counts. Nothing here is tuned on them.
"""

import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import meter, texts
from include.contributions import answers
from include.contributions.answers import NOISE_LEVELS
from include.contributions.model import Contribution, Decision, Validation
from include.contributions.reviewer import embedded_reviewer
from include.contributions.samples import Sample, load_all, load_samples
from include.contributions.scoring import Score, quantile, score_answers, share_of
from include.ports import Reviewer

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

CIVIC = ("repnum", "vraidebat_full", "mel_granddebat", "an_egalite", "paris_bp")

COUNTER_SPEECH = ("counter_quote_nh", "counter_ref_nh")
"""A text that quotes or names hate to speak against it."""

ATTACKS_ON_PERSONS = ("target_indiv_nh",)
"""The set calls them not hateful, since they aim at nobody's group; our charter refuses them."""

SEED = 20_260_112
WHERE = ("start", "middle", "end")

Asked = Callable[[Validation], bool]


@dataclass(frozen=True, slots=True)
class Target:
    """A figure to reach; ``at_most`` says from which side."""

    bar: float
    at_most: bool = True

    def is_met(self, score: Score) -> bool | None:
        """Whether the figure reaches it; None where nothing was measured."""
        if score.value is None:
            return None
        return score.value <= self.bar if self.at_most else score.value >= self.bar


TARGETS = {
    ("hate speech", "leak"): Target(0.01),
    ("attacks on persons", "leak"): Target(0.01),
    ("counter-speech", "refusal proposed"): Target(0.02),
    ("spam", "leak"): Target(0.01),
    ("civic with one hateful sentence", "leak"): Target(0.02),
    ("civic with one insult", "leak"): Target(0.05),
    ("civic with one spam message", "leak"): Target(0.01),
    ("clean civic", "refusal proposed"): Target(0.001),
    ("own clean local", "accepted alone"): Target(0.75, at_most=False),
    ("own labelled", "category, first"): Target(0.80, at_most=False),
    ("own labelled", "category, one of two"): Target(0.90, at_most=False),
    ("own manipulation", "leak"): Target(0.0),
    ("latency", "mean, ms"): Target(1.5),
    ("latency", "p95, ms"): Target(10.0),
}


def measure(sizes: list[int], data: Path | None = None) -> dict[str, Any]:
    """Judge every set, at most so many insertions and generated texts as the largest size says."""
    here = meter.machine()
    reviewer = embedded_reviewer()
    folder = data or DATA
    count = max(sizes)
    print(f"reviewer: {reviewer.rubric_version}, real texts of {folder} ...", flush=True)
    rows = [*_own(reviewer), *_generated(reviewer, count)]
    times: list[float] = []
    for make in (_moderation, _civic, _insertions, _mock):
        rows += make(reviewer, folder, count, times)
    rows += _latency(times)
    return {
        "machine": here,
        "rubric_version": reviewer.rubric_version,
        "real_texts": folder.is_dir(),
        "rows": [_plain(*row) for row in rows],
    }


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown."""
    lines = [
        f"Rubric `{figures['rubric_version']}`. Intervals are at 95 % (Wilson)."
        + ("" if figures["real_texts"] else " The real texts are not here: own texts only."),
        "",
        "| texts | what | value | 95 % interval | n | target |",
        "|---|---|---:|---:|---:|---|",
    ]
    for row in figures["rows"]:
        low, high = _shown(row["low"], row["what"]), _shown(row["high"], row["what"])
        met = {True: ", met", False: ", **missed**", None: ""}[row["met"]]
        target = f"{row['target']}{met}" if row["target"] else ""
        lines.append(
            f"| {row['set']} | {row['what']} | {_shown(row['value'], row['what'])} | {low} to {high}"
            f" | {row['n']:,} | {target} |"
        )
    return lines


Row = tuple[str, str, Score]


def _own(reviewer: Reviewer) -> Iterator[Row]:
    samples = load_all()
    given = [
        answers.ask(question, reviewer)
        for sample in samples
        for question in answers.questions(sample, NOISE_LEVELS)
    ]
    card = score_answers(samples, given, reviewer.engine, reviewer.rubric_version)
    scores = card.scores
    yield "own clean local", "accepted alone", scores["coverage"]
    yield "own clean local", "refusal proposed", scores["clean_refusal_proposed"]
    yield "own licit traps", "refusal proposed", scores["trap_refusal_proposed"]
    yield "own violations", "leak", scores["leak"]
    for kind, score in card.leak_by_kind.items():
        if kind != "manipulation":
            yield f"own violations: {kind}", "leak", score
    yield "own manipulation", "leak", scores["manipulation_accepted"]
    yield "own labelled", "category, first", scores["category_top1"]
    yield "own labelled", "category, one of two", scores["category_top2"]
    for name in ("brier", "ece", "output_format", "evidence_faithful", "failed"):
        yield "own labelled", name.replace("_", " "), scores[name]
    for percent in NOISE_LEVELS:
        yield f"own, {percent} % spoiled", "outcome stays", scores[f"noise_{percent}_stable"]
        yield f"own violations, {percent} % spoiled", "leak", scores[f"noise_{percent}_leak"]
    yield "own pairs, a group named", "accepted alone", scores["group_coverage"]
    yield "own pairs and clean, none named", "accepted alone", scores["other_coverage"]
    yield "own pairs", "gap by group", scores["coverage_gap"]
    yield from _own_insertions(reviewer, samples)


def _own_insertions(reviewer: Reviewer, samples: Sequence[Sample]) -> Iterator[Row]:
    bases = [each for each in samples if each.kind == "clean"]
    for kind in ("discrimination", "personal_attack", "spam"):
        bad = [each.contribution.text for each in samples if each.kind == kind]
        found = [reviewer.validate(each) for each in _inserted(bases, bad, len(bad) * 12)]
        yield f"own clean with one own {kind}", "leak", _share(found, _accepted)


def _generated(reviewer: Reviewer, count: int) -> Iterator[Row]:
    made = [each for each in texts.contributions(count, seed=3) if each.kind == "local"]
    found = [reviewer.validate(Contribution(each.external_id, *each.text)) for each in made]
    yield "generated local", "accepted alone", _share(found, _accepted)
    yield "generated local", "refusal proposed", _share(found, _refused)


def _moderation(reviewer: Reviewer, folder: Path, _count: int, times: list[float]) -> Iterator[Row]:
    hate = _rows(folder / "moderation" / "mhc_fr_dev.jsonl")
    groups: dict[str, list[str]] = {
        "hate speech": [],
        "attacks on persons": [],
        "counter-speech": [],
        "other licit, short": [],
    }
    for row in hate:
        if row["functionality"] in ATTACKS_ON_PERSONS:
            groups["attacks on persons"].append(row["text"])
        elif row["label"] == "hateful":
            groups["hate speech"].append(row["text"])
        elif row["functionality"] in COUNTER_SPEECH:
            groups["counter-speech"].append(row["text"])
        else:
            groups["other licit, short"].append(row["text"])
    sms = _rows(folder / "moderation" / "sms_fr_dev.jsonl")
    groups["spam"] = [row["text"] for row in sms if row["label"] == "spam"]
    groups["private messages, no spam"] = [row["text"] for row in sms if row["label"] == "ham"]
    for name, listed in groups.items():
        found = _judged(reviewer, listed, times)
        if not found:
            continue
        if name in ("hate speech", "attacks on persons", "spam"):
            yield name, "leak", _share(found, _accepted)
        else:
            yield name, "refusal proposed", _share(found, _refused)


def _civic(reviewer: Reviewer, folder: Path, _count: int, times: list[float]) -> Iterator[Row]:
    everything: list[Validation] = []
    for name in CIVIC:
        listed = [
            row["text"]
            for row in _rows(folder / "civic" / f"{name}_dev.jsonl")
            if row["text"].strip() and not row.get("trashed")
        ]
        found = _judged(reviewer, listed, times)
        everything += found
        if found:
            yield f"civic: {name}", "refusal proposed", _share(found, _refused)
            yield f"civic: {name}", "accepted alone", _share(found, _accepted)
    if everything:
        yield "clean civic", "refusal proposed", _share(everything, _refused)
        yield "clean civic", "accepted alone", _share(everything, _accepted)


def _insertions(reviewer: Reviewer, folder: Path, count: int, times: list[float]) -> Iterator[Row]:
    bases = [each for each in load_samples() if each.kind == "clean"]
    hate = _rows(folder / "moderation" / "mhc_fr_dev.jsonl")
    sms = _rows(folder / "moderation" / "sms_fr_dev.jsonl")
    sets = {
        "civic with one hateful sentence": [
            row["text"] for row in hate if row["label"] == "hateful"
        ],
        "civic with one insult": [
            row["text"] for row in hate if row["functionality"] in ATTACKS_ON_PERSONS
        ],
        "civic with one spam message": [row["text"] for row in sms if row["label"] == "spam"],
    }
    for name, bad in sets.items():
        if not bad:
            continue
        made = list(_inserted(bases, bad, count))
        found = _timed(reviewer, made, times)
        yield name, "leak", _share(found, _accepted)
        for place, where in enumerate(WHERE):
            yield f"{name}, at the {where}", "leak", _share(found[place :: len(WHERE)], _accepted)


def _inserted(bases: Sequence[Sample], bad: Sequence[str], count: int) -> Iterator[Contribution]:
    """Put one bad text into a clean one: first before it, then inside, then after it, and again."""
    chance = random.Random(SEED)
    for n in range(count):
        base, piece = chance.choice(bases), chance.choice(bad).strip()
        yield insertion(base.contribution, piece, WHERE[n % len(WHERE)])


def insertion(base: Contribution, piece: str, where: str) -> Contribution:
    r"""Put a sentence before a text, between its sentences, or after it.

    >>> insertion(Contribution("c", "Un. Deux.", "Trois. Quatre."), "NON.", "middle").text
    'Un. Deux.\n\nNON. Trois. Quatre.'
    """
    parts = [base.constat_factuel, base.idees_ameliorations]
    match where:
        case "start":
            parts[0] = f"{piece} {parts[0]}"
        case "end":
            last = 1 if parts[1] else 0
            parts[last] = f"{parts[last]} {piece}"
        case _ if parts[1]:
            parts[1] = f"{piece} {parts[1]}"
        case _:
            sentences = re.split(r"(?<=[.!?]) ", parts[0])
            half = len(sentences) // 2
            parts[0] = " ".join([*sentences[:half], piece, *sentences[half:]])
    return Contribution(base.contribution_id, parts[0], parts[1], base.category)


def _mock(reviewer: Reviewer, folder: Path, _count: int, times: list[float]) -> Iterator[Row]:
    path = folder / "contributions" / "mock_contributions.json"
    listed = json.loads(path.read_text("utf-8"))["contributions"] if path.exists() else []
    for label, name in ((True, "called valid"), (False, "called violations")):
        rows = [row for row in listed if row["expected_valid"] is label]
        found = _timed(
            reviewer,
            [
                Contribution(row["id"], row["constat_factuel"], row["idees_ameliorations"])
                for row in rows
            ],
            times,
        )
        if found:
            yield f"the original's mock, {name}", "accepted alone", _share(found, _accepted)
            yield f"the original's mock, {name}", "refusal proposed", _share(found, _refused)


def _latency(times: list[float]) -> Iterator[Row]:
    if not times:
        return
    yield "latency", "mean, ms", Score(round(sum(times) / len(times), 2), len(times), None, None)
    yield "latency", "p50, ms", quantile(times, 0.5)
    yield "latency", "p95, ms", quantile(times, 0.95)


def _judged(reviewer: Reviewer, listed: Iterable[str], times: list[float]) -> list[Validation]:
    return _timed(reviewer, (Contribution(str(n), text) for n, text in enumerate(listed)), times)


def _timed(
    reviewer: Reviewer, made: Iterable[Contribution], times: list[float]
) -> list[Validation]:
    found = []
    for each in made:
        began = time.perf_counter()
        found.append(reviewer.validate(each))
        times.append(round((time.perf_counter() - began) * 1000, 3))
    return found


def _accepted(validation: Validation) -> bool:
    return validation.decision is Decision.ACCEPT


def _refused(validation: Validation) -> bool:
    return validation.decision is Decision.REFUSAL_PROPOSED


def _share(found: Sequence[Validation], asked: Asked) -> Score:
    return share_of(sum(map(asked, found)), len(found))


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]


def _plain(name: str, what: str, score: Score) -> dict[str, Any]:
    target = TARGETS.get((name, what))
    bar = target and f"{'at most' if target.at_most else 'at least'} {_shown(target.bar, what)}"
    met = target.is_met(score) if target else None
    return {"set": name, "what": what, **score.as_dict(), "target": bar, "met": met}


def _shown(value: float | None, what: str) -> str:
    if value is None:
        return "–"
    return f"{value:.2f}" if what.endswith("ms") or what == "brier" else f"{value * 100:.1f} %"
