"""See of whom a text speaks, so that nobody is judged in words that are all plain.

Some people can be pointed at: an elected person, an official, a neighbour, whoever is addressed. They
may stand only inside a frame of the data, such as being asked for something or thanked. A pronoun
needs something it stands for.
"""

from collections.abc import Iterator, Sequence

from include.contributions.doubt import Doubt, sentence_of
from include.contributions.normalisation import Reading, Token
from include.contributions.patterns import Findings
from include.municipality import Municipality

SENTENCES_BACK = 2
DETERMINER_REACH = 2
DATIVE_REACH = 4

UNNAMED = "propos_sur_des_personnes"
VERB_REACH = 5
_SUBJECTS = frozenset({"il", "elle", "ils", "elles"})
_POSSESSIVES = frozenset({"son", "sa", "ses"})
_INTRODUCED = frozenset(
    {"{elu}", "{individu}", "{humain}", "{famille}", "{prenom}", "{mot.chose.groupe}", "{groupe}"}
)
_NAMES_OF_PLACES = frozenset({"{lieu}", "{voie}"})
_BETWEEN = frozenset({"ne", "n", "me", "m", "nous", "vous", "leur", "lui", "en", "se", "s"})
_IMPERSONAL = frozenset(
    {"faut", "faudrait", "faudra", "fallait", "y", "est", "serait", "sera", "etait", "suffit"}
    | {
        "suffirait",
        "manque",
        "manquait",
        "manquerait",
        "reste",
        "existe",
        "vaut",
        "vaudrait",
        "agit",
    }
    | {"semble", "pleut", "fait", "arrive", "convient", "paraitrait", "neige"}
)
INDIVIDUAL = "{individu}"
ADDRESSED = "{vous}"
OTHERS = "{eux}"
OFFICE = "{elu}"
GROUP = "{groupe}"
_STAND_INS = frozenset({"{tiers}", OTHERS})
_DEMONSTRATIVES = frozenset({"ceux", "celles", "celui", "celle"})
_APART = frozenset({"de", "du", "des", "d", "en", "sur", "au", "aux", "entre", "qu", "que"})
_FIRST_PERSON = frozenset({"je", "j", "nous"})
_SPEAKERS = _FIRST_PERSON | {"on", "personne"}

_LOUD = frozenset(
    {
        "{charge}",
        "{negation}",
        "{hostile}",
        "{haine}",
        "{insulte_adj}",
        "{insulte}",
        "{grossier}",
    }
    | {"{mot.attaque}", "{mot.violence}", "{mot.grief}", "{mot.sensible}", "{mot.groupe}"}
    | {"{mot.chose.attaque}", "{mot.chose.violence}", "{mot.chose.grief}", "{mot.inconnu}"}
    | {"{mot.chose.soupcon}"}
    | {"{eux}", "{vous}", "{elu}", "{tutoiement}"}
)
_PLURAL = frozenset(
    {"les", "des", "ces", "nos", "mes", "ses", "leurs", "vos", "aux", "quelques", "plusieurs"}
    | {"certains", "certaines", "tous", "toutes", "deux", "trois", "quatre", "cinq", "six", "sept"}
    | {"huit", "neuf", "dix", "douze", "quinze", "vingt", "trente"}
)
_PEOPLE = frozenset(
    {"{elu}", "{individu}", "{groupe}", "{humain}", "{eux}", "{vous}", "{mot.groupe}"}
)


OF_A_THING = "{chose}"
"""A pronoun before a verb that stands for things."""

_AGES = frozenset({"anciens", "anciennes", "jeunes"})
_OF_AGE = frozenset({"{humain}", "{faible}"})
_MOVES = frozenset({"degager", "mettre", "remettre", "sortir", "rentrer", "deplacer", "couper"})
_DWELLINGS = frozenset(
    {"tentes", "tente", "caravanes", "caravane", "campements", "campement", "squat", "squats"}
    | {"roulottes", "duvets", "cartons", "cabanes", "fourgons", "logements", "maisons", "foyers"}
)
"""Who would have these moved away may mean those who sleep there."""


