"""The verbs of the Makefile: each brings the environment it needs, then does its work.

Standard library only, and old syntax, because any Python may be the one that starts it: it finds one
that fits (3.11 to 3.13), builds ``.venv`` from the lock and goes on inside. A second call finds the
environment's stamp and costs nothing; an install that was cut off left no stamp and is done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import marked_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 11), (3, 13)
LOCK = ROOT / "requirements.txt"
DOMAIN_LOCK = ROOT / "requirements-domain.txt"
WHOLE, DOMAIN = ROOT / ".venv", ROOT / ".venv-domain"
SAMPLES = ROOT / "include" / "samples"
NEEDED_GB = 3
TESTS_FAILED = 1
"""What pytest answers when tests failed. Anything else, such as an interrupt, ends the run."""
STARTED: list[subprocess.Popen[bytes]] = []

HELP = """\
make run [DATA=folder] [ONESHOT=1]   judge contributions, read papers, in Airflow's UI
make judge IN=texts.jsonl OUT=results.jsonl   the same judgement, without Airflow or a database
make search Q="question" [K=5] [JSON=1]   answers of the town's papers, with page and quote
            [KIND=arrêté] [SINCE=2024-01-31] [UNTIL=2025-12-31] [SOURCE=folder]   only of such papers
make airflow ARGS='backfill list ...'   Airflow's own command, while make run is up
make test            unit, DAG, integration and end-to-end tests
make test-services   tests that need server PostgreSQL, Redis, Chromium, Tesseract
make lint            ruff, mypy, import-linter
make docs            write docs/dags.md and the table of docs/laws.md anew, from the code
make bench           how fast, beside the alternatives
make chaos           kill things at random and count what is lost
make clean           remove environments, caches and the state folder

STATE=folder keeps databases, papers, datasets, logs and reports elsewhere than in state/.
ARGS='...' is passed on to airflow, test, test-services, bench and chaos.
PYTHON=python3.12 names the interpreter to start from."""


def main(verb: str) -> int:
    """Do what a target says; the exit code."""
    if verb not in VERBS:
        print(HELP)
        return 0 if verb == "help" else 2
    return VERBS[verb]()


def run() -> int:
    """Start everything on the samples or on DATA."""
    inbox = Path(os.environ.get("DATA") or SAMPLES).expanduser()
    inbox = Path(os.path.realpath(str(ROOT / inbox)))
    reason = unusable(inbox)
    if reason:
        return complain(reason)
    return become_supervisor(whole_environment(), inbox)


def become_supervisor(python: str, inbox: Path) -> int:
    """Let the supervisor take our place, so that signals reach it and its exit code is ours."""
    environ = dict(os.environ, PARTICIPATION_INBOX=str(inbox), PYTHONPATH=python_path())
    os.chdir(str(ROOT))
    sys.stdout.flush()
    script = str(ROOT / "scripts" / "supervisor.py")
    os.execve(python, [python, script], environ)  # noqa: S606 - no shell is wanted


def unusable(inbox: Path) -> str | None:
    """Why a folder cannot be loaded, or None; said before anything is started."""
    if not inbox.exists():
        return f"DATA={inbox} does not exist: give the folder of the contributions and papers"
    if not inbox.is_dir():
        return f"DATA={inbox} is not a folder: give the folder of the contributions and papers"
    try:
        holds_files = any(files for _, _, files in os.walk(str(inbox)))
    except OSError:
        holds_files = False
    if not holds_files or not os.access(str(inbox), os.R_OK | os.X_OK):
        return f"DATA={inbox} holds no file that can be read"
    return None


def judge() -> int:
    """Judge the lines of a file in this process."""
    given, wanted = os.environ.get("IN"), os.environ.get("OUT")
    if not given or not wanted:
        return complain(
            "say what to judge and where to write: make judge IN=texts.jsonl OUT=out.jsonl"
        )
    return in_environment("-m", "include.contributions.judging", given, wanted)


def search() -> int:
    """Ask the papers of the state folder a question."""
    question = os.environ.get("Q")
    if not question:
        return complain('say what to ask: make search Q="Quand a lieu le marché ?"')
    arguments = ["--top-k", os.environ.get("K") or "5"]
    for option in ("kind", "since", "until", "source"):
        if given := os.environ.get(option.upper()):
            arguments += [f"--{option}={given}"]
    if os.environ.get("JSON"):
        arguments.append("--json")
    return in_environment("scripts/search.py", *arguments, "--", question)


def airflow() -> int:
    """Airflow's own command, beside a system that runs."""
    return in_environment("scripts/airflow_command.py", *extra_arguments())


