"""Hold a text against the charter.

Three layers. Strict patterns propose a refusal, unless the words are quoted, reported or negated.
Anything that might be wrong, and cannot be told by rules, goes to a person with the reason why. What
is left is accepted only for what it shows: a place or a thing of the commune, and a proposal, an
observation, a question or an experience, in ordinary French. Seeing nothing bad is not enough.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from include.contributions.doubt import Doubt, of_hit, sentence_of, span_of
from include.contributions.model import (
    Article,
    Assessment,
    Category,
    Decision,
    Evidence,
    Validation,
    Violation,
    outermost,
)
from include.contributions.normalisation import CACHE_SIZE, Reading, Token, Vocabulary, fold
from include.contributions.patterns import EntryHit, Findings, Rule, RuleHit
from include.contributions.people import People
from include.contributions.plainness import OF_GROUPS, Plainness, is_mild
from include.contributions.precision import PrecisionTable
from include.municipality import Municipality

MAX_EVIDENCE = 8
NAME_LOOKBACK = 4
"""A first name this close behind ``rue``, ``école`` or ``place`` names a place."""

SENSITIVE_CLASSES = frozenset({"insulte", "injure", "groupe", "haine"})
SENSITIVE_LETTERS = 5
"""Shorter words are contained in, or one letter away from, too many honest ones."""

ENCODED_LETTERS = 24
GLUED_LETTERS = 7
HELP_REACH = 6
BESIDE_REACH = 3
MAX_TOWNS = 2
"""Two towns where one has friends; more make the text theirs."""
PROMOTION_WORDS = 2
TOPONYM = "lieu.toponyme"
"""A name that sounds like the places here: it needs a subject beside it."""

NATIONAL_WORDS = 3
"""This many national words make a text national even where it names the town."""

LONG_FOR_SPAM = 700
"""An advertisement is short; a longer text with a link is an argument, and a person reads it."""

_CATEGORIES = frozenset(category.value for category in Category)

_INFINITIVE = Rule("signe.infinitif", "sign", "", "proposition", ())
_QUESTION = Rule("signe.interrogation", "sign", "", "question", ())
_INFINITIVE_ENDINGS = ("er", "ir", "oir", "dre", "tre", "ire")
_DETERMINERS = frozenset(
    {"le", "la", "les", "l", "un", "une", "des", "du", "d", "au", "aux", "a", "y", "en", "entre"}
    | {"ce", "cet", "cette", "ces", "nos", "notre", "deux", "trois", "plus", "davantage", "chaque"}
)

_HARSH = frozenset(
    {"{mot.attaque}", "{mot.violence}", "{mot.grief}", "{mot.chose.attaque}", "{mot.chose.grief}"}
    | {"{mot.chose.violence}", "{mot.chose.soupcon}", "{violence}"}
    | {"{hostile}", "{haine}", "{insulte_adj}", "{grossier}", "{insulte}", "{deshumanisant}"}
)

_ORIGIN = frozenset(
    {"arriver", "arrivant", "arrivons", "arrives", "arrive", "arrivee", "revenu", "revenue"}
    | {"revenus", "originaire", "venu", "venue", "venus", "etudie", "etudes", "etudier", "fac"}
    | {"prix", "amis", "amies", "enfants", "fils", "fille", "vendu", "vendre", "vendent", "mute"}
    | {"mutee", "nee"}
)
"""What stands before a town that one comes from, studies or has friends in."""

_BESIDE = _ORIGIN | frozenset(
    {"avec", "comme", "entre", "et", "ou", "que", "qu", "jusqu", "vers", "depuis", "chez", "quitte"}
    | {
        "arrive",
        "arrivee",
        "arrives",
        "venu",
        "venue",
        "venus",
        "viens",
        "vient",
        "retour",
        "parti",
    }
    | {
        "hopital",
        "clinique",
        "gare",
        "lycee",
        "college",
        "marche",
        "bateau",
        "train",
        "prestataire",
    }
    | {"urgences", "specialiste", "cinema", "piscine", "usine", "chantier", "atelier", "bureau"}
    | {"tient", "tiennent", "situe", "trouve", "travaille", "travaillent", "travailler", "habite"}
    | {"vis", "vit", "vivent", "aller", "vais", "va", "vont", "allons", "allait", "conduire"}
    | {"quitte", "quittant", "quitter", "rejoindre", "livrer", "envoyons", "descendre", "monter"}
)
"""What stands before a neighbouring town that one works with, comes from or is compared to."""

_BETWEEN_WORDS = frozenset({"", " ", "'", "’", "-"})
_CONDITIONAL_ENDINGS = ("rait", "raient")
_ASKING_ENDINGS = (*_INFINITIVE_ENDINGS, "ez")
_BEFORE_INFINITIVE = frozenset(
    {"nous", "en", "y", "les", "la", "le", "l", "se", "s", "leur", "lui", "ne"}
)
_NOMINAL = frozenset(
    {"un", "une", "des", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "dix", "douze"}
    | {"quinze", "vingt", "trente", "quelques", "plus", "davantage", "moins", "pouvoir", "plutot"}
    | {"du", "de", "d", "le", "la", "les", "l", "que", "qu", "faites", "dites", "pourquoi", "nous"}
)

_BEFORE_A_PERSON = frozenset({"de", "d", "a", "que", "qu", "par", "avec", "comme", "chez", "pour"})
"""A street takes a first name as it is, ``rue Jean Jaurès``; ``la maison de Jean Riou`` is a person's."""

