"""The processors that a named workflow may name, and the definitions that name them.

Nothing of a processor is loaded until it has its turn: the pages read the definitions too. Each is
given the step's inputs and the :class:`participation.steps.Visit` of the attempt.
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from include.contributions.model import Classification, Evaluation, Validation
from include.processing.definition import Definition, read_definitions
from include.processing.registry import Registry, StepProcessor
from include.processing.yaml_file import FileError
from participation.settings import Settings

Run = Callable[[Mapping[str, Any], Any], Mapping[str, Any]]

_TEXT = {"text": True, "ideas": False, "category": False}

_DOCUMENT = {"document_id": True}

_PAGES = frozenset({"document_id", "pages", "pages_read", "pages_set_aside", "characters", "title"})


def _judging(function: str) -> Run:
    def run(inputs: Mapping[str, Any], visit: Any) -> Mapping[str, Any]:
        from include.contributions import named_steps  # noqa: PLC0415 - DAG files import this module
        from participation.reviewing import reviewers_for  # noqa: PLC0415 - the same

        # Whoever waits for one judgement is given that of the rules when no provider answers.
        with reviewers_for(visit, patient=False) as reviewers:
            reviewer = reviewers.under(str(inputs.get("rubric_version") or ""))
            made: Mapping[str, Any] = getattr(named_steps, function)(inputs, reviewer)
        return made

    return run


def _evaluate(inputs: Mapping[str, Any], _visit: Any) -> Mapping[str, Any]:
    from include.contributions import named_steps  # noqa: PLC0415 - DAG files import this module

    return named_steps.evaluate(inputs)


def _of_documents(function: str) -> Run:
    def run(inputs: Mapping[str, Any], visit: Any) -> Mapping[str, Any]:
        steps = importlib.import_module("participation.workflow_documents")
        made: Mapping[str, Any] = getattr(steps, function)(inputs, visit)
        return made

    return run


REGISTRY: Registry = {
    "validate_contribution": StepProcessor(
        "Hold a text against the charter: accept, review or refusal_proposed, with the quoted words.",
        _TEXT,
        frozenset(Validation.model_fields),
        _judging("validate"),
        asks_model=True,
    ),
    "classify_contribution": StepProcessor(
        "Name the subject of a text: one of seven categories, or undetermined.",
        {**_TEXT, "rubric_version": False},
        frozenset(Classification.model_fields),
        _judging("classify"),
        asks_model=True,
    ),
    "evaluate_contribution": StepProcessor(
        "Say how far a validation and a classification can be relied on.",
        {**_TEXT, "validation": True, "classification": True},
        frozenset(Evaluation.model_fields),
        _evaluate,
    ),
    "take_document": StepProcessor(
        "Take a file of the inbox in, or find a document that the town has.",
        {"path": False, "document_id": False},
        frozenset({"document_id", "uri", "size_bytes"}),
        _of_documents("take_in"),
    ),
    "sniff_document": StepProcessor(
        "Say by a document's bytes whether it is a document, an image or a video; "
        "an unknown kind fails with unknown_content_type.",
        _DOCUMENT,
        frozenset({"document_id", "kind", "media"}),
        _of_documents("sniff"),
    ),
    "read_document": StepProcessor(
        "Read PDF, HTML, Markdown, text, DOCX or ODT page by page.",
        {**_DOCUMENT, "ocr": False},
        _PAGES,
        _of_documents("read_document"),
    ),
    "read_image": StepProcessor(
        "Read an image with OCR.",
        {**_DOCUMENT, "ocr": False},
        _PAGES,
        _of_documents("read_image"),
    ),
    "read_transcript": StepProcessor(
        "Read the transcript of a meeting or film.",
        _DOCUMENT,
        _PAGES,
        _of_documents("read_transcript"),
    ),
    "chunk_document": StepProcessor(
        "Cut a document as the town wants it.",
        _DOCUMENT,
        frozenset({"document_id", "chunk_count"}),
        _of_documents("chunk"),
    ),
    "embed_document": StepProcessor(
        "Give a document's chunks their vectors.",
        _DOCUMENT,
        frozenset({"document_id", "engines"}),
        _of_documents("embed"),
    ),
    "index_document": StepProcessor(
        "Let the next version of each index answer, with this document in it.",
        _DOCUMENT,
        frozenset({"document_id"}),
        _of_documents("index"),
    ),
    "find_themes": StepProcessor(
        "Find what a document talks about, and which older one it nearly repeats.",
        _DOCUMENT,
        frozenset({"document_id", "themes"}),
        _of_documents("find_themes"),
    ),
    "add_to_dataset": StepProcessor(
        "Make the next dataset version, with this document's examples.",
        _DOCUMENT,
        frozenset({"document_id", "examples"}),
        _of_documents("add_to_dataset"),
    ),
    "describe_document": StepProcessor(
        "Give a document's themes, drafted contributions and warnings.",
        _DOCUMENT,
        frozenset({"document_id", "extracted_themes", "contributions", "warnings"}),
        _of_documents("describe"),
    ),
}


def definitions() -> tuple[tuple[Definition, ...], tuple[FileError, ...]]:
    """Read this installation's definitions: the good ones, and what is wrong with the others."""
    return read_definitions(REGISTRY, Settings().workflows)