def test() -> int:
    """The domain in an environment without Airflow, then the rest; ARGS names some tests instead."""
    if arguments := extra_arguments():
        return in_environment("-m", "pytest", *arguments)
    in_two = ["-n", "2", "--dist", "loadfile"]
    domain = Part("domain", domain_environment(), ["include", "tests/unit"])
    code = domain.once_more(call(domain.python, *domain.command, *in_two))
    python = whole_environment()
    apart = {"unit", "services", "e2e", "__pycache__"}
    folders = (each.name for each in (ROOT / "tests").iterdir() if each.is_dir())
    others = [f"tests/{name}" for name in sorted(folders) if name not in apart]
    rest = Part("rest", python, ["-m", "not services", *others])
    end_to_end = Part("end-to-end", python, ["tests/e2e"])
    # The end-to-end tests share one running system and mostly wait: the others fill the time.
    with tempfile.TemporaryFile("w+") as said:
        process = start(python, *end_to_end.command, stdout=said)
        try:
            code_of_rest = call(python, *rest.command, *in_two)
        finally:
            code_of_end_to_end = ended(process)
            said.seek(0)
            sys.stdout.write(said.read())
            sys.stdout.flush()
    again = (rest.once_more(code_of_rest), end_to_end.once_more(code_of_end_to_end))
    return max(code, *again)


def test_services() -> int:
    """What needs tools of the system."""
    if arguments := extra_arguments():
        return in_environment("-m", "pytest", "-m", "services", *arguments)
    services = Part("services", whole_environment(), ["-m", "services"])
    return services.once_more(call(services.python, *services.command))


class Part:
    """A part of the tests, which remembers apart from the others what failed in it."""

    def __init__(self, name: str, python: str, chosen: Sequence[str]) -> None:
        self.name = name
        self.python = python
        cache = f"cache_dir=.pytest_cache/{name}"
        self.command = ["-m", "pytest", "-q", "-o", cache, *chosen]

    def once_more(self, code: int) -> int:
        """Run again, one by one, the tests that failed; the code that counts.

        Tests of real processes wait for them with a limit, which a busy machine may break. What fails
        alone as well has failed, and both outputs are there to read.
        """
        if code != TESTS_FAILED:
            return code
        print(
            f"Some tests of the part {self.name} failed; once more, nothing beside them:",
            flush=True,
        )
        return call(self.python, *self.command, "--last-failed")


def lint() -> int:
    """Every check that reads code; all of them, even when one fails."""
    python = whole_environment()
    typed = ["include", "plugins", "dags", "scripts", "bench"]
    checks = (
        ["-m", "ruff", "check", "."],
        ["-m", "ruff", "format", "--check", "."],
        ["-m", "mypy", *typed],
        ["-c", "from importlinter.cli import lint_imports_command as lint; lint()"],
    )
    return max([call(python, *check) for check in checks])


def docs() -> int:
    """Write the pages that the code writes."""
    return max(in_environment("scripts/dag_docs.py"), in_environment("scripts/law_docs.py"))


def bench() -> int:
    """Measure."""
    return in_environment("bench/run.py", *extra_arguments())


def chaos() -> int:
    """Kill and count."""
    return in_environment("bench/chaos.py", *extra_arguments())


