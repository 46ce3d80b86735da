"""Have a worker forked for one file, bound it from outside, and leave nothing of it behind."""

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path

from include.contributions.sources.boundary import cleaned
from include.documents.model import Media, Page, ParsedDocument, SetAside
from include.documents.parsing.messages import Request, answer_from_json
from include.documents.parsing.sentences import set_aside
from include.documents.parsing.settings import OcrSettings, ParseLimits
from include.documents.parsing.starter import ANSWER, ERRORS, REQUEST

ROOT = Path(__file__).resolve().parents[3]
STARTER = "include.documents.parsing.starter"
WORKER = "include.documents.parsing.worker"

START_S = 60
"""Until the readers are loaded; a third of a second on a quiet machine."""

KEPT_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TESSDATA_PREFIX")
"""A reader of foreign files learns no password of its starter."""

STARTS = 2
"""A reader that was ended from outside, by a person or by a system without memory, gets another go."""

LAST_WORDS_BYTES = 2048
"""Of what a reader said before it died; a traceback ends with its cause."""

log = logging.getLogger(__name__)

_RECORDINGS = {Media.AUDIO, Media.VIDEO_FILE}


def parse_file(
    path: Path,
    media: Media,
    limits: ParseLimits | None = None,
    ocr: OcrSettings | None = None,
    before: Sequence[Page] = (),
) -> ParsedDocument | SetAside:
    """Read a file in a process that can be ended.

    Args:
        path: The bytes; its name does not matter.
        media: What :func:`include.documents.sniffing.sniff` found.
        limits: What it may cost.
        ocr: How scans are read.
        before: Pages as the same parser read them when its time did not suffice for all; with them
            the time goes to those that wait for OCR.

    Returns:
        The pages, or why this file cannot be used. No temporary file is left and no process, but the
        one that the next file's worker is forked from; it ends with this thread.

    Raises:
        OSError: The file cannot be read, or no process can be started.
    """
    limits, ocr = limits or ParseLimits(), ocr or OcrSettings()
    if media in _RECORDINGS:
        return set_aside("no_transcript")
    size = path.stat().st_size
    if size > limits.max_file_bytes:
        return set_aside("too_large", f"{size >> 20} Mo")
    request = Request(path.resolve(), media, limits, ocr, tuple(before))
    with tempfile.TemporaryDirectory(prefix="parse-") as folder:
        return _run(request, Path(folder))


def _run(request: Request, folder: Path) -> ParsedDocument | SetAside:
    (folder / REQUEST).write_text(request.to_json(), "utf-8")
    status = 0
    for _ in range(STARTS):
        starter = _starter()
        try:
            status = starter.run(folder, request.limits.wall_s)
        except TimeoutError:
            return set_aside("timeout", f"{request.limits.wall_s:.0f} s")
        if status != -signal.SIGKILL:
            break
    return _answer(folder, status, request)


class _Starter:
    """The process that workers are forked from; one per thread that reads files."""

    def __init__(self, module: str, environment: dict[str, str]) -> None:
        self.made_of = (os.getpid(), module, environment)
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", STARTER, module, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            env=environment,
            start_new_session=True,
        )
        self._heard = b""
        weakref.finalize(self, _end, self._process, os.getpid())

    @property
    def is_alive(self) -> bool:
        """Whether it takes another request."""
        return self._process.poll() is None

    def run(self, folder: Path, wall_s: float) -> int:
        """Let a worker read the request in a folder and return the status it ended with.

        Raises:
            TimeoutError: It did not end in time; it is ended now.
            OSError: There is no starter, or no worker came of it.
        """
        worker = None
        try:
            self._ask(folder)
            worker = self._number(START_S)
            return self._number(wall_s)
        except (TimeoutError, EOFError, BrokenPipeError) as error:
            if worker is None:
                self.end()
                raise OSError("no process that reads files could be started") from error
            if isinstance(error, TimeoutError):
                if not self._ended(worker):
                    self.end()
                raise
            # The starter is gone, and its worker with it: the next one gets a new one.
            self.end()
            return -signal.SIGKILL
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """End it, and on its death whatever it started."""
        _end(self._process, self.made_of[0])

    def _ask(self, folder: Path) -> None:
        assert self._process.stdin is not None  # noqa: S101 - opened as a pipe
        self._process.stdin.write(f"{folder}\n".encode())

    def _ended(self, worker: int) -> bool:
        """End a worker with all that it started; False when nobody says that it is over."""
        for kill in (os.killpg, os.kill):  # it may not have its own session yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(worker, signal.SIGKILL)
        try:
            self._number(START_S)
        except (TimeoutError, EOFError):
            return False
        return True

    def _number(self, within_s: float) -> int:
        """Hear the next number.

        Raises:
            TimeoutError: None came.
            EOFError: It is gone.
        """
        assert self._process.stdout is not None  # noqa: S101 - opened as a pipe
        until = time.monotonic() + within_s
        while b"\n" not in self._heard:
            ready, _, _ = select.select(
                [self._process.stdout], [], [], max(0.0, until - time.monotonic())
            )
            if not ready:
                raise TimeoutError
            said = os.read(self._process.stdout.fileno(), 64)
            if not said:
                raise EOFError
            self._heard += said
        line, _, self._heard = self._heard.partition(b"\n")
        return int(line)


_of_thread = threading.local()


def _starter() -> _Starter:
    """Return this thread's starter: the system ends it with the thread that made it."""
    environment = _environment()
    starter: _Starter | None = getattr(_of_thread, "starter", None)
    wanted = (os.getpid(), WORKER, environment)
    if starter is None or starter.made_of != wanted or not starter.is_alive:
        starter = _of_thread.starter = _Starter(WORKER, environment)
    return starter


def _end(process: "subprocess.Popen[bytes]", owner: int) -> None:
    if os.getpid() != owner:
        return  # a copy that a fork made: it is not ours to end
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _answer(folder: Path, status: int, request: Request) -> ParsedDocument | SetAside:
    if status == 0:
        with contextlib.suppress(ValueError):
            return answer_from_json((folder / ANSWER).read_bytes())
    log.warning("the reader of %s ended with %s: %s", request.path, status, _last_words(folder))
    if status == -signal.SIGXCPU:
        return set_aside("timeout", f"{request.limits.cpu_s_of(request.media)} s de calcul")
    if status == -signal.SIGKILL:
        return set_aside("killed")
    return set_aside("parser_died", f"code {status}")


def _last_words(folder: Path) -> str:
    try:
        with (folder / ERRORS).open("rb") as stream:
            stream.seek(max(0, stream.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
            return cleaned(stream.read().decode("utf-8", "replace"))[0].strip()
    except OSError:
        return ""


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    found = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {
        "PYTHONPATH": os.pathsep.join(found),
        "PYTHONUTF8": "1",
        "OMP_THREAD_LIMIT": "1",
    }