_DOMAINS = "com|fr|net|org|info|biz|uk|eu|bzh|io|tv|shop|site|xyz|ru"
_CONTACTS = (
    (
        "lien",
        re.compile(r"://|www\.", re.IGNORECASE),
        re.compile(r"(?:https?://|www\.)[^\s<>\"]{2,300}", re.IGNORECASE),
    ),
    ("mot-diese", re.compile("#"), re.compile(r"#\w{2,60}")),
    (
        "courriel",
        re.compile("@"),
        re.compile(r"[\w.+-]{1,64}@[\w-]{1,64}\.[\w.-]{2,64}"),
    ),
    (
        "lien",
        re.compile(rf"\.(?:{_DOMAINS})\b|\.[a-z]{{2,12}}/", re.IGNORECASE),
        re.compile(
            rf"\b[\w-]{{2,60}}\.(?:(?:{_DOMAINS})\b|[a-z]{{2,12}}/[^\s<>\"]{{1,300}})",
            re.IGNORECASE,
        ),
    ),
    (
        "telephone",
        re.compile(r"\d(?:[ .-]?\d){7}"),
        re.compile(r"(?<!\d)(?:\+?\d{1,3}[ .-]?)?\d(?:[ .-]?\d){7,11}(?!\d)"),
    ),
    (
        "telephone",
        re.compile(r"\s\d{4}"),
        re.compile(r"\b(?:au|to|appelez|txt)\s+\d{4,6}\b(?!\s*(?:€|euros|m\b))", re.IGNORECASE),
    ),
)
"""Kind, what every such contact holds, and its whole form: the second, cheap, is asked first."""

_PRICE = re.compile(r"(?:\d[\d .,]{0,9}\s?(?:€|£|\$|euros?\b|eur\b)|[€£$]\s?\d)", re.IGNORECASE)
_RATE = re.compile(
    r"\d\s?(?:€|euros?\b|eur\b)\s?(?:/|par\b|la\b|le\b|(?:de )?l['’])\s?"
    r"(?:nuit|nuitée|semaine|mois|heure|h|jour|séance)\b"
    r"|\b(?:dès|à partir de)\s\d[\d .,]{0,9}\s?(?:€|euros?\b)",
    re.IGNORECASE,
)
"""A price for a time, or the lowest one; in a text that tells nothing of it, it is an offer."""

_PREDICATES = frozenset(
    {"est", "sont", "etait", "c", "on", "il", "ils", "faut", "nous", "ne", "n", "pas", "trop"}
    | {"coute", "coutent", "paie", "paye", "paient", "demande", "demandent", "ai", "ont"}
)
OFFER_WORDS = 2
NOUN_LETTERS = 4
NOMINAL_WORDS = 4
LOOSE_TOPICS = ".mots"
"""Lists of words that stand in many subjects, and so name none."""

_OPENERS = frozenset(
    {"merci", "bonjour", "voila", "mais", "donc", "alors", "sinon", "parce", "quand", "comme"}
    | {"tout", "tous", "toute", "toutes", "rien", "jamais", "encore", "enfin", "vous", "nous"}
    | {"elle", "elles", "cela", "ceux", "celui", "celle", "certains", "quel", "quelle", "bien"}
    | {"bravo", "heureusement", "dommage", "vraiment", "toujours", "personne", "aucun", "aucune"}
)
"""Words that open a sentence and name nothing to be made."""


_MARKUP = re.compile(
    r"</?[a-z!][^<>]{0,200}>|[{\[]\s*[\"'][\w ]{1,40}[\"']\s*:|```|\{\{|\{%|\[/?(?:INST|SYSTEM)\]"
    r"|[\U000e0000-\U000e007f]|(?:%[0-9a-f]{2}){3}|(?:&#x?[0-9a-f]{1,6};){2}|(?:\\u[0-9a-f]{4}){2}"
    r"|<\||(?:^|\n)[ \t]*#{2,}[ \t]*\w|(?:^|\n)[ \t]*(?:system|assistant|user|syst[eè]me|ia|ai)[ \t]*:",
    re.IGNORECASE,
)
_TALK = re.compile(
    r"\b(?:assistant|consignes?|instructions?|r[ée]sultats? attendus?|verdict|confiance"
    r"|(?<!cette )(?<!une )(?<!leur )d[ée]cision|note maximale)\s*:"
    r"|\[[^\]\n]{0,80}\]\(|\[[^\]\n]{24,}\]|\b(?:javascript|data|vbscript|file):",
    re.IGNORECASE,
)
_SIGNS = (
    ("ecriture_deguisee", "forme.lettres", re.compile("[\u24b6-\u24e9\U0001f130-\U0001f189]+")),
    (
        "ecriture_deguisee",
        "forme.mot-coupe",
        re.compile(
            r"\b[bcdfgkmnpqstvz](?:\*+|…|\.\.\.|_{2,})|\b[bcpf]['’][bcdfgjkmnpqrstvz]\w+",
            re.IGNORECASE,
        ),
    ),
    (
        "ton_agressif",
        "forme.pictogramme",
        re.compile(
            "(?![☀☁☂☔⚓⚽✅✔✨❄❤➡🌊🌳🌱🌲🌷🌸🌼🌿🍎🍓🎉🎨🎭🎵🎶🏊🏖🐟🐦👍👏💡📅📍🙂🙏🚌🚗🚲🚶🛶♻⛵☎])"
            "[\u2600-\u27bf\U0001f300-\U0001faff]+"
        ),
    ),
)
"""Letters that are drawn, words cut off after a letter, pictures that may speak of people."""