def clean() -> int:
    """Remove what the other verbs made, never a source and never a folder that is not ours."""
    state = Path(os.path.realpath(str(ROOT / (os.environ.get("STATE") or "state"))))
    try:
        marked_folder.check(state, ROOT)
    except marked_folder.ForeignFolderError as foreign:
        return complain(f"{foreign}; nothing was removed")
    if not stopped(state):
        return complain(f"a supervisor runs in {state}: stop it first (Ctrl-C)")
    moved = state / "postgres" / "moved-to"
    if moved.exists():
        elsewhere = Path(moved.read_text().strip())
        if elsewhere.name.startswith("participation-"):
            shutil.rmtree(str(elsewhere), ignore_errors=True)
    made = [state] if marked_folder.is_marked(state) else []
    made += [WHOLE, DOMAIN]
    caches = (".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".import_linter_cache")
    for folder in made + [ROOT / name for name in caches]:
        shutil.rmtree(str(folder), ignore_errors=True)
    for cache in list(ROOT.rglob("__pycache__")):
        shutil.rmtree(str(cache), ignore_errors=True)
    return 0


def stopped(state: Path) -> bool:
    """Say whether nobody holds the state folder."""
    try:
        with open(str(state / "run" / "supervisor.lock")) as file:  # noqa: PTH123 - old syntax
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


VERBS: dict[str, Callable[[], int]] = {
    "run": run,
    "judge": judge,
    "search": search,
    "airflow": airflow,
    "test": test,
    "test-services": test_services,
    "lint": lint,
    "docs": docs,
    "bench": bench,
    "chaos": chaos,
    "clean": clean,
}


def in_environment(*arguments: str) -> int:
    """Run Python with arguments in the whole environment."""
    return call(whole_environment(), *arguments)


def call(python: str, *arguments: str) -> int:
    """Run Python in the project's folder; Ctrl-C goes to it, and its exit code is ours."""
    return ended(start(python, *arguments))


def start(python: str, *arguments: str, stdout: IO[str] | None = None) -> subprocess.Popen[bytes]:
    """Start Python in the project's folder; told to end, it ends what it started first."""
    environ = dict(os.environ, PYTHONPATH=python_path())
    sys.stdout.flush()
    process = subprocess.Popen(
        [python, *list(arguments)], cwd=str(ROOT), env=environ, stdout=stdout
    )
    STARTED.append(process)
    # Python ends what it started for an interrupt only.
    signal.signal(signal.SIGTERM, _interrupt_all)
    return process


def ended(process: subprocess.Popen[bytes]) -> int:
    """Wait for a process; Ctrl-C goes to it as well."""
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def _interrupt_all(*_: object) -> None:
    for process in STARTED:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)


def python_path() -> str:
    """Our roots of imports, and none of the caller's."""
    return os.pathsep.join((str(ROOT), str(ROOT / "plugins"), str(ROOT / "scripts")))


def extra_arguments() -> list[str]:
    """What ARGS holds, split as a shell would."""
    return shlex.split(os.environ.get("ARGS") or "")


def whole_environment() -> str:
    """Python of the environment that holds everything."""
    return ready(WHOLE, LOCK, "about 200 MB to download, 1.1 GB on disk, one to four minutes")


def domain_environment() -> str:
    """Python of the environment that does not contain Airflow."""
    return ready(DOMAIN, DOMAIN_LOCK, "about 20 MB to download, 0.1 GB on disk, seconds")


def ready(folder: Path, lock: Path, cost: str) -> str:
    """Bring an environment to its lock; the path of its Python."""
    stamp = folder / ".stamp"
    with only_one(lock):
        if not stamped(folder, lock):
            check_disk()
            print(f"Preparing {folder.name} ({cost}) ...", flush=True)
            if stamp.exists():
                stamp.unlink()
            install(folder, lock)
            stamp.write_text(fingerprint(lock) + "\n")
    return str(folder / "bin" / "python")


def stamped(folder: Path, lock: Path) -> bool:
    """Say whether an environment was built from this very lock and its Python is still there."""
    stamp = folder / ".stamp"
    return (
        stamp.exists()
        and stamp.read_text().strip() == fingerprint(lock)
        and os.access(str(folder / "bin" / "python"), os.X_OK)
    )


def fingerprint(lock: Path) -> str:
    """Changes with the lock and with where the environment lies: its scripts hold the path."""
    content = lock.read_bytes() + b"\0" + os.fsencode(str(ROOT))
    return hashlib.sha256(content).hexdigest()


