"""What the triggerer runs: watchers that turn outbox rows into asset events.

May import Airflow, ``participation.hooks`` and ``participation.ledger``. Neighbours: the assets of
``participation.defaults`` name them; what an event wakes asks the ledger what there is to do.
"""
