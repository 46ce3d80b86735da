"""How much of what is personal the rules hide, and how much they hide that is not.

Labels by hand: of the town's papers as offsets with the hash of the text (``bench/anonymisation_labels``;
the papers themselves are kept beside the project), and of sentences with invented people
(``include/data/anonymisation_samples.txt``). Half of each was looked at while the rules were made
(``tuned``), the other half counts (``held out``). The figures are written to
``include/data/anonymisation_measures.json``, where an operator is told of them.
"""

import hashlib
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench import meter
from include.anonymisation import VERSION, Kind, anonymise
from include.anonymisation.measures import FILE, SAMPLES
from include.contributions.scoring import wilson
from include.documents.model import Media, ParsedDocument
from include.documents.parsing import parse_file

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "documents"
LABELS = ROOT / "bench" / "anonymisation_labels"

SETS = {
    "sentences": "own sentences with invented people",
    "small_letters": "the same, all in small letters",
    "capital_letters": "the same, all in capitals",
    "transcript": "transcript of a public meeting",
    "directory": "directory of associations",
    "meeting_notes": "notes of a meeting",
    "bulletin": "town bulletin of 2025",
    "bulletin_2012": "town bulletin of 2012",
}
LEGEND = (
    "Hidden: labels of which no letter is left, whatever replaced them. Right: replacements that overlap a "
    "label of their kind (`nom`: of a person). In brackets: the 95 % interval."
)
PDFS = {
    "directory": "ANNUAIRE*.pdf",
    "bulletin": "Gwaien n*16*.pdf",
    "bulletin_2012": "AR_GANNAEG*.pdf",
}
_MARK = re.compile(r"\[\[(\w+)\|(.*?)\]\]")
_LETTER = re.compile(r"[^\W_]")


class Label(NamedTuple):
    """What is personal in a text."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text, what is personal in it, and up to where it was looked at while the rules were made."""

    text: str
    labels: Sequence[Label]
    tune_until: int


@dataclass(slots=True)
class Tally:
    """Of one kind in one half of a set."""

    labels: int = 0
    hidden: int = 0
    replaced: int = 0
    right: int = 0


