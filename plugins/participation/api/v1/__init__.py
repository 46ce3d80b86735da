"""The REST API for partners: runs and their state, contributions and receipts, search, events, webhooks.

Mounted at ``/participation/api/v1`` of the API server. Each route asks who it is and whether they may
(:mod:`.locks`) before it reads a body (:mod:`.bodies`); whatever goes wrong is answered as
``application/problem+json`` (:mod:`.problems`). May import what ``participation.api`` may.
"""
