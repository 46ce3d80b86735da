"""From a text to a vector: BM25 as a sparse one, or a connected provider's dense one.

Neighbours: ``include.documents.chunking`` gives the texts, ``include.documents.fusion`` joins what
several engines find. The port is ``engine``; nothing here stores or searches.
"""
