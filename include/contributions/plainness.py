"""Let a text through only word by word: each must be plain, the town's own, or explained.

Attacks are too many to list; the ordinary words of a civic text are not. What the French of the
spelling library says of people, of harm or of goods is listed with its class, and everything that is
neither plain nor explained by where it stands goes to a person, who is told the word.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache

from include.contributions.doubt import Doubt, sentence_of
from include.contributions.model import Category
from include.contributions.normalisation import (
    CACHE_SIZE,
    HARMFUL,
    OF_THINGS,
    UNKNOWN,
    Reading,
    Token,
    Vocabulary,
)
from include.contributions.patterns import Findings
from include.contributions.people import OF_A_THING, is_quiet
from include.municipality import Municipality

NAME_REACH = 4
"""A proper name this close behind ``rue``, ``école`` or ``place`` names a place."""

OF_GROUPS = "chose.groupe"
"""Nationalities, and the words for women and men."""

GROUPS = "groupe"
"""Words for people by what they believe, where they come from, what they lack."""

SLIP_LETTERS = 4
"""In a shorter word one changed letter makes too many others."""

TOPONYM_LETTERS = 6
NOUN_LETTERS = 5

MAX_STRANGERS = 2
"""Unknown words let through in a text: a bernache and a billig, not a whole hidden sentence."""

STRANGER_LETTERS = 12
"""A longer unknown word may be several, written without their spaces."""

EXPLAINED_BY_MASK = frozenset({"{licite}", "{cadre_licite}", "{tournure}"})
_TOWN = frozenset({"{lieu}", "{voisine}", "{autre_ville}", "{cadre}"})
_SUBJECTS = frozenset(f"{{{category.value}}}" for category in Category)
_SMALL_WORDS = frozenset(
    {
        "de",
        "du",
        "des",
        "la",
        "le",
        "les",
        "l",
        "d",
        "ar",
        "an",
        "al",
        "saint",
        "sainte",
        "st",
        "et",
    }
)
_ARTICLES = frozenset({"l", "la", "le", "les"})
_TOWARDS = frozenset({"a", "vers", "depuis", "jusqu", "devant", "derriere", "sous", "pres"})
_PERSONAL = frozenset(
    {"demander", "demande", "demandez", "demandons", "dire", "dit", "parler", "parle", "confier"}
    | {"confie", "donner", "grace", "merci", "preferer", "prefere", "ressemble", "ressembler"}
    | {"compare", "comparer", "appartient", "obeir", "doit", "devons", "revient"}
)
"""Before *à* and a name, these say that it is a person's: ``demander à Mével``."""
_MEASURED_BY = frozenset({"contraire", "instar", "inverse", "difference", "image", "exemple"})
"""So do these right before *de*: ``au contraire de Mével``."""
_WITHIN = frozenset({"au", "du"})
"""French says *au* and *du* before names of places and houses, not of persons."""
_LEADING = frozenset(
    {"a", "de", "d", "du", "vers", "depuis", "entre", "et", "ou", "sur", "derriere"}
)
_THROUGH = frozenset({"par", "via"})
_WAYS = frozenset(
    {"retour", "aller", "passer", "passe", "passant", "passent", "detour", "deviation", "sortie"}
    | {
        "acces",
        "entree",
        "itineraire",
        "circuit",
        "sens",
        "boucle",
        "trajet",
        "descendre",
        "monter",
    }
)
"""Before *par* and a name, these say that it is a place's: ``retour par Kersigou``."""
_PERSONS = frozenset({"{elu}", "{individu}", "{humain}", "{prenom}", "{civilite}", "{personne}"})
_SPOKEN_OF = frozenset(
    {"{elu}", "{individu}", "{vous}", "{eux}", "{tiers}", "{groupe}", "{humain}"}
)
_AUTHORITIES = frozenset({"mairie", "municipalite", "conseil", "prefecture", "gouvernement"})
_NOBODY = frozenset[str]()
_BYSTANDERS = frozenset({"{humain}", "{tiers}"})
"""People in general, beside whom one unknown word is let through."""

