"""Read a YAML file that is JSON in another coat, and remember on which line each part stands.

Objects, lists, texts, numbers, ``true``, ``false`` and ``null``: nothing is constructed, nothing is
repeated by an anchor, no key stands twice, no number is infinite. What reads like a date is a text.
"""

import math
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from include.errors import ConfigurationError

MAX_BYTES = 256 * 1024
MAX_DEPTH = 30

CORE = "tag:yaml.org,2002:"
"""Before the names of YAML's own types."""

Place = tuple[str | int, ...]
"""Keys and positions from the top of the file."""


class FileError(ConfigurationError):
    """Something in a file is wrong; the message names file and line and says what to do.

    Attributes:
        path: The file, as it is shown.
        line: From 1.
        problem: The sentence without the place.
    """

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}, line {line}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file as read: ``shown`` is how errors name it."""

    shown: str
    data: Any
    lines: dict[Place, int] = field(default_factory=dict)

    def line(self, place: Iterable[str | int]) -> int:
        """Say on which line a part stands; of a part that is missing, where it would belong."""
        keys = tuple(place)
        while keys and keys not in self.lines:
            keys = keys[:-1]
        return self.lines.get(keys, 1)

    def error(self, place: Iterable[str | int], problem: str) -> FileError:
        """Say that something is wrong with a part."""
        return FileError(self.shown, self.line(place), problem)


class _Loader(yaml.SafeLoader):
    """Resolves plain words as JSON does."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's way


for _tag, _words, _first in (
    ("null", r"null|~|", ["n", "~", ""]),
    ("bool", r"true|false", list("tf")),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", list("-+0123456789")),
    ("float", r"[-+]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-+0123456789")),
):
    _Loader.add_implicit_resolver(f"{CORE}{_tag}", re.compile(rf"(?:{_words})\Z"), _first)


def read_yaml(path: Path, shown: str | None = None) -> YamlFile:
    """Read one file.

    Raises:
        FileError: It is not there, too large, no YAML, or more than JSON can say; with the line.
    """
    name = shown or str(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(
            name, 1, f"cannot be read ({error.strerror}): mend it or take it away"
        ) from error
    if len(content) > MAX_BYTES:
        raise FileError(name, 1, f"holds {len(content)} bytes, at most {MAX_BYTES}: shorten it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileError(name, line, "is not UTF-8: save it as UTF-8") from error
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            raise FileError(name, 1, "is empty: write a definition, or take the file away")
        lines: dict[Place, int] = {}
        return YamlFile(name, _read(loader, node, (), lines, name, set()), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = error.problem or error.context
        raise FileError(name, mark.line + 1 if mark else 1, f"is no YAML: {said}") from error
    except yaml.YAMLError as error:
        raise FileError(name, 1, f"is no YAML: {error}") from error
    finally:
        loader.dispose()


def _read(
    loader: _Loader,
    node: yaml.Node,
    place: Place,
    lines: dict[Place, int],
    name: str,
    seen: set[int],
) -> Any:
    line = node.start_mark.line + 1
    lines.setdefault(place, line)
    if id(node) in seen:
        raise FileError(name, line, "repeats a part by an anchor: write it out")
    seen.add(id(node))
    if len(place) > MAX_DEPTH:
        raise FileError(name, line, f"is nested more than {MAX_DEPTH} deep")
    if node.tag.removeprefix(CORE) not in {"map", "seq", "null", "bool", "int", "float", "str"}:
        raise FileError(
            name, line, f"{node.tag} is nothing a definition may hold: take the tag away"
        )
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            key = _read(loader, key_node, (*place, "\0key"), lines, name, seen)
            if not isinstance(key, str):
                raise FileError(name, key_line, f"the key {key!r} is no text: put it in quotes")
            if key in found:
                raise FileError(name, key_line, f"{key} stands twice: keep one of them")
            lines[(*place, key)] = key_line
            found[key] = _read(loader, value_node, (*place, key), lines, name, seen)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [
            _read(loader, each, (*place, position), lines, name, seen)
            for position, each in enumerate(node.value)
        ]
    return _scalar(loader, node, name, line)


def _scalar(loader: _Loader, node: yaml.Node, name: str, line: int) -> Hashable:
    try:
        value: Hashable = loader.construct_object(node)
    except ValueError as error:
        raise FileError(name, line, f"is no {node.tag}: {str(error)[:100]}") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise FileError(name, line, "the number is not finite")
    if isinstance(value, str) and "\0" in value:
        raise FileError(name, line, "holds a NUL character")
    return value
