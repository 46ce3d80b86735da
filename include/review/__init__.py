"""What a person decides: the question as it is put, the answer as it is checked, the reasons given.

May import: the standard library, Pydantic, ``include.contributions`` and ``include.municipality``.
Neighbours: ``include.contributions`` judges and leaves cases open; ``participation.ledger.review``
claims them and keeps the decisions. Nothing here asks anybody or decides anything by itself.
"""
