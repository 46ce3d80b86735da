"""Where contributions come from: one adapter per form, all of them yielding records.

``detect`` names the adapter of a file; ``SOURCES`` lists them. What every adapter shares stands in
``dates``, ``encodings``, ``fields``, ``blotting`` and ``boundary``; ``eml`` takes saved mails apart for
the adapter of mails. :mod:`include.contributions.loading` walks a folder with them. An adapter never
raises for what a file holds: an entry that cannot be used comes out as a ``BrokenRecord``.
"""

from include.contributions.sources.registry import SOURCES, detect

__all__ = ["SOURCES", "detect"]
