"""The ledger in PostgreSQL: the ports of ``include.ports`` answered with psycopg 3.

Nothing here imports Airflow, so that a script, a test and a benchmark use the same code as a task.
"""

from participation.ledger.connection import connect, session
from participation.ledger.migrations import migrate

__all__ = ["connect", "migrate", "session"]
