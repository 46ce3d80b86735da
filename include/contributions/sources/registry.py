"""The adapters, in the order in which they are asked."""

from pathlib import Path

from include.contributions.sources.facebook import FacebookSource
from include.contributions.sources.json_files import JsonSource
from include.contributions.sources.json_lines import JsonLinesSource
from include.contributions.sources.mails import MailSource
from include.contributions.sources.tables import TableSource
from include.ports import Source

SOURCES: tuple[Source, ...] = (
    FacebookSource(),
    JsonLinesSource(),
    JsonSource(),
    MailSource(),
    TableSource(),
)
"""The most telling forms come first; a table is asked for last, since many texts could be one."""


def detect(path: Path, head: str) -> Source | None:
    """Name the adapter of a file by its name and first characters; None when no form fits."""
    return next((source for source in SOURCES if source.recognises(path, head)), None)
