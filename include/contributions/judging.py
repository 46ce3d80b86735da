"""Judge texts in this process, without Airflow and without a database.

    python -m include.contributions.judging texts.jsonl results.jsonl

One JSON object a line comes in, ``{id, text}`` or ``{id, constat_factuel, idees_ameliorations,
category}``, and one line goes out for each, in order: the whole judgement, or for a line that
cannot be judged ``{"id": ..., "error": {"line", "reason", "detail"}}``. Blank lines are skipped, an
id that comes twice is answered twice, and ids (strings or integers) keep their JSON type.
"""

import argparse
import codecs
import contextlib
import gc
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import stamina.instrumentation

from include import files
from include.contributions.model import MAX_TEXT_CHARACTERS, Category, Contribution
from include.contributions.model import declared as declared_category
from include.contributions.processors import judge
from include.contributions.sources.boundary import cleaned
from include.errors import ParticipationError, ProcessingError, UnreadableRecordError
from include.ports import Reviewer
from include.processing.workflow import RetryBudget

__all__ = ["JudgedLine", "judge", "judge_lines", "main"]

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Two parts of the longest text, every character escaped; a longer line could fill the memory."""

STANDARD_STREAM = "-"

UNREADABLE = "\ufffd"
"""NUL and lone surrogates can be neither stored nor sent. One character replaces one, so that
quoted spans still count the citizen's own characters."""


@dataclass(frozen=True, slots=True)
class JudgedLine:
    """One line of output, without its line end, and whether it is an error."""

    json: str
    failed: bool


class _BrokenLineError(UnreadableRecordError):
    def __init__(self, reason: str, detail: str, line_id: str | int | None = None) -> None:
        super().__init__(detail)
        self.reason = reason
        self.line_id = line_id


@dataclass(frozen=True, slots=True)
class _Entry:
    line_id: str | int
    contribution: Contribution
    warnings: tuple[str, ...]


def judge_lines(lines: Iterable[bytes], reviewer: Reviewer) -> Iterator[JudgedLine]:
    """Yield one answer per line that is not blank, in order; lazily, one line in memory.

    Nothing a line holds, and no error of the reviewer, ends the stream.
    """
    budget = RetryBudget()
    for number, received in enumerate(lines, start=1):
        line = received.removeprefix(codecs.BOM_UTF8) if number == 1 else received
        if not line.strip():
            continue
        try:
            entry = _read_entry(line)
            judgement = judge(
                entry.contribution, reviewer, warnings=entry.warnings, budget=budget
            ).model_dump(mode="json")
        except _BrokenLineError as error:
            yield _error_line(error.line_id, number, error.reason, str(error))
        except ProcessingError as error:
            yield _error_line(entry.line_id, number, "judgement_failed", str(error))
        else:
            yield JudgedLine(_dump({**judgement, "id": entry.line_id}), failed=False)


def main(arguments: Sequence[str] | None = None, reviewer: Reviewer | None = None) -> int:
    """Run the command; 0 when every line was answered, 1 when IN or OUT could not be used.

    Args:
        arguments: Those of the process when None.
        reviewer: The embedded one when None.
    """
    parser = argparse.ArgumentParser(
        prog="python -m include.contributions.judging",
        description="Judge texts, one JSON object a line, with the embedded engine.",
    )
    parser.add_argument("source", metavar="IN", help="a JSONL file, or - for standard input")
    parser.add_argument("target", metavar="OUT", help="a JSONL file, or - for standard output")
    chosen = parser.parse_args(arguments)
    # Standard output belongs to the answers; retries would be noted there by default.
    stamina.instrumentation.set_on_retry_hooks([stamina.instrumentation.LoggingOnRetryHook])
    try:
        judged, failed = _judge_stream(
            chosen.source, chosen.target, reviewer or _embedded_reviewer()
        )
    except (ParticipationError, OSError) as error:
        sys.stderr.write(f"judge: {error}\n")
        return 1
    sys.stderr.write(f"judge: {judged} lines answered, {failed} of them with an error\n")
    return 0


def _embedded_reviewer() -> Reviewer:
    # Whoever brings a reviewer needs neither the engine nor its data files.
    from include.contributions.reviewer import embedded_reviewer  # noqa: PLC0415  see above

    reviewer = embedded_reviewer()
    # The rules stay: a search for garbage among them would cost a quarter of each judgement.
    gc.collect()
    gc.freeze()
    return reviewer


def _judge_stream(source: str, target: str, reviewer: Reviewer) -> tuple[int, int]:
    judged = failed = 0
    with _reading(source) as stream, _writing(target) as out:
        for answer in judge_lines(_bounded_lines(stream), reviewer):
            out.write(answer.json.encode() + b"\n")
            judged += 1
            failed += answer.failed
    return judged, failed


