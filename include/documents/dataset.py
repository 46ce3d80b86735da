"""Make datasets from what documents gave: examples with their provenance, in splits that do not leak.

The same examples, and the same places given before, are the same version, in whatever order they come:
never does the day or the run count.

What must not be torn (a document with those that nearly repeat it, a contribution with its repetitions)
is a *group*, and a group stands in one split. Its place is chosen by its hash, and by nothing else once
the collection is large. While it is small, chance would leave the test or the validation split empty:
then the new group nearest to it fills it. A place once given is kept in every later version; a group that
is not new never moves. A document changes sides in one case only: when it turns out to repeat, or to no
longer repeat, another one, because a repetition in two splits would be a leak.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from include.documents.model import Chunk, Theme
from include.errors import PermanentError

DATASET_VERSION = "2"
"""Changes when the same examples would be written otherwise; part of the content hash."""

Split = Literal["train", "validation", "test"]
Kind = Literal["chunk", "themes", "labelled"]

SPLIT_SHARES: tuple[tuple[Split, int], ...] = (("train", 80), ("validation", 10), ("test", 10))
"""In hundredths of the groups, by their hash."""

FILLED_FIRST: tuple[Split, ...] = ("train", "test", "validation")
"""Who gets one of too few groups: without a test nothing can be said of what was trained."""

Provenance = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Example:
    """One example, and where it comes from.

    Attributes:
        kind: What it is an example of.
        document_id: Whose words these are; None for a contribution.
        group_id: What must not be torn between splits: the document, or the one it nearly repeats.
        text: The words.
        labels: What was said about them: themes, a category ...; empty for a bare chunk.
        first_page: Where they begin; None when they are of the whole document.
        last_page: Where they end.
        provenance: Title, uri, versions of parser, splitter and engines ...; no run and no moment,
            which would make each run another version.
        contribution_id: Whose words these are; None for a document and for an invented sample.
        split: Where it belongs; None until :func:`build` places it.
    """

    kind: Kind
    document_id: str | None
    group_id: str
    text: str
    labels: tuple[str, ...]
    first_page: int | None
    last_page: int | None
    provenance: Provenance
    contribution_id: str | None = None
    split: Split | None = None

    @property
    def content(self) -> dict[str, Any]:
        """As written to every file and to the ledger."""
        return {
            "kind": self.kind,
            "split": self.split,
            "document_id": self.document_id,
            "contribution_id": self.contribution_id,
            "group_id": self.group_id,
            "text": self.text,
            "labels": list(self.labels),
            "first_page": self.first_page,
            "last_page": self.last_page,
            "provenance": dict(self.provenance),
        }


@dataclass(frozen=True, slots=True)
class Dataset:
    """Examples in their final order, and the hash that names this version."""

    examples: tuple[Example, ...]
    content_hash: str

    @property
    def counts(self) -> dict[str, int]:
        """How many examples of each split, and of each kind."""
        found = Counter[str](str(example.split) for example in self.examples)
        found.update(example.kind for example in self.examples)
        return dict(sorted(found.items()))


def split_of(group_id: str) -> Split:
    """Choose a split by hash, whatever stands beside it."""
    lot = _lot(group_id) % 100
    for split, share in SPLIT_SHARES:
        if lot < share:
            return split
        lot -= share
    raise AssertionError("the shares add up to 100")


def places(groups: Iterable[str], standing: Mapping[str, Split]) -> dict[str, Split]:
    """Give each group its split: the one it has, else by hash, else one that would stay empty.

    >>> places(["a"], {}), places(["a", "b"], {"a": "train"})["b"]
    ({'a': 'train'}, 'test')
    """
    wanted = set(groups)
    found = {group: standing[group] for group in wanted & standing.keys()}
    new = sorted(wanted - found.keys(), key=lambda group: (_lot(group), group))
    found.update({group: split_of(group) for group in new})
    for rank, empty in enumerate(FILLED_FIRST):
        held = Counter(found.values())
        if held[empty]:
            continue
        less = FILLED_FIRST[rank + 1 :]
        spare = [each for each in new if held[found[each]] > 1 or found[each] in less]
        if spare:
            found[min(spare, key=lambda group: _distance(group, empty))] = empty
    return found


def _lot(group_id: str) -> int:
    return int.from_bytes(hashlib.sha256(group_id.encode()).digest()[:8])


def _distance(group_id: str, split: Split) -> tuple[int, int]:
    """Say how far the hash is from the lots of a split; ties are broken by the rest of it."""
    begin = sum(
        share for _, share in SPLIT_SHARES[: [each for each, _ in SPLIT_SHARES].index(split)]
    )
    end = begin + dict(SPLIT_SHARES)[split] - 1
    lot = _lot(group_id)
    return max(begin - lot % 100, lot % 100 - end, 0), lot


def chunk_examples(
    document_id: str, chunks: Iterable[Chunk], provenance: Provenance, group_id: str | None = None
) -> Iterator[Example]:
    """Make an example of each parent; children repeat their parents' words."""
    for chunk in chunks:
        if chunk.parent is None:
            span = {"start": chunk.start, "end": chunk.end}
            yield Example(
                "chunk",
                document_id,
                group_id or document_id,
                chunk.text,
                (),
                chunk.first_page,
                chunk.last_page,
                {**provenance, **span},
            )