_COMPANY = {
    "attaque": frozenset[str](),
    "violence": frozenset[str](),
    "grief": frozenset({"{humain}", "{groupe}"}),
    "nom": frozenset({"{humain}", "{groupe}"}),
    "sensible": frozenset({"{humain}", "{groupe}", "{individu}", "{tiers}"}),
    "vente": frozenset({"{humain}", "{groupe}", "{individu}", "{tiers}"}),
    "soupcon": frozenset[str](),
}
"""Beside which people a word may be said of a thing, by its class."""

_GENERIC = frozenset(
    {"un", "une", "les", "des", "aux", "ces", "le", "la", "l", "du", "au", "ce", "cet", "cette"}
    | {"tous", "toutes", "tout", "toute", "quel", "quelle", "quels", "quelles", "quelque", "chaque"}
    | {"trop", "de", "d", "leur", "leurs", "certains", "certaines", "quelques", "beaucoup", "vos"}
    | {"sont", "est", "etait", "etaient", "etes", "comme", "que", "par", "pour", "sans", "contre"}
    | {"vrai", "vrais", "ni", "aucun", "aucune", "ne", "pas", "plus", "plein", "pleins", "tant"}
)
_DETERMINERS = frozenset(
    {"un", "une", "le", "la", "les", "l", "du", "des", "au", "aux", "ce", "cet", "cette", "ces"}
    | {"mon", "ma", "mes", "notre", "nos", "leur", "leurs", "son", "sa", "ses", "d", "de", "deux"}
)
_OBJECTS = frozenset({"le", "la", "les", "l", "lui", "leur", "nous", "vous", "te", "me"})
_FIGURE = re.compile(r"\d+(?:[a-z]{1,3}\d*)?|\d+(?:eme|ere|emes)|[a-z]{1,3}\d{1,4}|(?:[ivx]+)e")
_ELIDED = ("d", "l", "j", "n", "s", "c", "m", "t", "qu")
_ALPHABET = "abcdefghijklmnopqrstuvwxyz"


