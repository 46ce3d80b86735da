"""Fork a worker for each file from one process that has the readers loaded.

``python -m include.documents.parsing.starter MODULE`` imports them once, opens no file itself and does
one request after the other: a line on its standard input names a folder, its standard output gives
the worker's pid and, when that ended, its status. Loading the readers costs more than most documents.
"""

import faulthandler
import importlib
import os
import runpy
import signal
import sys
import traceback
from contextlib import suppress

from include.orphans import die_with_parent

READY_MADE = (
    "PIL.Image",
    "include.documents.parsing.description",
    "include.documents.parsing.images",
    "include.documents.parsing.office",
    "include.documents.parsing.pdf",
    "include.documents.parsing.plain_text",
    "include.documents.parsing.transcripts",
    "include.documents.parsing.web_pages",
    "include.documents.parsing.worker",
    "pypdfium2.raw",
    "selectolax.lexbor",
)
"""What most documents need. The model of languages is left to the few that ask for it."""

_ONE_PAGE = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n"
    b"2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]/Contents 4 0 R"
    b"/Resources<</Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>>>>>endobj\n"
    b"4 0 obj<</Length 17>>stream\nBT/F 9 Tf(a)Tj ET\nendstream endobj\ntrailer<</Root 1 0 R>>\n"
)

REQUEST, ANSWER, ERRORS = "request", "answer", "errors"
"""Names in the folder of one file."""


def main() -> None:
    """Serve until nobody asks any more."""
    module, starter = sys.argv[1], int(sys.argv[2])
    die_with_parent(parent=starter)
    for name in READY_MADE:
        importlib.import_module(name)
    _find_fonts()
    for line in sys.stdin:
        worker = _forked(module, line.rstrip("\n"))
        _say(worker)
        # Looked at before it is buried: until then nobody else can be given its number.
        os.waitid(os.P_PID, worker, os.WEXITED | os.WNOWAIT)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(worker, signal.SIGKILL)
        _say(os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]))


def _find_fonts() -> None:
    """Let PDFium list the system's fonts once, by a page of our own, and not in each worker."""
    import pypdfium2  # noqa: PLC0415 - a process that only names the files of a request never needs it

    document = pypdfium2.PdfDocument(_ONE_PAGE)
    page = document[0]
    text = page.get_textpage()
    for opened in (text, page, document):
        opened.close()


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _forked(module: str, folder: str) -> int:
    starter = os.getpid()
    worker = os.fork()
    if worker:
        return worker
    status = 1
    try:
        # A session of its own holds whatever it starts.
        os.setsid()
        die_with_parent(parent=starter)
        _move_into(folder)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        sys.stdout.flush()
        status = 0
    except BaseException:  # noqa: BLE001 - told here, for the process ends without a word
        traceback.print_exc()
    finally:
        # Whatever went wrong is said by the status; nothing of the starter is undone twice.
        os._exit(status)


def _move_into(folder: str) -> None:
    """Work in the folder: its request comes in, its answer and its last words go out."""
    os.chdir(folder)
    os.environ["TMPDIR"] = folder
    streams = (
        (REQUEST, os.O_RDONLY),
        (ANSWER, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (ERRORS, os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    )
    for number, (name, flags) in enumerate(streams):
        opened = os.open(name, flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    faulthandler.enable(2)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lives as long as the process


if __name__ == "__main__":
    main()
