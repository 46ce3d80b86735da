"""Load what was read from a site into the store that files go to, by the same path.

A reading stands for a file: its records in a fixed order are its bytes. A reading that says what an
earlier one said is therefore known, and one that says something else is its next version.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import date
from pathlib import Path

from include.contributions.model import BrokenRecord, Record
from include.contributions.sources.boundary import plausible_day
from include.ports import LoadCounts, LoadingStore, SourceFile


def load_reading(
    store: LoadingStore,
    load_id: int,
    uri: str,
    form: str,
    entries: Iterable[Record | BrokenRecord],
    today: date,
) -> LoadCounts:
    """Store the entries of one whole reading in one transaction.

    Args:
        store: Where they go; it puts aside what is broken and counts what is new.
        load_id: Of the open load.
        uri: What was read, as the ledger names it.
        form: What kind of entries these are.
        entries: In any order: a site shows the latest change first.
        today: In the town; a later day is no day on which something was sent.
    """
    ordered = sorted(entries, key=lambda entry: (len(entry.locator), entry.locator))
    content = "\n".join(
        json.dumps(asdict(entry), ensure_ascii=False, sort_keys=True, default=str)
        for entry in ordered
    ).encode("utf-8", "surrogatepass")
    file = SourceFile(
        Path(uri), uri, hashlib.sha256(content).hexdigest(), len(content), form, "utf-8"
    )
    return store.add_file(load_id, file, _plausible(ordered, today))


def _plausible(
    entries: Iterable[Record | BrokenRecord], today: date
) -> Iterator[Record | BrokenRecord]:
    for entry in entries:
        yield plausible_day(entry, today) if isinstance(entry, Record) else entry
