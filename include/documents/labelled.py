"""Labelled examples: contributions whose answer is known, by construction or because a person decided.

The words are as the ledger holds them. Labels are those of a validation and a classification
(``decision:accept``, ``category:logement``), so that an engine's answers can be compared with them; a
person's refusal is what an engine should have proposed. The category is the citizen's own. Who decided
is nobody's business here, and a machine's answer is never a label.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from typing import Literal

from include.contributions.samples import Sample
from include.documents import near_duplicates
from include.documents.dataset import Example, Provenance

REPEATED = 0.5
"""Share of common runs of words. One word more takes five runs from a text of twenty words; and two
texts too many in one group leak nothing."""

_EXPECTED = {"accepted": "accept", "refused": "refusal_proposed"}


@dataclass(frozen=True, slots=True)
class DecidedText:
    """A contribution as received, and the decision of a person that stands."""

    contribution_id: str
    constat_factuel: str
    idees_ameliorations: str
    declared_category: str | None
    outcome: Literal["accepted", "refused"]
    decision_id: int
    decided_on: date


def examples(samples: Sequence[Sample], decided: Sequence[DecidedText]) -> Iterator[Example]:
    """Make an example of each text; those that nearly repeat each other are one group.

    Args:
        samples: Invented texts with their right answers.
        decided: In the order in which persons first decided, so that a repetition joins the group of
            the text that came before it and not the other way round.
    """
    made = [*map(_of_sample, samples), *map(_of_decision, decided)]
    texts = {each.group_id: each.text for each in made}
    repeated = {
        found.document_id: found.duplicate_of
        for found in near_duplicates.find(
            ((name, near_duplicates.sketch(text)) for name, text in texts.items()),
            texts.__getitem__,
            REPEATED,
        )
    }
    for each in made:
        yield replace(each, group_id=_first(each.group_id, repeated))


def fingerprint(samples: Iterable[Sample]) -> str:
    """Name the samples by what they say; another file of samples gives another dataset."""
    digest = hashlib.sha256()
    for sample in samples:
        fields = {
            name: sorted(value) if isinstance(value, frozenset) else value
            for name, value in asdict(sample).items()
        }
        digest.update(repr(sorted(fields.items())).encode())
    return digest.hexdigest()[:16]


def _of_sample(sample: Sample) -> Example:
    labels = (
        *(f"decision:{decision}" for decision in sorted(sample.expected_decisions)),
        *(f"category:{category}" for category in sorted(sample.expected_categories)),
        f"kind:{sample.kind}",
    )
    provenance: Provenance = {
        "source": "labelled_samples",
        "sample_id": sample.sample_id,
        "labelled_by": sample.provenance,
    }
    text = _whole(sample.constat_factuel, sample.idees_ameliorations)
    group = f"sample:{sample.sample_id}"
    return Example("labelled", None, group, text, labels, None, None, provenance)


def _of_decision(decided: DecidedText) -> Example:
    category = decided.declared_category
    labels = (
        f"decision:{_EXPECTED[decided.outcome]}",
        *((f"category:{category}",) if category else ()),
    )
    provenance: Provenance = {
        "source": "decision",
        "decision_id": decided.decision_id,
        "outcome": decided.outcome,
        "decided_on": decided.decided_on.isoformat(),
        "labelled_by": "a person; the category by the citizen",
    }
    return Example(
        "labelled",
        None,
        f"contribution:{decided.contribution_id}",
        _whole(decided.constat_factuel, decided.idees_ameliorations),
        labels,
        None,
        None,
        provenance,
        contribution_id=decided.contribution_id,
    )


def _whole(constat: str, idees: str) -> str:
    return f"{constat}\n\n{idees}" if idees else constat


def _first(group_id: str, repeated: dict[str, str]) -> str:
    """Follow a repetition to a text that repeats none; it always points to an earlier one."""
    while group_id in repeated:
        group_id = repeated[group_id]
    return group_id