_LOOK_ALIKE = re.compile("[\uff01-\uff5e‹›⟨⟩❮❯]")
_CUT_OFF = _SIGNS[1:2]
_BRACKETS = str.maketrans("‹›⟨⟩❮❯", "<><><>")
_CUT_HINT = re.compile(r"[*…_']|\.\.\.")
_MACHINE_HINT = re.compile("[:\\[<{`%&\\\\#\U000e0000-\U000e007f]")
"""A sign that every match of the two patterns of machine talk holds."""

_ENCODED = re.compile(r"(?<![A-Za-z0-9+/=_-])[A-Za-z0-9+/_-]{24,}={0,2}(?![A-Za-z0-9+/=])")


class Subject(NamedTuple):
    """What a text shows of the commune.

    Attributes:
        places: Positions of tokens that name a place of the commune.
        frames: Positions of ``notre commune``, ``la mairie`` and the like.
        topics: Positions of the words of the seven categories.
        signs: Rule hits of proposal, observation, question, experience.
    """

    places: tuple[tuple[str, int, int], ...]
    frames: tuple[tuple[str, int, int], ...]
    topics: tuple[tuple[str, int, int], ...]
    signs: tuple[RuleHit, ...]


class Charter:
    """The articles of one town and the ways to see whether a text respects them."""

    def __init__(
        self,
        municipality: Municipality,
        vocabulary: Vocabulary,
        precision: PrecisionTable,
        stamp: Mapping[str, str],
    ) -> None:
        """Prepare.

        Args:
            municipality: The town.
            vocabulary: The words that need no explanation.
            precision: How often each rule is right.
            stamp: ``engine`` and ``rubric_version`` of every answer.
        """
        self._town = municipality
        self._limits = municipality.parameters
        self._precision = precision
        self._stamp = stamp
        self._order = {reason: rank for rank, reason in enumerate(municipality.review_reasons)}
        self._vocabulary = vocabulary
        words = frozenset(_sensitive_words(municipality))
        self._sensitive = frozenset(word for word in words if len(word) >= SENSITIVE_LETTERS)
        self._short_sensitive = sorted(word for word in words if len(word) == SENSITIVE_LETTERS - 1)
        self._shortened = frozenset(
            shorter for word in self._sensitive for shorter in _one_less(word)
        )
        self._veiled: Callable[[str], bool] = lru_cache(maxsize=CACHE_SIZE)(self._is_veiled)
        self._plainness = Plainness(municipality, vocabulary, self._veiled)
        self._people_of = People(municipality)

    def too_long(self, text: str) -> Validation | None:
        """Send a text that is too long to a person unread; None when it can be read."""
        if len(text) <= self._limits["max_characters"]:
            return None
        doubt = Doubt("texte_trop_long", "forme.longueur", 0, 0)
        return self._review("", (doubt,), (), Article)

    def validate(self, reading: Reading, findings: Findings) -> Validation:
        """Hold a text that was read against the charter; no input makes it fail."""
        text = reading.text
        subject = self._subject(reading, findings)
        contacts = [
            Doubt("publicite_possible", f"forme.{kind}", *match.span())
            for kind, hint, pattern in _CONTACTS
            if hint.search(text)
            for match in pattern.finditer(text)
        ]
        kindly = self._people_of.kindly(findings)
        strict, softened = self._strict(reading, findings)
        strict += self._advertising(reading, findings, contacts, subject)
        if strict:
            return self._propose_refusal(text, strict)
        doubts = [
            *softened,
            *contacts,
            *_offers(reading, findings),
            *self._loose(reading, findings, softened),
            *self._form(reading, contacts),
            *self._people(reading, findings, kindly),
            *self._people_of.doubts(reading, findings),
            *_untold(self._plainness.doubts(reading, findings, kindly), softened),
            *self._elsewhere(reading, findings, subject),
        ]
        if doubts:
            unread = Article if self._is_unreadable(doubts) else ()
            return self._review(text, doubts, self._aspects(subject), unread)
        return self._accept_or_ask(reading, findings, subject)

    def _strict(self, reading: Reading, findings: Findings) -> tuple[list[Doubt], list[Doubt]]:
        """Split the strict hits into plain ones and those that are quoted, reported or negated."""
        plain: list[Doubt] = []
        softened: list[Doubt] = []
        for hit in findings.rules:
            if hit.rule.layer != "strict":
                continue
            if self._is_softened(reading, findings, hit):
                softened.append(of_hit(reading, hit, "propos_rapportes"))
            else:
                plain.append(of_hit(reading, hit, hit.rule.article))
        return plain, softened

    @staticmethod
    def _is_softened(reading: Reading, findings: Findings, hit: RuleHit) -> bool:
        tokens, labels = reading.tokens, findings.labels
        start, end = tokens[hit.first].start, tokens[hit.last - 1].end
        if reading.is_quoted(start, end):
            return True
        negated = range(max(0, hit.first - 2), min(len(tokens), hit.last))
        if any("{negation}" in labels[position] for position in negated):
            return True
        return any(
            "{rapporte}" in labels[position] or "{contre}" in labels[position]
            for position in sentence_of(tokens, hit.first)
        )

    def _advertising(
        self,
        reading: Reading,
        findings: Findings,
        contacts: Sequence[Doubt],
        subject: Subject,
    ) -> list[Doubt]:
        """Advertising: a way to answer, an invitation and what is promised, and nothing of the town."""
        if not contacts or subject.places or len(reading.text) > LONG_FOR_SPAM:
            return []
        words = {hit.entry.klass: set[str]() for hit in findings.entries}
        for hit in findings.entries:
            words[hit.entry.klass].add(reading.tokens[hit.first].form.folded)
        promises = len(words.get("promo", ())) + bool(_PRICE.search(reading.text))
        if promises < PROMOTION_WORDS or "appel" not in words:
            return []
        spam = Article.SPAM.value
        return [Doubt(spam, "pub.annonce", contact.start, contact.end) for contact in contacts] + [
            Doubt(spam, hit.entry.id, *span_of(reading, hit.first, hit.last))
            for hit in findings.entries
            if hit.entry.klass in {"promo", "appel"}
        ]

    @staticmethod
    def _loose(reading: Reading, findings: Findings, softened: Sequence[Doubt]) -> Iterator[Doubt]:
        """Loose hits; words inside a quoted, reported or negated attack are told once, as that."""
        for hit in findings.rules:
            if hit.rule.layer == "loose":
                yield from _untold((of_hit(reading, hit, hit.rule.reason),), softened)

    def _form(self, reading: Reading, contacts: Sequence[Doubt]) -> Iterator[Doubt]:
        """Find what is wrong with the writing itself: machine talk, disguise, noise, shouting."""
        text, tokens = reading.text, reading.tokens
        yield from _drawn(text)
        if _MACHINE_HINT.search(text):
            for match in _TALK.finditer(text):
                yield Doubt("manipulation", "forme.consigne", *match.span())
            for match in _MARKUP.finditer(text):
                yield Doubt("manipulation", "forme.balisage", *match.span())
        if max(map(len, text.split()), default=0) >= ENCODED_LETTERS:
            for match in _ENCODED.finditer(text):
                if _looks_encoded(match.group(), contacts, match.start()):
                    yield Doubt("manipulation", "forme.code", *match.span())
        words = [token for token in tokens if not _inside(token, contacts)] if contacts else tokens
        longest = self._limits["max_word_characters"]
        for token in words:
            form = token.form
            if form.disguised or (not form.known and self._veiled(form.folded)):
                yield Doubt("ecriture_deguisee", "forme.deguisement", token.start, token.end)
            if token.end - token.start > longest:
                yield Doubt("texte_illisible", "forme.mot-interminable", token.start, token.end)
        yield from self._noise(text, words)

    def _noise(self, text: str, words: Sequence[Token]) -> Iterator[Doubt]:
        limits = self._limits
        count = len(words)
        if not count:
            yield Doubt("texte_vide", "forme.vide", 0, 0)
            return
        if count < limits["min_words"]:
            yield Doubt("texte_trop_court", "forme.court", 0, 0)
        elif _known_share(words) < limits["min_known_share"]:
            yield Doubt("texte_illisible", "forme.langue", 0, 0)
        else:
            yield from self._strange_sentences(words)
        distinct = len({token.form.folded for token in words})
        if count >= limits["repetition_words"] and distinct / count < limits["max_repetition"]:
            yield Doubt("texte_illisible", "forme.repetition", 0, 0)
        if self._is_shouted(text):
            yield Doubt("ton_agressif", "forme.capitales", 0, 0)

    def _is_shouted(self, text: str) -> bool:
        capitals = sum(map(str.isupper, text))
        if capitals <= self._limits["max_capitals_share"] * self._limits["min_capitals"]:
            return False
        letters = sum(map(str.isalpha, text))
        if letters < self._limits["min_capitals"]:
            return False
        share = capitals / letters
        # Who writes nothing else has a habit, or a key that is stuck; who shouts adds to it.
        is_habit = share >= self._limits["min_habit_share"] and text.count("!") <= 1
        return share > self._limits["max_capitals_share"] and not is_habit

    def _strange_sentences(self, words: Sequence[Token]) -> Iterator[Doubt]:
        sentences: dict[int, list[Token]] = {}
        for token in words:
            sentences.setdefault(token.sentence, []).append(token)
        for sentence in sentences.values():
            if (
                len(sentence) >= self._limits["sentence_words"]
                and _known_share(sentence) < self._limits["min_known_share_in_sentence"]
            ):
                span = sentence[0].start, sentence[-1].end
                yield Doubt("texte_illisible", "forme.passage", *span)

    def _is_veiled(self, folded: str) -> bool:
        """Say whether an unknown word hides a sensitive one: glued, or one letter off."""
        if len(folded) < SENSITIVE_LETTERS - 1 or not folded.isalpha():
            return False
        if folded in self._shortened or any(
            shorter in self._sensitive or shorter in self._shortened
            for shorter in _one_less(folded)
        ):
            return True
        if len(folded) < GLUED_LETTERS:
            return False
        return any(
            folded[start:end] in self._sensitive
            for start in range(len(folded) - SENSITIVE_LETTERS + 1)
            for end in range(start + SENSITIVE_LETTERS, len(folded) + 1)
        ) or any(
            folded.endswith(short) and self._is_made_of_words(folded.removesuffix(short))
            for short in self._short_sensitive
        )

    def _is_made_of_words(self, letters: str) -> bool:
        """Say whether letters are one or two known words written without a space."""
        return letters in self._vocabulary or any(
            letters[:end] in self._vocabulary and letters[end:] in self._vocabulary
            for end in range(2, len(letters) - 1)
        )

    @staticmethod
    def _people(reading: Reading, findings: Findings, kindly: frozenset[int]) -> Iterator[Doubt]:
        """Find named persons, and sentences on a group of people that do not say something helpful."""
        tokens, labels = reading.tokens, findings.labels
        for position, own in enumerate(labels):
            if (
                "{groupe}" in own
                and position not in kindly
                and not own & {"{cadre_licite}", "{licite}", "{lieu}"}
                and not (
                    tokens[position].form.klass == OF_GROUPS and is_mild(tokens, labels, position)
                )
                and not _is_helped(tokens, labels, position)
            ):
                span = tokens[position].start, tokens[position].end
                yield Doubt("mention_de_groupe", "personnes.groupe", *span)
            if tokens[position].capital and _is_person_name(tokens, labels, position):
                yield Doubt(
                    "personne_nommee",
                    "personnes.nom",
                    tokens[position].start,
                    tokens[position + 1].end,
                )

    def _elsewhere(self, reading: Reading, findings: Findings, subject: Subject) -> Iterator[Doubt]:
        """Find other towns and national subjects, where the town itself is not named."""
        asked = {
            reading.tokens[hit.first].sentence
            for hit in subject.signs
            if hit.rule.reason == "proposition"
        }
        local = {
            reading.tokens[first].sentence for _, first, _ in (*subject.places, *subject.frames)
        }
        national = [hit for hit in findings.entries if hit.entry.klass == "national"]
        different = {reading.tokens[hit.first].form.folded for hit in national}
        allowed = NATIONAL_WORDS if subject.places else int(bool(subject.frames)) + 1
        away = any(
            len({reading.tokens[hit.first].form.folded for hit in hits}) > 1
            for sentence, hits in _by_sentence(reading, national).items()
            if sentence not in local
        )
        if len(different) >= allowed or away:
            for hit in national:
                span = span_of(reading, hit.first, hit.last)
                yield Doubt("sujet_national", hit.entry.id, *span)
        local_somewhere = (
            subject.places or subject.frames or self._names_a_street(reading, findings)
        )
        towns = sum(1 for hit in findings.entries if hit.entry.klass == "autre_ville")
        for hit in findings.entries:
            if hit.entry.klass not in {"voisine", "autre_ville"}:
                continue
            first = reading.tokens[hit.first]
            named = first.capital or not first.form.folded.isalpha()
            asked_there = first.sentence in asked and first.sentence not in local
            beside = any(
                token.form.folded in _BESIDE
                for token in reading.tokens[max(0, hit.first - BESIDE_REACH) : hit.first]
                if token.sentence == first.sentence
            )
            if hit.entry.klass == "voisine":
                elsewhere = asked_there and not beside and not local_somewhere
            else:
                origin = any(
                    token.form.folded in _ORIGIN
                    for token in reading.tokens[max(0, hit.first - BESIDE_REACH) : hit.first]
                    if token.sentence == first.sentence
                )
                elsewhere = (asked_there and not origin) or not (
                    local_somewhere or (beside and towns <= MAX_TOWNS)
                )
            if named and elsewhere:
                span = span_of(reading, hit.first, hit.last)
                yield Doubt("autre_commune", hit.entry.id, *span)

    def _subject(self, reading: Reading, findings: Findings) -> Subject:
        kinds: dict[str, list[tuple[str, int, int]]] = {"lieu": [], "cadre": []}
        topics: list[tuple[str, int, int]] = []
        for hit in findings.entries:
            found = (hit.entry.id, hit.first, hit.last)
            if hit.entry.klass in kinds:
                kinds[hit.entry.klass].append(found)
            elif hit.entry.klass in _CATEGORIES:
                topics.append(found)
        kinds["lieu"] += [
            (TOPONYM, position, position + 1)
            for position in self._plainness.toponyms(reading, findings)
        ]
        written = (hit for hit in findings.rules if hit.rule.layer == "sign")
        signs = (
            *written,
            *_infinitives(reading),
            *_nominal(reading),
            *_asked(reading),
            *(_named(reading) if _tells_of_a_subject(reading, kinds, topics) else ()),
        )
        return Subject(tuple(kinds["lieu"]), tuple(kinds["cadre"]), tuple(topics), signs)

    def _aspects(self, subject: Subject) -> tuple[str, ...]:
        kinds = {hit.rule.reason for hit in subject.signs}
        return tuple(item.text for item in self._town.encouraged if item.sign in kinds)

    def acceptance_rule(self, reading: Reading, findings: Findings) -> str | None:
        """Name the kind of evidence that ties a text to the town; None when there is none."""
        return self._acceptance_rule(reading, findings, self._subject(reading, findings))

    def _acceptance_rule(
        self, reading: Reading, findings: Findings, subject: Subject
    ) -> str | None:
        if any(rule != TOPONYM or subject.topics for rule, _, _ in subject.places):
            return "accept.lieu"
        if subject.frames and subject.topics:
            return "accept.cadre"
        if subject.topics and self._names_a_street(reading, findings):
            return "accept.voie"
        if self._shows_the_town(reading, subject):
            return "accept.objets"
        return None

    @staticmethod
    def _names_a_street(reading: Reading, findings: Findings) -> bool:
        """A street by its name, where no other town is named: people write of their own."""
        return any(
            "{voie}" in own
            and any(
                token.capital for token in reading.tokens[place + 1 : place + 1 + NAME_LOOKBACK]
            )
            for place, own in enumerate(findings.labels)
        )

    def _shows_the_town(self, reading: Reading, subject: Subject) -> bool:
        """Things one can point at in a town."""
        topics = {
            " ".join(token.form.folded for token in reading.tokens[first:last]): name
            for name, first, last in subject.topics
        }
        shown = any(name in self._town.objects for name, _, _ in subject.topics)
        return shown or len(topics) >= self._limits["min_topics_without_place"]

    def _accept_or_ask(self, reading: Reading, findings: Findings, subject: Subject) -> Validation:
        rule = self._acceptance_rule(reading, findings, subject)
        if rule is None:
            doubt = Doubt("sujet_non_reconnu", "sujet.absent", 0, 0)
            return self._review(reading.text, (doubt,), self._aspects(subject), ())
        if not subject.signs:
            doubt = Doubt("propos_non_reconnu", "propos.absent", 0, 0)
            return self._review(reading.text, (doubt,), (), ())
        return self._accept(reading, subject, rule)

    def _accept(self, reading: Reading, subject: Subject, rule: str) -> Validation:
        found = [*subject.places[:2], *subject.frames[:1], *subject.topics[:3]]
        about = [Doubt("", name, *span_of(reading, first, last)) for name, first, last in found]
        said = [of_hit(reading, hit, "") for hit in subject.signs[:3]]
        evidence = self._evidence(reading.text, [*about, *said])
        aspects = self._aspects(subject)
        reasoning = (
            f"Le texte parle de la commune ({self._quotes(reading.text, about)}). "
            f"On y lit : {', '.join(aspects)} ({self._quotes(reading.text, said)}). "
            "Aucun mot contraire à la charte n'a été trouvé. "
            "L'exactitude des faits n'a pas été évaluée."
        )
        return Validation(
            decision=Decision.ACCEPT,
            is_valid=True,
            violations=(),
            encouraged_aspects=aspects,
            reasoning=reasoning,
            confidence=self._precision.confidence(rule),
            assessed={
                Article.PERSONAL_ATTACK: Assessment.RESPECTED,
                Article.SPAM: Assessment.RESPECTED,
                Article.OFF_TOPIC: Assessment.RESPECTED,
                Article.FALSE_INFORMATION: Assessment.NOT_ASSESSED,
            },
            evidence=evidence,
            engine=self._stamp["engine"],
            rubric_version=self._stamp["rubric_version"],
        )

    def _propose_refusal(self, text: str, strict: Sequence[Doubt]) -> Validation:
        articles = [article for article in Article if any(hit.reason == article for hit in strict)]
        evidence = self._evidence(text, strict)
        sentences = []
        for article in articles:
            entry = self._town.articles[article]
            quotes = self._quotes(text, [hit for hit in strict if hit.reason == article])
            sentences.append(
                f"Article {entry.number} ({entry.title}) : {quotes}. {entry.violation}"
            )
        reasoning = (
            "Un refus est proposé ; une personne décidera. "
            + " ".join(sentences)
            + " Le reste du texte n'a pas été évalué."
        )
        violated = dict.fromkeys(articles, Assessment.VIOLATED)
        return Validation(
            decision=Decision.REFUSAL_PROPOSED,
            is_valid=False,
            violations=tuple(
                Violation(article=article, message=self._town.articles[article].violation)
                for article in articles
            ),
            encouraged_aspects=(),
            reasoning=reasoning,
            confidence=min(self._precision.confidence(f"refus.{article}") for article in articles),
            assessed={
                article: violated.get(article, Assessment.NOT_ASSESSED) for article in Article
            },
            evidence=evidence,
            engine=self._stamp["engine"],
            rubric_version=self._stamp["rubric_version"],
        )

    def _review(
        self,
        text: str,
        doubts: Sequence[Doubt],
        aspects: tuple[str, ...],
        not_assessed: Iterable[Article],
    ) -> Validation:
        """Ask a person: every reason is told, the most important one first."""
        reasons = sorted({doubt.reason for doubt in doubts}, key=self._order.__getitem__)
        sentences = []
        for reason in reasons:
            quotes = self._quotes(text, [doubt for doubt in doubts if doubt.reason == reason])
            told = self._town.review_reasons[reason].text
            sentences.append(f"{told} ({quotes})" if quotes else told)
        assessed = self._assess(doubts, frozenset(not_assessed))
        doubtful = [article for article in Article if assessed[article] is Assessment.DOUBTFUL]
        unknown = (
            ""
            if Article.FALSE_INFORMATION in doubtful
            else (" L'exactitude des faits n'a pas été évaluée.")
        )
        return Validation(
            decision=Decision.REVIEW,
            is_valid=None,
            violations=tuple(
                Violation(article=article, message=self._town.articles[article].doubt)
                for article in doubtful
            ),
            encouraged_aspects=aspects,
            reasoning=f"Une personne doit lire ce texte : {' ; '.join(sentences)}.{unknown}",
            confidence=self._precision.confidence(f"review.{reasons[0]}"),
            assessed=assessed,
            evidence=self._evidence(text, doubts),
            review_reason=reasons[0],
            engine=self._stamp["engine"],
            rubric_version=self._stamp["rubric_version"],
        )

    def _assess(
        self, doubts: Sequence[Doubt], not_assessed: frozenset[Article]
    ) -> dict[Article, Assessment]:
        """Say what can be said of each article; the town is not judged where nothing of it was seen."""
        doubtful = {self._town.review_reasons[doubt.reason].article for doubt in doubts}
        assessed: dict[Article, Assessment] = {}
        for article in Article:
            if article in doubtful:
                assessed[article] = Assessment.DOUBTFUL
            elif article in not_assessed or article in {
                Article.OFF_TOPIC,
                Article.FALSE_INFORMATION,
            }:
                assessed[article] = Assessment.NOT_ASSESSED
            else:
                assessed[article] = Assessment.RESPECTED
        return assessed

    @staticmethod
    def _is_unreadable(doubts: Iterable[Doubt]) -> bool:
        whole = {"texte_vide", "texte_illisible", "texte_trop_court"}
        return any(doubt.reason in whole for doubt in doubts)

    def _evidence(self, text: str, doubts: Iterable[Doubt]) -> tuple[Evidence, ...]:
        """Quote each span of a rule once, in the order of the text."""
        spans = {(hit.start, hit.end, hit.rule): hit for hit in doubts if hit.end > hit.start}
        reasons = {(hit.rule, hit.start): hit.reason for hit in spans.values()}
        of_rule: dict[str, list[tuple[int, int]]] = {}
        for start, end, rule in spans:
            of_rule.setdefault(rule, []).append((start, end))
        whole = [(*span, rule) for rule, found in of_rule.items() for span in _joined(text, found)]
        chosen = sorted(whole)[:MAX_EVIDENCE]
        return tuple(
            Evidence(
                rule=rule,
                article=self._article_of(reasons[rule, start]),
                start=start,
                end=end,
                quote=text[start:end],
            )
            for start, end, rule in chosen
        )

    def _article_of(self, reason: str) -> Article | None:
        known = self._town.review_reasons.get(reason)
        if known is not None:
            return known.article
        return Article(reason) if reason else None

    def _quotes(self, text: str, doubts: Sequence[Doubt]) -> str:
        spans = _joined(text, [(hit.start, hit.end) for hit in doubts if hit.end > hit.start])
        words = dict.fromkeys(f"« {_one_line(text[start:end])} »" for start, end in spans)
        return ", ".join(list(words)[: int(self._limits["quotes_in_reasoning"])])