def theme_example(
    document_id: str,
    text: str,
    themes: Sequence[Theme],
    provenance: Provenance,
    group_id: str | None = None,
) -> Example:
    """Make an example of a document, or its beginning, with its themes, heaviest first."""
    labels = tuple(theme.label for theme in themes)
    group = group_id or document_id
    return Example("themes", document_id, group, text, labels, None, None, provenance)


def build(examples: Iterable[Example], standing: Mapping[str, Split] | None = None) -> Dataset:
    """Place and order the examples, leave out those given twice, and hash the whole.

    Documents and contributions are placed apart, so that each kind is in every split where it can be.

    Args:
        examples: In any order.
        standing: Places that groups have from earlier versions.

    Raises:
        PermanentError: A document is given two groups, which could tear it between splits, or a
            provenance cannot be written as JSON.
    """
    given = list(examples)
    groups: dict[str, str] = {}
    for example in given:
        whose = example.document_id or example.contribution_id
        if whose and groups.setdefault(whose, example.group_id) != example.group_id:
            raise PermanentError(f"{whose} is in two groups of one dataset")
    found: dict[str, Split] = {}
    for is_labelled in (False, True):
        family = (each.group_id for each in given if (each.kind == "labelled") is is_labelled)
        # A group of both kinds keeps the place of its document.
        found.update(places(family, {**(standing or {}), **found}))
    placed = (replace(example, split=found[example.group_id]) for example in given)
    by_line = {_line(example): example for example in placed}
    return _hashed(example for _, example in sorted(by_line.items(), key=_reading_order))


def without_contributions(dataset: Dataset) -> Dataset:
    """Leave citizens' words out; all else keeps its order and its split, and the hash is of the rest."""
    return _hashed(each for each in dataset.examples if each.contribution_id is None)


def to_jsonl(dataset: Dataset) -> bytes:
    """Write one JSON object a line, UTF-8."""
    return b"".join(_line(example).encode() + b"\n" for example in dataset.examples)


def to_parquet(dataset: Dataset) -> bytes:
    """Write the same columns as a Parquet file; ``provenance`` is JSON in a text column."""
    import pyarrow as pa  # noqa: PLC0415 - heavy, and only writers need it
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.schema(
        [
            ("kind", pa.string()),
            ("split", pa.string()),
            ("document_id", pa.string()),
            ("contribution_id", pa.string()),
            ("group_id", pa.string()),
            ("text", pa.string()),
            ("labels", pa.list_(pa.string())),
            ("first_page", pa.int32()),
            ("last_page", pa.int32()),
            ("provenance", pa.string()),
        ],
        metadata={"content_hash": dataset.content_hash},
    )
    rows = [
        example.content | {"provenance": _json(dict(example.provenance))}
        for example in dataset.examples
    ]
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), file, compression="zstd")
    return file.getvalue()


def _hashed(examples: Iterable[Example]) -> Dataset:
    ordered = tuple(examples)
    digest = hashlib.sha256(f"dataset {DATASET_VERSION}\n".encode())
    for example in ordered:
        digest.update(_line(example).encode() + b"\n")
    return Dataset(ordered, digest.hexdigest())


def _reading_order(entry: tuple[str, Example]) -> tuple[str, str, int, int, str]:
    line, example = entry
    start = example.provenance.get("start")
    first = start if isinstance(start, int) else -1
    whose = example.document_id or example.contribution_id or ""
    return whose, example.kind, example.first_page or 0, first, line


def _line(example: Example) -> str:
    return _json(example.content)


def _json(content: Mapping[str, Any]) -> str:
    try:
        return json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PermanentError(f"an example cannot be written as JSON: {error}") from error
