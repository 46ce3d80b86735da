"""One town: its charter, its words, its places. Another town is another folder of data files.

Every entry has an id, so that evidence can name it, and the bytes of every file count in the rubric
version, so that a changed word is a new judgement.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from include.contributions.model import Article, Category
from include.contributions.patterns import Entry, Rule
from include.errors import ConfigurationError

DATA = Path(__file__).parent / "data"
FRENCH = DATA / "french"
"""What every town shares: the listed words, the civic vocabulary, how French speaks of people."""

DEFAULT_MUNICIPALITY = "audierne-esquibien"

_LEXICONS = ("lexicon.yaml", "gazetteer.yaml", "national.yaml")


@dataclass(frozen=True, slots=True)
class CharterArticle:
    """One article, with the sentences that a citizen reads when it is at stake."""

    article: Article
    number: int
    title: str
    violation: str
    doubt: str


@dataclass(frozen=True, slots=True)
class EncouragedAspect:
    """Something the charter encourages, and the sign by which it is seen."""

    sign: str
    text: str


@dataclass(frozen=True, slots=True)
class ReviewReason:
    """Why a person is asked; ``article`` is None when no article is at stake."""

    id: str
    article: Article | None
    text: str


@dataclass(frozen=True, slots=True)
class Municipality:
    """Everything the embedded reviewer knows about a town.

    Attributes:
        key: Name of its folder, and the key on every row of the ledger.
        name: As people say it.
        articles: Of the charter, by their key.
        encouraged: Aspects, in the charter's order.
        review_reasons: By id, in order of importance.
        parameters: Thresholds of the reviewer.
        entries: Words and phrases of every class, those of the categories included.
        objects: Ids of the entries that name things of a municipality one can point at.
        rules: Patterns over words and classes.
        masks: For a class, the classes that its phrases take away from their words.
        listed: French words that are not plain, with their class.
        plain: Words of towns that are, whatever the list says.
        toponyms: How the names of places begin here.
        word_reasons: For each class of listed words, why a person is asked.
        closed: Classes whose words may stand only inside a frame, and why a person is asked elsewhere.
        fingerprint: SHA-256 over the names and bytes of the data files, whatever their line endings.
    """

    key: str
    name: str
    articles: Mapping[Article, CharterArticle]
    encouraged: tuple[EncouragedAspect, ...]
    review_reasons: Mapping[str, ReviewReason]
    parameters: Mapping[str, float]
    entries: tuple[Entry, ...]
    objects: frozenset[str]
    rules: tuple[Rule, ...]
    masks: Mapping[str, frozenset[str]]
    listed: Mapping[str, str]
    plain: tuple[str, ...]
    toponyms: tuple[str, ...]
    word_reasons: Mapping[str, str]
    closed: Mapping[str, str]
    fingerprint: str


def load_municipality(
    folder: Path = DATA / DEFAULT_MUNICIPALITY, french: Path = FRENCH
) -> Municipality:
    """Read a town's folder, and what it shares with every other.

    Raises:
        ConfigurationError: A file is missing or wrong; the message names it.
    """
    charter = _read(folder / "charter.yaml")
    lexicons = [_read(folder / name) for name in _LEXICONS]
    categories = _read(folder / "categories.yaml")["entries"]
    people = _read(french / "people.yaml")
    civic = _read(french / "civic.yaml")
    words = _read(french / "words.yaml")
    patterns = [*_read(folder / "patterns.yaml")["rules"], *people["rules"]]
    try:
        entries = [
            _entry(raw, raw["class"])
            for lexicon in (*lexicons, people)
            for raw in lexicon["entries"]
        ]
        entries += [_entry(raw, Category(raw["category"])) for raw in categories]
        municipality = Municipality(
            key=charter["key"],
            name=charter["name"],
            articles={article.article: article for article in map(_article, charter["articles"])},
            encouraged=tuple(
                EncouragedAspect(raw["sign"], raw["text"]) for raw in charter["encouraged"]
            ),
            review_reasons={
                raw["id"]: ReviewReason(
                    raw["id"], Article(raw["article"]) if raw["article"] else None, raw["text"]
                )
                for raw in charter["review_reasons"]
            },
            parameters=charter["parameters"],
            entries=tuple(entries),
            objects=frozenset(raw["id"] for raw in categories if raw.get("object")),
            rules=tuple(_rule(raw) for raw in patterns),
            masks={
                name: frozenset(classes)
                for lexicon in lexicons
                for name, classes in lexicon.get("masks", {}).items()
            },
            listed={
                word: klass for klass, packed in words["words"].items() for word in packed.split()
            },
            plain=tuple(word for packed in civic["plain"].values() for word in packed.split()),
            toponyms=tuple(civic["toponymes"].split()),
            word_reasons=words["reasons"],
            closed=people["closed"],
            fingerprint=fingerprint(folder, french),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{folder}: a data file is not in its form: {error!r}") from error
    _check(municipality, folder)
    return municipality


def fingerprint(*folders: Path) -> str:
    """Hash names and bytes of the data files, in name order, line endings made equal."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted(folder.glob("*.yaml"), key=lambda path: path.name):
            digest.update(path.name.encode() + b"\0")
            digest.update(path.read_bytes().replace(b"\r\n", b"\n").replace(b"\r", b"\n") + b"\0")
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        content = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - both loaders are safe
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise ConfigurationError(f"{path}: a mapping is expected, not {type(content).__name__}")
    return content


def _entry(raw: Mapping[str, Any], klass: str) -> Entry:
    words = raw["words"]
    if not all(isinstance(word, str) and word for word in words):
        raise ValueError(f"{raw['id']}: every word is text; quote those that YAML reads otherwise")
    weight = float(raw.get("weight", 1))
    return Entry(
        raw["id"],
        str(klass),
        tuple(words),
        weight,
        derived=raw.get("derived", False),
        stems=raw.get("stems", True),
    )


def _rule(raw: Mapping[str, Any]) -> Rule:
    return Rule(raw["id"], raw["layer"], raw["article"], raw["reason"], tuple(raw["patterns"]))


def _article(raw: Mapping[str, Any]) -> CharterArticle:
    return CharterArticle(
        Article(raw["article"]), raw["number"], raw["title"], raw["violation"], raw["doubt"]
    )


def _problems(municipality: Municipality) -> Iterator[str]:
    ids = [entry.id for entry in municipality.entries] + [rule.id for rule in municipality.rules]
    yield from (f"the id {name} is used twice" for name in sorted(ids) if ids.count(name) > 1)
    yield from (
        f"{article} is missing" for article in Article if article not in municipality.articles
    )
    for rule in municipality.rules:
        if rule.layer not in {"strict", "loose", "sign", "frame"}:
            yield f"{rule.id}: there is no layer {rule.layer}"
        elif rule.layer == "frame" and rule.reason not in municipality.closed:
            yield f"{rule.id}: there is no closed class {rule.reason}"
        elif rule.layer in {"strict", "loose"} and rule.reason not in municipality.review_reasons:
            yield f"{rule.id}: there is no review reason {rule.reason}"
    for reason in (*municipality.word_reasons.values(), *municipality.closed.values()):
        if reason not in municipality.review_reasons:
            yield f"words and people: there is no review reason {reason}"
    for klass in {*municipality.listed.values()} - set(municipality.word_reasons):
        yield f"words: the class {klass} has no review reason"


def _check(municipality: Municipality, folder: Path) -> None:
    problem = next(_problems(municipality), None)
    if problem:
        raise ConfigurationError(f"{folder}: {problem}")