def _infinitives(reading: Reading) -> Iterator[RuleHit]:
    """Find sentences that begin with an infinitive and its object, as proposals are written.

    In the second part, where proposals are asked for, the infinitive is enough.
    """
    tokens = reading.tokens
    second = reading.text.find("\n\n")
    for position in range(len(tokens) - 1):
        token = tokens[position]
        if position and tokens[position - 1].sentence == token.sentence:
            continue
        while token.form.folded in _BEFORE_INFINITIVE and position + 2 < len(tokens):
            position += 1  # noqa: PLW2901 - the verb is the word after
            token = tokens[position]
        following = tokens[position + 1]
        if (
            token.form.known
            and token.form.folded.endswith(
                _INFINITIVE_ENDINGS if second < 0 or token.start < second else _ASKING_ENDINGS
            )
            and following.sentence == token.sentence
            and (
                following.form.folded in _DETERMINERS
                or 0 <= second < token.start
                or _is_conditional(tokens, position)
            )
        ):
            yield RuleHit(_INFINITIVE, position, position + 1)


def _is_conditional(tokens: Sequence[Token], position: int) -> bool:
    """Say whether a sentence says what would be: ``Éteindre de 23 h à 5 h ferait des économies``."""
    return any(
        tokens[other].form.folded.endswith(_CONDITIONAL_ENDINGS)
        for other in sentence_of(tokens, position)
    )


