"""``make search``: ask the ledger of the state folder a question, from the shell.

Speaks to the database alone, so it answers without Airflow too; one that sleeps is woken for the
length of the question.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict

import psycopg
from rich.console import Console
from rich.markup import escape

from include.documents.model import Hit
from include.municipality import DEFAULT_MUNICIPALITY
from participation.ledger import connect
from participation.search import ask
from postgres import EmbeddedPostgres, running
from state_folder import AlreadyRunningError, StateFolder

MAX_ANSWERS = 100


def main(arguments: Sequence[str]) -> int:
    """Print the answers; 0, or 2 with the reason when nothing could be asked."""
    asked = _parser().parse_args(arguments)
    try:
        with _ledger_dsn() as dsn, connect(dsn) as connection:
            hits = ask(connection, asked.municipality, asked.question, asked.top_k)
    except (OSError, psycopg.Error) as error:
        reason = str(error).strip().splitlines()[0]
        sys.stderr.write(f"the ledger does not answer: start `make run` first ({reason})\n")
        return 2
    if asked.json:
        print(json.dumps([asdict(hit) for hit in hits], ensure_ascii=False, indent=2))
    else:
        show(hits, Console(highlight=False))
    return 0


def show(hits: Sequence[Hit], console: Console) -> None:
    """Print the answers for a person."""
    if not hits:
        console.print("no paper of the town answers this")
    for place, hit in enumerate(hits, start=1):
        pages = f"p. {hit.first_page}"
        if hit.last_page != hit.first_page:
            pages += f"-{hit.last_page}"
        console.print(f"[bold]{place}. {escape(hit.title)}[/bold], {pages}  ({hit.score:.2f})")
        console.print(escape(f"   « {hit.quote} »"), soft_wrap=True)
        console.print(escape(f"   {hit.uri}"), soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make search", description=__doc__)
    parser.add_argument("question")
    parser.add_argument("--top-k", type=_count, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--municipality", default=DEFAULT_MUNICIPALITY)
    return parser


def _count(text: str) -> int:
    """Read how many answers are wanted.

    >>> _count("5")
    5
    """
    if not text.isdecimal() or not 1 <= int(text) <= MAX_ANSWERS:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 to {MAX_ANSWERS}")
    return int(text)


@contextmanager
def _ledger_dsn() -> Iterator[str]:
    """Find the database of the state folder, and run it for the block where nobody else does.

    Raises:
        OSError: There is none yet, or somebody is just starting it.
    """
    state = StateFolder.from_environment()
    server = EmbeddedPostgres(state.postgres)
    if not (server.data / "PG_VERSION").exists():
        raise OSError("nothing was loaded yet")
    try:
        lock = state.lock()
    except AlreadyRunningError:
        server.port = _noted_port(server)
        yield server.ledger_dsn
        return
    with lock:
        try:
            server.port = _noted_port(server)
            connect(server.ledger_dsn).close()
        except (OSError, psycopg.OperationalError):
            with running(state.postgres) as woken:
                yield woken.ledger_dsn
            return
        yield server.ledger_dsn


def _noted_port(server: EmbeddedPostgres) -> int:
    """Read the port from the server's own note, where it is the fourth line."""
    note = server.data / "postmaster.pid"
    lines = note.read_text(encoding="utf-8").splitlines() if note.exists() else []
    if len(lines) < 4 or not lines[3].strip().isdecimal():  # noqa: PLR2004 - the fourth line
        raise OSError("the database is still starting")
    return int(lines[3])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
