"""The advisory locks of the ledger, in one place, so that no two of them share a number.

Any numbers would do. The lock of a task attempt is named by its text (``participation.fence``).
"""

MIGRATION_LOCK = 7_142_026
"""Two processes that migrate at once take turns."""

SPLIT_LOCK = 7_142_027
"""Two runs that split at the same moment take turns, so that each contribution goes to one of them."""

PLACE_LOCK = 7_142_028
"""Held while a file's entries find their places: two loads that meet in the same texts take turns."""