def _offers(reading: Reading, findings: Findings) -> Iterator[Doubt]:
    """Find a price for a night, a week or an hour among the words of a private advertisement."""
    price = _RATE.search(reading.text)
    if price is None:
        return
    offered = {hit.first for hit in findings.entries if hit.entry.klass == "offre"}
    told = any(token.form.folded in _PREDICATES for token in reading.tokens)
    if not told and len(offered) >= OFFER_WORDS:
        yield Doubt("publicite_possible", "pub.tarif", *price.span())


def _asked(reading: Reading) -> Iterator[RuleHit]:
    """Find the last word before a question mark."""
    if "?" not in reading.text:
        return
    for position, token in enumerate(reading.tokens):
        following = reading.tokens[position + 1 : position + 2]
        end = following[0].start if following else len(reading.text)
        if "?" in reading.text[token.end : end]:
            yield RuleHit(_QUESTION, position, position + 1)


def _nominal(reading: Reading) -> Iterator[RuleHit]:
    """Find sentences of the second part that name what is asked for, as in *Un banc et un abri*."""
    second = reading.text.find("\n\n")
    tokens = reading.tokens
    for position in range(1, len(tokens) - 1):
        token = tokens[position]
        if (
            0 <= second < token.start
            and tokens[position - 1].sentence != token.sentence
            and tokens[position + 1].sentence == token.sentence
            and (token.form.folded in _NOMINAL or token.form.folded.isdigit())
        ):
            yield RuleHit(_INFINITIVE, position, position + 2)


