"""Documents to searchable chunks: this project beside LlamaIndex, Haystack, LangChain and kreuzberg.

Everybody gets the same files, cuts them at 1,500 characters with 200 overlap, stores the same vectors
(:mod:`bench.peers.hashed`) in the same PostgreSQL with pgvector, and works in one process per core
that takes the largest file left. Setting up is not counted; what was stored is read back afterwards.
"""

import os
import re
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bench import document_files, meter
from bench.overhead import ContestantError, install, race, runner, version_of
from bench.scale import ROOT, scratch
from include.documents.model import Media, SetAside
from include.documents.parsing import OcrSettings, parse_file
from include.documents.parsing.ocr import obstacle
from include.documents.sniffing import sniff
from participation.ledger import migrate
from postgres import EmbeddedPostgres

DATA = ROOT.parent / "shared" / "data" / "documents"
"""Documents of a town, where somebody laid them beside the repository."""

LIMIT_S = 1800

SCANNED_PAGES = 24
"""Of the generated scans; OCR takes some two seconds a page."""

RUN_WORDS = 12
"""Words in a row that a text does not repeat by chance."""


@dataclass(frozen=True, slots=True)
class Mix:
    """Files that everybody gets.

    Attributes:
        name: For the table.
        files: Largest first.
        pages: Of all of them, as this project counts them.
        ocr: Whether scans are to be read.
        marks: Words of which each stands in one file alone; none in files that were found.
    """

    name: str
    files: list[Path]
    pages: int
    ocr: bool
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contestant:
    """Who takes part.

    Attributes:
        name: For the table.
        script: In ``bench/peers``.
        stored: Query for the texts that can be searched.
        environment: Name of its lock; None is the project's own environment.
        package: Whose version is told.
        pdf: Which reader of PDFs, where it has a choice.
        reads_scans: Whether it can use Tesseract.
    """

    name: str
    script: str
    stored: str
    environment: str | None = None
    package: str = ""
    pdf: str = ""
    reads_scans: bool = True


CONTESTANTS = (
    Contestant(
        "this project, its functions alone",
        "documents_own.py",
        "SELECT c.content FROM participation.index_entry e JOIN participation.chunk c USING (chunk_id)"
        " WHERE e.dense IS NOT NULL AND e.removed_in IS NULL AND EXISTS (SELECT FROM"
        " participation.index_version v WHERE v.base_id = e.base_id AND v.state = 'live')",
    ),
    Contestant(
        "kreuzberg",
        "documents_kreuzberg.py",
        "SELECT content FROM chunks WHERE embedding IS NOT NULL",
        "kreuzberg",
        "kreuzberg",
    ),
    Contestant(
        "LangChain with PDFium",
        "documents_langchain.py",
        "SELECT content FROM chunks WHERE embedding IS NOT NULL",
        "langchain",
        "langchain-community",
        "pdfium",
    ),
    Contestant(
        "LangChain with pypdf",
        "documents_langchain.py",
        "SELECT content FROM chunks WHERE embedding IS NOT NULL",
        "langchain",
        "langchain-community",
        "pypdf",
    ),
    Contestant(
        "Haystack",
        "documents_haystack.py",
        "SELECT content FROM haystack_documents WHERE embedding IS NOT NULL",
        "haystack",
        "haystack-ai",
        reads_scans=False,
    ),
    Contestant(
        "LlamaIndex",
        "documents_llamaindex.py",
        "SELECT text FROM data_chunks WHERE embedding IS NOT NULL",
        "llamaindex",
        "llama-index-core",
        reads_scans=False,
    ),
)


def measure(sizes: list[int], data: Path | None = None) -> dict[str, Any]:
    """Let everybody take every mix.

    Args:
        sizes: Numbers of generated documents, one mix each.
        data: Folder of real documents, for two mixes more.
    """
    here = meter.machine()
    # NLTK, which LlamaIndex brings, reads no file that is linked into uv's cache.
    os.environ.setdefault("UV_LINK_MODE", "copy")
    rows: list[dict[str, Any]] = []
    with scratch("documents") as folder:
        mixes = list(_mixes(sizes, data or DATA, folder))
        postgres = EmbeddedPostgres(folder / "postgres")
        postgres.start()
        try:
            for mix in mixes:
                for contestant in CONTESTANTS:
                    rows.append(_one(contestant, mix, folder, postgres))
                    print(f"documents: {mix.name}: {_sentence(rows[-1])}", flush=True)
        finally:
            postgres.stop()
    return {"machine": here, "processes": os.cpu_count() or 1, "rows": rows}


