"""From a file's bytes to pages of text: one reader per medium, all of them in a process of their own.

``parse_file`` is the only door. Neighbours: :mod:`include.documents.sniffing` says what a file is,
chunking takes the pages. Nothing here knows a database. Nothing but ``worker`` reads a foreign file;
sniffing looks at its head and at a zip's list of members, from outside and within bounds.
"""

from include.documents.parsing.sandbox import parse_file
from include.documents.parsing.settings import PARSER_VERSION, OcrSettings, ParseLimits

__all__ = ["PARSER_VERSION", "OcrSettings", "ParseLimits", "parse_file"]
