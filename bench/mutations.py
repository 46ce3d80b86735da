"""Prove that the guards matter: take each one out of a copy of the tree and see its tests fail.

    python bench/mutations.py [--law 3] [--list tests/mutations.yaml]

A mutant that its tests let live is a law without a guard on it, or a test that cannot fail: the exit
code says so. So does a guard that is no longer where the list says, and a test that fails unmutated.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
LIST = ROOT / "tests" / "mutations.yaml"

TEST_LIMIT_S = 420
"""A mutant may hang instead of failing; a test that never ends did not pass."""

LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", "state", ".*_cache", ".hypothesis", "__pycache__", "node_modules"
)

FAILED_TESTS = 1
"""What pytest answers when tests failed; anything else is a mutant that does not even load."""


@dataclass(frozen=True)
class Edit:
    """One guard and what stands in its place."""

    file: str
    guard: str
    instead: str


@dataclass(frozen=True)
class Mutation:
    """A law without one of its guards, and the tests that must notice."""

    law: int
    what: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]

    @classmethod
    def of(cls, entry: dict[str, Any]) -> "Mutation":
        """Read one entry of the list."""
        edits = tuple(Edit(**edit) for edit in entry["edits"])
        return cls(int(entry["law"]), entry["what"], edits, tuple(entry["tests"]))


class MovedGuardError(Exception):
    """A guard does not stand exactly once where the list says; the list needs a look."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run every mutation; 0 when every mutant was killed and every unmutated test passes."""
    parser = argparse.ArgumentParser(description="Take guards out and see tests fail.")
    parser.add_argument("--law", type=int, action="append", help="only this law; may be repeated")
    parser.add_argument("--list", type=Path, default=LIST, help="another list of mutations")
    chosen = parser.parse_args(arguments)
    mutations = [m for m in listed(chosen.list) if not chosen.law or m.law in chosen.law]
    return 1 if run(mutations) else 0


def listed(path: Path = LIST) -> list[Mutation]:
    """Read the list of mutations."""
    return [Mutation.of(entry) for entry in yaml.safe_load(path.read_text("utf-8"))]


def run(mutations: Sequence[Mutation]) -> list[str]:
    """Apply each mutation in turn and return what went wrong, one sentence each."""
    with _copied_tree() as tree, _ledger_server(tree) as environ:
        tests = sorted({test for mutation in mutations for test in mutation.tests})
        code, said = _tested(tree, tests, environ)
        if code:
            print(said)
            return [f"the tests do not pass without a mutation (pytest answered {code})"]
        print(f"{len(tests)} test files pass unmutated; {len(mutations)} mutations", flush=True)
        print(f"{'law':>3}  {'seconds':>7}  {'verdict':8}  guard removed", flush=True)
        return [wrong for mutation in mutations if (wrong := _judged(tree, mutation, environ))]


def _judged(tree: Path, mutation: Mutation, environ: dict[str, str]) -> str | None:
    began = time.monotonic()
    try:
        with _mutated(tree, mutation):
            code, said = _tested(tree, mutation.tests, environ)
        verdict = "killed" if code == FAILED_TESTS else "SURVIVED" if code == 0 else f"odd ({code})"
    except MovedGuardError as error:
        verdict, said = "MOVED", str(error)
    seconds = time.monotonic() - began
    print(f"{mutation.law:>3}  {seconds:>7.1f}  {verdict:8}  {mutation.what}", flush=True)
    if verdict == "killed":
        return None
    print(said, flush=True)
    return f"law {mutation.law}: {mutation.what}: {verdict}"


def _tested(tree: Path, tests: Sequence[str], environ: dict[str, str]) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]
    try:
        answer = subprocess.run(
            [*command, *tests],
            cwd=tree,
            env=environ,
            capture_output=True,
            text=True,
            timeout=TEST_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return FAILED_TESTS, f"no end after {TEST_LIMIT_S} s"
    # Skipped tests prove nothing: a guard is only shown to matter where its tests ran.
    if answer.returncode == 0 and " skipped" in answer.stdout.splitlines()[-1]:
        return 5, answer.stdout[-3000:]
    return answer.returncode, (answer.stdout + answer.stderr)[-3000:]


@contextmanager
def _mutated(tree: Path, mutation: Mutation) -> Iterator[None]:
    before = {edit.file: (tree / edit.file).read_text("utf-8") for edit in mutation.edits}
    try:
        for edit in mutation.edits:
            path = tree / edit.file
            source = path.read_text("utf-8")
            if source.count(edit.guard) != 1:
                raise MovedGuardError(
                    f"{edit.file} holds {source.count(edit.guard)} times: {edit.guard.strip()!r}"
                )
            path.write_text(source.replace(edit.guard, edit.instead), "utf-8")
        yield
    finally:
        for file, source in before.items():
            (tree / file).write_text(source, "utf-8")


@contextmanager
def _copied_tree() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="participation-mutants-"))
    try:
        yield Path(shutil.copytree(ROOT, folder / "tree", ignore=LEFT_OUT))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _ledger_server(tree: Path) -> Iterator[dict[str, str]]:
    """Run one server for all mutants, and give the environment in which a mutant is tested."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("AIRFLOW")}
    environ |= {
        "PYTHONPATH": os.pathsep.join((str(tree), str(tree / "plugins"))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if environ.get("PARTICIPATION_TEST_DSN"):
        yield environ
        return
    folder = Path(tempfile.mkdtemp(prefix="participation-mutants-db-"))
    folder.chmod(0o711)
    server = subprocess.Popen(
        [sys.executable, str(ROOT / "scripts" / "postgres.py"), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    try:
        assert server.stdout is not None  # noqa: S101 - it is a pipe
        ledger = server.stdout.readline().strip()
        if not ledger:
            raise SystemExit("the embedded PostgreSQL did not start")
        yield environ | {"PARTICIPATION_TEST_DSN": _admin(folder, ledger)}
    finally:
        server.terminate()
        with suppress(subprocess.TimeoutExpired):
            server.wait(60)
        moved = folder / "moved-to"
        if moved.exists() and Path(moved.read_text().strip()).name.startswith("participation-"):
            shutil.rmtree(moved.read_text().strip(), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def _admin(folder: Path, ledger_dsn: str) -> str:
    """Turn the ledger's address into the superuser's: tests make databases of their own."""
    passwords = yaml.safe_load((folder / "passwords.json").read_text())
    server = ledger_dsn.split("@", 1)[1].split("/", 1)[0]
    return f"postgresql://postgres:{passwords['postgres']}@{server}/postgres"


if __name__ == "__main__":
    sys.exit(main())
