"""Start a worker for one file, bound it from outside, and leave nothing of it behind."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from include.documents.model import Media, ParsedDocument, SetAside
from include.documents.parsing.messages import Request, answer_from_json
from include.documents.parsing.sentences import set_aside
from include.documents.parsing.settings import OcrSettings, ParseLimits

ROOT = Path(__file__).resolve().parents[3]
WORKER = "include.documents.parsing.worker"

KEPT_ENVIRONMENT = ("PATH", "HOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TESSDATA_PREFIX")
"""A reader of foreign files learns no password of its starter."""

STARTS = 2
"""A reader that was ended from outside, by a person or by a system without memory, gets another go."""

_RECORDINGS = {Media.AUDIO, Media.VIDEO_FILE}


def parse_file(
    path: Path, media: Media, limits: ParseLimits | None = None, ocr: OcrSettings | None = None
) -> ParsedDocument | SetAside:
    """Read a file in a process that can be ended.

    Args:
        path: The bytes; its name does not matter.
        media: What :func:`include.documents.sniffing.sniff` found.
        limits: What it may cost.
        ocr: How scans are read.

    Returns:
        The pages, or why this file cannot be used. No process and no temporary file is left.

    Raises:
        OSError: The file cannot be read, or no process can be started.
    """
    limits, ocr = limits or ParseLimits(), ocr or OcrSettings()
    if media in _RECORDINGS:
        return set_aside("no_transcript")
    size = path.stat().st_size
    if size > limits.max_file_bytes:
        return set_aside("too_large", f"{size >> 20} Mo")
    request = Request(path.resolve(), media, limits, ocr, os.getpid())
    with tempfile.TemporaryDirectory(prefix="parse-") as folder:
        return _run(request, Path(folder))


def _run(request: Request, folder: Path) -> ParsedDocument | SetAside:
    (folder / "request").write_text(request.to_json(), "utf-8")
    for _ in range(STARTS):
        status = _ended(request, folder)
        if status != -signal.SIGKILL:
            break
    if status is None:
        return set_aside("timeout", f"{request.limits.wall_s:.0f} s")
    return _answer(folder / "answer", status, request)


def _ended(request: Request, folder: Path) -> int | None:
    """Start a reader and wait for its end; None when it took too long."""
    with (folder / "request").open("rb") as asked, (folder / "answer").open("wb") as answered:
        worker = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", WORKER],
            stdin=asked,
            stdout=answered,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env=_environment(folder),
            start_new_session=True,
        )
        try:
            return worker.wait(timeout=request.limits.wall_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # Its session holds whatever it started: all of it ends here, on every way out.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()


def _answer(path: Path, status: int, request: Request) -> ParsedDocument | SetAside:
    if status == 0:
        with contextlib.suppress(ValueError):
            return answer_from_json(path.read_text("utf-8"))
    if status == -signal.SIGXCPU:
        return set_aside("timeout", f"{request.limits.cpu_s_of(request.media)} s de calcul")
    if status == -signal.SIGKILL:
        return set_aside("killed")
    return set_aside("parser_died", f"code {status}")


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}
    found = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return kept | {
        "PYTHONPATH": os.pathsep.join(found),
        "PYTHONUTF8": "1",
        "OMP_THREAD_LIMIT": "1",
        "TMPDIR": str(folder),
    }
