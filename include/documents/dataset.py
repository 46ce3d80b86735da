"""Make datasets from what documents gave: examples with their provenance, in splits that do not leak.

The same examples are the same version, in whatever order they come: an example's place, its split and
the content hash depend on the examples alone, never on the day or the run.
"""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from include.documents.model import Chunk, Theme
from include.errors import PermanentError

DATASET_VERSION = "1"
"""Changes when the same examples would be written otherwise; part of the content hash."""

Split = Literal["train", "validation", "test"]
Kind = Literal["chunk", "themes", "labelled"]

SPLIT_SHARES: tuple[tuple[Split, int], ...] = (("train", 80), ("validation", 10), ("test", 10))
"""In hundredths of the documents, by their hash."""

Provenance = Mapping[str, str | int | float | None]


@dataclass(frozen=True, slots=True)
class Example:
    """One example, and where it comes from.

    Attributes:
        kind: What it is an example of.
        document_id: Whose words these are.
        group_id: What must not be torn between splits: the document, or the one it nearly repeats.
        text: The words.
        labels: What was said about them: themes, a category ...; empty for a bare chunk.
        first_page: Where they begin; None when they are of the whole document.
        last_page: Where they end.
        provenance: Title, uri, versions of parser, splitter and engines ...; no run and no moment,
            which would make each run another version.
    """

    kind: Kind
    document_id: str
    group_id: str
    text: str
    labels: tuple[str, ...]
    first_page: int | None
    last_page: int | None
    provenance: Provenance

    @property
    def split(self) -> Split:
        """Where it belongs, now and in every later version."""
        return split_of(self.group_id)

    @property
    def content(self) -> dict[str, Any]:
        """As written to every file and to the ledger."""
        return {
            "kind": self.kind,
            "split": self.split,
            "document_id": self.document_id,
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
        found = Counter[str](example.split for example in self.examples)
        found.update(example.kind for example in self.examples)
        return dict(sorted(found.items()))


def split_of(group_id: str) -> Split:
    """Choose a split by hash: a document never changes sides, whatever is added beside it."""
    lot = int.from_bytes(hashlib.sha256(group_id.encode()).digest()[:8]) % 100
    for split, share in SPLIT_SHARES:
        if lot < share:
            return split
        lot -= share
    raise AssertionError("the shares add up to 100")


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


def build(examples: Iterable[Example]) -> Dataset:
    """Order the examples, leave out those given twice, and hash the whole.

    Raises:
        PermanentError: A document is given two groups, which could tear it between splits, or a
            provenance cannot be written as JSON.
    """
    groups: dict[str, str] = {}
    by_line: dict[str, Example] = {}
    for example in examples:
        if groups.setdefault(example.document_id, example.group_id) != example.group_id:
            raise PermanentError(f"document {example.document_id} is in two groups of one dataset")
        by_line[_line(example)] = example
    digest = hashlib.sha256(f"dataset {DATASET_VERSION}\n".encode())
    ordered = sorted(by_line.items(), key=_reading_order)
    for line, _ in ordered:
        digest.update(line.encode() + b"\n")
    return Dataset(tuple(example for _, example in ordered), digest.hexdigest())


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


def _reading_order(entry: tuple[str, Example]) -> tuple[str, str, int, int, str]:
    line, example = entry
    start = example.provenance.get("start")
    first = start if isinstance(start, int) else -1
    return example.document_id, example.kind, example.first_page or 0, first, line


def _line(example: Example) -> str:
    return _json(example.content)


def _json(content: Mapping[str, Any]) -> str:
    try:
        return json.dumps(content, ensure_ascii=False, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise PermanentError(f"an example cannot be written as JSON: {error}") from error
