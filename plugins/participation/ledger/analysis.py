"""What an attempt of the analysis does in the ledger: hand out, keep, settle.

Execution is at-least-once, the recorded effect exactly-once. Three guards make it so: the claim
(:mod:`participation.ledger.claims`), the lease token and the primary key of ``step_result``
(:mod:`participation.ledger.chunk_store`).
"""

from dataclasses import dataclass

from participation.ledger.chunk_store import ChunkResults
from participation.ledger.claims import Claims
from participation.ledger.settling import Settling


@dataclass(frozen=True)
class LedgerAnalysis(Claims, ChunkResults, Settling):
    """The analysis side of the ledger for one attempt of one municipality."""
