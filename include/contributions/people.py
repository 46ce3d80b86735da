"""See of whom a text speaks, so that nobody is judged in words that are all plain.

Some people can be pointed at: an elected person, an official, a neighbour, whoever is addressed. They
may stand only inside a frame of the data, such as being asked for something or thanked. A pronoun
needs something it stands for.
"""

from collections.abc import Iterator, Sequence

from include.contributions.doubt import Doubt
from include.contributions.normalisation import Reading, Token
from include.contributions.patterns import Findings
from include.municipality import Municipality

SENTENCES_BACK = 2
DETERMINER_REACH = 2

_PLURAL = frozenset(
    {"les", "des", "ces", "nos", "mes", "ses", "leurs", "vos", "aux", "quelques", "plusieurs"}
    | {"certains", "certaines", "tous", "toutes", "deux", "trois", "quatre", "cinq", "six", "sept"}
    | {"huit", "neuf", "dix", "douze", "quinze", "vingt", "trente"}
)
_PEOPLE = frozenset(
    {"{elu}", "{individu}", "{groupe}", "{humain}", "{eux}", "{vous}", "{mot.groupe}"}
)


class People:
    """Who may be spoken of, and where."""

    def __init__(self, municipality: Municipality) -> None:
        self._closed = {f"{{{klass}}}": reason for klass, reason in municipality.closed.items()}

    @staticmethod
    def resolve(reading: Reading, findings: Findings) -> Findings:
        """Take the sign of people off every *ils* and *elles* that stands for things named before."""
        labels = list(findings.labels)
        for position, own in enumerate(labels):
            if "{tiers}" in own and _stands_for_things(reading.tokens, labels, position):
                labels[position] = own - {"{tiers}"}
        return findings._replace(labels=tuple(labels))

    def doubts(self, reading: Reading, findings: Findings) -> Iterator[Doubt]:
        """Find people outside every frame."""
        framed: dict[str, set[int]] = {label: set() for label in self._closed}
        for hit in findings.rules:
            if hit.rule.layer == "frame":
                framed[f"{{{hit.rule.reason}}}"].update(range(hit.first, hit.last))
        for position, own in enumerate(findings.labels):
            for label in sorted(own & self._closed.keys()):
                if position not in framed[label]:
                    token = reading.tokens[position]
                    rule = f"personnes.{label.strip('{}')}"
                    yield Doubt(self._closed[label], rule, token.start, token.end)


def _stands_for_things(
    tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int
) -> bool:
    """Look back to the nearest plural, as far as the sentence before."""
    first = tokens[position].sentence - SENTENCES_BACK
    for other in range(position - 1, 0, -1):
        token = tokens[other]
        if token.sentence < first:
            return False
        if not labels[other].isdisjoint(_PEOPLE):
            return False
        if token.form.folded.endswith(("s", "x")) and any(
            tokens[before].form.folded in _PLURAL or tokens[before].form.folded.isdigit()
            for before in range(max(0, other - DETERMINER_REACH), other)
        ):
            return True
    return False
