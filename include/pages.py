"""What every page of the project shares: how templates are read, and how each language fills them.

A template is written once; ``say``, ``counted`` and ``label`` fill it from the dictionary of a language.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.contributions import wording
from include.contributions.story import address_of
from include.documents.plain import plain_words
from include.languages import Language, language

TEMPLATES = Path(__file__).parent / "templates"

STYLES = ("style.css", "pages.css", "evaluation.css")
"""The style sheet of the pages; what stands alone carries the first, an evaluation the last too."""

SCRIPT = "pages.js"

_BODY = re.compile(r"<body>(.*)</body>", re.DOTALL)

GIVEN = {"chunk": "passage", "embed": "vector", "themes": "theme"}
"""What a document's step gave so many of; the other steps give a version."""

LOW_CONFIDENCE = 0.7
"""Of OCR: below it a person should hold the words against the picture."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """The first entries of a list, and how many there are in all."""

    items: tuple[T, ...] = ()
    total: int = 0

    @property
    def others(self) -> int:
        """How many are not shown."""
        return self.total - len(self.items)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file that pages ask for by its name and version."""

    content: str
    media_type: str

    @property
    def version(self) -> str:
        """Changes with the content."""
        return sha256(self.content.encode()).hexdigest()[:12]


@cache
def asset(name: str) -> Asset:
    """Read the style sheet ``pages.css`` or the script ``pages.js``.

    Raises:
        KeyError: There is no other.
    """
    files, media_type = {
        "pages.css": (STYLES, "text/css"),
        SCRIPT: ((SCRIPT,), "text/javascript"),
    }[name]
    content = "\n".join((TEMPLATES / file).read_text(encoding="utf-8") for file in files)
    return Asset(content, media_type)


def body_of(written: str) -> str:
    """Take what a page that opens by itself shows, to stand in the frame of the others.

    >>> body_of("<html><body><p>Avis</p></body></html>")
    '<p>Avis</p>'
    """
    found = _BODY.search(written)
    return found[1] if found else ""


def render(template: str, code: str, **page: Any) -> str:
    """Write a page in a language; ``template`` is the name of its file without the endings."""
    return _environment(code).get_template(f"{template}.html.j2").render(**page)


def environment(
    finalize: Callable[[Any], Any], *, keep_trailing_newline: bool = False
) -> Environment:
    """Escape by default: what is not marked as markup by a template is a text, whoever wrote it.

    Args:
        finalize: How a value that a template prints is shown.
        keep_trailing_newline: Leave the last line end of a template where it is.
    """
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        keep_trailing_newline=keep_trailing_newline,
        finalize=finalize,
    )
    made.filters.update(
        age=wording.age,
        counted=wording.counted,
        day=wording.day_words,
        duration=wording.duration,
        excerpt=wording.excerpt,
        failure=wording.failure_words,
        file_name=wording.file_name,
        moment=wording.moment,
        number=wording.number,
        town=town_name,
    )
    return made


def shown(value: Any) -> Any:
    """Show a value in HTML; hidden characters of foreign texts are shown by their code."""
    return value if hasattr(value, "__html__") else wording.visible(str(value))


def town_name(key: str) -> str:
    """Write a municipality's key as its name.

    >>> town_name("audierne-esquibien")
    'Audierne-Esquibien'
    """
    return key.replace("-", " ").title().replace(" ", "-")


@cache
def _environment(code: str) -> Environment:
    made = environment(shown)
    chosen = language(code)
    made.filters.update(
        age=chosen.age,
        clock=chosen.clock,
        contribution_address=address_of,
        counted=chosen.counted,
        day=chosen.day,
        duration=chosen.duration,
        failure=chosen.failure,
        given=partial(_given, chosen),
        moment=chosen.moment,
        number=chosen.number,
        pages_phrase=chosen.pages,
        percent=chosen.percent,
        plain_words=plain_words,
        reason=chosen.reason,
        set_aside_reason=partial(_set_aside_reason, chosen),
        short_day=chosen.short_day,
        size=chosen.size,
        step_outcome=partial(_step_outcome, chosen),
        upper_first=lambda text: text[:1].upper() + text[1:],
        with_rest=partial(_with_rest, chosen),
    )
    made.globals.update(
        say=chosen.say,
        label=chosen.label,
        language=code,
        low_confidence=LOW_CONFIDENCE,
        styles=asset("pages.css").version,
        script=asset(SCRIPT).version,
    )
    return made


def _with_rest(chosen: Language, code: str, table: str) -> str:
    """Name a code, and keep what follows its dot as it is."""
    key, dot, rest = code.partition(" · ")
    return f"{chosen.label(table, key)}{dot}{rest}"


def _given(chosen: Language, step: Any) -> str:
    """Say what a step gave to a document, and where; nothing where it only passed it on."""
    if step.number is None:
        return str(step.name)
    gave = (
        chosen.counted(step.number, GIVEN[step.step])
        if step.step in GIVEN
        else chosen.say("documents.version", number=step.number)
    )
    return f"{gave}, {step.name}" if step.name else gave


def _set_aside_reason(chosen: Language, code: str) -> str:
    """Say why an entry is set aside: what reading it met, else how its analysis failed."""
    known = chosen.label("records", code, "")
    if known or (code.isidentifier() and code.islower() and code not in wording.FAILURE_WORDS):
        return known or code.replace("_", " ")
    return chosen.failure(code)


def _step_outcome(chosen: Language, facts: Mapping[str, Any]) -> str:
    """Say in a few words what a step answered; of an answer in another form, that it is one."""
    match facts["step"], facts["output"]:
        case "validate", {"decision": str(decision)}:
            return chosen.label("decisions", decision)
        case "classify", {"category": str(category), "second_category": str(second)}:
            return f"{chosen.label('categories', category)}, {chosen.label('categories', second)}"
        case "classify", {"category": str(category)}:
            return chosen.label("categories", category)
        case "evaluate", {
            "completeness": int() | float() as share,
            "warnings": [_, *_] as warnings,
        }:
            told = chosen.say("contribution.evaluated", share=chosen.percent(share))
            return f"{told}, {chosen.say('contribution.warned', count=len(warnings))}"
        case "evaluate", {"completeness": int() | float() as share}:
            return chosen.say("contribution.evaluated", share=chosen.percent(share))
    return "–"