def _named(reading: Reading) -> Iterator[RuleHit]:
    """Find sentences of the second part that open with a plain noun: *Suivi de la rivière*."""
    second = reading.text.find("\n\n")
    tokens = reading.tokens
    for position in range(1, len(tokens)):
        if (
            0 <= second < tokens[position].start
            and tokens[position - 1].sentence != tokens[position].sentence
            and _names_a_thing(reading, position)
        ):
            yield RuleHit(_INFINITIVE, position, position + 1)


def _tells_of_a_subject(
    reading: Reading,
    kinds: Mapping[str, Sequence[tuple[str, int, int]]],
    topics: Sequence[tuple[str, int, int]],
) -> bool:
    """Say whether the first part names a place or a subject by a word of its own."""
    second = reading.text.find("\n\n")
    own = (topic for topic in topics if not topic[0].endswith(LOOSE_TOPICS))
    return any(
        reading.tokens[first].start < second
        for _, first, _ in (*kinds["lieu"], *kinds["cadre"], *own)
    )


def _names_a_thing(reading: Reading, position: int) -> bool:
    """Say whether a sentence opens with a plain noun and has no common verb."""
    token = reading.tokens[position]
    sentence = [
        reading.tokens[other].form.folded for other in sentence_of(reading.tokens, position)
    ]
    return (
        token.form.known
        and not token.form.klass
        and len(token.form.folded) >= NOUN_LETTERS
        and len(sentence) >= NOMINAL_WORDS
        and token.form.folded not in _OPENERS
        and _PREDICATES.isdisjoint(sentence)
    )