def table(figures: Mapping[str, Any]) -> list[str]:
    """Lay the figures out as Markdown, a table for each mix."""
    lines = []
    for name in dict.fromkeys(row["mix"] for row in figures["rows"]):
        rows = [row for row in figures["rows"] if row["mix"] == name]
        lines += [
            "",
            (
                f"{name}: {rows[0]['files']} files, {rows[0]['pages']:,} pages; "
                f"{figures['processes']} processes each."
            ),
            "",
            (
                "| who | pages/s | to ours | wall s | CPU s | peak MB | rows | characters | "
                "repeated | words of its own found | failed files |"
            ),
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        ours = next((row["pages_per_s"] for row in rows if "error" not in row), None)
        for row in rows:
            if "error" in row or "cannot" in row:
                why = row.get("cannot") or f"**failed: {row['error']}**"
                lines.append(f"| {row['who']} | {why} |" + " |" * 9)
                continue
            marks = f"{row['marks_found']} of {row['marks']}" if row["marks"] else ""
            ratio = f"÷ {ours / row['pages_per_s']:.1f}" if ours else ""
            lines.append(
                f"| {row['who']} | {row['pages_per_s']} | {ratio} | {row['wall_s']} | {row['cpu_s']}"
                f" | {row['peak_mb']} | {row['rows']:,} | {row['characters']:,}"
                f" | {row['repeated']:.0%} | {marks} | {len(row['failed_files'])} |"
            )
    lines += [
        "",
        (
            "Repeated: share of runs of 12 words that were stored more than once; the overlap of the "
            "chunks alone makes some 15 %. Memory is that of the contestant's processes, without "
            "PostgreSQL, whose CPU time is counted."
        ),
    ]
    return lines[1:]


def _one(
    contestant: Contestant, mix: Mix, folder: Path, postgres: EmbeddedPostgres
) -> dict[str, Any]:
    row = {"mix": mix.name, "who": contestant.name, "files": len(mix.files), "pages": mix.pages}
    if mix.ocr and not contestant.reads_scans:
        return {**row, "cannot": "cannot: reads no scans with Tesseract"}
    try:
        with _database(postgres) as dsn:
            if contestant.environment is None:
                migrate(dsn)
            python = (
                install(folder, contestant.environment)
                if contestant.environment
                else sys.executable
            )
            version = version_of(python, contestant.package) if contestant.package else "this one"
            figures = _timed(contestant, mix, python, dsn, folder, postgres)
            return {**row, "version": version, **figures, **_stored(contestant, mix, dsn)}
    except (ContestantError, OSError, psycopg.Error) as error:
        return {**row, "error": f"{type(error).__name__}: {error}".replace("\n", " ")[-300:]}


def _timed(
    contestant: Contestant,
    mix: Mix,
    python: str,
    dsn: str,
    folder: Path,
    postgres: EmbeddedPostgres,
) -> dict[str, Any]:
    attempt = folder / f"attempt-{time.monotonic_ns()}"
    (attempt / "claims").mkdir(parents=True)
    task = {
        "files": [str(path) for path in mix.files],
        "dsn": dsn,
        "ocr": mix.ocr,
        "processes": os.cpu_count() or 1,
        "claims": str(attempt / "claims"),
        "folder": str(attempt / "store"),
    }
    environ = {"BENCH_PDF": contestant.pdf, "OMP_THREAD_LIMIT": "1"}
    with (
        runner(python, contestant.script, task, environ) as process,
        meter.TreeMeter(process.pid) as seen,
    ):
        wall_s, cpu_s, said = race([process], [postgres.pid or 0], LIMIT_S)
    return {
        "wall_s": round(wall_s, 1),
        "cpu_s": round(cpu_s, 1),
        "pages_per_s": round(mix.pages / wall_s, 1),
        "memory_measure": meter.MEMORY_MEASURE,
        "peak_mb": round(max((each.memory for each in seen.samples), default=0) / meter.MB),
        "failed_files": [line["failed"] for line in said if "failed" in line],
    }


def _stored(contestant: Contestant, mix: Mix, dsn: str) -> dict[str, Any]:
    """Read back what can be searched: a pipeline that is fast and wrong is seen here."""
    with psycopg.connect(dsn) as connection:
        texts = [text for (text,) in connection.execute(sql.SQL(contestant.stored)).fetchall()]
    if not texts:
        raise ContestantError("nothing was stored")
    everything = "\n".join(texts)
    return {
        "rows": len(texts),
        "characters": sum(map(len, texts)),
        "median_characters": round(statistics.median(map(len, texts))),
        "longest": max(map(len, texts)),
        "repeated": round(_repeated(texts), 3),
        "marks": len(mix.marks),
        "marks_found": sum(mark in everything for mark in mix.marks),
    }


def _repeated(texts: Sequence[str]) -> float:
    runs: Counter[int] = Counter()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        runs.update(
            hash(tuple(words[start : start + RUN_WORDS]))
            for start in range(len(words) - RUN_WORDS + 1)
        )
    total = sum(runs.values())
    return 1 - len(runs) / total if total else 0.0


def _sentence(row: Mapping[str, Any]) -> str:
    if "error" in row:
        return f"{row['who']}: failed: {row['error']}"
    if "cannot" in row:
        return f"{row['who']}: {row['cannot']}"
    return (
        f"{row['who']}: {row['pages_per_s']} pages/s, CPU {row['cpu_s']} s, {row['peak_mb']} MB, "
        f"{row['rows']:,} rows, {row['characters']:,} characters, {row['repeated']:.0%} repeated, "
        f"{row['marks_found']} of {row['marks']} marks, {len(row['failed_files'])} files failed"
    )


@contextmanager
def _database(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Lend a database of its own with pgvector in it."""
    name = f"documents_{time.monotonic_ns()}"
    with psycopg.connect(postgres.admin_dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} OWNER participation").format(sql.Identifier(name))
        )
    with psycopg.connect(postgres.dsn(name, "postgres"), autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    try:
        yield postgres.dsn(name)
    finally:
        with psycopg.connect(postgres.admin_dsn, autocommit=True) as connection:
            connection.execute(
                sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
            )


def _mixes(sizes: Sequence[int], data: Path, folder: Path) -> Iterator[Mix]:
    can_read_scans = obstacle(OcrSettings()) is None
    for size in sorted(sizes):
        made = document_files.write(folder / f"made-{size}", size)
        marks = tuple(each.mark for each in made)
        files = _at_rest([each.path for each in made])
        yield _mix(f"{size} generated documents", files, sum(e.pages for e in made), marks=marks)
    if can_read_scans:
        scans = document_files.write_scans(folder / "scans", SCANNED_PAGES)
        files = _at_rest([each.path for each in scans])
        yield _mix("Generated scans", files, SCANNED_PAGES, ocr=True)
    if data.is_dir():
        pages_of = {path: pages for path in sorted(data.iterdir()) if (pages := _pages(path))}
        texts = {path: pages for path, (pages, is_scan) in pages_of.items() if not is_scan}
        yield _mix("A town's documents with a text layer", list(texts), sum(texts.values()))
        if can_read_scans:
            total = sum(pages for pages, _ in pages_of.values())
            yield _mix("All documents of a town, scans among them", list(pages_of), total, ocr=True)


def _at_rest(files: list[Path]) -> list[Path]:
    """Date files back: what was written a moment ago may still grow, and our intake waits for it."""
    an_hour_ago = time.time() - 3600
    for path in files:
        os.utime(path, (an_hour_ago, an_hour_ago))
    return files


def _mix(
    name: str, files: Sequence[Path], pages: int, *, ocr: bool = False, marks: Sequence[str] = ()
) -> Mix:
    largest_first = sorted(files, key=lambda path: (-path.stat().st_size, path.name))
    return Mix(name, largest_first, pages, ocr, tuple(marks))


def _pages(path: Path) -> tuple[int, bool] | None:
    """How many pages a file has, and whether one of them is a scan; None when nobody can read it."""
    with path.open("rb") as stream:
        media = sniff(stream, path.name)
    if isinstance(media, SetAside):
        return None
    parsed = parse_file(path, media, ocr=OcrSettings(enabled=False))
    if isinstance(parsed, SetAside):
        return None
    is_scan = any(page.reason == "needs_ocr" for page in parsed.pages)
    return len(parsed.pages), is_scan or media in {Media.JPEG, Media.PNG}
