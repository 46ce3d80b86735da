"""What the workflow gives for one document: its themes, drafted contributions and warnings.

A caller gets it as JSON for each document; the run that made the dataset carries as many as fit into
its docket.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from include.dockets import fits
from include.documents.parsing.sentences import pages_phrase
from include.documents.wording import page_reason

WARNING_CHARACTERS = 200
"""In a docket; the page and the JSON of the document have the whole sentence."""


@dataclass(frozen=True, slots=True)
class DraftedContribution:
    """A contribution that a model drafted from a document; never a citizen's own text.

    Attributes:
        theme: What it is about.
        constat_factuel: What is the case, as the model says it.
        idees_ameliorations: What could be done.
        quote: The document's own words that it stands on.
        page_number: Where they stand, from 1.
        model: Who wrote it.
        generated: Always; whoever reads one row alone must see it.
    """

    theme: str
    constat_factuel: str
    idees_ameliorations: str
    quote: str
    page_number: int
    model: str
    generated: bool = True


@dataclass(frozen=True, slots=True)
class WorkflowOutput:
    """What came of one document.

    Attributes:
        document_id: SHA-256 of its bytes.
        extracted_themes: What it talks about, the weightiest first.
        contributions: Drafts made from it, each marked as generated.
        warnings: Sentences in French on what a reader of it must know.
    """

    document_id: str
    extracted_themes: tuple[str, ...] = ()
    contributions: tuple[DraftedContribution, ...] = ()
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        found = asdict(self)
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in found.items()
        }

    def in_docket(self) -> dict[str, Any]:
        """As a docket has it: drafts are counted and long warnings cut, since rows stay in the ledger."""
        return {
            "document_id": self.document_id,
            "extracted_themes": list(self.extracted_themes),
            "contributions": len(self.contributions),
            "warnings": [warning[:WARNING_CHARACTERS] for warning in self.warnings],
        }


def warnings_of(
    noted: Sequence[str],
    unread: Mapping[str, Sequence[int]],
    near: tuple[str, float] | None = None,
    refusals: Sequence[str] = (),
) -> tuple[str, ...]:
    """Say all that a reader of a document must know.

    Args:
        noted: Sentences of the parser.
        unread: Page numbers by the reason for which they were set aside.
        near: Title of an older document that it nearly repeats, and how alike they are, 0 to 1.
        refusals: Why the whole document is set aside.

    >>> warnings_of([], {"empty": [2, 3]}, ("Guide", 0.934))[1]
    'Ce document répète presque entièrement « Guide » (93 % de ressemblance).'
    """
    pages = [
        f"{pages_phrase(sorted(numbers)).capitalize()} : {page_reason(reason).short}."
        for reason, numbers in sorted(unread.items())
    ]
    repeats = [] if near is None else [_repeats(*near)]
    return (*refusals, *noted, *pages, *repeats)


def _repeats(title: str, similarity: float) -> str:
    alike = f"{similarity * 100:.0f} % de ressemblance"
    return f"Ce document répète presque entièrement « {title} » ({alike})."


def outputs_in(
    result: Mapping[str, Any], outputs: Sequence[WorkflowOutput], total: int
) -> dict[str, Any]:
    """Put as many outputs into a docket as it holds, and count those that are left out.

    >>> outputs_in({"version": 1}, [WorkflowOutput("a" * 64)], 3)["outputs_left_out"]
    2
    """
    shown: list[dict[str, Any]] = []
    for output in outputs:
        entry = output.in_docket()
        if not fits({**result, "outputs": [*shown, entry], "outputs_left_out": total}):
            break
        shown.append(entry)
    return {**result, "outputs": shown, "outputs_left_out": total - len(shown)}