@contextlib.contextmanager
def _reading(source: str) -> Iterator[BinaryIO]:
    if source == STANDARD_STREAM:
        yield sys.stdin.buffer
        return
    with Path(source).open("rb") as stream:
        yield stream


@contextlib.contextmanager
def _writing(target: str) -> Iterator[BinaryIO]:
    """Open the output so that a file appears whole or stays as it was."""
    if target == STANDARD_STREAM:
        with _reader_may_leave():
            yield sys.stdout.buffer
            sys.stdout.buffer.flush()
        return
    path = Path(target).resolve()
    if path.exists() and not path.is_file():
        # A device or a pipe is written to; replacing it would take it away from everybody.
        with path.open("wb") as stream:
            yield stream
        return
    with files.replacing(path) as stream:
        yield stream


@contextlib.contextmanager
def _reader_may_leave() -> Iterator[None]:
    """Spare the interpreter a second complaint when it flushes what nobody reads any more."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def _bounded_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a stream; of one that is too long, as much as shows that it is."""
    while line := stream.readline(MAX_LINE_BYTES + 1):
        yield line
        rest = line
        while len(rest) > MAX_LINE_BYTES and not rest.endswith(b"\n"):
            rest = stream.readline(MAX_LINE_BYTES + 1)


def _read_entry(line: bytes) -> _Entry:
    fields = _read_object(line)
    line_id = fields.get("id")
    if isinstance(line_id, bool) or not isinstance(line_id, str | int):
        raise _BrokenLineError("no_id", "the field id must be a string or an integer")
    texts = {}
    for name in ("text", "constat_factuel", "idees_ameliorations"):
        value = fields.get(name)
        if value is not None and not isinstance(value, str):
            raise _BrokenLineError("not_text", f"the field {name} is not a string", line_id)
        texts[name] = value or ""
    warnings = []
    constat, ideas = texts["constat_factuel"], texts["idees_ameliorations"]
    if not constat.strip() and not ideas.strip():
        constat, ideas = texts["text"], ""
    elif texts["text"].strip():
        warnings.append("Le champ text a été ignoré : les deux parties sont données.")
    _check_size(constat, ideas, line_id)
    category, unknown = _read_category(fields.get("category"))
    if unknown:
        warnings.append(unknown)
    (clean_constat, replaced), (clean_ideas, more) = cleaned(constat), cleaned(ideas)
    if replaced or more:
        warnings.append(f"Des caractères illisibles ont été remplacés par « {UNREADABLE} ».")
    contribution = Contribution(_storable(str(line_id)), clean_constat, clean_ideas, category)
    return _Entry(line_id, contribution, tuple(warnings))


def _read_object(line: bytes) -> dict[str, Any]:
    if len(line) > MAX_LINE_BYTES:
        raise _BrokenLineError("too_long", f"the line is longer than {MAX_LINE_BYTES:,} bytes")
    try:
        fields = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _BrokenLineError("not_utf8", f"the line is not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise _BrokenLineError("not_json", f"the line is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise _BrokenLineError("not_an_object", f"the line holds a {type(fields).__name__}")
    return fields


def _check_size(constat: str, ideas: str, line_id: str | int) -> None:
    if not constat.strip() and not ideas.strip():
        raise _BrokenLineError("no_text", "there is no text to judge", line_id)
    if len(constat) + len(ideas) > MAX_TEXT_CHARACTERS:
        raise _BrokenLineError(
            "too_long", f"the text is longer than {MAX_TEXT_CHARACTERS:,} characters", line_id
        )


def _read_category(declared: object) -> tuple[Category | None, str | None]:
    """Read the form's own field; one that is none of the seven counts as not given, and says so."""
    if declared is None or declared == "":
        return None, None
    known = declared_category(declared) if isinstance(declared, str) else None
    if known:
        return known, None
    shown = _storable(str(declared))[:60]
    return None, f"Catégorie inconnue, traitée comme non indiquée : « {shown} »."


def _storable(text: str) -> str:
    return cleaned(text)[0]


def _error_line(line_id: str | int | None, number: int, reason: str, detail: str) -> JudgedLine:
    error = {"line": number, "reason": reason, "detail": detail}
    return JudgedLine(_dump({"id": line_id, "error": error}), failed=True)


def _dump(answer: dict[str, Any]) -> str:
    """Write JSON that UTF-8 can carry: only an id holding lone surrogates needs the escapes."""
    text = json.dumps(answer, ensure_ascii=False, allow_nan=False)
    return text if text.isascii() or _is_encodable(text) else json.dumps(answer, allow_nan=False)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
