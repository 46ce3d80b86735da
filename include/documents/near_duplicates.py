"""Find documents that say nearly the same; they are marked, never deleted.

Equal folded texts are found by their hash. For the others MinHash names candidates, and the exact
Jaccard similarity of their runs of words decides, so that a chance of the sketch marks nobody. A
sketch takes half a kilobyte and is made once per text; only the likest candidates' texts are read
again, so that a thousand papers of one form cost a thousand times what one costs, and not more.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from zlib import crc32

from include.documents.words import words

if TYPE_CHECKING:
    from datasketch import MinHash

SHINGLE_WORDS = 5
"""Long enough that two acts of one form do not share most of their runs."""

THRESHOLD = 0.8
"""Share of common runs from which two documents are one in two versions."""

PERMUTATIONS = 128
CANDIDATE_MARGIN = 0.3
"""Candidates are asked for so far below the threshold: half as far, one repetition in twenty is missed."""


SAME = 0.95
"""Share from which what is like the one is like the other: only the older one is compared further."""

MAX_CANDIDATES = 20
"""So many texts, the likest ones by their sketches, are read to confirm one document."""

SCHEME: Literal["affine32"] = "affine32"
NUMBERS = "<u4"
SKETCH_VERSION = 1
"""Changes when the same text would give another sketch."""


@dataclass(frozen=True, slots=True)
class Sketch:
    """What stands for a text: a hash of its words, and the least hashes of its runs of words.

    ``minima`` holds :data:`PERMUTATIONS` numbers of 4 bytes; it is empty for a text without words.
    """

    words_hash: str
    minima: bytes


@dataclass(frozen=True, slots=True)
class NearDuplicate:
    """A document, the earlier one it repeats, and the share of runs of words they have in common."""

    document_id: str
    duplicate_of: str
    similarity: float


def words_hash(text: str) -> str:
    """SHA-256 of the words alone: layout, case, accents and punctuation do not count."""
    return hashlib.sha256(" ".join(words(text)).encode()).hexdigest()


def similarity(left: str, right: str) -> float:
    """Exact Jaccard similarity of the runs of words, 0 to 1; texts without words are like nothing.

    >>> similarity("Un banc, une fontaine.", "UN BANC UNE FONTAINE"), similarity("", "")
    (1.0, 0.0)
    """
    one, other = _shingles(left), _shingles(right)
    together = len(one | other)
    return len(one & other) / together if together else 0.0


def sketch(text: str) -> Sketch:
    """Make the sketch of a text; the same words make the same one."""
    shingles = _shingles(text)
    return Sketch(words_hash(text), _minima(shingles) if shingles else b"")


def find(
    documents: Iterable[tuple[str, Sketch]],
    text_of: Callable[[str], str],
    threshold: float = THRESHOLD,
) -> Iterator[NearDuplicate]:
    """Yield each document that repeats an earlier one, lazily, in the order given.

    One that is the :data:`SAME` as an older one stands for nothing further: what is like it points to
    that older one, where it is like that one too.

    Args:
        documents: Ids and sketches, oldest first; read once. Without words, a document is no
            duplicate.
        text_of: Gives the text of an id already read, to confirm a candidate.
        threshold: Similarity from which a document counts as repeated.
    """
    from datasketch import MinHashLSH  # noqa: PLC0415 - brings scipy, slow to import

    sketches = MinHashLSH(threshold=max(0.1, threshold - CANDIDATE_MARGIN), num_perm=PERMUTATIONS)
    seen: set[str] = set()
    standing: list[tuple[str, bytes]] = []
    by_hash: dict[str, str] = {}
    for document_id, each in documents:
        if not each.minima or document_id in seen:
            continue
        seen.add(document_id)
        if each.words_hash in by_hash:
            yield NearDuplicate(document_id, by_hash[each.words_hash], 1.0)
        else:
            by_hash[each.words_hash] = document_id
            minhash = _minhash(each.minima)
            older = [standing[place] for place in sorted(sketches.query(minhash))]
            candidates = _likest(each.minima, older)
            best = _best(document_id, candidates, text_of, threshold) if candidates else None
            if best:
                yield best
            if best is None or best.similarity < SAME:
                sketches.insert(len(standing), minhash)
                standing.append((document_id, each.minima))


def _likest(minima: bytes, others: Sequence[tuple[str, bytes]]) -> list[str]:
    """Name those that share most of the least hashes, the likest first and the older of two first."""
    import numpy as np  # noqa: PLC0415 - comes with datasketch

    known = np.frombuffer(b"".join(each for _, each in others), dtype=NUMBERS)
    shared = known.reshape(-1, PERMUTATIONS) == np.frombuffer(minima, dtype=NUMBERS)
    likest = np.argsort(-shared.sum(axis=1), kind="stable")[:MAX_CANDIDATES]
    return [others[place][0] for place in likest]


def _best(
    document_id: str,
    candidates: Iterable[str],
    text_of: Callable[[str], str],
    threshold: float,
) -> NearDuplicate | None:
    shingles = _shingles(text_of(document_id))
    best: NearDuplicate | None = None
    for candidate in candidates:
        other = _shingles(text_of(candidate))
        shared = len(shingles & other) / len(shingles | other)
        if shared >= threshold and (best is None or shared > best.similarity):
            best = NearDuplicate(document_id, candidate, shared)
            if shared >= SAME:
                break
    return best


def _shingles(text: str) -> frozenset[int]:
    """Hash each run of words; a text shorter than a run is one run."""
    found = words(text)
    if not found:
        return frozenset()
    last = max(1, len(found) - SHINGLE_WORDS + 1)
    return frozenset(
        crc32(" ".join(found[start : start + SHINGLE_WORDS]).encode()) for start in range(last)
    )


def _minima(shingles: frozenset[int]) -> bytes:
    from datasketch import MinHash  # noqa: PLC0415 - brings scipy, slow to import

    made = MinHash(num_perm=PERMUTATIONS, hashfunc=int, scheme=SCHEME)
    made.update_batch(shingles)
    return bytes(made.hashvalues.astype(NUMBERS).tobytes())


def _minhash(minima: bytes) -> "MinHash":
    import numpy as np  # noqa: PLC0415 - comes with datasketch
    from datasketch import MinHash  # noqa: PLC0415 - brings scipy, slow to import

    values = np.frombuffer(minima, dtype=NUMBERS)
    return MinHash(num_perm=PERMUTATIONS, hashfunc=int, hashvalues=values, scheme=SCHEME)