class People:
    """Who may be spoken of, and where."""

    def __init__(self, municipality: Municipality) -> None:
        self._closed = {
            f"{{{klass}}}": reason
            for klass, reason in municipality.closed.items()
            if f"{{{klass}}}" != GROUP
        }

    @staticmethod
    def resolve(reading: Reading, findings: Findings) -> Findings:
        """Take the sign of people off *ils*, *elles*, *ceux de* that stand for things named before."""
        tokens, labels = reading.tokens, list(findings.labels)
        for position, own in enumerate(labels):
            if (
                not own.isdisjoint(_STAND_INS)
                and ("{tiers}" in own or _tells_things_apart(tokens, position))
                and _stands_for_things(tokens, labels, position)
            ):
                labels[position] = own - _STAND_INS
            elif tokens[position].form.folded in _AGES and _follows_a_thing(
                tokens, labels, position
            ):
                labels[position] = own - _OF_AGE
            elif _is_moved(tokens, position) and _only_things_before(tokens, labels, position):
                labels[position] = own - {"~=les"} | {OF_A_THING}
        return findings._replace(labels=tuple(labels))

    @staticmethod
    def kindly(findings: Findings) -> frozenset[int]:
        """Positions inside a frame where a group of people is named as one names friends."""
        return frozenset(
            position
            for hit in findings.rules
            if hit.rule.layer == "frame" and f"{{{hit.rule.reason}}}" == GROUP
            for position in range(hit.first, hit.last)
        )

    def doubts(self, reading: Reading, findings: Findings) -> Iterator[Doubt]:
        """Find people outside every frame."""
        framed: dict[str, set[int]] = {label: set() for label in self._closed}
        for hit in findings.rules:
            if hit.rule.layer == "frame" and f"{{{hit.rule.reason}}}" != GROUP:
                framed[f"{{{hit.rule.reason}}}"].update(range(hit.first, hit.last))
        for position, own in enumerate(findings.labels):
            for label in sorted(own & self._closed.keys()):
                if position not in framed[label] and not self._is_let_be(
                    label, reading, findings, position
                ):
                    token = reading.tokens[position]
                    rule = f"personnes.{label.strip('{}')}"
                    yield Doubt(self._closed[label], rule, token.start, token.end)

        yield from _pronouns(reading, findings)

    @staticmethod
    def _is_let_be(label: str, reading: Reading, findings: Findings, position: int) -> bool:
        """Say whether somebody is not judged: has a trade, or is spoken to or of in the first person."""
        tokens, labels = reading.tokens, findings.labels
        if label == INDIVIDUAL:
            return is_quiet(tokens, labels, position)
        if label == OTHERS:
            opens = position == 0 or tokens[position - 1].sentence != tokens[position].sentence
            return not opens and is_quiet(tokens, labels, position, _LOUD - {OTHERS})
        if not any(
            tokens[other].form.folded in _FIRST_PERSON
            for other in sentence_of(tokens, position)
            if other < position
        ):
            return False
        if label == OFFICE:
            return is_quiet(tokens, labels, position, _LOUD - {OFFICE})
        return tokens[position].form.folded == "vous" and is_quiet(
            tokens, labels, position, _LOUD - {ADDRESSED, "{charge}"}
        )