class Plainness:
    """The closed vocabulary of one town."""

    def __init__(
        self, municipality: Municipality, vocabulary: Vocabulary, veiled: Callable[[str], bool]
    ) -> None:
        """Prepare.

        Args:
            municipality: The town, with the reasons that each class of listed words gives.
            vocabulary: The words of French, each with its class.
            veiled: Says whether an unknown word hides one that harms.
        """
        self._reasons: Mapping[str, str] = municipality.word_reasons
        self._toponyms = municipality.toponyms
        self._slips = int(municipality.parameters["max_slips"])
        self._vocabulary = vocabulary
        self._veiled = veiled
        self._is_slip: Callable[[str], bool] = lru_cache(maxsize=CACHE_SIZE)(self._slip)

    def doubts(
        self, reading: Reading, findings: Findings, kindly: frozenset[int]
    ) -> Iterator[Doubt]:
        """Find the words that are neither plain nor explained; at most a few slips are forgiven.

        Args:
            reading: The text in words.
            findings: What the data says of them.
            kindly: Where a group of people is named as one names friends.
        """
        tokens, labels = reading.tokens, findings.labels
        slips = strangers = 0
        people = _people_by_sentence(reading, findings)
        for position, token in enumerate(tokens):
            klass = token.form.klass
            if not klass or self._is_explained(klass, tokens, labels, position):
                continue
            if klass in {OF_GROUPS, GROUPS} and position in kindly:
                continue
            if klass == OF_GROUPS:
                if is_mild(tokens, labels, position):
                    continue
            elif klass.startswith(OF_THINGS) and (
                _is_of_things(
                    klass,
                    tokens,
                    position,
                    people.get(token.sentence, _NOBODY),
                    labels[max(0, position - 1)],
                )
                or _qualifies_a_thing(tokens, labels, position)
            ):
                continue
            if klass == UNKNOWN and slips < self._slips:
                alone = not token.capital and people.get(token.sentence, _NOBODY) <= _BYSTANDERS
                named = token.capital and not opens_sentence(tokens, position)
                if not named and self._is_slip(token.form.folded):
                    slips += 1
                    continue
                if (
                    alone
                    and strangers < MAX_STRANGERS
                    and self._is_harmless_stranger(token.form.folded)
                ):
                    slips, strangers = slips + 1, strangers + 1
                    continue
            yield Doubt(self._reasons[klass], f"mot.{klass}", token.start, token.end)

    def _is_explained(
        self,
        klass: str,
        tokens: Sequence[Token],
        labels: Sequence[frozenset[str]],
        position: int,
    ) -> bool:
        own = labels[position]
        if own & EXPLAINED_BY_MASK or own & _TOWN:
            return True
        if klass in HARMFUL:
            return False
        if own & _SUBJECTS:
            return True
        folded = tokens[position].form.folded
        if klass == UNKNOWN and (
            _FIGURE.fullmatch(folded)
            or _presents_itself(tokens, position)
            or (not tokens[position].capital and self._lacks_an_apostrophe(folded))
        ):
            return True
        return klass in {UNKNOWN, "nom", "sensible"} and self.is_place_name(
            tokens, labels, position
        )

    def is_place_name(
        self, tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int
    ) -> bool:
        """Say whether a name stands where a place is named: ``rue Ledru-Rollin``, ``à Kerlosquet``."""
        return (
            self.is_toponym(tokens, labels, position) or _is_after_way(tokens, labels, position)
        ) and not self._veiled(tokens[position].form.folded)

    def toponyms(self, reading: Reading, findings: Findings) -> Iterator[int]:
        """Positions of names that sound like the places here, and not like those of elsewhere."""
        for position, token in enumerate(reading.tokens):
            if (
                token.form.klass == UNKNOWN
                and self._sounds_local(token.form.folded)
                and self.is_toponym(reading.tokens, findings.labels, position)
            ):
                yield position

    def _sounds_local(self, folded: str) -> bool:
        return len(folded) >= TOPONYM_LETTERS and folded.startswith(self._toponyms)

    def is_toponym(
        self, tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int
    ) -> bool:
        """Say whether a name stands after what leads to a place; the farther, the more it must sound so."""
        token = tokens[position]
        form = token.form
        if (
            form.klass != UNKNOWN
            or position == 0
            or tokens[position - 1].sentence != token.sentence
        ):
            return False
        lead = position - 1
        while lead > 0 and tokens[lead].form.folded in _ARTICLES:
            lead -= 1
        before = tokens[lead].form.folded
        if _leads_to_a_person(tokens, lead):
            return False
        if "{voie}" in labels[lead] or (token.capital and before in _TOWARDS | _WITHIN):
            return True
        return self._sounds_local(form.folded) and (
            before in _TOWARDS
            or (before in _THROUGH and tokens[lead - 1].form.folded in _WAYS)
            or (before in _LEADING and (lead == 0 or labels[lead - 1].isdisjoint(_PERSONS)))
        )

    def _is_harmless_stranger(self, folded: str) -> bool:
        """Say whether an unknown word is far from every word that harms; ``tacaud`` is."""
        return (
            SLIP_LETTERS < len(folded) <= STRANGER_LETTERS
            and folded.isalpha()
            and not self._veiled(folded)
            and not any(self._vocabulary.is_listed(word) for word in _one_edit(folded))
        )

    def _lacks_an_apostrophe(self, folded: str) -> bool:
        return not self._veiled(folded) and any(map(self._vocabulary.is_common, _elided(folded)))

    def _slip(self, folded: str) -> bool:
        """Say whether an unknown word is one edit away from a common plain word and from no harm."""
        if len(folded) < SLIP_LETTERS or not folded.isalpha() or self._veiled(folded):
            return False
        near = list(_one_edit(folded))
        if any(self._vocabulary.is_listed(word) for word in near):
            return False
        return any(self._vocabulary.is_common(word) for word in near) or any(
            self._vocabulary.is_common(folded[:end]) and self._vocabulary.is_common(folded[end:])
            for end in range(2, len(folded) - 1)
        )


def _people_by_sentence(reading: Reading, findings: Findings) -> dict[int, frozenset[str]]:
    """Which kinds of people each sentence speaks of."""
    found: dict[int, frozenset[str]] = {}
    for token, own in zip(reading.tokens, findings.labels, strict=True):
        people = own & _SPOKEN_OF
        if people:
            found[token.sentence] = found.get(token.sentence, frozenset()) | people
    return found


