"""Named workflows: what a YAML file of ``include/workflows`` says, checked before anything runs.

A definition is data: steps of processors that are registered here and calls through connections, in an
order that follows from what they need. Whatever is wrong with one is an error with file, line and the
way out, when it is read and not when it runs. ``include.processing.course`` says what happens in a run.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError, best_match

from include.contributions.sources.boundary import cleaned
from include.errors import PermanentError
from include.processing.model import ErrorStrategy, does_retry, does_stop
from include.processing.references import (
    Path as ReferencePath,
)
from include.processing.references import (
    Reference,
    ReferenceSyntaxError,
    references,
)
from include.processing.registry import Registry
from include.processing.yaml_file import FileError, YamlFile, read_yaml

FOLDER = Path(__file__).parents[1] / "workflows"
SCHEMA = FOLDER / "schema.json"

DAG_PREFIX = "workflow_"
"""How the DAGs of named workflows begin, and no other."""

DEFAULT_TIMEOUT_S = 3600
DEFAULT_STEP_TIMEOUT_S = 600.0
DEFAULT_ATTEMPTS = 3
DEFAULT_WAIT_S = 10.0

HTTP_GIVES = frozenset({"status", "body"})

MAX_INPUT_BYTES = 512 * 1024

SHOWN_CHARACTERS = 300
"""Of what a schema says; it repeats the value, whose beginning and end will do."""

_WITHOUT_MEANING = frozenset({"title", "description", "owner", "tags"})
"""Parts of a definition that change nothing of a run."""


class InputError(PermanentError):
    """A run's input is not what its workflow takes; the message names the field."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a step tries a transient error, the first attempt included, and the pause between."""

    attempts: int = 1
    wait_s: float = DEFAULT_WAIT_S


