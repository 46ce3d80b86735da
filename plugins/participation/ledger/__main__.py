"""``python -m participation.ledger``: migrate the ledger named by ``AIRFLOW_CONN_PARTICIPATION_DB``."""

import sys

from participation.hooks.ledger import ledger_dsn
from participation.ledger.migrations import migrate

if __name__ == "__main__":
    names = migrate(ledger_dsn())
    sys.stdout.write(f"applied: {', '.join(names) or 'nothing, the ledger is current'}\n")