def _is_of_things(
    klass: str,
    tokens: Sequence[Token],
    position: int,
    people: frozenset[str],
    before: frozenset[str],
) -> bool:
    """Say whether a word that is said of things as well is said of one here."""
    kind = klass.removeprefix(OF_THINGS)
    form = tokens[position].form.folded
    if (
        kind in {"violence", "attaque"}
        and position
        and form.endswith(("er", "ir", "re"))
        and tokens[position - 1].form.folded in _OBJECTS
        and OF_A_THING not in before
    ):
        return False
    if kind == "soupcon" and any(
        tokens[other].form.folded in _AUTHORITIES for other in sentence_of(tokens, position)
    ):
        return False
    return people <= _COMPANY[kind]


def _qualifies_a_thing(
    tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int
) -> bool:
    """Say whether a word follows the thing it is said of: ``une canalisation pourrie``."""
    if position < 2 or tokens[position - 2].sentence != tokens[position].sentence:  # noqa: PLR2004
        return False
    before = tokens[position - 1].form
    return (
        tokens[position - 2].form.folded in _DETERMINERS
        and len(before.folded) >= NOUN_LETTERS
        and not before.klass
        and not before.folded.endswith("ment")
        and before.folded not in _GENERIC
        and labels[position - 1].isdisjoint(_PERSONS | {"{cadre}", "{charge}", "{etat}"})
    )


def is_mild(tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int) -> bool:
    """Say whether a group is only counted, or named in a sentence that judges nobody.

    ``cinq femmes``, ``en anglais``, ``Le comité accueille cinquante Irlandais``.
    """
    counted = (
        not opens_sentence(tokens, position) and tokens[position - 1].form.folded not in _GENERIC
    )
    return counted or is_quiet(tokens, labels, position)


def _leads_to_a_person(tokens: Sequence[Token], lead: int) -> bool:
    """Say whether *à* or *de* stands where a person is spoken to or compared with."""
    before = tokens[max(0, lead - NAME_REACH) : lead]
    said = [other.form.folded for other in before if other.sentence == tokens[lead].sentence]
    if tokens[lead].form.folded == "a":
        return not _PERSONAL.isdisjoint(said)
    return tokens[lead].form.folded in {"de", "d"} and not _MEASURED_BY.isdisjoint(said[-1:])


def _presents_itself(tokens: Sequence[Token], position: int) -> bool:
    """Say whether a name is the writer's own: ``moi c'est Enora``."""
    before = tuple(token.form.folded for token in tokens[max(0, position - 3) : position])
    return tokens[position].capital and (
        before == ("moi", "c", "est") or before[-2:] == ("m", "appelle")
    )


def opens_sentence(tokens: Sequence[Token], position: int) -> bool:
    """Say whether a word is the first of its sentence, where a capital tells nothing."""
    return position == 0 or tokens[position - 1].sentence != tokens[position].sentence


def _is_after_way(tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int) -> bool:
    """Say whether only names and small words stand between a word and ``rue`` or the like."""
    for other in range(position - 1, max(-1, position - NAME_REACH - 1), -1):
        behind = tokens[other]
        if behind.sentence != tokens[position].sentence:
            return False
        if "{voie}" in labels[other]:
            return True
        name = behind.capital or behind.form.klass == UNKNOWN
        if not name and behind.form.folded not in _SMALL_WORDS:
            return False
    return False


def _elided(word: str) -> Iterator[str]:
    """What follows a small word whose apostrophe is missing: ``dautre``, ``quon``, ``sadresse``."""
    for small in _ELIDED:
        rest = word.removeprefix(small)
        if rest != word and len(rest) > 1 and rest[0] in "aeiouyh":
            yield rest


def _one_edit(word: str) -> Iterator[str]:
    """Every spelling one letter away: missing, swapped, changed, added."""
    for place in range(len(word) + 1):
        head, tail = word[:place], word[place:]
        if tail:
            yield head + tail[1:]
        if len(tail) > 1:
            yield head + tail[1] + tail[0] + tail[2:]
        for letter in _ALPHABET:
            if tail:
                yield head + letter + tail[1:]
            yield head + letter + tail
