"""Where documents come from: folders and object stores, crawls of a site, lists of addresses.

``folder`` walks whatever looks like a path and ``inspection`` looks into a file; ``crawl`` reads what
a crawler noted beside its files. ``urls`` fetches documents through ``client``, whose ``connections``
pass the guard and end at the ``deadline``; these four load the HTTP library and are imported where
something is fetched. Only :mod:`include.documents.intake` writes to the store.
"""