@dataclass(frozen=True, slots=True)
class When:
    """The branch is taken when the value is one of these."""

    value: Reference
    one_of: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request through an Airflow connection; its parts may hold references."""

    connection: str
    method: Literal["GET", "POST", "PUT"]
    path: str
    query: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """One step as written, with what follows from it.

    Attributes:
        id: Unique in its workflow; the task's name.
        description: For the task's page.
        processor: Name in the registry; None for a call.
        call: The request; None for a processor.
        inputs: What a processor is given; may hold references.
        critical: Its failure stops the workflow, whatever the strategies say.
        on_error: Its own strategy; None leaves it to the workflow.
        retry: Attempts in all; 1 where nothing is tried again.
        timeout_s: Of one attempt.
        when: Its condition; None: always.
        needs: Every step that comes before it: named, referred to, or the one before in the file.
        line: Where it stands.
    """

    id: str
    description: str
    processor: str | None
    call: HttpCall | None
    inputs: Mapping[str, Any]
    critical: bool
    on_error: ErrorStrategy | None
    retry: Retry
    timeout_s: float
    when: When | None
    needs: tuple[str, ...]
    line: int

    def stops(self, strategy: ErrorStrategy) -> bool:
        """Say whether its failure ends what comes after it in a workflow of this strategy."""
        return does_stop(self.on_error, strategy, critical=self.critical)


@dataclass(frozen=True)
class Definition:
    """A named workflow whose every part was checked; ``steps`` are in an order in which they can run."""

    name: str
    title: str
    description: str
    tags: tuple[str, ...]
    input_schema: Mapping[str, Any]
    strategy: ErrorStrategy
    timeout_s: int
    steps: tuple[StepDefinition, ...]
    output: Any
    definition_hash: str
    file: str
    content: Mapping[str, Any]

    @property
    def dag_id(self) -> str:
        """The DAG that runs it.

        Hyphens become underscores.
        """
        return dag_id_of(self.name)

    @cached_property
    def by_id(self) -> dict[str, StepDefinition]:
        """The steps by their ids."""
        return {step.id: step for step in self.steps}

    def checked_input(self, given: Any) -> dict[str, Any]:
        """Return a run's input as its steps see it: of the right form, storable, and whole.

        A field that was left out has its default, or null.

        Raises:
            InputError: It is not; the message names the field.
        """
        if not isinstance(given, Mapping):
            raise InputError(f"{self.name}: the input is a {type(given).__name__}, give an object")
        defaults = {
            name: each["default"]
            for name, each in self.input_schema["properties"].items()
            if "default" in each
        }
        values = storable(
            {**defaults, **{name: each for name, each in given.items() if each is not None}}
        )
        try:
            size = len(json.dumps(values, allow_nan=False).encode())
        except (TypeError, ValueError) as error:
            raise InputError(f"{self.name}: the input is no JSON: {error}") from error
        if size > MAX_INPUT_BYTES:
            raise InputError(f"{self.name}: the input has {size} bytes, at most {MAX_INPUT_BYTES}")
        wrong = best_match(Draft202012Validator(self.input_schema).iter_errors(values))
        if wrong is not None:
            where = ".".join(map(str, wrong.absolute_path)) or "input"
            raise InputError(f"{self.name}: {where}: {_short(wrong)}")
        return {**dict.fromkeys(self.input_schema["properties"]), **values}


def dag_id_of(name: str) -> str:
    """Name the DAG of a workflow.

    >>> dag_id_of("document-processing")
    'workflow_document_processing'
    """
    return DAG_PREFIX + name.replace("-", "_")


def read_definitions(
    registry: Registry, folder: Path = FOLDER
) -> tuple[tuple[Definition, ...], tuple[FileError, ...]]:
    """Read every definition of a folder, in the order of names, and the first error of each bad file."""
    found: list[Definition] = []
    errors: list[FileError] = []
    for path in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        try:
            definition = read_definition(path, registry)
        except FileError as error:
            errors.append(error)
            continue
        twin = next((each for each in found if each.dag_id == definition.dag_id), None)
        if twin:
            taken = f"has the name of {twin.file}: give it another one"
            errors.append(FileError(definition.file, 1, taken))
        else:
            found.append(definition)
    return tuple(found), tuple(errors)


def read_definition(path: Path, registry: Registry) -> Definition:
    """Read one file and check all of it.

    Raises:
        FileError: The first thing that is wrong, with file, line and what to do.
    """
    file = read_yaml(path, _shown(path))
    _check_form(file)
    data = file.data
    if data["name"] != path.stem:
        raise file.error(
            ("name",), f"the name is {data['name']!r}, but the file {path.name}: make them the same"
        )
    _check_input_schema(file)
    steps = _in_order(file, _steps(file, registry))
    output = data.get("output", {step.id: f"${{steps.{step.id}}}" for step in steps})
    by_id = {step.id: step for step in steps}
    _check_references(file, ("output",), output, by_id, registry)
    meaning = {key: value for key, value in data.items() if key not in _WITHOUT_MEANING}
    canonical = json.dumps(meaning, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return Definition(
        name=data["name"],
        title=data.get("title") or data["name"],
        description=data["description"].strip(),
        tags=tuple(data.get("tags", ())),
        input_schema=data["input"],
        strategy=ErrorStrategy(data.get("strategy", "stop")),
        timeout_s=data.get("timeout_s", DEFAULT_TIMEOUT_S),
        steps=steps,
        output=output,
        definition_hash=hashlib.sha256(canonical.encode()).hexdigest(),
        file=file.shown,
        content=data,
    )


@cache
def _form() -> Draft202012Validator:
    return Draft202012Validator(json.loads(SCHEMA.read_text("utf-8")))


def _check_form(file: YamlFile) -> None:
    error = best_match(_form().iter_errors(file.data), key=_nearest)
    if error is None:
        return
    place = list(error.absolute_path)
    if error.validator in {"additionalProperties", "unevaluatedProperties"} and isinstance(
        error.instance, Mapping
    ):
        unknown = [key for key in error.instance if f"'{key}'" in error.message]
        place += unknown[:1]
    where = ".".join(map(str, error.absolute_path)) or "the file"
    raise file.error(
        place, f"{where}: {_short(error)}; include/workflows/schema.json says what may stand here"
    )


def _nearest(error: ValidationError) -> Any:
    # What is wrong deepest in the file comes first; of two, what names a part rather than an alternative.
    return len(error.absolute_path), error.validator not in {
        "oneOf",
        "anyOf",
        "unevaluatedProperties",
    }


def _short(error: ValidationError) -> str:
    message = str(error.message)
    return message if len(message) <= SHOWN_CHARACTERS else f"{message[:200]} … {message[-90:]}"


def _check_input_schema(file: YamlFile) -> None:
    schema = file.data["input"]
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise file.error(
            ("input", *error.absolute_path), f"is no JSON Schema: {_short(error)}"
        ) from error
    for place in _keys_named(schema, {"$ref", "$dynamicRef", "$id", "$schema"}):
        raise file.error(
            ("input", *place), f"{place[-1]} leads out of the file: write the schema out"
        )
    for missing in sorted(set(schema.get("required", ())) - set(schema["properties"])):
        raise file.error(
            ("input", "required"), f"{missing} is required and not described: add it to properties"
        )
    for name, each in schema["properties"].items():
        wrong = "default" in each and best_match(
            Draft202012Validator(each).iter_errors(each["default"])
        )
        if wrong:
            raise file.error(
                ("input", "properties", name, "default"), f"the default: {_short(wrong)}"
            )


def _keys_named(
    schema: Any, names: set[str], place: tuple[str | int, ...] = ()
) -> Iterator[tuple[str | int, ...]]:
    if isinstance(schema, Mapping):
        for key, each in schema.items():
            if key in names and isinstance(each, str):
                yield (*place, key)
            yield from _keys_named(each, names, (*place, key))
    elif isinstance(schema, list):
        for position, each in enumerate(schema):
            yield from _keys_named(each, names, (*place, position))


def _steps(file: YamlFile, registry: Registry) -> list[StepDefinition]:
    data = file.data["steps"]
    strategy = ErrorStrategy(file.data.get("strategy", "stop"))
    ids = [each["id"] for each in data]
    for position, step_id in enumerate(ids):
        if step_id in ids[:position]:
            raise file.error(
                ("steps", position, "id"), f"two steps are called {step_id}: give one another id"
            )
    steps = [
        _step(file, position, ids[position - 1] if position else None, strategy)
        for position in range(len(data))
    ]
    by_id = {step.id: step for step in steps}
    for position, step in enumerate(steps):
        place = ("steps", position)
        for n, need in enumerate(data[position].get("needs", ())):
            if need not in by_id:
                raise file.error((*place, "needs", n), _no_such_step(need, by_id))
        _check_processor(file, position, step, registry)
        for key in ("inputs", "path", "query", "json", "when"):
            if key in data[position]:
                _check_references(file, (*place, key), data[position][key], by_id, registry)
    return steps


def _step(
    file: YamlFile, position: int, before: str | None, strategy: ErrorStrategy
) -> StepDefinition:
    each = file.data["steps"][position]
    place = ("steps", position)
    on_error = ErrorStrategy(each["on_error"]) if "on_error" in each else None
    retries = does_retry(on_error, strategy)
    if "retry" in each and not retries:
        raise file.error(
            (*place, "retry"),
            f"{each['id']} says how often it tries, but its on_error is {on_error or strategy}: "
            "write on_error: retry, or take retry away",
        )
    wanted = each.get("retry", {})
    call = None
    if each["kind"] == "http":
        method = each.get("method", "GET")
        if "json" in each and method == "GET":
            raise file.error((*place, "json"), "a GET sends nothing: use POST or PUT, or query")
        call = HttpCall(
            each["connection"], method, each["path"], each.get("query", {}), each.get("json")
        )
    when = _when(file, position)
    named = each.get("needs", [before] if before else [])
    referred = _referred(
        file, place, [each.get(key) for key in ("inputs", "path", "query", "json")]
    )
    if when:
        referred += [step for step in when.value.steps if step not in referred]
    return StepDefinition(
        id=each["id"],
        description=each.get("description", ""),
        processor=each.get("processor"),
        call=call,
        inputs=each.get("inputs", {}),
        critical=each.get("critical", False),
        on_error=on_error,
        retry=Retry(
            wanted.get("attempts", DEFAULT_ATTEMPTS) if retries else 1,
            float(wanted.get("wait_s", DEFAULT_WAIT_S)),
        ),
        timeout_s=float(each.get("timeout_s", DEFAULT_STEP_TIMEOUT_S)),
        when=when,
        needs=tuple(dict.fromkeys([*named, *referred])),
        line=file.line(place),
    )


def _when(file: YamlFile, position: int) -> When | None:
    written = file.data["steps"][position].get("when")
    if written is None:
        return None
    place = ("steps", position, "when", "value")
    try:
        found = list(references(written["value"]))
    except ReferenceSyntaxError as error:
        raise file.error(place, str(error)) from error
    is_whole = written["value"].startswith("${") and written["value"].endswith("}")
    if len(found) != 1 or not is_whole:
        raise file.error(
            place, "a condition looks at one value: write one reference such as ${steps.sniff.kind}"
        )
    return When(found[0], tuple(written["in"]) if "in" in written else (written["equals"],))


def _referred(file: YamlFile, place: tuple[str | int, ...], templates: Sequence[Any]) -> list[str]:
    try:
        return [
            step for template in templates for each in references(template) for step in each.steps
        ]
    except ReferenceSyntaxError as error:
        raise file.error(place, str(error)) from error


def _check_processor(
    file: YamlFile, position: int, step: StepDefinition, registry: Registry
) -> None:
    if step.processor is None:
        return
    place = ("steps", position)
    if step.processor not in registry:
        raise file.error(
            (*place, "processor"),
            f"there is no processor {step.processor!r}{_meant(step.processor, registry)}; "
            f"there are {', '.join(sorted(registry))}",
        )
    takes = registry[step.processor].takes
    for name in step.inputs:
        if name not in takes:
            raise file.error(
                (*place, "inputs", name),
                f"{step.processor} takes no {name!r}; it takes {', '.join(sorted(takes)) or 'nothing'}",
            )
    for name, is_required in takes.items():
        if is_required and name not in step.inputs:
            raise file.error(
                (*place, "inputs"), f"{step.processor} needs the input {name!r}: add it"
            )


def _check_references(
    file: YamlFile,
    place: tuple[str | int, ...],
    template: Any,
    by_id: Mapping[str, StepDefinition],
    registry: Registry,
) -> None:
    if isinstance(template, Mapping):
        for key, each in template.items():
            _check_references(file, (*place, key), each, by_id, registry)
        return
    if isinstance(template, list):
        for position, each in enumerate(template):
            _check_references(file, (*place, position), each, by_id, registry)
        return
    try:
        paths = [path for each in references(template) for path in each.paths]
    except ReferenceSyntaxError as error:
        raise file.error(place, str(error)) from error
    for path in paths:
        if wrong := _wrong(file, path, by_id, registry):
            raise file.error(place, f"${{{path}}}: {wrong}")


def _wrong(
    file: YamlFile,
    path: ReferencePath,
    by_id: Mapping[str, StepDefinition],
    registry: Registry,
) -> str | None:
    if path.step is None:
        known: Any = file.data["input"]["properties"]
        if path.keys and path.keys[0] not in known:
            name = path.keys[0]
            return f"the input has no {name!r}{_meant(name, known)}; it has {', '.join(known)}"
        return None
    if path.step not in by_id:
        return _no_such_step(path.step, by_id)
    step = by_id[path.step]
    gives = HTTP_GIVES if step.processor is None else registry[step.processor].gives
    if path.keys and path.keys[0] not in gives:
        return (
            f"{path.step} gives no {path.keys[0]!r}{_meant(path.keys[0], gives)}; "
            f"it gives {', '.join(sorted(gives))}"
        )
    return None


def _no_such_step(name: str, by_id: Mapping[str, StepDefinition]) -> str:
    return f"there is no step {name!r}{_meant(name, by_id)}; there are {', '.join(by_id)}"


def _meant(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""


def _in_order(file: YamlFile, steps: Sequence[StepDefinition]) -> tuple[StepDefinition, ...]:
    """Order the steps so that each comes after what it needs, otherwise as in the file."""
    ordered: dict[str, StepDefinition] = {}
    left = list(steps)
    while left:
        ready = next((step for step in left if all(need in ordered for need in step.needs)), None)
        if ready is None:
            circle = _circle(left)
            raise file.error(
                ("steps", next(n for n, step in enumerate(steps) if step.id == circle[0])),
                f"the steps wait for each other: {' needs '.join([*circle, circle[0]])}; "
                "put them in their order, or give one of them its needs",
            )
        ordered[ready.id] = ready
        left.remove(ready)
    return tuple(ordered.values())


def _circle(left: Sequence[StepDefinition]) -> list[str]:
    waiting = {step.id: step for step in left}
    walked: list[str] = []
    here = left[0].id
    while here not in walked:
        walked.append(here)
        here = next(need for need in waiting[here].needs if need in waiting)
    return walked[walked.index(here) :]


def storable(value: Any) -> Any:
    """Let every text pass the one boundary: NFC, no NUL, no lone surrogate."""
    if isinstance(value, str):
        return cleaned(value)[0]
    if isinstance(value, Mapping):
        return {cleaned(str(key))[0]: storable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [storable(each) for each in value]
    return value


def _shown(path: Path) -> str:
    """Name a file as somebody in the project's folder would."""
    try:
        return path.resolve().relative_to(FOLDER.parents[1].resolve()).as_posix()
    except ValueError:
        return str(path)