@contextmanager
def only_one(lock: Path) -> Iterator[None]:
    """One install at a time: two calls at once wait for each other."""
    with open(str(lock), "rb") as file:  # noqa: PTH123 - old syntax
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(folder: Path, lock: Path) -> None:
    """Install with uv where it is present, else with venv and pip.

    The lock names every package: nothing has to be resolved, which old versions of pip do slowly.
    """
    uv = find_uv()
    python = folder / "bin" / "python"
    if not python_fits(str(python)):
        shutil.rmtree(str(folder), ignore_errors=True)
        create(folder, uv)
    if uv:
        step(
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
                "--compile-bytecode",
                "--no-deps",
                "-r",
                str(lock),
            ]
        )
        return
    if quiet([str(python), "-m", "pip", "--version"]) is None:
        step([str(python), "-m", "ensurepip", "--default-pip"])
    options = ["--no-deps", "--disable-pip-version-check", "--no-input", "--quiet"]
    step([str(python), "-m", "pip", "install", *options, "-r", str(lock)])


def create(folder: Path, uv: str | None) -> None:
    """Create an empty environment with a Python that fits; uv can fetch one."""
    python = find_python()
    if uv:
        wanted = python or f">={dotted(OLDEST)},<{dotted((3, NEWEST[1] + 1))}"
        step([uv, "venv", "--quiet", "--python", wanted, str(folder)])
        return
    if python is None:
        stop(
            "This needs Python {0} to {1} and found {2} only: install python{1} from your system's"
            " packages or python.org, or name one with PYTHON=/path/to/python{1}.".format(
                dotted(OLDEST), dotted(NEWEST), dotted(sys.version_info[:2])
            )
        )
    if quiet([python, "-c", "import ensurepip, venv"]) is None:
        stop(
            f"{python} lacks the venv module: install it (Debian, Ubuntu: apt install python3-venv) or"
            " install uv."
        )
    step([python, "-m", "venv", str(folder)])


def find_uv() -> str | None:
    """Path of uv, or None."""
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() fails for an account without one
    usual = [home / ".local" / "bin" / "uv", home / ".cargo" / "bin" / "uv"]
    found = shutil.which("uv")
    return found or next((str(path) for path in usual if os.access(str(path), os.X_OK)), None)


def find_python() -> str | None:
    """Path of a Python that fits: the one that runs this, else the newest on the path, else None."""
    names = [f"python{dotted((3, minor))}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    candidates = [sys.executable] + [shutil.which(name) for name in [*names, "python3"]]
    return next((python for python in candidates if python and python_fits(python)), None)


def python_fits(python: str) -> bool:
    """Say whether an interpreter runs and has a version we support."""
    answer = quiet([python, "-c", "import sys; print(*sys.version_info[:2])"])
    return answer is not None and OLDEST <= tuple(map(int, answer.split())) <= NEWEST


def dotted(version: Sequence[int]) -> str:
    """3.11 from (3, 11)."""
    return ".".join(str(part) for part in version)


def check_disk() -> None:
    """Stop before an install that cannot end well."""
    free_gb = shutil.disk_usage(str(ROOT)).free / 1e9
    if free_gb < NEEDED_GB:
        stop(
            f"{free_gb:.1f} GB are free here and {NEEDED_GB} GB are needed: make room, or clone elsewhere."
        )


def quiet(command: list[str]) -> str | None:
    """Output of a command, or None when it fails."""
    try:
        answer = subprocess.run(
            command, check=False, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
    except OSError:
        return None
    return answer.stdout.decode() if answer.returncode == 0 else None


def step(command: list[str]) -> None:
    """Run a command that must succeed."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    code = subprocess.call(command, env=environ)
    if code:
        stop(
            "{} failed (exit code {}): see above, then call make again; it goes on from there.".format(
                " ".join(command[:4]), code
            )
        )


def complain(sentence: str) -> int:
    """Say what is wrong; the exit code for it."""
    sys.stderr.write(sentence + "\n")
    return 2


def stop(sentence: str) -> NoReturn:
    """Say what is wrong and end."""
    sys.exit(complain(sentence))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "help"))
