"""What every page of the project shares: how templates are read, and words every one of them uses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from include.contributions import wording

TEMPLATES = Path(__file__).parent / "templates"

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