def _pronouns(reading: Reading, findings: Findings) -> Iterator[Doubt]:
    """Find *il*, *elle*, *lui*, *son* that stand for a person whom nothing before names."""
    tokens, labels = reading.tokens, findings.labels
    for position, token in enumerate(tokens):
        folded = token.form.folded
        if folded in _SUBJECTS:
            speaks = not _is_impersonal(tokens, position) and (
                "{tiers}" in labels[position]
                or any(
                    "{verbe_humain}" in labels[other]
                    for other in range(position + 1, min(position + VERB_REACH, len(tokens)))
                    if tokens[other].sentence == token.sentence
                )
            )
        elif folded in _POSSESSIVES:
            speaks = (
                position + 1 < len(tokens)
                and tokens[position + 1].sentence == token.sentence
                and "{bien}" in labels[position + 1]
            )
        else:
            speaks = folded == "lui" and not _is_dative(tokens, position)
        if speaks and not _is_introduced(tokens, labels, position):
            yield Doubt(UNNAMED, "personnes.pronom", token.start, token.end)


def _is_dative(tokens: Sequence[Token], position: int) -> bool:
    """Say whether *lui* is whom somebody gives or says something: ``on lui demande``."""
    if position == 0 or tokens[position - 1].sentence != tokens[position].sentence:
        return True
    before = range(max(0, position - DATIVE_REACH), position)
    return any(
        tokens[other].form.folded in _SPEAKERS
        and tokens[other].sentence == tokens[position].sentence
        for other in before
    )


def _is_impersonal(tokens: Sequence[Token], position: int) -> bool:
    """Say whether *il* stands for nobody: ``il faudrait``, ``il n'y a``."""
    after = position + 1
    while after < len(tokens) and tokens[after].form.folded in _BETWEEN:
        after += 1
    return (
        tokens[position].form.folded == "il"
        and after < len(tokens)
        and tokens[after].form.folded in _IMPERSONAL
    )


def _is_introduced(
    tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int
) -> bool:
    """Say whether somebody is named in this sentence or the two before it."""
    first = tokens[position].sentence - SENTENCES_BACK
    for other in range(position - 1, -1, -1):
        if tokens[other].sentence < first:
            return False
        if labels[other] & _INTRODUCED and labels[other].isdisjoint(_NAMES_OF_PLACES):
            return True
    return False


def is_quiet(
    tokens: Sequence[Token],
    labels: Sequence[frozenset[str]],
    position: int,
    loud: frozenset[str] | None = None,
) -> bool:
    """Say whether a sentence says nothing of those it names that could be a judgement."""
    loud = _LOUD if loud is None else loud
    return not any(labels[other] & loud for other in sentence_of(tokens, position))


def _tells_things_apart(tokens: Sequence[Token], position: int) -> bool:
    """Say whether *ceux* stands inside a sentence, before what tells it apart: ``ceux du quai``."""
    return (
        tokens[position].form.folded in _DEMONSTRATIVES
        and 0 < position < len(tokens) - 1
        and tokens[position - 1].sentence == tokens[position].sentence
        and tokens[position + 1].form.folded in _APART
    )


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


def _follows_a_thing(
    tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int
) -> bool:
    """Say whether *anciens* tells of what stands before it: ``les pavés anciens``."""
    if position < DETERMINER_REACH:
        return False
    before = tokens[position - 1]
    return (
        before.sentence == tokens[position].sentence == tokens[position - 2].sentence
        and before.form.folded.endswith(("s", "x"))
        and tokens[position - 2].form.folded in _PLURAL
        and before.form.folded not in _PLURAL
        and labels[position - 1].isdisjoint(_PEOPLE)
    )


def _is_moved(tokens: Sequence[Token], position: int) -> bool:
    """Say whether *les* stands before a verb by which things are moved: ``les mettre dehors``."""
    return (
        tokens[position].form.folded == "les"
        and position + 1 < len(tokens)
        and tokens[position + 1].sentence == tokens[position].sentence
        and tokens[position + 1].form.folded in _MOVES
    )


def _only_things_before(
    tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int
) -> bool:
    """Say whether the text so far names things, nobody, and nothing that people sleep in."""
    before = range(position)
    return bool(position) and not any(
        labels[other] & (_PEOPLE | _STAND_INS | {"{faible}"})
        or tokens[other].form.folded in _DWELLINGS
        for other in before
    )