def _drawn(text: str) -> Iterator[Doubt]:
    """Find markup in look-alike signs, letters that are drawn, cut-off words and pictures."""
    signs = _SIGNS if not text.isascii() else _CUT_OFF if _CUT_HINT.search(text) else ()
    for reason, rule, pattern in signs:
        for match in pattern.finditer(text):
            yield Doubt(reason, rule, *match.span())
    if not text.isascii():
        plain = unicodedata.normalize("NFKC", text).translate(_BRACKETS)
        if plain != text and _MARKUP.search(plain) and not _MARKUP.search(text):
            disguised = [match.start() for match in _LOOK_ALIKE.finditer(text)] or [0]
            yield Doubt("manipulation", "forme.balisage", disguised[0], disguised[-1] + 1)


def _untold(doubts: Iterable[Doubt], softened: Sequence[Doubt]) -> Iterator[Doubt]:
    """Leave out what lies inside a quoted, reported or negated attack: it is told once, as that."""
    for doubt in doubts:
        if not any(item.start <= doubt.start and doubt.end <= item.end for item in softened):
            yield doubt


def _is_helped(tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int) -> bool:
    """Say whether help stands close to the group that a sentence names, and nothing harsh in it."""
    sentence = [other for other in sentence_of(tokens, position) if other != position]
    return any(
        "{soutien}" in labels[other] for other in sentence if abs(other - position) <= HELP_REACH
    ) and not any(labels[other] & _HARSH for other in sentence)


