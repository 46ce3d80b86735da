"""The document workflow: from a file of the town hall to chunks that answer a question.

Neighbours: ``include.processing`` runs steps; ``participation.ledger.documents`` keeps what they
give. Parsing touches hostile files, so it happens in a process of its own (``parsing.sandbox``).
"""