def samples(path: Path = SAMPLES) -> Iterator[Labelled]:
    """Read the own sentences; every other one is held out."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line and line[0] != "#"]
    for number, line in enumerate(lines, start=1):
        text = ""
        labels = []
        at = 0
        for mark in _MARK.finditer(line):
            text += line[at : mark.start()]
            labels.append(Label(len(text), len(text) + len(mark[2]), mark[1]))
            text += mark[2]
            at = mark.end()
        text += line[at:]
        yield Labelled(text, labels, len(text) if number % 2 else 0)


def _written(each: Labelled, text: str) -> Labelled:
    return Labelled(text, each.labels if len(text) == len(each.text) else (), each.tune_until)


OWN: dict[str, Callable[[], list[Labelled]]] = {
    "sentences": lambda: list(samples()),
    "small_letters": lambda: [_written(each, each.text.lower()) for each in samples()],
    "capital_letters": lambda: [_written(each, each.text.upper()) for each in samples()],
}


def papers(name: str, folder: Path) -> list[Labelled]:
    """Read a file of labels with the papers that they are of.

    Raises:
        LookupError: A paper is not there, or is another version.
    """
    rows = [json.loads(line) for line in (LABELS / f"{name}.jsonl").read_text().splitlines()]
    heads = [row for row in rows if "characters" in row]
    texts = dict(_texts(name, folder))
    labels: defaultdict[str, list[Label]] = defaultdict(list)
    for row in rows:
        if "kind" in row:
            labels[row["document"]].append(Label(row["start"], row["end"], row["kind"]))
    if missing := [head["document"][:12] for head in heads if head["document"] not in texts]:
        raise LookupError(f"{len(missing)} labelled texts are not in {folder}: {missing[:3]}")
    return [Labelled(texts[h["document"]], labels[h["document"]], h["tune_until"]) for h in heads]


def _texts(name: str, folder: Path) -> Iterator[tuple[str, str]]:
    if name in PDFS:
        for path in sorted(folder.glob(PDFS[name])):
            parsed = parse_file(path, Media.PDF)
            if isinstance(parsed, ParsedDocument):
                yield from ((_hash(page.text), page.text) for page in parsed.pages)
        return
    for path in sorted(folder.glob("*.md")):
        text = path.read_bytes().decode("utf-8")
        yield _hash(text), text


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def tallies(texts: Sequence[Labelled]) -> dict[str, dict[str, Tally]]:
    """Count by half and kind.

    A label is hidden when none of its letters is left, whatever kind took them; a replacement is right
    when it overlaps a label of its kind (a name that nothing vouches for: of a person).
    """
    found: dict[str, defaultdict[str, Tally]] = {
        half: defaultdict(Tally) for half in ("tuned", "held out")
    }
    for each in texts:
        done = anonymise(each.text)
        covered = bytearray(len(each.text))
        for one in done.replacements:
            covered[one.start : one.end] = b"\x01" * (one.end - one.start)
            half = "tuned" if one.start < each.tune_until else "held out"
            tally = found[half][one.kind.value]
            tally.replaced += 1
            kinds = {one.kind.value, *(["personne"] if one.kind is Kind.NOM else [])}
            tally.right += any(
                label.start < one.end and one.start < label.end and label.kind in kinds
                for label in each.labels
            )
        for label in each.labels:
            half = "tuned" if label.start < each.tune_until else "held out"
            tally = found[half][label.kind]
            tally.labels += 1
            tally.hidden += all(
                covered[at] or not _LETTER.match(each.text[at])
                for at in range(label.start, label.end)
            )
    return {half: dict(kinds) for half, kinds in found.items()}


def measure(_sizes: list[int], data: Path | None = None) -> dict[str, Any]:
    """Hold the rules against every set that is there."""
    folder = data or DATA
    anonymise("The word list is loaded before the clock starts.")
    sets: dict[str, Any] = {}
    for name, title in SETS.items():
        try:
            texts = OWN[name]() if name in OWN else papers(name, folder)
        except LookupError as error:
            # Seen in the table and in the file; the figures of the others stand.
            print(f"anonymisation: {name} is skipped: {error}", flush=True)
            sets[name] = {"title": title, "skipped": f"no such papers in {folder.name}"}
            continue
        sets[name] = {"title": title, **_figures(texts)}
    figures = {"machine": meter.machine(), "version": VERSION, "sets": sets}
    _write(figures)
    return figures


def _figures(texts: Sequence[Labelled]) -> dict[str, Any]:
    began = time.perf_counter()
    found = tallies(texts)
    took = time.perf_counter() - began
    size = sum(len(each.text) for each in texts)
    doubtful = sum(bool(anonymise(each.text).doubts) for each in texts)
    return {
        "texts": len(texts),
        "characters": size,
        "us_per_character": round(took / size * 1e6, 2),
        "doubtful_texts": doubtful,
        "halves": {
            half: {kind: _row(tally) for kind, tally in sorted(kinds.items())}
            for half, kinds in found.items()
        },
    }


def _row(tally: Tally) -> dict[str, Any]:
    return {
        "labels": tally.labels,
        "hidden": tally.hidden,
        "recall": _share(tally.hidden, tally.labels),
        "replaced": tally.replaced,
        "right": tally.right,
        "precision": _share(tally.right, tally.replaced),
    }


def _share(part: int, whole: int) -> list[float] | None:
    if not whole:
        return None
    return [round(part / whole, 4), *wilson(part / whole, whole)]


def _write(figures: Mapping[str, Any]) -> None:
    """Keep what an operator is told; a set that is not here keeps the figures it had."""
    before = json.loads(FILE.read_text("utf-8"))["sets"] if FILE.exists() else {}
    kept = {
        name: before.get(name, found)
        if "skipped" in found
        else {key: value for key, value in found.items() if key != "us_per_character"}
        for name, found in figures["sets"].items()
    }
    told = {"version": figures["version"], "sets": kept}
    FILE.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown."""
    lines = [
        f"Rules `{figures['version']}`. {LEGEND}",
        "",
        "| texts | half | kind | labels | hidden | replaced | right |",
        "|---|---|---|---|---|---|---|",
    ]
    skipped = []
    for name, each in figures["sets"].items():
        if "skipped" in each:
            skipped.append(f"* {each['title']} ({name}): skipped, {each['skipped']}.")
            continue
        for half, kinds in each["halves"].items():
            lines += [
                f"| {each['title']} | {half} | {kind} | {row['labels']} | {_shown(row['recall'])} | "
                f"{row['replaced']} | {_shown(row['precision'])} |"
                for kind, row in kinds.items()
            ]
    speed = [
        f"{each['title']}: {each['texts']} texts, {each['doubtful_texts']} in doubt, "
        f"{each['us_per_character']} µs a character."
        for each in figures["sets"].values()
        if "skipped" not in each
    ]
    return [*lines, "", *speed, *skipped]


def _shown(share: Sequence[float] | None) -> str:
    if share is None:
        return "–"
    return f"{share[0]:.1%} ({share[1]:.1%} to {share[2]:.1%})"


def totals(rows: Mapping[str, Mapping[str, Any]]) -> Counter[str]:
    """Add the counts of several kinds."""
    found = Counter[str]()
    for row in rows.values():
        found.update({name: row[name] for name in ("labels", "hidden", "replaced", "right")})
    return found
