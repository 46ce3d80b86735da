"""Read one file in a process of its own, which :mod:`include.documents.parsing.starter` forks.

The request comes in as JSON on the standard input, the answer goes out on the standard output. The
process limits itself before it opens the file; whoever started it ends it when it does not end.
"""

import contextlib
import resource
import sys
from datetime import UTC, datetime

from include.documents.model import Media, ParsedDocument, SetAside
from include.documents.parsing.draft import Draft
from include.documents.parsing.messages import Request, answer_to_json
from include.documents.parsing.sentences import DocumentRefusedError, set_aside
from include.documents.parsing.settings import ParseLimits

BYTES_PER_CHARACTER = 8
"""Of the answer: UTF-8 takes up to four, an escape in JSON six."""

ANSWER_FLOOR_BYTES = 4 << 20
CPU_GRACE_S = 5
"""Between the signal that asks a process to end and the one that ends it."""


def main() -> None:
    """Answer one request."""
    request = Request.from_json(sys.stdin.read())
    _limit(request.limits, request.limits.cpu_s_of(request.media))
    sys.stdout.write(answer_to_json(answer(request)))


def answer(request: Request) -> ParsedDocument | SetAside:
    """Read the file; whatever it does to its reader becomes a refusal."""
    from include.documents.parsing.description import described  # noqa: PLC0415 - after the limits

    try:
        draft = _draft(request)
        size = sum(len(page.text) for page in draft.pages)
        if size > request.limits.max_characters:
            return set_aside("too_large", f"{size} caractères")
        return described(draft, request.media, datetime.now(UTC).date())
    except DocumentRefusedError as refusal:
        return refusal.set_aside
    except MemoryError:
        return set_aside("out_of_memory")
    except RecursionError:
        return set_aside("damaged")


def _draft(request: Request) -> Draft:
    """Call the reader of the medium, which alone is imported."""
    path, media, limits, ocr = request.path, request.media, request.limits, request.ocr
    match media:
        case Media.PDF:
            from include.documents.parsing.pdf import read_pdf  # noqa: PLC0415

            return read_pdf(path, limits, ocr, request.before)
        case Media.HTML:
            from include.documents.parsing.web_pages import read_html  # noqa: PLC0415

            return read_html(path, limits)
        case Media.DOCX | Media.ODT:
            from include.documents.parsing.office import read_docx, read_odt  # noqa: PLC0415

            return (read_docx if media is Media.DOCX else read_odt)(path, limits)
        case Media.JPEG | Media.PNG | Media.TIFF | Media.WEBP:
            from include.documents.parsing.images import read_image  # noqa: PLC0415

            return read_image(path, limits, ocr, request.before)
        case Media.SRT | Media.VTT | Media.TRANSCRIPT:
            from include.documents.parsing import transcripts  # noqa: PLC0415

            timed = media is Media.TRANSCRIPT
            return (transcripts.read_timed_markdown if timed else transcripts.read_subtitles)(
                path, limits
            )
        case Media.MARKDOWN | Media.TEXT:
            from include.documents.parsing import plain_text  # noqa: PLC0415

            reader = plain_text.read_markdown if media is Media.MARKDOWN else plain_text.read_text
            return reader(path, limits)
    raise DocumentRefusedError("no_transcript")


def _limit(limits: ParseLimits, cpu_s: int) -> None:
    """Bind this process and what it starts."""
    answer_bytes = ANSWER_FLOOR_BYTES + BYTES_PER_CHARACTER * limits.max_characters
    wanted = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (cpu_s, cpu_s + CPU_GRACE_S),
        resource.RLIMIT_AS: (limits.memory_bytes, limits.memory_bytes),
        resource.RLIMIT_FSIZE: (answer_bytes, answer_bytes),
    }
    for limit, (soft, hard) in wanted.items():
        # macOS refuses some; the time limit outside holds in any case.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (soft, hard))


if __name__ == "__main__":
    main()