def _by_sentence(reading: Reading, hits: Iterable[EntryHit]) -> dict[int, list[EntryHit]]:
    found: dict[int, list[EntryHit]] = {}
    for hit in hits:
        found.setdefault(reading.tokens[hit.first].sentence, []).append(hit)
    return found


def _joined(text: str, spans: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Make one quote of words that stand side by side: ``c'est prouvé``, not each of the three."""
    begun: tuple[int, int] | None = None
    for start, end in sorted(outermost(spans)):
        if begun and text[begun[1] : start] in _BETWEEN_WORDS:
            begun = begun[0], end
            continue
        if begun:
            yield begun
        begun = start, end
    if begun:
        yield begun


def _one_line(quote: str) -> str:
    return " ".join(quote.split())


def _inside(token: Token, contacts: Sequence[Doubt]) -> bool:
    return any(contact.start <= token.start < contact.end for contact in contacts)


def _looks_encoded(run: str, contacts: Sequence[Doubt], start: int) -> bool:
    """A long run of letters that mixes cases and digits is no French compound."""
    if any(contact.start <= start < contact.end for contact in contacts):
        return False
    mixed = any(char.isdigit() for char in run) or run != run.capitalize() != run.lower()
    return mixed and "-" not in run


def _known_share(words: Sequence[Token]) -> float:
    """Share of words that French or the town knows; names and figures do not count."""
    counted = [token for token in words if not token.capital or token.form.known]
    if not counted:
        return 0.0
    return sum(1 for token in counted if token.form.known) / len(counted)


def _is_person_name(
    tokens: Sequence[Token], labels: Sequence[frozenset[str]], position: int
) -> bool:
    """``M. Le Gall``, ``Madame Kerloc'h``, ``Jeanne Riou``; not ``rue Jean Jaurès``, ``M. le maire``."""
    if position + 1 >= len(tokens):
        return False
    following = tokens[position + 1]
    places = {"{lieu}", "{voisine}", "{personne}", "{voie}"}
    if not following.capital or labels[position + 1] & places:
        return False
    own = labels[position]
    if "{civilite}" in own:
        after = labels[position + 2] if position + 2 < len(labels) else frozenset()
        return "{personne}" not in after or not following.form.folded.startswith("l")
    behind = range(max(0, position - NAME_LOOKBACK), position)
    owned = position > 0 and tokens[position - 1].form.folded in _BEFORE_A_PERSON
    return (
        "{prenom}" in own
        and "{lieu}" not in own
        and following.start - tokens[position].end == 1
        and (owned or not any("{voie}" in labels[other] for other in behind))
    )


def _sensitive_words(municipality: Municipality) -> Iterator[str]:
    for entry in municipality.entries:
        if entry.klass in SENSITIVE_CLASSES:
            for phrase in entry.phrases:
                word = fold(phrase.strip("=*"))
                if word.isalpha():
                    yield word


def _one_less(word: str) -> Iterator[str]:
    """Every spelling with one letter missing, the first one kept."""
    for position in range(1, len(word)):
        yield word[:position] + word[position + 1 :]
