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
from datetime import date

import psycopg
from cryptography.fernet import InvalidToken
from rich.console import Console
from rich.markup import escape

from airflow_database import stored_connection
from include.contributions.wording import visible
from include.documents.embedding.openai_compatible import OpenAICompatibleEngine, connected_engine
from include.documents.model import Hit, Kind
from include.documents.parsing.acts import KINDS
from include.documents.plain import plain_words
from include.documents.words import fold
from include.errors import ConfigurationError
from include.exchange import endpoint_options
from participation.ledger import connect
from participation.ledger.search import Filters
from participation.search import ask
from participation.settings import EMBEDDINGS_CONN_ID, Settings
from postgres import EmbeddedPostgres, running
from state_folder import AlreadyRunningError, StateFolder

MAX_ANSWERS = 100

SOURCES = ("folder", "crawl", "url")


def main(arguments: Sequence[str]) -> int:
    """Print the answers; 0, or 2 with the reason when nothing could be asked."""
    asked = _parser().parse_args(arguments)
    try:
        with _server() as server, connect(server.ledger_dsn) as connection:
            hits = ask(
                connection,
                asked.municipality,
                asked.question,
                asked.top_k,
                Filters(
                    **asked.kind, dated_from=asked.since, dated_to=asked.until, source=asked.source
                ),
                connected=_connected(server),
                warn=_warn,
            )
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
        title = _line(hit.title)
        console.print(f"[bold]{place}. {title}[/bold], {pages}  ({hit.score:.2f})", soft_wrap=True)
        console.print(f"   « {_line(plain_words(hit.quote))} »", soft_wrap=True)
        console.print(f"   {_line(hit.uri)}", soft_wrap=True)


def _line(text: str) -> str:
    """Write a paper's words on one line, so that they say nothing to the terminal itself."""
    return escape(" ".join(visible(text).split()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make search", description=__doc__)
    parser.add_argument("question")
    parser.add_argument("--top-k", type=_count, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--kind", type=_kind, default={})
    parser.add_argument("--since", type=_day)
    parser.add_argument("--until", type=_day)
    parser.add_argument("--source", choices=SOURCES)
    parser.add_argument("--municipality", default=Settings().municipality)
    return parser


def _count(text: str) -> int:
    """Read how many answers are wanted.

    >>> _count("5")
    5
    """
    if not text.isdecimal() or not 1 <= int(text) <= MAX_ANSWERS:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 to {MAX_ANSWERS}")
    return int(text)


def _kind(text: str) -> dict[str, str]:
    """Read a kind of file or of act, as anybody writes it.

    >>> _kind("Arrêté"), _kind("procès-verbal"), _kind("image")
    ({'act_kind': 'arrete'}, {'act_kind': 'proces_verbal'}, {'kind': 'image'})
    """
    name = fold(text).strip().replace("-", "_").replace(" ", "_")
    if name in set(Kind):
        return {"kind": name}
    if name in KINDS:
        return {"act_kind": name}
    raise argparse.ArgumentTypeError(f"{text!r}: give one of {', '.join([*Kind, *KINDS])}")


def _day(text: str) -> date:
    """Read a day, and nothing that only looks like one.

    >>> _day("2025-03-01")
    datetime.date(2025, 3, 1)
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: give a day such as 2025-03-01") from None


def _connected(server: EmbeddedPostgres) -> OpenAICompatibleEngine | None:
    """Make the engine of the connection that an operator stored in Airflow, if there is one."""
    secrets = StateFolder.from_environment().secrets
    try:
        stored = stored_connection(server.airflow_dsn, EMBEDDINGS_CONN_ID, secrets["fernet_key"])
        if stored is None:
            return None
        return connected_engine(
            endpoint_options(stored["host"], stored["password"], stored["extra"])
        )
    except (psycopg.Error, InvalidToken, ValueError, TypeError, ConfigurationError) as error:
        _warn(f"the connection {EMBEDDINGS_CONN_ID} cannot be used: {error!r}")
        return None


def _warn(sentence: str) -> None:
    sys.stderr.write(f"warning: {' '.join(sentence.split())}\n")


@contextmanager
def _server() -> Iterator[EmbeddedPostgres]:
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
        server.port = server.noted_port()
        yield server
        return
    with lock:
        try:
            server.port = server.noted_port()
            connect(server.ledger_dsn).close()
        except (OSError, psycopg.OperationalError):
            with running(state.postgres) as woken:
                yield woken
            return
        yield server


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
