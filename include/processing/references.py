"""Name a value of the run's input or of an earlier step: ``${input.text}``, ``${steps.read.pages}``.

A reference is a path and nothing else: no expression, no call, no attribute of an object. ``a | b``
takes the first whose step has a result, which is how branches come together again. A text that is one
reference becomes the value itself; inside a longer text it is written into it. ``$${`` is a plain ``${``.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from include.errors import PermanentError

MAX_DEPTH = 12
"""Of a path; results are not deeper."""

_MARK = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_PATH = re.compile(r"(?:input|steps\.[a-z][a-z0-9_]*)(?:\.(?:[A-Za-z_][A-Za-z0-9_-]*|\d{1,6}))*")


class ReferenceSyntaxError(PermanentError):
    """A text holds something that looks like a reference and is none."""


class NoResultError(PermanentError):
    """A reference leads to steps none of which has a result; ``steps`` names them."""

    def __init__(self, steps: tuple[str, ...]) -> None:
        super().__init__(f"no result of {' or '.join(steps)}")
        self.steps = steps


class NoSuchValueError(PermanentError):
    """A reference leads into a result that has no such part."""


@dataclass(frozen=True, slots=True)
class Path:
    """One way to a value: ``step`` is None for the run's input."""

    step: str | None
    keys: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(["input"] if self.step is None else ["steps", self.step]) + "".join(
            f".{key}" for key in self.keys
        )


@dataclass(frozen=True, slots=True)
class Reference:
    """Paths of which the first that has a value counts."""

    paths: tuple[Path, ...]

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that must have had their turn."""
        return tuple(path.step for path in self.paths if path.step is not None)

    def value(self, values: Mapping[str, Any], results: Mapping[str, Any]) -> Any:
        """Look the value up.

        Args:
            values: The run's input.
            results: Of the steps that have one.

        Raises:
            NoResultError: None of its steps has a result.
            NoSuchValueError: The result has no such part.
        """
        for path in self.paths:
            if path.step is None:
                return _part(values, path)
            if path.step in results:
                return _part(results[path.step], path)
        raise NoResultError(self.steps)


def parse(text: str) -> Reference:
    """Read what stands between ``${`` and ``}``.

    >>> [str(path) for path in parse("steps.a.pages | input.pages").paths]
    ['steps.a.pages', 'input.pages']

    Raises:
        ReferenceSyntaxError: It is no path.
    """
    paths = []
    for part in (part.strip() for part in text.split("|")):
        if not _PATH.fullmatch(part) or part.count(".") > MAX_DEPTH:
            raise ReferenceSyntaxError(
                f"${{{text}}} is no reference: write ${{input.name}} or ${{steps.id.name}}, "
                "several with | between them"
            )
        first, *keys = part.split(".")
        paths.append(
            Path(None, tuple(keys)) if first == "input" else Path(keys[0], tuple(keys[1:]))
        )
    return Reference(tuple(paths))


def references(template: Any) -> Iterator[Reference]:
    """Yield every reference in a value made of objects, lists and texts.

    Raises:
        ReferenceSyntaxError: One of them is no path.
    """
    if isinstance(template, Mapping):
        for each in template.values():
            yield from references(each)
    elif isinstance(template, list | tuple):
        for each in template:
            yield from references(each)
    elif isinstance(template, str):
        yield from (part for part in _parts(template) if isinstance(part, Reference))


def resolved(
    template: Any,
    values: Mapping[str, Any],
    results: Mapping[str, Any],
    written: Callable[[Any], str] | None = None,
) -> Any:
    """Put the values in the place of their references.

    >>> resolved({"n": "${steps.a.n}", "say": "n is ${steps.a.n}"}, {}, {"a": {"n": 3}})
    {'n': 3, 'say': 'n is 3'}

    Args:
        template: Objects, lists, texts and plain values; left as it is.
        values: The run's input.
        results: Of the steps that have one.
        written: How a value becomes a part of a longer text; without it texts, numbers and yes or no.

    Raises:
        NoResultError: A reference leads to steps without a result.
        NoSuchValueError: A result has no such part, or it cannot be written into a text.
    """
    if isinstance(template, Mapping):
        return {key: resolved(each, values, results, written) for key, each in template.items()}
    if isinstance(template, list | tuple):
        return [resolved(each, values, results, written) for each in template]
    if not isinstance(template, str):
        return template
    parts = list(_parts(template))
    if len(parts) == 1 and isinstance(parts[0], Reference) and written is None:
        return parts[0].value(values, results)
    return "".join(
        part if isinstance(part, str) else (written or _written)(part.value(values, results))
        for part in parts
    )


def _parts(text: str) -> Iterator[str | Reference]:
    end = 0
    for mark in _MARK.finditer(text):
        if mark.start() > end:
            yield text[end : mark.start()]
        end = mark.end()
        if mark[0] == "$${":
            yield "${"
        elif mark[1] is None:
            raise ReferenceSyntaxError(
                f"{text[:80]!r}: ${{ is not closed; write $${{ for the text itself"
            )
        else:
            yield parse(mark[1])
    if end < len(text) or not text:
        yield text[end:]


def _part(value: Any, path: Path) -> Any:
    for key in path.keys:
        match value:
            case Mapping() if key in value:
                value = value[key]
            case list() if key.isdigit() and int(key) < len(value):
                value = value[int(key)]
            case _:
                raise NoSuchValueError(f"{path} leads nowhere: there is no {key!r}")
    return value


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise NoSuchValueError(
        f"a {type(value).__name__} cannot be written into a text: name a part of it"
    )
