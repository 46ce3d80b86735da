"""Labelled samples: texts whose right answers are known, by construction or because a person decided.

Never because a machine said so: an engine that is held against its own answers is always right.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from include.contributions.model import UNDETERMINED, Article, Category, Contribution, Decision
from include.errors import ConfigurationError

SAMPLES_PATH = Path(__file__).parents[1] / "data" / "labelled_samples.jsonl"

PAIRS_PATH = SAMPLES_PATH.with_name("labelled_pairs.jsonl")
"""Clean texts written twice, once with a group of people named and once with everybody: the kind
``paired``. They are held against each other and count nowhere else."""

Kind: TypeAlias = Literal[
    "clean",
    "personal_attack",
    "discrimination",
    "spam",
    "off_topic",
    "false_information",
    "doubtful",
    "manipulation",
    "licit_trap",
    "paired",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""What the project writes samples of. A person may also refuse for a reason that is no article, which
makes a sample of the kind ``refused``."""

VIOLATION_KINDS: frozenset[str] = frozenset(
    {"personal_attack", "discrimination", "spam", "off_topic", "false_information", "refused"}
)

KIND_OF_ARTICLE: dict[str, str] = {
    Article.PERSONAL_ATTACK: "personal_attack",
    Article.SPAM: "spam",
    Article.OFF_TOPIC: "off_topic",
    Article.FALSE_INFORMATION: "false_information",
}

Origin: TypeAlias = Literal["project", "person"]
"""Written for the project and known by construction; or a citizen's text that a person decided."""

ORIGINS: tuple[Origin, ...] = get_args(Origin)


@dataclass(frozen=True, slots=True)
class Sample:
    """A text whose right answers are known.

    Attributes:
        sample_id: Unique.
        constat_factuel: As a citizen would write it.
        idees_ameliorations: The same; may be empty.
        declared_category: What the form says, or None.
        expected_decisions: Every outcome that is acceptable.
        expected_categories: Every category that is acceptable; empty where none can be asked for.
        kind: What the text is an example of; ``licit_trap`` looks like a violation and is none.
        provenance: Who labelled it and how.
        origin: Whether the words are the project's or a citizen's.
    """

    sample_id: str
    constat_factuel: str
    idees_ameliorations: str
    declared_category: Category | None
    expected_decisions: frozenset[Decision]
    expected_categories: frozenset[str]
    kind: str
    provenance: str
    origin: Origin = "project"

    @classmethod
    def from_mapping(cls, row: Mapping[str, Any]) -> "Sample":
        """Read one row of a file.

        Raises:
            ConfigurationError: A field is missing or holds what it cannot; the message says which.
        """
        try:
            sample = cls(
                sample_id=str(row["sample_id"]),
                constat_factuel=str(row["constat_factuel"]),
                idees_ameliorations=str(row.get("idees_ameliorations") or ""),
                declared_category=Category(declared)
                if (declared := row.get("declared_category"))
                else None,
                expected_decisions=frozenset(map(Decision, row["expected_decisions"])),
                expected_categories=frozenset(map(_category, row["expected_categories"])),
                kind=row["kind"],
                provenance=str(row["provenance"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"labelled sample {str(row)[:80]}: {error!r}") from error
        if sample.kind not in KINDS or not sample.expected_decisions:
            raise ConfigurationError(
                f"labelled sample {sample.sample_id}: kind {sample.kind!r} is unknown or no "
                "decision is expected"
            )
        return sample

    @classmethod
    def of_person(
        cls,
        sample_id: str,
        contribution: Contribution,
        expected: Decision,
        reason: str,
        provenance: str,
    ) -> "Sample":
        """Make a sample of a text on which a person decided.

        Asking a person is never wrong where a person had to be asked. The category stays unasked: the
        citizen's own may be wrong, and nobody checked it.

        >>> refused = Sample.of_person("p-1", Contribution("c", "x"), Decision.REFUSAL_PROPOSED,
        ...                            "spam_ou_publicite", "a person, 2026-01-12")
        >>> refused.kind, sorted(refused.expected_decisions)
        ('spam', [<Decision.REFUSAL_PROPOSED: 'refusal_proposed'>, <Decision.REVIEW: 'review'>])
        """
        accepted = expected is Decision.ACCEPT
        return cls(
            sample_id,
            contribution.constat_factuel,
            contribution.idees_ameliorations,
            contribution.category,
            frozenset({expected, Decision.REVIEW}),
            frozenset(),
            "clean" if accepted else KIND_OF_ARTICLE.get(reason, "refused"),
            provenance,
            "person",
        )

    @property
    def contribution(self) -> Contribution:
        """The sample as the reviewer meets it."""
        return Contribution(
            self.sample_id,
            self.constat_factuel,
            self.idees_ameliorations,
            self.declared_category,
        )


def load_samples(path: Path = SAMPLES_PATH) -> tuple[Sample, ...]:
    """Read a file of labelled samples, one JSON object a line.

    Raises:
        ConfigurationError: The file is missing, or a line is no sample, or an id comes twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        rows = [json.loads(line) for line in lines if line.strip()]
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"labelled samples {path}: {error}") from error
    samples = tuple(map(Sample.from_mapping, rows))
    if len({sample.sample_id for sample in samples}) < len(samples):
        raise ConfigurationError(f"labelled samples {path}: a sample_id comes twice")
    return samples


def load_all() -> tuple[Sample, ...]:
    """Read the project's samples and pairs; errors as for :func:`load_samples`."""
    return (*load_samples(), *load_samples(PAIRS_PATH))


def _category(name: str) -> str:
    return name if name == UNDETERMINED else Category(name).value
